"""One picture file as pixels, and why it cannot be used where it cannot."""

import errno
import functools
import io
import logging
import math
import os
import re
import stat
import threading
from contextlib import nullcontext

import numpy as np
from PIL import ExifTags, Image, ImageCms, UnidentifiedImageError

# Pillow also tells Python's log what it finds odd, which would print it where nothing else was set up.
logging.getLogger("PIL").addHandler(logging.NullHandler())

# Whatever Pillow can be taught beyond these (PostScript, through a program of its own) is no photograph.
_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "AVIF", "HEIF", "JPEG2000", "PPM")
_MOST_PIXELS = 125_000_000  # a phone takes 108 million; decoded, a picture needs 3 to 16 bytes for each
_LARGE_PIXELS = 2**24
_TURNS = {  # what undoes each orientation of EXIF; 1 is upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ON_THE_SIDE = (5, 6, 7, 8)
_SPARE = 1.5
_one_large_picture = threading.Lock()  # the others wait, which bounds the memory whatever the number of cores


def load_image(path, image_size, crop=None):
    """One picture file as uint8 RGB `(image_size, image_size, 3)`.

    Args:
        path: a picture file that Pillow can read.
        image_size: side of the result, in pixels.
        crop: `(left, top, right, bottom)` in pixels, or `None` for the central square.

    Returns:
        uint8 array `(image_size, image_size, 3)`.

    Raises:
        OSError: the file is not there, damaged, truncated or no picture (`PIL.UnidentifiedImageError` among them).
        ValueError: the crop does not fit the picture, or the picture is too small or too large to be of use.
    """

    def square(picture, profile, size):
        part = 2 ** round(math.log2(size[0] / picture.width))
        box = tuple(edge / part for edge in _box(size, image_size, crop))
        picture = picture.resize((image_size, image_size), Image.Resampling.BICUBIC, box=box)
        return np.asarray(to_srgb(picture, profile))

    return with_picture(path, square, shrink=functools.partial(_shrink, image_size=image_size, crop=crop))


def with_picture(path, use, *, shrink=None):
    """What a function makes of one picture file, upright and opaque; of large ones only one is open at a time.

    Args:
        path: a picture file that Pillow can read.
        use: function of the picture, RGB, grey or CMYK of 8 bits, of its ICC profile, for `to_srgb`, or `None`, and of
            its whole size.
        shrink: function of width and height of the file that says which part of each side is enough, 1, 2, 4 or 8 for
            all, a half, a quarter or an eighth; JPEG is decoded so, which is faster. Defaults to all of every picture.

    Returns:
        What `use` returns; keep no part of the picture itself.

    Raises:
        OSError, ValueError: see `load_image`.
    """
    kind = os.stat(path).st_mode
    if not stat.S_ISREG(kind) and not stat.S_ISDIR(kind):  # a pipe would be waited for without end
        raise Unusable("a pipe or a device, not a file")
    Image.init()
    with open(path, "rb") as file:  # given a path, Pillow maps some files, and one cut short meanwhile ends the process
        opened = Image.open(file, formats=[name for name in _FORMATS if name in Image.OPEN])
        pixels, profile = opened.width * opened.height, opened.info.get("icc_profile")
        if pixels > _MOST_PIXELS:
            raise _too_large(pixels)
        with _one_large_picture if pixels > _LARGE_PIXELS else nullcontext():
            size = opened.size
            part = shrink(*size) if shrink else 1
            if any(side % part for side in size) and _orientation(opened) != 1:
                part = 1  # the last column is a part of one only, and turning would make it the first
            if part > 1:
                opened.draft(None, (size[0] // part, size[1] // part))
            opened.load()
            orientation = _orientation(opened)
            upright = opened.transpose(_TURNS[orientation]) if orientation in _TURNS else opened
            result = use(_opaque(upright), profile, size[::-1] if orientation in _ON_THE_SIDE else size)
            del upright
            del opened  # gives the pixels back before the next large picture begins
    return result


def share_large(lock):
    """Has this process wait for large pictures by a lock that it shares with others."""
    global _one_large_picture
    _one_large_picture = lock


class Unusable(ValueError):
    """A picture that is refused, with the reason in words for the report."""


def _too_large(pixels):
    return Unusable(f"too large: {pixels:,} pixels, at most {_MOST_PIXELS:,}")


def _shrink(width, height, image_size, crop):
    """The part of each side that still is `_SPARE` times what is needed. Photographs of 225 pixels then differ by half
    of one of 255 levels at 64 pixels, on average."""
    side = min(width, height) if crop is None else crop[2] - crop[0]
    return next((part for part in (8, 4, 2) if side >= _SPARE * part * image_size), 1)


def _orientation(picture):
    """EXIF's, 1 where upright. `ImageOps.exif_transpose` fails where other metadata than the orientation is odd."""
    try:
        return picture.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # damaged metadata says nothing against the pixels
        return 1


def _opaque(picture):
    """The picture as RGB, grey or CMYK of 8 bits, whatever it was, with its transparent parts laid on white."""
    if picture.mode in ("F", "LAB") or picture.mode == "I" and picture.getextrema()[1] > 65535:
        kind = {"F": "fractions", "I": "32-bit numbers"}.get(picture.mode, picture.mode)
        raise Unusable(f"its pixels are kept as {kind}; save it as RGB")
    transparent = picture.info.get("transparency")
    if picture.mode.startswith("I"):  # 16-bit grey; Pillow's own conversion would clip at 255 instead of scaling
        wide = np.asarray(picture).astype(np.float32)
        if transparent is not None:
            wide[wide == transparent] = 65535
        return Image.fromarray(np.clip(wide / 257 + 0.5, 0, 255).astype(np.uint8))
    if isinstance(transparent, tuple) and max(transparent) > 255:  # of 16 bits, unlike the pixels that Pillow gives
        picture.info["transparency"] = tuple(value >> 8 for value in transparent)
    grey = picture.mode in ("1", "L", "LA", "La")
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    if picture.mode in ("RGB", "L", "CMYK"):
        return picture  # `convert` would make a copy
    return picture.convert("L" if grey else "RGB")


def _box(size, image_size, crop):
    """The part of a picture to be used, in its pixels: `crop`, or the central square."""
    width, height = size
    if crop is None:
        side = min(width, height)
        left, top = (width - side) // 2, (height - side) // 2
        crop = (left, top, left + side, top + side)
    left, top, right, bottom = crop
    if left < 0 or top < 0 or right > width or bottom > height:
        raise Unusable(f"crop {left},{top},{right},{bottom} does not fit into {width}x{height} pixels")
    if right - left < image_size / 4:
        raise Unusable(f"too small: {right - left} pixels a side, at least {-(-image_size // 4)} needed")
    return crop


def to_srgb(picture, profile):
    """RGB as the ICC profile says that it looks; as it stands where there is no profile, or one that does not fit."""
    mode, transform = _transform(profile, picture.mode) if profile else (None, None)
    if transform is None:
        return picture.convert("RGB")
    return ImageCms.applyTransform(picture.convert(mode), transform)


@functools.lru_cache(maxsize=16)  # the pictures of a folder share few profiles, and each takes milliseconds to build
def _transform(profile, mode):
    try:
        opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        space = opened.profile.xcolor_space.strip()
        mode = {("RGB", "RGB"): "RGB", ("RGB", "L"): "RGB", ("GRAY", "L"): "L", ("CMYK", "CMYK"): "CMYK"}[space, mode]
        return mode, ImageCms.buildTransform(opened, ImageCms.createProfile("sRGB"), mode, "RGB")
    except Exception:  # whatever is wrong with a profile, the picture is of use without it
        return None, None


def printable(name):
    """A file's name as one line that any terminal can show: line ends and the like written as escapes."""
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in name)


def or_reason(load, path, *rest):
    """What `load(path, *rest)` gives; where it fails, why, in plain words, as a `str`."""
    try:
        return load(path, *rest)
    except ImportError:  # says nothing about the file
        raise
    except Exception as error:
        return reason(error, path)


def reason(error, path):
    """Why a file could not be used, in plain words."""
    if isinstance(error, Unusable):
        return str(error)
    if isinstance(error, Image.DecompressionBombError):
        return str(_too_large(int(re.search(r"\d+", str(error))[0])))
    if isinstance(error, MemoryError):
        return "too large for the memory of this machine"
    if isinstance(error, OSError) and error.errno:
        return _reason_of_system(error, path)
    try:
        with open(path, "rb") as file:
            beginning = file.read(32)
    except OSError as changed:
        return _reason_of_system(changed, path)
    return _reason_of_content(error, beginning)


def _reason_of_system(error, path):
    if isinstance(error, FileNotFoundError):
        return "a link to nothing" if path.is_symlink() else "deleted since the folder was listed"
    if isinstance(error, IsADirectoryError):
        return "a link to a folder, which is not followed" if path.is_symlink() else "a folder that cannot be listed"
    if isinstance(error, PermissionError):
        return "may not be read: permission denied"
    if error.errno == errno.ELOOP:
        return "a link that leads back to itself"
    return f"could not be read: {os.strerror(error.errno).lower()}"


def _reason_of_content(error, beginning):
    if not beginning.strip(b"\0"):
        return "nothing but zeros" if beginning else "empty"
    if beginning[4:8] == b"ftyp" and beginning[8:12] in (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1"):
        return "HEIC, which Pillow cannot read; save it as JPEG"
    if beginning.lstrip().lower().startswith((b"<!doctype html", b"<html")):
        return "a web page, not a picture; download it again"
    if beginning.startswith(b"version https://git-lfs"):
        return "a placeholder of Git LFS, not the picture itself; run 'git lfs pull'"
    if "truncated" in str(error):
        return "truncated: the file ends before the picture does"
    return "not a picture, or damaged" if isinstance(error, UnidentifiedImageError) else "damaged"
