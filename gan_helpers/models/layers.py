"""Layers that discriminators are made of beside Keras' own: spectral normalisation, minibatch standard deviation."""

import keras
from keras import ops

SMALL = 1e-12


def largest_singular_value(kernel, vector):
    """The largest singular value of a kernel, by one power iteration.

    The kernel is read as the matrix `W` with a row for each input of a filter and a column for each filter. With
    `u = W v / |W v|` and `v' = W^T u / |W^T u|`, the value is `sigma = u^T W v'`, at most the true one, and nearer to
    it after each iteration. No gradient flows into `u` and `v'`, so that the gradient of `sigma` is `u v'^T`, which is
    that of the singular value where they have converged.

    Args:
        kernel: float `(..., filters)`.
        vector: float32 `(filters,)` of length 1: `v`, the guess to begin with.

    Returns:
        `sigma`, a float32 scalar above 0, and the better guess `v'`, float32 `(filters,)`.

    Example:
        >>> sigma, _ = largest_singular_value(ops.diag([3.0, 1.0]), ops.array([1.0, 0.0]))
        >>> float(sigma)
        3.0

    Reference: Miyato et al., "Spectral Normalization for Generative Adversarial Networks", 2018.
    """
    matrix = ops.cast(ops.reshape(kernel, (-1, kernel.shape[-1])), "float32")
    held = ops.stop_gradient(matrix)
    left = _of_length_one(ops.matmul(held, vector))
    towards = ops.matmul(left, held)
    # A matrix of zeros has no direction; the old one stays, or the vector would be zero for ever.
    right = ops.where(ops.sum(ops.square(towards)) > SMALL**2, _of_length_one(towards), vector)
    sigma = ops.sum(left * ops.matmul(matrix, ops.stop_gradient(right)))
    return ops.maximum(sigma, SMALL), ops.stop_gradient(right)


class _Spectral:
    """What both spectral layers have: the vector, and the kernel divided by the singular value."""

    def build(self, input_shape):
        super().build(input_shape)
        size = self.kernel.shape[-1]
        initial = keras.initializers.RandomNormal(0.0, size**-0.5)
        self.vector = self.add_weight(
            name="vector", shape=(size,), initializer=initial, dtype="float32", trainable=False
        )

    def add_weight(self, *arguments, **named):
        return super().add_weight(*arguments, **named | {"autocast": False})  # sigma is for float32; `call` casts

    def divided_kernel(self, training):
        sigma, vector = largest_singular_value(self.kernel, self.vector)
        if training and self.trainable:
            self.vector.assign(vector)
        return ops.cast(ops.cast(self.kernel, "float32") / sigma, self.compute_dtype)

    def save_own_variables(self, store):
        keras.layers.Layer.save_own_variables(self, store)  # Keras' layers would save a kernel and a bias alone

    def load_own_variables(self, store):
        keras.layers.Layer.load_own_variables(self, store)


@keras.saving.register_keras_serializable("gan_helpers")
class SpectralConv2D(_Spectral, keras.layers.Conv2D):
    """`Conv2D` whose kernel is divided by its largest singular value: no step can make the layer steep.

    The value is followed by one power iteration at each call with `training=True`, see `largest_singular_value`; the
    vector of that iteration is a weight that is not trained. In inference, and where the layer is frozen, it stays.
    The value is computed in float32 in any precision. Arguments are those of `keras.layers.Conv2D`.

    `keras.layers.SpectralNormalization` divides the variable itself and assigns it back, at each call. The gradient
    is then taken at the divided kernel and knows nothing of the division, and what a step adds to the kernel's length
    is thrown away at the next call, while the optimizer's moments count it. Here the kernel stays what the optimizer
    made of it, and the gradient flows through the division.

    Example:
        >>> SpectralConv2D(8, 3, padding="same")(keras.random.normal((2, 16, 16, 3))).shape
        TensorShape([2, 16, 16, 8])

    Reference: Miyato et al., "Spectral Normalization for Generative Adversarial Networks", 2018.
    """

    def call(self, inputs, training=False):
        outputs = self.convolution_op(inputs, self.divided_kernel(training))
        if self.use_bias:
            shape = (1, 1, 1, self.filters) if self.data_format == "channels_last" else (1, self.filters, 1, 1)
            outputs = ops.add(outputs, ops.cast(ops.reshape(self.bias, shape), self.compute_dtype))
        return self.activation(outputs)


@keras.saving.register_keras_serializable("gan_helpers")
class SpectralDense(_Spectral, keras.layers.Dense):
    """`Dense` whose kernel is divided by its largest singular value, as in `SpectralConv2D`.

    Example:
        >>> SpectralDense(1)(keras.random.normal((2, 16))).shape
        TensorShape([2, 1])
    """

    def call(self, inputs, training=False):
        outputs = ops.matmul(inputs, self.divided_kernel(training))
        if self.use_bias:
            outputs = outputs + ops.cast(self.bias, self.compute_dtype)
        return self.activation(outputs)


def minibatch_standard_deviation(features, group_size=4):
    """How much the images of a batch differ, as one more channel: a discriminator can then see that all are alike.

    Image `i` is in a group with images `i + n`, `i + 2 n`, …, where `n` is the number of groups. The standard
    deviation over a group is taken for each place and channel, `sqrt(variance + 1e-8)`, and its mean, one number, fills
    the new channel of all of the group's images. A generator that makes one face again and again has a number near 0.

    Args:
        features: float `(batch, height, width, channels)`. The variance is computed in float32.
        group_size: images in a group, at least 1. Where it does not divide the batch, its largest divisor below is
            taken, at the worst 1, whose deviation is 0. Defaults to `4`.

    Returns:
        `(batch, height, width, channels + 1)`, of the dtype of `features`.

    Reference: Karras et al., "Progressive Growing of GANs for Improved Quality, Stability, and Variation", 2018.
    """
    batch, height, width, channels = ops.shape(features)
    group = _largest_divisor(batch, group_size)
    groups = ops.reshape(ops.cast(features, "float32"), (group, -1, height, width, channels))
    variance = ops.mean(ops.square(groups - ops.mean(groups, axis=0, keepdims=True)), axis=0)
    deviation = ops.mean(ops.sqrt(variance + 1e-8), axis=(1, 2, 3))  # without 1e-8 the gradient at 0 is infinite
    deviation = ops.reshape(ops.cast(deviation, features.dtype), (1, -1, 1, 1, 1))
    channel = deviation * ops.ones((group, 1, height, width, 1), features.dtype)
    return ops.concatenate([features, ops.reshape(channel, (-1, height, width, 1))], axis=-1)


@keras.saving.register_keras_serializable("gan_helpers")
class MinibatchStandardDeviation(keras.layers.Layer):
    """`minibatch_standard_deviation` as a layer.

    Args:
        group_size: images in a group, at least 1. Defaults to `4`.

    Raises:
        ValueError: a group without images.

    Example:
        >>> MinibatchStandardDeviation()(keras.random.normal((8, 4, 4, 32))).shape
        TensorShape([8, 4, 4, 33])
    """

    def __init__(self, group_size=4, **arguments):
        super().__init__(**arguments)
        if not isinstance(group_size, int) or group_size < 1:
            raise ValueError(f"expected group_size as a whole number of at least 1; received {group_size!r}; try 4")
        self.group_size = group_size

    def call(self, features):
        return minibatch_standard_deviation(features, self.group_size)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], input_shape[-1] + 1)

    def get_config(self):
        return super().get_config() | {"group_size": self.group_size}


def batch_normalised(x, **arguments):
    # 0.9 follows the statistics of a network that changes at every step; Keras' 0.99 lags behind short runs.
    return keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5, **arguments)(x)


def _of_length_one(vector):
    return vector / ops.maximum(ops.sqrt(ops.sum(ops.square(vector))), SMALL)


def _largest_divisor(number, limit):
    """The largest divisor of a number up to a limit, an `int` where the number is one, else a tensor."""
    if isinstance(number, int):
        return max(divisor for divisor in range(1, limit + 1) if number % divisor == 0)
    candidates = ops.arange(1, limit + 1, dtype="int32")
    return ops.max(ops.where(ops.equal(ops.cast(number, "int32") % candidates, 0), candidates, 1))
