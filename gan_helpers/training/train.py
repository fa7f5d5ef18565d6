"""One call from a folder of pictures to a trained generator."""

import dataclasses
import platform
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from PIL import Image

from gan_helpers.data.batches import face_batches, steps_per_epoch
from gan_helpers.data.images import PreparedImages, prepare_images
from gan_helpers.models.networks import discriminator_model, generator_model
from gan_helpers.models.recipes import RECIPES
from gan_helpers.training.callbacks import DrawSamples, ProgressBar, SaveRun, StopWhenTold
from gan_helpers.training.gan import GAN
from gan_helpers.training.runs import Run, write_whole
from gan_helpers.visualization.plots import generate_images, image_grid, sample_latents


@dataclass(frozen=True)
class Trained:
    """What `train` returns.

    Attributes:
        gan: the trained `GAN`.
        run: its `Run`.
        prepared: the `PreparedImages` it was trained on.
        steps_per_epoch: steps in an epoch.
        interrupted: whether Ctrl-C ended it.
        faces: path of the picture of the first 64 faces.
        samples: folder of the sample grids.
    """

    gan: GAN
    run: Run
    prepared: PreparedImages
    steps_per_epoch: int
    interrupted: bool
    faces: Path
    samples: Path


def train(
    data="drawn",
    output=None,
    *,
    image_size=64,
    epochs=None,
    minutes=None,
    recipe="quick",
    seed=0,
    crop=None,
    count=8000,
    sample_path=None,
    sample_every=1,
    checkpoint_seconds=120.0,
    callbacks=(),
    cache=None,
    progress=None,
    report=print,
):
    """Trains a GAN on faces and keeps everything in the folder of a run; called again, it goes on.

    Args:
        data: a folder of pictures, `"drawn"` (default), or `PreparedImages`.
        output: folder of the run. Defaults to `runs/` and a name made of data, size, recipe and seed.
        image_size: side of the faces, 32, 64 or 128 pixels; that of `PreparedImages`, where given. Defaults to `64`.
        epochs: passes over the data at which to end, counted from the run's beginning. Defaults to `30` where
            `minutes` is not given either.
        minutes: stop after so many minutes of training in this call.
        recipe: a name in `RECIPES` or a `Recipe`. Defaults to `"quick"`.
        seed: seed of weights, latents and the order of the data. Defaults to `0`.
        crop: `(left, top, right, bottom)` in pixels of each picture; `None` cuts the central square.
        count: how many faces to draw, for `"drawn"` alone. Defaults to `8000`.
        sample_path: where sample grids go, with `{epoch}` and perhaps `{batch}` (see `DrawSamples`). Defaults to
            `samples/epoch_{epoch}.png` in the run's folder.
        sample_every: epochs between sample grids. Defaults to `1`.
        checkpoint_seconds: seconds between checkpoints. Defaults to `120`.
        callbacks: further Keras callbacks.
        cache: folder of prepared pictures, see `prepare_images`.
        progress: file to draw the progress bar to. Defaults to stderr.
        report: function that is given lines about what was found and is done. Defaults to `print`.

    Returns:
        A `Trained`.

    Raises:
        ValueError: bad data or settings, or a run's folder that was made with others.

    Example:
        >>> trained = train("drawn", "runs/first", image_size=32, minutes=2)
        >>> trained.faces
        PosixPath('runs/first/faces.png')
    """
    named = recipe if isinstance(recipe, str) else "own"
    if isinstance(data, PreparedImages):
        image_size = data.images.shape[1]
    recipe = _checked_recipe(recipe, image_size)
    if epochs is None and minutes is None:
        epochs = 30
    for name, value in (("epochs", epochs), ("minutes", minutes), ("sample_every", sample_every)):
        if value is not None and value <= 0:
            raise ValueError(f"expected {name} above 0; received {value}; leave it out for the default")
    template = _sample_template(sample_path)
    prepared = data
    if not isinstance(data, PreparedImages):
        prepared = prepare_images(data, image_size, crop=crop, count=count, cache=cache)
        for file, reason in prepared.skipped:
            report(f"skipped {file}: {reason}")
    steps = steps_per_epoch(len(prepared.images), recipe.batch_size)
    run = Run(output or Path("runs") / f"{prepared.source}-{image_size}px-{named}-seed{seed}")
    settings = dataclasses.asdict(recipe) | {
        "image_size": image_size,
        "crop": prepared.crop,
        "seed": seed,
        "image_count": len(prepared.images),
        "data": prepared.fingerprint,
    }
    run.open(settings, _notes(prepared.source, named))
    gan = _build(recipe, image_size, seed)
    start = run.restore(gan)
    at = f"goes on at step {start}, epoch {start // steps}" if start else "new"
    report(f"run: {run.folder} ({at}); {len(prepared.images)} faces of {image_size} pixels, {steps} steps an epoch")
    stop = StopWhenTold(minutes)
    directory, name = template or (run.samples, "epoch_{epoch}.png")
    watchers = [
        DrawSamples(sample_latents(64, recipe.latent_dim, seed=seed), steps, directory=directory, name=name,
                    every=sample_every),
        SaveRun(run, steps, recipe.batch_size, checkpoint_seconds),
        stop,
        *callbacks,
    ]  # fmt: skip
    goal = None if epochs is None else epochs * steps
    if goal is not None and start >= goal:
        report(f"it has its {epochs} epochs already; ask for more to train on")
    else:
        watchers.insert(0, ProgressBar(recipe.batch_size, goal, minutes, progress))
        _fit(gan, prepared.images, recipe, goal, steps, watchers)
    faces = run.folder / "faces.png"
    grid = image_grid(generate_images(gan.averaged_generator, 64, seed=seed), scale=2 if image_size < 64 else 1)
    write_whole(faces, lambda file: Image.fromarray(grid).save(file, "PNG"))
    return Trained(gan, run, prepared, steps, stop.interrupted, faces, Path(directory))


def _fit(gan, images, recipe, goal, steps, callbacks):
    """`fit` from any step on: first the rest of the epoch under way, then whole epochs."""
    whole = keras.callbacks.CallbackList(callbacks, model=gan)
    whole.on_train_begin()
    gan.stop_training = False
    while not gan.stop_training and (goal is None or gan.step < goal):
        epoch, done = divmod(gan.step, steps)
        last = epoch + 1 if done else 10**9 if goal is None else goal // steps
        batches = face_batches(images, recipe.batch_size, seed=gan.seed, start_step=gan.step, flip=recipe.flip)
        gan.fit(
            batches,
            initial_epoch=epoch,
            epochs=last,
            steps_per_epoch=steps - done,
            shuffle=False,  # the stream is shuffled already; Keras would warn that it cannot
            callbacks=[_Within(whole)],
            verbose=0,
        )
    whole.on_train_end()


class _Within(keras.callbacks.Callback):
    """Passes on epochs and batches, not the begin and end of each `fit`: to the callbacks it is one training."""

    def __init__(self, whole):
        super().__init__()
        self.on_epoch_begin = whole.on_epoch_begin
        self.on_epoch_end = whole.on_epoch_end
        self.on_train_batch_begin = whole.on_train_batch_begin
        self.on_train_batch_end = whole.on_train_batch_end


def _build(recipe, image_size, seed):
    keras.utils.set_random_seed(seed)
    shared = {"image_size": image_size, "base_filters": recipe.base_filters, "architecture": recipe.architecture}
    gan = GAN(
        generator_model(recipe.latent_dim, **shared),
        discriminator_model(**shared),
        seed=seed,
        averaging_half_life=recipe.averaging_half_life,
    )
    gan.compile(
        keras.optimizers.Adam(recipe.g_learning_rate, beta_1=recipe.beta_1),
        keras.optimizers.Adam(recipe.d_learning_rate, beta_1=recipe.beta_1),
        loss=recipe.loss,
    )
    return gan


def _checked_recipe(recipe, image_size):
    if isinstance(recipe, str):
        if recipe not in RECIPES:
            raise ValueError(f"expected a recipe of {', '.join(RECIPES)}; received {recipe!r}")
        recipe = RECIPES[recipe]
    discriminator_model(image_size=image_size, base_filters=1, architecture=recipe.architecture)  # refuses bad sizes
    return recipe


def _sample_template(sample_path):
    if sample_path is None:
        return None
    path = Path(sample_path)
    try:
        path.name.format(epoch=0, batch=1)
    except (KeyError, IndexError, ValueError):
        path = None
    if path is None or "{epoch}" not in path.name:
        raise ValueError(
            f"expected a sample path whose file name holds {{epoch}}, and perhaps {{batch}}; received "
            f"{str(sample_path)!r}; for example 'generate_face/epochs{{epoch}}batch_{{batch}}.jpg'"
        )
    return path.parent, path.name


def _notes(source, recipe):
    versions = {"python": platform.python_version(), "keras": keras.__version__, "numpy": np.__version__}
    return {"source": source, "recipe": recipe, "versions": versions | {"tensorflow": tf.__version__}}
