"""Scalars and sample grids for TensorBoard."""

from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from gan_helpers.visualization.plots import generate_images, image_grid


class WriteTensorBoard(keras.callbacks.Callback):
    """Writes losses and scores every few steps and at the end of each epoch, and a grid of faces an epoch.

    `tensorboard --logdir RUN/tensorboard` shows them. Kinds of keras.callbacks know one loss and one optimizer; this
    one knows a GAN's.

    Args:
        folder: where to write.
        test_input: float32 latents `(count, latent_dim)` of the grid.
        every: steps between points of the curves. Defaults to `50`.

    Raises:
        ValueError: the package `tensorboard` is not installed.
    """

    def __init__(self, folder, test_input, every=50):
        super().__init__()
        try:
            import tensorboard  # noqa: F401
        except ImportError:
            raise ValueError(
                "expected the package tensorboard, which writes its files; received none; "
                "pip install 'gan_helpers[tensorboard]', or train without it"
            ) from None
        self.folder, self.test_input, self.every = Path(folder), test_input, every

    def on_train_begin(self, logs=None):
        self._writer = tf.summary.create_file_writer(str(self.folder))
        self._last = self.model.step

    def on_train_batch_end(self, batch, logs=None):
        if self.model.step - self._last >= self.every:
            self._last = self.model.step
            self._scalars("step", logs)

    def on_epoch_end(self, epoch, logs=None):
        self._scalars("epoch", logs)
        faces = image_grid(generate_images(self.model.averaged_generator, self.test_input))
        with self._writer.as_default(step=self.model.step):
            tf.summary.image("faces", np.asarray(faces)[None])
        self._writer.flush()

    def on_train_end(self, logs=None):
        self._writer.close()

    def _scalars(self, kind, logs):
        with self._writer.as_default(step=self.model.step):
            for name, value in logs.items():
                tf.summary.scalar(f"{name}/{kind}", float(value))
