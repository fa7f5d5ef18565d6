"""A replica's part in a step that several devices share, so that together they make the step that one would make.

Each replica takes a slice of the global batch. Everything random is drawn for the global batch and then sliced, so that
no replica repeats another, and gradients are means over the global batch. With one replica, or outside of
`tf.distribute`, all functions here hand back what they were given.
"""

import keras
import tensorflow as tf


def replica_count():
    """How many replicas make a step together, an `int`; 1 without `tf.distribute`."""
    return tf.distribute.get_strategy().num_replicas_in_sync


def drawn(draw, shape, *arguments):
    """This replica's slice of random numbers that are drawn for the global batch.

    That every replica draws all of them costs less than a thousandth of a step and no exchange.

    Args:
        draw: function of a shape and `arguments`, such as `tf.random.stateless_normal`.
        shape: shape for this replica; the first entry counts its images.
        *arguments: passed on to `draw`.

    Returns:
        A tensor of that shape.

    Example:
        >>> latents = drawn(tf.random.stateless_normal, (32, 100), [seed, step])
    """
    if replica_count() == 1:
        return draw(shape, *arguments)
    return _own(draw((shape[0] * replica_count(), *shape[1:]), *arguments), shape[0])


def mean_over_replicas(value):
    """The mean of a tensor over all replicas; gradients flow through it, of any order."""
    if replica_count() == 1:
        return value
    return _context().all_reduce(tf.distribute.ReduceOp.SUM, value) / replica_count()


def together(rows):
    """The rows of all replicas, in their order: float32 `(replicas * count, …)` of each replica's `(count, …)`.

    A sum of arrays in which each replica fills its own place, since a gathering would first exchange shapes.
    """
    count = replica_count()
    if count == 1:
        return rows
    number, size = _context().replica_id_in_sync_group, tf.shape(rows)[0]
    around = [[number * size, (count - 1 - number) * size], *[[0, 0]] * (len(rows.shape) - 1)]
    return _context().all_reduce(tf.distribute.ReduceOp.SUM, tf.pad(rows, around))


def neighbours(rows):
    """Each image's row, moved to the next image of the global batch; the last one's goes to the first."""
    moved = tf.roll(together(rows), 1, axis=0)
    return moved if replica_count() == 1 else _own(moved, tf.shape(rows)[0])


def results_of_all(results):
    """The scalars of a step over the global batch, in one exchange.

    Args:
        results: `dict` of float scalars of this replica, each a mean over its images, or where its name ends in `_low`
            or `_high` the least or the greatest.

    Returns:
        The same `dict`, of the global batch.
    """
    if replica_count() == 1:
        return results
    rows = together(tf.stack([tf.cast(value, tf.float32) for value in results.values()])[None])
    kinds = {"_low": tf.reduce_min, "high": tf.reduce_max}
    return {name: kinds.get(name[-4:], tf.reduce_mean)(rows[:, n]) for n, name in enumerate(results)}


def apply_mean(optimizer, gradients, weights):
    """Updates weights by the mean of all replicas' gradients, and returns that mean.

    Keras' optimizers sum gradients over replicas, after clipping each replica's by itself. The mean is taken here
    before, so that clipping, and the search for values that are not finite, see what one device would see.

    Args:
        optimizer: a Keras optimizer.
        gradients: list of this replica's gradients, each of a mean over its images.
        weights: the weights that they belong to.

    Returns:
        The gradients of the mean over the global batch, a list.
    """
    if replica_count() > 1:
        summed = _context().all_reduce(tf.distribute.ReduceOp.SUM, list(gradients))
        gradients = [gradient / replica_count() for gradient in summed]
        getattr(optimizer, "inner_optimizer", optimizer)._all_reduce_sum_gradients = list  # they are summed already
    optimizer.apply(gradients, weights)
    return gradients


def in_step():
    """Lets all replicas of this process come to the same place before one goes on.

    They are traced by threads that take turns at each exchange. Where one changes what they share, such as the
    precision of layers, the others must be neither before nor after it.
    """
    if replica_count() > 1:
        _context().merge_call(lambda strategy: None)


class SharedLossScale(keras.optimizers.LossScaleOptimizer):
    """Keras' `LossScaleOptimizer`, whose scale several replicas share.

    Keras' own assigns the scale within a condition within a replica, which `tf.distribute` refuses. Here the condition
    stands around the replicas, and the scale moves by arithmetic; the numbers are the same.
    """

    def _tf_apply(self, grads, trainable_variables=None):
        if replica_count() == 1:
            return super()._tf_apply(grads, trainable_variables)
        unscaled = [gradient / tf.convert_to_tensor(self.dynamic_scale) for gradient in grads]
        finite = tf.reduce_all([tf.reduce_all(tf.math.is_finite(gradient)) for gradient in grads])
        _context().merge_call(self._apply_when_finite, args=(finite, unscaled, trainable_variables))

    def _apply_when_finite(self, strategy, finite, gradients, weights):
        finite = strategy.experimental_local_results(finite)[0]  # of the mean, so that all know the same

        def apply():
            strategy.extended.call_for_each_replica(self.inner_optimizer.apply, args=(gradients, weights))

        tf.cond(finite, apply, lambda: None)
        steps, scale = tf.convert_to_tensor(self.step_counter), tf.convert_to_tensor(self.dynamic_scale)
        grown = finite & tf.equal(steps, self.dynamic_growth_steps - 1)
        self.step_counter.assign(tf.where(finite & ~grown, steps + 1, 0))
        self.dynamic_scale.assign(tf.where(finite, tf.where(grown, scale * 2.0, scale), scale * 0.5))


def _own(rows, size):
    """This replica's slice of what all replicas have rows of."""
    return rows[_context().replica_id_in_sync_group * size :][:size]


def _context():
    context = tf.distribute.get_replica_context()
    if context is None:
        raise RuntimeError("expected a replica of tf.distribute; received the code around them; use strategy.run")
    return context
