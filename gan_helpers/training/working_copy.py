"""A run's folder on a slow or distant disk, such as Google Drive, with a local copy to work in."""

import os
import shutil
import time
from pathlib import Path

import keras

from gan_helpers.training.files import flush, put_in_place
from gan_helpers.training.runs import LOCK

# What depends on nothing goes first; a checkpoint stands before the tables that are of its moment.
ORDER = ("settings.json", "checkpoints", "history.csv", "timing.csv", "generator.keras")


def fetch(folder, working_copy):
    """Copies a run into the working copy, unless what is there is as far or further.

    Args:
        folder: the run's folder; may be missing for a new run.
        working_copy: local folder; made when needed.

    Returns:
        Whether anything was copied.

    Raises:
        ValueError: both hold runs, made with different settings; or the folder holds things that are no run.
    """
    folder, working_copy = Path(folder), Path(working_copy)
    there, here = folder / "settings.json", working_copy / "settings.json"
    if not there.exists():
        if _files(folder):
            raise ValueError(
                f"expected a new or empty folder, or one that a run was made in, at '{folder}'; received a folder with "
                "other files and no settings.json; choose another with --output"
            )
        return False
    if here.exists() and here.read_bytes() != there.read_bytes():
        raise ValueError(
            f"expected the working copy '{working_copy}' to be one of the run '{folder}'; received another run; "
            "choose another working copy"
        )
    if here.exists() and _newest(working_copy) >= _newest(folder):
        return False
    for name in _files(folder):
        _copy(folder / name, working_copy / name)
    return True


def flush_to(working_copy, folder):
    """Copies what changed from the working copy to the run's folder, whole files only: a disconnect does no harm.

    Args:
        working_copy: local folder of the run.
        folder: the run's folder; made when needed.
    """
    working_copy, folder = Path(working_copy), Path(folder)
    names = _files(working_copy)
    for name in names:
        if _differs(working_copy / name, folder / name):
            _copy(working_copy / name, folder / name)
    for old in (folder / "checkpoints").glob("step_*.npz"):  # after the newer ones are there
        if f"checkpoints/{old.name}" not in names:
            old.unlink()


class FlushWorkingCopy(keras.callbacks.Callback):
    """Copies the run from its working copy to its folder at intervals and at the end; comes after `SaveRun`.

    Args:
        working_copy: local folder of the run.
        folder: the run's folder.
        seconds: seconds between copies: what a disconnect costs at most. Defaults to `300`.
    """

    def __init__(self, working_copy, folder, seconds=300.0):
        super().__init__()
        self.working_copy, self.folder, self.seconds = working_copy, folder, seconds

    def on_train_begin(self, logs=None):
        self._flush()

    def on_train_batch_end(self, batch, logs=None):
        if time.monotonic() - self._flushed_at >= self.seconds:
            self._flush()

    def on_train_end(self, logs=None):
        self._flush()

    def _flush(self):
        flush_to(self.working_copy, self.folder)
        self._flushed_at = time.monotonic()


def _files(folder):
    """Names of the run's files in the order in which they may be copied, half-written ones and the lock left out."""
    names = [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*")) if path.is_file()]
    names = [name for name in names if ".writing" not in name and name != LOCK]
    rank = {name: number for number, name in enumerate(ORDER)}
    return sorted(names, key=lambda name: rank.get(name.split("/")[0], len(rank)))


def _newest(folder):
    return max((int(path.stem[5:]) for path in (folder / "checkpoints").glob("step_*.npz")), default=-1)


def _differs(source, target):
    """By size and by time in seconds, which is what distant file systems keep."""
    if not target.exists():
        return True
    found, wanted = target.stat(), source.stat()
    return (found.st_size, int(found.st_mtime)) != (wanted.st_size, int(wanted.st_mtime))


def _copy(source, target):
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = target.with_name(target.name + ".writing")
    try:
        changed = source.stat().st_mtime
        shutil.copyfile(source, aside)
        # What is younger than two seconds may be written again within its second: dated back, it is copied once more.
        os.utime(aside, (changed - 10 if time.time() - changed < 2 else changed,) * 2)
        flush(aside)
        put_in_place(aside, target)
    finally:
        aside.unlink(missing_ok=True)
