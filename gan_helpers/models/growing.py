"""The DCGAN as a sum over picture sizes: what was learnt on small pictures goes on in larger ones."""

import keras
from keras import layers

from gan_helpers.models.conditional import discriminator_inputs, generator_inputs, judged
from gan_helpers.models.layers import MinibatchStandardDeviation, batch_normalised
from gan_helpers.models.recipes import SMALLEST


def growing_generator(z_dim, image_size, base_filters, attributes=0):
    filters = _filters(4, base_filters)
    inputs, x = generator_inputs(z_dim, attributes)
    x = layers.Dense(4 * 4 * filters, use_bias=False, kernel_initializer=_initial(), name="map_4")(x)
    x = layers.Reshape((4, 4, filters))(x)
    x = layers.ReLU()(batch_normalised(x, name="map_4_norm"))
    for side in (8, 16):
        x = _enlarged_map(x, side, base_filters)
    name, size = f"images_{SMALLEST}", SMALLEST
    images = layers.Conv2DTranspose(3, 4, 2, "same", kernel_initializer=_initial(), name=name)(x)
    if image_size > SMALLEST:
        x = _enlarged_map(x, SMALLEST, base_filters)
    while size < image_size:
        size *= 2
        x = _detail(x, size, base_filters)
        more = layers.Conv2D(3, 3, padding="same", kernel_initializer="zeros", name=f"images_{size}")(x)
        images = layers.Add()([_doubled(images), more])
    return keras.Model(inputs, layers.Activation("tanh", name="images")(images), name="generator")


def growing_discriminator(image_size, base_filters, minibatch_std, activation, attributes=0):
    pictures, given, inputs = discriminator_inputs(image_size, attributes)
    x, size = None, image_size
    while True:
        shape = _filters(size // 2, base_filters), 4, 2, "same"
        # With a bias, or that of the norm below: without any a batch's contrast is hidden from what comes after the
        # next norm. Before a sum TensorFlow's optimiser trips over a bias, and says so.
        settings = {"use_bias": x is None, "kernel_initializer": _initial(), "name": f"images_{size}"}
        seen = layers.Conv2D(*shape, **settings)(pictures)
        if x is not None:
            deep = layers.Conv2D(*shape, use_bias=False, kernel_initializer=_initial(), name=f"above_{size}")(x)
            deep = batch_normalised(deep, name=f"above_{size}_norm", gamma_initializer="zeros")
            seen = layers.Add()([seen, deep])
        x = _activated(seen)
        if size == SMALLEST:
            break
        size //= 2
        pictures = layers.AveragePooling2D(2)(pictures)
    side = size // 2
    while side > 4:
        side //= 2
        shape = _filters(side, base_filters), 4, 2, "same"
        x = layers.Conv2D(*shape, use_bias=False, kernel_initializer=_initial(), name=f"map_{side}")(x)
        x = _activated(batch_normalised(x, name=f"map_{side}_norm"))
    if minibatch_std:
        x = MinibatchStandardDeviation()(x)
    x = judged(layers.Flatten()(x), given, layers.Dense, _initial())
    return keras.Model(inputs, layers.Activation(activation, name="logits")(x), name="discriminator")


def _enlarged_map(x, side, base_filters):
    shape = _filters(side, base_filters), 4, 2, "same"
    x = layers.Conv2DTranspose(*shape, use_bias=False, kernel_initializer=_initial(), name=f"map_{side}")(x)
    return layers.ReLU()(batch_normalised(x, name=f"map_{side}_norm"))


def _detail(x, size, base_filters):
    """What a size's picture is made from, and the next one's detail: a map of its full side, with a bend there.

    A linear map of an enlarged one has hardly any power in fine detail, and the discriminator, which sees that, wins. A
    transposed convolution has, but leaves its grid in the faces, since too little comes after that smooths it. Beyond
    64 pixels a further map is made at the full side, whose bends stand where those of the first one do not.
    """
    name = f"detail_{size}"
    x = _convolution(x, name, _filters(2 * SMALLEST, base_filters))
    x = layers.ReLU()(batch_normalised(_doubled(x), name=f"{name}_norm"))
    if size > 2 * SMALLEST:
        name = f"fine_{size}"
        x = _convolution(x, name, _filters(size, base_filters))
        x = layers.ReLU()(batch_normalised(x, name=f"{name}_norm"))
    return x


def _convolution(x, name, filters):
    return layers.Conv2D(filters, 3, padding="same", use_bias=False, kernel_initializer=_initial(), name=name)(x)


def _doubled(x):
    return layers.UpSampling2D(interpolation="bilinear")(x)


def _activated(x):
    return layers.LeakyReLU(negative_slope=0.2)(x)


def _initial():
    return keras.initializers.RandomNormal(0.0, 0.02)


def _filters(side, base_filters):
    """Channels of the map of a side: the same in the networks of every size, so that weights fit."""
    return max(1, base_filters * SMALLEST // (2 * side))
