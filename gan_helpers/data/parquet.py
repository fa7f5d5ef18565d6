"""Pictures out of parquet files, as the Hugging Face Hub keeps them, with what their other columns say of them."""

import csv
from pathlib import Path

from tqdm import tqdm

ROWS = 32  # at a time in memory
# The first bytes of a picture file, by its ending; what begins otherwise is named when it is decoded.
BEGINNINGS = {b"\x89PNG": ".png", b"GIF8": ".gif", b"RIFF": ".webp", b"BM": ".bmp", b"II*\0": ".tif", b"MM\0*": ".tif"}


def unpack_tables(files, folder, column=None):
    """Writes each picture of some parquet files into a file, and their numbers and truths into `labels.csv`.

    Rows keep their order: `0000000.jpg`, `0000001.jpg`, … A row without a picture gives an empty file, so that it is
    named when the pictures are prepared.

    Args:
        files: paths of parquet files with the same columns, in order.
        folder: path of a folder to write into.
        column: name of the column of the pictures. Defaults to the only one that holds pictures, or to `image`.

    Returns:
        The folder, a `pathlib.Path`.

    Raises:
        ValueError: a file is damaged, or no column, or not one alone, can be meant; the message lists the columns.

    Example:
        >>> unpack_tables(["data/train-00000-of-00001.parquet"], "faces")
        PosixPath('faces')
    """
    import pyarrow
    import pyarrow.parquet

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with pyarrow.parquet.ParquetFile(files[0]) as table:
            column = picture_column(table.schema_arrow, column)
            labels = label_columns(table.schema_arrow)
        rows = (row for file in files for row in _rows(file, column, labels))
        with open(folder / "labels.csv", "w", newline="", encoding="utf-8") as listed:
            writer = csv.writer(listed)
            writer.writerow(["file", *labels])
            for number, row in enumerate(tqdm(rows, desc="unpacking", unit=" pictures", leave=False)):
                content = _content(row[column])
                file = folder / f"{number:07}{_ending(content)}"
                file.write_bytes(content)
                writer.writerow([file.name, *(_number(row.get(name)) for name in labels)])
    except pyarrow.ArrowException as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(
            f"expected whole parquet files in '{Path(files[0]).parent}'; received a damaged one ({reason}); download "
            "them again"
        ) from error
    if not labels:
        (folder / "labels.csv").unlink()
    return folder


def picture_column(schema, asked=None):
    """The name of the column of a parquet file's pictures.

    Args:
        schema: `pyarrow.Schema`.
        asked: the name that is wanted. Defaults to the only column that can hold pictures, or to `image`.

    Returns:
        A name: of a column of bytes, or of bytes and a path, as the package `datasets` writes pictures.

    Raises:
        ValueError: there is no such column, or several and none of them is `image`.
    """
    import pyarrow

    def is_bytes(kind):
        return pyarrow.types.is_binary(kind) or pyarrow.types.is_large_binary(kind)

    def is_picture(kind):
        return pyarrow.types.is_struct(kind) and kind.get_field_index("bytes") >= 0

    pictures = [one.name for one in schema if is_picture(one.type)]
    pictures = pictures or [one.name for one in schema if is_bytes(one.type)]
    for name in (asked,) if asked else ("image", *pictures):
        if name in pictures and (asked or name == "image" or len(pictures) == 1):
            return name
    kinds = ", ".join(f"{one.name} ({'pictures' if one.name in pictures else one.type})"[:60] for one in schema)
    wanted = f"a column of pictures called {asked!r}" if asked else "one column of pictures"
    raise ValueError(f"expected {wanted}; received {kinds}; name one with pictures, as in hf:OWNER/NAME:train:image")


def label_columns(schema):
    """The names of a parquet file's columns that hold a number or a truth for each row."""
    import pyarrow

    kinds = (pyarrow.types.is_boolean, pyarrow.types.is_integer, pyarrow.types.is_floating)
    return [
        one.name
        for one in schema
        if any(fits(one.type) for fits in kinds) and one.name != "file" and not one.name.startswith("__")
    ]


def _rows(file, column, labels):
    import pyarrow.parquet

    # Without `pre_buffer`, page by page: a group of rows may hold a gigabyte of pictures.
    with pyarrow.parquet.ParquetFile(file, pre_buffer=False, buffer_size=1 << 20) as table:
        column = picture_column(table.schema_arrow, column)  # says what there is instead
        for batch in table.iter_batches(ROWS, columns=[column, *labels]):
            yield from batch.to_pylist()


def _content(value):
    return (value.get("bytes") if isinstance(value, dict) else value) or b""


def _ending(content):
    known = (ending for beginning, ending in BEGINNINGS.items() if content.startswith(beginning))
    return next(known, ".avif" if content[4:12] == b"ftypavif" else ".jpg")


def _number(value):
    return "" if value is None else int(value) if isinstance(value, bool) else value
