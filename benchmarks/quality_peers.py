"""What a job of the race does in a process of its own, in TensorFlow: our recipes, and the peers.

    python -m benchmarks.quality_peers JOB    # a job of `benchmarks.quality` as JSON

A job goes on with its run where it stopped, trains until its minutes are used, and leaves pictures and a small JSON.
The time used is that of the processor, all threads of the process together, from the end of its first step (imports,
building, tracing and compiling are before it) to the end of its last, checkpoints included. Since a job keeps its core
busy, that is the wall clock's where nothing else runs there, and what else runs there does not count. Alike for all.
"""

import contextlib
import json
import os
import sys
import threading
import time
from pathlib import Path

import numpy as np

from gan_helpers.training.files import write_arrays, write_whole

TUTORIAL_RATE, TUTORIAL_LATENTS = 1e-4, 100
FOREVER = 10**6
STOPPED = 3  # exit code of a job that was asked to stop and can go on


def main():
    job = json.loads(sys.argv[1])
    end_with_parent()
    pin(job["core"])
    if Path(job["samples"]).with_suffix(".json").exists():
        return
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    {"recipe": race_recipe, "tf_tutorial": race_tutorial}[job["kind"]](job)


def end_with_parent():
    """Ends this process, as a kill would, when the one that started it is gone and its pipe closes."""
    threading.Thread(target=lambda: (os.read(0, 1), os._exit(1)), daemon=True).start()


def pin(core):
    if core is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})


class Clock:
    """Seconds of training used at each step, a row a step, in a file that a kill leaves readable.

    Args:
        file: path of the table; what it holds already is read.
    """

    def __init__(self, file):
        self.file = Path(file)
        text = self.file.read_text() if self.file.exists() else ""
        whole = text[: text.rfind("\n") + 1].splitlines()  # a kill can cut the last row
        self.rows = {int(step): float(seconds) for step, seconds in (line.split(",") for line in whole)}
        self.used, self.opened = 0.0, None

    def at(self, step):
        """Seconds used when that step was done."""
        return max((seconds for known, seconds in self.rows.items() if known <= step), default=0.0)

    def start(self, step):
        """Goes on from a checkpoint's step; what was done after it is forgotten."""
        self.rows = {known: seconds for known, seconds in self.rows.items() if known <= step}
        self.used, self.began = self.at(step), None
        write_whole(self.file, "".join(f"{step},{used:.3f}\n" for step, used in self.rows.items()).encode())
        if self.opened is not None:
            self.opened.close()
        self.opened = open(self.file, "a", buffering=1)  # noqa: SIM115  open as long as the training

    def tick(self, step):
        """Notes that a step is done; returns the seconds used."""
        now = time.process_time()
        if self.began is None:
            self.began = now - self.used
        self.used = now - self.began
        self.rows[step] = self.used
        self.opened.write(f"{step},{self.used:.3f}\n")
        return self.used

    def owes(self, step, seconds):
        """Whether training is to go on from that step.

        Raises:
            ValueError: it went on past that time long ago.
        """
        if self.at(step - 1) >= seconds > 0 and step > 0:
            raise ValueError(
                f"expected a run that has used at most {seconds / 60:g} minutes; received one of "
                f"{self.at(step) / 60:.2f} in '{self.file.parent}'; give another --folder for further budgets"
            )
        return self.at(step) < seconds


# Our recipes ------------------------------------------------------------------------------------------------------


def race_recipe(job):
    """Trains a recipe with `train`, as a user would, and leaves what the averaged generator makes."""
    from gan_helpers import generate_images, load_generator, train
    from gan_helpers.models.recipes import read_recipe
    from gan_helpers.training.runs import newest_step

    folder, recipe, seconds = Path(job["run"]), read_recipe(job["recipe"]), 60 * job["minutes"]
    run, clock, prepared = folder / "run", Clock(folder / "clock.csv"), _prepared(job)
    length = {}
    if recipe.planned(job["image_size"]):
        length = {"epochs": planned_epochs(job, recipe, prepared.images)}
    step = newest_step(run) or 0
    if clock.owes(step, seconds):
        with open(os.devnull, "w") as nowhere:
            trained = train(
                prepared, run, minutes=FOREVER, recipe=recipe, seed=job["seed"], **length, sample_every=FOREVER,
                checkpoint_seconds=job["checkpoint_seconds"], callbacks=[_until(clock, seconds)], progress=nowhere,
            )  # fmt: skip
        if trained.interrupted:
            sys.exit(STOPPED)
        step = trained.gan.step
    images = generate_images(load_generator(run), job["count"], seed=0)
    made = {"precision": json.loads((run / "settings.json").read_text())["settings"]["precision"]} | length
    _leave(job, images, step, clock.at(step), recipe.batch_size, made)


def planned_epochs(job, recipe, images):
    """Epochs that fit into the planned minutes, for recipes that depend on it: by the time of steps, kept for good."""
    file = Path(job["run"]) / "planned.json"
    if not file.exists():
        from gan_helpers.data.batches import steps_per_epoch
        from gan_helpers.training.build import steps_in
        from gan_helpers.training.precision import hardware_precision

        steps = steps_in(job["planned_minutes"], recipe, images, hardware_precision()[0], clock=time.process_time)
        epochs = max(1, round(steps / steps_per_epoch(len(images), recipe.batch_size)))
        write_whole(file, json.dumps({"steps": steps, "epochs": epochs}).encode())
    return json.loads(file.read_text())["epochs"]


def _until(clock, seconds):
    """A Keras callback that keeps the clock, and ends the training when the time is used."""
    import keras

    class Until(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            clock.start(self.model.step)

        def on_train_batch_end(self, batch, logs=None):
            if clock.tick(self.model.step) >= seconds:
                self.model.stop_training = True

    return Until()


# The peer ---------------------------------------------------------------------------------------------------------


def tutorial_networks(image_size, base_filters=64):
    """The networks of TensorFlow's tutorial "Deep Convolutional Generative Adversarial Network", for larger pictures.

    There 7x7 become 28x28 in two doublings, with 256, 128 and 64 filters; here 8x8 are doubled until the size is
    reached (three times for 64 pixels), with twice the filters for each doubling more. All else is as there: 5x5
    kernels, leaky ReLU with Keras' own slope, batch normalisation in the generator, dropout in the discriminator.
    """
    from keras import Input, Sequential, layers

    doublings = (image_size // 8).bit_length() - 1
    generator = [Input((TUTORIAL_LATENTS,))]
    filters = base_filters * 2**doublings
    generator += [layers.Dense(8 * 8 * filters, use_bias=False), layers.BatchNormalization(), layers.LeakyReLU()]
    generator += [layers.Reshape((8, 8, filters))]
    for number in range(doublings):
        filters //= 2
        stride = 1 if number == 0 else 2
        generator += [layers.Conv2DTranspose(filters, 5, stride, "same", use_bias=False)]
        generator += [layers.BatchNormalization(), layers.LeakyReLU()]
    generator += [layers.Conv2DTranspose(3, 5, 2, "same", use_bias=False, activation="tanh")]
    discriminator = [Input((image_size, image_size, 3))]
    for number in range(doublings):
        discriminator += [layers.Conv2D(base_filters * 2**number, 5, 2, "same")]
        discriminator += [layers.LeakyReLU(), layers.Dropout(0.3)]
    discriminator += [layers.Flatten(), layers.Dense(1)]
    return Sequential(generator), Sequential(discriminator)


class Tutorial:
    """TensorFlow's tutorial: its networks, loss, optimisers and step, in our own words, with a checkpoint.

    Args:
        image_size: side of the pictures, 32, 64 or 128.
        base_filters: width of the networks; 64 is the tutorial's.
        batch_size: images in a step; 256 is the tutorial's.
    """

    def __init__(self, image_size, base_filters, batch_size):
        import keras
        import tensorflow as tf

        self.generator, self.discriminator = tutorial_networks(image_size, base_filters)
        self.optimizers = [keras.optimizers.Adam(TUTORIAL_RATE) for _ in range(2)]
        for optimizer, network in zip(self.optimizers, (self.generator, self.discriminator), strict=True):
            optimizer.build(network.trainable_variables)
        self.batch_size, self.train = batch_size, tf.function(self._train)

    def _train(self, real_images):
        import keras
        import tensorflow as tf

        loss = keras.losses.BinaryCrossentropy(from_logits=True)
        latents = tf.random.normal((self.batch_size, TUTORIAL_LATENTS))
        with tf.GradientTape() as g_tape, tf.GradientTape() as d_tape:
            fake_images = self.generator(latents, training=True)
            real_logits = self.discriminator(real_images, training=True)
            fake_logits = self.discriminator(fake_images, training=True)
            g_loss = loss(tf.ones_like(fake_logits), fake_logits)
            d_loss = loss(tf.ones_like(real_logits), real_logits) + loss(tf.zeros_like(fake_logits), fake_logits)
        tapes, losses, networks = (g_tape, d_tape), (g_loss, d_loss), (self.generator, self.discriminator)
        gradients = [tape.gradient(loss, network.trainable_variables)
                     for tape, loss, network in zip(tapes, losses, networks, strict=True)]  # fmt: skip
        for optimizer, gradient, network in zip(self.optimizers, gradients, networks, strict=True):
            optimizer.apply_gradients(zip(gradient, network.trainable_variables, strict=True))
        return d_loss, g_loss

    def variables(self):
        owners = (self.generator, self.discriminator, *self.optimizers)
        return [variable for owner in owners for variable in owner.variables]

    def save(self, file, step):
        arrays = {f"{number:03d}": variable.numpy() for number, variable in enumerate(self.variables())}
        write_arrays(file, arrays | {"step": np.int64(step)})

    def restore(self, file):
        """The step to go on from."""
        if not file.exists():
            return 0
        with np.load(file) as stored:
            for number, variable in enumerate(self.variables()):
                variable.assign(stored[f"{number:03d}"])
            return int(stored["step"])


def race_tutorial(job):
    """Trains the tutorial's GAN and leaves what its generator makes."""
    import keras

    from gan_helpers import face_batches, generate_images

    seconds, file = 60 * job["minutes"], Path(job["run"]) / "checkpoint.npz"
    keras.utils.set_random_seed(job["seed"])
    tutorial = Tutorial(job["image_size"], job["base_filters"], job["batch_size"])
    clock, step = Clock(Path(job["run"]) / "clock.csv"), tutorial.restore(file)
    if clock.owes(step, seconds):
        keras.utils.set_random_seed(job["seed"] + step)  # other latents than those before the stop
        clock.start(step)
        saved = time.monotonic()
        images = _prepared(job).images
        for batch in face_batches(images, job["batch_size"], seed=job["seed"], start_step=step, flip=False):
            d_loss, g_loss = tutorial.train(batch)
            step += 1
            if clock.tick(step) >= seconds:
                break
            if time.monotonic() - saved >= job["checkpoint_seconds"]:
                print(f"step {step}, d_loss {float(d_loss):.3f}, g_loss {float(g_loss):.3f}", flush=True)
                tutorial.save(file, step)
                saved = time.monotonic()
        tutorial.save(file, step)
    images = generate_images(tutorial.generator, job["count"], seed=0)
    _leave(job, images, step, clock.at(step), job["batch_size"], {"precision": "float32"})


# Shared -----------------------------------------------------------------------------------------------------------


def _prepared(job):
    from gan_helpers import prepare_images

    with contextlib.redirect_stderr(sys.stdout):
        return prepare_images(job["data"], job["image_size"], crop=job["crop"]).part(*job["part"])


def _leave(job, images, step, seconds, batch_size, more):
    """Writes the pictures, then the JSON that says the job is done."""
    import keras
    import tensorflow as tf

    from gan_helpers.training.precision import hardware_precision

    result = {"steps": step, "seconds": round(seconds, 2), "batch_size": batch_size, **more}
    result["images_per_second"] = round((step - 1) * batch_size / max(seconds, 1e-9), 2)  # the first is not timed
    result["made_with"] = f"keras {keras.__version__}, tensorflow {tf.__version__}, {hardware_precision()[1]}"
    samples = Path(job["samples"])
    if job.get("judge"):
        result |= _judged(images, job["judge"])
    write_whole(samples, lambda file: np.lib.format.write_array(file, images))
    write_whole(samples.with_suffix(".json"), json.dumps(result, indent=1).encode())


def _judged(images, judge):
    """The KID against real features, where the job is a search's and is judged in its own process."""
    from gan_helpers.metrics.distances import kid

    measure = kid(np.load(judge["real"], mmap_mode="r"), images, network=judge["network"])
    return {"kid": measure.value, "kid_spread": measure.spread}


if __name__ == "__main__":
    main()
