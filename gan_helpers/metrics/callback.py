"""A Keras callback that measures while a GAN trains."""

import keras
import numpy as np

from gan_helpers.metrics.distances import fid, kid, statistics
from gan_helpers.metrics.feature_vectors import as_features
from gan_helpers.visualization.plots import generate_images

MEASURES = {"fid": lambda real, fake: fid(real, fake, groups=0), "kid": kid}


class MeasureQuality(keras.callbacks.Callback):
    """Measures the averaged generator every few epochs and adds the number to the epoch's logs.

    There it reaches `history.csv`, TensorBoard and `best_by`, which keeps the best checkpoint. Epochs that are not
    measured get NaN. The features of the real pictures are computed once, at the beginning.

    Args:
        real: uint8 pictures `(count, height, width, 3)` to compare with, best ones that are not trained on.
        measure: `"kid"` (default), `"fid"`, or a function of real and fake features that gives a number (or a
            `Measure`), lower is better where `best_by` is used.
        every: epochs between two measurements. Defaults to `1`.
        count: fake pictures to measure. Defaults to `1000`.
        seed: seed of their latents, the same each time. Defaults to `0`.
        **options: of `features`; `network` defaults to `"small"`, which costs a second or so.

    Raises:
        ValueError: a measure that there is not, or an `every` or `count` below 1.

    Example:
        >>> measure = MeasureQuality(unseen_faces, measure="kid", every=2)
        >>> train("faces", "runs/measured", callbacks=[measure], best_by="kid")
    """

    def __init__(self, real, *, measure="kid", every=1, count=1000, seed=0, **options):
        super().__init__()
        if not callable(measure) and measure not in MEASURES:
            raise ValueError(f"expected a measure of {', '.join(MEASURES)} or a function; received {measure!r}")
        if every < 1 or count < 2:
            raise ValueError(f"expected every of at least 1 and count of at least 2; received {every} and {count}")
        self.name = measure if isinstance(measure, str) else measure.__name__
        self.measured = MEASURES.get(measure, measure) if isinstance(measure, str) else measure
        self.real, self.every, self.count, self.seed = real, every, count, seed
        self.options = {"network": "small"} | options
        self._real = None

    def on_epoch_end(self, epoch, logs=None):
        if logs is None:
            return
        logs[self.name] = float("nan")
        if (epoch + 1) % self.every:
            return
        if self._real is None:
            vectors = as_features(self.real, "real", **self.options)
            self._real = statistics(vectors) if self.name == "fid" else np.asarray(vectors)
        faces = generate_images(self.model.averaged_generator, self.count, seed=self.seed)
        logs[self.name] = float(self.measured(self._real, as_features(faces, "fake", **self.options)))
