import numpy as np
import pytest

from gan_helpers.data.drawn_faces import draw_faces
from gan_helpers.metrics.pixels import contrast, diversity, nyquist_power, saturated_share, sharpness

ALL = [diversity, sharpness, nyquist_power, saturated_share, contrast]


def _even(value, count=2, size=16):
    return np.full((count, size, size, 3), value, np.float32)


def _grid(size=16, amplitude=0.5, kind="both"):
    rows, columns = np.indices((size, size))
    where = {"rows": columns, "columns": rows, "both": rows + columns}[kind]
    return np.repeat((amplitude * (-1.0) ** where)[None, :, :, None], 3, axis=-1).astype(np.float32)


@pytest.mark.parametrize("value", [-1.0, 0.0, 0.7])
def test_even_surfaces(value):
    images = _even(value)
    assert max(diversity(images), sharpness(images), nyquist_power(images), contrast(images)) < 1e-6
    assert saturated_share(images) == (1 if abs(value) == 1 else 0)


def test_diversity_of_black_grey_and_white():
    images = np.concatenate([_even(-1, 1), _even(0, 1), _even(1, 1)])
    assert diversity(images) == pytest.approx((1 + 2 + 1) / 3)
    assert diversity(images[[0, 0, 2]]) == pytest.approx((0 + 2 + 2) / 3)


def test_diversity_is_blind_to_grain_but_not_to_place():
    assert diversity(np.concatenate([_grid(), -_grid()])) == pytest.approx(0)
    left, right = _even(-1, 1), _even(-1, 1)
    left[:, :, :8], right[:, :, 8:] = 1, 1
    assert diversity(np.concatenate([left, right])) == pytest.approx(2)


@pytest.mark.parametrize("kind", ["rows", "columns", "both"])
@pytest.mark.parametrize("amplitude", [0.1, 0.5])
def test_a_checkerboard_has_its_known_power(kind, amplitude):
    # Smoothing takes it to nothing but at the picture's border, which the window leaves out.
    assert nyquist_power(_grid(64, amplitude, kind)) == pytest.approx(amplitude**2, rel=1e-3)
    assert sharpness(_grid(64, amplitude, kind)) == pytest.approx(amplitude, rel=0.02)


def test_a_line_at_the_border_is_no_grid():
    framed = np.zeros((1, 64, 64, 3), np.float32)
    framed[:, 0] = framed[:, :, -1] = 1
    assert nyquist_power(framed) < 1e-7  # without the window 1e-4


def test_a_checkerboard_on_faces_is_found():
    faces = draw_faces(16, 64, seed=3)[0] / np.float32(127.5) - 1
    plain = nyquist_power(faces)
    assert nyquist_power(faces + 0.05 * _grid(64, 1.0)) > 20 * plain
    assert nyquist_power(faces + 0.05 * np.random.default_rng(0).choice([-1, 1], faces.shape)) < 2 * plain + 1e-4


def test_blur_and_noise_move_sharpness():
    faces = draw_faces(16, 64, seed=3)[0] / np.float32(127.5) - 1
    blurred = (faces[:, :-1] + faces[:, 1:]) / 2
    noisy = faces + np.random.default_rng(0).normal(0, 0.2, faces.shape)
    assert sharpness(blurred) < 0.9 * sharpness(faces) < sharpness(faces) < 0.9 * sharpness(noisy)


def test_contrast_and_saturation_by_hand():
    half = _even(-1)
    half[:, :8] = 1
    assert contrast(half) == pytest.approx(1) and saturated_share(half) == 1
    half[:, :4] = 0.5
    assert saturated_share(half) == pytest.approx(0.75)


@pytest.mark.parametrize("measure", ALL)
def test_uint8_is_the_same(measure):
    faces = draw_faces(4, 32, seed=3)[0]
    assert measure(faces) == pytest.approx(measure(faces / np.float32(127.5) - 1), rel=1e-5)


@pytest.mark.parametrize("measure", ALL)
@pytest.mark.parametrize("shape", [(32, 32, 3), (2, 32, 32, 1), (0, 32, 32, 3)])
def test_other_shapes_are_refused(measure, shape):
    with pytest.raises(ValueError, match=r"expected images of shape .*; received \(.*; add a batch axis"):
        measure(np.zeros(shape, np.float32))


def test_sides_that_do_not_divide_are_refused():
    with pytest.raises(ValueError, match=r"multiples of 8; received \(2, 12, 16, 3\)"):
        diversity(np.zeros((2, 12, 16, 3)))
    with pytest.raises(ValueError, match=r"even sides; received \(2, 15, 16, 3\)"):
        nyquist_power(np.zeros((2, 15, 16, 3)))
