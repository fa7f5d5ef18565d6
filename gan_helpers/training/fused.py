"""The same network, built for speed while it trains, and back again in stock layers."""

import contextlib

import keras
import tensorflow as tf

from gan_helpers.models.layers import SpectralConv2D
from gan_helpers.training.replicas import mean_over_replicas, replica_count

PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
_HELD = {}  # networks that are in float32 for a while: the precision of their layers, once for each who holds them


class FusedBatchNormalization(keras.layers.BatchNormalization):
    """Batch normalisation whose training pass is one kernel, where Keras 3 makes a chain of small ones.

    Same weights, in the same order, and the same numbers up to rounding; other than Keras' layer it needs TensorFlow.
    Second derivatives, which a gradient penalty takes, are whole; Keras' leave out how the mean moves the variance.
    Inputs that are not `(batch, height, width, channels)`, inference, and a frozen layer are left to Keras' layer.

    With `synchronized=True`, as Keras calls it, replicas of a step share their statistics: those of the global batch.
    """

    def call(self, inputs, training=None, mask=None):
        if not training or not self.trainable or len(inputs.shape) != 4 or mask is not None:
            return super().call(inputs, training=training, mask=mask)
        scale, offset = tf.cast(self.gamma, tf.float32), tf.cast(self.beta, tf.float32)
        if self.synchronized and replica_count() > 1:
            return self._of_all_replicas(inputs, scale, offset)
        outputs, mean, variance = tf.compat.v1.nn.fused_batch_norm(inputs, scale, offset, epsilon=self.epsilon)[:3]
        # The kernel gives the unbiased variance; Keras keeps the biased one.
        count = tf.cast(tf.size(inputs) // tf.shape(inputs)[-1], tf.float32)
        self._move(mean, variance * (count - 1) / count)
        return outputs

    def _of_all_replicas(self, inputs, scale, offset):
        """One exchange of sums of values and squares, around a mean of before, so that few digits cancel."""
        around = tf.stop_gradient(tf.convert_to_tensor(self.moving_mean))
        moved = tf.cast(inputs, tf.float32) - around
        sums = tf.stack([tf.reduce_mean(moved, (0, 1, 2)), tf.reduce_mean(tf.square(moved), (0, 1, 2))])
        mean, square = tf.unstack(mean_over_replicas(sums))
        variance = square - tf.square(mean)
        outputs = tf.nn.batch_normalization(moved, mean, variance, offset, scale, self.epsilon)
        self._move(mean + around, variance)
        return tf.cast(outputs, inputs.dtype)

    def _move(self, mean, variance):
        for moving, current in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving * self.momentum + current * (1 - self.momentum))


@tf.custom_gradient
def halving_convolution(images, kernel):
    """`conv2d` by a 4x4 kernel with stride 2, "SAME", on even sides, whose kernel's gradient is by matrix products.

    The convolution's own kernel for that gradient reaches a third of the speed of a matrix product in bfloat16 on a
    processor, where pictures are small and channels many; it was two fifths of a step's time.
    """

    def gradient(upstream):
        sizes, _ = tf.raw_ops.ShapeN(
            input=[images, kernel]
        )  # after `tf.shape`, TensorFlow's optimiser trips and says so
        towards_images = tf.nn.conv2d_transpose(upstream, kernel, sizes, 2, "SAME")
        return towards_images, _kernel_gradient(images, upstream)

    return tf.nn.conv2d(images, kernel, 2, "SAME"), gradient


@tf.custom_gradient
def doubling_convolution(images, kernel):
    """`conv2d_transpose` by a 4x4 kernel with stride 2, "SAME": `halving_convolution` the other way round."""

    def gradient(upstream):
        return tf.nn.conv2d(upstream, kernel, 2, "SAME"), _kernel_gradient(upstream, images)

    batch, height, width, _ = tf.unstack(tf.shape(images))
    sizes = tf.stack([batch, 2 * height, 2 * width, kernel.shape[2]])
    return tf.nn.conv2d_transpose(images, kernel, sizes, 2, "SAME"), gradient


def _kernel_gradient(large, small):
    """Gradient of a 4x4 stride-2 kernel between maps of one side and of half of it: four matrix products.

    With each 2x2 block of the larger map folded into its channels, the kernel is 2x2 blocks with stride 1, and each of
    those meets the smaller map in one product.
    """
    height, width, from_channels, to_channels = *small.shape[1:3], large.shape[3], small.shape[3]
    folded = tf.nn.space_to_depth(tf.pad(large, [[0, 0], [1, 1], [1, 1], [0, 0]]), 2)
    small = tf.reshape(small, (-1, to_channels))
    places = [folded[:, i : i + height, j : j + width] for i in (0, 1) for j in (0, 1)]
    blocks = [tf.matmul(tf.reshape(p, (-1, 4 * from_channels)), small, transpose_a=True) for p in places]
    blocks = tf.reshape(tf.stack(blocks), (2, 2, 2, 2, from_channels, to_channels))  # place, then where in the block
    return tf.reshape(tf.transpose(blocks, (0, 2, 1, 3, 4, 5)), (4, 4, from_channels, to_channels))


def _by_products(layer, side, channels):
    """Whether matrix products are the faster gradient for a layer whose larger map has this side and these channels."""
    fits = layer.kernel_size == (4, 4) and layer.strides == (2, 2) and layer.padding == "same"
    plain = layer.dilation_rate in (1, (1, 1)) and layer.data_format == "channels_last" and side % 2 == 0
    pays = layer.compute_dtype == "bfloat16" and 4 * side <= channels
    return fits and plain and pays and not tf.config.list_physical_devices("GPU")


class FusedConv2D(keras.layers.Conv2D):
    """`Conv2D` that takes `halving_convolution` where that is faster: bfloat16 on a processor. Same weights."""

    def convolution_op(self, inputs, kernel):
        if self.groups == 1 and _by_products(self, max(inputs.shape[1:3]), inputs.shape[3]):
            return halving_convolution(inputs, tf.convert_to_tensor(kernel))
        return super().convolution_op(inputs, kernel)


class FusedSpectralConv2D(FusedConv2D, SpectralConv2D):
    """`SpectralConv2D` likewise."""


class FusedConv2DTranspose(keras.layers.Conv2DTranspose):
    """`Conv2DTranspose` that takes `doubling_convolution` where that is faster, likewise."""

    def call(self, inputs):
        plain = self.output_padding is None and self.activation is keras.activations.linear and not self.use_bias
        if plain and _by_products(self, 2 * max(inputs.shape[1:3]), self.filters):
            return doubling_convolution(inputs, tf.convert_to_tensor(self.kernel))
        return super().call(inputs)


class FusedAdam(keras.optimizers.Adam):
    """Adam whose update of a weight is one kernel, where Keras' is a chain of a dozen; the same slots and numbers."""

    def update_step(self, gradient, variable, learning_rate):
        if self.amsgrad:
            return super().update_step(gradient, variable, learning_rate)
        index, step = self._get_variable_index(variable), tf.cast(self.iterations + 1, tf.float32)
        tf.raw_ops.ResourceApplyAdam(
            var=_handle(variable),
            m=_handle(self._momentums[index]),
            v=_handle(self._velocities[index]),
            beta1_power=tf.pow(self.beta_1, step),
            beta2_power=tf.pow(self.beta_2, step),
            lr=tf.cast(learning_rate, tf.float32),
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=tf.cast(gradient, tf.float32),
        )


def _handle(variable):
    """The resource behind a Keras or a TensorFlow variable; optimizers are given either."""
    return (variable if isinstance(variable, tf.Variable) else variable.value).handle


FUSED = {
    keras.layers.BatchNormalization: FusedBatchNormalization,
    keras.layers.Conv2D: FusedConv2D,
    SpectralConv2D: FusedSpectralConv2D,
    keras.layers.Conv2DTranspose: FusedConv2DTranspose,
}


def for_training(network, precision="float32", synchronised=False):
    """A copy of a network that trains faster: fused layers, and 16-bit arithmetic when asked.

    Args:
        network: a `keras.Model` of `generator_model` or `discriminator_model`.
        precision: `"float32"` (default), `"mixed_bfloat16"` or `"mixed_float16"`. With the latter two, layers compute
            with 16 bits; weights stay float32, and so does the last layer, so that images and logits keep their digits,
            and what enlarges maps smoothly.
        synchronised: batch normalisation over the global batch of all replicas of `tf.distribute`, not each replica's
            part of it. Costs an exchange a layer and pass. Defaults to `False`.

    Returns:
        A `keras.Model` with the same weights in the same order; `stock_copy` turns it back.

    Raises:
        ValueError: a precision that there is not.

    Reference: Micikevicius et al., "Mixed Precision Training", 2018.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"expected a precision of {', '.join(PRECISIONS)}; received {precision!r}")
    last = network.layers[-1].name

    def rebuild(layer):
        kind = FUSED.get(type(layer), type(layer))
        # XLA makes the gradient of a bilinear enlargement in float32 alone.
        whole = layer.name == last or getattr(layer, "interpolation", None) == "bilinear"
        changes = {"dtype": "float32" if whole else precision}
        if kind is FusedBatchNormalization:
            changes["synchronized"] = synchronised
        return kind.from_config(layer.get_config() | changes)

    return _rebuilt(network, rebuild)


def stock_copy(network):
    """A copy of a network in the layers it was built of and float32, with the same weights: what is saved for others.

    For generators, and for most discriminators, those are stock Keras layers. Spectral normalisation and the
    minibatch's standard deviation, which only discriminators have, stay what they are.
    """

    stock = {fused: kind for kind, fused in FUSED.items()}

    def rebuild(layer):
        kind = stock.get(type(layer), type(layer))
        changes = {"dtype": "float32"}
        if isinstance(layer, FusedBatchNormalization):
            changes["synchronized"] = False
        return kind.from_config(layer.get_config() | changes)

    return _rebuilt(network, rebuild)


@contextlib.contextmanager
def in_float32(network):
    """Within it the network computes in float32, whatever its precision: a penalty's second derivatives need it.

    Threads that trace replicas may be within it at once; the last one to leave gives layers their precision back.
    """
    held = _HELD.setdefault(id(network), [])
    held.append([(layer, layer.dtype_policy) for layer in network.layers])
    for layer in network.layers:
        layer.dtype_policy = "float32"
    try:
        yield
    finally:
        policies = held.pop()  # in the end those of who came first
        if not held:
            del _HELD[id(network)]
            for layer, policy in policies:
                layer.dtype_policy = policy


def _rebuilt(network, rebuild):
    copy = keras.models.clone_model(network, clone_function=rebuild)
    copy.set_weights(network.get_weights())
    return copy
