"""The networks, in plain Keras."""

import keras
from keras import layers

from gan_helpers.models.conditional import discriminator_inputs, generator_inputs, judged
from gan_helpers.models.growing import growing_discriminator, growing_generator
from gan_helpers.models.layers import MinibatchStandardDeviation, SpectralConv2D, SpectralDense, batch_normalised
from gan_helpers.models.light import light_discriminator, light_generator
from gan_helpers.models.resnet import resnet_discriminator, resnet_generator

IMAGE_SIZES = (32, 64, 128, 256)
ARCHITECTURES = ("dcgan", "growing", "resnet", "light", "script_32")
# What each network can be normalised by; the first is its own.
G_NORMALISATIONS = {
    "dcgan": ("batch", "none"),
    "growing": ("batch",),
    "resnet": ("batch", "none"),
    "light": ("none",),
}
D_NORMALISATIONS = {
    "dcgan": ("batch", "spectral", "none"),
    "growing": ("batch",),
    "resnet": ("spectral", "batch", "none"),
    "light": ("none", "spectral"),
}


def generator_model(
    z_dim=100, *, image_size=64, base_filters=64, architecture="dcgan", normalisation=None, attributes=0
):
    """A generator: latents in, pictures out.

    `"dcgan"`: a dense layer makes a 4x4 block, then each transposed convolution (4x4, stride 2) doubles the side and
    halves the channels, with batch normalisation and ReLU between, tanh at the end. The kernel's size is a multiple
    of the stride, so that every output pixel is reached by equally many inputs. Weights start from N(0, 0.02).

    `"growing"`: `"dcgan"` as a sum over sizes. The map at 16x16 gives a picture of 32x32; each larger map gives what
    the next size adds to that picture, enlarged bilinearly: a convolution, enlarged likewise, with batch normalisation
    and ReLU at the full side, and another that begins with zeros. So the network of twice the size goes on where that
    of 32 pixels stands, see `training.growing.grow`.

    `"resnet"`: each residual block repeats the pixels and convolves twice (3x3), with batch normalisation and ReLU
    before each, beside a skip. No transposed convolution, so nothing that could make a checkerboard. With its
    discriminator, a training step takes four times as long as that of `"dcgan"` on a CPU.

    `"light"`: residual blocks of leaky ReLU and 3x3 convolutions, between them repeated pixels, no normalisation at
    all: the initial weights keep the signal in balance. Wants a gradient penalty on the discriminator; a step without
    takes twice as long as that of `"dcgan"` on a CPU.

    `"script_32"`: the 32-pixel network of the script that this project grew from: dense, 8x8, leaky ReLU, with its
    range mended (tanh, for pictures in [-1, 1]).

    Args:
        z_dim: width of the latents. Defaults to `100`.
        image_size: side of the pictures in pixels, one of 32, 64, 128, 256. Defaults to `64`; `"script_32"` makes 32.
        base_filters: channels at half of the side (in `"growing"` at 16x16, whatever the size); each halving doubles
            them, in `"dcgan"` up to 16 times, in `"resnet"` and `"light"` up to 8 times. Defaults to `64`.
        architecture: `"dcgan"` (default), `"growing"`, `"resnet"`, `"light"` or `"script_32"`.
        normalisation: `"batch"`, or `"none"`, where biases take its place. Defaults to `None`, the
            architecture's own: `"none"` for `"light"`, `"batch"` for the others.
        attributes: how many attributes a face is ordered by. Where there are any, the generator takes a list of latents
            and attributes, the latter in [-1, 1], see `generator_inputs`. Defaults to `0`.

    Returns:
        `keras.Model` from float32 `(batch, z_dim)`, or `[(batch, z_dim), (batch, attributes)]`, to float32
        `(batch, image_size, image_size, 3)` in [-1, 1], of stock Keras layers alone.

    Raises:
        ValueError: a size, width, architecture or normalisation that there is not.

    Example:
        >>> generator = generator_model(100, image_size=32, base_filters=16)
        >>> generator(keras.random.normal((4, 100))).shape
        TensorShape([4, 32, 32, 3])
        >>> conditional = generator_model(100, image_size=32, base_filters=16, attributes=2)
        >>> conditional([keras.random.normal((1, 100)), keras.ops.array([[1.0, -1.0]])]).shape
        TensorShape([1, 32, 32, 3])

    References: Radford, Metz, Chintala, "Unsupervised Representation Learning with Deep Convolutional Generative
    Adversarial Networks", 2015; `"resnet"`: Miyato et al., "Spectral Normalization for Generative Adversarial
    Networks", 2018; `"growing"` after Karras et al., "Progressive Growing of GANs for Improved Quality, Stability, and
    Variation", 2018, with the sums of Karras et al., "Analyzing and Improving the Image Quality of StyleGAN", 2020; in
    the spirit of which `"light"` is: Liu et al., "Towards Faster and Stabilized GAN Training for
    High-fidelity Few-shot Image Synthesis", 2021, and Huang et al., "The GAN is dead; long live the GAN!", 2024.
    """
    _check(image_size, base_filters, architecture, attributes)
    if not isinstance(z_dim, int) or z_dim < 1:
        raise ValueError(f"expected z_dim as a whole number of at least 1; received {z_dim!r}; try 100")
    normalisation = _own_or_checked(normalisation, architecture, "generator")
    if architecture == "script_32":
        return _script_generator(z_dim, base_filters)
    if architecture == "light":
        return light_generator(z_dim, image_size, base_filters, attributes)
    if architecture == "growing":
        return growing_generator(z_dim, image_size, base_filters, attributes)
    build = resnet_generator if architecture == "resnet" else _dcgan_generator
    return build(z_dim, image_size, base_filters, normalisation, attributes)


def discriminator_model(
    *,
    image_size=64,
    base_filters=64,
    architecture="dcgan",
    normalisation=None,
    minibatch_std=False,
    activation=None,
    attributes=0,
):
    """A discriminator: pictures in, one logit each out; above 0 means "real".

    `"dcgan"`: the generator's mirror: convolutions (4x4, stride 2) halve the side and double the channels down to
    4x4, with leaky ReLU (0.2) and batch normalisation (not after the first), then one dense unit.

    `"growing"`: `"dcgan"` that sees each size by itself: a convolution (4x4, stride 2) of the picture, and one of each
    smaller copy of it down to 32 pixels, where it is added to what the larger ones gave; the latter go through a
    batch normalisation whose gain begins at 0.

    `"resnet"`: residual blocks of ReLU and 3x3 convolutions, average pooling, spectral normalisation.

    `"light"`: one convolution (4x4, stride 2), then the light generator's mirror with slimmer residual blocks, average
    pooling between them.

    `"script_32"`: the script origin's: convolutions, leaky ReLU, dropout and a sigmoid, so it gives probabilities
    unless told otherwise; unlike there, every layer is connected.

    Args:
        image_size: side of the pictures in pixels, one of 32, 64, 128, 256. Defaults to `64`; `"script_32"` takes 32.
        base_filters: width, see `generator_model`. Defaults to `64`.
        architecture: `"dcgan"` (default), `"growing"`, `"resnet"`, `"light"` or `"script_32"`.
        normalisation: `"batch"`; `"spectral"`, every layer's kernel divided by its largest singular value, see
            `SpectralConv2D`; or `"none"`. In the latter two, biases take its place. Defaults to `None`, the
            architecture's own: `"batch"` for the first two, `"spectral"`, `"none"`.
        minibatch_std: show the last layers how much the images of a batch differ, see
            `minibatch_standard_deviation`. Defaults to `False`.
        activation: `None` (default) for logits (`"script_32"`: sigmoid), `"linear"`, or `"sigmoid"` for
            probabilities.
        attributes: how many attributes images are judged by, too. Where there are any, the discriminator takes a list
            of images and attributes, the latter in [-1, 1] and 0 where unknown, see `projection`. Defaults to `0`.

    Returns:
        `keras.Model` from float32 `(batch, image_size, image_size, 3)` in [-1, 1], or a list of that and `(batch,
        attributes)`, to float32 `(batch, 1)`.

    Raises:
        ValueError: a size, width, architecture, normalisation or activation that there is not, or that do not fit.

    Example:
        >>> discriminator = discriminator_model(image_size=32, base_filters=16)
        >>> discriminator(keras.random.uniform((4, 32, 32, 3), -1, 1)).shape
        TensorShape([4, 1])

    References: as for `generator_model`; `attributes`: Miyato and Koyama, "cGANs with Projection Discriminator", 2018;
    `minibatch_std`: Karras et al., "Progressive Growing of GANs for Improved
    Quality, Stability, and Variation", 2018.
    """
    _check(image_size, base_filters, architecture, attributes)
    if activation not in (None, "linear", "sigmoid"):
        raise ValueError(f"expected activation None, 'linear' or 'sigmoid'; received {activation!r}; None gives logits")
    normalisation = _own_or_checked(normalisation, architecture, "discriminator")
    if architecture == "script_32":
        if minibatch_std:
            raise ValueError(
                "expected minibatch_std False for script_32, which is kept as its origin made it; received True; "
                "take the architecture dcgan"
            )
        return _script_discriminator(base_filters, activation or "sigmoid")
    if architecture == "growing":
        return growing_discriminator(image_size, base_filters, minibatch_std, activation or "linear", attributes)
    builds = {"dcgan": _dcgan_discriminator, "resnet": resnet_discriminator, "light": light_discriminator}
    settings = normalisation, minibatch_std, activation or "linear", attributes
    return builds[architecture](image_size, base_filters, *settings)


def _dcgan_generator(z_dim, image_size, base_filters, normalisation, attributes):
    biased = normalisation == "none"
    side, filters = 4, _dcgan_filters(4, image_size, base_filters)
    inputs, x = generator_inputs(z_dim, attributes)
    x = layers.Dense(4 * 4 * filters, use_bias=biased, kernel_initializer=_initial())(x)
    x = layers.Reshape((4, 4, filters))(x)
    x = layers.ReLU()(_normalised(x, normalisation))
    while side < image_size // 2:
        side *= 2
        filters = _dcgan_filters(side, image_size, base_filters)
        x = layers.Conv2DTranspose(filters, 4, 2, "same", use_bias=biased, kernel_initializer=_initial())(x)
        x = layers.ReLU()(_normalised(x, normalisation))
    x = layers.Conv2DTranspose(3, 4, 2, "same", kernel_initializer=_initial())(x)
    return keras.Model(inputs, layers.Activation("tanh", name="images")(x), name="generator")


def _dcgan_discriminator(image_size, base_filters, normalisation, minibatch_std, activation, attributes):
    spectral = normalisation == "spectral"
    convolution, dense = (SpectralConv2D, SpectralDense) if spectral else (layers.Conv2D, layers.Dense)
    side, biased = image_size // 2, normalisation != "batch"
    x, given, inputs = discriminator_inputs(image_size, attributes)
    x = convolution(base_filters, 4, 2, "same", kernel_initializer=_initial())(x)
    while side > 4:
        side //= 2
        filters = _dcgan_filters(side, image_size, base_filters)
        x = layers.LeakyReLU(negative_slope=0.2)(x)
        x = convolution(filters, 4, 2, "same", use_bias=biased, kernel_initializer=_initial())(x)
        x = _normalised(x, normalisation)
    if minibatch_std:
        x = MinibatchStandardDeviation()(x)
    if (
        biased
    ):  # flat first: TensorFlow's optimiser trips over a fused bias and activation before a reshape, and says so
        x = layers.Flatten()(x)
    x = layers.LeakyReLU(negative_slope=0.2)(x)
    x = judged(x if biased else layers.Flatten()(x), given, dense, _initial())
    return keras.Model(inputs, layers.Activation(activation, name="logits")(x), name="discriminator")


def _dcgan_filters(side, image_size, base_filters):
    return base_filters * min(16, image_size // (2 * side))


def _script_generator(z_dim, base_filters):
    inputs = x = layers.Input((z_dim,), name="latents")
    x = layers.LeakyReLU(negative_slope=0.2)(batch_normalised(layers.Dense(8 * 8 * 4 * base_filters)(x)))
    x = layers.Reshape((8, 8, 4 * base_filters))(x)
    for filters in (2 * base_filters, base_filters):
        x = layers.Conv2DTranspose(filters, 4, 2, "same", use_bias=False)(x)
        x = layers.LeakyReLU(negative_slope=0.2)(batch_normalised(x))
    images = layers.Conv2D(3, 3, padding="same", activation="tanh", name="images")(x)
    return keras.Model(inputs, images, name="script_generator")


def _script_discriminator(base_filters, activation):
    inputs = x = layers.Input((32, 32, 3), name="images")
    for filters in (base_filters, 2 * base_filters, 4 * base_filters):
        x = layers.Conv2D(filters, 4, 2, "same")(x)
        x = layers.Dropout(0.3)(layers.LeakyReLU(negative_slope=0.2)(x))
    scores = layers.Dense(1, activation=activation, name="scores")(layers.Flatten()(x))
    return keras.Model(inputs, scores, name="script_discriminator")


def _normalised(x, normalisation):
    return batch_normalised(x) if normalisation == "batch" else x


def _initial():
    return keras.initializers.RandomNormal(0.0, 0.02)


def _check(image_size, base_filters, architecture, attributes):
    if architecture not in ARCHITECTURES:
        raise ValueError(
            f"expected an architecture of {', '.join(ARCHITECTURES)}; received {architecture!r}; leave it out for dcgan"
        )
    sizes = (32,) if architecture == "script_32" else IMAGE_SIZES
    if image_size not in sizes:
        near = image_size if isinstance(image_size, int | float) else 64
        raise ValueError(
            f"expected image_size {' or '.join(map(str, sizes))} for {architecture}; received {image_size!r}; "
            f"the nearest is {min(sizes, key=lambda size: abs(size - near))}"
        )
    if not isinstance(base_filters, int) or base_filters < 1:
        raise ValueError(
            f"expected base_filters as a whole number of at least 1; received {base_filters!r}; try 32 or 64"
        )
    if not isinstance(attributes, int) or attributes < 0:
        raise ValueError(
            f"expected attributes as a whole number of at least 0; received {attributes!r}; give how many there are"
        )
    if attributes and architecture == "script_32":
        raise ValueError(
            f"expected attributes 0 for script_32, which is kept as its origin made it; received {attributes}; "
            "take the architecture dcgan"
        )


def _own_or_checked(normalisation, architecture, network):
    """The normalisation asked for, where the network can have it, or the architecture's own."""
    choices = (G_NORMALISATIONS if network == "generator" else D_NORMALISATIONS).get(architecture, ())
    if normalisation is None:
        return choices[0] if choices else None
    if normalisation in choices:
        return normalisation
    if architecture == "script_32":
        reason = "it is kept as its origin made it"
    elif architecture == "growing":
        reason = "what a larger size adds begins at a normalisation's gain of 0"
    elif normalisation == "spectral":
        reason = "spectral normalisation keeps a discriminator from being steep, and a generator may be"
    elif architecture == "light":
        reason = "it is made to do without statistics of the batch: its initial weights keep signals in balance"
    else:
        reason = "there is no other"
    names = " or ".join(repr(name) for name in (None, *choices))
    raise ValueError(
        f"expected normalisation {names} for the {network} of {architecture} ({reason}); received {normalisation!r}; "
        "leave it out, or take another architecture"
    )
