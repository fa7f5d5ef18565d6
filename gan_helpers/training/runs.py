"""A run's folder: its settings, checkpoints, history and samples, so that it can be stopped and gone on with."""

import json
import warnings
import zipfile
from pathlib import Path

import filelock
import keras
import numpy as np

from gan_helpers.data.labels import Labels
from gan_helpers.training.checkpoints import read_checkpoint, write_checkpoint
from gan_helpers.training.files import flush, put_in_place, read_table, table_bytes, write_whole

HISTORY_COLUMNS = ("epoch", "step", "d_loss", "g_loss", "real_score", "fake_score")
TIMING_COLUMNS = ("epoch", "step", "seconds", "images_per_second")
LOCK = ".lock"
LABELS = "attributes.json"  # an entry of generator.keras, which Keras passes over


class Run:
    """The folder of one training run.

    It holds `settings.json`, `history.csv` (a row an epoch), `timing.csv`, `samples/`, `checkpoints/` and
    `generator.keras`, the averaged generator in stock Keras layers. Every file is written aside, flushed and then
    renamed, so that a kill at any instant leaves a folder that goes on. The tables stand in each checkpoint too, which
    restores them where they are damaged. While a run is open, a lock keeps other processes from training into it.

    Args:
        folder: path of the folder; made when settings are first written to it.
        keep: how many of the newest checkpoints are kept, at least 1. Defaults to `2`.

    Raises:
        ValueError: `keep` below 1.

    Example:
        >>> run = Run("runs/first")
        >>> run.open({"image_size": 64, "seed": 0})
        >>> run.save(gan)
        >>> run.restore(gan)   # later, into a GAN built alike
        1200
        >>> run.close()
    """

    def __init__(self, folder, *, keep=2):
        if keep < 1:
            raise ValueError(f"expected at least 1 checkpoint to keep; received {keep}; 2 outlive damage to one")
        self.folder = Path(folder)
        self.keep = keep
        self.samples = self.folder / "samples"
        self.generator_file = self.folder / "generator.keras"
        self._tables = {"history": [], "timing": []}
        self._lock = filelock.FileLock(self.folder / LOCK, timeout=0)

    def open(self, settings, notes=None):
        """Makes the folder, or checks that it was made with the same settings.

        Args:
            settings: `dict` of plain data that the mathematics of the run depends on.
            notes: `dict` of plain data that is recorded but may differ, such as versions.

        Raises:
            ValueError: the folder holds a run with other settings (each is named), or things that are no run; or
                another process is training into it.
        """
        settings = json.loads(json.dumps(settings))
        file = self.folder / "settings.json"
        if not file.exists() and self.folder.is_dir() and any(self._others()):
            raise ValueError(
                f"expected a new or empty folder, or one that a run was made in, at '{self.folder}'; received a "
                "folder with other files and no settings.json; choose another with --output"
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        self._take_lock()
        try:
            if file.exists():
                self._compare(settings)
            for name in ("samples", "checkpoints"):
                (self.folder / name).mkdir(exist_ok=True)
            if not file.exists():
                write_whole(file, json.dumps({"settings": settings, "notes": notes or {}}, indent=1).encode())
        except BaseException:
            self.close()
            raise

    def close(self):
        """Lets other processes train into the run. A process that ends, however it ends, does so too."""
        self._lock.release(force=True)

    def smaller(self, image_size):
        """The run, in a folder within this one's, of the part of a training that makes smaller pictures."""
        return Run(self.folder / f"{image_size}px", keep=self.keep)

    @property
    def begun(self):
        """Whether it has a checkpoint."""
        return bool(self._checkpoints())

    def take_over(self, other):
        """Begins with the history and timing of another run, which this one goes on from."""
        self._tables = {name: list(rows) for name, rows in other._tables.items()}
        self._write_tables()

    def _others(self):
        """What stands in the folder, but for what a kill while the run was made can leave."""
        made = {LOCK, "settings.json.writing"}
        return (
            path
            for path in self.folder.iterdir()
            if path.name not in made and not (path.name in ("samples", "checkpoints") and not any(path.iterdir()))
        )

    def _take_lock(self):
        try:
            self._lock.acquire()
        except filelock.Timeout:
            raise ValueError(
                f"expected a run that nobody else is training at '{self.folder}'; received one that another process "
                "holds open; wait for it, end it, or choose another --output"
            ) from None

    def _compare(self, settings):
        found = self.settings
        names = sorted(set(settings) | set(found))
        differing = [name for name in names if settings.get(name) != found.get(name)]
        if differing:
            listed = "; ".join(f"{name}: {found.get(name)} there, {settings.get(name)} now" for name in differing)
            raise ValueError(
                f"expected the settings that the run '{self.folder}' was made with; received others ({listed}); "
                "give the same settings to go on with it, or another --output for a new run"
            )

    @property
    def settings(self):
        """The settings that the run was made with."""
        file = self.folder / "settings.json"
        try:
            settings = json.loads(file.read_text(encoding="utf-8"))["settings"]
            return dict(settings)
        except (FileNotFoundError, NotADirectoryError):
            raise ValueError(
                f"expected the folder of a run at '{self.folder}'; received one without settings.json; "
                "check the path, or train first"
            ) from None
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"expected settings as JSON in '{file}'; received a damaged file ({error}); "
                "restore it from a copy, or start a new run with another --output"
            ) from None

    # Checkpoints

    def save(self, gan):
        """Writes a checkpoint of everything the next step depends on, and `generator.keras`.

        Args:
            gan: a compiled `GAN`.
        """
        write_checkpoint(self.folder / "checkpoints" / f"step_{gan.step:08d}.npz", gan, self._tables)
        self._save_generator(gan, self.generator_file)
        for old in self._checkpoints()[self.keep :]:
            old.unlink()

    def save_best(self, gan):
        """Writes `checkpoints/best.npz` and `best.keras`, which stay until a better one comes.

        Args:
            gan: a compiled `GAN`.
        """
        write_checkpoint(self.folder / "checkpoints" / "best.npz", gan, self._tables)
        self._save_generator(gan, self.folder / "best.keras")

    def restore(self, gan, *, only_read=False):
        """Loads the newest checkpoint that is whole, and with it the history and timing of its moment.

        Args:
            gan: a compiled `GAN` built from the run's settings.
            only_read: leave the tables in the folder as they are, for a worker that does not write the run. Defaults to
                `False`.

        Returns:
            The step to go on from, an `int`; 0 for a new run.

        Raises:
            ValueError: there was progress, but no checkpoint of it can be read.
        """
        files = self._checkpoints()
        for file in files:
            try:
                self._tables = read_checkpoint(file, gan)
            except ValueError as error:
                warnings.warn(f"checkpoint '{file}' is damaged and passed over ({error})", stacklevel=2)
                continue
            if not only_read:
                self._write_tables()
            return gan.step
        signs = ("history.csv", "timing.csv", "generator.keras")
        if files or any((self.folder / name).exists() for name in signs):
            raise ValueError(
                f"expected a readable checkpoint in '{self.folder / 'checkpoints'}'; received "
                f"{len(files)} that cannot be read; restore one from a copy, or start anew with another --output"
            )
        return 0

    def _checkpoints(self):
        return sorted((self.folder / "checkpoints").glob("step_*.npz"), reverse=True)

    @staticmethod
    def _save_generator(gan, file):
        aside = file.with_suffix(".writing.keras")
        try:
            gan.averaged_generator.save(aside)
            if gan.labels is not None:
                with zipfile.ZipFile(aside, "a", zipfile.ZIP_DEFLATED) as archive:
                    archive.writestr(LABELS, gan.labels.as_json())
            flush(aside)
            put_in_place(aside, file)
        finally:
            aside.unlink(missing_ok=True)

    # Tables

    def history(self):
        """The rows of `history.csv`, a list of dicts: `epoch` and `step` ints, the rest floats."""
        return read_table(self.folder / "history.csv")

    def add_history(self, row):
        """Adds one row (a dict with the `HISTORY_COLUMNS`, and what else was logged) to `history.csv`."""
        self._tables["history"].append(row)
        self._write_tables("history")

    def add_timing(self, row):
        """Adds one row (a dict with the `TIMING_COLUMNS`) to `timing.csv`."""
        self._tables["timing"].append(row)
        self._write_tables("timing")

    def _write_tables(self, *names):
        for name, columns in (("history", HISTORY_COLUMNS), ("timing", TIMING_COLUMNS)):
            if name not in (names or self._tables):
                continue
            file, content = self.folder / f"{name}.csv", table_bytes(columns, self._tables[name])
            wanted = bool(self._tables[name])
            if wanted and not (file.exists() and file.read_bytes() == content):
                write_whole(file, content)
            elif not wanted:
                file.unlink(missing_ok=True)


def newest_step(model):
    """The step of a run's newest checkpoint, which `generator.keras` was saved with; `None` for a file."""
    names = sorted(path.stem for path in (_grown(Path(model)) / "checkpoints").glob("step_*.npz"))
    return int(names[-1].removeprefix("step_")) if names else None


def _grown(folder):
    """The folder in which a run has its newest generator: its own, or that of the largest size it has grown to yet."""
    parts = sorted(folder.glob("*px/generator.keras"), key=lambda file: int(file.parent.name.removesuffix("px")))
    return folder if (folder / "generator.keras").exists() or not parts else parts[-1].parent


def load_generator(model, *, averaged=True):
    """The averaged generator of a run, or any generator that was saved with Keras.

    Args:
        model: path of a run's folder, or of a `.keras` file.
        averaged: `False` gives the generator that played, with its weights in the run's newest checkpoint, to compare
            with. Defaults to `True`.

    Returns:
        A `keras.Model` from latents to images in [-1, 1]. One with attributes takes a list of latents and attributes;
        its `labels` are `Labels` with their names, ranges, and rows of the data to draw from.

    Raises:
        ValueError: there is no such run or file, it is damaged, it is no generator of images, or it has no checkpoint
            to take other weights from.

    Example:
        >>> faces = generate_images(load_generator("runs/first"), 16)
    """
    model = _grown(Path(model))
    file = Run(model).generator_file if model.is_dir() else model
    if not file.is_file():
        raise ValueError(
            f"expected a run's folder or a .keras file at '{model}'; received "
            f"{'a folder without generator.keras' if model.is_dir() else 'nothing'}; check the path, or train first"
        )
    try:
        with zipfile.ZipFile(file) as archive:
            damaged = archive.testzip()  # Keras reads parts without looking at their checksums
            if damaged:
                raise zipfile.BadZipFile(f"{damaged} is damaged")
            labels = archive.read(LABELS).decode() if LABELS in archive.namelist() else None
        generator = keras.models.load_model(file, compile=False)
        if labels is not None:
            generator.labels = Labels.from_json(labels)
    except Exception as error:
        raise ValueError(
            f"expected a whole Keras model in '{file}'; received a file that does not load "
            f"({' '.join(str(error).split())[:200]}); if it is a run's, the same train command as before writes it anew"
        ) from error
    check_generator(generator)
    if not averaged:
        _give_raw_weights(generator, model)
    return generator


def check_generator(model):
    """Refuses what makes no images from latents.

    Args:
        model: a `keras.Model`.

    Raises:
        ValueError: it has other inputs or another output.
    """
    inputs = [tuple(one.shape) for one in getattr(model, "inputs", None) or ()]
    output = tuple(model.output_shape) if inputs else ()
    if [len(shape) for shape in inputs] not in ([2], [2, 2]) or len(output) != 4 or output[-1] != 3:
        found = f"a model from {', '.join(map(str, inputs))} to {output}" if inputs else f"a {type(model).__name__}"
        raise ValueError(
            f"expected a generator from (batch, latent_dim) to images; received {found}; give a generator, such as a "
            "GAN's averaged_generator, or its file"
        )


def _give_raw_weights(generator, model):
    step = newest_step(model)
    if step is None:
        raise ValueError(
            f"expected a run's folder with a checkpoint, for weights that are not averaged; received '{model}'; "
            "take the averaged ones"
        )
    file = model / "checkpoints" / f"step_{step:08d}.npz"
    try:
        with np.load(file) as stored:
            generator.set_weights([stored[name] for name in sorted(stored.files) if name.startswith("generator/")])
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"expected a whole checkpoint in '{file}'; received a damaged one ({error}); train on with the run, or "
            "take the averaged weights"
        ) from error
