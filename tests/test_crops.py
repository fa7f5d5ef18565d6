"""Faces found and aligned. Most tests see through a detector that knows coloured dots, so that the truth is known."""

import functools
import importlib
import importlib.metadata
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from killing_lines import CountedLines
from PIL import Image, ImageOps

from gan_helpers import __main__ as command_line
from gan_helpers import draw_faces, prepare_images
from gan_helpers.data import crops, decoding
from gan_helpers.data import images as images_module
from gan_helpers.data.crops import Square, cut_faces, cut_square, find_squares, share_outside, square_of

SIZE = 32
# Where the dots of a face are, in its square from -1 to 1, and their colours, which differ from each other and grey.
PLACES = np.array([(-0.25, -0.05), (0.25, -0.05), (0.0, 0.2), (-0.2, 0.45), (0.2, 0.45)])
COLOURS = np.array([(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (0, 255, 255)], np.float64)


def _square(x, y, side, degrees=0.0):
    turn = np.radians(degrees)
    return Square(np.array([x, y], np.float64), side / 2 * np.array([np.cos(turn), np.sin(turn)]))


def _degrees(square):
    return np.degrees(np.arctan2(square.right[1], square.right[0]))


# The square of a face


def test_a_square_by_hand():
    square = square_of([(9, 20), (11, 20), (10, 21), (9.5, 22), (10.5, 22)])
    # The eyes are 2 apart and the mouth 2 below them: four times the one, 8, is more than 3.6 times the other, 7.2.
    assert square.side == pytest.approx(8) and square.middle == pytest.approx((10, 20.2)) and _degrees(square) == 0
    assert square.points([(-1, -1), (1, 1)]) == pytest.approx(np.array([(6, 16.2), (14, 24.2)]))


def test_a_head_that_is_turned_away_is_not_enlarged():
    square = square_of([(10, 20), (11, 20), (11, 21), (10, 22), (11, 22)])
    assert square.side == pytest.approx(2 * 3.6)


@pytest.mark.parametrize("degrees", [-150, -30, 0, 15, 90])
@pytest.mark.parametrize("scale", [0.3, 1, 20])
def test_the_square_goes_with_the_face(degrees, scale):
    face = np.array([(9, 20), (12, 20.5), (10, 21), (9.5, 23), (10.5, 22)])
    turn = np.radians(degrees)
    turn = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    before, after = square_of(face), square_of(face @ turn.T + (5, -7))
    assert after.middle == pytest.approx(turn @ before.middle + (5, -7)) and after.right == pytest.approx(
        turn @ before.right
    )


def test_eyes_that_are_level_over_a_mouth_that_is_not_are_met_halfway():
    square = square_of([(9, 20), (11, 20), (10, 21), (9, 22), (10, 22)])  # the mouth stands half a pixel to the left
    assert 0 < _degrees(square) < np.degrees(np.arctan2(0.5, 2))


def test_landmarks_in_one_point_are_no_crash():
    assert square_of(np.ones((5, 2))).side == 0


@pytest.mark.parametrize(
    ("square", "share"),
    [
        (_square(50, 40, 20), 0),
        (_square(100, 40, 20), 0.5),
        (_square(0, 0, 20), 0.75),
        (_square(50, 40, 1000), 1 - 100 * 80 / 1e6),
        (_square(50, 0, 20, 45), 0.5),
        (_square(-50, 40, 20), 1),
    ],
)
def test_share_outside(square, share):
    assert share_outside(square, 100, 80) == pytest.approx(share, abs=0.01)


# Cutting it out


@pytest.mark.parametrize("degrees", [0, -30, 15, 90, 170])
@pytest.mark.parametrize("side", [20, 64, 200])
def test_each_pixel_is_where_it_belongs(degrees, side):
    y, x = np.mgrid[:300, :300] + 0.5
    picture = Image.fromarray(np.stack([x * 0.8, y * 0.8, x * 0.4 + y * 0.4], axis=-1).round().astype(np.uint8))
    square = _square(150.3, 149.1, side, degrees)
    cut = cut_square(picture, square, SIZE)
    places = (np.arange(SIZE) + 0.5) / (SIZE / 2) - 1
    x, y = np.moveaxis(square.points(np.stack(np.meshgrid(places, places), axis=-1)), -1, 0)
    expected = np.stack([x * 0.8, y * 0.8, x * 0.4 + y * 0.4], axis=-1)
    assert cut.shape == (SIZE, SIZE, 3) and cut.dtype == np.uint8
    assert np.abs(cut - expected).max() < 1.3  # rounded twice
    assert degrees not in (-30, 15) or np.abs((cut - expected).mean()) < 0.05


@pytest.mark.parametrize("side", [40, 64, 150])
def test_an_upright_square_is_what_resizing_gives(side):
    picture = Image.fromarray(draw_faces(1, 200, seed=1)[0][0])
    left = 100 - side // 2
    box = (left, left, left + side, left + side)
    expected = np.asarray(picture.resize((64, 64), Image.Resampling.BICUBIC, box=box)).astype(int)
    assert np.abs(cut_square(picture, _square(100, 100, side), 64) - expected).mean() < 2


@pytest.mark.parametrize("degrees", [0, 10, 30, 45])
@pytest.mark.parametrize("shrink", [2.5, 3, 4, 7.3])
def test_fine_patterns_become_grey_and_not_coarse_ones(degrees, shrink):
    pattern = np.zeros((400, 400, 3), np.uint8)
    pattern[:, ::2] = 255
    cut = cut_square(Image.fromarray(pattern), _square(200, 200, SIZE * shrink, degrees), SIZE)
    assert np.abs(cut.astype(int) - 127.5).max() < 20  # read without reducing, it would be black and white


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_grey_and_cmyk_become_rgb(mode):
    face = Image.fromarray(draw_faces(1, 64, seed=1)[0][0]).convert(mode)
    expected = cut_square(face.convert("RGB"), _square(40, 30, 50, 20), SIZE)
    assert np.abs(cut_square(face, _square(40, 30, 50, 20), SIZE).astype(int) - expected).max() <= 2


@pytest.mark.parametrize("side", [30, 300])
def test_outside_the_picture_its_edge_goes_on(side):
    picture = np.zeros((200, 100, 3), np.uint8)
    picture[:, :50], picture[:100, 50:] = (200, 0, 0), (0, 200, 0)
    picture = Image.fromarray(picture).resize((side // 3 * 2, side // 3 * 4))
    cut = cut_square(picture, _square(0, 0, side), SIZE).astype(int)
    assert np.abs(cut[: SIZE // 2 + 2, : SIZE // 2 + 2] - (200, 0, 0)).max() < 8
    far = cut_square(picture, _square(-500, -500, side), SIZE).astype(int)
    assert np.abs(far - (200, 0, 0)).max() < 8


# Finding it, with a detector that knows coloured dots


class Dots:
    """Looks at pictures that `_scene` made. Its first look is off by pixels and degrees, as a real one's."""

    PATCH_SIDE = 48
    error = 0.0

    looks = 0

    def find_landmarks(self, pictures, confidence):
        self.looks += len(pictures)
        random = np.random.default_rng(0)
        found = []
        for picture in pictures:
            shown = picture[:, :, 0].astype(int)
            faces = []
            for number in range(9):  # the pixels of the scene's faces in its top row, which say where they are
                x, y, side, degrees = (
                    256 * shown[0, 8 * number + 2 * n] + shown[0, 8 * number + 2 * n + 1] for n in range(4)
                )
                if 0 < side < 1000:  # more is grey: this row is another side of a scene
                    landmarks = _square(x, y, side, degrees - 180).points(PLACES)
                    faces.append(landmarks + self.error * side * random.uniform(-1, 1, (5, 2)))
            found.append(np.array(faces).reshape(-1, 5, 2))
        return found

    def landmarks_of_patches(self, patches):
        places, sure = [], []
        y, x = np.mgrid[: self.PATCH_SIDE, : self.PATCH_SIDE] + 0.5
        for patch in patches:
            dots = [np.abs(patch - colour).sum(axis=-1) < 150 for colour in COLOURS]
            sure.append(float(all(dot.any() for dot in dots)))
            places.append([(x[dot].mean(), y[dot].mean()) if dot.any() else (0, 0) for dot in dots])
        # Mirrored, the left eye is still the one on the left.
        places = np.array(places)
        for number, place in enumerate(places):
            if place[0, 0] > place[1, 0]:
                places[number] = place[[1, 0, 2, 4, 3]]
        return places, np.array(sure)


def _scene(*squares, size=(320, 240), hidden=()):
    """A grey picture with a face of dots in each square; the detector is told of them by its top row."""
    width, height = size
    picture = np.full((height, width, 3), 128, np.uint8)
    y, x = np.mgrid[:height, :width] + 0.5
    for number, square in enumerate(squares):
        for (dot_x, dot_y), colour in zip(square.points(PLACES), COLOURS, strict=True):
            if number not in hidden:
                picture[np.hypot(x - dot_x, y - dot_y) < square.side * 0.05] = colour
    _tell(picture, squares)
    return Image.fromarray(picture)


def _tell(picture, squares):
    picture[0] = 0
    for number, square in enumerate(squares):
        told = [*square.middle.round(), round(square.side), round(_degrees(square)) + 180]
        for n, value in enumerate(map(int, told)):
            picture[0, 8 * number + 2 * n], picture[0, 8 * number + 2 * n + 1] = value // 256, value % 256


@pytest.fixture
def dots(monkeypatch):
    detector = Dots()
    monkeypatch.setattr(crops, "_detector", lambda: detector)
    return detector


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "img").mkdir()
    return tmp_path / "img"


def _eyes(face):
    """Where the red and the green dot of a finished face are, in shares of its side."""
    y, x = (np.mgrid[: len(face), : len(face)] + 0.5) / len(face)
    found = [np.abs(face - colour).sum(axis=-1) < 200 for colour in COLOURS[:2]]
    return np.array([(x[dot].mean(), y[dot].mean()) for dot in found])


@pytest.mark.parametrize("degrees", [-150, -30, -15, 0, 15, 30])
@pytest.mark.parametrize("side", [50, 110])
def test_eyes_come_to_lie_where_they_belong(dots, degrees, side):
    dots.error = 0.03
    truth = _square(160, 120, side, degrees)
    [[square]] = find_squares([np.asarray(_scene(truth))])
    expected = square_of(truth.points(PLACES))
    assert np.hypot(*(square.middle - expected.middle)) < 0.02 * side
    assert square.side == pytest.approx(expected.side, rel=0.04)
    assert abs(_degrees(square) - _degrees(expected)) < 1.5
    eyes = _eyes(cut_square(_scene(truth), square, 64))
    assert np.abs(eyes - [(0.375, 0.475), (0.625, 0.475)]).max() < 0.03


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_picture_that_lies_gives_the_faces_of_one_that_stands(dots, folder, turns):
    truths = _square(60, 150, 60, 20), _square(150, 70, 80, -10), _square(250, 120, 70)
    scene = np.asarray(_scene(*truths))
    Image.fromarray(scene).save(folder / "a.png")
    Image.fromarray(np.rot90(scene, turns)).save(folder / "b.png")
    standing, lying = cut_faces([folder / "a.png", folder / "b.png"], SIZE)
    assert dots.looks == 2 + 3 and len(standing) == len(lying) == 3  # one that stands is looked at once
    for face in lying:
        assert min(np.abs(face.astype(int) - other).mean() for other in standing) < 1
        assert np.abs(_eyes(face) - [(0.375, 0.475), (0.625, 0.475)]).max() < 0.04
    [squares] = find_squares([np.rot90(scene, turns)])
    assert [square.middle[0] for square in squares] == sorted(square.middle[0] for square in squares)


def test_the_look_with_most_faces_counts(dots):
    """One of three faces is found in a picture that lies: the others are not lost."""
    truths = [_square(60, 120, 70), _square(150, 120, 70), _square(250, 120, 70)]
    lying = np.ascontiguousarray(np.rot90(_scene(*truths, size=(320, 320)), 1))
    middle = truths[0].middle - 160
    _tell(lying, [Square(np.array([middle[1], -middle[0]]) + 160, np.array([0.0, -35.0]))])
    assert len(dots.find_landmarks([lying], 0.9)[0]) == 1
    [squares] = find_squares([lying])
    assert len(squares) == 3 and all(_degrees(square) == pytest.approx(-90, abs=2) for square in squares)


@pytest.mark.parametrize(("degrees", "looks"), [(-150, 4), (-60, 4), (-40, 1), (0, 1), (40, 1), (60, 4)])
def test_only_pictures_without_an_upright_face_are_turned(dots, degrees, looks):
    [[square]] = find_squares([np.asarray(_scene(_square(160, 120, 90, degrees)))])
    assert dots.looks == looks and _degrees(square) == pytest.approx(degrees, abs=2)


def test_a_picture_without_faces_has_none_however_it_is_turned(dots):
    assert find_squares([np.asarray(_scene()), np.asarray(_scene(_square(160, 120, 90), hidden=[0]))]) == [[], []]
    assert dots.looks == 8


def test_looking_again_mends_what_was_said_first(dots, monkeypatch):
    dots.error = 0.06
    truths = [_square(160, 120, 100, degrees) for degrees in range(-30, 31, 5)]
    errors = {}
    for looks in (0, 1, 2):
        monkeypatch.setattr(crops, "LOOKS_AGAIN", looks)
        found = [find_squares([np.asarray(_scene(truth))])[0][0] for truth in truths]
        errors[looks] = np.mean(
            [np.hypot(*(a.right - square_of(b.points(PLACES)).right)) for a, b in zip(found, truths, strict=True)]
        )
    assert errors[1] < errors[0] / 2 and errors[2] <= errors[1] * 1.1


def test_what_was_no_face_at_the_second_look_is_dropped(dots):
    scene = np.asarray(_scene(_square(80, 120, 80), _square(240, 120, 80), hidden=[0]))
    [[square]] = find_squares([scene])
    assert square.middle[0] == pytest.approx(240, abs=2)


def test_faces_come_from_left_to_right(dots, folder, tmp_path):
    _scene(_square(250, 120, 70), _square(60, 160, 60, 20), _square(150, 60, 80, -10)).save(folder / "three.png")
    [faces] = cut_faces([folder / "three.png"], SIZE)
    [squares] = find_squares([np.asarray(Image.open(folder / "three.png"))])
    assert [round(square.middle[0], -1) for square in squares] == [60, 150, 250]
    with Image.open(folder / "three.png") as picture:
        assert all((a == cut_square(picture, b, SIZE)).all() for a, b in zip(faces, squares, strict=True))


def test_no_picture_and_no_face_are_no_crash(dots):
    assert find_squares([]) == [] and find_squares([np.asarray(_scene())]) == [[]]


@pytest.mark.parametrize("image_size", [32, 48, 64])
def test_why_a_file_gives_no_face(dots, folder, image_size):
    small = image_size // 2 - 3
    _scene().save(folder / "empty.png")
    _scene(_square(160, 120, small)).save(folder / "small.png")
    _scene(_square(10, 120, 100)).save(folder / "outside.png")
    _scene(_square(60, 120, 100), _square(260, 120, small), _square(160, 3, 120)).save(folder / "one of three.png")
    (folder / "text.png").write_text("no picture")
    files = sorted(folder.iterdir())
    empty, one, outside, too_small, text = cut_faces(files, image_size)
    assert empty == "no face found" and text == "not a picture, or damaged" and len(one) == 1
    assert outside.startswith("no face is far enough inside the picture: ") and outside.endswith("at most 15% may be")
    assert too_small.startswith("no face is large enough: ") and too_small.endswith(
        f"at least {image_size // 2} needed"
    )


def test_a_large_picture_is_looked_at_reduced_and_cut_whole(dots, folder, monkeypatch):
    scene = _scene(_square(160, 120, 100, 20))
    large = scene.resize((960, 720), Image.Resampling.NEAREST)
    large.save(folder / "large.png")
    monkeypatch.setattr(crops, "LOOK_PIXELS", 320 * 240)
    seen = []
    look = dots.find_landmarks
    dots.find_landmarks = lambda pictures, confidence: (
        seen.append([picture.shape for picture in pictures]) or look([np.asarray(scene)], confidence)
    )
    [[face]] = cut_faces([folder / "large.png"], 128)
    assert seen == [[(240, 320, 3)]]
    assert np.abs(_eyes(face) - [(0.375, 0.475), (0.625, 0.475)]).max() < 0.02


@pytest.mark.parametrize("size", [(640, 480), (642, 482), (641, 480)])
@pytest.mark.parametrize("orientation", [1, 6, 3])
def test_a_jpeg_that_is_decoded_reduced_is_the_same_picture(folder, monkeypatch, size, orientation):
    face = Image.fromarray(draw_faces(1, 240, seed=1)[0][0]).resize(size)
    exif = Image.Exif()
    exif[0x0112] = orientation
    face.save(folder / "face.jpg", quality=95, exif=exif)
    monkeypatch.setattr(crops, "LOOK_PIXELS", 320 * 240)
    decoded, opaque = [], decoding._opaque
    monkeypatch.setattr(decoding, "_opaque", lambda picture: decoded.append(picture.size) or opaque(picture))
    look = crops._load_look(folder / "face.jpg")
    with Image.open(folder / "face.jpg") as whole:
        upright = ImageOps.exif_transpose(whole)
        shape = look.shape[1], look.shape[0]
        expected = np.asarray(upright.resize(shape, Image.Resampling.BICUBIC)).astype(int)
    assert look.shape[0] * look.shape[1] == pytest.approx(320 * 240, rel=0.01)
    assert np.abs(look - expected).mean() < 2
    assert sorted(decoded[0]) == sorted((320, 240) if size == (640, 480) else (321, 241) if size[0] == 642 else size)


# In the cache


@pytest.fixture
def album(folder):
    """50 files: one face each, but for six that have none, two or three, or are no picture."""
    random = np.random.default_rng(3)
    for number in range(50):
        squares = [_square(60, 120, 80 + number % 9, random.integers(-40, 40))]
        if number % 10 == 3:
            squares += [_square(160, 100, 70, 10), _square(260, 150, 60, -10)][: 1 + number // 30]
        if number == 20:
            squares = []
        _scene(*squares).save(folder / f"{number:02d}.png")
    (folder / "45.png").write_bytes(b"<html>")
    return folder


def test_one_file_gives_several_pictures(dots, album, tmp_path):
    prepared = prepare_images(album, SIZE, crop="faces", cache=tmp_path / "cache")
    assert prepared.skipped == [("20.png", "no face found"), ("45.png", "a web page, not a picture; download it again")]
    several = [("03.png", 2), ("13.png", 2), ("23.png", 2), ("33.png", 3), ("43.png", 3)]
    assert prepared.several == several and prepared.crop == "faces"
    assert prepared.files.count("03.png") == 2 and prepared.files.count("33.png") == 3
    assert len(prepared.files) == len(prepared.images) and list(prepared.files) == sorted(prepared.files)
    assert prepared.images.shape == (50 - 2 + 3 + 4, SIZE, SIZE, 3)
    eyes = np.array([_eyes(image) for image in prepared.images])
    assert np.abs(eyes - [(0.375, 0.475), (0.625, 0.475)]).max() < 0.05
    alone = [faces for faces in cut_faces(sorted(album.iterdir()), SIZE) if not isinstance(faces, str)]
    assert (prepared.images == np.concatenate(alone)).all()
    report = json.loads((prepared.folder / "report.json").read_text())
    assert report["count"] == 55 and report["several"] == [list(row) for row in several]


def test_a_finished_cache_needs_no_detector(dots, folder, tmp_path, monkeypatch):
    _scene(_square(160, 120, 90), _square(60, 120, 60)).save(folder / "a.png")
    first = prepare_images(folder, SIZE, crop="faces", cache=tmp_path / "cache")
    monkeypatch.setattr(crops, "_detector", None)  # a second look would fail
    again = prepare_images(folder, SIZE, crop="faces", cache=tmp_path / "cache")
    assert again.fingerprint == first.fingerprint and again.several == [("a.png", 2)]


def test_crop_and_version_have_caches_of_their_own(dots, folder, tmp_path, monkeypatch):
    _scene(_square(160, 120, 90)).save(folder / "a.png")
    made = [prepare_images(folder, SIZE, crop=crop, cache=tmp_path / "cache") for crop in (None, "faces")]
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "9.9.9")
    made.append(prepare_images(folder, SIZE, crop="faces", cache=tmp_path / "cache"))
    monkeypatch.setattr(crops, "_VERSION", 99)
    made.append(prepare_images(folder, SIZE, crop="faces", cache=tmp_path / "cache"))
    assert len({one.folder for one in made}) == 4
    assert made[0].fingerprint != made[1].fingerprint == made[2].fingerprint


def test_only_unusable_files_are_an_error(dots, folder, tmp_path):
    _scene().save(folder / "empty.png")
    with pytest.raises(ValueError, match="at least one usable picture.*empty.png: no face found"):
        prepare_images(folder, SIZE, crop="faces", cache=tmp_path / "cache")


def test_interrupted_and_gone_on_with_is_byte_identical(dots, album, tmp_path, monkeypatch):
    def contents(cache):
        return {path.name: path.read_bytes() for path in cache.rglob("*") if path.is_file()}

    monkeypatch.setattr(images_module, "LOOKS", 8)
    prepare_images(album, SIZE, crop="faces", cache=tmp_path / "whole")
    looks = []

    def counted(paths, *rest):
        looks.append(len(paths))
        if stop and len(looks) == stop:
            raise KeyboardInterrupt
        return cut_faces(paths, *rest)

    monkeypatch.setattr(images_module, "cut_faces", counted)
    for stop in (1, 3, 7):
        looks.clear()
        with pytest.raises(KeyboardInterrupt):
            prepare_images(album, SIZE, crop="faces", cache=tmp_path / str(stop))
        begun, stop = stop, None
        looks.clear()
        prepare_images(album, SIZE, crop="faces", cache=tmp_path / str(begun))
        assert sum(looks) == 50 - 8 * (begun - 1)
        assert contents(tmp_path / str(begun)) == contents(tmp_path / "whole")


def test_killed_and_gone_on_with_is_byte_identical(album, tmp_path):
    """Each time at another line of `images.py`, by a signal that nothing can catch."""

    def prepare(cache, kill_at=0):
        same_library = os.environ | {"PYTHONPATH": str(Path(images_module.__file__).parents[2])}
        command = [sys.executable, __file__, str(album), str(tmp_path / cache), str(kill_at)]
        done = subprocess.run(command, env=same_library, capture_output=True, text=True, timeout=60)
        files = (path for path in (tmp_path / cache).rglob("*") if path.is_file() and path.suffix != ".lock")
        return done, {path.relative_to(tmp_path / cache).as_posix(): path.read_bytes() for path in files}

    done, whole = prepare("whole")
    assert done.returncode == 0, done.stderr
    lines = int(done.stdout)
    for share in (0.3, 0.5, 0.7):
        killed, before = prepare(f"killed at {share}", int(lines * share))
        assert killed.returncode == -signal.SIGKILL and before != whole
        assert prepare(f"killed at {share}")[1] == whole


# What is refused, and what is not loaded


def test_photographs_are_expected():
    with pytest.raises(ValueError, match="expected photographs for crop='faces'; received 'drawn'"):
        prepare_images("drawn", SIZE, crop="faces")
    with pytest.raises(ValueError, match="received 'face'; .*use 'faces'"):
        prepare_images("drawn", SIZE, crop="face")


def test_without_the_detector_it_says_what_to_install(folder, tmp_path, monkeypatch):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    _scene().save(folder / "a.png")
    monkeypatch.setattr(importlib.metadata, "version", missing)
    with pytest.raises(
        ModuleNotFoundError, match=r"expected the face detector mtcnn.*pip install 'gan_helpers\[detector"
    ):
        prepare_images(folder, SIZE, crop="faces", cache=tmp_path / "cache")
    assert len(prepare_images(folder, SIZE, cache=tmp_path / "cache").images) == 1


def test_without_tensorflow_it_says_what_to_install(folder, tmp_path, monkeypatch):
    def missing(name):
        raise ModuleNotFoundError("No module named 'tensorflow'", name="tensorflow")

    _scene().save(folder / "a.png")
    monkeypatch.setattr(importlib, "import_module", missing)
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "1.0.0")
    with pytest.raises(ModuleNotFoundError, match=r"expected TensorFlow, .*'gan_helpers\[cpu,detector\]'"):
        prepare_images(folder, SIZE, crop="faces", cache=tmp_path / "cache")


def test_tensorflow_is_loaded_only_for_faces(folder, tmp_path):
    _scene(_square(160, 120, 90)).save(folder / "a.png")
    code = (
        "import sys; from gan_helpers import prepare_images; "
        f"prepare_images({str(folder)!r}, 32, cache={str(tmp_path / 'cache')!r}); "
        "sys.exit(any(name in sys.modules for name in ('tensorflow', 'keras', 'mtcnn')))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[1], timeout=60).returncode == 0


def test_the_command_line_takes_it(dots, album, tmp_path, capsys):
    words = ["--data", str(album), "--image-size", str(SIZE), "--cache", str(tmp_path / "cache")]
    assert command_line.main(["prepare", *words, "--crop", "faces"]) == 0
    out = capsys.readouterr().out
    assert "55 faces of 32 pixels" in out and "20.png  no face found" in out
    with pytest.raises(SystemExit) as wrong:
        command_line.main(["prepare", *words, "--crop", "face"])
    assert wrong.value.code == 2 and "received 'face'; or faces, to have them found" in capsys.readouterr().err


# The real detector


@pytest.fixture(scope="module")
def mtcnn():
    """Tests that ask for it are skipped where the detector is not installed."""
    return pytest.importorskip("mtcnn")


def find_landmarks(pictures):
    return importlib.import_module("gan_helpers.metrics.detector").find_landmarks(pictures)


@functools.lru_cache(maxsize=1)
def _drawn():
    """16 drawn faces of 128 pixels with a margin of their own edge."""
    return [np.pad(face, ((64, 64), (64, 64), (0, 0)), mode="edge") for face in draw_faces(16, 128, seed=1)[0]]


@functools.lru_cache(maxsize=1)
def _drawn_squares():
    return find_squares(_drawn())


def test_drawn_faces_are_found_as_they_lean(mtcnn):
    upright = _drawn_squares()
    assert sum(len(squares) == 1 for squares in upright) >= 13
    leaning = [np.asarray(Image.fromarray(face).rotate(15, Image.Resampling.BICUBIC)) for face in _drawn()]
    turn = np.radians(-15)
    turn = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    pairs = [(a[0], b[0]) for a, b in zip(upright, find_squares(leaning), strict=True) if len(a) == len(b) == 1]
    assert len(pairs) >= 9
    errors = [np.hypot(*(turn @ (a.middle - 128) + 128 - b.middle)) / a.side for a, b in pairs]
    assert np.median(errors) < 0.01 and np.median([_degrees(a) - _degrees(b) for a, b in pairs]) == pytest.approx(
        15, abs=1
    )


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_drawn_faces_in_pictures_that_lie(mtcnn, turns):
    upright = _drawn_squares()
    found = find_squares([np.rot90(face, turns) for face in _drawn()])
    pairs = [(a[0], b[0].turned_back(turns, (256, 256))) for a, b in zip(upright, found, strict=True) if a and b]
    right = [b.upright and np.hypot(*(a.middle - b.middle)) < 0.05 * a.side for a, b in pairs]
    assert len(pairs) >= 13 and sum(right) >= len(pairs) - 1


def test_a_group_of_drawn_faces(mtcnn, folder, tmp_path):
    Image.fromarray(np.hstack(_drawn()[:6])).rotate(10, Image.Resampling.BICUBIC).save(folder / "group.png")
    noise = np.random.default_rng(0).integers(0, 256, (200, 300, 3), dtype=np.uint8)
    Image.fromarray(noise).save(folder / "noise.png")
    prepared = prepare_images(folder, 64, crop="faces", cache=tmp_path / "cache")
    assert prepared.several == [("group.png", len(prepared.images))] and 4 <= len(prepared.images) <= 6
    assert prepared.skipped == [("noise.png", "no face found")]
    eyes = np.concatenate([found[:1, :2] for found in find_landmarks(list(prepared.images))]) / 64
    assert len(eyes) >= 4 and np.abs(np.mean(eyes, axis=0) - [(0.375, 0.475), (0.625, 0.475)]).max() < 0.02
    assert np.abs(eyes[:, 0, 1] - eyes[:, 1, 1]).max() < 0.03


def test_real_portraits(mtcnn, tmp_path):
    """Where `GAN_PORTRAITS_DIR` names a folder of them: found, and their eyes level and in their places."""
    portraits = os.environ.get("GAN_PORTRAITS_DIR")
    if not portraits or not Path(portraits).is_dir():
        pytest.skip("GAN_PORTRAITS_DIR does not name a folder of portraits of the US Congress")
    (tmp_path / "img").mkdir()
    for path in sorted(Path(portraits).glob("*.jpg"))[:48]:
        with Image.open(path) as portrait:
            portrait.rotate(20, Image.Resampling.BICUBIC, fillcolor="gray").save(tmp_path / "img" / path.name)
    prepared = prepare_images(tmp_path / "img", 128, crop="faces", cache=tmp_path / "cache")
    assert len(prepared.images) >= 44 and all("outside" in why or "no face" in why for _, why in prepared.skipped)
    eyes = np.concatenate(find_landmarks(list(prepared.images)))[:, :2] / 128
    away = np.hypot(*np.moveaxis(eyes - [(0.375, 0.476), (0.625, 0.476)], -1, 0))
    assert np.median(away) < 0.01 and np.quantile(away, 0.95) < 0.03
    assert np.quantile(np.abs(eyes[:, 0, 1] - eyes[:, 1, 1]), 0.95) < 0.02


def _killed():
    """Prepares `argv[1]` into the cache `argv[2]` with the detector of dots; killed at line `argv[3]` of images."""
    crops._detector = Dots
    images_module.LOOKS = 8
    lines = CountedLines(images_module, "_open_or_make", int(sys.argv[3]))
    prepare_images(sys.argv[1], SIZE, crop="faces", cache=sys.argv[2])
    lines.stop()
    print(lines.count)


if __name__ == "__main__":
    _killed()
