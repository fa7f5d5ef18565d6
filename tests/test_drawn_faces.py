"""Drawn faces: the same on every call, as large as asked, and what their table says."""

import hashlib
import time

import numpy as np
import pytest

from gan_helpers.data.drawn_faces import ATTRIBUTES, draw_faces

# Looking ahead and upright, without what could hide the part that a test looks at.
PLAIN = {"head_turn": 0, "head_tilt": 0, "head_nod": 0, "beard": 0, "moustache": 0, "eyeglasses": 0, "hat": 0,
         "earrings": 0, "fringe": 0, "hair_style": 2, "mouth_open": 0}  # fmt: skip


def fingerprint(images):
    return hashlib.sha256(images.tobytes()).hexdigest()


def changes(name, before, after, **others):
    """Where 40 plain faces change with one attribute: the mean over faces and colours, as a (64, 64) map."""
    first, _ = draw_faces(40, seed=5, attributes={**PLAIN, **others, name: before})
    second, _ = draw_faces(40, seed=5, attributes={**PLAIN, **others, name: after})
    return np.abs(first.astype(float) - second).mean(axis=(0, 3))


@pytest.mark.parametrize("image_size", [32, 48, 64, 128, 256])
def test_shapes_and_dtypes(image_size):
    images, table = draw_faces(3, image_size)
    assert images.shape == (3, image_size, image_size, 3)
    assert images.dtype == np.uint8
    assert list(table) == list(ATTRIBUTES)
    assert all(column.shape == (3,) for column in table.values())


def test_defaults_are_64_pixels():
    assert draw_faces(2)[0].shape == (2, 64, 64, 3)


@pytest.mark.parametrize("image_size", [32, 50, 64])
def test_the_same_seed_gives_the_same_bytes(image_size):
    assert fingerprint(draw_faces(70, image_size, seed=4)[0]) == fingerprint(draw_faces(70, image_size, seed=4)[0])


@pytest.mark.parametrize("image_size", [33, 64, 96])
def test_a_set_can_be_drawn_in_pieces(image_size):
    whole, table = draw_faces(100, image_size, seed=3)
    pieces = [draw_faces(n, image_size, seed=3, start=s) for s, n in ((0, 60), (60, 1), (61, 39))]
    assert fingerprint(whole) == fingerprint(np.concatenate([images for images, _ in pieces]))
    for name, column in table.items():
        np.testing.assert_array_equal(column, np.concatenate([part[name] for _, part in pieces]))


def test_any_start_costs_nothing():
    began = time.perf_counter()
    draw_faces(1, 32, start=10**12)
    assert time.perf_counter() - began < 2


def test_large_seeds_and_other_seeds():
    images = {fingerprint(draw_faces(2, 32, seed=seed)[0]) for seed in (0, 1, 2**32, 2**64 - 1)}
    assert len(images) == 4


def test_attributes_do_not_depend_on_the_size():
    small, large = draw_faces(20, 32, seed=9)[1], draw_faces(20, 96, seed=9)[1]
    for name in ATTRIBUTES:
        np.testing.assert_array_equal(small[name], large[name])


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_values_are_in_their_range_and_vary(name):
    kind, low, high, meaning = ATTRIBUTES[name]
    column = draw_faces(400, 32, seed=2)[1][name] if name not in _columns else _columns[name]
    assert column.dtype == (np.float32 if kind == "number" else np.int64)
    assert low <= column.min() < column.max() <= high
    assert meaning
    if kind != "number":
        assert set(column) == set(range(low, high + 1))


_columns = draw_faces(400, 32, seed=2)[1]


@pytest.mark.parametrize(("name", "share"), [("eyeglasses", 0.25), ("beard", 0.21), ("hat", 0.12), ("mouth_open", 0.3)])
def test_shares(name, share):
    assert _columns[name].mean() == pytest.approx(share, abs=0.07)


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_each_attribute_can_be_fixed_and_leaves_the_others(name):
    _, low, high, _ = ATTRIBUTES[name]
    own, free = draw_faces(12, 64, seed=6)
    wanted = np.array([low, high] * 6)
    images, table = draw_faces(12, 64, seed=6, attributes={name: wanted})
    np.testing.assert_array_equal(table[name], wanted)
    for other in set(ATTRIBUTES) - {name}:
        np.testing.assert_array_equal(table[other], free[other])
    if name not in ("hat_style", "hat_colour"):  # Seen on those few with a hat only.
        assert not np.array_equal(images, own)


def test_fixing_what_a_face_has_anyway_changes_nothing():
    images, table = draw_faces(10, seed=8)
    again, _ = draw_faces(10, seed=8, attributes=table)
    assert fingerprint(again) == fingerprint(images)


@pytest.mark.parametrize(
    ("name", "before", "after", "rows", "columns"),
    [
        ("smile", -1.0, 1.0, slice(28, 56), slice(12, 52)),
        ("mouth_open", 0, 1, slice(36, 56), slice(16, 48)),
        ("eyeglasses", 0, 1, slice(20, 40), slice(8, 56)),
        ("hat", 0, 1, slice(0, 30), slice(4, 60)),
        ("hair_colour", 0, 5, slice(0, 38), slice(6, 58)),
        ("beard", 0, 1, slice(30, 62), slice(10, 54)),
        ("eye_colour", 0, 4, slice(24, 36), slice(14, 50)),
        ("clothing_colour", 0.0, 0.5, slice(50, 64), slice(0, 64)),
        ("lipstick", 0, 1, slice(38, 54), slice(18, 46)),
    ],
)
def test_an_attribute_changes_its_own_place(name, before, after, rows, columns):
    change = changes(name, before, after)
    assert change[rows, columns].sum() > 0.85 * change.sum() > 0


def test_bald_heads_have_no_hair():
    assert changes("hair_colour", 0, 5, hair_style=0)[:20].mean() < 0.5  # Only the brows are left of the colour.


def test_yaw_moves_the_nose():
    images, _ = draw_faces(2, seed=1, attributes={**PLAIN, "head_turn": [-1, 1]})
    assert not np.array_equal(images[0], images[1])


@pytest.mark.parametrize("image_size", [32, 64, 128])
def test_edges_are_smooth(image_size):
    """A picture is close to one drawn larger and averaged down; without antialiasing it is not."""
    large, _ = draw_faces(24, 256, seed=7)
    ratio = 256 // image_size
    averaged = large.reshape(24, image_size, ratio, image_size, ratio, 3).mean(axis=(2, 4))
    drawn, picked = draw_faces(24, image_size, seed=7)[0], large[:, ::ratio, ::ratio]
    difference = np.abs(drawn - averaged).mean()
    assert difference < 4.0
    assert difference < np.abs(picked - averaged).mean()


def test_no_two_alike():
    images, _ = draw_faces(500, 32, seed=11)
    assert len({face.tobytes() for face in images}) == 500
    assert images.astype(np.float32).std(axis=0).mean() > 35


def test_pictures_use_the_whole_range():
    images, _ = draw_faces(100, 64)
    assert images.min() < 25
    assert images.max() > 230


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"count": 0}, "count"),
        ({"count": -3}, "count"),
        ({"count": 2.5}, "count"),
        ({"count": True}, "count"),
        ({"image_size": 31}, "image_size"),
        ({"image_size": 257}, "image_size"),
        ({"image_size": "64"}, "image_size"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**64}, "seed"),
        ({"seed": None}, "seed"),
        ({"start": -1}, "start"),
        ({"attributes": {"smiling": 1}}, "smiling"),
        ({"attributes": {"smile": 1.5}}, "smile"),
        ({"attributes": {"smile": float("nan")}}, "smile"),
        ({"attributes": {"smile": "wide"}}, "smile"),
        ({"attributes": {"smile": [0.1, 0.2]}}, "smile"),
        ({"attributes": {"hat": 0.5}}, "hat"),
        ({"attributes": {"hair_style": 99}}, "hair_style"),
    ],
)
def test_errors_say_what_was_expected_received_and_what_to_do(arguments, named):
    with pytest.raises(ValueError, match=r"expected .*, received .*; do ") as error:
        draw_faces(**{"count": 4, **arguments})
    assert named in str(error.value)


def test_speed():
    """The goal is 700 faces a second on one core; this asks for less, for busy machines."""
    draw_faces(100)
    began = time.perf_counter()
    draw_faces(300, seed=1)
    assert 300 / (time.perf_counter() - began) > 150
