import sys

import keras
import numpy as np
import pytest
from PIL import Image

from gan_helpers import draw_faces
from gan_helpers.metrics import detector
from gan_helpers.metrics.detector import face_share


@pytest.fixture(scope="module")
def mtcnn():
    """Tests that ask for it are skipped where the detector is not installed."""
    return pytest.importorskip("mtcnn")


@pytest.fixture(scope="module")
def drawn():
    return draw_faces(64, 64, seed=1)[0]


@pytest.fixture(scope="module")
def photographs_of_faces(real_faces):
    """uint8 `(200, 64, 64, 3)`, the middle of photographs."""
    files = sorted(path for path in real_faces.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))[:200]
    pictures = []
    for file in files:
        with Image.open(file) as picture:
            side = min(picture.size)
            left, top = (picture.width - side) // 2, (picture.height - side) // 2
            pictures.append(picture.convert("RGB").crop((left, top, left + side, top + side)).resize((64, 64)))
    return np.stack(pictures)


def test_drawn_faces_are_mostly_found(mtcnn, drawn):
    seen = []
    result = face_share(drawn, progress=seen.append)
    assert result.name == "face_share" and result.value > 0.75
    assert result.interval[0] < result.value <= result.interval[1] <= 1
    assert result.conditions["count"] == 64 and result.conditions["detector"].startswith("mtcnn ")
    assert seen == [32, 32]


def test_photographs_are_found_at_any_size(mtcnn, photographs_of_faces):
    assert face_share(photographs_of_faces).value > 0.9
    small = np.stack([np.asarray(Image.fromarray(face).resize((32, 32))) for face in photographs_of_faces])
    assert face_share(small).value > 0.9


@pytest.mark.parametrize("make", ["noise", "grey", "black", "shuffled"])
@pytest.mark.parametrize("side", [32, 64, 150])
def test_what_is_no_face_is_not_found(mtcnn, make, side):
    random = np.random.default_rng(side)
    shape = (40, side, side, 3)
    if make == "noise":
        images = random.integers(0, 256, shape, dtype=np.uint8)
    elif make == "shuffled":
        images = random.permuted(draw_faces(40, side, seed=2)[0].reshape(40, -1, 3), axis=1).reshape(shape)
    else:
        images = np.full(shape, 128 if make == "grey" else 0, np.uint8)
    assert face_share(images).value == 0


def test_batches_do_not_matter(mtcnn, drawn):
    noise = np.random.default_rng(0).integers(0, 256, (20, 64, 64, 3), dtype=np.uint8)
    mixed = np.concatenate([noise, drawn[:20]])
    whole = face_share(mixed)
    assert face_share(image[None] for image in mixed) == whole
    assert face_share([mixed[:33], mixed[33:]]).value == whole.value > 0.3


def test_wide_and_tall_pictures(mtcnn, drawn):
    wide = np.pad(drawn[:16], ((0, 0), (0, 0), (20, 20), (0, 0)), mode="edge")
    tall = np.pad(drawn[:16], ((0, 0), (20, 20), (0, 0), (0, 0)), mode="edge")
    assert face_share([wide, tall]).value > 0.6


def test_a_mixed_precision_policy_does_not_matter(mtcnn, drawn):
    policy, expected = keras.config.dtype_policy(), face_share(drawn[:8]).value
    try:
        keras.config.set_dtype_policy("mixed_bfloat16")
        detector._stages.cache_clear()
        assert face_share(drawn[:8]).value == expected
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
    finally:
        keras.config.set_dtype_policy(policy)


def test_more_confidence_finds_fewer(mtcnn, drawn):
    shares = [face_share(drawn, confidence=confidence).value for confidence in (0.5, 0.9, 0.999)]
    assert shares == sorted(shares, reverse=True) and shares[0] > shares[-1]


@pytest.mark.parametrize("confidence", [0, 1, 90, float("nan")])
def test_a_confidence_is_a_probability(drawn, confidence):
    with pytest.raises(ValueError, match="expected a confidence between 0 and 1; received"):
        face_share(drawn, confidence=confidence)


def test_pictures_are_checked(mtcnn, drawn):
    with pytest.raises(ValueError, match="expected uint8 pictures"):
        face_share(drawn / np.float32(255))
    with pytest.raises(ValueError, match="at least one picture"):
        face_share([])


def test_without_the_detector_it_says_what_to_install(drawn, monkeypatch):
    monkeypatch.setitem(sys.modules, "mtcnn", None)
    detector._stages.cache_clear()
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'gan_helpers\[detector\]'"):
        face_share(drawn)
