import io
from pathlib import Path

import numpy as np
import pytest

from gan_helpers import draw_faces, prepare_images
from gan_helpers.data.images import PreparedImages
from gan_helpers.data.label_tables import find_labels, labels_of, read_labels, read_wishes, write_labels
from gan_helpers.data.labels import Attribute, Labels, drawn_labels

FILES = ("a.jpg", "b.jpg", "c.jpg")
NAN = float("nan")
CELEBA = "3\nSmiling  Eyeglasses Male\na.jpg -1  1 -1\nb.jpg  1 -1 -1\nc.jpg  1  1  1\n"

TABS = "file\tSmiling\tEyeglasses\tMale\na.jpg\t-1\t1\t-1\nb.jpg\t1\t-1\t-1\nc.jpg\t1\t1\t1\n"


def _table(tmp_path, content, name="labels.csv"):
    file = tmp_path / name
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return file


@pytest.mark.parametrize(
    ("written", "kind", "values"),
    [
        (("0", "1", "1"), "binary", [-1, 1, 1]),
        (("-1", "1", "-1"), "binary", [-1, 1, -1]),
        (("true", "False", "TRUE"), "binary", [1, -1, 1]),
        (("yes", "no", ""), "binary", [1, -1, NAN]),
        (("1", "?", "0"), "binary", [1, NAN, -1]),
        (("20", "40", "30"), "scalar", [-1, 1, 0]),
        (("0.5", "nan", "-1.5"), "scalar", [1, NAN, -1]),
        (("-1", "0", "1"), "scalar", [-1, 0, 1]),
    ],
)
def test_each_kind_of_column(tmp_path, written, kind, values):
    rows = "".join(f"{file},{value}\n" for file, value in zip(FILES, written, strict=True))
    labels = read_labels(_table(tmp_path, f"file,Wanted\n{rows}"), FILES)
    assert labels.names == ("Wanted",) and labels.attributes[0].kind == kind and labels.values.dtype == np.float32
    np.testing.assert_array_equal(labels.values[:, 0], values)


def test_scalars_remember_their_range(tmp_path):
    labels = read_labels(_table(tmp_path, "file,Age\na.jpg,20\nb.jpg,70\nc.jpg,45\n"), FILES)
    age = labels.attributes[0]
    assert (age.low, age.high) == (20, 70)
    assert age.unscaled(labels.values[:, 0]).tolist() == [20, 70, 45] and age.scaled(45) == 0


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("list_attr_celeba.txt", CELEBA),
        ("list_attr_celeba.csv", "image_id,Smiling,Eyeglasses,Male\na.jpg,-1,1,-1\nb.jpg,1,-1,-1\nc.jpg,1,1,1\n"),
        ("bom.csv", b"\xef\xbb\xbffile,Smiling,Eyeglasses,Male\r\na.jpg,0,1,0\r\nb.jpg,1,0,0\r\nc.jpg,1,1,1\r\n"),
        ("excel.csv", TABS.encode("utf-16")),
        ("semicolons.csv", "file;Smiling;Eyeglasses;Male\na.jpg;0;1;0\nb.jpg;1;0;0\n\nc.jpg;1;1;1"),
        ("last.csv", "Smiling, Eyeglasses, Male, File\n0, 1, 0, a.jpg\n1, 0, 0, b.jpg\n1, 1, 1, c.jpg\n"),
        ("twice.csv", "file,Smiling,Eyeglasses,Male\na.jpg,0,1,0\nb.jpg,1,0,0\na.jpg,0,1,0\nc.jpg,1,1,1\n"),
    ],
)  # fmt: skip
def test_every_form_of_table_reads_alike(tmp_path, name, content):
    labels = read_labels(_table(tmp_path, content, name), FILES)
    assert labels.names == ("Smiling", "Eyeglasses", "Male")
    assert labels.values.tolist() == [[-1, 1, -1], [1, -1, -1], [1, 1, 1]] and labels.unlabelled == 0
    one = read_labels(_table(tmp_path, content, name), FILES, ["Male", "Smiling"])
    assert one.names == ("Male", "Smiling") and one.values.tolist() == [[-1, -1], [-1, 1], [1, 1]]


def test_decimal_commas_between_semicolons(tmp_path):
    labels = read_labels(_table(tmp_path, "file;Age\na.jpg;0,5\nb.jpg;2,5\n"), FILES[:2])
    assert (labels.attributes[0].low, labels.attributes[0].high) == (0.5, 2.5)


def test_pictures_without_a_row_are_unknown_and_counted(tmp_path):
    table = _table(tmp_path, "file,Smiling\nc.jpg,1\nelsewhere.jpg,0\nbelow/a.jpg,0\n")
    labels = read_labels(table, ("a.jpg", "b.jpg", "far/c.jpg"))
    np.testing.assert_array_equal(labels.values[:, 0], [-1, NAN, 1])
    assert labels.unlabelled == 1


def test_the_same_name_in_two_folders(tmp_path):
    table = _table(tmp_path, "file,Smiling\nx/a.jpg,1\ny\\a.jpg,0\n")
    labels = read_labels(table, ("x/a.jpg", "y/a.jpg", "z/a.jpg"))
    np.testing.assert_array_equal(labels.values[:, 0], [1, -1, NAN])


@pytest.mark.parametrize(
    ("content", "attributes", "message"),
    [
        (CELEBA, ["smiling"], "received 'smiling'; did you mean Smiling"),
        (CELEBA, ["Eyeglass"], "an attribute of '.*labels.csv'; received 'Eyeglass'; did you mean Eyeglasses"),
        (CELEBA, ["Bald"], "received 'Bald'; there are Smiling, Eyeglasses, Male"),
        (CELEBA, ["Male", "Male"], "expected attributes of different names .*Male twice"),
        ("file,Hair\na.jpg,blond\n", None, "expected Hair as 0 or 1.*received 'blond' in line 2"),
        ("file,Age\na.jpg,20\nb.jpg,inf\n", None, "received 'inf' in line 3"),
        ("name,Age\na.jpg,20\n", None, "expected a column `file` .*received name, Age"),
        ("file\na.jpg\n", None, "expected a column `file` and one for each attribute"),
        ("file,A,A\na.jpg,1,0\n", None, "expected columns of different names .*A twice"),
        ("file,A\na.jpg,1\nb.jpg\n", None, "expected 2 values in each row .*received 1 in line 3"),
        ("file,A\na.jpg,1\nb.jpg,1\na.jpg,0\n", None, "two that differ for 'a.jpg', in lines 2 and 4"),
        ("file,A\nz.jpg,1\n", None, r"labels of the pictures \(such as 'a.jpg'\).*others \(such as 'z.jpg'\)"),
        ("", None, "received 0 rows"),
        ("file,A\n", None, "received 1 rows"),
        (b"file,\xe9\na.jpg,1\n", None, "expected a table as UTF-8 text"),
    ],
)
def test_bad_tables(tmp_path, content, attributes, message):
    with pytest.raises(ValueError, match=message):
        read_labels(_table(tmp_path, content), FILES, attributes)


def test_no_table(tmp_path):
    with pytest.raises(ValueError, match="expected a table of labels at .*received nothing"):
        read_labels(tmp_path / "labels.csv", FILES)


# Pictures and their labels


def test_labels_follow_the_pictures_through_skipped_files_and_parts(photographs, tmp_path):
    folder = tmp_path / "faces"
    folder.mkdir()
    for path in photographs.rglob("*.*"):
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "face 03.bmp").write_bytes(b"no picture")
    names = sorted(path.name for path in folder.iterdir())
    rows = "".join(f"{name},{name[5:7]}\n" for name in names)
    table = _table(folder, f"file,number\n{rows}")
    prepared = prepare_images(folder, 32, cache=tmp_path / "cache")
    assert len(prepared.images) == len(prepared.files) == 39 and find_labels(folder) == table
    numbers = [int(name[5:7]) for name in prepared.files]
    assert numbers == [n for n in range(40) if n != 3]
    again = prepare_images(folder, 32, cache=tmp_path / "cache")  # from the cache
    for whole in (prepared, again):
        labels = labels_of(whole.part(5, 30), ["number"], table)
        np.testing.assert_allclose(labels.attributes[0].unscaled(labels.values[:, 0]), numbers[5:30], rtol=1e-5)


def test_drawn_faces_know_their_labels(tmp_path):
    prepared = prepare_images("drawn", 32, count=60, seed=7, cache=tmp_path)
    names = ("eyeglasses", "smile", "skin_tone")
    labels = labels_of(prepared.part(20, None), names)
    images, drawn = draw_faces(40, 32, seed=7, start=20)
    assert (prepared.images[20:] == images).all()
    expected = [2 * drawn["eyeglasses"] - 1.0, drawn["smile"], 2 * drawn["skin_tone"] - 1]
    np.testing.assert_allclose(labels.values, np.stack(expected, 1), atol=1e-6)
    assert [one.kind for one in labels.attributes] == ["binary", "scalar", "scalar"]
    assert drawn_labels(2, ["head_turn", "smile"]).attributes[0].mirrored


@pytest.mark.parametrize(
    ("attributes", "table", "message"),
    [
        (["eyeglass"], None, "attribute of the drawn faces; received 'eyeglass'; did you mean eyeglasses"),
        (["hair_style"], None, "on or off, or a number; received 'hair_style', a choice between"),
        (["smile", "smile"], None, "smile twice"),
        (["smile"], "labels.csv", "expected no table of labels for drawn faces"),
    ],
)
def test_bad_labels_of_drawn_faces(tmp_path, attributes, table, message):
    prepared = prepare_images("drawn", 32, count=8, cache=tmp_path)
    with pytest.raises(ValueError, match=message):
        labels_of(prepared, attributes, table)


def test_labels_that_teach_nothing(tmp_path):
    images = np.zeros((3, 32, 32, 3), np.uint8)
    prepared = PreparedImages(images, [], "0", tmp_path, files=FILES)
    table = _table(tmp_path, "file,On,Gone,Age\na.jpg,1,,5\nb.jpg,1,,5\nc.jpg,1,,5\n")
    for name, seen in (("On", "only 1;"), ("Gone", "only unknown ones"), ("Age", "only 5;")):
        with pytest.raises(ValueError, match=f"different values of {name} among the 3 pictures.*received {seen}"):
            labels_of(prepared, [name], table)
    with pytest.raises(ValueError, match=r"a table of labels for the attributes On; received none; .*--labels FILE"):
        labels_of(prepared, ["On"])
    with pytest.raises(ValueError, match="the file names of 3 pictures.*received 0"):
        labels_of(PreparedImages(images, [], "0", tmp_path), ["On"], table)


# The joint distribution


def _labels(*rows, attributes=("Beard", "Lipstick", "Age")):
    kinds = [Attribute(name, "scalar", 20, 60) if name == "Age" else Attribute(name) for name in attributes]
    return Labels(tuple(kinds), np.array(rows, np.float32))


FACES = _labels([1, -1, 0.5], [-1, 1, -1], [-1, 1, 0], [-1, -1, 1])


def test_samples_are_rows_of_the_data_as_often_as_there():
    samples = FACES.sample(4000, seed=1)
    rows, counts = np.unique(samples, axis=0, return_counts=True)
    assert {tuple(row) for row in rows} == {tuple(row) for row in FACES.values}
    assert np.abs(counts / 4000 - 0.25).max() < 0.03


def test_the_first_samples_do_not_depend_on_their_number():
    np.testing.assert_array_equal(FACES.sample(7, seed=2), FACES.sample(500, seed=2)[:7])
    assert (FACES.sample(50, seed=2) != FACES.sample(50, seed=3)).any()


def test_gaps_are_filled_from_their_own_column():
    gaps = _labels(*[[NAN, 1, NAN]] * 900, *[[1, -1, 0.25]] * 25, *[[-1, 1, -0.5]] * 75)
    filled = gaps.filled().values
    assert np.isfinite(filled).all() and set(filled[:, 2]) == {0.25, -0.5}
    assert (filled[:900, 0] == 1).mean() == pytest.approx(0.25, abs=0.05)
    np.testing.assert_array_equal(filled[900:], gaps.values[900:])
    assert np.isnan(gaps.values[0, 0])


def test_wishes_are_kept_and_nothing_impossible_comes_with_them():
    plain, wished = FACES.sample(200, seed=4), FACES.sample(200, seed=4, wishes={"Beard": 1})
    assert (wished == [1, -1, 0.5]).all()  # nobody with a beard wears lipstick there
    lipstick = FACES.sample(200, seed=4, wishes={"Lipstick": 1})
    has = plain[:, 1] == 1
    np.testing.assert_array_equal(lipstick[has], plain[has])  # who has it already stays
    older = FACES.sample(200, seed=4, wishes={"Age": 30})
    assert (older[:, 2] == -0.5).all() and ((older[:, :2] == [-1, 1]).all(1)).any()


def test_large_samples_with_wishes_are_the_same_row_by_row():
    wishes = {"Lipstick": 0}
    np.testing.assert_array_equal(FACES.sample(2500, wishes=wishes)[:9], FACES.sample(9, wishes=wishes))


@pytest.mark.parametrize(
    ("wishes", "message"),
    [
        ({"Beards": 1}, "expected an attribute of the labels; received 'Beards'; did you mean Beard"),
        ({"Beard": 2}, r"expected Beard from 0 to 1 \(0 off, 1 on\); received 2"),
        ({"Age": 61}, "expected Age from 20 to 60; received 61; choose a value in that range"),
        ({"Age": NAN}, "received nan"),
    ],
)
def test_bad_wishes(wishes, message):
    with pytest.raises(ValueError, match=message):
        FACES.sample(4, wishes=wishes)


def test_wishes_as_text():
    assert read_wishes("Smiling=1, Eyeglasses=0,Age=33.5,Hat=off") == {
        "Smiling": 1, "Eyeglasses": 0, "Age": 33.5, "Hat": 0,
    }  # fmt: skip
    assert FACES.sample(1, wishes=read_wishes("Beard=-1"))[0, 0] == -1  # as CelebA writes "off"
    for text in ("Smiling", "Smiling=", "=1", "Smiling=much", "Smiling=1,", "Smiling=?"):
        with pytest.raises(ValueError, match="expected NAME=VALUE"):
            read_wishes(text)


def test_excerpts_are_small_whole_and_survive_json():
    many = Labels(FACES.attributes, np.tile(FACES.values, (3000, 1)))
    many.values[5, 1] = NAN
    excerpt = many.excerpt()
    assert excerpt.values.shape == (4000, 3) and np.isfinite(excerpt.values).all()
    assert len(FACES.excerpt().values) == 4
    again = Labels.from_json(excerpt.as_json())
    assert again.attributes == excerpt.attributes and again.fingerprint == excerpt.fingerprint != many.fingerprint
    gap = Labels.from_json(_labels([NAN, 1, 0]).as_json())
    assert np.isnan(gap.values[0, 0])


def test_what_is_written_reads_back(tmp_path):
    written = io.BytesIO()
    write_labels(written, ["a.jpg", "b.jpg", "c.jpg", "d.jpg"], FACES, FACES.values)
    labels = read_labels(_table(tmp_path, written.getvalue()), ("c.jpg", "a.jpg"))
    assert labels.names == FACES.names and labels.attributes[2].kind == "scalar"
    np.testing.assert_allclose(labels.attributes[2].unscaled(labels.values[:, 2]), [40, 50])


def test_celeba_as_it_is(real_faces):
    table = find_labels(real_faces)
    if table is None:
        pytest.skip("no table of labels beside the photographs")
    files = [path.relative_to(real_faces).as_posix() for path in sorted(Path(real_faces).rglob("*.jpg"))[:50]]
    labels = read_labels(table, files)
    assert len(labels.names) == 40 and labels.unlabelled == 0 and set(np.unique(labels.values)) == {-1, 1}
