"""What is known about each face: attributes from a table, or from the drawing itself, as numbers in [-1, 1]."""

import csv
import difflib
import hashlib
import io
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from gan_helpers.data.catalogue import ATTRIBUTE_TABLES
from gan_helpers.data.drawn_faces import ATTRIBUTES, draw_attributes

FILE_COLUMNS = ("file", "image_id", "filename", "image")
TABLES = ("labels.csv", *ATTRIBUTE_TABLES)
SEPARATORS = ",;\t|"
WORDS = {"true": 1.0, "false": 0.0, "yes": 1.0, "no": 0.0}
UNKNOWN = ("", "?", "na", "n/a", "nan", "none", "null", "unknown")
MIRRORED = ("head_turn", "head_tilt", "light_direction", "gaze")  # drawn attributes that have a left and a right
EXCERPT = 4000  # rows that are kept beside a generator
_FAITHFUL = 1000.0  # how much more a wish weighs than what was not wished for


@dataclass(frozen=True)
class Attribute:
    """One attribute of faces.

    Attributes:
        name: its name, such as `"Smiling"`.
        kind: `"binary"` (0 off, 1 on) or `"scalar"`.
        low: the value, in its own unit, that -1 stands for.
        high: the value that 1 stands for.
        mirrored: whether it changes its sign when the picture is mirrored, as a head's turn does.
    """

    name: str
    kind: str = "binary"
    low: float = 0.0
    high: float = 1.0
    mirrored: bool = False

    def scaled(self, value):
        """A value in its own unit as one in [-1, 1]; of a binary one -1 is "off" too, as CelebA has it.

        Raises:
            ValueError: a value out of its range.
        """
        if self.kind == "binary" and value == -1:
            value = 0.0
        if not self.low <= value <= self.high:  # NaN is refused too
            meaning = " (0 off, 1 on)" if self.kind == "binary" else ""
            raise ValueError(
                f"expected {self.name} from {self.low:g} to {self.high:g}{meaning}; received {value:g}; choose a value "
                "in that range, which is the data's"
            )
        return 2 * (value - self.low) / (self.high - self.low) - 1

    def unscaled(self, values):
        """Values in [-1, 1] in the attribute's own unit."""
        return self.low + (np.asarray(values) + 1) / 2 * (self.high - self.low)


@dataclass(frozen=True, eq=False)  # arrays have no single answer to ==; fingerprints have
class Labels:
    """Attributes of pictures, one row each.

    Attributes:
        attributes: tuple of `Attribute`, one for each column.
        values: float32 `(count, len(attributes))` in [-1, 1]: -1 off and 1 on where binary; NaN where unknown.
        unlabelled: pictures that the table had no row for; all of theirs is unknown.
    """

    attributes: tuple
    values: np.ndarray
    unlabelled: int = 0

    @property
    def names(self):
        """Names of the columns, a tuple."""
        return tuple(attribute.name for attribute in self.attributes)

    @property
    def fingerprint(self):
        """SHA-256 of names, ranges and values, which identifies the labels in a run's settings."""
        digest = hashlib.sha256(json.dumps([asdict(one) for one in self.attributes]).encode())
        digest.update(np.nan_to_num(self.values, nan=9.0).tobytes())
        return digest.hexdigest()

    def filled(self, seed=0):
        """The same with nothing unknown: each gap holds what another picture, chosen by chance, has there.

        So each attribute keeps its distribution. What is known of a picture and what was filled in may contradict each
        other; where much is unknown, fewer attributes are the better choice.
        """
        values, rng = self.values.copy(), np.random.default_rng([seed, 2])
        for column in values.T:
            gaps = np.isnan(column)
            column[gaps] = rng.choice(column[~gaps], gaps.sum()) if not gaps.all() else 0.0
        return Labels(self.attributes, values)

    def excerpt(self):
        """At most 4,000 rows, filled, spread over the table: enough to draw from, small enough to keep in a file."""
        rows = np.unique(np.linspace(0, len(self.values) - 1, min(EXCERPT, len(self.values))).round().astype(int))
        return Labels(self.attributes, self.filled().values[rows].round(4))

    def sample(self, count, *, seed=0, wishes=None):
        """Rows drawn from the joint distribution of the data; the first ones do not depend on `count`.

        With wishes each row becomes the one in the table that has what is wished for and differs least in the rest: the
        same people with something switched, but no beard on who wears lipstick where the data has none such.

        Args:
            count: how many.
            seed: seed of the draw. Defaults to `0`.
            wishes: dict from names to values in the attributes' own units (0 or 1 where binary). Defaults to `None`.

        Returns:
            float32 `(count, len(attributes))` in [-1, 1], for a generator.

        Raises:
            ValueError: an attribute that there is not, or a value out of its range.

        Example:
            >>> generator([latents, labels.sample(len(latents), wishes={"Smiling": 1})])
        """
        table = self.filled().values
        rows = table[np.random.default_rng([seed, 1]).integers(len(table), size=count)]
        if not wishes:
            return rows
        places = [place_of(name, self.names) for name in wishes]
        wanted = [self.attributes[place].scaled(value) for place, value in zip(places, wishes.values(), strict=True)]
        rows[:, places] = wanted
        blocks = [_nearest(rows[start : start + 1024], table, places) for start in range(0, count, 1024)]
        rows = np.concatenate([rows[:0], *blocks])
        rows[:, places] = wanted
        return rows

    def as_json(self):
        """Text from which `from_json` makes the same labels."""
        values = [[None if np.isnan(value) else round(float(value), 4) for value in row] for row in self.values]
        return json.dumps({"attributes": [asdict(one) for one in self.attributes], "rows": values})

    @classmethod
    def from_json(cls, text):
        """Labels that `as_json` wrote."""
        content = json.loads(text)
        attributes = tuple(Attribute(**one) for one in content["attributes"])
        return cls(attributes, np.array(content["rows"], np.float32).reshape(-1, len(attributes)))


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
    _no_twins(wanted, "attributes", table)
    chosen = _rows_of(files, lines, rows, table)
    found = [_column(table, name, lines, [row[names.index(name) + 1] for row in rows]) for name in wanted]
    values = np.full((len(files), len(wanted)), np.nan, np.float32)
    labelled = np.flatnonzero(chosen >= 0)
    for column, (_, scaled) in enumerate(found):
        values[labelled, column] = scaled[chosen[labelled]]
    return Labels(tuple(attribute for attribute, _ in found), values, len(files) - len(labelled))


def drawn_labels(count, attributes, *, seed=0, start=0):
    """The attributes that drawn faces were drawn with, without drawing them.

    Args:
        count: how many faces.
        attributes: names in `drawn_faces.ATTRIBUTES` of binary ones and numbers; choices, such as `hair_style`, have no
            order that a number could stand for.
        seed: their seed. Defaults to `0`.
        start: the number of the first. Defaults to `0`.

    Returns:
        `Labels`.

    Raises:
        ValueError: an attribute that there is not, or a choice.
    """
    usable = [name for name, (kind, *_) in ATTRIBUTES.items() if kind != "choice"]
    for name in attributes:
        if name in ATTRIBUTES and name not in usable:
            raise ValueError(
                f"expected attributes that are on or off, or a number; received {name!r}, a choice between "
                f"{ATTRIBUTES[name][3]}; take some of {', '.join(usable)}"
            )
        place_of(name, usable, "the drawn faces")
    _no_twins(list(attributes), "attributes", "the drawn faces")
    table, found = draw_attributes(count, seed=seed, start=start), []
    for name in attributes:
        kind, low, high, _ = ATTRIBUTES[name]
        found.append(Attribute(name, "binary" if kind == "binary" else "scalar", low, high, name in MIRRORED))
    values = [2 * (table[one.name] - one.low) / (one.high - one.low) - 1 for one in found]
    return Labels(tuple(found), np.stack(values, axis=1).astype(np.float32))


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


def find_labels(folder):
    """The table of labels in or beside a folder of pictures (`labels.csv`, or CelebA's); `None` where there is none."""
    places = [place / name for place in (Path(folder), Path(folder).parent) for name in TABLES]
    return next((place for place in places if place.is_file()), None)


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


def place_of(name, names, where="the labels"):
    """The column of an attribute.

    Raises:
        ValueError: there is none of that name; the nearest are named.
    """
    if name in names:
        return list(names).index(name)
    lower = {one.lower(): one for one in names}
    near = [lower[one] for one in difflib.get_close_matches(str(name).lower(), lower, 3)]
    choice = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(names)}"
    raise ValueError(f"expected an attribute of {_quoted(where)}; received {name!r}; {choice}")


def _nearest(rows, table, places):
    weights = np.ones(table.shape[1], np.float32)
    weights[places] = _FAITHFUL
    distances = (table**2 * weights).sum(1) - 2 * (rows * weights) @ table.T
    return table[distances.argmin(1)]


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
    _no_twins(header[1:], "columns", table)
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


def _no_twins(names, what, where):
    twins = sorted({name for name in names if names.count(name) > 1})
    if twins:
        raise ValueError(f"expected {what} of different names of {_quoted(where)}; received {', '.join(twins)} twice")


def _quoted(where):
    return f"'{where}'" if isinstance(where, Path) else where


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
