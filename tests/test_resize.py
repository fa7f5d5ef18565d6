"""The three resizes: against hand-made values, and against what each is named after."""

import numpy as np
import pytest
from PIL import Image

from gan_helpers.metrics.resize import RESIZES, resized


def picture(height, width=None, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (2, height, width or height, 3), np.uint8)


@pytest.mark.parametrize("resize", RESIZES)
@pytest.mark.parametrize("shape", [(8, 8), (64, 64), (40, 50), (299, 299), (310, 299)])
def test_shape_type_and_range(resize, shape):
    result = resized(picture(*shape), resize)
    assert result.shape == (2, 299, 299, 3) and result.dtype == np.float32
    assert result.min() >= -1 and result.max() <= 1


@pytest.mark.parametrize("resize", RESIZES)
@pytest.mark.parametrize("value", [0, 128, 255])
def test_one_colour_stays_one_colour(resize, value):
    expected = 2 * value / 255 - 1 if resize == "torch" else (value - 128) / 128
    np.testing.assert_allclose(resized(np.full((1, 20, 20, 3), value, np.uint8), resize), expected, atol=1e-6)


@pytest.mark.parametrize("resize", RESIZES)
def test_at_299_pixels_nothing_is_resized(resize):
    images = picture(299)
    expected = 2 * (images / np.float32(255)) - 1 if resize == "torch" else (images.astype(np.float32) - 128) / 128
    np.testing.assert_allclose(resized(images, resize), expected, atol=1e-6)


@pytest.mark.parametrize("resize", RESIZES)
def test_each_picture_is_resized_by_itself(resize):
    images = picture(32)
    one_by_one = np.concatenate([resized(images[:1], resize), resized(images[1:], resize)])
    np.testing.assert_array_equal(resized(images, resize), one_by_one)


def test_clean_is_bicubic_in_floats_cut_at_0_and_255():
    images = picture(48)
    plane = np.asarray(Image.fromarray(images[1, :, :, 2].astype(np.float32)).resize((299, 299), Image.BICUBIC))
    assert plane.min() < 0 and plane.max() > 255
    result = resized(images, "clean")[1, :, :, 2] * 128 + 128
    np.testing.assert_allclose(result, plane.clip(0, 255), atol=1e-4)
    assert np.abs(result - result.round()).max() > 0.4


def test_clean_shrinks_without_aliasing():
    stripes = np.zeros((1, 598, 598, 3), np.uint8)
    stripes[:, ::2] = 254
    assert np.abs(resized(stripes, "clean")[:, 4:-4] - (127 - 128) / 128).max() < 0.1
    assert np.abs(resized(stripes, "tf1")).min() > 0.9


def bilinear(images, shift):
    """From the definition: where each new pixel lies among the old ones, and the mean of the two beside it."""
    side = images.shape[1]
    place = ((np.arange(299) + shift) * side / 299 - shift).clip(0, side - 1)
    low = np.floor(place).astype(int)
    high, part = np.minimum(low + 1, side - 1), place - low
    images = images.astype(np.float64)
    rows = images[:, low] * (1 - part)[:, None, None] + images[:, high] * part[:, None, None]
    return rows[:, :, low] * (1 - part)[:, None] + rows[:, :, high] * part[:, None]


@pytest.mark.parametrize("side", [7, 64, 128, 400])
def test_tf1_aligns_the_corners_at_the_upper_left(side):
    images = picture(side)
    np.testing.assert_allclose(resized(images, "tf1"), (bilinear(images, 0) - 128) / 128, atol=1e-4)


@pytest.mark.parametrize("side", [7, 64, 128, 400])
def test_torch_aligns_the_centres(side):
    images = picture(side)
    np.testing.assert_allclose(resized(images, "torch"), bilinear(images, 0.5) / 127.5 - 1, atol=1e-4)


@pytest.mark.parametrize("resize", ["bicubic", "Clean", None, 3])
def test_another_name_is_refused(resize):
    with pytest.raises(ValueError, match="expected a resize of clean, tf1, torch; received"):
        resized(picture(8), resize)


@pytest.mark.parametrize(
    ("images", "received"),
    [
        (np.zeros((1, 8, 8, 3), np.float32), r"float32 \(1, 8, 8, 3\)"),
        (np.zeros((8, 8, 3), np.uint8), r"uint8 \(8, 8, 3\)"),
        (np.zeros((1, 8, 8, 1), np.uint8), r"uint8 \(1, 8, 8, 1\)"),
        (np.zeros((1, 0, 8, 3), np.uint8), r"uint8 \(1, 0, 8, 3\)"),
    ],
)
def test_other_images_are_refused(images, received):
    with pytest.raises(ValueError, match=f"expected uint8 images .* received {received}"):
        resized(images)


@pytest.mark.parametrize("resize", RESIZES)
def test_no_images_give_none(resize):
    assert resized(np.zeros((0, 16, 16, 3), np.uint8), resize).shape == (0, 299, 299, 3)
