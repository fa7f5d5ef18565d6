"""Draw random people: softly shaded portraits with known attributes, at any size, without a download."""

import numpy as np

from gan_helpers.data.drawn_parts import paint
from gan_helpers.data.drawn_shapes import HAIR_STYLES

_PIXELS = 48 * 64 * 64  # Painted together: few enough to stay in the processor's cache.

# name: (kind, low, high, meaning). A "binary" is 0 or 1, a "choice" a whole number, a "number" anything between.
ATTRIBUTES = {
    "skin_tone": ("number", 0.0, 1.0, "from pale to deep brown"),
    "face_width": ("number", -1.0, 1.0, "from narrow to wide"),
    "jaw": ("number", -1.0, 1.0, "from pointed to square"),
    "head_turn": ("number", -1.0, 1.0, "yaw: to the picture's left (-1) or right (1), about 29 degrees"),
    "head_nod": ("number", -1.0, 1.0, "pitch: looking up (-1) or down (1)"),
    "head_tilt": ("number", -1.0, 1.0, "roll: towards the picture's left (-1) or right (1), about 11 degrees"),
    "light_direction": ("number", -1.0, 1.0, "light from the picture's left (-1), the front (0), the right (1)"),
    "eye_colour": ("choice", 0, 5, "dark brown, brown, hazel, green, blue, grey"),
    "eye_size": ("number", -1.0, 1.0, "from small to large"),
    "eye_distance": ("number", -1.0, 1.0, "from close to wide"),
    "gaze": ("number", -1.0, 1.0, "looking to the picture's left (-1) or right (1)"),
    "brow_thickness": ("number", -1.0, 1.0, "from thin to bushy"),
    "brow_angle": ("number", -1.0, 1.0, "from worried (-1) to stern (1)"),
    "nose_size": ("number", -1.0, 1.0, "from small to large"),
    "smile": ("number", -1.0, 1.0, "from a frown (-1) to a broad smile (1)"),
    "mouth_open": ("binary", 0, 1, "open, showing teeth"),
    "lip_size": ("number", -1.0, 1.0, "from thin to full"),
    "lipstick": ("binary", 0, 1, "lips painted in a red"),
    "blush": ("number", 0.0, 1.0, "redness of the cheeks"),
    "age_lines": ("number", 0.0, 1.0, "wrinkles, from none to deep"),
    "hair_style": ("choice", 0, len(HAIR_STYLES) - 1, ", ".join(HAIR_STYLES)),
    "hair_colour": ("choice", 0, 6, "black, dark brown, brown, red, dark blond, blond, grey"),
    "fringe": ("binary", 0, 1, "hair over the forehead"),
    "beard": ("binary", 0, 1, "a beard"),
    "moustache": ("binary", 0, 1, "a moustache"),
    "eyeglasses": ("binary", 0, 1, "eyeglasses"),
    "earrings": ("binary", 0, 1, "earrings"),
    "hat": ("binary", 0, 1, "a hat"),
    "hat_style": ("choice", 0, 1, "beanie, cap; worn when hat is 1"),
    "hat_colour": ("number", 0.0, 1.0, "hue of the hat"),
    "clothing_style": ("choice", 0, 2, "round neck, V-neck, shirt collar"),
    "clothing_colour": ("number", 0.0, 1.0, "hue of the clothes"),
    "background_colour": ("number", 0.0, 1.0, "hue of the background"),
    "background_light": ("number", 0.0, 1.0, "from a dark to a light background"),
}
_HIDDEN = 14  # Further draws a face: what no attribute names (strands of hair, proportions, shades).
_BLOCKS = -(-(len(ATTRIBUTES) + _HIDDEN) // 4)  # Philox gives four numbers a count of its counter.


def draw_faces(count, image_size=64, *, seed=0, start=0, attributes=None):
    """Draws random illustrated people, and tells the attributes that each was drawn with.

    A source of faces that needs no download, belongs to nobody, and never ends. Because what is in each picture
    is known, a classifier can be trained on it, and a generator measured: does it make eyeglasses as often as the
    data has them, and one attribute without another?

    Face `i` depends on `seed` and `start + i` only. A set can so be drawn in pieces, in any order and by several
    processes, and is the same to the byte. The attributes do not depend on `image_size`.

    Args:
        count: Integer, 1 or more. How many faces to draw.
        image_size: Integer from 32 to 256. Height and width in pixels. Defaults to `64`.
        seed: Integer from 0 to 2**64 - 1. Another seed draws other people. Defaults to `0`.
        start: Integer, 0 or more. The number of the first face. Costs no time. Defaults to `0`.
        attributes: Dict from names in `ATTRIBUTES` to a value, or to an array of `count` values. These are used
            in place of the faces' own; everything else stays as it would have been. Defaults to `None`.

    Returns:
        A tuple `(images, table)`. `images` is uint8 of shape `(count, image_size, image_size, 3)`, from 0 to 255.
        `table` is a dict with an array of shape `(count,)` for each name in `ATTRIBUTES`: int64 for binary ones
        and choices, float32 for numbers.

    Raises:
        ValueError: If an argument is outside its range, or an attribute is unknown or has an impossible value.

    Example:

    >>> images, table = draw_faces(100, image_size=64, seed=3)
    >>> images.shape, images.dtype
    ((100, 64, 64, 3), dtype('uint8'))
    >>> smiling, _ = draw_faces(100, seed=3, attributes={"smile": 1.0, "eyeglasses": 1})
    >>> rest, _ = draw_faces(40, seed=3, start=60)
    >>> bool((rest == images[60:]).all())
    True
    """
    count = _whole("count", count, 1, 2**31 - 1)
    image_size = _whole("image_size", image_size, 32, 256)
    table, hidden = _sample(count, _whole("seed", seed, 0, 2**64 - 1), _whole("start", start, 0, 2**63 - 1))
    for name, value in (attributes or {}).items():
        table[name] = _fixed(name, value, count)
    images = np.empty((count, image_size, image_size, 3), np.uint8)
    order = np.lexsort((table["head_turn"], table["hair_style"]))  # Faces that are alike share smaller rectangles.
    chunk = max(4, _PIXELS // image_size**2)
    for first in range(0, count, chunk):
        some = order[first : first + chunk]
        images[some] = paint({name: column[some] for name, column in table.items()}, hidden[some], image_size)
    return images, table


def draw_attributes(count, *, seed=0, start=0):
    """The table of `draw_faces` for the same faces, without drawing them."""
    count = _whole("count", count, 1, 2**31 - 1)
    return _sample(count, _whole("seed", seed, 0, 2**64 - 1), _whole("start", start, 0, 2**63 - 1))[0]


def _whole(name, value, low, high):
    """The argument as an int, if it is a whole number in its range."""
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool) and low <= value <= high:
        return int(value)
    raise ValueError(
        f"`{name}`: expected a whole number from {low} to {high}, received {value!r}; "
        f"do pass an int in that range, such as draw_faces(count=64, image_size=64, seed=0)."
    )


def _fixed(name, value, count):
    """One attribute's column as the caller wants it."""
    if name not in ATTRIBUTES:
        raise ValueError(
            f"`attributes`: expected names out of {', '.join(ATTRIBUTES)}, received {name!r}; "
            f"do choose one of those (drawn_faces.ATTRIBUTES says what each means)."
        )
    kind, low, high, meaning = ATTRIBUTES[name]
    try:
        values = np.asarray(value, np.float64)
    except (TypeError, ValueError):
        values = np.array(np.nan)
    right = values.shape in ((), (count,)) and np.all((values >= low) & (values <= high))
    if not right or (kind != "number" and np.any(values != np.round(values))):
        what = "numbers" if kind == "number" else "whole numbers"
        raise ValueError(
            f"`attributes[{name!r}]` ({meaning}): expected {what} from {low} to {high}, one or an array of "
            f"{count}, received {value!r}; do pass a value in that range, or leave {name!r} out to have it drawn."
        )
    return np.full(count, values, np.float32 if kind == "number" else np.int64)


def _uniforms(count, seed, start):
    """One row of independent uniform numbers for each face: a function of the seed and the face's number only."""
    bits = np.random.Philox(key=seed, counter=start * _BLOCKS).random_raw(count * 4 * _BLOCKS)
    return (bits.reshape(count, -1) >> np.uint64(11)) * 2.0**-53


def _sample(count, seed, start):
    """The table of each face's own attributes, before any is overridden, and its hidden draws."""
    uniforms = _uniforms(count, seed, start)
    draws = dict(zip(ATTRIBUTES, uniforms.T, strict=False))
    hidden = uniforms[:, len(ATTRIBUTES) : len(ATTRIBUTES) + _HIDDEN]
    table = {name: _spread(name, draw) for name, draw in draws.items()}
    feminine, deep, old = hidden[:, 0] > 0.5, draws["skin_tone"] > 0.55, draws["age_lines"] > 0.75

    table["age_lines"] = _number(draws["age_lines"] ** 2)
    table["blush"] = _number(draws["blush"] ** 1.5)
    table["smile"] = _number(np.clip(draws["smile"] * 1.65 - 0.45, -1, 1))
    table["mouth_open"] = _chance(draws["mouth_open"], 0.3)
    table["lipstick"] = _chance(draws["lipstick"], np.where(feminine, 0.55, 0.0))
    table["beard"] = _chance(draws["beard"], np.where(feminine, 0.0, 0.42))
    table["moustache"] = _chance(draws["moustache"], np.where(feminine, 0.0, np.where(table["beard"], 0.75, 0.15)))
    table["eyeglasses"] = _chance(draws["eyeglasses"], 0.25)
    table["earrings"] = _chance(draws["earrings"], np.where(feminine, 0.5, 0.05))
    table["fringe"] = _chance(draws["fringe"], 0.3)
    table["hat"] = _chance(draws["hat"], 0.12)

    #         bald  crop  short side  curls afro  bob   long  wavy  bun
    styles = [[0.12, 0.17, 0.22, 0.22, 0.11, 0.06, 0.02, 0.03, 0.03, 0.02],
              [0.01, 0.02, 0.05, 0.04, 0.08, 0.06, 0.19, 0.22, 0.19, 0.14]]  # fmt: skip
    table["hair_style"] = _choice(draws["hair_style"], styles, feminine)
    #          black dark  brown red   dark blond blond grey
    colours = [[0.16, 0.21, 0.23, 0.11, 0.12, 0.14, 0.03], [0.58, 0.30, 0.06, 0.02, 0.01, 0.01, 0.02]]
    aged = np.where(old & (hidden[:, 1] < 0.45), 6, 0)
    table["hair_colour"] = np.maximum(_choice(draws["hair_colour"], colours, deep), aged)
    eyes = [[0.10, 0.25, 0.15, 0.16, 0.24, 0.10], [0.60, 0.30, 0.07, 0.01, 0.01, 0.01]]
    table["eye_colour"] = _choice(draws["eye_colour"], eyes, deep)
    return table, hidden


_CENTRED = {"face_width", "jaw", "head_turn", "head_nod", "head_tilt", "eye_size", "eye_distance", "gaze",
            "brow_thickness", "brow_angle", "nose_size", "lip_size"}  # fmt: skip


def _spread(name, draw):
    """A draw from 0 to 1 stretched over the attribute's range; poses and proportions stay near the middle."""
    kind, low, high, _ = ATTRIBUTES[name]
    if kind != "number":
        return np.minimum(low + draw * (high - low + 1), high).astype(np.int64)
    middle = 2 * draw - 1
    if name in _CENTRED:
        draw = 0.5 + 0.5 * middle * (0.4 + 0.6 * middle**2)
    return _number(low + draw * (high - low))


def _number(values):
    return values.astype(np.float32)


def _chance(draw, probability):
    return (draw < probability).astype(np.int64)


def _choice(draw, probabilities, row):
    """The index that a draw from 0 to 1 falls on, by one of two rows of probabilities."""
    edges = np.cumsum(probabilities, axis=1)[row.astype(np.int64)]
    return np.minimum((draw[:, None] >= edges).sum(axis=1), edges.shape[1] - 1)
