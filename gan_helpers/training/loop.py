"""What Keras' `fit` does, for several workers, with which it fails."""

import tensorflow as tf

from gan_helpers.training.replicas import mean_over_replicas


class Loop:
    """A training loop over the same `train_step`, callbacks and stream as `fit`.

    No worker may stop alone, since the others would wait for its part of the next step. So each step carries who wishes
    to stop, and all stop after the step that says so, which is the one after the wish.

    Args:
        strategy: the `tf.distribute.Strategy` that the GAN was built in.
        gan: a compiled `GAN`.

    Example:
        >>> Loop(strategy, gan).run(iter(stream), initial_epoch=0, epochs=1, steps_per_epoch=10, callbacks=[callback])
    """

    def __init__(self, strategy, gan):
        self.strategy, self.gan = strategy, gan
        self._functions, self._wishes_to_stop = {}, False

    def run(self, steps, *, initial_epoch, epochs, steps_per_epoch, callbacks, **_):
        """Trains; `gan.stop_training` is set at its end if a worker wished to stop.

        Args:
            steps: iterator of a distributed stream.
            initial_epoch: number of the first epoch.
            epochs: number after the last one.
            steps_per_epoch: steps in each, a multiple of `gan.steps_per_execution`.
            callbacks: list with one Keras callback.
            **_: what else `fit` takes is left alone.
        """
        gan, [callback] = self.gan, callbacks
        for epoch in range(initial_epoch, epochs):
            gan.reset_metrics()
            callback.on_epoch_begin(epoch)
            for number in range(0, steps_per_epoch, gan.steps_per_execution):
                callback.on_train_batch_begin(number)
                logs, wished = self._function()(steps, tf.constant(float(self._wishes_to_stop)))
                logs = {name: float(value) for name, value in logs.items()}
                callback.on_train_batch_end(number + gan.steps_per_execution - 1, logs)
                self._wishes_to_stop |= gan.stop_training
                gan.stop_training = float(wished) > 0
                if gan.stop_training:
                    break
            callback.on_epoch_end(epoch, logs)
            if gan.stop_training:
                return

    def _function(self):
        count = self.gan.steps_per_execution
        if count not in self._functions:
            self._functions[count] = self._made(count)
        return self._functions[count]

    def _made(self, count):
        def here(results):
            return tf.nest.map_structure(lambda one: self.strategy.experimental_local_results(one)[0], results)

        @tf.autograph.experimental.do_not_convert
        def step(batch):
            return self.gan.train_step(batch)

        @tf.function
        def execute(steps, wish):
            wished = self.strategy.run(lambda: mean_over_replicas(tf.identity(wish)))
            results = self.strategy.run(step, args=(next(steps),))
            for _ in tf.range(count - 1):
                results = self.strategy.run(step, args=(next(steps),))
            return here(results), here(wished)

        return execute
