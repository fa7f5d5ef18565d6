"""From the faces in a photograph to squares in which eyes and mouth have their places."""

import functools
import importlib
import importlib.metadata
from typing import NamedTuple

import numpy as np
from PIL import Image

from gan_helpers import quiet_start
from gan_helpers.data.decoding import Unusable, or_reason, to_srgb, with_picture

_VERSION = 2  # raise when what is cut changes, so that old caches are made anew
LOOKS = 32  # pictures that the detector is given at a time
LOOK_PIXELS = 2**20  # of a picture as the detector sees it: faces of 27 pixels in 1,182x887 are found
LOOKED_AT = 0.75, 0.055  # what the detector's boxes are of a face's square: their side, and how far below its middle
MIRRORED = [1, 0, 2, 4, 3]  # the landmarks of a mirrored face
LOOKS_AGAIN = 2
CONFIDENCE = 0.9
LEAST_SIDE = 0.5  # of the wanted side; less would teach blur
MOST_OUTSIDE = 0.15  # share of a square's area that may lie outside the picture: beyond it what fills it shows


class Square(NamedTuple):
    """A square at any angle: its middle, and the way from there to the middle of its right side, in pixels."""

    middle: np.ndarray
    right: np.ndarray

    @property
    def down(self):
        return np.array([-self.right[1], self.right[0]])

    @property
    def side(self):
        return 2 * np.hypot(*self.right)

    @property
    def upright(self):
        """Whether it leans by less than 45 degrees."""
        return self.right[0] > abs(self.right[1])

    def points(self, places):
        """Pixels `(…, 2)` of places `(…, 2)` in the square, which goes from -1, -1 (top left) to 1, 1."""
        places = np.asarray(places)
        return self.middle + places[..., :1] * self.right + places[..., 1:] * self.down

    def part(self, share, below):
        """A square in it of a share of its side, its middle lower by `below` of its side."""
        return Square(self.points([0, 2 * below]), self.right * share)

    def turned_back(self, turns, size):
        """The same square in a picture of this size, that was seen turned left by so many right angles."""
        size = np.array(size)
        middle, right = self.middle - (size[::-1] if turns % 2 else size) / 2, self.right
        for _ in range(turns):
            middle, right = (np.array([-y, x]) for x, y in (middle, right))
        return Square(middle + size / 2, right)

    def scaled(self, across, down):
        """The same square in a picture that was stretched."""
        return Square(self.middle * (across, down), self.right * (across + down) / 2)


def square_of(landmarks):
    """The square of a face, laid as in FFHQ, which most sets of aligned faces since 2018 follow.

    The square stands on the line between the eyes and at right angles to the line from between the eyes to between the
    corners of the mouth, as well as both can be had. Its side is four times the distance of the eyes or 3.6 times the
    distance from eyes to mouth, whichever is more: a head that is turned away, whose eyes come close, is not enlarged.
    Its middle lies a tenth of the way from eyes to mouth. So the eyes come to lie at about 0.37 and 0.63 of the width
    and 0.48 of the height, the mouth at 0.73, and the whole head is in it.

    Args:
        landmarks: `(5, 2)`, in pixels: left eye, right eye, nose, left and right corner of the mouth, as one sees them.

    Returns:
        A `Square`.

    Reference: Karras et al., "Progressive Growing of GANs", 2018, appendix C; with the places of "A Style-Based
    Generator Architecture for Generative Adversarial Networks", 2019.
    """
    left, right, _, mouth_left, mouth_right = np.asarray(landmarks, np.float64)
    eyes, across = (left + right) / 2, right - left
    to_mouth = (mouth_left + mouth_right) / 2 - eyes
    direction = across + (to_mouth[1], -to_mouth[0])
    half = max(2.0 * np.hypot(*across), 1.8 * np.hypot(*to_mouth))
    return Square(eyes + 0.1 * to_mouth, direction * half / max(np.hypot(*direction), 1e-6))


def share_outside(square, width, height):
    """The share of a square's area that lies outside a picture."""
    places = (np.arange(32) + 0.5) / 16 - 1
    x, y = np.moveaxis(square.points(np.stack(np.meshgrid(places, places), axis=-1)), -1, 0)
    return 1 - np.mean((x > 0) & (x < width) & (y > 0) & (y < height))


def cut_square(picture, square, image_size, profile=None):
    """A square of a picture, turned upright, in its size, in sRGB.

    No pixel of the picture is left out, so that nothing aliases: what has more than twice the wanted pixels is first
    reduced to that (bicubic, antialiased); then the square is read off at twice its size, where reading between pixels
    costs no sharpness that would be seen; then that is halved. Outside the picture its edge goes on. (Mirrored, as
    FFHQ's are, it would show ears and cheeks twice, and from a fifth of the area on a second pair of eyes.)

    Args:
        picture: Pillow picture, RGB, grey or CMYK.
        square: a `Square` in its pixels.
        image_size: side of the result, in pixels.
        profile: ICC profile of its colours. Defaults to none.

    Returns:
        uint8 array `(image_size, image_size, 3)`.
    """
    shrink = max(1.0, square.side / (2 * image_size))
    corners = square.points([(-1, -1), (1, -1), (1, 1), (-1, 1)])
    size = np.array(picture.size)
    first = np.floor(corners.min(axis=0) - 3 * shrink).astype(int)
    after = np.ceil(corners.max(axis=0) + 3 * shrink).astype(int)
    inside = np.clip(first, 0, size - 1), np.clip(after, 1, size)
    reduced = np.ceil((inside[1] - inside[0]) / shrink).astype(int)
    box = (*inside[0].tolist(), *inside[1].tolist())
    if shrink > 1:
        picture = picture.resize(tuple(reduced.tolist()), Image.Resampling.BICUBIC, box=box)
    else:
        picture = picture.crop(box)
    pixels = np.asarray(to_srgb(picture, profile))
    scale = reduced / (inside[1] - inside[0])
    before, behind = (np.ceil(np.maximum(0, gap) * scale).astype(int) for gap in (inside[0] - first, after - inside[1]))
    if before.any() or behind.any():
        pixels = np.pad(pixels, ((before[1], behind[1]), (before[0], behind[0]), (0, 0)), mode="edge")
    square = Square((square.middle - inside[0]) * scale + before, square.right * scale.mean())
    (left, top), across, down = square.points([-1, -1]), square.right / image_size, square.down / image_size
    places = (across[0], down[0], left, across[1], down[1], top)
    twice = (2 * image_size, 2 * image_size)
    # One colour at a time as fractions: of whole numbers Pillow would cut off what is behind the point, which darkens.
    colours = [Image.fromarray(pixels[..., colour].astype(np.float32)) for colour in range(3)]
    turned = [
        colour.transform(twice, Image.Transform.AFFINE, places, Image.Resampling.BICUBIC).resize(
            (image_size, image_size), Image.Resampling.BICUBIC
        )
        for colour in colours
    ]
    return np.clip(np.stack(turned, axis=-1) + 0.5, 0, 255).astype(np.uint8)


def find_squares(pictures):
    """The square of each face in each picture, from left to right.

    The detector is good at finding and only fair at saying where the eyes are, least so in a face that leans. So it
    looks again, twice: its last network sees each face straightened by what it said before, and mirrored too, and the
    two answers are averaged. What it is then no longer sure of was no face. It knows upright faces: a picture without
    one that leans by less than 45 degrees is shown to it turned to each side and upside down too. Of these looks the
    one counts in which it is sure of most.

    Args:
        pictures: list of uint8 arrays `(height, width, 3)`.

    Returns:
        A list with a list of `Square` for each picture.

    Raises:
        ModuleNotFoundError: the detector or TensorFlow is not there.
    """
    detector = _detector()
    best = _seen(pictures, detector)
    lying = [number for number, faces in enumerate(best) if not any(square.upright for square, _ in faces)]
    for turns in (1, 2, 3) if lying else ():
        turned = _seen([np.rot90(pictures[number], turns) for number in lying], detector)
        for number, faces in zip(lying, turned, strict=True):
            if sum(sure for _, sure in faces) > sum(sure for _, sure in best[number]):
                height, width, _ = pictures[number].shape
                best[number] = [(square.turned_back(turns, (width, height)), sure) for square, sure in faces]
    return [sorted((square for square, _ in faces), key=lambda square: tuple(square.middle)) for faces in best]


def _seen(pictures, detector):
    """For each picture, as it lies, a list of the faces in it: their squares, and how sure the detector is of each."""
    faces = [
        (number, square_of(landmarks), CONFIDENCE)
        for number, found in enumerate(detector.find_landmarks(pictures, CONFIDENCE))
        for landmarks in found
    ]
    for _ in range(LOOKS_AGAIN):
        faces = _looked_at_again(pictures, faces, detector)
    return [[face for place, *face in faces if place == number] for number in range(len(pictures))]


def _looked_at_again(pictures, faces, detector):
    """The faces, as `(number of picture, square, how sure)`, of which the detector's last network is still sure."""
    side = detector.PATCH_SIDE
    parts = [square.part(*LOOKED_AT) for _, square, _ in faces]
    patches = [
        cut_square(Image.fromarray(pictures[number]), part, side)
        for (number, *_), part in zip(faces, parts, strict=True)
    ]
    if not patches:
        return []
    patches = np.stack(patches)
    landmarks, confidence = detector.landmarks_of_patches(np.concatenate([patches, patches[:, :, ::-1]]))
    straight, mirrored = np.split(landmarks / (side / 2) - 1, 2)
    mirrored = mirrored[:, MIRRORED] * (-1, 1)
    return [
        (number, square_of(part.points(places)), float(sure))
        for (number, *_), part, places, sure in zip(
            faces, parts, (straight + mirrored) / 2, np.minimum(*np.split(confidence, 2)), strict=True
        )
        if sure >= CONFIDENCE
    ]


def cut_faces(paths, image_size, map=map):
    """The faces of some picture files, each as one aligned square, from left to right.

    Each file is opened twice, so that memory does not grow with their number: reduced, for the detector, which looks at
    them together; and, where it found faces, whole, to cut them out.

    Args:
        paths: picture files; 32 at a time are fast.
        image_size: side of the squares, in pixels.
        map: what calls a function for each of some items, such as a thread pool's `map`. Defaults to Python's.

    Returns:
        A list with, for each file, a list of uint8 arrays `(image_size, image_size, 3)`, or the reason in words why
        there is none: no face was found, or all are too small or reach too far out of the picture.

    Raises:
        ModuleNotFoundError: the detector or TensorFlow is not there.

    Example:
        >>> [faces] = cut_faces(["wedding.jpg"], 64)
        >>> len(faces)
        7
    """
    looks = list(map(functools.partial(or_reason, _load_look), paths))
    found = iter(find_squares([look for look in looks if not isinstance(look, str)]))
    wanted = [look if isinstance(look, str) else (look.shape, next(found)) for look in looks]
    cut = functools.partial(_cut_file, image_size=image_size)
    return list(map(functools.partial(or_reason, cut), paths, wanted))


def cut_version():
    """What the faces that are cut depend on, beside the pictures.

    Raises:
        ModuleNotFoundError: the detector is not there.
    """
    try:
        return _VERSION, importlib.metadata.version("mtcnn")
    except importlib.metadata.PackageNotFoundError:
        raise ModuleNotFoundError(
            "expected the face detector mtcnn for crop='faces', an extra of this package; received none; "
            "pip install 'gan_helpers[detector]', or leave the crop out for the central square",
            name="mtcnn",
        ) from None


def _load_look(path):
    """A picture file as the detector sees it: uint8 RGB `(height, width, 3)`, reduced where it is large."""

    def look(picture, profile, _):
        scale = min(1.0, (LOOK_PIXELS / (picture.width * picture.height)) ** 0.5)
        if scale < 1:
            size = [max(1, round(length * scale)) for length in picture.size]
            picture = picture.resize(size, Image.Resampling.BICUBIC)
        return np.asarray(to_srgb(picture, profile))

    return with_picture(path, look, shrink=_shrink_look)


def _shrink_look(width, height):
    """The part of each side, where that is a whole number, that still leaves as many pixels as the detector gets."""
    fits = (part for part in (8, 4, 2) if width % part == height % part == 0)
    return next((part for part in fits if width * height >= LOOK_PIXELS * part**2), 1)


def _cut_file(path, wanted, *, image_size):
    """The faces of a file whose squares were found in a picture of another size."""
    if isinstance(wanted, str):
        raise Unusable(wanted)
    (height, width, _), squares = wanted
    if not squares:
        raise Unusable("no face found")

    def cut(picture, profile, _):
        scale = picture.width / width, picture.height / height
        usable = _usable([square.scaled(*scale) for square in squares], picture.size, image_size)
        return [cut_square(picture, square, image_size, profile) for square in usable]

    return with_picture(path, cut)


def _usable(squares, size, image_size):
    """Those squares that are large enough and lie in the picture."""
    large = [square for square in squares if square.side >= image_size * LEAST_SIDE]
    if not large:
        side = max(square.side for square in squares)
        raise Unusable(
            f"no face is large enough: {side:.0f} pixels a side with the whole head, at least "
            f"{-(-image_size // 2)} needed"
        )
    inside = [square for square in large if share_outside(square, *size) <= MOST_OUTSIDE]
    if not inside:
        share = min(share_outside(square, *size) for square in large)
        raise Unusable(
            f"no face is far enough inside the picture: {share:.0%} of its square is outside, at most "
            f"{MOST_OUTSIDE:.0%} may be"
        )
    return inside


def _detector():
    """The module of the detector, which is loaded where it is needed: it brings TensorFlow with it."""
    try:
        with quiet_start():
            return importlib.import_module("gan_helpers.metrics.detector")
    except ModuleNotFoundError as error:
        if not error.name or error.name.split(".")[0] != "tensorflow":
            raise
        raise ModuleNotFoundError(
            "expected TensorFlow, which the face detector for crop='faces' runs on; received none; install "
            "'gan_helpers[cpu,detector]' (no GPU) or 'gan_helpers[gpu,detector]'",
            name="tensorflow",
        ) from error
