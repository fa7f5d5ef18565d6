import json

import numpy as np
import pytest
from PIL import Image, ImageOps

from gan_helpers import draw_faces, prepare_images
from gan_helpers.data import decoding
from gan_helpers.data import images as images_module
from gan_helpers.data.decoding import load_image


@pytest.fixture
def face():
    return Image.fromarray(draw_faces(1, 64, seed=1)[0][0])


def _difference(a, b):
    return np.abs(a.astype(int) - b.astype(int)).mean()


@pytest.mark.parametrize("image_size", [32, 64, 128])
@pytest.mark.parametrize("ending", ["png", "bmp", "jpg", "webp"])
def test_formats_give_the_same_face(tmp_path, face, ending, image_size):
    face.save(tmp_path / f"face.{ending}", quality=95)
    loaded = load_image(tmp_path / f"face.{ending}", image_size)
    assert loaded.shape == (image_size, image_size, 3) and loaded.dtype == np.uint8
    expected = np.asarray(face.resize((image_size, image_size), Image.Resampling.BICUBIC))
    assert _difference(loaded, expected) < (6 if ending in ("jpg", "webp") else 0.01)


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "LA", "CMYK", "1"])
def test_modes_become_rgb(tmp_path, face, mode):
    ending = "jpg" if mode == "CMYK" else "png"
    face.convert(mode).save(tmp_path / f"face.{ending}", quality=95)
    loaded = load_image(tmp_path / f"face.{ending}", 64)
    expected = np.asarray(face.convert(mode).convert("RGB"))
    assert loaded.shape == (64, 64, 3)
    assert _difference(loaded, expected) < 6


def test_sixteen_bits_are_scaled_not_cut(tmp_path):
    ramp = np.linspace(0, 65535, 64 * 64).reshape(64, 64).astype(np.uint16)
    Image.fromarray(ramp).save(tmp_path / "ramp.png")
    loaded = load_image(tmp_path / "ramp.png", 64)
    assert np.abs(loaded[..., 0] - ramp / 257).max() <= 1


def test_transparent_parts_become_white(tmp_path):
    picture = np.zeros((64, 64, 4), np.uint8)
    picture[:32] = (255, 0, 0, 255)
    Image.fromarray(picture).save(tmp_path / "half.png")
    loaded = load_image(tmp_path / "half.png", 64)
    assert (loaded[:30] == (255, 0, 0)).all() and (loaded[34:] == 255).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_undone(tmp_path, face, orientation):
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = face.transpose(undo[orientation]) if orientation in undo else face
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "face.png", exif=exif)
    assert _difference(load_image(tmp_path / "face.png", 64), np.asarray(face)) == 0


def test_centre_crop_does_not_squash(tmp_path, face):
    wide = Image.new("RGB", (164, 64), "blue")
    wide.paste(face, (50, 0))
    wide.save(tmp_path / "wide.png")
    assert _difference(load_image(tmp_path / "wide.png", 64), np.asarray(face)) == 0


def test_crop_box(tmp_path, face):
    big = Image.new("RGB", (100, 120), "blue")
    big.paste(face, (9, 25))
    big.save(tmp_path / "big.png")
    assert _difference(load_image(tmp_path / "big.png", 64, (9, 25, 73, 89)), np.asarray(face)) == 0


def test_resize_is_antialiased(tmp_path):
    stripes = np.zeros((256, 256, 3), np.uint8)
    stripes[:, ::2] = 255
    Image.fromarray(stripes).save(tmp_path / "stripes.png")
    loaded = load_image(tmp_path / "stripes.png", 32)
    assert np.abs(loaded.astype(int) - 128).max() < 20  # nearest or plain bilinear would give black or white


@pytest.mark.parametrize("crop", [None, (40, 60, 440, 460)])
@pytest.mark.parametrize("orientation", [1, 6, 8])
@pytest.mark.parametrize(("image_size", "part"), [(200, 1), (128, 2), (64, 4), (30, 8)])
def test_a_large_jpeg_is_decoded_reduced_and_looks_the_same(tmp_path, monkeypatch, image_size, part, orientation, crop):
    size = (641, 483) if orientation == 1 else (640, 480)
    face = Image.fromarray(draw_faces(1, 256, seed=3)[0][0]).resize(size)
    exif = Image.Exif()
    exif[0x0112] = orientation
    face.save(tmp_path / "face.jpg", quality=95, exif=exif)
    decoded, opaque = [], decoding._opaque
    monkeypatch.setattr(decoding, "_opaque", lambda picture: decoded.append(picture.size) or opaque(picture))
    loaded = load_image(tmp_path / "face.jpg", image_size, crop)
    size = size if orientation == 1 else size[::-1]
    assert decoded == [(-(-size[0] // part), -(-size[1] // part))]
    with Image.open(tmp_path / "face.jpg") as whole:
        whole = ImageOps.exif_transpose(whole)
        side, edges = min(whole.size), np.subtract(whole.size, min(whole.size)) // 2
        box = crop or (*edges, *(edges + side))
        expected = whole.resize((image_size, image_size), Image.Resampling.BICUBIC, box=box)
    assert _difference(loaded, np.asarray(expected)) < (0.01 if part == 1 else 1.7)


def test_an_odd_jpeg_that_is_to_be_turned_is_decoded_whole(tmp_path, face):
    exif = Image.Exif()
    exif[0x0112] = 6
    face.resize((481, 321)).save(tmp_path / "face.jpg", quality=95, exif=exif)
    with Image.open(tmp_path / "face.jpg") as whole:
        expected = ImageOps.exif_transpose(whole).resize((32, 32), Image.Resampling.BICUBIC, box=(0, 80, 321, 401))
    assert _difference(load_image(tmp_path / "face.jpg", 32), np.asarray(expected)) == 0


def test_folder_is_prepared_once_and_mapped(photographs, tmp_path, monkeypatch):
    prepared = prepare_images(photographs, 32, cache=tmp_path)
    assert prepared.images.shape == (40, 32, 32, 3)
    assert isinstance(prepared.images, np.memmap) and not prepared.images.flags.writeable
    assert prepared.skipped == []
    monkeypatch.setattr(images_module, "load_image", None)  # a second decoding would fail
    again = prepare_images(photographs, 32, cache=tmp_path)
    assert again.folder == prepared.folder and again.fingerprint == prepared.fingerprint


def test_settings_have_caches_of_their_own(photographs, tmp_path):
    plain = prepare_images(photographs, 32, cache=tmp_path)
    cropped = prepare_images(photographs, 32, crop=(0, 0, 60, 60), cache=tmp_path)
    assert plain.folder != cropped.folder and plain.fingerprint != cropped.fingerprint


def test_changed_files_are_seen(tmp_path, face):
    folder, cache = tmp_path / "img", tmp_path / "cache"
    folder.mkdir()
    face.save(folder / "a.png")
    first = prepare_images(folder, 32, cache=cache)
    face.save(folder / "b.png")
    assert len(prepare_images(folder, 32, cache=cache).images) == 2 and len(first.images) == 1


def test_bad_files_are_skipped_with_their_reasons(tmp_path, face):
    folder = tmp_path / "img"
    folder.mkdir()
    face.save(folder / "good.png")
    face.save(folder / "whole.jpg")
    whole = (folder / "whole.jpg").read_bytes()
    (folder / "truncated.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "text.jpg").write_text("no picture")
    (folder / "empty.png").write_bytes(b"")
    Image.new("RGB", (1, 1)).save(folder / "dot.png")
    prepared = prepare_images(folder, 64, cache=tmp_path / "cache")
    reasons = dict(prepared.skipped)
    assert set(reasons) == {"truncated.jpg", "text.jpg", "empty.png", "dot.png"}
    assert reasons["truncated.jpg"] == "truncated: the file ends before the picture does"
    assert reasons["text.jpg"] == "not a picture, or damaged" and reasons["empty.png"] == "empty"
    assert reasons["dot.png"] == "too small: 1 pixels a side, at least 16 needed"
    assert len(prepared.images) == 2 and _difference(prepared.images[0], np.asarray(face)) == 0


def test_pictures_that_the_crop_does_not_fit_are_skipped(tmp_path, face):
    folder = tmp_path / "img"
    folder.mkdir()
    face.save(folder / "small.png")
    face.resize((128, 128)).save(folder / "large.png")
    prepared = prepare_images(folder, 64, crop=(20, 20, 100, 100), cache=tmp_path / "cache")
    assert len(prepared.images) == 1
    assert prepared.skipped == [("small.png", "crop 20,20,100,100 does not fit into 64x64 pixels")]


def test_no_usable_picture_is_an_error_and_leaves_no_cache(tmp_path):
    (tmp_path / "img").mkdir()
    (tmp_path / "img/text.jpg").write_text("no picture")
    with pytest.raises(ValueError, match="at least one usable picture.*text.jpg: not a picture"):
        prepare_images(tmp_path / "img", 64, cache=tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_interrupted_preparation_is_gone_on_with(photographs, tmp_path, monkeypatch):
    decoded = []

    def counted(path, *rest):
        if len(decoded) == 24:
            raise KeyboardInterrupt
        decoded.append(path)
        return load_image(path, *rest)

    monkeypatch.setattr(images_module, "_CHUNK", 8)
    monkeypatch.setattr(images_module, "load_image", counted)
    with pytest.raises(KeyboardInterrupt):
        prepare_images(photographs, 32, cache=tmp_path)
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")] == []
    monkeypatch.setattr(images_module, "load_image", lambda *arguments: decoded.append(0) or load_image(*arguments))
    prepared = prepare_images(photographs, 32, cache=tmp_path)
    assert len(decoded) == 40
    assert list(tmp_path.iterdir()) == [prepared.folder]
    assert {path.name for path in prepared.folder.iterdir()} == {"images.npy", "report.json"}


def test_drawn_faces_equal_draw_faces(tmp_path):
    prepared = prepare_images("drawn", 32, count=300, seed=4, cache=tmp_path)
    assert (prepared.images == draw_faces(300, 32, seed=4)[0]).all()
    report = json.loads((prepared.folder / "report.json").read_text())
    assert report["count"] == 300


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image_size": 0}, "expected image_size from 8 to 1024 pixels; received 0"),
        ({"image_size": 64.0}, "received 64.0"),
        ({"crop": (0, 0, 10, 20)}, "10 wide and 20 high"),
        ({"crop": (-1, 0, 9, 10)}, "expected a square crop inside"),
        ({"crop": (5, 5, 5, 5)}, "expected a square crop"),
        ({"crop": "face"}, "expected a crop of four whole numbers"),
        ({"count": 0}, "expected a count of faces of at least 1"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        prepare_images("drawn", **arguments)


def test_real_photographs(real_faces, tmp_path):
    prepared = prepare_images(real_faces, 64, cache=tmp_path)
    assert len(prepared.images) > 0
    assert 40 < prepared.images[:200].mean() < 215 and prepared.images[:200].std() > 20
