import io

import numpy as np
import pytest
from PIL import Image

from gan_helpers import draw_faces, near_duplicates, perceptual_hash
from gan_helpers.data.near_duplicates import NEAR, hash_distances, mirrored_members


@pytest.fixture(scope="module")
def clouds():
    """uint8 `(300, 64, 64, 3)`: random pictures with the spectrum of photographs, no two alike."""
    random = np.random.default_rng(0)
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(64), np.fft.fftfreq(64)))
    noise = np.fft.fft2(random.standard_normal((300, 64, 64)))
    grey = np.fft.ifft2(noise / (frequency + 0.02)).real
    grey = 128 + 45 * (grey - grey.mean((1, 2), keepdims=True)) / grey.std((1, 2), keepdims=True)
    return np.clip(grey[..., None] + [10, 0, -10], 0, 255).astype(np.uint8)


def _each(change):
    return lambda images: np.stack([np.asarray(change(Image.fromarray(image))) for image in images])


def _jpeg(picture):
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=40)
    return Image.open(file)


def _halved(picture):
    return picture.resize((32, 32), Image.Resampling.BICUBIC).resize((64, 64), Image.Resampling.BICUBIC)


CHANGES = {
    "jpeg": _each(_jpeg),
    "halved": _each(_halved),
    "brighter": lambda images: np.clip(np.rint(images * 1.1), 0, 255).astype(np.uint8),
    "darker": lambda images: np.rint(images * 0.9).astype(np.uint8),
    "shifted": lambda images: np.concatenate([images[:, :, :1], images[:, :, :-1]], axis=2),
    "mirrored": lambda images: images[:, :, ::-1],
    "larger": _each(lambda picture: picture.resize((128, 128), Image.Resampling.BICUBIC)),
}


def _random_hashes(count, seed=0):
    return np.random.default_rng(seed).integers(0, 2**64, (count, 4), dtype=np.uint64)


def _with_bits_turned(hashes, count, seed=0):
    random = np.random.default_rng(seed)
    bits = np.unpackbits(hashes.view(np.uint8), axis=1, bitorder="little")
    for row in bits:
        row[random.choice(np.arange(1, 256), count, replace=False)] ^= 1
    return np.packbits(bits, axis=1, bitorder="little").view(np.uint64)


@pytest.mark.parametrize("size", [16, 64, 200])
@pytest.mark.parametrize(("down", "across", "bit"), [(0, 3, 3), (2, 5, 21), (7, 7, 63), (0, 8, 64), (15, 15, 255)])
def test_a_wave_has_its_own_bit_and_its_inverse_has_not(size, down, across, bit):
    places = np.pi * (np.arange(size) + 0.5) / size
    wave = 128.5 + 100 * np.outer(np.cos(down * places), np.cos(across * places))
    image = np.repeat(wave.astype(np.uint8)[None, ..., None], 3, axis=3)
    bits = np.unpackbits(perceptual_hash(image).view(np.uint8), bitorder="little")
    assert bits[bit]
    assert not np.unpackbits(perceptual_hash(255 - image).view(np.uint8), bitorder="little")[bit]


@pytest.mark.parametrize("value", [0, 7, 255])
def test_even_pictures_are_all_alike(value):
    assert (perceptual_hash(np.full((2, 64, 64, 3), value, np.uint8)) == 0).all()


def test_tiny_pictures_have_hashes_too():
    first, second = perceptual_hash(draw_faces(2, 32)[0][:, ::4, ::4])
    assert 0 < hash_distances(first, second) < 64


def test_hashes_do_not_depend_on_the_batch(clouds):
    assert (perceptual_hash(clouds)[290:] == perceptual_hash(clouds[290:])).all()


def test_distances_by_hand():
    hashes = np.array([[0, 0, 0, 0], [1, 0, 0, 2**63], [2**64 - 1] * 4], np.uint64)
    assert hash_distances(hashes, hashes[0]).tolist() == [0, 2, 256]
    assert hash_distances(hashes[1], hashes[2]) == 254


@pytest.mark.parametrize("change", CHANGES)
def test_changed_pictures_are_found_and_no_others(clouds, change):
    hashes = np.concatenate([perceptual_hash(clouds), perceptual_hash(CHANGES[change](clouds[:100]))])
    groups = near_duplicates(hashes)
    right = [group for group in groups if group.tolist() == [group[0], 300 + group[0]]]
    assert len(right) >= (97 if change == "shifted" else 100)
    assert len(right) == len(groups)


def test_mirror_images_count_only_if_asked_for(clouds):
    hashes = perceptual_hash(np.concatenate([clouds, clouds[:1, :, ::-1], clouds[1:2]]))
    assert [group.tolist() for group in near_duplicates(hashes, mirrored=False)] == [[1, 301]]
    assert [group.tolist() for group in near_duplicates(hashes)] == [[0, 300], [1, 301]]
    assert mirrored_members(hashes[[0, 300]]).tolist() == [False, True]
    assert mirrored_members(hashes[[1, 301]]).tolist() == [False, False]


def test_the_limit_holds_to_the_bit():
    hashes = _random_hashes(1)
    for turned, expected in ((NEAR, 1), (NEAR + 1, 0)):
        both = np.concatenate([hashes, _with_bits_turned(hashes, turned)])
        assert len(near_duplicates(both)) == expected
    assert len(near_duplicates(both, near=NEAR + 1)) == 1


def test_groups_are_those_of_all_pairs():
    hashes = _random_hashes(1000)
    chained = _with_bits_turned(hashes[:50], 30)  # 60 bits from the first to the third: one group through the second
    hashes = np.concatenate([hashes, chained, _with_bits_turned(chained, 30, seed=1)])
    close = np.stack([hash_distances(hashes, one) for one in hashes]) <= NEAR
    close = close.astype(np.float32) @ close > 0  # through one between them
    expected = sorted({tuple(np.flatnonzero(row)) for row in close if row.sum() > 1})
    assert [tuple(group) for group in near_duplicates(hashes, mirrored=False)] == expected
    assert len(expected) == 50 and all(len(group) == 3 for group in expected)


def test_many_of_the_same_do_not_hide_others():
    few = _random_hashes(1)
    copies = _with_bits_turned(np.repeat(_random_hashes(1, seed=1), 3000, axis=0), 10)
    hashes = np.concatenate([np.repeat(copies[:1], 500, axis=0), few, copies, few])
    groups = near_duplicates(hashes)
    assert [len(group) for group in groups] == [3500, 2] and groups[1].tolist() == [500, 3501]


def test_one_picture_and_none():
    assert near_duplicates(_random_hashes(1)) == [] and near_duplicates(_random_hashes(0)) == []


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: perceptual_hash(np.zeros((2, 8, 8, 3))), "received float64 \\(2, 8, 8, 3\\); prepare_images"),
        (lambda: perceptual_hash(np.zeros((8, 8, 3), np.uint8)), "expected uint8 images of shape"),
        (lambda: perceptual_hash(np.zeros((0, 8, 8, 3), np.uint8)), "at least one"),
        (lambda: perceptual_hash([1]), "received list"),
        (lambda: near_duplicates(np.zeros((3, 4))), "expected hashes as uint64 \\(count, 4\\); received float64"),
        (lambda: near_duplicates(np.zeros(3, np.uint64)), "make them with perceptual_hash"),
        (lambda: near_duplicates(_random_hashes(2), near=256), "expected near from 0 to 255 bits; received 256; try"),
    ],
)
def test_what_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
