"""Unpacks archives that somebody else made: nothing lands outside of its folder, and nothing half-made stays."""

import io
import os
import re
import shutil
import stat
import tarfile
import zipfile
import zlib
from lzma import LZMAError
from pathlib import Path

from tqdm import tqdm

LIMIT = 64 << 30  # bytes that an archive may hold, unpacked: twice CelebA-HQ, a 2,000th of a small bomb
MOST = 5_000_000  # files that it may hold
# What reading a damaged archive can raise; RuntimeError is zipfile's for a password, EOFError and zlib's for a cut.
DAMAGE = (tarfile.TarError, zipfile.BadZipFile, zlib.error, LZMAError, EOFError, RuntimeError, NotImplementedError)
DAMAGE += (OSError, ValueError, IndexError, OverflowError)


def unpack(archive, folder, *, limit=LIMIT):
    """Unpacks a zip or tar archive (also .tar.gz, .tar.bz2, .tar.xz) into a new folder.

    The archive is not trusted. A name that leads out of the folder, a link or a device is refused, and sizes are added
    up before anything of them is written. Files are unpacked aside and the folder renamed when all are there and whole.

    Args:
        archive: path of the archive.
        folder: path of the folder to make; where it exists it is returned as it is.
        limit: bytes that the archive may hold, unpacked. Defaults to 64 GiB.

    Returns:
        The folder, a `pathlib.Path`.

    Raises:
        ValueError: it is no archive, a damaged one, one with a password, one that would unpack elsewhere or to more
            than `limit` or than the disk has room for. Each names the archive; nothing of it stays.

    Example:
        >>> unpack("faces.zip", "unpacked/faces")
        PosixPath('unpacked/faces')
    """
    archive, folder = Path(archive), Path(folder)
    if folder.exists():
        return folder
    aside = folder.with_name(f".unpacking-{folder.name}")
    shutil.rmtree(aside, ignore_errors=True)  # what a kill left
    aside.mkdir(parents=True)
    try:
        _unpack_into(archive, aside, limit)
        finish_folder(aside, folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return folder


def finish_folder(aside, folder):
    """Gives a folder its final name when all in it is on the disk, so that it is whole wherever it is seen."""
    if hasattr(os, "sync"):  # a name that outlives a loss of power must not outlive its files
        os.sync()
    os.rename(aside, folder)


def _unpack_into(archive, folder, limit):
    try:
        kind = _unpack_zip if _is_zip(archive) else _unpack_tar
        kind(archive, folder, limit)
    except _Refused as refused:
        raise ValueError(f"expected an archive of pictures in '{archive}'; received {refused}") from None
    except DAMAGE as error:
        if isinstance(error, OSError) and error.errno is not None:  # the disk's, not the archive's
            raise
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ValueError(
            f"expected a whole zip or tar archive in '{archive}'; received a damaged one of "
            f"{archive.stat().st_size:,} bytes ({reason}); copy or download it again"
        ) from error


def _is_zip(archive):
    """By the first bytes: a tar archive of zip archives ends as a zip archive does."""
    with open(archive, "rb") as opened:
        beginning = opened.read(512)
    known = beginning.startswith((b"PK", b"\x1f\x8b", b"BZh", b"\xfd7zXZ")) or beginning[257:262] == b"ustar"
    if not known and not re.search(r"\.(zip|tar|tgz|tbz2?|txz)(\.\w+)?$", archive.name.lower()):
        raise _Refused("a file that is no zip or tar archive; give the folder of the pictures, or an archive of it")
    return beginning.startswith(b"PK")


class _Refused(Exception):
    """An archive that may be whole and is not unpacked; says what it holds and what to do."""


class _Sum:
    """Adds up what an archive says it holds, before it is written."""

    def __init__(self, folder, limit):
        self.room = shutil.disk_usage(folder).free
        self.limit, self.size, self.count = limit, 0, 0

    def add(self, size):
        self.size += size
        self.count += 1
        if self.size > self.limit or self.count > MOST:
            raise _Refused(
                f"one that unpacks to more than {self.limit:,} bytes or {MOST:,} files; if that is meant, unpack it "
                "by hand and give the folder"
            )
        if self.size > self.room:
            raise _Refused(
                f"one that unpacks to {self.size:,} bytes or more where the disk has {self.room:,} left; make room, "
                "or choose another disk with --cache or GAN_FACES_CACHE"
            )


def _unpack_zip(archive, folder, limit):
    with zipfile.ZipFile(archive) as opened:
        members = [member for member in opened.infolist() if not member.is_dir()]
        sizes = _Sum(folder, limit)
        for member in members:
            _check_name(member.filename)
            kind = stat.S_IFMT(member.external_attr >> 16)  # 0 where it was made under Windows
            if kind not in (0, stat.S_IFREG):
                raise _refused_kind(member.filename)
            sizes.add(member.file_size)
        for member in tqdm(members, desc="unpacking", unit=" files", leave=False):
            with opened.open(member) as inner:
                _write(inner, folder / member.filename)


def _unpack_tar(archive, folder, limit):
    with tarfile.open(archive) as opened, tqdm(desc="unpacking", unit=" files", leave=False) as bar:
        sizes = _Sum(folder, limit)
        for member in opened:
            _check_name(member.name)
            if member.isdir():
                continue
            if not member.isfile():
                raise _refused_kind(member.name)
            sizes.add(member.size)
            _write(opened.extractfile(member), folder / member.name)
            bar.update()
        stream = opened.fileobj
        if stream.tell() < opened.offset + tarfile.BLOCKSIZE:  # tarfile takes any end for the end
            raise tarfile.ReadError("it ends without its end mark")
        while stream.read(1 << 20):  # the checksum of a compressed file stands at its end
            pass
        if isinstance(stream, io.BufferedReader):  # not compressed, no checksum; tarfile takes a bad header for the end
            stream.seek(opened.offset)
            if any(stream.read(tarfile.BLOCKSIZE)):
                raise tarfile.ReadError(f"a bad header at byte {opened.offset:,}")


def _check_name(name):
    parts = re.split(r"[/\\]", name)
    if name.startswith(("/", "\\")) or ".." in parts or re.match("[A-Za-z]:", name):
        raise _Refused(f"one with the file {name!r:.200}, which would land outside of its folder; do not trust it")


def _refused_kind(name):
    return _Refused(
        f"one with {name!r:.200}, a link or a device; make it anew with the files themselves (tar --dereference)"
    )


def _write(inner, file):
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with open(file, "wb") as opened:
            shutil.copyfileobj(inner, opened, 1 << 20)
    except (FileExistsError, NotADirectoryError, IsADirectoryError):
        raise ValueError(f"'{file.name}' is both a file and a folder") from None
