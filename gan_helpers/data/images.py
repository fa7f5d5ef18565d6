"""From files to one array of equally sized uint8 pictures, kept on disk and memory-mapped."""

import functools
import hashlib
import json
import os
import re
import shutil
import time
import warnings
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from gan_helpers.data.crops import LOOKS, cut_faces, cut_version
from gan_helpers.data.decoding import load_image, or_reason, printable
from gan_helpers.data.drawn_faces import draw_faces
from gan_helpers.data.locks import alone
from gan_helpers.data.sources import cache_folder, fetch_faces, find_faces, source_of
from gan_helpers.data.workers import decoders, usable_cores

_CACHE_VERSION = 3  # raise when decoding or drawing changes, so that old caches are made anew
_CHUNK = 256  # pictures in memory at a time while preparing, fewer where they are large
_CHUNK_BYTES = 2**26
_JOURNAL = "finished.jsonl"
_MOST_AT_ONCE = 16  # processes or threads
_MUCH = 2**24  # bytes of picture files, from which on processes are started
_ABANDONED_SECONDS = 7 * 24 * 3600  # a preparing that was stopped and not gone on with for so long is deleted


@dataclass(frozen=True)
class PreparedImages:
    """Pictures ready to train on.

    Attributes:
        images: uint8 memory map, `(count, image_size, image_size, 3)`, RGB, 0 to 255.
        skipped: list of `(file, reason)`, the files below the folder that could not be used; signs in their names that
            cannot be printed, such as line ends, are written as escapes.
        fingerprint: SHA-256 of the pixels, which identifies the data in a run's settings.
        folder: where the cache lies.
        source: `"drawn"`, or the name of the folder that the pictures came from.
        crop: the box that was cut from each, `"faces"`, or `None`.
        files: names of the pictures' files below the folder, one for each picture, in their order; of drawn faces a
            `range` of their numbers.
        seed: seed of drawn faces, else `None`.
        several: list of `(file, count)`, the files that gave several faces, with `crop="faces"`.
        origin: the folder that `files` lie in, such as the one that a source was fetched or an archive unpacked into;
            `None` for drawn faces, or where it is not known. Not part of the fingerprint.
    """

    images: np.ndarray
    skipped: list
    fingerprint: str
    folder: Path
    source: str = "drawn"
    crop: tuple | str | None = None
    files: tuple | range = ()
    seed: int | None = None
    several: list = field(default_factory=list)
    origin: Path | None = None

    def part(self, start, stop):
        """Some of the pictures, in order, such as `part(0, 6000)` to train on and `part(6000, None)` to measure with.

        Args:
            start: number of the first, or `None` for the beginning; below 0 counted from the end.
            stop: number after the last, or `None` for the end.

        Returns:
            `PreparedImages` whose fingerprint names the part.

        Raises:
            ValueError: no picture is left.
        """
        images = self.images[start:stop]
        if not len(images):
            raise ValueError(
                f"expected a part of {len(self.images)} pictures with at least one; received {start}:{stop}; "
                "count from 0, the stop is not included"
            )
        first, after, _ = slice(start, stop).indices(len(self.images))
        name = f"{self.fingerprint}[{first}:{after}]"
        return replace(self, images=images, fingerprint=name, files=self.files[start:stop])


def prepare_images(data, image_size=64, *, crop=None, count=8000, seed=0, cache=None, agree=False):
    """Decode, orient, crop and resize a folder of pictures (or draw faces) once, and keep the result on disk.

    Every picture is turned upright (EXIF), laid on white where it is transparent, cut to its central square (or to
    `crop`), resized with an antialiased bicubic filter, and converted to sRGB (ICC profiles). Of an animation the first
    picture is taken. A file that cannot be used is skipped and named, never fatal by itself. The second call with the
    same files and settings only opens the memory map. Stopped at any instant and called again, it goes on where it
    was; of two processes that prepare the same, one waits for the other.

    Args:
        data: path of a folder of pictures or of an archive of them, name of a source (`"congress"`, `"lfw"`,
            `"celeba"`, `"hf:OWNER/NAME"`; see `fetch_faces`), or `"drawn"` for `draw_faces`.
        image_size: side of the prepared pictures, in pixels. Defaults to `64`.
        crop: `(left, top, right, bottom)` in pixels of each picture, for aligned sets such as CelebA's;
            `None` (default) cuts the source's own box where it has one, or else the central square. A box that is
            not square is refused, for it would squash faces. `"faces"` finds the faces and aligns them, for ordinary
            photographs; it needs `pip install 'gan_helpers[detector]'`, and TensorFlow.
        count: how many faces to draw; only for `"drawn"`. Defaults to `8000`.
        seed: seed of the drawn faces; only for `"drawn"`. Defaults to `0`.
        cache: folder of all caches. Defaults to `$GAN_FACES_CACHE`, else `~/.cache/gan_helpers`.
        agree: whether you accept the licence of a source that asks for it, see `fetch_faces`. Defaults to `False`.

    Returns:
        A `PreparedImages`.

    Raises:
        ValueError: no such folder or source, no usable picture, a crop that is not a square box, or no room for the
            cache.
        ModuleNotFoundError: `crop="faces"` without the detector or TensorFlow.

    Example:
        >>> prepared = prepare_images("drawn", 64, count=1000)
        >>> prepared.images.shape
        (1000, 64, 64, 3)
    """
    if not isinstance(image_size, int) or not 8 <= image_size <= 1024:
        raise ValueError(f"expected image_size from 8 to 1024 pixels; received {image_size!r}; try 64")
    crop = _checked_crop(crop)
    root = Path(cache or cache_folder())
    if str(data) == "drawn":
        if crop == "faces":
            raise ValueError(
                "expected photographs for crop='faces'; received 'drawn'; drawn faces have their places already, leave "
                "the crop out"
            )
        if not isinstance(count, int) or count < 1:
            raise ValueError(f"expected a count of faces of at least 1; received {count!r}; try 8000")
        folder = root / f"drawn-{image_size}px-{_key('drawn', image_size, count, seed)}"
        chunks = functools.partial(_drawn_chunks, count, image_size, seed)
        return replace(_open_or_make(folder, image_size, count, chunks), files=range(count), seed=seed)
    if crop is None and (named := source_of(data)):
        crop = named.crop
    data = fetch_faces(data, agree=agree, cache=root)
    paths = find_faces(data)
    stats = [(path.relative_to(data).as_posix(), *_looks(path)) for path in paths]
    source = Path(data).resolve()
    name = re.sub(r"[^\w.-]", "_", source.name) or "root"
    cut = (crop, *cut_version()) if crop == "faces" else crop
    folder = root / f"{name[:40]}-{image_size}px-{_key(str(source), image_size, cut, stats)}"
    size = sum(look[0] or 0 for _, *look in stats)
    chunks = functools.partial(_decoded_chunks, paths, Path(data), image_size, crop, size)
    prepared = _open_or_make(folder, image_size, len(paths), chunks)
    files = _file_of_each([file for file, *_ in stats], prepared)
    # Not resolved: a table of labels lies beside the link that was named, not beside what it leads to.
    prepared = replace(prepared, source=name, crop=crop, files=files, origin=Path(data).absolute())
    if len(prepared.images) == 0:
        reasons = "; ".join(f"{file}: {reason}" for file, reason in prepared.skipped[:3])
        shutil.rmtree(prepared.folder, ignore_errors=True)
        raise ValueError(
            f"expected at least one usable picture in '{data}'; received {len(paths)} that could not be used "
            f"({reasons}); mend them, or choose another folder or crop"
        )
    return prepared


def _file_of_each(files, prepared):
    """The file of each prepared picture: none of what was skipped, and of several faces in one file as many."""
    faces = dict.fromkeys((file for file, _ in prepared.skipped), 0) | dict(prepared.several)
    return tuple(file for file in files for _ in range(faces.get(printable(file), 1)))


def _checked_crop(crop):
    if crop is None or isinstance(crop, str) and crop == "faces":
        return crop
    try:
        left, top, right, bottom = crop = tuple(int(edge) for edge in crop)
    except (TypeError, ValueError):
        raise ValueError(
            f"expected a crop of four whole numbers left,top,right,bottom; received {crop!r}; "
            "for half-size CelebA use 9,25,79,95; to have faces found and aligned use 'faces'"
        ) from None
    if not (0 <= left < right and 0 <= top < bottom and right - left == bottom - top):
        raise ValueError(
            f"expected a square crop inside the picture; received {left},{top},{right},{bottom}, "
            f"{right - left} wide and {bottom - top} high; make both sides equal, so that faces are not squashed"
        )
    return crop


def _key(*parts):
    return hashlib.sha256(repr((_CACHE_VERSION, *parts)).encode()).hexdigest()[:12]


def _looks(path):
    """What tells that a file is another than before: its size, when it was written, and who may read it."""
    try:
        found = path.stat()
        return found.st_size, found.st_mtime_ns, found.st_mode
    except OSError:  # a broken link, or deleted since the folder was listed
        return (None,)


def _chunk_length(image_size):
    return max(8, min(_CHUNK, _CHUNK_BYTES // (3 * image_size**2)))


def _drawn_chunks(count, image_size, seed, start):
    length = _chunk_length(image_size)
    for first in range(start, count, length):
        size = min(length, count - first)
        yield draw_faces(size, image_size, seed=seed, start=first)[0], {}, size


def _decoded_chunks(paths, folder, image_size, crop, size, start):
    length = min(_chunk_length(image_size), LOOKS) if crop == "faces" else _chunk_length(image_size)
    chunks = [paths[first : first + length] for first in range(start, len(paths), length)]
    with _loading(image_size, crop, size) as load, ThreadPoolExecutor(1) as ahead:
        later = deque(ahead.submit(load, some) for some in chunks[:1])
        for number, some in enumerate(chunks):
            loaded = later.popleft().result()
            later += [ahead.submit(load, following) for following in chunks[number + 1 : number + 2]]
            good, rows = [], {"skipped": [], "several": []}
            for path, pictures in zip(some, loaded, strict=True):
                name = printable(path.relative_to(folder).as_posix())
                if isinstance(pictures, str):
                    rows["skipped"].append((name, pictures))
                    continue
                good += pictures
                if len(pictures) > 1:
                    rows["several"].append((name, len(pictures)))
            yield np.asarray(good, np.uint8), rows, len(some)


@contextmanager
def _loading(image_size, crop, size):
    """A function of a list of paths that returns lists of pictures, or reasons: in processes where there is much to do,
    in threads where starting those would take longer."""
    cores = usable_cores()

    def load(path):
        return or_reason(load_image, path, image_size, crop)

    def in_lists(loaded):
        return [one if isinstance(one, str) else [one] for one in loaded]

    if crop != "faces" and cores > 1 and size >= _MUCH:
        with decoders(min(_MOST_AT_ONCE, cores), image_size, crop) as decode:
            yield lambda some: in_lists(decode(some))
        return
    with ThreadPoolExecutor(min(_MOST_AT_ONCE, cores)) as pool, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's remarks on odd metadata do not concern the pixels
        if crop == "faces":
            yield lambda some: cut_faces(some, image_size, pool.map)
        else:
            yield lambda some: in_lists(pool.map(load, some))


def _open_or_make(folder, image_size, total, chunks):
    """Open a finished cache, or make it aside and rename it, so that a half-made one is never seen."""
    if _finished(folder) is None:
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            _delete_abandoned(folder.parent)
            with alone(folder.with_name(f".making-{folder.name}.lock"), "preparing these pictures"):
                if _finished(folder) is None:  # else another process made it while this one waited
                    _make(folder, image_size, total, chunks)
        except OSError as error:
            raise ValueError(
                f"expected to keep {total * image_size**2 * 3 / 1e6:.1f} MB of prepared pictures in "
                f"'{folder.parent}'; received: {error.strerror or error}; make room, or choose another folder as "
                "cache; what was prepared already is gone on with"
            ) from error
    return _finished(folder)


def _finished(folder):
    """What is in a whole cache; `None` where there is none, or only a part of one."""
    try:
        report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
        images = np.load(folder / "images.npy", mmap_mode="r")
        skipped, several = (list(map(tuple, report.get(name, ()))) for name in ("skipped", "several"))
        return PreparedImages(images, skipped, report["fingerprint"], folder, several=several)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _delete_abandoned(root):
    for path in root.glob(".making-*"):
        with suppress(OSError):  # another process was faster
            if time.time() - path.stat().st_mtime > _ABANDONED_SECONDS:
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def _make(folder, image_size, total, chunks):
    making = folder.with_name(f".making-{folder.name}")
    making.mkdir(exist_ok=True)
    os.utime(making)
    if _finished(making) is None:
        _write_cache(making, image_size, total, chunks)
    (making / _JOURNAL).unlink(missing_ok=True)
    if folder.exists():  # a cache that has lost a file or a part of one
        shutil.rmtree(folder)
    making.rename(folder)


def _write_cache(folder, image_size, total, chunks):
    """Writes pixels chunk by chunk, each with a line in a journal, after those that an earlier process finished."""

    # Plain writes, not a memory map: on a full disk they raise an error where a map would kill the process.
    def header(count):
        shape = (count, image_size, image_size, 3)
        pixels.seek(0)
        np.lib.format.write_array_header_1_0(pixels, {"descr": "|u1", "fortran_order": False, "shape": shape})
        return pixels.tell()

    def add(entry, pictures):
        digest.update(pictures)
        entries.append(entry)
        bar.update(entry["seen"])

    digest, entries = hashlib.sha256(), []
    with (
        _opened(folder / "images.npy") as pixels,
        _opened(folder / _JOURNAL) as journal,
        tqdm(total=total, desc="preparing", unit=" pictures") as bar,
    ):
        begin = header(total)
        for entry, pictures in _verified(journal, pixels, 3 * image_size**2):
            add(entry, pictures)
        for pictures, rows, seen in chunks(start=sum(past["seen"] for past in entries)):
            sha256 = hashlib.sha256(pictures).hexdigest()
            entry = {"seen": seen, "count": len(pictures), **rows, "sha256": sha256}
            pixels.write(pictures)
            pixels.flush()
            journal.write(json.dumps(entry).encode() + b"\n")
            journal.flush()
            add(entry, pictures)
        count = sum(entry["count"] for entry in entries)
        if header(count) != begin:
            raise RuntimeError("the array header changed its length; delete the cache and report this")
        pixels.flush()
        os.fsync(pixels.fileno())
    report = {"count": count, "image_size": image_size, "fingerprint": digest.hexdigest()}
    for name in ("skipped", "several"):
        report[name] = [row for entry in entries for row in entry.get(name, ())]
    aside = folder / "report.json.writing"
    aside.write_text(json.dumps(report, indent=1), encoding="utf-8")
    aside.replace(folder / "report.json")


def _opened(file):
    """A file to read and go on writing, made when it is not there."""
    file.touch()
    return open(file, "r+b")


def _verified(journal, pixels, picture_bytes):
    """Each chunk that was finished and is still what it was; leaves both files ready for what comes after them."""
    ends = journal.tell(), pixels.tell()
    for line in journal:
        try:
            entry = json.loads(line)  # the last line may be cut off
        except ValueError:
            break
        pictures = pixels.read(entry["count"] * picture_bytes)
        if not line.endswith(b"\n") or hashlib.sha256(pictures).hexdigest() != entry["sha256"]:
            break
        ends = ends[0] + len(line), ends[1] + len(pictures)
        yield entry, pictures
    for file, end in zip((journal, pixels), ends, strict=True):
        file.seek(end)
        file.truncate()
