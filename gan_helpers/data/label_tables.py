"""Attributes of pictures out of tables: CelebA's as published, or any CSV file; and what one wishes for, as text."""

import csv
import io
from pathlib import Path

import numpy as np

from gan_helpers.data.catalogue import ATTRIBUTE_TABLES
from gan_helpers.data.labels import Attribute, Labels, drawn_labels, no_twins, place_of

FILE_COLUMNS = ("file", "image_id", "filename", "image")
TABLES = ("labels.csv", *ATTRIBUTE_TABLES)
SEPARATORS = ",;\t|"
WORDS = {"true": 1.0, "false": 0.0, "yes": 1.0, "no": 0.0}
UNKNOWN = ("", "?", "na", "n/a", "nan", "none", "null", "unknown")


def find_labels(folder):
    """The table of labels in or beside a folder of pictures (`labels.csv`, or CelebA's); `None` where there is none."""
    places = [place / name for place in (Path(folder), Path(folder).parent) for name in TABLES]
    return next((place for place in places if place.is_file()), None)


def read_labels(table, files, attributes=None):
    """Reads the attributes of pictures from a table, in the order of the pictures.

    Tables are CelebA's as published (`list_attr_celeba.txt` or `.csv`), or CSV files with a column `file` and one for
    each attribute. Separators are commas, semicolons, tabs or bars. A column whose values are 0 and 1, -1 and 1, or
    true and false is binary; any other holds scalars, whose least and largest value become -1 and 1. Empty, `?` and
    `nan` mean unknown.

    Args:
        table: path of the table.
        files: names of the pictures below their folder, `PreparedImages.files`. A row is a picture's when it has the
            same name, with the folders or, where only one row has it, without them.
        attributes: names of the columns to take. Defaults to `None`, all.

    Returns:
        `Labels`, a row for each of `files`.

    Raises:
        ValueError: no such table, an attribute that it lacks (the nearest are named), a value of none of those kinds,
            rows that contradict each other, or no row for any of the pictures.

    Example:
        >>> prepared = prepare_images("faces", 64)
        >>> read_labels("faces/labels.csv", prepared.files, ["Smiling"]).values[:3, 0]
        array([-1.,  1., nan], dtype=float32)
    """
    table = Path(table)
    names, lines, rows = _rows(table)
    wanted = list(names) if attributes is None else [names[place_of(name, names, table)] for name in attributes]
    no_twins(wanted, "attributes", table)
    chosen = _rows_of(files, lines, rows, table)
    found = [_column(table, name, lines, [row[names.index(name) + 1] for row in rows]) for name in wanted]
    values = np.full((len(files), len(wanted)), np.nan, np.float32)
    labelled = np.flatnonzero(chosen >= 0)
    for column, (_, scaled) in enumerate(found):
        values[labelled, column] = scaled[chosen[labelled]]
    return Labels(tuple(attribute for attribute, _ in found), values, len(files) - len(labelled))


def labels_of(prepared, attributes, table=None):
    """The labels of prepared pictures, to train with.

    Args:
        prepared: a `PreparedImages`, or a part of one.
        attributes: names of the attributes.
        table: path of their table, see `read_labels`. Drawn faces need none, and have none.

    Returns:
        `Labels`, a row for each picture.

    Raises:
        ValueError: no table, an attribute that does not differ among the pictures, and what `read_labels` and
            `drawn_labels` refuse.

    Example:
        >>> prepared = prepare_images("drawn", 32, count=1000)
        >>> labels_of(prepared, ["eyeglasses", "smile"]).values.shape
        (1000, 2)
    """
    attributes = tuple(attributes)
    if isinstance(prepared.files, range):
        if table is not None:
            raise ValueError(
                f"expected no table of labels for drawn faces, which are drawn by their attributes; received '{table}'"
                "; leave it out, or give a folder of pictures as data"
            )
        labels = drawn_labels(len(prepared.files), attributes, seed=prepared.seed, start=prepared.files.start)
    elif table is None:
        raise ValueError(
            f"expected a table of labels for the attributes {', '.join(attributes)}; received none; give it "
            "(--labels FILE), a CSV file with a column `file` and one for each attribute, or one of CelebA's"
        )
    elif len(prepared.files) != len(prepared.images):
        raise ValueError(
            f"expected the file names of {len(prepared.images)} pictures, to find their labels; received "
            f"{len(prepared.files)}; take what prepare_images returns"
        )
    else:
        labels = read_labels(table, prepared.files, attributes)
    for attribute, column in zip(labels.attributes, labels.values.T, strict=True):
        known = np.unique(column[~np.isnan(column)])
        if len(known) < 2:
            seen = f"only {attribute.unscaled(known[0]):g}" if len(known) else "only unknown ones"
            raise ValueError(
                f"expected different values of {attribute.name} among the {len(column)} pictures, to learn what it "
                f"looks like; received {seen}; leave the attribute out, or take more pictures"
            )
    return labels


def write_labels(file, names, labels, values):
    """Writes rows of a generator's attributes as a table that `read_labels` reads.

    Args:
        file: an open binary file.
        names: the pictures' names, or numbers.
        labels: `Labels` that the columns belong to.
        values: float `(len(names), len(labels.attributes))` in [-1, 1].
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["file", *labels.names])
    for name, row in zip(names, values, strict=True):
        units = (one.unscaled(value) for one, value in zip(labels.attributes, row, strict=True))
        writer.writerow([name, *(f"{value:.6g}" for value in units)])
    file.write(text.getvalue().encode())


def read_wishes(text):
    """`"Smiling=1,Eyeglasses=0"` as a dict of numbers; `on`, `off`, `true` and `false` are numbers too.

    Raises:
        ValueError: a part without `=`, or a value that is no number.
    """
    wishes = {}
    for part in text.split(","):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        number = {"on": 1.0, "off": 0.0}.get(value.lower(), _number(value))
        if not (name and equals) or number is None or np.isnan(number):
            raise ValueError(f"expected NAME=VALUE[,NAME=VALUE…], such as Smiling=1,Eyeglasses=0; received {part!r}")
        wishes[name] = number
    return wishes


def _rows(table):
    """Names of the attributes, and for each row its line in the file and its texts, the picture's file first."""
    if not table.is_file():
        raise ValueError(f"expected a table of labels at '{table}'; received nothing; check the path")
    text = _text(table)
    first = text.lstrip().split("\n", 1)[0].strip()
    lines = list(_celeba_lines(text) if first.isdigit() else _csv_lines(text, table))
    if len(lines) < 2:
        raise ValueError(f"expected a row of names and a row for each picture in '{table}'; received {len(lines)} rows")
    (_, header), *lines = lines
    for number, row in lines:
        if len(row) != len(header):
            raise ValueError(
                f"expected {len(header)} values in each row of '{table}', as it has names; received {len(row)} in line "
                f"{number}; mend the line"
            )
    no_twins(header[1:], "columns", table)
    return tuple(header[1:]), [number for number, _ in lines], [row for _, row in lines]


def _text(table):
    content = table.read_bytes()
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"  # with or without a BOM
    try:
        return content.decode(encoding).replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"expected a table as UTF-8 text in '{table}'; received other bytes ({error})") from None


def _celeba_lines(text):
    """As CelebA's authors publish it: the number of pictures, the names, then rows, all apart by spaces."""
    lines = [(number, line.split()) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    yield from ((number, ["file", *words] if place == 0 else words) for place, (number, words) in enumerate(lines[1:]))


def _csv_lines(text, table):
    header = text.lstrip("\n").split("\n", 1)[0]
    separator = max(SEPARATORS, key=header.count)
    reader = csv.reader(io.StringIO(text), delimiter=separator, skipinitialspace=True)
    place = None
    try:
        for row in reader:
            row = [value.strip() for value in row]
            if not any(row):
                continue
            if place is None:
                place = _file_column(row, table)
            elif separator == ";":  # where semicolons separate, commas are decimal points
                row = [value if number == place else value.replace(",", ".") for number, value in enumerate(row)]
            yield reader.line_num, row[place : place + 1] + row[:place] + row[place + 1 :]
    except csv.Error as error:
        raise ValueError(f"expected a CSV file in '{table}'; received a damaged one ({error})") from None


def _file_column(header, table):
    lower = [name.lower() for name in header]
    found = [lower.index(name) for name in FILE_COLUMNS if name in lower]
    if not found or len(header) < 2:
        raise ValueError(
            f"expected a column `file` and one for each attribute in '{table}'; received {', '.join(header)}; name the "
            "column that holds the pictures' names `file`"
        )
    return found[0]


def _rows_of(files, lines, rows, table):
    """For each picture the number of its row, -1 where there is none."""
    whole = {}
    for number, row in enumerate(rows):
        name = row[0].replace("\\", "/").removeprefix("./")
        other = whole.setdefault(name, number)
        if rows[other][1:] != row[1:]:
            raise ValueError(
                f"expected one row for each picture in '{table}'; received two that differ for '{name}', in lines "
                f"{lines[other]} and {lines[number]}; delete the wrong one"
            )
    short = {}
    for name, number in whole.items():
        short.setdefault(name.rsplit("/", 1)[-1], set()).add(number)
    alone = {name: next(iter(numbers)) for name, numbers in short.items() if len(numbers) == 1}
    chosen = [whole.get(file, alone.get(file.rsplit("/", 1)[-1], -1)) for file in files]
    if max(chosen, default=-1) < 0:
        raise ValueError(
            f"expected labels of the pictures (such as '{next(iter(files), '')}') in '{table}'; received those of "
            f"others (such as '{rows[0][0]}'); give the pictures' own table, with their file names"
        )
    return np.array(chosen, np.int64)


def _column(table, name, lines, texts):
    """One column as an `Attribute` and values in [-1, 1]."""
    numbers = {text: _number(text) for text in set(texts)}
    for line, text in zip(lines, texts, strict=True):
        if numbers[text] is None:
            raise ValueError(
                f"expected {name} as 0 or 1, -1 or 1, true or false, or a number, and nothing where it is unknown; "
                f"received {text!r} in line {line} of '{table}'; mend the line"
            )
    values = np.array([numbers[text] for text in texts])
    known = set(np.unique(values[~np.isnan(values)]))
    if known <= {0.0, 1.0}:
        return Attribute(name), (2 * values - 1).astype(np.float32)
    if known <= {-1.0, 1.0}:
        return Attribute(name), values.astype(np.float32)
    low, high = min(known), max(known)
    scale = max(high - low, np.finfo(np.float32).tiny)
    return Attribute(name, "scalar", float(low), float(high)), (2 * (values - low) / scale - 1).astype(np.float32)


def _number(text):
    """A finite number, NaN where the text means "unknown", `None` where it is neither."""
    text = text.strip().lower()
    if text in UNKNOWN:
        return float("nan")
    try:
        number = WORDS[text] if text in WORDS else float(text)
    except ValueError:
        return None
    return number if np.isfinite(number) else None
