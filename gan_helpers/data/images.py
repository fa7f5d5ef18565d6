"""From files to one array of equally sized uint8 pictures, kept on disk and memory-mapped."""

import hashlib
import json
import os
import re
import shutil
import tempfile
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from tqdm import tqdm

from gan_helpers.data.drawn_faces import draw_faces
from gan_helpers.data.sources import cache_folder, fetch_faces, find_faces, source_of

_CACHE_VERSION = 1  # raise when decoding or drawing changes, so that old caches are made anew
_CHUNK = 256  # pictures in memory at a time while preparing


@dataclass(frozen=True)
class PreparedImages:
    """Pictures ready to train on.

    Attributes:
        images: uint8 memory map, `(count, image_size, image_size, 3)`, RGB, 0 to 255.
        skipped: list of `(file, reason)`, the files below the folder that could not be used.
        fingerprint: SHA-256 of the pixels, which identifies the data in a run's settings.
        folder: where the cache lies.
        source: `"drawn"`, or the name of the folder that the pictures came from.
        crop: the box that was cut from each, or `None`.
    """

    images: np.ndarray
    skipped: list
    fingerprint: str
    folder: Path
    source: str = "drawn"
    crop: tuple | None = None

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
        return replace(self, images=images, fingerprint=f"{self.fingerprint}[{first}:{after}]")


def prepare_images(data, image_size=64, *, crop=None, count=8000, seed=0, cache=None, agree=False):
    """Decode, orient, crop and resize a folder of pictures (or draw faces) once, and keep the result on disk.

    Every picture is turned upright (EXIF), converted to RGB, cut to its central square (or to `crop`), and resized
    with an antialiased bicubic filter. A file that cannot be used is skipped and named, never fatal by itself. The
    second call with the same files and settings only opens the memory map.

    Args:
        data: path of a folder of pictures or of an archive of them, name of a source (`"congress"`, `"lfw"`,
            `"celeba"`; see `fetch_faces`), or `"drawn"` for `draw_faces`.
        image_size: side of the prepared pictures, in pixels. Defaults to `64`.
        crop: `(left, top, right, bottom)` in pixels of each picture, for aligned sets such as CelebA's;
            `None` (default) cuts the source's own box where it has one, or else the central square. A box that is
            not square is refused, for it would squash faces.
        count: how many faces to draw; only for `"drawn"`. Defaults to `8000`.
        seed: seed of the drawn faces; only for `"drawn"`. Defaults to `0`.
        cache: folder of all caches. Defaults to `$GAN_FACES_CACHE`, else `~/.cache/gan_helpers`.
        agree: whether you accept the licence of a source that asks for it, see `fetch_faces`. Defaults to `False`.

    Returns:
        A `PreparedImages`.

    Raises:
        ValueError: no such folder or source, no usable picture, or a crop that is not a square box.

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
        if not isinstance(count, int) or count < 1:
            raise ValueError(f"expected a count of faces of at least 1; received {count!r}; try 8000")
        folder = root / f"drawn-{image_size}px-{_key('drawn', image_size, count, seed)}"
        return PreparedImages(*_open_or_make(folder, image_size, count, _drawn_chunks(count, image_size, seed)))
    if crop is None and (named := source_of(data)):
        crop = named.crop
    data = fetch_faces(data, agree=agree, cache=root)
    paths = find_faces(data)
    stats = [(path.relative_to(data).as_posix(), path.stat().st_size, path.stat().st_mtime_ns) for path in paths]
    source = Path(data).resolve()
    name = re.sub(r"[^\w.-]", "_", source.name) or "root"
    folder = root / f"{name}-{image_size}px-{_key(str(source), image_size, crop, stats)}"
    made = _open_or_make(folder, image_size, len(paths), _decoded_chunks(paths, Path(data), image_size, crop))
    prepared = PreparedImages(*made, source=name, crop=crop)
    if len(prepared.images) == 0:
        reasons = "; ".join(f"{file}: {reason}" for file, reason in prepared.skipped[:3])
        shutil.rmtree(prepared.folder)
        raise ValueError(
            f"expected at least one usable picture in '{data}'; received {len(paths)} that could not be used "
            f"({reasons}); mend them, or choose another folder or crop"
        )
    return prepared


def load_image(path, image_size, crop=None):
    """One picture file as uint8 RGB `(image_size, image_size, 3)`.

    Args:
        path: a picture file that Pillow can read.
        image_size: side of the result, in pixels.
        crop: `(left, top, right, bottom)` in pixels, or `None` for the central square.

    Returns:
        uint8 array `(image_size, image_size, 3)`.

    Raises:
        OSError: the file is damaged, truncated or no picture (`PIL.UnidentifiedImageError` among them).
        ValueError: the crop does not fit the picture, or the picture is too small to be of use.
    """
    with Image.open(path) as opened:
        picture = _to_rgb(ImageOps.exif_transpose(opened))
    width, height = picture.size
    if crop is None:
        side = min(width, height)
        left, top = (width - side) // 2, (height - side) // 2
        crop = (left, top, left + side, top + side)
    left, top, right, bottom = crop
    if left < 0 or top < 0 or right > width or bottom > height:
        raise ValueError(f"crop {left},{top},{right},{bottom} does not fit into {width}x{height} pixels")
    if right - left < image_size / 4:
        raise ValueError(f"too small: {right - left} pixels a side, at least {-(-image_size // 4)} needed")
    return np.asarray(picture.resize((image_size, image_size), Image.Resampling.BICUBIC, box=crop))


def _to_rgb(picture):
    """RGB from grey, palette, CMYK, transparent (laid on white) and 16-bit pictures."""
    if picture.mode.startswith("I"):  # 16-bit grey; Pillow's own conversion would clip at 255 instead of scaling
        wide = np.asarray(picture).astype(np.float32)
        picture = Image.fromarray(np.clip(wide / 257 + 0.5, 0, 255).astype(np.uint8))
    if picture.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture)
    return picture.convert("RGB")


def _checked_crop(crop):
    if crop is None:
        return None
    try:
        left, top, right, bottom = crop = tuple(int(edge) for edge in crop)
    except (TypeError, ValueError):
        raise ValueError(
            f"expected a crop of four whole numbers left,top,right,bottom; received {crop!r}; "
            "for half-size CelebA use 9,25,79,95"
        ) from None
    if not (0 <= left < right and 0 <= top < bottom and right - left == bottom - top):
        raise ValueError(
            f"expected a square crop inside the picture; received {left},{top},{right},{bottom}, "
            f"{right - left} wide and {bottom - top} high; make both sides equal, so that faces are not squashed"
        )
    return crop


def _key(*parts):
    return hashlib.sha256(repr((_CACHE_VERSION, *parts)).encode()).hexdigest()[:12]


def _drawn_chunks(count, image_size, seed):
    for start in range(0, count, _CHUNK):
        size = min(_CHUNK, count - start)
        yield draw_faces(size, image_size, seed=seed, start=start)[0], [], size


def _decoded_chunks(paths, folder, image_size, crop):
    def load(path):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Pillow's remarks on odd metadata do not concern the pixels
                return load_image(path, image_size, crop)
        except Exception as error:
            return (path.relative_to(folder).as_posix(), _reason(error))

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(paths), _CHUNK):
            loaded = list(pool.map(load, paths[start : start + _CHUNK]))
            good = [picture for picture in loaded if isinstance(picture, np.ndarray)]
            skipped = [picture for picture in loaded if isinstance(picture, tuple)]
            yield np.asarray(good, np.uint8), skipped, len(loaded)


def _reason(error):
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    return "not a picture, or damaged" if "cannot identify image file" in text else text


def _open_or_make(folder, image_size, total, chunks):
    """Open a finished cache, or make it aside and rename it, so that a half-made one is never seen."""
    if not (folder / "report.json").exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        making = Path(tempfile.mkdtemp(prefix=".making-", dir=folder.parent))
        try:
            _write_cache(making, image_size, total, chunks)
            try:
                making.rename(folder)
            except OSError:  # another process finished the same cache first
                if not (folder / "report.json").exists():
                    raise
        finally:
            shutil.rmtree(making, ignore_errors=True)
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    images = np.load(folder / "images.npy", mmap_mode="r")
    skipped = [tuple(row) for row in report["skipped"]]
    return images, skipped, report["fingerprint"], folder


def _write_cache(folder, image_size, total, chunks):
    # Plain writes, not a memory map: on a full disk they raise an error where a map would kill the process.
    def header(file, count):
        shape = (count, image_size, image_size, 3)
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
        return file.tell()

    digest, skipped, count = hashlib.sha256(), [], 0
    with open(folder / "images.npy", "wb") as file, tqdm(total=total, desc="preparing", unit=" faces") as bar:
        begin = header(file, total)
        for pictures, unusable, seen in chunks:
            file.write(pictures.tobytes())
            digest.update(pictures.tobytes())
            skipped += unusable
            count += len(pictures)
            bar.update(seen)
        file.seek(0)
        if header(file, count) != begin:
            raise RuntimeError("the array header changed its length; delete the cache and report this")
        file.flush()
        os.fsync(file.fileno())
    report = {"count": count, "image_size": image_size, "fingerprint": digest.hexdigest(), "skipped": skipped}
    (folder / "report.json").write_text(json.dumps(report, indent=1), encoding="utf-8")
