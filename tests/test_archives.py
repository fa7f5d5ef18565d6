"""Archives that somebody else made, some of them to do harm."""

import io
import stat
import struct
import tarfile
import zipfile

import numpy as np
import pytest

from gan_helpers.data import archives
from gan_helpers.data.archives import unpack

FILES = {"faces/anna.png": b"anna" * 500, "faces/family/ben.jpg": bytes(range(256)) * 20, "notes.txt": b"hello"}


def _zip(file, files=FILES, compression=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(name, content)


def _tar(file, files=FILES, mode="w", kind=tarfile.REGTYPE, link=""):
    with tarfile.open(file, mode) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname, member.size = kind, link, len(content)
            archive.addfile(member, io.BytesIO(content))


def _special_zip(file, name, kind, content):
    member = zipfile.ZipInfo(name)
    member.external_attr = (kind | 0o777) << 16
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(member, content)


def _left(folder):
    """Everything below a folder but the archive."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.name != "archive")


@pytest.mark.parametrize("mode", ["zip", "stored zip", "w", "w:gz", "w:bz2", "w:xz"])
def test_every_kind_of_archive(mode, tmp_path):
    if mode.endswith("zip"):
        _zip(tmp_path / "archive", compression=zipfile.ZIP_STORED if "stored" in mode else zipfile.ZIP_DEFLATED)
    else:
        _tar(tmp_path / "archive", mode=mode)
    folder = unpack(tmp_path / "archive", tmp_path / "deep/unpacked")
    assert {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.*")} == FILES
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["unpacked"]


def test_unpacked_once(tmp_path):
    _zip(tmp_path / "archive")
    folder = unpack(tmp_path / "archive", tmp_path / "unpacked")
    (folder / "notes.txt").write_text("mine")
    unpack(tmp_path / "archive", folder)
    assert (folder / "notes.txt").read_text() == "mine"


def test_what_a_kill_left_is_no_part_of_it(tmp_path):
    (tmp_path / ".unpacking-unpacked").mkdir()
    (tmp_path / ".unpacking-unpacked/half.png").write_bytes(b"half")
    _zip(tmp_path / "archive")
    assert not (unpack(tmp_path / "archive", tmp_path / "unpacked") / "half.png").exists()


OUTSIDE = [
    "../evil.png",
    "faces/../../evil.png",
    "/tmp/evil.png",
    "..\\evil.png",
    "C:\\evil.png",
    "C:evil.png",
    "\\e.png",
]


@pytest.mark.parametrize("make", [_zip, _tar])
@pytest.mark.parametrize("name", OUTSIDE)
def test_names_that_lead_outside(name, make, tmp_path):
    make(tmp_path / "archive", {"good.png": b"good", name: b"evil"})
    with pytest.raises(ValueError, match="expected an archive of pictures in .*archive'.*land outside of its folder"):
        unpack(tmp_path / "archive", tmp_path / "unpacked")
    assert _left(tmp_path) == [] and not (tmp_path.parent / "evil.png").exists()


@pytest.mark.parametrize("name", ["..good.png", "a..b/c.png", "über/née.png", "a b.png"])
def test_odd_names_that_stay_inside(name, tmp_path):
    _zip(tmp_path / "archive", {name: b"good"})
    assert (unpack(tmp_path / "archive", tmp_path / "unpacked") / name).read_bytes() == b"good"


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
@pytest.mark.parametrize("target", ["/etc/passwd", "../../outside", "good.png"])
def test_links_and_devices_in_tar(kind, target, tmp_path):
    _tar(tmp_path / "archive", {"link.png": b""}, kind=kind, link=target)
    with pytest.raises(ValueError, match="'link.png', a link or a device; make it anew"):
        unpack(tmp_path / "archive", tmp_path / "unpacked")
    assert _left(tmp_path) == []


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO])
def test_links_and_devices_in_zip(kind, tmp_path):
    _special_zip(tmp_path / "archive", "link.png", kind, "/etc/passwd")
    with pytest.raises(ValueError, match="'link.png', a link or a device"):
        unpack(tmp_path / "archive", tmp_path / "unpacked")
    assert _left(tmp_path) == []


def test_a_file_written_through_a_link(tmp_path):
    with tarfile.open(tmp_path / "archive", "w") as archive:
        link = tarfile.TarInfo("faces")
        link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path)
        archive.addfile(link)
        file = tarfile.TarInfo("faces/evil.png")
        file.size = 4
        archive.addfile(file, io.BytesIO(b"evil"))
    with pytest.raises(ValueError, match="a link or a device"):
        unpack(tmp_path / "archive", tmp_path / "unpacked")
    assert _left(tmp_path) == []


@pytest.mark.parametrize("make", [_zip, _tar])
def test_declared_sizes_above_the_limit(make, tmp_path):
    make(tmp_path / "archive", {"a.png": bytes(600), "b.png": bytes(600)})
    with pytest.raises(ValueError, match="unpacks to more than 1,000 bytes"):
        unpack(tmp_path / "archive", tmp_path / "unpacked", limit=1000)
    assert _left(tmp_path) == []
    unpack(tmp_path / "archive", tmp_path / "unpacked", limit=1200)


def test_a_bomb_of_a_terabyte_is_refused_by_its_header(tmp_path):
    member = tarfile.TarInfo("bomb.png")
    member.size = 1 << 40
    (tmp_path / "archive").write_bytes(member.tobuf(tarfile.GNU_FORMAT) + bytes(10_240))
    with pytest.raises(ValueError, match="unpacks to more than 68,719,476,736 bytes"):
        unpack(tmp_path / "archive", tmp_path / "unpacked")
    assert _left(tmp_path) == []


def test_too_many_files(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MOST", 2)
    _zip(tmp_path / "archive")
    with pytest.raises(ValueError, match="or 2 files"):
        unpack(tmp_path / "archive", tmp_path / "unpacked")


def test_more_than_the_disk_has_room_for(tmp_path, monkeypatch):
    monkeypatch.setattr(archives.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 100}))
    _zip(tmp_path / "archive")
    with pytest.raises(ValueError, match="unpacks to 2,000 bytes or more where the disk has 100 left; make room"):
        unpack(tmp_path / "archive", tmp_path / "unpacked")
    assert _left(tmp_path) == []


def test_a_member_that_is_larger_than_it_declares(tmp_path):
    _zip(tmp_path / "archive", {"bomb.png": bytes(1_000_000)})
    content = (tmp_path / "archive").read_bytes()
    (tmp_path / "archive").write_bytes(content.replace(struct.pack("<I", 1_000_000), struct.pack("<I", 1000)))
    with pytest.raises(ValueError, match="damaged"):
        unpack(tmp_path / "archive", tmp_path / "unpacked", limit=10_000)
    assert _left(tmp_path) == []


@pytest.mark.parametrize("mode", ["zip", "w", "w:gz", "w:xz"])
@pytest.mark.parametrize("tenth", range(1, 10))
def test_cut_at_each_tenth(mode, tenth, tmp_path):
    noise = {f"{n}.png": np.random.default_rng(n).bytes(3000) for n in range(13)}
    if mode == "zip":
        _zip(tmp_path / "archive", noise)
    else:
        _tar(tmp_path / "archive", noise, mode)
    content = (tmp_path / "archive").read_bytes()
    (tmp_path / "archive").write_bytes(content[: len(content) * tenth // 10])
    with pytest.raises(
        ValueError, match=r"expected a whole zip or tar archive in .*archive'; received a damaged one of"
    ):
        unpack(tmp_path / "archive", tmp_path / "unpacked")
    assert _left(tmp_path) == []


def test_a_tar_cut_between_two_files(tmp_path):
    _tar(tmp_path / "archive", {"a.png": bytes(512), "b.png": bytes(512)})
    (tmp_path / "archive").write_bytes((tmp_path / "archive").read_bytes()[:1024])
    with pytest.raises(ValueError, match="damaged one of 1,024 bytes .it ends without its end mark"):
        unpack(tmp_path / "archive", tmp_path / "unpacked")


@pytest.mark.parametrize("mode", ["zip", "w:gz", "w:xz"])
def test_a_flipped_byte(mode, tmp_path):
    if mode == "zip":
        _zip(tmp_path / "archive", {"a.png": np.random.default_rng(0).bytes(3000)})
    else:
        _tar(tmp_path / "archive", {"a.png": np.random.default_rng(0).bytes(3000)}, mode)
    content = bytearray((tmp_path / "archive").read_bytes())
    content[1500] ^= 4
    (tmp_path / "archive").write_bytes(content)
    with pytest.raises(ValueError, match="damaged"):
        unpack(tmp_path / "archive", tmp_path / "unpacked")
    assert _left(tmp_path) == []


def test_a_header_damaged_in_the_middle_of_a_tar(tmp_path):
    _tar(tmp_path / "archive", {"a.png": bytes(512), "b.png": bytes(512)})
    content = bytearray((tmp_path / "archive").read_bytes())
    content[1024 + 10] ^= 4
    (tmp_path / "archive").write_bytes(content)
    with pytest.raises(ValueError, match="damaged"):
        unpack(tmp_path / "archive", tmp_path / "unpacked")
    assert _left(tmp_path) == []


def test_a_name_that_is_both_file_and_folder(tmp_path):
    _zip(tmp_path / "archive", {"a": b"file", "a/b.png": b"folder"})
    with pytest.raises(ValueError, match="damaged .*'b.png' is both a file and a folder"):
        unpack(tmp_path / "archive", tmp_path / "unpacked")
    assert _left(tmp_path) == []


def test_a_password(tmp_path):
    _zip(tmp_path / "archive", {"a.png": b"secret"})
    content = bytearray((tmp_path / "archive").read_bytes())
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "archive").write_bytes(content)
    with pytest.raises(ValueError, match="password"):
        unpack(tmp_path / "archive", tmp_path / "unpacked")


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n" + bytes(1000), b"<html>log in</html>"])
def test_no_archive_at_all(content, tmp_path):
    (tmp_path / "archive").write_bytes(content)
    with pytest.raises(ValueError, match="received a file that is no zip or tar archive; give the folder"):
        unpack(tmp_path / "archive", tmp_path / "unpacked")
    assert _left(tmp_path) == []


def test_a_tar_that_ends_with_a_zip_is_a_tar(tmp_path):
    inner = io.BytesIO()
    _zip(inner)
    _tar(tmp_path / "archive", {"inner.zip": inner.getvalue(), "a.png": b"a"})
    assert sorted(path.name for path in unpack(tmp_path / "archive", tmp_path / "u").iterdir()) == [
        "a.png",
        "inner.zip",
    ]


def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(archives.shutil, "copyfileobj", full)
    _zip(tmp_path / "archive")
    with pytest.raises(OSError, match="No space left"):
        unpack(tmp_path / "archive", tmp_path / "unpacked")
    assert _left(tmp_path) == []
