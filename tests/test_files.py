import errno
import gc
import io
import os
import sys

import numpy as np
import pytest

from gan_helpers.training.files import put_in_place, read_table, table_bytes, write_arrays, write_whole

COLUMNS = ("epoch", "step", "d_loss", "g_loss")
ROWS = [
    {"epoch": 1, "step": 10, "d_loss": 0.1 + 0.2, "g_loss": 1e-309},
    {"epoch": 2, "step": 20, "d_loss": 1 / 3, "g_loss": -12345.678901234567},
]


@pytest.mark.parametrize("content", [b"new", lambda opened: opened.write(b"new")])
def test_write_whole_replaces(tmp_path, content):
    file = tmp_path / "table.csv"
    file.write_bytes(b"older and longer")
    write_whole(str(file), content)
    assert file.read_bytes() == b"new" and os.listdir(tmp_path) == ["table.csv"]


@pytest.mark.parametrize("error", [OSError("no space left on device"), KeyboardInterrupt()])
def test_failed_write_keeps_the_old_file(tmp_path, error):
    file = tmp_path / "table.csv"
    write_whole(file, b"old")

    def fail(opened):
        opened.write(b"ne")
        raise error

    with pytest.raises(type(error)):
        write_whole(file, fail)
    assert file.read_bytes() == b"old" and os.listdir(tmp_path) == ["table.csv"]


def test_what_a_kill_left_half_written_is_replaced(tmp_path):
    (tmp_path / "table.csv.writing").write_bytes(b"half of something longer")
    write_whole(tmp_path / "table.csv", b"whole")
    assert (tmp_path / "table.csv").read_bytes() == b"whole" and os.listdir(tmp_path) == ["table.csv"]


def test_content_is_on_disk_before_the_name(tmp_path, monkeypatch):
    calls, replace, fsync = [], os.replace, os.fsync
    monkeypatch.setattr(os, "fsync", lambda number: (calls.append("flush"), fsync(number)))
    monkeypatch.setattr(os, "replace", lambda old, new: (calls.append("rename"), replace(old, new)))
    write_whole(tmp_path / "table.csv", b"content")
    assert calls[:2] == ["flush", "rename"]


@pytest.mark.skipif(os.name != "posix", reason="elsewhere folders are not flushed")
def test_put_in_place_where_folders_refuse_to_be_flushed(tmp_path, monkeypatch):
    (tmp_path / "aside").write_bytes(b"new")
    (tmp_path / "file").write_bytes(b"old")

    def refuse(number):
        raise OSError("not supported")

    monkeypatch.setattr(os, "fsync", refuse)
    open_before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else None
    put_in_place(tmp_path / "aside", tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == b"new" and os.listdir(tmp_path) == ["file"]
    if open_before is not None:
        assert len(os.listdir("/proc/self/fd")) == open_before


def test_tables_to_the_last_digit(tmp_path):
    file = tmp_path / "history.csv"
    file.write_bytes(table_bytes(COLUMNS, ROWS))
    assert read_table(file) == ROWS
    assert all(isinstance(row[name], int) for row in read_table(file) for name in ("epoch", "step"))


def test_further_columns_come_last_and_are_nan_where_missing(tmp_path):
    file = tmp_path / "history.csv"
    file.write_bytes(table_bytes(COLUMNS, [ROWS[0], ROWS[1] | {"zeta": 2.0, "alpha": float("inf")}]))
    first, second = read_table(file)
    assert list(first) == [*COLUMNS, "alpha", "zeta"]
    assert np.isnan([first["alpha"], first["zeta"]]).all()
    assert second == ROWS[1] | {"alpha": float("inf"), "zeta": 2.0}


def test_no_file_is_no_rows(tmp_path):
    assert read_table(tmp_path / "history.csv") == []


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[: content.rindex(b",") - 3],
        lambda content: content[:-4],  # in the last number, which stays one
        lambda content: content[:9],
        lambda content: b"",
        lambda content: bytes(len(content)),
        lambda content: content[:40] + bytes(len(content) - 40),
        lambda content: bytes(40) + content[40:],
        lambda content: b"\x89PNG\r\n\x1a\n" + bytes(range(256)),
        lambda content: content.replace(b"0.3", b"zero"),
        lambda content: content + b'3,30,0.5,"0.5\n',
        lambda content: content + b"3,30,0.5,0.5,0.5\n",
    ],
    ids=["cut", "cut_number", "cut_names", "emptied", "zeroed", "end_zeroed", "start_zeroed", "binary", "word", "quote",
         "too_many"],
)  # fmt: skip
def test_damaged_tables_are_named(tmp_path, damage):
    file = tmp_path / "history.csv"
    file.write_bytes(damage(table_bytes(COLUMNS, ROWS)))
    with pytest.raises(ValueError, match="expected a table with a row an epoch in '.*history.csv'; received a damaged"):
        read_table(file)


def test_arrays_come_back(tmp_path):
    arrays = {"a/000": np.arange(6.0).reshape(2, 3), "count": np.int64(4), "names": np.array(["x", "yz"])}
    write_arrays(tmp_path / "some.npz", arrays)
    with np.load(tmp_path / "some.npz") as stored:
        assert stored.files == list(arrays)
        for name, array in arrays.items():
            np.testing.assert_array_equal(stored[name], array)


@pytest.mark.parametrize("room", [0, 100, 5000])
def test_a_full_disk_is_one_error(tmp_path, monkeypatch, room):
    """And no complaint of an archive that was left open, whenever it is collected."""

    class Full(io.FileIO):
        def write(self, content):
            if self.tell() + len(content) > room:
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(content)

    complaints = []
    monkeypatch.setattr(sys, "unraisablehook", complaints.append)
    monkeypatch.setattr("builtins.open", lambda file, mode: Full(file, mode))
    with pytest.raises(OSError, match="No space left"):
        write_arrays(tmp_path / "some.npz", {"a": np.zeros(4000), "b": np.zeros(10)})
    monkeypatch.undo()
    monkeypatch.setattr(sys, "unraisablehook", complaints.append)
    gc.collect()
    assert complaints == [] and list(tmp_path.iterdir()) == []
