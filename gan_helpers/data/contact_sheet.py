"""Many pictures on one sheet, row by row, each row with its title."""

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

COLUMNS = 10  # pictures in a row
_DPI = 100
_SHOWN, _LARGEST = 96, 192  # how large each is shown, in pixels of the sheet: about, and at most
_TITLE, _MARGIN = 30, 14


def contact_sheet(rows):
    """Rows of pictures with titles, as one figure.

    Args:
        rows: list of `(title, groups)`; groups are a list of uint8 arrays `(count, size, size, 3)`, all of one size.
            Pictures of a group stand close together, groups apart. What does not fit into ten pictures is left out. A
            row with the title `""` goes on with the one before it.

    Returns:
        The `matplotlib` figure, of 100 dots per inch; small pictures are enlarged by whole numbers.

    Raises:
        ValueError: no row, or one without a picture.
    """
    if not rows or not all(any(map(len, groups)) for _, groups in rows):
        raise ValueError(f"expected rows of at least one picture each; received {len(rows)} rows; leave empty ones out")
    strips = [_strip([_shown(group) for group in groups if len(group)]) for _, groups in rows]
    high, wide = strips[0].shape[:2]
    tops = np.cumsum([_MARGIN + _TITLE, *(high + (_TITLE if title else _MARGIN // 2) for title, _ in rows[1:])])
    sheet = np.full((tops[-1] + high + _MARGIN, wide + 2 * _MARGIN, 3), 255, np.uint8)
    for top, strip in zip(tops, strips, strict=True):
        sheet[top : top + high, _MARGIN : _MARGIN + wide] = strip
    height, width = sheet.shape[:2]
    # Pixel for pixel; the hundredth keeps what division leaves below a whole number from costing a row.
    figure = Figure(figsize=((width + 0.01) / _DPI, (height + 0.01) / _DPI), dpi=_DPI)
    axes = figure.add_axes((0, 0, width / (width + 0.01), height / (height + 0.01)))
    axes.imshow(sheet, aspect="auto", interpolation="nearest")
    axes.axis("off")
    for top, (title, _) in zip(tops, rows, strict=True):
        figure.text(
            *(_MARGIN / width, 1 - (top - 6) / height), title,
            fontsize=10, fontweight="bold", va="baseline", parse_math=False,
        )  # fmt: skip
    return figure


def _shown(group):
    """Pictures at the size in which they are shown: small ones by whole numbers, very large ones made smaller."""
    size = group.shape[1]
    if size > _LARGEST:
        pictures = (Image.fromarray(picture).resize((_LARGEST, _LARGEST), Image.Resampling.BOX) for picture in group)
        return np.stack([np.asarray(picture) for picture in pictures])
    scale = max(1, round(_SHOWN / size))
    return group.repeat(scale, axis=1).repeat(scale, axis=2)


def _strip(groups):
    """Pictures side by side, as wide as ten groups of one would be."""
    size = groups[0].shape[1]
    gap, between = max(1, size // 32), size // 4
    strip = np.full((size, COLUMNS * (size + between) - between, 3), 255, np.uint8)
    left = count = 0
    for group in groups:
        for picture in group[: COLUMNS - count]:
            strip[:, left : left + size] = picture
            left += size + gap
            count += 1
        left += between - gap
    return strip
