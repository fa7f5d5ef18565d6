"""A folder of everything that goes wrong with picture files: each is loaded right, or named with its reason."""

import errno
import io
import itertools
import json
import logging
import mmap
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import warnings
import zlib
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from killing_lines import CountedLines
from PIL import Image, ImageCms, features

from gan_helpers import draw_faces, prepare_images
from gan_helpers.data import decoding
from gan_helpers.data import images as images_module
from gan_helpers.data.decoding import load_image

SIZE = 32
FACE = draw_faces(1, SIZE, seed=1)[0][0]
PICTURE = Image.fromarray(FACE)
GREY = np.asarray(PICTURE.convert("L"))
DAMAGED = ("damaged", "not a picture, or damaged", "truncated: the file ends before the picture does")
posix = pytest.mark.skipif(os.name != "posix", reason="links, pipes and such names are made on POSIX only")


def _encoded(picture, form, **options):
    file = io.BytesIO()
    picture.copy().save(file, form, **options)  # saving as JPEG leaves settings in a picture that TIFF stumbles over
    return file.getvalue()


def _png(width, height, bits, kind, rows, *extra):
    """A PNG by hand: `rows` are the bytes of all rows, or an iterable of parts of them; `extra` further chunks."""
    squeeze = zlib.compressobj(1)
    parts = [rows] if isinstance(rows, bytes) else rows
    packed = b"".join(squeeze.compress(part) for part in parts) + squeeze.flush()
    header = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0)
    chunks = [(b"IHDR", header), *extra, (b"IDAT", packed), (b"IEND", b"")]
    body = b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + body


def _rows(array):
    """An array of PNG samples as bytes, each row with the filter that changes nothing."""
    return b"".join(b"\0" + row.tobytes() for row in array)


def _icc(space, **tags):
    """The smallest ICC profile of a colour space: header, table, tags."""
    head = 128 + 4 + 12 * len(tags)
    table, data = struct.pack(">I", len(tags)), b""
    for name, tag in tags.items():
        table += struct.pack(">4sII", name.encode(), head + len(data), len(tag))
        data += tag + b"\0" * (-len(tag) % 4)
    lab = b"Lab " if "A2B0" in tags else b"XYZ "
    kind = b"prtr" if space == b"CMYK" else b"mntr"
    header = struct.pack(">I4sI4s4s4s", head + len(data), b"lcms", 0x02100000, kind, space, lab)
    header += struct.pack(">6H", 2020, 1, 1, 0, 0, 0) + b"acsp" + b"\0" * 28 + struct.pack(">3i", 63190, 65536, 54061)
    return header.ljust(128, b"\0") + table + data


def _xyz(*numbers):
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(number * 65536) for number in numbers))


STRAIGHT = b"curv\0\0\0\0" + struct.pack(">I", 0)


def _linear_grey():
    """A profile of grey values that are proportional to the light."""
    return _icc(b"GRAY", wtpt=_xyz(0.9642, 1, 0.8249), kTRC=STRAIGHT)


def _linear_rgb():
    """sRGB but for its curve: values that are proportional to the light."""
    red, green, blue = _xyz(0.4360, 0.2225, 0.0139), _xyz(0.3851, 0.7169, 0.0971), _xyz(0.1431, 0.0606, 0.7139)
    curves = dict.fromkeys(("rTRC", "gTRC", "bTRC"), STRAIGHT)
    return _icc(b"RGB ", wtpt=_xyz(0.9642, 1, 0.8249), rXYZ=red, gXYZ=green, bXYZ=blue, **curves)


def _odd_ink():
    """A CMYK profile by which cyan makes white, whatever the other inks, and no cyan black."""
    straight = bytes(range(256))
    nodes = b"".join(bytes((255 if node & 8 else 0, 128, 128)) for node in range(16))  # L, a, b; cyan is the top bit
    unit = struct.pack(">9i", *(65536, 0, 0, 0, 65536, 0, 0, 0, 65536))
    table = b"mft1\0\0\0\0" + bytes((4, 3, 2, 0)) + unit + straight * 4 + nodes + straight * 3
    return _icc(b"CMYK", A2B0=table)


def _swapped_profile():
    """sRGB with red and blue in each other's place: what it describes looks right only when it is applied."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return profile.replace(b"rXYZ", b"tXYZ", 1).replace(b"bXYZ", b"rXYZ", 1).replace(b"tXYZ", b"bXYZ", 1)


def _ycck():
    """A JPEG of four channels whose colours are kept as YCCK, which Pillow reads but does not write."""
    inks = np.dstack([255 - FACE, np.zeros_like(GREY)])
    ycc = np.asarray(Image.fromarray(np.ascontiguousarray(inks[..., :3])).convert("YCbCr"))
    stored = Image.fromarray(np.dstack([255 - ycc, inks[..., 3]]), "CMYK")
    data = bytearray(_encoded(stored, "JPEG", quality=100))
    data[data.index(b"Adobe") + 11] = 2
    return bytes(data)


def _wide(array):
    """16-bit samples that are `array` when scaled to 8 bits; cut at 255 they would be white."""
    return array.astype(np.uint16) * 257


def _oriented(orientation, form, **options):
    undone = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # orientation: the `Image.Transpose` that prepares for it
    stored = PICTURE.transpose(Image.Transpose(undone[orientation])) if orientation in undone else PICTURE
    exif = Image.Exif()
    exif[0x0112] = orientation
    return _encoded(stored, form, exif=exif, **options)


def _flat_white(alpha):
    """What the face looks like on white, where `alpha` is 0."""
    return np.where(alpha[..., None] > 0, FACE, 255).astype(np.uint8)


HALF = np.zeros((SIZE, SIZE), np.uint8)
HALF[: SIZE // 2] = 255
SEE_THROUGH = Image.fromarray(np.dstack([FACE, HALF]))
PALETTE = PICTURE.quantize(64)
PALETTE_RGB = np.asarray(PALETTE.convert("RGB"))
OTHER = Image.fromarray(255 - FACE)
LIGHT = np.where(GREY / 255 <= 0.0031308, GREY / 255 * 12.92, 1.055 * (GREY / 255) ** (1 / 2.4) - 0.055) * 255
FIRST = np.asarray(PALETTE)[0, 0]


def _good():
    """Name of a file: its content, the pixels that it holds, and how far they may be off on average."""
    animation = {"save_all": True, "append_images": [OTHER, OTHER], "duration": 100}
    yield "plain.jpg", _encoded(PICTURE, "JPEG", quality=95, subsampling=0), FACE, 3
    yield "progressive.jpeg", _encoded(PICTURE, "JPEG", quality=95, progressive=True), FACE, 6
    yield "camera.jfif", _encoded(PICTURE, "JPEG", quality=95), FACE, 6
    yield "followed by rubbish.jpg", _encoded(PICTURE, "JPEG", quality=95) + b"\xff\x00rubbish" * 9, FACE, 6
    yield "two pictures.jpg", _encoded(PICTURE, "MPO", save_all=True, append_images=[OTHER.copy()], quality=95), FACE, 6
    yield "plain.png", _encoded(PICTURE, "PNG"), FACE, 0
    yield "lossless.webp", _encoded(PICTURE, "WEBP", lossless=True), FACE, 0
    yield "lossy.webp", _encoded(PICTURE, "WEBP", quality=95), FACE, 6
    yield "plain.bmp", _encoded(PICTURE, "BMP"), FACE, 0
    yield "plain.gif", _encoded(PALETTE, "GIF"), PALETTE_RGB, 0
    yield "packed.tif", _encoded(PICTURE, "TIFF", compression="tiff_lzw"), FACE, 0
    yield "pages.tiff", _encoded(PICTURE, "TIFF", save_all=True, append_images=[OTHER.copy()]), FACE, 0
    if features.check("avif"):
        yield "plain.avif", _encoded(PICTURE, "AVIF", quality=95), FACE, 6
    # Wrong endings
    yield "really png.jpg", _encoded(PICTURE, "PNG"), FACE, 0
    yield "really jpeg.png", _encoded(PICTURE, "JPEG", quality=95), FACE, 6
    yield "really webp.gif", _encoded(PICTURE, "WEBP", lossless=True), FACE, 0
    yield "really bmp.WebP", _encoded(PICTURE, "BMP"), FACE, 0
    yield "really gif.bmp", _encoded(PALETTE, "GIF"), PALETTE_RGB, 0
    yield "really png.HEIC", _encoded(PICTURE, "PNG"), FACE, 0
    # Animations: the first picture
    yield "animated.gif", _encoded(PALETTE, "GIF", **animation), PALETTE_RGB, 0
    yield "animated.webp", _encoded(PICTURE, "WEBP", lossless=True, **animation), FACE, 0
    yield "animated.png", _encoded(PICTURE, "PNG", **animation), FACE, 0
    # Depths
    colour16 = (FACE.astype(np.uint16) * 256 + 7).astype(">u2")
    cut_out = (b"tRNS", struct.pack(">3H", *colour16[0, 0]))
    grey16 = _wide(GREY).astype(">u2")
    yield "grey.jpg", _encoded(PICTURE.convert("L"), "JPEG", quality=95), GREY, 3
    yield "grey 16 bits.png", _png(SIZE, SIZE, 16, 0, _rows(grey16)), GREY, 0
    hole = (b"tRNS", struct.pack(">H", grey16[0, 0]))
    yield "grey 16 bits with a hole.png", _png(SIZE, SIZE, 16, 0, _rows(grey16), hole), _hole(GREY), 0
    grey_alpha16 = _wide(np.dstack([GREY, HALF])).astype(">u2")
    yield "grey 16 bits half.png", _png(SIZE, SIZE, 16, 4, _rows(grey_alpha16)), np.where(HALF > 0, GREY, 255), 0
    yield "colour 16 bits.png", _png(SIZE, SIZE, 16, 2, _rows(colour16)), FACE, 0
    yield (
        "colour 16 bits with a hole.png",
        _png(SIZE, SIZE, 16, 2, _rows(colour16), cut_out),
        _hole(FACE),
        0,
    )
    yield "grey 16 bits.tif", _encoded(Image.fromarray(_wide(GREY)), "TIFF"), GREY, 0
    yield (
        "grey 16 bits big-endian.tif",
        _encoded(Image.frombytes("I;16B", (SIZE, SIZE), grey16.tobytes()), "TIFF"),
        GREY,
        0,
    )
    bilevel = PICTURE.convert("1")
    yield "one bit.png", _encoded(bilevel, "PNG"), np.asarray(bilevel) * np.uint8(255), 0
    # Transparency: on white
    yield "half.png", _encoded(SEE_THROUGH, "PNG"), _flat_white(HALF), 0
    yield "half.webp", _encoded(SEE_THROUGH, "WEBP", lossless=True), _flat_white(HALF), 0
    yield "half.tif", _encoded(SEE_THROUGH, "TIFF"), _flat_white(HALF), 0
    yield "grey with a hole.png", _encoded(PICTURE.convert("L"), "PNG", transparency=int(GREY[0, 0])), _hole(GREY), 0
    yield "half grey.png", _encoded(SEE_THROUGH.convert("LA"), "PNG"), np.where(HALF > 0, GREY, 255), 0
    veil = Image.fromarray(np.dstack([FACE, np.full_like(HALF, 128)]))
    yield "veiled.png", _encoded(veil, "PNG"), FACE * (128 / 255) + 255 * (127 / 255), 1
    yield (
        "colour with a hole.png",
        _encoded(PICTURE, "PNG", transparency=tuple(int(v) for v in FACE[0, 0])),
        _hole(FACE),
        0,
    )
    gone = np.where((np.asarray(PALETTE) == FIRST)[..., None], 255, PALETTE_RGB)
    yield "palette.png", _encoded(PALETTE, "PNG"), PALETTE_RGB, 0
    yield "palette with a hole.png", _encoded(PALETTE, "PNG", transparency=int(FIRST)), gone, 0
    yield "palette with a hole.gif", _encoded(PALETTE, "GIF", transparency=int(FIRST)), gone, 0
    veils = bytes(0 if number == FIRST else 255 for number in range(64))
    yield "palette with veils.png", _encoded(PALETTE, "PNG", transparency=veils), gone, 0
    # Inks. Adobe's inverted CMYK is what Pillow writes.
    inks = Image.fromarray(np.dstack([255 - FACE, np.zeros_like(GREY)]), "CMYK")
    yield "inks.jpg", _encoded(inks, "JPEG", quality=95), FACE, 6
    yield "inks as ycck.jpg", _ycck(), FACE, 6
    yield "inks.tif", _encoded(inks, "TIFF"), FACE, 0
    # Profiles
    swapped = Image.fromarray(np.ascontiguousarray(FACE[..., ::-1]))
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for form in ("PNG", "WEBP", "TIFF"):
        lossless = {"lossless": True} if form == "WEBP" else {}
        data = _encoded(swapped, form, icc_profile=_swapped_profile(), **lossless)
        yield f"profile.{form.lower()}", data, FACE, 1
    yield "profile.jpg", _encoded(swapped, "JPEG", icc_profile=_swapped_profile(), quality=95), FACE, 6
    yield "profile srgb.png", _encoded(PICTURE, "PNG", icc_profile=srgb), FACE, 0
    yield "profile srgb on grey.png", _encoded(PICTURE.convert("L"), "PNG", icc_profile=srgb), GREY, 1
    yield "profile of colour on grey.png", _encoded(PICTURE.convert("L"), "PNG", icc_profile=_linear_rgb()), LIGHT, 1
    yield "profile of grey.png", _encoded(PICTURE.convert("L"), "PNG", icc_profile=_linear_grey()), LIGHT, 1
    faded = Image.fromarray(np.dstack([FACE[..., ::-1], HALF]))
    yield "profile half.png", _encoded(faded, "PNG", icc_profile=_swapped_profile()), _flat_white(HALF), 1
    cyan = Image.fromarray(np.dstack([HALF, GREY, GREY, GREY]), "CMYK")
    yield "profile of inks.tif", _encoded(cyan, "TIFF", icc_profile=_odd_ink()), HALF, 1
    yield "profile of rubbish.png", _encoded(PICTURE, "PNG", icc_profile=b"rubbish" * 30), FACE, 0
    yield "profile of another kind.png", _encoded(PICTURE, "PNG", icc_profile=_linear_grey()), FACE, 0
    # Metadata
    yield "exif of rubbish.jpg", _encoded(PICTURE, "JPEG", quality=95, exif=b"Exif\0\0rubbish"), FACE, 6
    odd = struct.pack(">HHHIIHHI4s", 2, 0x0112, 3, 1, 6 << 16, 0x011A, 2, 4, b"300\0")  # a resolution that is text
    exif = b"Exif\0\0MM\0*\0\0\0\x08" + odd + bytes(4)
    lying = PICTURE.transpose(Image.Transpose.ROTATE_90)
    yield "turned, and odd.png", _encoded(lying, "PNG", exif=exif), FACE, 0
    yield "turned, and odd.webp", _encoded(lying, "WEBP", lossless=True, exif=exif), FACE, 0
    yield "exif of rubbish.png", _encoded(PICTURE, "PNG", exif=b"Exif\0\0rubbish"), FACE, 0
    yield "exif of rubbish.webp", _encoded(PICTURE, "WEBP", lossless=True, exif=b"Exif\0\0rubbish"), FACE, 0
    yield "exif cut off.png", _encoded(PICTURE, "PNG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x09"), FACE, 0
    for orientation in range(1, 9):
        yield f"turned {orientation}.png", _oriented(orientation, "PNG"), FACE, 0
        yield f"turned {orientation}.jpg", _oriented(orientation, "JPEG", quality=95, subsampling=0), FACE, 3
        yield f"turned {orientation}.webp", _oriented(orientation, "WEBP", lossless=True), FACE, 0
        yield f"turned {orientation}.tif", _oriented(orientation, "TIFF"), FACE, 0
    # Shapes: the centre, never squashed
    wide = Image.new("RGB", (SIZE * 3, SIZE), "blue")
    wide.paste(PICTURE, (SIZE, 0))
    yield "wide.png", _encoded(wide, "PNG"), FACE, 0
    yield "high.png", _encoded(wide.rotate(90, expand=True), "PNG"), np.rot90(FACE), 0
    # Names
    yield "with space and 'quotes\".png", _encoded(PICTURE, "PNG"), FACE, 0
    yield "-r --force.png", _encoded(PICTURE, "PNG"), FACE, 0
    yield "Zoë 李 🙂 e\u0301.png", _encoded(PICTURE, "PNG"), FACE, 0
    yield "long " + "x" * 240 + ".png", _encoded(PICTURE, "PNG"), FACE, 0
    yield "SHOUTING.PNG", _encoded(PICTURE, "PNG"), FACE, 0
    yield "folder.jpg/inside.png", _encoded(PICTURE, "PNG"), FACE, 0


def _hole(array):
    """White wherever the picture has the colour of its first pixel."""
    same = array == array[0, 0]
    return np.where(same if array.ndim == 2 else same.all(-1, keepdims=True), 255, array)


def _bad():
    """Name of a file: its content, and the reason that must be given."""
    for ending in ("jpg", "png", "webp", "bmp", "gif", "tif", "avif", "heic"):
        yield f"empty.{ending}", b"", "empty"
    yield "zeros.jpg", bytes(5000), "nothing but zeros"
    yield "text.jpg", b"no picture", "not a picture, or damaged"
    yield "one byte.png", b"\x89", "not a picture, or damaged"
    yield "signature alone.png", b"\x89PNG\r\n\x1a\n", DAMAGED
    yield "page.jpg", b"\n<!DOCTYPE html><html>404</html>", "a web page, not a picture; download it again"
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"
    yield "pointer.png", pointer, "a placeholder of Git LFS, not the picture itself; run 'git lfs pull'"
    heic = struct.pack(">I4s4sI4s4s", 24, b"ftyp", b"heic", 0, b"mif1", b"heic") + bytes(range(200))
    for name in ("phone.heic", "phone.HEIF", "phone renamed.jpg"):
        yield name, heic, "HEIC, which Pillow cannot read; save it as JPEG"
    yield "program.jpg", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\nshowpage\n", "not a picture, or damaged"
    yield "document.png", b"%PDF-1.4\n", "not a picture, or damaged"
    yield "drawing.png", b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a picture, or damaged"
    for width, height in ((1, 1), (1, 10000), (10000, 1)):
        tiny = _encoded(Image.new("RGB", (width, height)), "PNG")
        yield f"{width}x{height}.png", tiny, "too small: 1 pixels a side, at least 8 needed"
    limit = "at most 125,000,000"
    yield "bomb.png", _bomb(20000), f"too large: 400,000,000 pixels, {limit}"
    yield "large.png", _bomb(11500), f"too large: 132,250,000 pixels, {limit}"
    lying = bytearray(_encoded(PICTURE.quantize(), "GIF"))
    lying[6:10] = b"\xff\xff\xff\xff"
    yield "lying about its size.gif", bytes(lying), f"too large: 4,294,836,225 pixels, {limit}"
    fractions = _encoded(Image.fromarray(GREY / np.float32(255)), "TIFF")
    yield "fractions.tif", fractions, "its pixels are kept as fractions; save it as RGB"
    deep = _encoded(Image.fromarray(GREY.astype(np.int32) << 20), "TIFF")
    yield "32 bits.tif", deep, "its pixels are kept as 32-bit numbers; save it as RGB"
    yield "lab.tif", _encoded(Image.new("LAB", (64, 64)), "TIFF"), "its pixels are kept as LAB; save it as RGB"
    whole = _encoded(PICTURE, "PNG")
    middle = whole.index(b"IDAT") + 200
    samples = bytearray(_encoded(PICTURE, "TIFF"))
    place = samples.index(struct.pack("<HHI", 277, 3, 1)) + 8
    samples[place : place + 2] = b"\0\x08"
    yield "2048 samples a pixel.tif", bytes(samples), DAMAGED
    yield "wrong in the middle.png", whole[:middle] + bytes(50) + whole[middle + 50 :], DAMAGED
    yield "wrong checksum.png", whole[:20] + b"\1" + whole[21:], DAMAGED
    yield "no entropy.jpg", _encoded(PICTURE, "JPEG")[:160] + b"\xff\xd9", DAMAGED


def _bomb(side, bits=1, kind=0):
    row = b"\0" * (side * bits // 8 * (3 if kind == 2 else 1) + 2)
    return _png(side, side, bits, kind, itertools.repeat(row[: len(row) - (side * bits % 8 == 0)], side))


def _cut():
    """Files of every format, cut at each tenth."""
    forms = {"jpg": {"quality": 95}, "png": {}, "webp": {}, "gif": {}, "bmp": {}, "tif": {"compression": "tiff_lzw"}}
    wholes = {
        ending: _encoded(PICTURE, Image.registered_extensions()[f".{ending}"], **forms[ending]) for ending in forms
    }
    wholes["progressive.jpg"] = _encoded(PICTURE, "JPEG", progressive=True)
    wholes["animated.webp"] = _encoded(PICTURE, "WEBP", save_all=True, append_images=[OTHER.copy()])
    if features.check("avif"):
        wholes["avif"] = _encoded(PICTURE, "AVIF")
    for ending, whole in wholes.items():
        for tenth in range(1, 10):
            yield f"cut at {tenth}.{ending}", whole[: len(whole) * tenth // 10]


GOOD = {name: (data, pixels, off) for name, data, pixels, off in _good()}
BAD = {name: (data, reason) for name, data, reason in _bad()}
CUT = dict(_cut())


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """The whole matrix in one folder, prepared once: pictures and reasons by the names of their files."""
    folder = tmp_path_factory.mktemp("matrix") / "img"
    for name, content in [*GOOD.items(), *BAD.items(), *CUT.items()]:
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else content[0])
    with warnings.catch_warnings(record=True) as leaked:
        warnings.simplefilter("always")
        filters = list(warnings.filters)
        found = prepare_images(folder, SIZE, cache=tmp_path_factory.mktemp("cache"))
        assert warnings.filters == filters
    assert [str(warning.message) for warning in leaked] == []
    reasons = dict(found.skipped)
    names = sorted(name for name in [*GOOD, *BAD, *CUT] if name not in reasons)
    assert len(names) == len(found.images) and len(reasons) == len(found.skipped)
    return dict(zip(names, found.images, strict=True)), reasons


def _off(loaded, pixels):
    pixels = np.asarray(pixels, float)
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    return np.abs(loaded - pixels).mean()


@pytest.mark.parametrize("name", GOOD)
def test_good_files_get_through_and_are_right(prepared, name):
    images, reasons = prepared
    assert name not in reasons
    assert _off(images[name], GOOD[name][1]) <= GOOD[name][2]


@pytest.mark.parametrize("name", BAD)
def test_bad_files_are_named_with_their_reason(prepared, name):
    expected = BAD[name][1]
    reason = prepared[1][name]
    assert reason == expected if isinstance(expected, str) else reason in expected


@pytest.mark.parametrize("name", CUT)
def test_cut_files_are_named(prepared, name):
    assert prepared[1][name] in DAMAGED


@pytest.fixture
def folder(tmp_path):
    """A folder with one good picture, `good.png`."""
    (tmp_path / "img").mkdir()
    PICTURE.save(tmp_path / "img/good.png")
    return tmp_path / "img"


def _skipped(folder):
    """What is skipped in a folder whose one good picture must get through."""
    found = prepare_images(folder, SIZE, cache=folder.parent / "cache")
    assert len(found.images) == 1 and (found.images[0] == FACE).all()
    return dict(found.skipped)


@posix
def test_links_are_followed_or_named(folder):
    (folder.parent / "elsewhere").mkdir()
    (folder.parent / "elsewhere/good.png").write_bytes((folder / "good.png").read_bytes())
    (folder / "good.png").unlink()
    (folder / "to a picture.png").symlink_to("../elsewhere/good.png")
    (folder / "broken.jpg").symlink_to("nothing.jpg")
    (folder / "itself.jpg").symlink_to("itself.jpg")
    (folder / "there.jpg").symlink_to("back.jpg")
    (folder / "back.jpg").symlink_to("there.jpg")
    (folder / "up").symlink_to("..")
    (folder / "below").mkdir()
    (folder / "below/top.png").symlink_to("..")
    assert _skipped(folder) == {
        "broken.jpg": "a link to nothing",
        "itself.jpg": "a link that leads back to itself",
        "there.jpg": "a link that leads back to itself",
        "back.jpg": "a link that leads back to itself",
        "up": "a link to a folder, which is not followed",
        "below/top.png": "a link to a folder, which is not followed",
    }


@posix
def test_pipes_sockets_and_devices_are_named_and_never_waited_for(folder, monkeypatch):
    os.mkfifo(folder / "pipe.jpg")
    monkeypatch.chdir(folder)  # a socket's path has room for 100 characters
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.png")
    (folder / "endless.png").symlink_to("/dev/zero")

    done = threading.Event()

    def let_go():  # whoever waits for the pipe is woken after a while, so that this test fails instead of hanging
        wait = 10
        while not done.wait(wait):
            wait = 0.1
            with suppress(OSError):
                os.close(os.open(folder / "pipe.jpg", os.O_WRONLY | os.O_NONBLOCK))

    threading.Thread(target=let_go, daemon=True).start()
    try:
        names = ("pipe.jpg", "socket.png", "endless.png")
        assert _skipped(folder) == dict.fromkeys(names, "a pipe or a device, not a file")
    finally:
        done.set()


@posix
def test_names_become_one_printable_line(folder):
    names = [b"two\nlines.jpg", b"not utf-8 \xff.jpg", b"red \x1b[31m.jpg", "schön.jpg".encode()]
    for name in names:
        Path(folder, os.fsdecode(name)).write_bytes(b"no picture")
    written = {"two\\nlines.jpg", "not utf-8 \\udcff.jpg", "red \\x1b[31m.jpg", "schön.jpg"}
    assert set(_skipped(folder)) == written
    assert all(name.encode() and name.isprintable() for name in written)


@posix
def test_good_pictures_of_odd_names_get_through(tmp_path):
    for name in (b"two\nlines.png", b"not utf-8 \xff.png", b"\x1b[31m.png", b" .png", b"~.png", b"$(x) `y`;%s{}.png"):
        PICTURE.save(os.path.join(os.fsencode(tmp_path), name))
    found = prepare_images(tmp_path, SIZE, cache=tmp_path / ".cache")
    assert len(found.images) == 6 and found.skipped == []


def test_a_folder_of_a_long_name(tmp_path):
    folder = tmp_path / ("ö" * 120)
    folder.mkdir()
    PICTURE.save(folder / "face.png")
    found = prepare_images(folder, SIZE, cache=tmp_path / "cache")
    assert len(found.images) == 1 and found.source == "ö" * 120


def test_a_folder_named_like_a_picture_is_walked(folder):
    (folder / "good.png").unlink()
    (folder / "x.jpg/empty.png").mkdir(parents=True)
    PICTURE.save(folder / "x.jpg/face.png")
    assert _skipped(folder) == {}


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="no file is closed to root")
def test_files_and_folders_closed_to_the_user(folder):
    (folder / "closed.png").write_bytes((folder / "good.png").read_bytes())
    (folder / "closed").mkdir()
    (folder / "closed.png").chmod(0)
    (folder / "closed").chmod(0)
    reasons = {"closed.png": "may not be read: permission denied", "closed": "a folder that cannot be listed"}
    assert _skipped(folder) == reasons
    (folder / "closed").chmod(0o700)


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (errno.EACCES, "may not be read: permission denied"),
        (errno.EIO, "could not be read: input/output error"),
        (errno.ENOENT, "deleted since the folder was listed"),
    ],
)
def test_files_that_the_system_refuses(folder, monkeypatch, number, reason):
    (folder / "refused.png").write_bytes((folder / "good.png").read_bytes())
    opened = open

    def refuse(file, *rest, **named):
        if str(file).endswith("refused.png"):
            raise OSError(number, os.strerror(number), str(file))
        return opened(file, *rest, **named)

    monkeypatch.setattr("builtins.open", refuse)
    assert _skipped(folder) == {"refused.png": reason}


def test_a_file_that_may_be_read_again_is_decoded(folder, monkeypatch):
    (folder / "other.png").write_bytes((folder / "good.png").read_bytes())
    with monkeypatch.context() as patched:
        patched.setattr(images_module, "load_image", _refusing("other.png"))
        (folder / "other.png").chmod(0)
        assert _skipped(folder) == {"other.png": "may not be read: permission denied"}
    (folder / "other.png").chmod(0o600)
    assert len(prepare_images(folder, SIZE, cache=folder.parent / "cache").images) == 2


def _refusing(name):
    def load(path, *rest):
        if path.name == name:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return load_image(path, *rest)

    return load


def test_a_folder_that_may_not_be_listed_is_named(folder, monkeypatch):
    (folder / "closed").mkdir()
    scan = os.scandir

    def refuse(path):
        if str(path).endswith("closed"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert _skipped(folder) == {"closed": "a folder that cannot be listed"}


def test_files_deleted_after_they_were_listed(folder, monkeypatch):
    (folder / "a.png").write_bytes((folder / "good.png").read_bytes())
    (folder / "z.png").write_bytes((folder / "good.png").read_bytes())
    find = images_module.find_faces

    def find_and_delete(data):
        paths = find(data)
        (folder / "a.png").unlink()
        return paths

    def load_and_delete(path, *rest):
        if path.name == "good.png":
            (folder / "z.png").unlink()
        return load_image(path, *rest)

    monkeypatch.setattr(images_module, "find_faces", find_and_delete)
    monkeypatch.setattr(images_module, "load_image", load_and_delete)
    monkeypatch.setattr(images_module, "usable_cores", lambda: 1)
    assert _skipped(folder) == dict.fromkeys(("a.png", "z.png"), "deleted since the folder was listed")


def test_nothing_but_bad_files_is_one_error_without_a_traceback_of_names(folder):
    (folder / "good.png").write_bytes(b"")
    (folder / "two\nlines.jpg").write_bytes(b"<html>")
    with pytest.raises(ValueError) as raised:
        prepare_images(folder, SIZE, cache=folder.parent / "cache")
    assert "(good.png: empty; two\\nlines.jpg: a web page, not a picture; download it again)" in str(raised.value)


def test_nothing_is_written_on_the_screen_but_the_bar(folder, capfd, monkeypatch):
    monkeypatch.setattr(logging.root, "handlers", [])  # pytest's own would take what Python prints without any
    for name, (data, _) in BAD.items():
        if len(data) < 20000:
            (folder / name).write_bytes(data)
    _skipped(folder)
    out, err = capfd.readouterr()
    assert out == ""
    bars = [line for line in err.replace("\r", "\n").split("\n") if line]
    assert bars and all(bar.startswith("preparing: ") and bar.endswith("pictures/s]") for bar in bars)


def test_large_pictures_are_decoded_one_at_a_time(tmp_path, monkeypatch):
    for number in range(6):
        PICTURE.save(tmp_path / f"{number}.png")
    at_once, most = [], []
    opaque = decoding._opaque

    def counted(picture):
        at_once.append(0)
        most.append(len(at_once))
        time.sleep(0.02)
        at_once.pop()
        return opaque(picture)

    monkeypatch.setattr(decoding, "_opaque", counted)
    monkeypatch.setattr(images_module, "usable_cores", lambda: 6)
    prepare_images(tmp_path, SIZE, cache=tmp_path / ".small")
    assert max(most) > 1
    most.clear()
    monkeypatch.setattr(decoding, "_LARGE_PIXELS", SIZE * SIZE - 1)
    prepare_images(tmp_path, SIZE, cache=tmp_path / ".large")
    assert max(most) == 1


@pytest.mark.parametrize(("image_size", "length"), [(8, 256), (64, 256), (512, 85), (1024, 21)])
def test_chunks_hold_few_large_pictures(image_size, length):
    assert images_module._chunk_length(image_size) == length


# Stopping and going on


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """A folder of 60 files, every fifth of which is unusable."""
    folder = tmp_path_factory.mktemp("many") / "img"
    folder.mkdir()
    for number, image in enumerate(draw_faces(60, SIZE, seed=3)[0]):
        if number % 5:
            Image.fromarray(image).save(folder / f"{number:02d}.png")
        else:
            (folder / f"{number:02d}.png").write_bytes(b"no picture")
    return folder


@pytest.fixture(scope="module")
def at_a_stretch(many, tmp_path_factory):
    """All files of the cache of `many`, made without a stop."""
    cache = tmp_path_factory.mktemp("stretch")
    prepare_images(many, SIZE, cache=cache)
    return _contents(cache)


@pytest.fixture(scope="module")
def preparing():
    """A function that runs preparings in processes of their own, as `_serve` reads them, and returns how they ended."""
    if not hasattr(os, "fork"):
        pytest.skip("this system cannot fork")
    command = [sys.executable, __file__]
    same_library = os.environ | {"PYTHONPATH": str(Path(images_module.__file__).parents[2])}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=same_library, **pipes) as server:

        def ask(folder, cache, kill_at=(0,)):
            job = {"folder": str(folder), "cache": str(cache), "kill_at": kill_at}
            server.stdin.write(json.dumps(job) + "\n")
            server.stdin.flush()
            return [SimpleNamespace(**ended) for ended in json.loads(server.stdout.readline())]

        yield ask
        server.stdin.close()


def _contents(cache):
    """Every file below a cache but for the lock of one who was killed: its bytes by its path."""
    files = (path for path in cache.rglob("*") if path.is_file() and path.suffix != ".lock")
    return {path.relative_to(cache).as_posix(): path.read_bytes() for path in files}


def test_killed_at_any_moment_and_started_again(many, at_a_stretch, preparing, tmp_path):
    [whole] = preparing(many, tmp_path / "whole")
    assert whole.code == 0 and _contents(tmp_path / "whole") == at_a_stretch
    moments = [int(moment) for moment in np.random.default_rng(5).integers(1, whole.lines, 20)]
    decoded = []
    for number, moment in enumerate([*moments, *range(whole.lines - 16, whole.lines)]):
        cache = tmp_path / str(number)
        [killed] = preparing(many, cache, [moment])
        assert killed.code == -signal.SIGKILL
        [again] = preparing(many, cache)
        assert again.code == 0 and _contents(cache) == at_a_stretch, f"killed at line {moment} of {whole.lines}"
        decoded.append(again.decoded)
    assert len(set(decoded[:20])) > 4 and decoded[20:] == [0] * 16  # what was finished was not done again


def test_killed_again_and_again(many, at_a_stretch, preparing, tmp_path):
    [whole] = preparing(many, tmp_path / "whole")
    moments = [whole.lines * tenths // 10 for tenths in (4, 5, 6, 7, 8, 9, 10)]
    codes = [preparing(many, tmp_path / "cache", [moment])[0].code for moment in moments]
    assert codes[:2] == [-signal.SIGKILL] * 2 and codes[-1] == 0
    assert _contents(tmp_path / "cache") == at_a_stretch


def test_two_processes_share_the_work(many, at_a_stretch, preparing, tmp_path):
    ended = preparing(many, tmp_path, [0, 0])
    assert [one.code for one in ended] == [0, 0] and [one.decoded for one in ended] == [60, 0]
    assert _contents(tmp_path) == at_a_stretch
    assert len(list(tmp_path.iterdir())) == 1


def test_one_process_takes_over_from_another_that_is_killed(many, at_a_stretch, preparing, tmp_path):
    [whole] = preparing(many, tmp_path / "whole")
    first, second = preparing(many, tmp_path / "cache", [whole.lines // 2, 0])
    assert first.code == -signal.SIGKILL and second.code == 0
    assert 0 < second.decoded < 60
    assert _contents(tmp_path / "cache") == at_a_stretch


def _interrupted(many, cache, monkeypatch):
    """Prepares five chunks of 8 files and is stopped; the folder that they are in."""
    started = itertools.count()

    def stop(path, *rest):
        if next(started) == 40:
            raise KeyboardInterrupt
        return load_image(path, *rest)

    monkeypatch.setattr(images_module, "usable_cores", lambda: 1)
    monkeypatch.setattr(images_module, "_CHUNK", 8)
    monkeypatch.setattr(images_module, "load_image", stop)
    with pytest.raises(KeyboardInterrupt):
        prepare_images(many, SIZE, cache=cache)
    monkeypatch.setattr(images_module, "load_image", load_image)
    [making] = (path for path in cache.iterdir() if path.is_dir())
    return making


def _cut_journal(making):
    journal = making / "finished.jsonl"
    journal.write_bytes(journal.read_bytes()[:-9])


def _unfinished_line(making):
    journal = making / "finished.jsonl"
    journal.write_bytes(journal.read_bytes()[:-1])


def _cut_pixels(making):
    with open(making / "images.npy", "r+b") as file:
        file.truncate(file.seek(0, 2) - 9)


def _change_a_pixel(making):
    with open(making / "images.npy", "r+b") as file:
        file.seek(128 + 10 * SIZE * SIZE * 3)  # the tenth picture, in the second chunk: 6 of 8 files are pictures
        file.write(bytes(9))


def _more_pixels(making):
    with open(making / "images.npy", "ab") as file:
        file.write(bytes(500_000))


@pytest.mark.parametrize(
    ("damage", "kept"),
    [
        (lambda making: None, 40),
        (_more_pixels, 40),
        (_cut_journal, 32),
        (_unfinished_line, 32),
        (_cut_pixels, 32),
        (_change_a_pixel, 8),
        (lambda making: (making / "finished.jsonl").unlink(), 0),
        (lambda making: (making / "finished.jsonl").write_bytes(bytes(500)), 0),
        (lambda making: (making / "images.npy").unlink(), 0),
        (shutil.rmtree, 0),
    ],
)
def test_what_was_finished_is_kept_as_far_as_it_is_whole(many, at_a_stretch, tmp_path, monkeypatch, damage, kept):
    damage(_interrupted(many, tmp_path, monkeypatch))
    decoded = []
    monkeypatch.setattr(images_module, "load_image", lambda *given: decoded.append(0) or load_image(*given))
    prepare_images(many, SIZE, cache=tmp_path)
    assert len(decoded) == 60 - kept
    assert _contents(tmp_path) == at_a_stretch


@pytest.mark.parametrize("name", ["images.npy", "report.json"])
@pytest.mark.parametrize("damage", [Path.unlink, lambda file: file.write_bytes(file.read_bytes()[:200])])
def test_a_cache_that_lost_a_part_is_made_anew(many, at_a_stretch, tmp_path, name, damage):
    damage(prepare_images(many, SIZE, cache=tmp_path).folder / name)
    prepare_images(many, SIZE, cache=tmp_path)
    assert _contents(tmp_path) == at_a_stretch


def test_a_full_disk_is_said_and_what_is_there_is_gone_on_with(many, at_a_stretch, tmp_path, monkeypatch):
    opened = images_module._opened

    monkeypatch.setattr(images_module, "_CHUNK", 8)
    with monkeypatch.context() as patched:
        patched.setattr(images_module, "_opened", lambda file: _Full(opened(file), 60000))
        with pytest.raises(ValueError, match="expected to keep 0.2 MB.*No space left.*make room, or choose another"):
            prepare_images(many, SIZE, cache=tmp_path)
    decoded = []
    monkeypatch.setattr(images_module, "load_image", lambda *given: decoded.append(0) or load_image(*given))
    prepare_images(many, SIZE, cache=tmp_path)
    assert 0 < len(decoded) < 60 and _contents(tmp_path) == at_a_stretch


class _Full:
    """A file on a disk that takes so many bytes and no more."""

    def __init__(self, file, room):
        self.file, self.room = file, room

    def __getattr__(self, name):
        return getattr(self.file, name)

    def __iter__(self):
        return iter(self.file)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.file.close()

    def write(self, content):
        if self.file.tell() + memoryview(content).nbytes > self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self.file.write(content)


def test_a_cache_folder_that_cannot_be_made_is_said(many, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ValueError, match="expected to keep.*received: (Not a directory|File exists)"):
        prepare_images(many, SIZE, cache=tmp_path / "file/cache")


def test_what_was_abandoned_is_deleted_after_a_week(many, tmp_path):
    for name in (".making-old", ".making-recent", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "images.npy").write_bytes(b"x")
    (tmp_path / ".making-old.lock").write_bytes(b"")
    for name in (".making-old", ".making-old.lock", "other"):
        os.utime(tmp_path / name, (time.time() - 8 * 24 * 3600,) * 2)
    prepared = prepare_images(many, SIZE, cache=tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {".making-recent", "other", prepared.folder.name}


@posix
def test_memory_stays_bounded(preparing, tmp_path):
    folder = tmp_path / "img"
    folder.mkdir()
    PICTURE.save(folder / "good.png")
    for number in range(3):
        (folder / f"bomb {number}.png").write_bytes(BAD["bomb.png"][0])
        (folder / f"large {number}.png").write_bytes(_bomb(4200, 8, 2))
    [ended] = preparing(folder, tmp_path / "cache")
    assert ended.code == 0 and ended.decoded == 7
    # A bomb would take 400, two large ones at once 142 and a copy of each as much again; the system is slow to take
    # back what is given back, so that one at a time reaches 71 to 140.
    assert ended.megabytes < 175


def _serve():
    """Answers each line of stdin: prepares in as many forks as it has moments, killed there where they are not 0.

    A moment is a number of lines of `images.py` that the process has run since it looked for the cache, so that it does
    not depend on the machine.
    A fork begins when the one before it has decoded a picture.
    """
    images_module._CHUNK = 8
    for line in sys.stdin:
        job = json.loads(line)
        states, numbers = [], []
        for kill_at in job["kill_at"]:
            begun = time.monotonic()
            while states and not struct.unpack_from("q", states[-1], 8)[0] and time.monotonic() - begun < 20:
                time.sleep(0.001)
            states.append(mmap.mmap(-1, 24))
            numbers.append(os.fork())
            if numbers[-1] == 0:
                _prepare_here(job, kill_at, states[-1])
        codes = [os.waitstatus_to_exitcode(os.waitpid(number, 0)[1]) for number in numbers]
        seen = [struct.unpack("3q", state) for state in states]
        ends = [
            {"code": code, "lines": lines, "decoded": decoded, "megabytes": kilobytes / 1024}
            for code, (lines, decoded, kilobytes) in zip(codes, seen, strict=True)
        ]
        print(json.dumps(ends), flush=True)


def _prepare_here(job, kill_at, state):
    decoded = 0
    lock = threading.Lock()

    def load(*given):
        nonlocal decoded
        with lock:
            decoded += 1
            struct.pack_into("q", state, 8, decoded)
        if len(job["kill_at"]) > 1:
            time.sleep(0.002)  # so that the processes meet
        return load_image(*given)

    import resource  # POSIX only, as forks are

    code = 1
    try:
        images_module.load_image = load
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        lines = CountedLines(images_module, "_open_or_make", kill_at)
        prepare_images(job["folder"], SIZE, cache=job["cache"])
        lines.stop()
        struct.pack_into("q", state, 0, lines.count)
        struct.pack_into("q", state, 16, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
        code = 0
    finally:
        os._exit(code)


if __name__ == "__main__":
    _serve()
