import sys

import keras
import numpy as np
import pytest
from PIL import Image

from gan_helpers import draw_faces
from gan_helpers.metrics import detector
from gan_helpers.metrics.detector import face_share, find_landmarks, landmarks_of_patches


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


def test_landmarks_are_in_their_order_and_lie_in_the_face(mtcnn, drawn):
    wide = np.pad(drawn[:16], ((0, 0), (32, 32), (64, 32), (0, 0)), mode="edge")
    faces = [face for found in find_landmarks(list(wide)) for face in found]
    assert len(faces) >= 10
    left_eye, right_eye, nose, mouth_left, mouth_right = np.median(faces, axis=0)
    assert 64 < left_eye[0] < nose[0] < right_eye[0] < 128 and mouth_left[0] < nose[0] < mouth_right[0]
    assert 32 < left_eye[1] < nose[1] < mouth_left[1] < 96
    assert left_eye[1] == pytest.approx(right_eye[1], abs=2) and nose[0] == pytest.approx(96, abs=4)


def test_landmarks_of_pictures_of_any_shape_together_and_alone(mtcnn, drawn, monkeypatch):
    wide = np.pad(drawn[:6], ((0, 0), (0, 0), (20, 20), (0, 0)), mode="edge")
    nothing = np.zeros((30, 40, 3), np.uint8)
    pictures = [drawn[0], wide[0], nothing, *drawn[1:6], *wide[1:], np.zeros((5, 900, 3), np.uint8)]
    together = find_landmarks(pictures)
    assert [found.shape[1:] for found in together] == [(5, 2)] * len(pictures)
    assert len(together[2]) == len(together[-1]) == 0 and sum(map(len, together)) > 6
    monkeypatch.setattr(detector, "BATCH_PIXELS", 1)
    for one, found in zip(pictures, together, strict=True):
        assert np.allclose(find_landmarks([one])[0], found, atol=0.01)
    assert find_landmarks([]) == []


def test_landmarks_of_several_faces_go_from_left_to_right(mtcnn, drawn):
    row = np.hstack(np.pad(drawn[:8], ((0, 0), (16, 16), (16, 16), (0, 0)), mode="edge"))
    [faces] = find_landmarks([row])
    assert len(faces) >= 4 and (np.diff(faces.mean(axis=1)[:, 0]) > 0).all()


def test_a_mirrored_face_has_mirrored_landmarks(mtcnn, drawn):
    """Within a few hundredths of the patch: it was never taught to be even, which is why it is asked both ways."""
    patches = np.stack([np.asarray(Image.fromarray(face[8:60, 6:58]).resize((48, 48))) for face in drawn[:32]])
    straight, sure = landmarks_of_patches(patches)
    mirrored, _ = landmarks_of_patches(patches[:, :, ::-1])
    back = mirrored[:, [1, 0, 2, 4, 3]] * (-1, 1) + (48, 0)
    assert straight.shape == (32, 5, 2) and sure.shape == (32,) and 0 <= sure.min() <= sure.max() <= 1
    assert np.median(np.abs(back - straight)) < 1.5 and np.abs((back - straight).mean(axis=(0, 1))).max() < 0.8


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
