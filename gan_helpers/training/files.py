"""Files that a kill or a loss of power leaves whole."""

import csv
import io
import os
import zipfile
from pathlib import Path

import numpy as np


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
        put_in_place(aside, file)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise


def write_arrays(file, arrays):
    """Writes arrays as `.npz`, whole; each has a checksum.

    As `numpy.savez`, which leaves its archive open where a write fails: it then complains, long after, on stderr.

    Args:
        file: path to write.
        arrays: `dict` of arrays by name.
    """

    def write(opened):
        with zipfile.ZipFile(opened, "w") as archive:
            for name, array in arrays.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as part:
                    np.lib.format.write_array(part, np.asanyarray(array), allow_pickle=False)

    write_whole(file, write)


def put_in_place(aside, file):
    """Renames a flushed file to its name and flushes the folder, so that the name too outlives a loss of power."""
    os.replace(aside, file)
    if os.name == "posix":  # Windows opens no folders
        folder = os.open(file.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        except OSError:
            pass  # some network file systems refuse to flush folders; the file itself is flushed
        finally:
            os.close(folder)


def flush(file):
    """Flushes to disk a file that something else wrote."""
    with open(file, "rb+") as opened:
        os.fsync(opened.fileno())


def read_table(file):
    """The rows of a table: a list of dicts, `epoch` and `step` as ints, the rest as floats; empty without a file.

    Raises:
        ValueError: the file is damaged.
    """
    if not file.exists():
        return []
    try:
        text = file.read_bytes().decode()
        if not text.endswith("\n"):
            raise ValueError("its last row is cut off")
        return [
            {name: int(value) if name in ("epoch", "step") else float(value) for name, value in row.items()}
            for row in csv.DictReader(io.StringIO(text, newline=""), strict=True)
        ]
    except (ValueError, TypeError, AttributeError, csv.Error) as error:
        raise ValueError(
            f"expected a table with a row an epoch in '{file}'; received a damaged one ({error}); "
            "train with this run again, which restores it from the checkpoint"
        ) from error


def table_bytes(columns, rows):
    """A table as bytes: `columns` first, then whatever else the rows hold; a missing value is `nan`."""
    columns = [*columns, *sorted({name for row in rows for name in row} - set(columns))]
    lines = [",".join(columns)] + [",".join(repr(row.get(name, float("nan"))) for name in columns) for row in rows]
    return ("\n".join(lines) + "\n").encode()
