"""Keras callbacks that connect a `GAN` in training with the folder of its run and with whoever watches."""

import signal
import sys
import threading
import time

import keras
import numpy as np
from tqdm import tqdm

from gan_helpers.visualization.plots import generate_and_save_images


class SaveRun(keras.callbacks.Callback):
    """Writes history and timing at the end of every epoch; checkpoints at the beginning, at intervals and at the end.

    Weights that are not finite are never saved, so the last good checkpoint stays.

    Args:
        run: an open `Run`.
        steps_per_epoch: steps in an epoch; where an epoch is gone on with in its middle, its running means are kept.
        batch_size: images in a step, for the images/s of `timing.csv`.
        seconds: seconds between checkpoints. Defaults to `120`.
        best_by: name of a logged number, lower is better; the checkpoint and generator of the epoch with the least are
            kept beside the newest. A callback that comes before this one may add numbers to its epoch's logs.
            Defaults to `None`, no best is kept.
    """

    def __init__(self, run, steps_per_epoch, batch_size, seconds=120.0, best_by=None):
        super().__init__()
        self.run, self.steps_per_epoch, self.seconds = run, steps_per_epoch, seconds
        self.batch_size, self.best_by = batch_size, best_by
        self._means = None

    def on_train_begin(self, logs=None):
        # `fit` resets the running means when an epoch begins; in the middle of one they belong to the run's state.
        if self.model.step % self.steps_per_epoch:
            self._means = [[v.numpy() for v in mean.variables] for mean in self.model.means]
        if self.model.step == self.model.first_step:  # from now on, a run without any checkpoint is a damaged one
            self.run.save(self.model)
        self._saved_at = time.monotonic()

    def on_epoch_begin(self, epoch, logs=None):
        if self._means:
            for mean, values in zip(self.model.means, self._means, strict=True):
                for variable, value in zip(mean.variables, values, strict=True):
                    variable.assign(value)
            self._means = None
        self._epoch_began = time.monotonic(), self.model.step

    def on_train_batch_end(self, batch, logs=None):
        # After an epoch's last step its row and sample are still to come; the checkpoint must not be before them.
        if self.model.step % self.steps_per_epoch:
            self._save_when_due()

    def on_epoch_end(self, epoch, logs=None):
        step = self.model.step
        if step % self.steps_per_epoch:  # stopped in its middle: the row is written when the epoch is done
            return
        began, first = self._epoch_began
        seconds = time.monotonic() - began
        speed = (step - first) * self.batch_size / seconds
        row = {"epoch": epoch + 1, "step": step, **{name: float(value) for name, value in logs.items()}}
        self.run.add_history(row)
        self.run.add_timing(
            {"epoch": epoch + 1, "step": step, "seconds": round(seconds, 3), "images_per_second": round(speed, 1)}
        )
        if self.best_by is not None:
            self._keep_best(row)
        self._save_when_due()

    def on_train_end(self, logs=None):
        self._save()

    def _keep_best(self, row):
        if self.best_by not in row:
            raise ValueError(f"expected best_by as one of {', '.join(row)}; received {self.best_by!r}")
        # The history stands in the checkpoint, so that what was best is known after a resume too.
        values = [past[self.best_by] for past in self.run.history() if np.isfinite(past.get(self.best_by, np.nan))]
        if values and row[self.best_by] <= min(values):
            self.run.save_best(self.model)

    def _save_when_due(self):
        if time.monotonic() - self._saved_at >= self.seconds:
            self._save()

    def _save(self):
        if int(self.model.broken_at.numpy()) < 0:
            self.run.save(self.model)
        self._saved_at = time.monotonic()


class StopWhenBroken(keras.callbacks.Callback):
    """Ends training at the step whose loss or weights became NaN or infinite, and says what.

    `GAN` notes that step in `broken_at`; nothing that is not finite is ever saved by `SaveRun`.

    Raises:
        ValueError: naming the step, the tensors, and what to try.
    """

    def on_train_batch_end(self, batch, logs=None):
        at = int(self.model.broken_at.numpy())
        if at < 0:
            return
        names = [name for name, value in (logs or {}).items() if not np.isfinite(float(value))]
        for network in (self.model.discriminator, self.model.generator):
            names += [f"{network.name}/{w.path}" for w in network.weights if not np.isfinite(w.numpy()).all()]
        listed = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
        raise ValueError(
            f"expected finite losses and weights; received NaN or infinity at step {at} in {listed}; the last good "
            "checkpoint is kept; the pictures must lie in [-1, 1]; try a lower learning rate, precision float32, or "
            "another seed, as a new run"
        )


class DrawSamples(keras.callbacks.Callback):
    """Draws the same latents with the averaged generator as training goes on.

    Args:
        test_input: float32 latents `(count, latent_dim)`.
        steps_per_epoch: steps in an epoch.
        directory: folder of the pictures. Defaults to `"images"`.
        name: their file names. `{epoch}` counts the passes completed, `{batch}` the batches of the pass under way.
            Without `{batch}` one picture is drawn before training (`epoch_0.png`) and one after every
            `every`-th epoch; with it one after the first batch of every `every`-th epoch
            (`epochs0batch_1.jpg`) and one at the end of training. Defaults to `"epoch_{epoch}.png"`.
        every: epochs between pictures. Defaults to `1`.
        scale: how many pixels a side each of the faces' is drawn as. Defaults to `1`.
    """

    def __init__(self, test_input, steps_per_epoch, *, directory="images", name="epoch_{epoch}.png", every=1, scale=1):
        super().__init__()
        self.scale = scale
        self.test_input, self.steps_per_epoch, self.every = test_input, steps_per_epoch, every
        self.directory, self.name = directory, name
        self.by_batch = "{batch}" in name or "{batch}" in str(directory)
        self.last_drawn = None

    def on_train_begin(self, logs=None):
        if self.model.step == 0 and not self.by_batch:
            self._draw(0)

    def on_train_batch_end(self, batch, logs=None):
        epoch, batch = divmod(self.model.step - 1, self.steps_per_epoch)
        if self.by_batch and batch == 0 and epoch % self.every == 0:
            self._draw(epoch, 1)

    def on_epoch_end(self, epoch, logs=None):
        done = self.model.step % self.steps_per_epoch == 0
        if done and not self.by_batch and (epoch + 1) % self.every == 0:
            self._draw(epoch + 1)

    def on_train_end(self, logs=None):
        if self.by_batch and self.model.step:
            epoch, batch = divmod(self.model.step - 1, self.steps_per_epoch)
            self._draw(epoch, batch + 1)

    def _draw(self, epoch, batch=None):
        self.last_drawn = generate_and_save_images(
            self.model.averaged_generator,
            epoch,
            self.test_input,
            directory=self.directory,
            name=self.name,
            batch=batch,
            scale=self.scale,
            show=False,
        )


class ProgressBar(keras.callbacks.Callback):
    """A bar over the whole of the training, with images/s, both losses, both scores, and the time left.

    Args:
        batch_size: images in a step.
        total_steps: steps at which training ends, or `None` where a time is planned.
        minutes: planned minutes, or `None`.
        file: where to write. Defaults to stderr.
    """

    def __init__(self, batch_size, total_steps=None, minutes=None, file=None):
        super().__init__()
        self.batch_size, self.total_steps = batch_size, total_steps
        self.seconds = None if minutes is None else max(1, round(minutes * 60))
        self.file = file or sys.stderr
        self.bar = None

    def on_train_begin(self, logs=None):
        # A terminal's bar moves twice a second; a log file gets a line every ten seconds.
        self.interval = 0.5 if self.file.isatty() else 10.0
        timed = self.seconds is not None
        counts = "{n:.0f}/{total:.0f} s" if timed else "{n}/{total} steps"
        self.bar = tqdm(
            desc="training",
            file=self.file,
            total=self.seconds if timed else self.total_steps,
            initial=0 if timed else self.model.step,
            bar_format="{desc}: {percentage:3.0f}%|{bar}| " + counts + " [{elapsed}<{remaining}{postfix}]",
            dynamic_ncols=True,
        )
        self.began = self._shown = time.monotonic()
        self._first = None

    def on_train_batch_end(self, batch, logs=None):
        now, step = time.monotonic(), self.model.step
        if self._first is None:  # the first step includes tracing; the speed is counted from its end
            self._first = now, step
        self._logs = logs or {}
        if now - self._shown >= self.interval:
            self._show()

    def on_train_end(self, logs=None):
        if self._first is not None and not self.bar.disable:
            self._show()
        self.close()

    def close(self):
        """Leaves the terminal as it was."""
        if self.bar is not None:
            self.bar.close()

    def _show(self):
        now, step = time.monotonic(), self.model.step
        self._shown = now
        began, first = self._first
        shown = {"images/s": f"{(step - first) * self.batch_size / max(now - began, 1e-9):.0f}"}
        shown |= {name: f"{float(value):.2f}" for name, value in self._logs.items()}
        self.bar.set_postfix(shown, refresh=False)
        self.bar.n = min(now - self.began, self.seconds) if self.seconds is not None else step
        self.bar.refresh()


class StopWhenTold(keras.callbacks.Callback):
    """Ends training cleanly, between two steps, on Ctrl-C (or SIGTERM), or when the planned time is over.

    A second Ctrl-C interrupts at once.

    Args:
        minutes: minutes after which to stop, or `None` for no limit.
    """

    def __init__(self, minutes=None):
        super().__init__()
        self.seconds = None if minutes is None else minutes * 60
        self.interrupted, self.began = False, None
        self._previous = {}

    @property
    def minutes_left(self):
        """Minutes until the planned time is over, `None` where there is no limit."""
        if self.seconds is None:
            return None
        gone = 0 if self.began is None else time.monotonic() - self.began
        return max(0, self.seconds - gone) / 60

    def on_train_begin(self, logs=None):
        if self.began is None:  # a training that grows begins again with each size
            self.began = time.monotonic()
        self.listen()

    def listen(self):
        """Takes signals from now on; training does so from its beginning, `train` before it builds anything."""
        if threading.current_thread() is threading.main_thread() and not self._previous:  # Python has no other place
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._interrupt)

    def on_train_batch_end(self, batch, logs=None):
        over = self.seconds is not None and time.monotonic() - self.began >= self.seconds
        if self.interrupted or over:
            self.model.stop_training = True

    def on_train_end(self, logs=None):
        self.close()

    def close(self):
        """Gives Ctrl-C back the meaning that it had."""
        while self._previous:
            signal.signal(*self._previous.popitem())

    def _interrupt(self, number, frame):
        if self.interrupted:
            raise KeyboardInterrupt
        self.interrupted = True
