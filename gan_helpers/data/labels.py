"""What is known about each face, as numbers in [-1, 1], and rows of it to draw a generator's from."""

import difflib
import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from gan_helpers.data.drawn_faces import ATTRIBUTES, draw_attributes

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
    no_twins(list(attributes), "attributes", "the drawn faces")
    table, found = draw_attributes(count, seed=seed, start=start), []
    for name in attributes:
        kind, low, high, _ = ATTRIBUTES[name]
        found.append(Attribute(name, "binary" if kind == "binary" else "scalar", low, high, name in MIRRORED))
    values = [2 * (table[one.name] - one.low) / (one.high - one.low) - 1 for one in found]
    return Labels(tuple(found), np.stack(values, axis=1).astype(np.float32))


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
    raise ValueError(f"expected an attribute of {quoted(where)}; received {name!r}; {choice}")


def no_twins(names, what, where):
    twins = sorted({name for name in names if names.count(name) > 1})
    if twins:
        raise ValueError(f"expected {what} of different names of {quoted(where)}; received {', '.join(twins)} twice")


def quoted(where):
    return f"'{where}'" if isinstance(where, Path) else where


def _nearest(rows, table, places):
    weights = np.ones(table.shape[1], np.float32)
    weights[places] = _FAITHFUL
    distances = (table**2 * weights).sum(1) - 2 * (rows * weights) @ table.T
    return table[distances.argmin(1)]
