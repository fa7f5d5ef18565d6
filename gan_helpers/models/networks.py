"""The networks, in plain Keras."""

import keras
from keras import layers

IMAGE_SIZES = (32, 64, 128)
ARCHITECTURES = ("dcgan", "script_32")


def generator_model(z_dim=100, *, image_size=64, base_filters=64, architecture="dcgan"):
    """A generator: latents in, pictures out.

    `"dcgan"`: a dense layer makes a 4x4 block, then each transposed convolution (4x4, stride 2) doubles the side and
    halves the channels, with batch normalisation and ReLU between, tanh at the end. The kernel's size is a multiple
    of the stride, so that every output pixel is reached by equally many inputs. Weights start from N(0, 0.02).

    `"script_32"`: the 32-pixel network of the script that this project grew from: dense, 8x8, leaky ReLU, with its
    range mended (tanh, for pictures in [-1, 1]).

    Args:
        z_dim: width of the latents. Defaults to `100`.
        image_size: side of the pictures in pixels, one of 32, 64, 128. Defaults to `64`; `"script_32"` makes 32.
        base_filters: channels of the last hidden block; the first has `base_filters * image_size / 8`.
            Defaults to `64`.
        architecture: `"dcgan"` (default) or `"script_32"`.

    Returns:
        `keras.Model` from float32 `(batch, z_dim)` to float32 `(batch, image_size, image_size, 3)` in [-1, 1].

    Raises:
        ValueError: a size, width or architecture that there is not.

    Example:
        >>> generator = generator_model(100, image_size=32, base_filters=16)
        >>> generator(keras.random.normal((4, 100))).shape
        TensorShape([4, 32, 32, 3])

    Reference: Radford, Metz, Chintala, "Unsupervised Representation Learning with Deep Convolutional Generative
    Adversarial Networks", 2015.
    """
    image_size = _checked(image_size, base_filters, architecture)
    if not isinstance(z_dim, int) or z_dim < 1:
        raise ValueError(f"expected z_dim as a whole number of at least 1; received {z_dim!r}; try 100")
    if architecture == "script_32":
        return _script_generator(z_dim, base_filters)
    filters = base_filters * image_size // 8
    inputs = x = layers.Input((z_dim,), name="latents")
    x = layers.Dense(4 * 4 * filters, use_bias=False, kernel_initializer=_initial())(x)
    x = layers.Reshape((4, 4, filters))(x)
    x = layers.ReLU()(_normalised(x))
    while filters > base_filters:
        filters //= 2
        x = layers.Conv2DTranspose(filters, 4, 2, "same", use_bias=False, kernel_initializer=_initial())(x)
        x = layers.ReLU()(_normalised(x))
    x = layers.Conv2DTranspose(3, 4, 2, "same", kernel_initializer=_initial())(x)
    return keras.Model(inputs, layers.Activation("tanh", name="images")(x), name="generator")


def discriminator_model(*, image_size=64, base_filters=64, architecture="dcgan", activation=None):
    """A discriminator: pictures in, one logit each out; above 0 means "real".

    `"dcgan"`: the generator's mirror: convolutions (4x4, stride 2) halve the side and double the channels down to
    4x4, with leaky ReLU (0.2) and batch normalisation (not after the first), then one dense unit.

    `"script_32"`: the script origin's: convolutions, leaky ReLU, dropout and a sigmoid, so it gives probabilities
    unless told otherwise; unlike there, every layer is connected.

    Args:
        image_size: side of the pictures in pixels, one of 32, 64, 128. Defaults to `64`; `"script_32"` takes 32.
        base_filters: channels of the first block; each later block doubles them. Defaults to `64`.
        architecture: `"dcgan"` (default) or `"script_32"`.
        activation: `None` (default) for logits (`"script_32"`: sigmoid), `"linear"`, or `"sigmoid"` for
            probabilities.

    Returns:
        `keras.Model` from float32 `(batch, image_size, image_size, 3)` in [-1, 1] to float32 `(batch, 1)`.

    Raises:
        ValueError: a size, width, architecture or activation that there is not.

    Example:
        >>> discriminator = discriminator_model(image_size=32, base_filters=16)
        >>> discriminator(keras.random.uniform((4, 32, 32, 3), -1, 1)).shape
        TensorShape([4, 1])

    Reference: Radford, Metz, Chintala, 2015, as above.
    """
    image_size = _checked(image_size, base_filters, architecture)
    if activation not in (None, "linear", "sigmoid"):
        raise ValueError(f"expected activation None, 'linear' or 'sigmoid'; received {activation!r}; None gives logits")
    if architecture == "script_32":
        return _script_discriminator(base_filters, activation or "sigmoid")
    filters = base_filters
    inputs = x = layers.Input((image_size, image_size, 3), name="images")
    x = layers.Conv2D(filters, 4, 2, "same", kernel_initializer=_initial())(x)
    x = layers.LeakyReLU(negative_slope=0.2)(x)
    while filters < base_filters * image_size // 8:
        filters *= 2
        x = layers.Conv2D(filters, 4, 2, "same", use_bias=False, kernel_initializer=_initial())(x)
        x = layers.LeakyReLU(negative_slope=0.2)(_normalised(x))
    x = layers.Dense(1, kernel_initializer=_initial())(layers.Flatten()(x))
    return keras.Model(inputs, layers.Activation(activation or "linear", name="logits")(x), name="discriminator")


def _script_generator(z_dim, base_filters):
    inputs = x = layers.Input((z_dim,), name="latents")
    x = layers.LeakyReLU(negative_slope=0.2)(_normalised(layers.Dense(8 * 8 * 4 * base_filters)(x)))
    x = layers.Reshape((8, 8, 4 * base_filters))(x)
    for filters in (2 * base_filters, base_filters):
        x = layers.Conv2DTranspose(filters, 4, 2, "same", use_bias=False)(x)
        x = layers.LeakyReLU(negative_slope=0.2)(_normalised(x))
    images = layers.Conv2D(3, 3, padding="same", activation="tanh", name="images")(x)
    return keras.Model(inputs, images, name="script_generator")


def _script_discriminator(base_filters, activation):
    inputs = x = layers.Input((32, 32, 3), name="images")
    for filters in (base_filters, 2 * base_filters, 4 * base_filters):
        x = layers.Conv2D(filters, 4, 2, "same")(x)
        x = layers.Dropout(0.3)(layers.LeakyReLU(negative_slope=0.2)(x))
    scores = layers.Dense(1, activation=activation, name="scores")(layers.Flatten()(x))
    return keras.Model(inputs, scores, name="script_discriminator")


def _normalised(x):
    # 0.9 follows the statistics of a network that changes at every step; Keras' 0.99 lags behind short runs.
    return layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(x)


def _initial():
    return keras.initializers.RandomNormal(0.0, 0.02)


def _checked(image_size, base_filters, architecture):
    if architecture not in ARCHITECTURES:
        raise ValueError(f"expected an architecture of {', '.join(ARCHITECTURES)}; received {architecture!r}")
    sizes = (32,) if architecture == "script_32" else IMAGE_SIZES
    if image_size not in sizes:
        near = image_size if isinstance(image_size, int | float) else 64
        raise ValueError(
            f"expected image_size {' or '.join(map(str, sizes))} for {architecture}; received {image_size!r}; "
            f"the nearest is {min(sizes, key=lambda size: abs(size - near))}"
        )
    if not isinstance(base_filters, int) or base_filters < 1:
        raise ValueError(f"expected base_filters as a whole number of at least 1; received {base_filters!r}")
    return image_size
