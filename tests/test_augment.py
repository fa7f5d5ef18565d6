import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from gan_helpers.models.augment import KINDS, WIDTH, augment

RANDOM = np.random.default_rng(2)
IMAGES = RANDOM.uniform(-1, 1, (4, 16, 16, 3)).astype(np.float32)
# The first and the last that a uniform can be, and two between: what moves or cuts reaches the edges.
UNIFORMS = np.stack([np.zeros(WIDTH), np.full(WIDTH, 1 - 2**-24), *RANDOM.uniform(size=(2, WIDTH))]).astype(np.float32)


def _colour(image, uniforms):
    brightness, saturation, contrast = uniforms[:3]
    image = image + (brightness - 0.5)
    grey = (image[..., :1] + image[..., 1:2] + image[..., 2:]) / 3
    image = grey + (image - grey) * (2 * saturation)
    return image.mean() + (image - image.mean()) * (0.5 + contrast)


def _translation(image, uniforms):
    down, right = (math.floor(float(u) * 5) - 2 for u in uniforms[3:5])  # an eighth of 16 each way: -2 to 2
    moved = np.zeros_like(image)
    for y in range(16):
        for x in range(16):
            if 0 <= y - down < 16 and 0 <= x - right < 16:
                moved[y, x] = image[y - down, x - right]
    return moved


def _cutout(image, uniforms):
    middle_y, middle_x = (math.floor(float(u) * 16) for u in uniforms[5:7])
    cut = image.copy()
    for y in range(middle_y - 4, middle_y + 4):
        for x in range(middle_x - 4, middle_x + 4):
            if 0 <= y < 16 and 0 <= x < 16:
                cut[y, x] = 0
    return cut


BY_HAND = {"colour": _colour, "translation": _translation, "cutout": _cutout}


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("float16", 1e-2)])
@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_by_hand(kind, dtype, tolerance):
    augmented = augment(keras.ops.cast(IMAGES, dtype), UNIFORMS, (kind,))
    assert augmented.shape == IMAGES.shape and augmented.dtype == dtype
    expected = np.stack([BY_HAND[kind](*pair) for pair in zip(IMAGES.astype(np.float64), UNIFORMS, strict=True)])
    np.testing.assert_allclose(augmented.numpy().astype(np.float64), expected, rtol=tolerance, atol=tolerance)


def test_all_are_one_after_the_other():
    expected = IMAGES
    for kind in KINDS:
        expected = augment(expected, UNIFORMS, (kind,))
    np.testing.assert_array_equal(augment(IMAGES, UNIFORMS), expected)
    np.testing.assert_array_equal(augment(IMAGES, UNIFORMS), augment(IMAGES, UNIFORMS))
    assert not np.array_equal(augment(IMAGES, UNIFORMS), augment(IMAGES, UNIFORMS[::-1].copy()))


def test_probability_chooses_image_by_image():
    never = augment(IMAGES, UNIFORMS, KINDS, 0.0)
    np.testing.assert_array_equal(never, IMAGES)
    random = np.random.default_rng(6).uniform(size=(4, WIDTH)).astype(np.float32)
    random[:, 7] = 0.1, 0.6, 0.3, 0.9  # decides on colour
    half = augment(IMAGES, random, ("colour",), keras.ops.convert_to_tensor(0.5)).numpy()
    whole = augment(IMAGES, random, ("colour",)).numpy()
    np.testing.assert_array_equal(half[[0, 2]], whole[[0, 2]])
    np.testing.assert_array_equal(half[[1, 3]], IMAGES[[1, 3]])
    assert (np.abs(whole - IMAGES).max(axis=(1, 2, 3)) > 0).all()


def test_none_leaves_images_as_they_are():
    np.testing.assert_array_equal(augment(IMAGES, UNIFORMS, ()), IMAGES)


@pytest.mark.parametrize("kinds", [*((kind,) for kind in KINDS), KINDS])
def test_gradients_flow_to_every_image(kinds):
    images, direction = tf.constant(IMAGES), RANDOM.normal(size=IMAGES.shape).astype(np.float32)
    with tf.GradientTape() as tape:
        tape.watch(images)
        total = tf.reduce_sum(augment(images, UNIFORMS, kinds) * direction)
    gradients = tape.gradient(total, images).numpy()
    assert np.isfinite(gradients).all()
    assert (np.abs(gradients).sum(axis=(1, 2, 3)) > 0).all()


def test_unknown_kind():
    with pytest.raises(ValueError, match="expected augmentations of colour, translation, cutout; received 'blur'"):
        augment(IMAGES, UNIFORMS, ("colour", "blur"))
