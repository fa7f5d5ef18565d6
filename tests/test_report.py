import io
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from gan_helpers import data_report, draw_faces
from gan_helpers.data.drawn_faces import ATTRIBUTES
from gan_helpers.data.report import BLURRED, detail

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def portraits():
    """uint8 `(8, 64, 64, 3)` drawn faces that are not alike."""
    return draw_faces(8, 64, seed=2)[0]


@pytest.fixture(scope="module")
def folder(portraits, tmp_path_factory):
    """A folder that has one of everything that a report tells, among eight faces."""
    folder = tmp_path_factory.mktemp("set") / "img"
    (folder / "more").mkdir(parents=True)
    pictures = [Image.fromarray(portrait) for portrait in portraits]
    for number, picture in enumerate(pictures[:5]):
        picture.save(folder / f"face{number}.png")
    pictures[5].filter(ImageFilter.GaussianBlur(2)).save(folder / "soft.png")
    pictures[6].convert("L").save(folder / "more/grey.png")
    pictures[7].resize((40, 50)).save(folder / "more/small.png")
    pictures[0].save(folder / "again.jpg", quality=40)
    pictures[1].transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(folder / "mirrored.png")
    Image.new("RGB", (200, 64), "black").save(folder / "black.png")
    whole = (folder / "face2.png").read_bytes()
    for number in range(2):
        (folder / f"cut{number}.png").write_bytes(whole[: len(whole) // 2])
    (folder / "face1b.png").write_bytes(b"")
    Image.new("RGB", (3, 3)).save(folder / "dot.png")
    return folder


@pytest.fixture(scope="module")
def report(folder):
    return data_report(folder, 64)


@pytest.fixture(scope="module")
def found(report):
    return report.summary


def test_counts_and_skipped_by_reason(report, found):
    assert found["count"] == len(report.files) == 11
    skipped = found["skipped"]
    assert skipped["count"] == 4
    assert skipped["reasons"] == {"truncated": 2, "too small": 1, "empty": 1}
    assert ["dot.png", "too small: 3 pixels a side, at least 16 needed"] in skipped["files"]


def test_names_belong_to_their_pictures(report, portraits):
    for number in range(5):
        image = report.prepared.images[report.files.index(f"face{number}.png")]
        assert (image == portraits[number]).all()


def test_sizes_are_the_files_own(found):
    assert found["sizes"] == {"shorter_side": [40, 64, 64], "longer_side": [50, 64, 200], "enlarged": 1}


def test_a_small_crop_enlarges_all(folder):
    found = data_report(folder, 32, crop=(0, 0, 30, 30)).summary
    assert found["crop"] == [0, 0, 30, 30] and found["sizes"]["enlarged"] == found["count"] == 11


def test_brightness_by_hand(tmp_path):
    for number, value in enumerate((10, 110, 210)):
        Image.new("RGB", (40, 40), (value,) * 3).save(tmp_path / f"{number}.png")
    light = data_report(tmp_path, 32).summary["brightness"]
    assert light == {"mean": 110.0, "spread": 81.6, "darkest": "0.png", "brightest": "2.png"}


def test_grey_and_blurred_pictures_are_named(found):
    assert found["grey"] == {"count": 2, "share": 0.1818, "files": ["black.png", "more/grey.png"]}
    assert sorted(found["blurred"]["files"]) == ["black.png", "soft.png"]


def test_a_little_colour_on_much_black_is_colour(tmp_path):
    for name, rows, colour in (
        ("lips", 4, (200, 60, 60)),  # 4 of 64 rows are 6 % of the pixels
        ("stamp", 3, (200, 60, 60)),  # 5 %, rounded down
        ("toned", 64, (100, 100, 107)),
        ("sepia", 64, (108, 104, 100)),
    ):
        pixels = np.zeros((64, 64, 3), np.uint8)
        pixels[:rows] = colour
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    report = data_report(tmp_path, 64)
    assert dict(zip(report.files, report.colour.tolist(), strict=True)) == {
        "lips.png": 140, "sepia.png": 8, "stamp.png": 0, "toned.png": 7,
    }  # fmt: skip
    assert report.summary["grey"]["files"] == ["stamp.png", "toned.png"]


@pytest.mark.parametrize(
    ("blurred", "title"),
    [
        (0, "Least detail; none is blurred"),
        (1, "Least detail; the first is blurred"),
        (10, "Least detail; the first 10 are blurred"),
        (11, "Least detail; all of these and 1 more are blurred"),
    ],
)
def test_the_sheet_says_which_of_a_row_are_blurred(blurred, title, tmp_path):
    for number, face in enumerate(draw_faces(12, 64, seed=6)[0]):
        picture = Image.fromarray(face)
        (picture.filter(ImageFilter.GaussianBlur(2)) if number < blurred else picture).save(tmp_path / f"{number}.png")
    report = data_report(tmp_path, 64)
    assert len(report.blurred) == blurred and title in [text.get_text() for text in report.figure().texts]


def test_duplicates_stand_together(found):
    twice = found["duplicates"]
    assert twice["files"] == [["again.jpg", "face0.png"], ["face1.png", "mirrored.png"]]
    assert (twice["groups"], twice["pictures"], twice["mirrored"]) == (2, 4, 1)


def test_json_is_the_summary(report, found):
    assert json.loads(report.as_json) == found


def test_table_says_all_of_it(report):
    table = report.table
    for line in (
        "faces           11 from img, 64 pixels a side",
        "skipped         4",
        "                2 truncated",
        "longer side     50 to 200 pixels, median 64",
        "enlarged        1 (9.1%) have fewer than 64 pixels",
        "grey            2 (18.2%): without colour",
        "near-duplicates 2 groups of 4 pictures, 1 of them mirrored",
        "                again.jpg = face0.png",
    ):
        assert line in table.splitlines(), table


def test_sheet_shows_the_ends_and_the_duplicates(report, portraits):
    figure = report.figure()
    titles = [text.get_text() for text in figure.texts]
    assert titles == [
        *("Some of 11, drawn at random", "Least detail; the first 2 are blurred", "Darkest", "Brightest", "Grey: 2"),
        "Near-duplicates: 4 pictures in 2 groups",
    ]
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi="figure")
    sheet = np.asarray(Image.open(file).convert("RGB"))
    last = sheet[-14 - 128 : -14]  # the last row, above its margin
    first, twin = last[:, 14:142].astype(int), last[:, 14 + 128 + 4 :][:, :128].astype(int)
    assert (twin == portraits[0].repeat(2, axis=0).repeat(2, axis=1)).all()
    assert 0 < np.abs(first - twin).mean() < 8  # the same face, recompressed
    darkest = sheet[44 + 2 * (128 + 30) :][:128, 14:142]
    assert (darkest == 0).all()


def test_large_groups_show_their_first_members(tmp_path, portraits):
    for number in range(7):
        Image.fromarray(portraits[0]).save(tmp_path / f"a{number}.png")
    for number in range(1, 6):
        Image.fromarray(portraits[number]).save(tmp_path / f"b{number}.png")
        Image.fromarray(portraits[number]).save(tmp_path / f"b{number}again.png")
    report = data_report(tmp_path, 64)
    assert "a0.png = a1.png = a2.png = 4 more" in report.table
    titles = [text.get_text() for text in report.figure().texts]
    assert titles[-2:] == ["Near-duplicates: 17 pictures in 6 groups", ""]


def test_attributes_are_of_the_pictures_that_are_there(tmp_path, portraits):
    (tmp_path / "img").mkdir()
    for number in range(4):
        Image.fromarray(portraits[number]).save(tmp_path / f"img/{number}.png")
    (tmp_path / "img/4.png").write_bytes(b"broken")
    rows = ["0.png,1,-1", "1.png,1,-1", "2.png,-1,-1", "4.png,-1,1", "5.png,-1,1"]
    (tmp_path / "list_attr_celeba.csv").write_text("\n".join(["image_id,Smiling,Bald", *rows]))
    report = data_report(tmp_path / "img", 32)
    assert report.attributes == {"Smiling": 0.6667, "Bald": 0.0} and report.described == 3
    assert "                Smiling  66.7% #############" in report.table.splitlines()


@pytest.mark.parametrize(
    ("table", "note"),
    [
        ("file,Smiling\n0.png,many", "no attributes: expected Smiling as 0 or 1.*received 'many' in line 2"),
        ("file,Smiling\nother.png,1", "no attributes: expected labels of the pictures .*received .*'other.png'"),
    ],
)
def test_a_table_of_something_else_is_noted(tmp_path, portraits, table, note):
    (tmp_path / "img").mkdir()
    Image.fromarray(portraits[0]).save(tmp_path / "img/0.png")
    (tmp_path / "attributes.csv").write_text(table)
    report = data_report(tmp_path / "img", 32)
    assert report.attributes is None and len(report.notes) == 1
    assert re.search(note, report.notes[0]) and report.notes[0] in report.table


def test_drawn_faces_tell_their_own_attributes():
    report = data_report("drawn", 32, count=40, seed=3)
    _, table = draw_faces(40, 32, seed=3)
    shares = report.attributes
    assert shares["eyeglasses"] == table["eyeglasses"].mean()
    assert shares["hair_style: bun"] == (table["hair_style"] == 9).mean()
    assert shares["smile > 0"] == (table["smile"] > 0).mean()
    assert report.described == 40 and report.shorter_sides is None and report.duplicates is None
    assert "near-duplicates are not looked for" in report.table and "shorter side" not in report.table
    assert json.loads(report.as_json)["sizes"] is None and len(report.figure().texts) >= 4


def test_shares_of_choices_add_up():
    shares = data_report("drawn", 32, count=200, seed=1).attributes
    for name, (kind, *_) in ATTRIBUTES.items():
        if kind == "choice":
            assert abs(sum(share for key, share in shares.items() if key.startswith(f"{name}: ")) - 1) < 0.002


@pytest.mark.parametrize("size", [32, 64, 128])
@pytest.mark.parametrize(
    ("change", "blurred"),
    [
        (lambda picture: picture, False),
        (lambda picture: picture.point(lambda value: value // 2 + 60), False),  # half the contrast
        (lambda picture: picture.filter(ImageFilter.GaussianBlur(1.5)), True),
        (lambda picture: picture.reduce(2).resize(picture.size, Image.Resampling.BILINEAR), True),
    ],
)
def test_detail_tells_blur_whatever_the_size_and_contrast(size, change, blurred):
    images = draw_faces(20, size, seed=4)[0]
    changed = np.stack([np.asarray(change(Image.fromarray(image))) for image in images])
    share = (detail(changed) < BLURRED).mean()
    assert (
        share >= 0.8 if blurred else share == 0
    )  # drawn edges are harder than a photograph's, of which 0.99 are found


def test_detail_by_hand():
    checkers = np.indices((16, 16)).sum(axis=0) % 2 * 255
    checkers = np.repeat(checkers[None, ..., None], 3, axis=3).astype(np.uint8)
    assert detail(checkers)[0] > 1000  # smoothing leaves nothing of it
    # A wave along x of period p keeps (1 + cos(2 pi / p)) / 2 of its height when it is smoothed.
    wave = 128 + 100 * np.sin(2 * np.pi * np.arange(96) / 6)
    wave = np.tile(np.rint(wave).astype(np.uint8)[None, None, :, None], (1, 96, 1, 3))
    assert detail(wave)[0] == pytest.approx((4 / 3) ** 2, rel=0.03)
    assert detail(np.full((1, 8, 8, 3), 9, np.uint8))[0] == 0


@pytest.mark.parametrize("images", [np.zeros((8, 8, 3), np.uint8), np.zeros((1, 2, 8, 3), np.uint8), [1]])
def test_detail_refuses_other_shapes(images):
    with pytest.raises(ValueError, match="expected images of shape .count, height, width, 3., 3 pixels a side at"):
        detail(images)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"data": "missing"}, "expected a folder of pictures at 'missing'; received nothing; check"),
        ({"data": "drawn", "image_size": 4}, "expected image_size from 8 to 1024 pixels; received 4"),
    ],
)
def test_what_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        data_report(**arguments)


def test_numbers_in_a_table_count_above_the_middle(tmp_path, portraits):
    for number in range(3):
        Image.fromarray(portraits[number]).save(tmp_path / f"{number}.png")
    (tmp_path / "labels.csv").write_text("file,age\n0.png,20\n1.png,80\n2.png,70\n")
    assert data_report(tmp_path, 32).attributes == {"age > 50": 0.6667}


def test_needs_no_network_library():
    code = "import sys, gan_helpers.data.report as r; sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_real_photographs(real_faces):
    report = data_report(real_faces, 64)
    assert 40 < report.brightness.mean() < 215 and len(report.blurred) < 0.2 * len(report.files)
