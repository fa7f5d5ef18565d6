"""A Keras callback that watches over a GAN in training and names what goes wrong."""

from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from gan_helpers.metrics.pixels import contrast, diversity, nyquist_power, saturated_share, sharpness
from gan_helpers.models.conditional import network_inputs
from gan_helpers.models.losses import scores
from gan_helpers.training.conditions import HEALTHY, diagnose
from gan_helpers.training.files import read_table, table_bytes, write_whole
from gan_helpers.training.gan import RECENT, SIGNALS, has_layer
from gan_helpers.training.growing import smaller_pictures
from gan_helpers.visualization.health import plot_health
from gan_helpers.visualization.plots import attributes_for, sample_latents

SAMPLES, REALS = 32, 64  # pictures in a look: made with fixed latents, and real ones (as many unseen)
CALM = 20  # looks without an alarm after which a training counts as healthy again
POOL = 2048  # of so many pictures real ones are taken by turns
COLUMNS = ("step", "images", "epochs", "batch_size")  # first columns of health.csv
LOWEST, HIGHEST = ("real_low", "fake_low"), ("real_high", "fake_high")


class HealthMonitor(keras.callbacks.Callback):
    """Names what is wrong with a GAN in training, since when, and what to change.

    Every few steps it takes a look: the losses, scores and gradients since the last one, the size of the weights, the
    samples' diversity, sharpness and grid next to real pictures', and how the discriminator judges pictures that it
    never saw. `diagnose` reads the looks. What it finds is reported in one line when it changes, and kept with a panel
    of charts in the run's folder; an alarm stands until 20 looks in a row were healthy. The training stays the same,
    bit by bit.

    Args:
        real_images: uint8 `(count, height, width, 3)`, the pictures that are trained on.
        unseen: uint8 pictures of the same kind that are not trained on, at least 16; without them a discriminator that
            learns its pictures by heart cannot be told. Defaults to `None`.
        every: steps between two looks, at most 256. Defaults to `50`.
        batch_size: images in a step; without it neither epochs nor too small batches can be told. Defaults to `None`.
        shrink: how many times smaller the networks' pictures are than those, see `smaller_pictures`. Defaults to `1`.
        folder: where to write `health.csv` and `health.png`, or `None`.
        report: function that is given a line when the diagnosis changes. Defaults to `print`.

    Attributes:
        looks: the looks so far, a list of dicts of numbers.
        diagnosis: the newest `Diagnosis`.

    Raises:
        ValueError: pictures or an `every` that it cannot use.

    Example:
        >>> monitor = HealthMonitor(faces, unseen=unseen_faces, batch_size=32)
        >>> gan.fit(face_batches(faces, 32), steps_per_epoch=250, epochs=20, callbacks=[monitor])
        health: mode collapse since step 1,200 (diversity 0.08 of real images', for 5 looks); try …
        >>> monitor.figure()
    """

    def __init__(self, real_images, *, unseen=None, every=50, batch_size=None, shrink=1, folder=None, report=None):
        super().__init__()
        self.shrink = shrink
        if not isinstance(every, int) or not 1 <= every <= RECENT:
            raise ValueError(f"expected every as a whole number from 1 to {RECENT}; received {every!r}; try 50")
        self.every, self.batch_size, self.report = every, batch_size, report or print
        self.real = _checked(real_images, "real_images", 2)
        self.unseen = None if unseen is None else _checked(unseen, "unseen", 16)
        self.file = None if folder is None else Path(folder) / "health.csv"
        self.looks, self.diagnosis, self._calm, self._written = [], diagnose([]), 0, 0
        self._reference = _pixels(_some(self.real, 0, shrink))
        self._network_pass = None

    def set_model(self, model):
        super().set_model(model)
        model.keep_signals()  # here and not when training begins: by then `fit` has traced its step

    def on_train_begin(self, logs=None):
        step = self.model.step
        if self._network_pass is None:
            self._began = step  # what a run did before, in another process, has left no signals
            self._latents = tf.constant(sample_latents(SAMPLES, self.model.latent_dim, seed=self.model.seed))
            attributes = attributes_for(self.model.averaged_generator, SAMPLES, seed=self.model.seed)
            self._attributes = None if attributes is None else tf.constant(attributes)
            self._network_pass = tf.function(self._pass)
        self.looks = [look for look in self.looks or self._known() if look["step"] <= step]
        self._find_again()
        if not self.looks:
            self._look()

    def on_train_batch_end(self, batch, logs=None):
        step = self.model.step
        if step // self.every > self.looks[-1]["step"] // self.every:
            self._look()

    def on_epoch_end(self, epoch, logs=None):
        # The whole table each time: after a night that would cost more than the looks, so it is to have grown by 2 %.
        if len(self.looks) > 1.02 * self._written:
            self._write()

    def on_train_end(self, logs=None):
        self._write()
        self._draw()

    def _write(self):
        self._written = len(self.looks)
        if self.file is not None and self.looks:
            write_whole(self.file, table_bytes(COLUMNS, self.looks))

    def figure(self):
        """The looks as a panel of small charts, a `matplotlib` figure."""
        return plot_health(self.looks, self.diagnosis)

    def _look(self):
        self.looks.append(self._seen())
        before, found = self.diagnosis, diagnose(self.looks)
        self._calm = self._calm + 1 if found.condition == HEALTHY else 0
        if found.condition != HEALTHY or self._calm >= CALM:
            self.diagnosis = found
        if self.diagnosis.condition != before.condition:
            self.report(f"health: {self.diagnosis}")
            self._draw()

    def _find_again(self):
        """The diagnosis that looks from before led to."""
        self.diagnosis, self._calm = diagnose([]), 0
        for number in range(len(self.looks), max(0, len(self.looks) - CALM), -1):
            found = diagnose(self.looks[:number])
            if found.condition != HEALTHY:
                self.diagnosis, self._calm = found, len(self.looks) - number
                return

    def _seen(self):
        return self._progress() | self._signals() | self._pictures()

    def _progress(self):
        step, batch = self.model.step, self.batch_size or float("nan")
        look = {"step": step, "images": step * batch, "epochs": step * batch / len(self.real)}
        networks = self.model.generator, self.model.discriminator
        normed = [has_layer(network, "BatchNormalization") for network in networks]
        return look | {"batch_size": float(batch), "g_batch_norm": float(normed[0]), "d_batch_norm": float(normed[1])}

    def _signals(self):
        """Means and spreads of what the steps since the last look left behind."""
        last = max(self._began, self.looks[-1]["step"]) if self.looks else self.model.step
        steps = np.arange(max(last, self.model.step - RECENT), self.model.step)
        rows = self.model.signals.numpy()[steps % RECENT] if len(steps) else np.full((1, len(SIGNALS)), np.nan)
        look = {}
        for name, values in zip(SIGNALS, rows.astype(np.float64).T, strict=True):
            if name in LOWEST + HIGHEST:
                look[name] = float(values.min() if name in LOWEST else values.max())
                continue
            if name.endswith("norm") and np.isfinite(values).any():  # float16's steps that overflow are skipped ones
                values = values[np.isfinite(values)]
            look |= {name: float(values.mean()), f"{name}_spread": float(values.std())}
        return look

    def _pictures(self):
        # Other pictures at each look, the same at the same step: what is by chance in some is not in all.
        turn = self.model.step // self.every
        parts = [_some(images, turn, self.shrink) for images in (self.real, self.unseen) if images is not None]
        samples, logits, norms = (value.numpy() for value in self._network_pass(tf.constant(np.concatenate(parts))))
        look = {"g_weight_norm": float(norms[0]), "d_weight_norm": float(norms[1])}
        found, real = _pixels(samples), self._reference
        ratios = {"diversity": 1e-6, "sharpness": 1e-6, "contrast": 1e-6, "nyquist": 1e-9}
        look |= {name: found[name] / max(real[name], least) for name, least in ratios.items()}
        look["grid"] = found["nyquist"] / max(found["sharpness"], 1e-6) ** 2  # share of the detail's energy
        look |= {"saturated": found["saturated"], "real_saturated": real["saturated"]}
        return look | self._judgement(*np.split(logits, [SAMPLES, SAMPLES + len(parts[0])]))

    def _judgement(self, fake, seen, unseen):
        """What the discriminator says of samples, of pictures that it learnt from and of others, in inference mode."""
        given = {"sample": fake, "seen": seen} | ({"unseen": unseen} if len(unseen) else {})
        look = {f"{name}_logit": float(logits.mean()) for name, logits in given.items()}
        look["sample_score"] = float(np.mean(scores(self.model.loss_name, seen, fake)[1]))
        look |= {
            f"{n}_score": float(np.mean(scores(self.model.loss_name, given[n], fake)[0]))
            for n in given
            if n != "sample"
        }
        if len(unseen):
            error = np.sqrt(seen.var() / len(seen) + unseen.var() / len(unseen))
            look["unseen_errors"] = float((seen.mean() - unseen.mean()) / max(error, 1e-9))
        return look

    def _pass(self, pictures):
        samples = self.model.generator(network_inputs(self._latents, self._attributes), training=False)
        judged = tf.concat([samples, pictures], 0)
        unknown = None
        if self._attributes is not None:  # all are judged with unknown ones, as those of unseen pictures are
            unknown = tf.zeros((tf.shape(judged)[0], self._attributes.shape[1]))
        logits = self.model.discriminator(network_inputs(judged, unknown), training=False)
        norms = [tf.linalg.global_norm(_kernels(net)) for net in (self.model.generator, self.model.discriminator)]
        return samples, logits[:, 0], tf.stack(norms)

    def _draw(self):
        # Only when something has changed and at the end: a panel takes as long as a few dozen steps.
        if self.file is not None and self.looks:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            figure = self.figure()
            write_whole(self.file.with_suffix(".png"), lambda file: figure.savefig(file, format="png", dpi=80))

    def _known(self):
        """The looks of the run so far, where its folder holds them."""
        if self.file is None:
            return []
        try:
            known = read_table(self.file)
            if known and set(known[0]) != set(self._seen()):
                raise ValueError(f"expected other columns in '{self.file}'; received {', '.join(known[0])}")
            return known
        except ValueError as error:
            self.report(f"health: what was seen before is lost, the looks begin anew ({error})")
            return []


def _checked(images, name, least):
    images = images if isinstance(images, np.ndarray) else np.asarray(images)
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] != 3 or len(images) < least:
        raise ValueError(
            f"expected {name} as uint8 of shape (at least {least}, height, width, 3); received {images.dtype} "
            f"{images.shape}; pass prepare_images(...).images"
        )
    return images


def _some(images, turn, shrink):
    """Up to `REALS` of the pictures, by turns, as the networks see them."""
    order = np.random.default_rng(0).permutation(min(len(images), POOL)) * (len(images) // min(len(images), POOL))
    count = min(REALS, len(images))
    rows = np.sort(order[(turn * count + np.arange(count)) % len(order)])
    return smaller_pictures(images[rows].astype(np.float32), shrink) / np.float32(127.5) - 1


def _kernels(network):
    return [tf.convert_to_tensor(weight) for weight in network.trainable_variables if len(weight.shape) > 1]


def _pixels(images):
    return {
        "diversity": diversity(images),
        "sharpness": sharpness(images[:SAMPLES]),
        "contrast": contrast(images[:SAMPLES]),
        "nyquist": nyquist_power(images[:SAMPLES]),
        "saturated": saturated_share(images[:SAMPLES]),
    }
