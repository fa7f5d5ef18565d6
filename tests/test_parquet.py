"""Pictures out of parquet files: all of them, in order, with their labels, whatever the columns are called."""

import pytest
from hub_server import pictures, table

from gan_helpers.data.parquet import label_columns, picture_column, unpack_tables

pyarrow = pytest.importorskip("pyarrow")
BYTES = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
CONTENTS = [b"\xff\xd8\xff jpeg", b"\x89PNG png", b"RIFF....WEBP", b"GIF89a", b"\0\0\0 ftypavif", b"BM", b"II*\0", b"?"]


def _written(folder, *tables):
    files = [folder / f"train-{number:05}.parquet" for number in range(len(tables))]
    for file, columns in zip(files, tables, strict=True):
        file.write_bytes(table(columns))
    return files


def test_every_picture_in_order_with_its_ending(tmp_path):
    files = _written(tmp_path, {"image": pictures(CONTENTS[:3])}, {"image": pictures(CONTENTS[3:])})
    made = unpack_tables(files, tmp_path / "made")
    found = sorted(made.iterdir())
    assert [path.read_bytes() for path in found] == CONTENTS
    endings = [".jpg", ".png", ".webp", ".gif", ".avif", ".bmp", ".tif", ".jpg"]
    assert [path.name for path in found] == [f"{number:07}{ending}" for number, ending in enumerate(endings)]


def test_bytes_without_a_path_and_rows_without_a_picture(tmp_path):
    [file] = _written(tmp_path, {"photo": [CONTENTS[0], None, CONTENTS[1]]})
    found = sorted(unpack_tables([file], tmp_path / "made").iterdir())
    assert [path.read_bytes() for path in found] == [CONTENTS[0], b"", CONTENTS[1]]


def test_numbers_and_truths_become_labels(tmp_path):
    columns = {"image": pictures(CONTENTS[:3]), "Smiling": [True, False, None], "age": [31, 7, 64]}
    columns |= {"name": ["a", "b", "c"], "__index_level_0__": [0, 1, 2], "score": [0.5, None, 1.5]}
    made = unpack_tables(_written(tmp_path, columns), tmp_path / "made")
    assert (made / "labels.csv").read_text().split() == [
        "file,Smiling,age,score", "0000000.jpg,1,31,0.5", "0000001.png,0,7,", "0000002.webp,,64,1.5",
    ]  # fmt: skip
    assert not list(made.glob("*.writing")) and len(list(made.iterdir())) == 4


@pytest.mark.parametrize(
    ("columns", "asked", "chosen"),
    [
        ({"photo": BYTES, "label": pyarrow.int64()}, None, "photo"),
        ({"mask": BYTES, "image": BYTES}, None, "image"),
        ({"mask": BYTES, "image": BYTES}, "mask", "mask"),
        ({"embedding": pyarrow.binary(), "face": BYTES}, None, "face"),
        ({"jpg": pyarrow.large_binary(), "text": pyarrow.string()}, None, "jpg"),
    ],
)
def test_the_column_that_is_meant(columns, asked, chosen):
    assert picture_column(pyarrow.schema(columns.items()), asked) == chosen


@pytest.mark.parametrize(
    ("columns", "asked", "message"),
    [
        (
            {"left": BYTES, "right": BYTES},
            None,
            r"one column of pictures; received left \(pictures\), right \(pictures\)",
        ),
        ({"url": pyarrow.string()}, None, r"received url \(string\); name one with pictures"),
        (
            {"image": BYTES, "label": pyarrow.int64()},
            "label",
            "called 'label'; received image .pictures., label .int64.",
        ),
    ],
)
def test_a_column_that_cannot_be_meant(columns, asked, message):
    with pytest.raises(ValueError, match=message):
        picture_column(pyarrow.schema(columns.items()), asked)


def test_columns_of_labels():
    kinds = {"a": pyarrow.bool_(), "b": pyarrow.float32(), "c": pyarrow.string(), "file": pyarrow.int8(), "d": BYTES}
    assert label_columns(pyarrow.schema(kinds.items())) == ["a", "b"]


def test_files_that_are_unlike_or_damaged(tmp_path):
    whole, other = _written(tmp_path, {"image": pictures(CONTENTS)}, {"photo": pictures(CONTENTS)})
    with pytest.raises(ValueError, match=r"a column of pictures called 'image'; received photo \(pictures\)"):
        unpack_tables([whole, other], tmp_path / "made")
    whole.write_bytes(whole.read_bytes()[:-20])
    with pytest.raises(
        ValueError, match="expected whole parquet files in .*; received a damaged one .*; download them"
    ):
        unpack_tables([whole], tmp_path / "made")
