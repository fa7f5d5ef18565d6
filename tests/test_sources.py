import os

import pytest

from gan_helpers import find_faces


def _touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


def test_nested_pictures_in_a_fixed_order(tmp_path):
    _touch(tmp_path, "b.JPG", "a/z.png", "a/y/x.webp", "c.bmp", "d.jpeg", "e.gif")
    found = [path.relative_to(tmp_path).as_posix() for path in find_faces(tmp_path)]
    assert found == ["a/y/x.webp", "a/z.png", "b.JPG", "c.bmp", "d.jpeg", "e.gif"]


def test_hidden_and_foreign_files_are_left_out(tmp_path):
    _touch(tmp_path, "face.png", ".hidden.png", ".thumbnails/face.png", "__MACOSX/face.png", "notes.txt", "x.npy")
    (tmp_path / "folder.jpg").mkdir()
    assert [path.name for path in find_faces(tmp_path)] == ["face.png"]


def test_accepts_a_hidden_parent(tmp_path):
    _touch(tmp_path, ".data/faces/face.png")
    assert len(find_faces(tmp_path / ".data")) == 1


def test_no_such_folder(tmp_path):
    with pytest.raises(ValueError, match="expected a folder of pictures.*received nothing.*'drawn'"):
        find_faces(tmp_path / "missing")


def test_a_file_is_no_folder(tmp_path):
    _touch(tmp_path, "face.png")
    with pytest.raises(ValueError, match="received a file"):
        find_faces(tmp_path / "face.png")


def test_empty_folder(tmp_path):
    with pytest.raises(ValueError, match="received no file at all"):
        find_faces(tmp_path)


def test_folder_of_texts_names_what_it_holds(tmp_path):
    _touch(tmp_path, "a.txt", "b.txt", "README")
    with pytest.raises(ValueError, match=r"received 3 other files \(.txt, no ending\)"):
        find_faces(tmp_path)


def test_other_endings_of_pictures(tmp_path):
    _touch(tmp_path, "a.HEIC", "b.heif", "c.TIF", "d.tiff", "e.avif", "f.jfif")
    assert [path.name for path in find_faces(tmp_path)] == ["a.HEIC", "b.heif", "c.TIF", "d.tiff", "e.avif", "f.jfif"]


@pytest.mark.skipif(os.name != "posix", reason="links need a right of their own elsewhere")
def test_links_are_listed_and_not_walked(tmp_path):
    _touch(tmp_path, "faces/face.png", "elsewhere/other.png")
    (tmp_path / "faces/again").symlink_to(".")
    (tmp_path / "faces/other").symlink_to("../elsewhere")
    (tmp_path / "faces/broken.jpg").symlink_to("nothing")
    (tmp_path / "faces/notes.txt").symlink_to("nothing")
    (tmp_path / "faces/.hidden").symlink_to("../elsewhere")
    assert [path.name for path in find_faces(tmp_path / "faces")] == ["again", "broken.jpg", "face.png", "other"]


def test_a_parent_that_would_be_left_out(tmp_path):
    _touch(tmp_path, "__MACOSX/face.png")
    assert len(find_faces(tmp_path / "__MACOSX")) == 1
