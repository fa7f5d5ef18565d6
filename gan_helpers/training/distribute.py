"""Over which devices a training goes: one, all of a machine, or those of several machines, by `tf.distribute`."""

import contextlib
import functools

import tensorflow as tf

from gan_helpers.training.gan import has_layer
from gan_helpers.training.loop import Loop
from gan_helpers.training.meeting import Meeting

KINDS = ("mirrored", "multiworker")
GONE = tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError, tf.errors.DeadlineExceededError


def open_devices(distribute=None):
    """The devices of a training.

    Args:
        distribute: `None` for one device; `"mirrored"` for all GPUs of this machine, or where there are none all
            processors that TensorFlow was told of (one); `"multiworker"` for those of all machines that `TF_CONFIG`
            names, or the `Meeting` where their workers met already. TensorFlow must not have computed yet then.

    Returns:
        `Devices`.

    Raises:
        ValueError: another word, workers that do not meet (see `Meeting`), or TensorFlow has computed.

    Example:
        >>> open_devices("mirrored").replicas
        8
    """
    if distribute is None:
        return Devices()
    if distribute == "mirrored":
        return Devices(tf.distribute.MirroredStrategy())
    if distribute == "multiworker" or isinstance(distribute, Meeting):
        meeting = Meeting() if distribute == "multiworker" else distribute
        meeting.exchange(None, lambda _: None)  # TensorFlow waits for ever for one who has gone meanwhile
        try:
            return Devices(tf.distribute.MultiWorkerMirroredStrategy(), meeting)
        except RuntimeError as error:
            meeting.close()
            raise ValueError(
                "expected several workers to be asked for before TensorFlow computes anything; received a process in "
                f"which it has, or whose cluster failed ({error}); start a new one, and train first"
            ) from error
    raise ValueError(f"expected distribute as None or one of {', '.join(KINDS)}; received {distribute!r}")


class Devices:
    """What differs in a training by where it takes place; with no strategy nothing does.

    Args:
        strategy: a `tf.distribute.Strategy`, or `None`.
        meeting: the `Meeting` of several workers, or `None`.

    Attributes:
        replicas: devices that make a step together, each with a slice of the global batch.
        first: whether this process writes the run; of several workers one does.
    """

    def __init__(self, strategy=None, meeting=None):
        self.strategy, self.meeting = strategy, meeting
        self.replicas = 1 if strategy is None else strategy.num_replicas_in_sync
        self.first = meeting is None or meeting.index == 0
        self._loop = None

    def check(self, gan, batch_size):
        """Refuses what several replicas cannot share.

        Args:
            gan: a compiled `GAN`.
            batch_size: images in a step, of all replicas together.

        Raises:
            ValueError: a batch that does not divide, or networks whose replicas would repeat each other.
        """
        if self.replicas == 1:
            return
        if batch_size % self.replicas:
            near = max(1, round(batch_size / self.replicas)) * self.replicas
            raise ValueError(
                f"expected a batch that {self.replicas} replicas can share evenly; received {batch_size} images; try "
                f"--batch-size {near}"
            )
        for network in (gan.generator, gan.discriminator):
            if has_layer(network, "Dropout"):
                raise ValueError(
                    f"expected networks without dropout for {self.replicas} replicas, which would all leave out the "
                    f"same; received a {network.name} with it; take another architecture, or one device"
                )

    def plan(self, steps, minutes):
        """Refuses a length that would have to be measured, which is done on one device.

        Args:
            steps: planned steps, or `None` where only minutes are given.
            minutes: the minutes.

        Raises:
            ValueError: there are none, and there is more than one device.
        """
        if self.strategy is not None and not steps:
            raise ValueError(
                f"expected epochs for a recipe that depends on its length, on more than one device; received {minutes} "
                "minutes, whose steps are only measured on one; give --epochs (and --minutes too, if you like)"
            )

    @contextlib.contextmanager
    def scope(self):
        """Where a `GAN` is to be built, so that each replica has a copy of its variables."""

        # What a replica assigns, all have computed alike, or else the first one's counts. Keras says that of a few of
        # its variables only, and TensorFlow refuses the others.
        def create(next_creator, **arguments):
            return next_creator(**arguments | {"aggregation": tf.VariableAggregation.ONLY_FIRST_REPLICA})

        if self.strategy is None:
            yield
            return
        with self.strategy.scope(), tf.variable_creator_scope(create):
            yield

    def stream(self, batches):
        """A stream of batches for all replicas.

        Args:
            batches: function as `face_batches` with `start_step`, `parts` and `part` left open.

        Returns:
            A function of `start_step`, which gives the stream from there.
        """
        if self.strategy is None:
            return batches

        def of_all(start_step):
            return self.strategy.distribute_datasets_from_function(lambda context: of_worker(context, start_step))

        def of_worker(context, start_step):
            workers, here = context.num_input_pipelines, self.replicas // context.num_input_pipelines
            own = batches(start_step=start_step, parts=workers, part=context.input_pipeline_id)

            def split(*rows):
                parts = [tf.reshape(one, (here, one.shape[0] // here, *one.shape[1:])) for one in rows]
                return tuple(parts) if len(parts) > 1 else parts[0]

            own = own.map(split).unbatch()  # one element for each replica of this worker, in their order
            # It has no end: else workers would ask each other before each step whether all have a batch left.
            return own.apply(tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY))

        return of_all

    def open_run(self, run, settings, notes, plan):
        """Opens a run for the worker that writes it, after all have agreed on what to do and where.

        Args:
            run: a `Run`.
            settings: as for `Run.open`.
            notes: as for `Run.open`.
            plan: `dict` of plain data that all workers must have alike too, such as the epochs.

        Raises:
            ValueError: settings differ, the folder is not shared, or what `Run.open` raises.
        """
        if self.meeting is None:
            return run.open(settings, notes)
        self.meeting.agree(settings | plan | notes["versions"])
        self.meeting.exchange(None, lambda _: run.open(settings, notes))
        self.meeting.share(run.folder)

    def restore(self, run, gan):
        """Loads the newest checkpoint, the same one on all workers.

        Args:
            run: a `Run`.
            gan: a `GAN` built within `scope`.

        Returns:
            The step to go on from.

        Raises:
            ValueError: what `Run.restore` raises, or workers read different checkpoints.
        """
        if self.meeting is None:
            return run.restore(gan)
        self.meeting.exchange(None, lambda _: run.restore(gan))
        if not self.first:
            run.restore(gan, only_read=True)
        self.meeting.agree({"the step to go on from": gan.step})
        return gan.step

    def fit(self, gan):
        """`gan.fit`, or where Keras' `fit` fails, what does the same.

        Keras 3.15 fails with several workers, whose results it adds up as if they were batches
        (https://github.com/keras-team/keras/issues/20585), and with several replicas in its loop of several steps at
        once (`steps_per_execution`).

        Args:
            gan: a `GAN` built within `scope`.

        Returns:
            A function with the arguments of `fit` that `train` needs.
        """
        return gan.fit if self.strategy is None else functools.partial(self._fit, gan)

    def _fit(self, gan, stream, **arguments):
        if self.meeting is None and gan.steps_per_execution == 1:
            return gan.fit(stream, **arguments)
        if self._loop is None or self._loop.gan is not gan:
            self._loop = Loop(self.strategy, gan)
        try:
            self._loop.run(iter(stream), **arguments)
        except GONE as error:
            raise ValueError(
                f"expected all workers to the end; received the loss of one after step {gan.step}; its own output says "
                "why; start all again with the same commands, and the run goes on from its last checkpoint"
            ) from error

    def finish(self):
        """Waits until all workers are done, so that none takes the end of another for a loss."""
        if self.meeting is not None:
            self.meeting.exchange(None, lambda _: None)

    def close(self):
        """Ends the connections to other workers."""
        if self.meeting is not None:
            self.meeting.close()

    def __str__(self):
        workers = "" if self.meeting is None else f" on {len(self.meeting.cluster.addresses)} workers"
        return f"{self.replicas} device{'s' * (self.replicas > 1)}{workers}"
