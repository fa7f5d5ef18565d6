"""Light networks without any batch normalisation: residual blocks that start in balance."""

import keras
from keras import layers

from gan_helpers.models.conditional import discriminator_inputs, generator_inputs, judged
from gan_helpers.models.layers import MinibatchStandardDeviation, SpectralConv2D, SpectralDense

# A leaky ReLU leaves a share of (1 + 0.2^2) / 2 of the mean square; weights of this over their number of inputs as
# variance, after it, bring it back to 1.
BALANCED = 2 / (1 + 0.2**2)


def light_generator(z_dim, image_size, base_filters, attributes=0):
    sides = _sides(image_size)
    inputs, x = generator_inputs(z_dim, attributes)
    x = layers.Dense(4 * 4 * _filters(4, image_size, base_filters), kernel_initializer=_initial(1))(x)
    x = layers.Reshape((4, 4, -1))(x)
    for side in sides:
        if side > 4:
            x = _projected(x, _filters(side, image_size, base_filters), layers.Conv2D)
            x = layers.UpSampling2D()(x)
        x = _residual_block(x, len(sides), layers.Conv2D, x.shape[-1])
    x = layers.Conv2D(3, 3, padding="same", kernel_initializer=_initial(BALANCED / 4))(_activated(x))
    return keras.Model(inputs, layers.Activation("tanh", name="images")(x), name="generator")


def light_discriminator(image_size, base_filters, normalisation, minibatch_std, activation, attributes=0):
    spectral = normalisation == "spectral"
    convolution, dense = (SpectralConv2D, SpectralDense) if spectral else (layers.Conv2D, layers.Dense)
    sides = _sides(image_size // 2)[::-1]
    x, given, inputs = discriminator_inputs(image_size, attributes)
    x = convolution(base_filters, 4, 2, "same", kernel_initializer=_initial(1))(x)
    for side in sides:
        if side < image_size // 2:
            x = _projected(layers.AveragePooling2D(2)(x), _filters(side, image_size, base_filters), convolution)
        # Half the channels within: at each step the discriminator has three passes, the generator one.
        x = _residual_block(x, len(sides), convolution, max(1, x.shape[-1] // 2))
    x = _activated(x)
    if minibatch_std:
        x = MinibatchStandardDeviation()(x)
    x = judged(layers.Flatten()(x), given, dense, _initial(BALANCED))
    return keras.Model(inputs, layers.Activation(activation, name="logits")(x), name="discriminator")


def _residual_block(x, blocks, convolution, between):
    # The branch begins with 1 / blocks of its input's variance. Added to it, block after block, the variance grows by
    # (1 + 1 / blocks)^blocks < e, however deep the network; with whole branches it would by 2^blocks.
    filters = x.shape[-1]
    branch = convolution(between, 3, padding="same", kernel_initializer=_initial(BALANCED))(_activated(x))
    # Without a bias: the sum has its inputs', and with one TensorFlow's optimiser trips over the fused sum and says so.
    last = convolution(filters, 3, padding="same", use_bias=False, kernel_initializer=_initial(BALANCED / blocks))
    return layers.Add()([x, last(_activated(branch))])


def _projected(x, filters, convolution):
    return x if x.shape[-1] == filters else convolution(filters, 1, kernel_initializer=_initial(1))(x)


def _activated(x):
    return layers.LeakyReLU(negative_slope=0.2)(x)


def _initial(scale):
    return keras.initializers.VarianceScaling(scale, "fan_in", "untruncated_normal")


def _sides(image_size):
    return [side for side in (4, 8, 16, 32, 64, 128, 256) if side <= image_size]


def _filters(side, image_size, base_filters):
    """Half of `base_filters` at the full side, twice as many at each halving, up to 8 times `base_filters`."""
    return max(1, min(16, image_size // side) * base_filters // 2)
