import numpy as np
import pytest
from PIL import Image, ImageFilter

from gan_helpers import draw_faces, metrics
from gan_helpers.metrics.feature_vectors import image_batches

SMALL = {"network": "small"}


@pytest.fixture(scope="module")
def faces():
    return draw_faces(300, 64, seed=2)[0]


def test_small_features_are_the_same_everywhere(faces):
    first = metrics.features(faces[:10], **SMALL)
    assert first.shape == (10, 448) and first.dtype == np.float32 and np.isfinite(first).all()
    np.testing.assert_array_equal(first, metrics.features(faces[:10], **SMALL))
    one_by_one = metrics.features([face[None] for face in faces[:10]], **SMALL)
    np.testing.assert_allclose(one_by_one, first, rtol=1e-4, atol=1e-5)
    ramp = np.add.outer(np.arange(64), np.arange(64)).astype(np.uint8)
    seen = metrics.features(np.stack([ramp] * 3, axis=-1)[None], **SMALL)[0]
    # of NumPy's generator and the rules of a convolution alone: a change here makes old curves incomparable
    np.testing.assert_allclose(seen[[4, 99, 190, 265, 342, 419]], EXPECTED_OF_A_RAMP, rtol=1e-3)


EXPECTED_OF_A_RAMP = [1.4303, 0.8749, -2.2958, 1.1229, 0.3305, -0.2647]


@pytest.mark.parametrize("size", [32, 64, 100])
def test_pictures_of_any_size(size):
    assert metrics.features(draw_faces(3, size, seed=0)[0], **SMALL).shape == (3, 448)


def test_memory_stays_bounded_and_progress_is_told(faces):
    told = []
    stream = (faces[n : n + 7] for n in range(0, 70, 7))
    vectors = metrics.features(stream, batch_size=5, progress=told.append, **SMALL)
    assert isinstance(vectors, np.memmap) and len(vectors) == 70
    assert told == [5, 2] * 10


def test_fid_grows_with_damage(faces):
    """Blur, noise and forgotten kinds all raise it, and more of them more."""
    real, other = faces[:150], faces[150:]
    floor = metrics.fid(real, other, groups=0, **SMALL).value

    def blurred(radius):
        return np.stack([Image.fromarray(face).filter(ImageFilter.GaussianBlur(radius)) for face in other])

    def noisy(deviation):
        noise = np.random.default_rng(0).normal(0, deviation, other.shape)
        return np.clip(other + noise, 0, 255).astype(np.uint8)

    for damage in (blurred, noisy):
        mild, strong = (metrics.fid(real, damage(much), groups=0, **SMALL).value for much in (1, 6))
        assert floor < mild < strong, damage
    collapsed = np.repeat(other[:5], 30, axis=0)
    assert metrics.fid(real, collapsed, groups=0, **SMALL).value > 2 * floor


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((2, 8, 8, 3), np.float32), r"received float32 \(2, 8, 8, 3\) from 0 to 0"),
        (np.ones((2, 8, 8, 3)), "make uint8 of"),
        (np.zeros((2, 8, 8, 3), np.int64), "expected uint8 pictures; received int64"),
        (
            np.zeros((8, 8, 3), np.uint8),
            r"expected pictures of shape \(count, height, width, 3\); received \(8, 8, 3\)",
        ),
        (np.zeros((2, 8, 8, 1), np.uint8), r"received \(2, 8, 8, 1\)"),
        (np.zeros((2, 3, 8, 8), np.uint8), r"received \(2, 3, 8, 8\)"),
        ([], "expected at least one picture; received none"),
        (np.zeros((0, 8, 8, 3), np.uint8), "expected at least one picture; received none"),
        ("faces", "received str"),
        ([np.zeros((1, 8, 8, 3), np.uint8), np.zeros((1, 8, 8, 3))], "expected uint8 pictures; received float64"),
    ],
)
def test_pictures_that_are_none(images, message):
    with pytest.raises(ValueError, match=message):
        metrics.features(images, **SMALL)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"network": "vgg"}, "expected a network of inception, small; received 'vgg'"),
        ({"layer": 100}, "expected a layer of 64, 192, 768, 2048 or 'logits'; received 100"),
    ],
)
def test_unknown_options(options, message):
    with pytest.raises(ValueError, match=message):
        metrics.features(np.zeros((1, 8, 8, 3), np.uint8), **options)


def test_one_picture_has_features_but_no_distance():
    picture = draw_faces(1, 32, seed=0)[0]
    assert metrics.features(picture, **SMALL).shape == (1, 448)
    with pytest.raises(ValueError, match="expected at least 2 fake pictures"):
        metrics.fid(draw_faces(5, 32, seed=1)[0], picture, **SMALL)


def test_batches_of_an_array():
    sizes = [len(batch) for batch in image_batches(np.zeros((10, 8, 8, 3), np.uint8), 4)]
    assert sizes == [4, 4, 2]


def test_front_door():
    assert callable(metrics.features) and "fid" in dir(metrics)
    with pytest.raises(AttributeError, match="it offers Measure"):
        metrics.frechet  # noqa: B018
