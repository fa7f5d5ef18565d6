"""The residual networks of spectral normalisation's paper, made slimmer."""

import keras
from keras import layers

from gan_helpers.models.conditional import discriminator_inputs, generator_inputs, judged
from gan_helpers.models.layers import MinibatchStandardDeviation, SpectralConv2D, SpectralDense, batch_normalised


def resnet_generator(z_dim, image_size, base_filters, normalisation, attributes=0):
    inputs, x = generator_inputs(z_dim, attributes)
    x = layers.Dense(4 * 4 * _filters(4, image_size, base_filters))(x)
    x = layers.Reshape((4, 4, -1))(x)
    side = 4
    while side < image_size:
        side *= 2
        x = _doubling_block(x, _filters(side, image_size, base_filters), normalisation)
    x = layers.Conv2D(3, 3, padding="same")(_activated(x, normalisation))
    return keras.Model(inputs, layers.Activation("tanh", name="images")(x), name="generator")


def resnet_discriminator(image_size, base_filters, normalisation, minibatch_std, activation, attributes=0):
    dense = SpectralDense if normalisation == "spectral" else layers.Dense
    images, given, inputs = discriminator_inputs(image_size, attributes)
    x, side = images, image_size
    while side > 4:
        side //= 2
        x = _halving_block(x, _filters(side, image_size, base_filters), normalisation, first=x is images)
    x = _activated(x, normalisation)
    if minibatch_std:
        x = MinibatchStandardDeviation()(x)
    x = judged(layers.Flatten()(x), given, dense, "glorot_uniform")
    return keras.Model(inputs, layers.Activation(activation, name="logits")(x), name="discriminator")


def _doubling_block(x, filters, normalisation):
    # A 1x1 convolution and the repetition of pixels can change places; before it, it has a quarter of the work.
    skip = x if x.shape[-1] == filters else _convolution(filters, 1, normalisation)(x)
    x = layers.UpSampling2D()(_activated(x, normalisation))
    x = _activated(_convolution(filters, 3, normalisation)(x), normalisation)
    x = _convolution(filters, 3, normalisation, use_bias=False)(x)
    return layers.Add()([layers.UpSampling2D()(skip), x])


def _halving_block(x, filters, normalisation, first):
    skip = layers.AveragePooling2D(2)(x)
    if x.shape[-1] != filters:
        skip = _convolution(filters, 1, normalisation, use_bias=False)(skip)
    between = filters if first else x.shape[-1]
    x = x if first else _activated(x, normalisation)  # a ReLU on the images would lose their dark half
    x = _activated(_convolution(between, 3, normalisation)(x), normalisation)
    x = _convolution(filters, 3, normalisation)(x)
    return layers.Add()([skip, layers.AveragePooling2D(2)(x)])


def _convolution(filters, size, normalisation, use_bias=True):
    # `use_bias=False` right before a sum: with a bias TensorFlow's optimiser trips over the fused sum, and says so.
    kind = SpectralConv2D if normalisation == "spectral" else layers.Conv2D
    return kind(filters, size, padding="same", use_bias=use_bias and normalisation != "batch")


def _activated(x, normalisation):
    return layers.ReLU()(batch_normalised(x) if normalisation == "batch" else x)


def _filters(side, image_size, base_filters):
    """`base_filters` at the full side and at half of it, then twice as many at each halving, up to 8 times."""
    return base_filters * max(1, min(8, image_size // (2 * side)))
