"""What `drawn_parts` paints with: a canvas, soft shapes, and the measures of each face.

Coordinates run from -1 to 1 over the picture, x to the right and y downwards; on the head they have their origin
between the eyes and turn with it. A shape is measured only inside a rectangle that holds it on each face of the
chunk, and its edge covers a pixel in proportion, so that no picture needs to be drawn larger and reduced.
"""

from types import SimpleNamespace

import numpy as np

# Each style: where hair lies. Lengths are in head coordinates (the chin is at 0.74), widths in head widths.
_STYLES = {
    #             volume top    end  hairline opening back  back_end curl  wave  sweep  bun
    "bald":       (0.90, 0.90, 0.02, -0.80, 1.05, 0.00, 0.00, 0.00, 0.00, 0.00, 0.0),
    "cropped":    (1.03, 1.03, 0.08, -0.54, 0.97, 0.00, 0.00, 0.15, 0.00, 0.00, 0.0),
    "short":      (1.09, 1.15, 0.13, -0.50, 0.97, 0.00, 0.00, 0.10, 0.02, 0.12, 0.0),
    "side part":  (1.10, 1.20, 0.12, -0.47, 0.97, 0.00, 0.00, 0.00, 0.01, 0.34, 0.0),
    "curly":      (1.20, 1.20, 0.30, -0.46, 0.94, 1.20, 0.30, 0.75, 0.03, 0.00, 0.0),
    "afro":       (1.42, 1.34, 0.45, -0.47, 0.94, 1.50, 0.62, 1.00, 0.00, 0.00, 0.0),
    "bob":        (1.20, 1.14, 0.74, -0.50, 0.84, 1.22, 0.78, 0.00, 0.01, 0.16, 0.0),
    "long":       (1.15, 1.12, 1.70, -0.52, 0.85, 1.24, 1.90, 0.00, 0.01, 0.10, 0.0),
    "wavy":       (1.28, 1.17, 1.50, -0.50, 0.86, 1.36, 1.70, 0.20, 0.06, 0.14, 0.0),
    "bun":        (1.07, 1.08, 0.10, -0.52, 0.97, 0.00, 0.00, 0.00, 0.00, 0.05, 1.0),
}  # fmt: skip
HAIR_STYLES = tuple(_STYLES)
_STYLE_TABLE = np.array(list(_STYLES.values()), np.float32)
_STYLE_FIELDS = ["volume", "top", "end", "hairline", "opening", "back", "back_end", "curl", "wave", "sweep", "bun"]

_SKIN = np.array([[255, 226, 208], [246, 205, 178], [232, 180, 143], [206, 146, 106], [160, 104, 72],
                  [124, 79, 56], [92, 59, 44]], np.float32) / 255  # fmt: skip
_HAIR = np.array([[34, 29, 31], [62, 42, 33], [104, 68, 44], [150, 70, 32], [150, 113, 70], [214, 172, 106],
                  [172, 170, 170]], np.float32) / 255  # fmt: skip
_EYES = np.array([[56, 34, 24], [100, 62, 36], [124, 104, 56], [84, 122, 78], [82, 124, 166],
                  [124, 138, 146]], np.float32) / 255  # fmt: skip
HEAD_TOP, CHIN = 0.75, 0.74
LIGHT_Y = -0.42  # The light always comes from above.


class Canvas:
    """The pictures of a chunk in colour planes (3, faces, height, width) from 0 to 1."""

    def __init__(self, faces, size):
        self.rgb = np.empty((3, faces, size, size), np.float32)
        self.size, self.pixel = size, np.float32(2 / size)
        self.centres = ((np.arange(size) + 0.5) * (2 / size) - 1).astype(np.float32)

    def bytes(self):
        pixels = np.clip(self.rgb, 0, 1)
        pixels *= 255
        pixels += 0.5
        return pixels.astype(np.uint8).transpose(1, 2, 3, 0)


class Patch:
    """A rectangle of some faces' pictures: the coordinates of its pixels on the head, and a brush."""

    def __init__(self, canvas, face, left, right, top, bottom, on_head=True):
        self.canvas, self.pixel = canvas, canvas.pixel
        x, y = canvas.centres, canvas.centres[:, None]
        cos, sin, cx, cy = (face.cos, face.sin, face.x, face.y) if on_head else (1.0, 0.0, 0.0, 0.0)
        self.where = (slice(None), face.index, *_rectangle(canvas.size, cos, sin, cx, cy, left, right, top, bottom))
        x, y = x[self.where[3]] - cx, y[self.where[2]] - cy
        self.x, self.y = (x * cos + y * sin, y * cos - x * sin) if on_head else np.broadcast_arrays(x, y + 0 * face.x)

    def window(self, face, left, right, top, bottom):
        """The index of a smaller rectangle inside this one."""
        rows, columns = _rectangle(self.canvas.size, face.cos, face.sin, face.x, face.y, left, right, top, bottom)
        first_row, first_column = self.where[2].start, self.where[3].start
        return (slice(None), slice(max(rows.start - first_row, 0), max(rows.stop - first_row, 0)),
                slice(max(columns.start - first_column, 0), max(columns.stop - first_column, 0)))  # fmt: skip

    def blend(self, alpha, colour):
        """Cover the pixels with a colour, (3, faces, 1, 1) or one for each pixel, as far as alpha says."""
        pixels = self.canvas.rgb[self.where]
        change = colour - pixels
        change *= alpha
        pixels += change
        if not isinstance(self.where[1], slice):
            self.canvas.rgb[self.where] = pixels

    def band(self, top, bottom):
        """How much of each pixel lies between two curves, given by their heights above and below it."""
        covered = clip(0.5 + (bottom - self.y) / self.pixel)
        covered -= clip(0.5 + (top - self.y) / self.pixel)
        return np.maximum(covered, 0, out=covered)

    def inside(self, q, radius):
        """How much of each pixel lies where q < 1, when q is a squared distance from a shape so large."""
        return clip(0.5 + (1 - q) * (0.5 * radius / self.pixel))

    def ellipse(self, x, y, rx, ry):
        """An ellipse's cover; one thinner than a pixel is fainter instead."""
        wide, high = np.maximum(rx, 0.5 * self.pixel), np.maximum(ry, 0.5 * self.pixel)
        q = squared(self.x, x, wide) + squared(self.y, y, high)
        return self.inside(q, np.minimum(wide, high)) * (rx * ry / (wide * high))

    def glow(self, x, y, rx, ry):
        """A soft round spot: 1 in its centre, 0 on its rim."""
        q = 1 - squared(self.x, x, rx) - squared(self.y, y, ry)
        np.maximum(q, 0, out=q)
        q *= q
        return q


def _rectangle(size, cos, sin, cx, cy, left, right, top, bottom):
    """The rows and columns of pixels that hold a turned rectangle on every face."""
    middle_x, middle_y, half_x, half_y = (left + right) / 2, (top + bottom) / 2, (right - left) / 2, (bottom - top) / 2
    reach_x, reach_y = half_x * cos + half_y * np.abs(sin), half_y * cos + half_x * np.abs(sin)
    middle_x, middle_y = middle_x * cos - middle_y * sin + cx, middle_x * sin + middle_y * cos + cy
    return _pixels(middle_y, reach_y, size), _pixels(middle_x, reach_x, size)


def _pixels(middle, reach, size):
    """One row of pixels more on each side, and never none: what is thin must not vanish."""
    low = int((np.min(middle - reach) + 1) * 0.5 * size) - 1
    high = int((np.max(middle + reach) + 1) * 0.5 * size) + 2
    return slice(min(max(low, 0), size - 1), max(min(high, size), 1))


def clip(values):
    np.maximum(values, 0, out=values)
    return np.minimum(values, 1, out=values)


def squared(values, centre, radius):
    scaled = (values - centre) * (1 / radius)
    scaled *= scaled
    return scaled


def smooth(values):
    """0 below 0, 1 above 1, and a soft step between."""
    values = clip(values)
    return values * values * (3 - 2 * values)


def wave(turns):
    """Close to sin(2 pi turns), and much cheaper."""
    part = turns - np.floor(turns)
    part -= 0.5
    return part * (16 * np.abs(part) - 8)


def egg(x, y, wide, top, bottom, square=0.0, taper=0.0):
    """An egg with its origin in (0, 0): squared radius q, 1 on the outline, and its normal's x and y."""
    ny = np.minimum(y, 0) * (1 / top)
    down = np.maximum(y, 0) * (1 / bottom)
    nx = x / (wide * (1 - taper * down))
    ny += down
    q = ny * ny
    q *= (1 - square) + square * q
    q += nx * nx
    return q, nx, ny


def colour_of(red, green, blue):
    """One colour for all faces, in the shape (3, 1, 1, 1) that `Patch.blend` takes."""
    return np.array([red, green, blue], np.float32)[:, None, None, None]


def only(face, some):
    """The measures of some of the faces; None if there are none."""
    index = np.flatnonzero(some)
    if not len(index):
        return None
    if len(index) == len(face.has_hair):
        return face
    picked = {name: value[index] if value.ndim == 3 else value[:, index]
              for name, value in vars(face).items() if isinstance(value, np.ndarray) and value.ndim > 1}  # fmt: skip
    return SimpleNamespace(**picked, index=index, has_hair=face.has_hair[index])


def measures(table, hidden):
    """All that the painters ask for, as (faces, 1, 1) numbers and (3, faces, 1, 1) colours."""
    face = SimpleNamespace(**{name: np.asarray(column, np.float32)[:, None, None] for name, column in table.items()})
    face.luck = np.asarray(hidden, np.float32).T[:, :, None, None]
    face.index = slice(None)
    face.has_hair = np.asarray(table["hair_style"]) > 0
    for name, column in zip(_STYLE_FIELDS, _STYLE_TABLE[table["hair_style"]].T, strict=True):
        setattr(face, name, column[:, None, None])

    face.bun = face.bun * (1 - face.hat)  # Under the hat.

    # The head: half as wide again as its eyes are apart; turned away, it moves back so that the eyes stay centred.
    tilt, yaw = 0.2 * face.head_tilt, 0.5 * face.head_turn
    face.cos, face.sin = np.cos(tilt), np.sin(tilt)
    face.turn_cos, face.turn = np.cos(yaw), np.sin(yaw)
    face.wide = 0.555 + 0.05 * face.face_width
    face.x = -0.33 * face.turn + 0.03 * (face.luck[2] - 0.5)
    face.y = -0.07 + 0.04 * (face.luck[3] - 0.5)
    face.square = 0.36 + 0.22 * face.jaw
    face.taper = 0.2 - 0.1 * face.jaw
    face.chin = CHIN + 0.04 * (face.luck[4] - 0.5)
    angle = 0.9 * face.light_direction
    face.light_x, face.light_z = 0.9 * np.sin(angle), 0.9 * np.cos(angle)
    face.side = np.where(face.luck[5] < 0.5, np.float32(-1), np.float32(1))

    face.skin = _between(_SKIN, face.skin_tone)
    face.skin_dark = face.skin * colour_of(0.62, 0.47, 0.43)
    face.hair = _HAIR[table["hair_colour"].astype(int)].T[:, :, None, None] * (0.88 + 0.24 * face.luck[6])
    face.hair_dark = face.hair * 0.42
    face.hair_light = face.hair + (1 - face.hair) * 0.3 * (0.25 + face.hair)
    face.iris = _EYES[table["eye_colour"].astype(int)].T[:, :, None, None]
    lips = colour_of(0.80, 0.42, 0.40)
    red = hue(0.94 + 0.1 * face.luck[7], 0.72, 0.72)
    face.lips = face.skin * 0.58 + lips * face.skin * 0.5
    face.lips += 0.85 * face.lipstick * (red - face.lips)
    face.clothes = hue(face.clothing_colour, 0.25 + 0.35 * face.luck[8], 0.3 + 0.55 * face.luck[9])
    face.hat_paint = hue(face.hat_colour, 0.55 * face.luck[10] + 0.15, 0.35 + 0.45 * face.luck[11])
    return face


def _between(ramp, position):
    """Colours (3, faces, 1, 1) from a ramp of them, by positions from 0 to 1."""
    place = position[:, 0, 0] * (len(ramp) - 1)
    low = np.minimum(place.astype(int), len(ramp) - 2)
    share = (place - low)[:, None]
    return (ramp[low] * (1 - share) + ramp[low + 1] * share).astype(np.float32).T[:, :, None, None]


def hue(hue, saturation, value):
    """Colours (3, faces, 1, 1) from hue, saturation and value, each from 0 to 1."""
    shift = np.array([0, 2 / 3, 1 / 3], np.float32)[:, None, None, None]
    wheel = np.abs((hue + shift) % 1 * 6 - 3) - 1
    return value * (1 - saturation * (1 - np.clip(wheel, 0, 1)))


def place(face, x, y, out=0.0):
    """Where a point of the head (in head widths; y in units) is seen once turned, and how foreshortened it is."""
    depth = np.sqrt(1 - x * x - 0.35 * y * y)
    seen = (x * face.turn_cos + (depth + out) * face.turn) * face.wide
    return seen, y + 0.07 * face.head_nod * (depth + 2 * out), face.turn_cos - x / depth * face.turn


def eye_place(face):
    return 0.405 + 0.035 * face.eye_distance


def head_egg(face, x, y):
    """The head's egg; the chin of a turned head moves further than its crown, which a nod does not move."""
    down = np.maximum(y, 0)
    nod = 1 + 0.05 * face.head_nod
    return egg(x - (0.42 * face.turn * face.wide / CHIN) * down, y, face.wide, HEAD_TOP, face.chin * nod,
                face.square, face.taper)  # fmt: skip
