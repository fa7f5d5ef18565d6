import io

import numpy as np
import pytest
from PIL import Image

from gan_helpers import draw_faces
from gan_helpers.data.contact_sheet import COLUMNS, contact_sheet


def _pixels(figure):
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi="figure")
    return np.asarray(Image.open(file).convert("RGB")).astype(int)


def _places(sheet, image, scale):
    """Where on the sheet a picture stands, as `(top, left)`: its corners and middle are looked for, then all of it."""
    shown = image.repeat(scale, axis=0).repeat(scale, axis=1).astype(int)
    size = len(shown)
    inside = sheet.shape[0] - size + 1, sheet.shape[1] - size + 1
    fits = np.ones(inside, bool)
    for down, across in ((0, 0), (0, size - 1), (size - 1, 0), (size // 2, size // 2), (size - 1, size - 1)):
        there = sheet[down : down + inside[0], across : across + inside[1]]
        fits &= (there == shown[down, across]).all(axis=2)
    places = np.argwhere(fits).tolist()
    return [(top, left) for top, left in places if (sheet[top : top + size, left : left + size] == shown).all()]


def test_pictures_stand_on_the_sheet_as_they_are():
    images, _ = draw_faces(4, 32, seed=2)
    sheet = _pixels(contact_sheet([("all", [images[:1], images[1:3]]), ("last", [images[3:]])]))
    places = [_places(sheet, image, 3) for image in images]
    assert [len(found) for found in places] == [1, 1, 1, 1]
    (first,), (second,), (third,), (last,) = places
    assert first[0] == second[0] == third[0] < last[0] - 96 and first[1] == last[1]
    assert third[1] - second[1] < second[1] - first[1]  # a group stands closer than strangers do


def test_what_does_not_fit_is_left_out():
    images, _ = draw_faces(COLUMNS + 2, 32, seed=2)
    for groups in ([image[None] for image in images], [images[:3], images[3:]]):
        sheet = _pixels(contact_sheet([("many", groups)]))
        assert [len(_places(sheet, image, 3)) for image in images] == [1] * COLUMNS + [0, 0]


@pytest.mark.parametrize(("size", "shown"), [(8, 96), (64, 128), (128, 128), (512, 192)])
def test_sheets_are_of_a_size_to_look_at(size, shown):
    sheet = _pixels(contact_sheet([("one", [np.zeros((1, size, size, 3), np.uint8)])]))
    dark = np.argwhere(sheet.max(axis=2) < 9)
    dark = dark[dark[:, 0] > 40]  # below the title
    assert abs(np.ptp(dark[:, 0]) + 1 - shown) <= 2 and abs(np.ptp(dark[:, 1]) + 1 - shown) <= 2
    assert sheet.shape[1] < 2500


def test_titles_stand_above_their_rows_and_nowhere_else():
    image = np.full((1, 64, 64, 3), 200, np.uint8)
    sheets = [_pixels(contact_sheet([(title, [image]), ("", [image])])) for title in ("A $title$", "An_other")]
    differing = np.flatnonzero(np.abs(sheets[0] - sheets[1]).max(axis=(1, 2)))
    assert len(differing) and differing.max() < 44  # above the first row


@pytest.mark.parametrize("rows", [[], [("empty", [])], [("empty", [np.zeros((0, 8, 8, 3), np.uint8)])]])
def test_nothing_to_show_is_refused(rows):
    with pytest.raises(ValueError, match=f"at least one picture each; received {len(rows)} rows; leave empty ones"):
        contact_sheet(rows)
