"""One call from a folder of pictures to a trained generator."""

import dataclasses
import functools
import os
import platform
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from PIL import Image
from tqdm import tqdm

from gan_helpers.data.batches import steps_per_epoch
from gan_helpers.data.drawn_faces import draw_faces
from gan_helpers.data.images import PreparedImages, prepare_images
from gan_helpers.data.label_tables import find_labels, labels_of
from gan_helpers.data.labels import Attribute, Labels
from gan_helpers.models.recipes import read_recipe
from gan_helpers.training.build import build_gan, steps_in, training_batches
from gan_helpers.training.callbacks import DrawSamples, ProgressBar, SaveRun, StopWhenBroken, StopWhenTold
from gan_helpers.training.distribute import open_devices
from gan_helpers.training.files import write_whole
from gan_helpers.training.fused import PRECISIONS
from gan_helpers.training.gan import GAN
from gan_helpers.training.growing import grow, stages
from gan_helpers.training.health import HealthMonitor
from gan_helpers.training.precision import hardware_precision
from gan_helpers.training.runs import Run
from gan_helpers.training.tensorboard import WriteTensorBoard
from gan_helpers.training.working_copy import FlushWorkingCopy, fetch, flush_to
from gan_helpers.visualization.plots import generate_images, image_grid, sample_latents

UNSEEN, UNSEEN_SEED = 64, 2**31  # faces that no run trains on
COLAB_DRIVE, COLAB_DISK = Path("/content/drive"), Path("/content/runs")


@dataclass(frozen=True)
class Trained:
    """What `train` returns.

    Attributes:
        gan: the trained `GAN`.
        run: its `Run`, closed.
        folder: the run's folder, as asked for; `run.folder` differs where a working copy was used.
        prepared: the `PreparedImages` it was trained on.
        steps_per_epoch: steps in an epoch.
        interrupted: whether Ctrl-C ended it.
        faces: path of the picture of the first 64 faces.
        samples: folder of the sample grids.
    """

    gan: GAN
    run: Run
    folder: Path
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
    recipe="best",
    seed=0,
    crop=None,
    count=8000,
    precision="auto",
    steps_per_execution=None,
    deterministic=False,
    distribute=None,
    synchronised=False,
    sample_path=None,
    sample_every=1,
    checkpoint_seconds=120.0,
    keep=2,
    best_by=None,
    working_copy=None,
    flush_seconds=300.0,
    tensorboard=False,
    health=True,
    unseen=None,
    attributes=(),
    labels=None,
    callbacks=(),
    cache=None,
    agree=False,
    progress=None,
    report=print,
):
    """Trains a GAN on faces and keeps everything in the folder of a run; called again, it goes on.

    Args:
        data: a folder or an archive of pictures, the name of a source (see `fetch_faces`), `"drawn"`
            (default), or `PreparedImages`.
        output: folder of the run. Defaults to `runs/` and a name made of data, size, recipe and seed.
        image_size: side of the faces, 32, 64, 128 or 256 pixels; that of `PreparedImages`, where given. Defaults to
            `64`.
        epochs: passes over the data at which to end, counted from the run's beginning. Defaults to `30` where
            `minutes` is not given either.
        minutes: stop after so many minutes of training in this call. A recipe that depends on its length plans its
            steps by `epochs`, or else by these minutes and the speed measured at the start, once, when a run is made.
        recipe: a name in `RECIPES`, which changes may follow (`"quick,loss=hinge"`, see `read_recipe`), or a `Recipe`.
            Defaults to `"best"`.
        seed: seed of weights, latents and the order of the data. Defaults to `0`.
        crop: `(left, top, right, bottom)` in pixels of each picture, or `"faces"`, see `prepare_images`; `None` cuts
            the central square.
        count: how many faces to draw, for `"drawn"` alone. Defaults to `8000`.
        precision: `"float32"`, `"mixed_bfloat16"` or `"mixed_float16"`. `"auto"` (default) takes what the hardware is
            made for when the run is made, and what the run was made with ever after.
        steps_per_execution: steps between two looks of the callbacks; more is faster where steps are short. Of the
            divisors of an epoch's steps the nearest one is taken. Defaults to `1`, on a GPU `10`.
        deterministic: TensorFlow's `enable_op_determinism`, so that a run that is stopped and gone on with ends in the
            same bits as one never stopped. Defaults to `False`.
        distribute: `"mirrored"` trains on all GPUs of this machine together, which share each batch; `"multiworker"`
            on those of several machines, see `open_devices`. Of several workers the first one alone writes; callbacks
            run on all. Defaults to `None`, one device.
        synchronised: normalise batches over all devices together, not each device's images by themselves. Defaults to
            `False`.
        sample_path: where sample grids go, with `{epoch}` and perhaps `{batch}` (see `DrawSamples`). Defaults to
            `samples/epoch_{epoch}.png` in the run's folder.
        sample_every: epochs between sample grids. Defaults to `1`.
        checkpoint_seconds: seconds between checkpoints. Defaults to `120`.
        keep: how many of the newest checkpoints are kept. Defaults to `2`.
        best_by: name of a logged number, lower is better, whose best epoch is kept too, see `SaveRun`.
        working_copy: local folder to work in where `output` is on a slow or distant disk. In Colab, with `output` on
            Google Drive, defaults to a folder on the machine's own disk.
        flush_seconds: seconds between copies from there to `output`: what a disconnect costs. Defaults to `300`.
        tensorboard: write scalars and sample grids to the run's `tensorboard/`. Defaults to `False`.
        health: watch over the training with a `HealthMonitor`, which names what goes wrong. Defaults to `True`.
        unseen: uint8 pictures that are not trained on, from which it tells a discriminator that learns its pictures by
            heart. Defaults to newly drawn faces for `"drawn"`, else to none.
        attributes: names of attributes by which faces are to be ordered, such as `("Smiling", "Eyeglasses")`: a
            conditional GAN. Of drawn faces they are those in `drawn_faces.ATTRIBUTES`. Defaults to none.
        labels: path of their table, see `read_labels`. Defaults to one in or beside the folder of the pictures, see
            `find_labels`; of drawn faces they are known.
        callbacks: further Keras callbacks.
        cache: folder of prepared pictures, see `prepare_images`.
        agree: whether you accept the licence of a source that asks for it, see `fetch_faces`. Defaults to `False`.
        progress: file to draw the progress bar to. Defaults to stderr.
        report: function that is given lines about what was found and is done. Defaults to `print`.

    Returns:
        A `Trained`.

    Raises:
        ValueError: bad data, labels or settings, or a run's folder that was made with others (each is named); NaN or
            infinity in training.

    Example:
        >>> trained = train("drawn", "runs/first", image_size=32, minutes=2)
        >>> trained.faces
        PosixPath('runs/first/faces.png')
    """
    named = recipe if isinstance(recipe, str) else "own"
    if isinstance(data, PreparedImages):
        image_size = data.images.shape[1]
    devices = open_devices(distribute)
    recipe, gan = _checked_recipe(recipe, image_size, attributes)
    devices.check(gan, recipe.batch_size)
    if not devices.first:
        report = _say_nothing
    if epochs is None and minutes is None:
        epochs = 30
    positive = {"epochs": epochs, "minutes": minutes, "sample_every": sample_every, "keep": keep}
    for name, value in (positive | {"steps_per_execution": steps_per_execution}).items():
        if value is not None and value <= 0:
            raise ValueError(f"expected {name} above 0; received {value}; leave it out for the default")
    if precision not in ("auto", *PRECISIONS):
        raise ValueError(f"expected a precision of auto, {', '.join(PRECISIONS)}; received {precision!r}")
    template = _sample_template(sample_path)
    if deterministic:
        tf.config.experimental.enable_op_determinism()
    prepared = data
    if not isinstance(data, PreparedImages):
        prepared = prepare_images(data, image_size, crop=crop, count=count, cache=cache, agree=agree)
        for file, reason in prepared.skipped:
            report(f"skipped {file}: {reason}")
    labels = _labels(prepared, attributes, labels, report)
    steps = steps_per_epoch(len(prepared.images), recipe.batch_size)
    goal = None if epochs is None else epochs * steps
    output = Path(output or Path("runs") / f"{prepared.source}-{image_size}px-{_file_name(named)}-seed{seed}")
    working_copy = _working_copy(output, working_copy) if devices.meeting is None else None
    if working_copy is not None and fetch(output, working_copy):
        report(f"copied {output} to {working_copy}")
    run = Run(working_copy or output, keep=keep)
    made_with = run.settings if (run.folder / "settings.json").exists() else {}
    precision = _settled_precision(made_with.get("precision"), precision, report)
    settings = dataclasses.asdict(recipe) | {
        "image_size": image_size,
        "crop": prepared.crop,
        "seed": seed,
        "image_count": len(prepared.images),
        "data": prepared.fingerprint,
        "precision": precision,
    }
    if labels is not None:
        described = [dataclasses.asdict(attribute) for attribute in labels.attributes]
        settings |= {"attributes": described, "labels": labels.fingerprint}
    if devices.strategy is not None:
        settings |= {"replicas": devices.replicas, "synchronised": synchronised}
    if recipe.planned(image_size):
        planned = made_with.get("planned_steps") or goal
        devices.plan(planned, minutes)
        if not planned:
            report("measuring the speed, to plan the steps")
            planned = steps_in(minutes, recipe, prepared.images, precision, labels)
            report(f"planned: {planned:,} steps in {minutes:g} minutes; kept in settings.json")
        settings["planned_steps"] = planned
        if goal and goal > planned and recipe.final_learning_rate < 1:
            report(f"the learning rates fell until step {planned:,}, as planned, and stay low from there")
    plan = {"epochs": epochs, "steps_per_execution": steps_per_execution, "deterministic": deterministic}
    devices.open_run(run, settings, _notes(prepared.source, named), plan | {"health": health})
    stop = StopWhenTold(minutes)
    try:
        stop.listen()
        directory, name = template or (run.samples, "epoch_{epoch}.png")
        latents = sample_latents(64, recipe.latent_dim, seed=seed)
        per_execution = steps_per_execution or (10 if tf.config.list_physical_devices("GPU") else 1)
        if health and unseen is None and prepared.source == "drawn":
            unseen = draw_faces(UNSEEN, image_size, seed=UNSEEN_SEED)[0]
        planned, smaller, before = settings.get("planned_steps"), None, None
        for stage, part in _left(stages(recipe, image_size, planned), run, settings, devices.first):
            stop.listen()
            with devices.scope():
                size, first = stage.image_size, stage.first
                gan = build_gan(recipe, size, seed, precision, planned, labels, synchronised, first_step=first)
                if health:
                    gan.keep_signals()
            start = devices.restore(part, gan)
            if smaller is not None and not start:
                grow(smaller, gan)
                start = gan.step
                devices.first and part.take_over(before)
            at = f"goes on at step {start}, epoch {start // steps}" if start else "new"
            report(f"run: {output} ({at}); {len(prepared.images)} faces of {size} pixels, {steps} steps an epoch")
            if devices.strategy is not None:
                report(f"on {devices}, each with {recipe.batch_size // devices.replicas} of {recipe.batch_size} images")
            end = min((one for one in (stage.last, goal) if one is not None), default=None)
            watchers = [
                ProgressBar(recipe.batch_size, end, stop.minutes_left, progress),
                *([_monitor(prepared, unseen, recipe, stage, part.folder, report)] if health else []),
                StopWhenBroken(),
                DrawSamples(latents, steps, directory=directory, name=name, every=sample_every, scale=stage.shrink),
                *callbacks,
                SaveRun(part, steps, recipe.batch_size, checkpoint_seconds, best_by),
                stop,
            ]
            if not devices.first:
                watchers = [StopWhenBroken(), *callbacks, stop]
            elif tensorboard:
                watchers.append(WriteTensorBoard(part.folder / "tensorboard", latents))
            if working_copy is not None:
                watchers.append(FlushWorkingCopy(working_copy, output, flush_seconds))
            if end is not None and start >= end:
                devices.first and part.save(gan)  # so that a generator that was damaged is there again
            else:
                stream = functools.partial(training_batches, prepared.images, recipe, labels, stage.shrink, seed=seed)
                _fit(gan, devices.fit(gan), devices.stream(stream), end, steps, per_execution, watchers)
            if gan.stop_training or (goal is not None and gan.step >= goal):
                break
            smaller, before = gan, part
        if stage.shrink > 1:
            reached = f"it stopped at {stage.image_size} of {image_size} pixels"
            report(f"{reached}, step {gan.step:,} of {planned:,} planned; the same command goes on to larger ones")
        if goal is not None and start >= goal:
            report(f"it has its {epochs} epochs already; ask for more to train on")
        if devices.first:
            _draw_faces(gan, run.folder / "faces.png", seed)
        devices.finish()
        if working_copy is not None:
            flush_to(working_copy, output)
    finally:
        stop.close()
        run.close()
        devices.close()
    samples = Path(directory) if template else output / "samples"
    return Trained(gan, run, output, prepared, steps, stop.interrupted, output / "faces.png", samples)


def _left(plan, run, settings, writes):
    """The stages that a run has not left behind yet, each with its own run: in the end the run itself."""
    runs = [run if stage.shrink == 1 else run.smaller(stage.image_size) for stage in plan]
    begun = max((number for number, part in enumerate(runs) if part.begun), default=0)
    for stage, part in list(zip(plan, runs, strict=True))[begun:]:
        if part is not run and writes:
            part.open(settings | {"image_size": stage.image_size})
        yield stage, part


def _monitor(prepared, unseen, recipe, stage, folder, report):
    def say(line):
        with tqdm.external_write_mode():  # above the progress bar
            report(line)

    settings = {"batch_size": recipe.batch_size, "folder": folder, "report": say, "shrink": stage.shrink}
    return HealthMonitor(prepared.images, unseen=unseen, **settings)


def _draw_faces(gan, file, seed):
    grid = generate_images(gan.averaged_generator, 64, seed=seed)
    grid = image_grid(grid, scale=2 if grid.shape[1] < 64 else 1)
    write_whole(file, lambda opened: Image.fromarray(grid).save(opened, "PNG"))


def _say_nothing(line):
    """What a worker reports that does not write: the first one says it."""


def _fit(gan, fit, stream, goal, steps, per_execution, callbacks):
    """`fit` from any step on: first the rest of the epoch under way, then whole epochs, then what is left."""
    per_execution = _nearest_divisor(steps, per_execution)
    whole = keras.callbacks.CallbackList(callbacks, model=gan)
    gan.stop_training = False
    try:
        whole.on_train_begin()
        while not gan.stop_training and (goal is None or gan.step < goal):
            epoch, done = divmod(gan.step, steps)
            left = min(steps - done, steps if goal is None else goal - gan.step)
            last = epoch + 1 if left < steps else 10**9 if goal is None else goal // steps
            wanted = 1 if left % per_execution else per_execution
            if gan.steps_per_execution != wanted:
                gan.steps_per_execution, gan.train_function = wanted, None
            fit(
                stream(start_step=gan.step),
                initial_epoch=epoch,
                epochs=last,
                steps_per_epoch=left,
                shuffle=False,  # the stream is shuffled already; Keras would warn that it cannot
                callbacks=[_Within(whole)],
                verbose=0,
            )
        whole.on_train_end()
    except BaseException:  # nothing is saved from here: what failed may be the state itself
        for callback in callbacks:
            getattr(callback, "close", lambda: None)()
        raise


def _nearest_divisor(steps, wanted):
    return min((n for n in range(1, steps + 1) if steps % n == 0), key=lambda n: abs(n - wanted))


class _Within(keras.callbacks.Callback):
    """Passes on epochs and batches, not the begin and end of each `fit`: to the callbacks it is one training."""

    def __init__(self, whole):
        super().__init__()
        self.on_epoch_begin = whole.on_epoch_begin
        self.on_epoch_end = whole.on_epoch_end
        self.on_train_batch_begin = whole.on_train_batch_begin
        self.on_train_batch_end = whole.on_train_batch_end


def _settled_precision(recorded, precision, report):
    """A run keeps the precision it was made with; a new one takes what was asked for, or what suits the machine."""
    best, reason = hardware_precision()
    if precision != "auto":
        return precision
    if recorded in PRECISIONS and recorded != best:
        report(f"warning: this run computes in {recorded}, as it was made; this machine ({reason}) would take {best}")
    return recorded or best


def _working_copy(output, working_copy):
    if working_copy is not None:
        return Path(working_copy)
    on_drive = COLAB_DRIVE in output.resolve().parents
    return COLAB_DISK / output.name if on_drive else None


def _file_name(recipe):
    return recipe.replace(",", "-").replace("=", "-")


def _checked_recipe(recipe, image_size, attributes):
    if isinstance(recipe, str):
        recipe = read_recipe(recipe)
    # The narrowest networks, made and thrown away, refuse what makes no sense before anything is written.
    stand_in = Labels(tuple(map(Attribute, attributes)), np.zeros((1, len(attributes)), np.float32))
    stages(recipe, image_size)
    narrow = dataclasses.replace(recipe, base_filters=1)
    return recipe, build_gan(narrow, image_size, labels=stand_in if attributes else None)


def _labels(prepared, attributes, table, report):
    """The labels to train with, `None` for an unconditional GAN; what is not known of the pictures is said."""
    if not attributes:
        if table is not None:
            raise ValueError(
                f"expected the names of attributes beside a table of labels; received none beside '{table}'; give some "
                "(--attributes Smiling,Eyeglasses), or leave the table out"
            )
        return None
    if table is None and prepared.origin is not None:
        table = find_labels(prepared.origin)
    labels = labels_of(prepared, attributes, table)
    if labels.unlabelled:
        report(f"{labels.unlabelled} of {len(labels.values)} faces have no labels; theirs count as unknown")
    unknown = np.isnan(labels.values).sum(0) - labels.unlabelled
    for name, count in zip(labels.names, unknown, strict=True):
        if count:
            report(f"{name} is unknown of {count} of {len(labels.values) - labels.unlabelled} faces that have labels")
    return labels


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
    hardware = {"precision": hardware_precision()[1], "onednn": os.environ.get("TF_ENABLE_ONEDNN_OPTS", "default")}
    versions |= {"tensorflow": tf.__version__}
    return {"source": source, "recipe": recipe, "versions": versions, "hardware": hardware}
