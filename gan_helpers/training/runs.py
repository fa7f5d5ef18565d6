"""A run's folder: its settings, checkpoints, history and samples, so that it can be stopped and gone on with."""

import csv
import json
import os
import warnings
import zipfile
from pathlib import Path

import keras
import numpy as np

HISTORY_COLUMNS = ("epoch", "step", "d_loss", "g_loss", "real_score", "fake_score")
TIMING_COLUMNS = ("epoch", "step", "seconds", "images_per_second")


class Run:
    """The folder of one training run.

    It holds `settings.json`, `history.csv` (a row an epoch), `timing.csv`, `samples/`, `checkpoints/` and
    `generator.keras`, the averaged generator in stock Keras layers. Every file is written aside, flushed and then
    renamed, so that a kill at any instant leaves a folder that goes on.

    Args:
        folder: path of the folder; made when settings are first written to it.
        keep: how many of the newest checkpoints are kept. Defaults to `2`.

    Example:
        >>> run = Run("runs/first")
        >>> run.open({"image_size": 64, "seed": 0})
        >>> run.save(gan)
        >>> run.restore(gan)   # later, into a GAN built alike
        1200
    """

    def __init__(self, folder, *, keep=2):
        self.folder = Path(folder)
        self.keep = keep
        self.samples = self.folder / "samples"
        self.generator_file = self.folder / "generator.keras"

    def open(self, settings, notes=None):
        """Makes the folder, or checks that it was made with the same settings.

        Args:
            settings: `dict` of plain data that the mathematics of the run depends on.
            notes: `dict` of plain data that is recorded but may differ, such as versions.

        Raises:
            ValueError: the folder holds a run with other settings (each is named), or things that are no run.
        """
        settings = json.loads(json.dumps(settings))
        file = self.folder / "settings.json"
        if not file.exists():
            if self.folder.is_dir() and any(self.folder.iterdir()):
                raise ValueError(
                    f"expected a new or empty folder, or one that a run was made in, at '{self.folder}'; received a "
                    "folder with other files and no settings.json; choose another with --output"
                )
            for name in ("samples", "checkpoints"):
                (self.folder / name).mkdir(parents=True, exist_ok=True)
            write_whole(file, json.dumps({"settings": settings, "notes": notes or {}}, indent=1).encode())
            return
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
            return json.loads(file.read_text(encoding="utf-8"))["settings"]
        except FileNotFoundError:
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
        arrays = {name: variable.numpy() for name, variable in _state(gan).items()}
        file = self.folder / "checkpoints" / f"step_{gan.step:08d}.npz"
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, lambda aside: np.savez(aside, **arrays))
        aside = self.folder / "generator.writing.keras"
        try:
            gan.averaged_generator.save(aside)
            _flush(aside)
            os.replace(aside, self.generator_file)
        finally:
            aside.unlink(missing_ok=True)
        for old in self._checkpoints()[self.keep :]:
            old.unlink()

    def restore(self, gan):
        """Loads the newest checkpoint that is whole, and cuts the history to it.

        Args:
            gan: a compiled `GAN` built from the run's settings.

        Returns:
            The step to go on from, an `int`; 0 for a new run.

        Raises:
            ValueError: there was progress, but no checkpoint of it can be read.
        """
        files = self._checkpoints()
        for file in files:
            try:
                self._load(file, gan)
            except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
                warnings.warn(f"checkpoint '{file}' is damaged and passed over ({error})", stacklevel=2)
                continue
            self._cut_tables(gan.step)
            return gan.step
        if files or self.history():
            raise ValueError(
                f"expected a readable checkpoint in '{self.folder / 'checkpoints'}'; received "
                f"{len(files)} that cannot be read; restore one from a copy, or start anew with another --output"
            )
        return 0

    def _checkpoints(self):
        return sorted((self.folder / "checkpoints").glob("step_*.npz"), reverse=True)

    @staticmethod
    def _load(file, gan):
        state = _state(gan)
        with np.load(file) as stored:
            arrays = {name: stored[name] for name in stored.files}  # reads all, which checks every CRC
        shapes = {name: array.shape for name, array in arrays.items()}
        if shapes != {name: tuple(variable.shape) for name, variable in state.items()}:
            raise ValueError("it holds other variables than this GAN")
        for name, variable in state.items():
            variable.assign(arrays[name])

    # Tables

    def history(self):
        """The rows of `history.csv`, a list of dicts: `epoch` and `step` ints, the rest floats."""
        return _read_table(self.folder / "history.csv")

    def add_history(self, row):
        """Adds one row (a dict with the `HISTORY_COLUMNS`) to `history.csv`."""
        _write_table(self.folder / "history.csv", HISTORY_COLUMNS, [*self.history(), row])

    def add_timing(self, row):
        """Adds one row (a dict with the `TIMING_COLUMNS`) to `timing.csv`."""
        file = self.folder / "timing.csv"
        _write_table(file, TIMING_COLUMNS, [*_read_table(file), row])

    def _cut_tables(self, step):
        for name, columns in (("history.csv", HISTORY_COLUMNS), ("timing.csv", TIMING_COLUMNS)):
            rows = _read_table(self.folder / name)
            kept = [row for row in rows if row["step"] <= step]
            if len(kept) < len(rows):
                _write_table(self.folder / name, columns, kept)


def load_generator(model):
    """The averaged generator of a run, or any generator that was saved with Keras.

    Args:
        model: path of a run's folder, or of a `.keras` file.

    Returns:
        A `keras.Model` from latents to images in [-1, 1].

    Raises:
        ValueError: there is no such run or file, it is damaged, or it is no generator of images.

    Example:
        >>> faces = generate_images(load_generator("runs/first"), 16)
    """
    model = Path(model)
    file = Run(model).generator_file if model.is_dir() else model
    if not file.is_file():
        raise ValueError(
            f"expected a run's folder or a .keras file at '{model}'; received "
            f"{'a folder without generator.keras' if model.is_dir() else 'nothing'}; check the path, or train first"
        )
    try:
        generator = keras.models.load_model(file, compile=False)
    except Exception as error:
        raise ValueError(
            f"expected a whole Keras model in '{file}'; received a file that does not load "
            f"({str(error).splitlines()[0]}); if the run has checkpoints, train on for a moment to write it anew"
        ) from error
    if len(generator.input_shape) != 2 or len(generator.output_shape) != 4:
        raise ValueError(
            f"expected a generator from (batch, latent_dim) to images; received a model from "
            f"{generator.input_shape} to {generator.output_shape}; give a generator's file"
        )
    return generator


def write_whole(file, content):
    """Writes a file aside, flushes it to disk, then renames it; a kill leaves the old file or the new one.

    Args:
        file: path to write.
        content: `bytes`, or a function that takes the open binary file.
    """
    file = Path(file)
    aside = file.with_name(file.name + ".writing")
    try:
        with open(aside, "wb") as opened:
            content(opened) if callable(content) else opened.write(content)
            opened.flush()
            os.fsync(opened.fileno())
        os.replace(aside, file)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise


def _flush(file):
    with open(file, "rb") as opened:
        os.fsync(opened.fileno())


def _state(gan):
    """Every variable that the next step depends on, by its owner and number; Keras' own names count up in a process."""
    owners = {
        "generator": gan.generator.variables,
        "discriminator": gan.discriminator.variables,
        "averaged_generator": gan.averaged_generator.variables,
        "g_optimizer": gan.g_optimizer.variables,
        "d_optimizer": gan.d_optimizer.variables,
        "means": [variable for mean in gan.means for variable in mean.variables],
        "updates": [gan.d_updates, gan.g_updates],
    }
    return {
        f"{owner}/{number:03d}": variable
        for owner, variables in owners.items()
        for number, variable in enumerate(variables)
    }


def _read_table(file):
    if not file.exists():
        return []
    with open(file, newline="", encoding="utf-8") as opened:
        return [
            {name: int(value) if name in ("epoch", "step") else float(value) for name, value in row.items()}
            for row in csv.DictReader(opened)
        ]


def _write_table(file, columns, rows):
    lines = [",".join(columns)] + [",".join(repr(row[name]) for name in columns) for row in rows]
    write_whole(file, ("\n".join(lines) + "\n").encode())
