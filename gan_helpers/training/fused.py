"""The same network, built for speed while it trains, and back again in stock layers."""

import contextlib

import keras
import tensorflow as tf

PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")


class FusedBatchNormalization(keras.layers.BatchNormalization):
    """Batch normalisation whose training pass is one kernel, where Keras 3 makes a chain of small ones.

    Same weights, in the same order, and the same numbers up to rounding; other than Keras' layer it needs TensorFlow.
    Second derivatives, which a gradient penalty takes, are whole; Keras' leave out how the mean moves the variance.
    Inputs that are not `(batch, height, width, channels)`, inference, and a frozen layer are left to Keras' layer.
    """

    def call(self, inputs, training=None, mask=None):
        if not training or not self.trainable or len(inputs.shape) != 4 or mask is not None:
            return super().call(inputs, training=training, mask=mask)
        scale, offset = tf.cast(self.gamma, tf.float32), tf.cast(self.beta, tf.float32)
        outputs, mean, variance = tf.compat.v1.nn.fused_batch_norm(inputs, scale, offset, epsilon=self.epsilon)[:3]
        # The kernel gives the unbiased variance; Keras keeps the biased one.
        count = tf.cast(tf.size(inputs) // tf.shape(inputs)[-1], tf.float32)
        for moving, current in ((self.moving_mean, mean), (self.moving_variance, variance * (count - 1) / count)):
            moving.assign(moving * self.momentum + current * (1 - self.momentum))
        return outputs


def for_training(network, precision="float32"):
    """A copy of a network that trains faster: fused batch normalisation, and 16-bit arithmetic when asked.

    Args:
        network: a `keras.Model` of `generator_model` or `discriminator_model`.
        precision: `"float32"` (default), `"mixed_bfloat16"` or `"mixed_float16"`. With the latter two, layers compute
            with 16 bits; weights stay float32, and so does the last layer, so that images and logits keep their digits.

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
        fuses = type(layer) is keras.layers.BatchNormalization
        kind = FusedBatchNormalization if fuses else type(layer)
        return kind.from_config(layer.get_config() | {"dtype": "float32" if layer.name == last else precision})

    return _rebuilt(network, rebuild)


def stock_copy(network):
    """A copy of a network in stock Keras layers and float32, with the same weights: what is saved for others."""

    def rebuild(layer):
        fused = isinstance(layer, FusedBatchNormalization)
        kind = keras.layers.BatchNormalization if fused else type(layer)
        return kind.from_config(layer.get_config() | {"dtype": "float32"})

    return _rebuilt(network, rebuild)


@contextlib.contextmanager
def in_float32(network):
    """Within it the network computes in float32, whatever its precision: a penalty's second derivatives need it."""
    policies = [(layer, layer.dtype_policy) for layer in network.layers]
    for layer, _ in policies:
        layer.dtype_policy = "float32"
    try:
        yield
    finally:
        for layer, policy in policies:
            layer.dtype_policy = policy


def _rebuilt(network, rebuild):
    copy = keras.models.clone_model(network, clone_function=rebuild)
    copy.set_weights(network.get_weights())
    return copy
