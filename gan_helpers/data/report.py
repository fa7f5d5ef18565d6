"""What is in a set of faces: how many, how large, grey, dark, blurred, twice, skipped, and with which attributes."""

import json
import re
from collections import Counter
from dataclasses import dataclass

import numpy as np
from PIL import Image
from tqdm import tqdm

from gan_helpers.data.contact_sheet import COLUMNS, contact_sheet
from gan_helpers.data.decoding import printable
from gan_helpers.data.drawn_faces import ATTRIBUTES, draw_attributes
from gan_helpers.data.images import PreparedImages, prepare_images
from gan_helpers.data.label_tables import find_labels, read_labels
from gan_helpers.data.near_duplicates import mirrored_members, near_duplicates, perceptual_hash

BLURRED = 2.5  # `detail` below which a picture shows no more than one of half its size would
GREY = 8  # `colour` below which a picture is grey
_COLOURED = 0.05  # share of its pixels by which a picture's colour is judged: lips are enough
_BLOCK_PIXELS = 2**22
_SHOWN_MEMBERS, _SHOWN_ROWS = 5, 4  # of near-duplicates on the contact sheet


@dataclass(frozen=True)
class DataReport:
    """What `data_report` found; `print(report.table)`, `report.figure()` and `report.as_json` show it.

    Attributes:
        prepared: the `PreparedImages` that were looked at.
        files: their names below the folder, `count` strings; of drawn faces their numbers.
        shorter_sides: int `(count,)`, each file's shorter side in pixels; 0 where it cannot be told any more; `None`
            for drawn faces, which have no files.
        longer_sides: likewise.
        enlarged: how many had fewer pixels a side, within the crop, than `image_size`; `None` for faces that were
            found, whose squares differ.
        brightness: float32 `(count,)`, mean grey value, 0 to 255.
        colour: uint8 `(count,)`, the distance between strongest and weakest colour that a twentieth of the pixels have
            or exceed, 0 to 255. A mean would call a face before much black grey.
        detail: float32 `(count,)`, see `detail`.
        duplicates: list of int arrays, the numbers of pictures that are one and the same; `None` for drawn faces.
        mirrored: how many of them are mirror images of their group's first.
        attributes: dict from names to the share of pictures that have it; `None` where the source tells none.
        described: how many pictures the attributes are known of.
        notes: what could not be found out, in words.
    """

    prepared: PreparedImages
    files: list
    shorter_sides: np.ndarray | None
    longer_sides: np.ndarray | None
    enlarged: int | None
    brightness: np.ndarray
    colour: np.ndarray
    detail: np.ndarray
    duplicates: list | None
    mirrored: int
    attributes: dict | None
    described: int
    notes: list

    @property
    def grey(self):
        """Numbers of the pictures without colour, the least coloured first."""
        return _lowest(self.colour, GREY)

    @property
    def blurred(self):
        """Numbers of the blurred pictures, the most blurred first."""
        return _lowest(self.detail, BLURRED)

    @property
    def summary(self):
        """All of it as plain values: numbers, names and lists."""
        count, names, crop = len(self.files), np.array(self.files, object), self.prepared.crop
        light = self.brightness.astype(np.float64)
        return {
            "source": self.prepared.source,
            "fingerprint": self.prepared.fingerprint,
            "image_size": self.prepared.images.shape[1],
            "crop": list(crop) if isinstance(crop, tuple) else crop,
            "count": count,
            "several": [list(row) for row in self.prepared.several],
            "skipped": {
                "count": len(self.prepared.skipped),
                "reasons": dict(Counter(_kind(reason) for _, reason in self.prepared.skipped).most_common()),
                "files": [list(row) for row in self.prepared.skipped],
            },
            "sizes": None
            if self.shorter_sides is None
            else {
                "shorter_side": _span(self.shorter_sides),
                "longer_side": _span(self.longer_sides),
                "enlarged": self.enlarged,
            },
            "brightness": {
                "mean": round(float(light.mean()), 1),
                "spread": round(float(light.std()), 1),
                "darkest": names[np.argmin(light)],
                "brightest": names[np.argmax(light)],
            },
            "grey": _share(names[self.grey], count),
            "blurred": _share(names[self.blurred], count),
            "duplicates": None
            if self.duplicates is None
            else {
                "groups": len(self.duplicates),
                "pictures": sum(map(len, self.duplicates)),
                "mirrored": self.mirrored,
                "files": [names[group].tolist() for group in self.duplicates],
            },
            "attributes": self.attributes,
            "described": self.described,
            "notes": self.notes,
        }

    @property
    def as_json(self):
        """The summary as JSON text."""
        return json.dumps(self.summary, indent=1, allow_nan=False)

    @property
    def table(self):
        """The summary for reading, a line a finding."""
        found = self.summary
        return "\n".join(f"{name:15} {text}".rstrip() for name, text in _lines(found))

    def figure(self):
        """A contact sheet: some pictures, those at the ends, grey ones, and near-duplicates side by side.

        Returns:
            The `matplotlib` figure; `report.figure().savefig("sheet.png")` keeps it.
        """
        images, order = self.prepared.images, np.argsort(self.brightness, kind="stable")
        count = len(images)
        some = np.sort(np.random.default_rng(0).choice(count, min(COLUMNS, count), replace=False))
        softest = np.argsort(self.detail, kind="stable")
        rows = [
            (f"Some of {count:,}, drawn at random", some),
            (f"Least detail; {_blurred_are(len(self.blurred))}", softest),
            ("Darkest", order),
            ("Brightest", order[::-1]),
        ]
        if len(self.grey):
            rows.append((f"Grey: {len(self.grey):,}", self.grey))
        rows = [(title, [images[number][None] for number in numbers[:COLUMNS]]) for title, numbers in rows]
        if self.duplicates:
            pictures = sum(map(len, self.duplicates))
            title = f"Near-duplicates: {pictures:,} pictures in {_groups(len(self.duplicates))}"
            for packed in _packed(self.duplicates):
                rows.append((title, [images[group] for group in packed]))
                title = ""
        return contact_sheet(rows)


def data_report(data, image_size=64, *, crop=None, count=8000, seed=0, cache=None, agree=False):
    """Looks through a set of faces before one trains on it, and says what is in it.

    A generator learns what it is shown: blur, black borders and the same face a hundred times too. Pictures are
    prepared as for training, and looked at as they will be trained on.

    - *Blurred* has no finer detail than a picture of half the size (see `detail`), whatever the reason: out of focus,
      enlarged, or compressed too much.
    - *Near-duplicates* are one picture in several files, compressed, resized, brightened, shifted a little or mirrored
      (see `near_duplicates`). A training that mirrors its pictures sees a mirror image as the same.
    - *Enlarged* had fewer pixels a side within the crop than `image_size` (not told of faces that were found).
    - *Attributes* come from CelebA's table, where it lies in or beside the folder, or from the drawn faces' own: the
      share of pictures that have each; of a number those above the middle of its range.

    Memory is bounded whatever the number of pictures, and time grows hardly faster than it.

    Args:
        data: as for `prepare_images`: path of a folder or an archive, name of a source, or `"drawn"`.
        image_size: side of the pictures, in pixels. Defaults to `64`.
        crop: `(left, top, right, bottom)`, `"faces"`, or `None` (default) for the source's own box or the central
            square.
        count: how many faces to draw; only for `"drawn"`. Defaults to `8000`.
        seed: seed of the drawn faces; only for `"drawn"`. Defaults to `0`.
        cache: folder of all caches. Defaults to `$GAN_FACES_CACHE`, else `~/.cache/gan_helpers`.
        agree: whether you accept the licence of a source that asks for it. Defaults to `False`.

    Returns:
        A `DataReport`.

    Raises:
        ValueError: what `prepare_images` refuses.

    Example:
        >>> report = data_report("img", 64)
        >>> print(report.table)
        >>> report.figure().savefig("sheet.png")
    """
    prepared = prepare_images(data, image_size, crop=crop, count=count, seed=seed, cache=cache, agree=agree)
    notes, shorter, longer, enlarged = [], None, None, 0
    if str(data) == "drawn":
        files = [str(number) for number in range(count)]
        attributes, described = _drawn_attributes(count, seed), count
    else:
        files = list(map(printable, prepared.files))
        shorter, longer = _sides(prepared.origin, prepared.files)
        if prepared.crop == "faces":
            enlarged = None
        else:
            used = np.minimum(shorter, prepared.crop[2] - prepared.crop[0]) if prepared.crop else shorter
            enlarged = int(((used < image_size) & (shorter > 0)).sum())
        attributes, described = _attributes(prepared.origin, prepared.files, notes)
    brightness, colour, detail_, hashes = _looks(prepared.images)
    duplicates, mirrored = None, 0
    if str(data) == "drawn":
        notes.append("near-duplicates are not looked for among drawn faces: each is drawn anew, on one pattern")
    else:
        duplicates = near_duplicates(hashes)
        mirrored = sum(int(mirrored_members(hashes[group]).sum()) for group in duplicates)
    return DataReport(
        prepared, files, shorter, longer, enlarged, brightness, colour, detail_, duplicates, mirrored, attributes,
        described, notes,
    )  # fmt: skip


def detail(images):
    """How fine each picture's detail is: `var(laplacian(grey)) / var(laplacian(smoothed grey))`.

    The variance of the Laplacian alone says as much about what is in a picture (hair, a plain wall, contrast) as about
    its focus. Smoothing (weights 1, 2, 1 along both sides) takes much from a sharp picture and little from a blurred
    one, so that the ratio of before and after tells the two apart whatever is in it.

    Args:
        images: uint8 `(count, height, width, 3)`, sides of at least 3 pixels.

    Returns:
        float32 `(count,)`; 4 to 6 for most faces, below 2.5 where half the size would hold as much; 0 for an even
        surface.

    Raises:
        ValueError: images of another shape.

    Reference: Pech-Pacheco et al., "Diatom Autofocusing in Brightfield Microscopy", 2000, for the variance of the
    Laplacian; Crete et al., "The Blur Effect", 2007, for smoothing once more.
    """
    if getattr(images, "ndim", None) != 4 or images.shape[-1] != 3 or min(images.shape[1:3]) < 3:
        raise ValueError(
            f"expected images of shape (count, height, width, 3), 3 pixels a side at least; received "
            f"{getattr(images, 'shape', type(images).__name__)}; prepare_images gives such"
        )
    return _detail(_grey(images))


def _detail(grey):
    padded = np.pad(grey, ((0, 0), (1, 1), (1, 1)), mode="edge")
    smooth = padded[:, :-2] / 4 + padded[:, 1:-1] / 2 + padded[:, 2:] / 4
    smooth = smooth[:, :, :-2] / 4 + smooth[:, :, 1:-1] / 2 + smooth[:, :, 2:] / 4
    return _edges(grey) / (_edges(smooth) + np.float32(1e-3))


def _edges(grey):
    """The variance of each picture's Laplacian, its border left out."""
    inner = grey[:, 1:-1, 1:-1]
    laplacian = grey[:, :-2, 1:-1] + grey[:, 2:, 1:-1] + grey[:, 1:-1, :-2] + grey[:, 1:-1, 2:] - 4 * inner
    return laplacian.reshape(len(grey), -1).var(axis=1)


def _grey(images):
    return np.asarray(images) @ np.float32([0.299, 0.587, 0.114])


def _looks(images):
    """Of each picture brightness, colour, detail and hash, in one pass over the memory map."""
    length = max(1, _BLOCK_PIXELS // (images.shape[1] * images.shape[2]))
    parts = []
    with tqdm(total=len(images), desc="looking", unit=" faces") as bar:
        for start in range(0, len(images), length):
            block = np.asarray(images[start : start + length])
            grey, (red, green, blue) = _grey(block), np.moveaxis(block, -1, 0)
            spread = np.maximum(np.maximum(red, green), blue) - np.minimum(np.minimum(red, green), blue)
            parts.append((grey.mean(axis=(1, 2)), _colour(spread), _detail(grey), perceptual_hash(block)))
            bar.update(len(block))
    return (np.concatenate(column) for column in zip(*parts, strict=True))


def _colour(spread):
    """Of each picture the value that the most coloured of its pixels have or exceed."""
    pixels = spread.reshape(len(spread), -1)
    place = int((1 - _COLOURED) * pixels.shape[1])
    return np.partition(pixels, place, axis=1)[:, place]


def _sides(folder, files):
    """Shorter and longer side of each picture's file, from its first bytes; 0 where it has gone meanwhile."""
    sides = {}
    for file in tqdm(dict.fromkeys(files), desc="sizes", unit=" files"):
        try:
            with Image.open(folder / file) as opened:
                sides[file] = sorted(opened.size)
        except Exception:  # it could be decoded a moment ago
            sides[file] = 0, 0
    return np.array([sides[file] for file in files], int).reshape(-1, 2).T


def _attributes(folder, files, notes):
    """The share of the pictures that have each attribute, and of how many pictures anything is known."""
    table = find_labels(folder)
    if table is None:
        return None, 0
    try:
        labels = read_labels(table, files)
    except ValueError as error:  # any folder may have a table of that name beside it
        notes.append(f"no attributes: {error}")
        return None, 0
    shares = {}
    for attribute, column in zip(labels.attributes, labels.values.T, strict=True):
        known = column[~np.isnan(column)]
        if len(known):
            shares[_trait(attribute.name, attribute.kind, attribute.low, attribute.high)] = _mean(known > 0)
    return shares, len(files) - labels.unlabelled


def _drawn_attributes(count, seed):
    """The share of the drawn faces that have each attribute; of a choice, each of its values."""
    table, shares = draw_attributes(count, seed=seed), {}
    for name, (kind, low, high, meaning) in ATTRIBUTES.items():
        if kind == "choice":
            values = meaning.split(";")[0].split(", ")
            shares |= {f"{name}: {value}": _mean(table[name] == number) for number, value in enumerate(values)}
        else:
            shares[_trait(name, kind, low, high)] = _mean(table[name] > (low + high) / 2)
    return shares


def _trait(name, kind, low, high):
    """What a share is of: those that have it, or of a number those above the middle of its range."""
    return name if kind == "binary" else f"{name} > {(low + high) / 2:g}"


def _mean(truths):
    return round(float(np.mean(truths)), 4)


def _lowest(values, limit):
    low = np.flatnonzero(values < limit)
    return low[np.argsort(values[low], kind="stable")]


def _kind(reason):
    """A reason without what differs from file to file."""
    return re.split(r":| into ", reason)[0]


def _span(sides):
    known = sides[sides > 0]
    return [int(known.min()), int(np.median(known)), int(known.max())] if len(known) else None


def _share(names, count):
    return {"count": len(names), "share": round(len(names) / count, 4), "files": names.tolist()}


def _blurred_are(count):
    """Which of a row that begins with the most blurred are blurred."""
    if count > COLUMNS:
        return f"all of these and {count - COLUMNS:,} more are blurred"
    return {0: "none is blurred", 1: "the first is blurred"}.get(count, f"the first {count} are blurred")


def _groups(count):
    return f"{count:,} group{'s' * (count != 1)}"


def _packed(groups):
    """Groups row by row, as many as fit; of a large one its first few."""
    rows, room = [], 0
    for group in groups:
        group = group[:_SHOWN_MEMBERS]
        if len(group) > room:
            if len(rows) == _SHOWN_ROWS:
                break
            rows.append([])
            room = COLUMNS
        rows[-1].append(group)
        room -= len(group)
    return rows


def _lines(found):
    """The table's lines, as `(name, text)`."""
    crop = found["crop"]
    crop = f", crop {crop if isinstance(crop, str) else ','.join(map(str, crop))}" if crop else ""
    yield "faces", f"{found['count']:,} from {found['source']}, {found['image_size']} pixels a side{crop}"
    skipped = found["skipped"]
    yield "skipped", f"{skipped['count']:,}"
    for reason, count in skipped["reasons"].items():
        yield "", f"{count:,} {reason}"
    if found["sizes"]:
        for name, key in (("shorter side", "shorter_side"), ("longer side", "longer_side")):
            if span := found["sizes"][key]:
                yield name, f"{span[0]:,} to {span[2]:,} pixels, median {span[1]:,}"
    if found["several"]:
        yield "several faces", f"in {len(found['several']):,} pictures, of which each became a face of its own"
    enlarged = found["sizes"]["enlarged"] if found["sizes"] else None
    if enlarged is not None:
        yield "enlarged", f"{enlarged:,} ({enlarged / found['count']:.1%}) have fewer than {found['image_size']} pixels"
    light = found["brightness"]
    yield "brightness", f"mean {light['mean']} of 255, spread {light['spread']}"
    yield "", f"darkest {light['darkest']}, brightest {light['brightest']}"
    for name, meaning in (("grey", "without colour"), ("blurred", "no finer detail than half the size would hold")):
        some = found[name]
        yield name, f"{some['count']:,} ({some['share']:.1%}): {meaning}"
    if twice := found["duplicates"]:
        mirrored = f", {twice['mirrored']:,} of them mirrored" if twice["mirrored"] else ""
        yield "near-duplicates", f"{_groups(twice['groups'])} of {twice['pictures']:,} pictures{mirrored}"
        for files in twice["files"][:5]:
            yield "", " = ".join(files[:3]) + (f" = {len(files) - 3:,} more" if len(files) > 3 else "")
    if found["attributes"]:
        yield "attributes", f"share of {found['described']:,} pictures"
        width = max(map(len, found["attributes"]))
        for name, share in found["attributes"].items():
            yield "", f"{name:{width}} {share:6.1%} {'#' * round(20 * share)}"
    for note in found["notes"]:
        yield "note", note
