"""Where do eyes come to lie with `--crop faces`? `python -m benchmarks.face_crops --portraits FOLDER`.

Portraits are laid on canvases, six on each, leaning by known angles and in known sizes, and found again. Where the eyes
of each come to lie is compared with where they lie when the portrait is prepared alone and upright, by the known turn:
what leaning and size change in the detector's own answer. Then the detector looks at the result too. An answer that is
not its own comes with `--aligned FOLDER`, pictures that others have aligned as FFHQ is, such as FFHQ's own: laid on
canvases alike, each must come back as it was. A table goes to stderr, JSON to stdout, lengths in shares of the square's
side: median and 95th percentile.
"""

import argparse
import json
import sys
import time

import numpy as np
from PIL import Image

from gan_helpers.data.crops import LOOKS, Square, cut_square, find_squares
from gan_helpers.data.images import prepare_images
from gan_helpers.data.sources import find_faces
from gan_helpers.metrics.detector import find_landmarks

EYES = np.array([(-0.25, -0.04), (0.25, -0.04)])  # about, in a square from -1 to 1: where errors are counted
CELL, ACROSS, DOWN = 480, 3, 2
WHOLE = Square(np.array([0.5, 0.5]), np.array([0.5, 0.0]))


def main():
    parser = argparse.ArgumentParser(prog="python -m benchmarks.face_crops", description=__doc__.split("\n")[0])
    parser.add_argument("--portraits", required=True, help="folder of portraits with one face each")
    parser.add_argument("--aligned", help="folder of faces that are aligned as FFHQ's")
    parser.add_argument("--count", type=int, default=200, help="of each, at most (default: %(default)s)")
    parser.add_argument("--angles", default="0,-15,15,-30,30,-45,45", help="degrees (default: %(default)s)")
    parser.add_argument("--sides", default="24,32,48,64,128", help="of small faces' squares (default: %(default)s)")
    parser.add_argument("--sheets", metavar="PREFIX", help="also save a canvas and its faces, as PREFIX_….png")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    sets = {"portraits": _alone(_opened(options.portraits, options.count))}
    if options.aligned:
        pictures = _opened(options.aligned, options.count)
        sets["aligned"] = [(picture, WHOLE.scaled(*picture.size)) for picture in pictures]
    rows = []
    for name, faces in sets.items():
        cases = [(int(angle), 240) for angle in options.angles.split(",")]
        cases += [(0, int(side)) for side in options.sides.split(",")] if name == "portraits" else []
        for angle, side in cases:
            rows.append({"set": name, "angle": angle, "side": side} | _measured(faces, angle, side, options))
            print(_line(rows[-1]), file=sys.stderr, flush=True)
    json.dump({"speed": _speed(options), "rows": rows}, sys.stdout, indent=1)


def _opened(folder, count):
    return [Image.open(path).convert("RGB") for path in find_faces(folder)[:count]]


def _alone(pictures):
    """Each portrait with the one square that is found in it upright; those with none or several are left out."""
    found = _squares([np.asarray(picture) for picture in pictures])
    return [(picture, squares[0]) for picture, squares in zip(pictures, found, strict=True) if len(squares) == 1]


def _squares(pictures):
    return [squares for n in range(0, len(pictures), LOOKS) for squares in find_squares(pictures[n : n + LOOKS])]


def _measured(faces, angle, side, options):
    random = np.random.default_rng(options.seed)
    per_canvas = ACROSS * DOWN
    canvases, truths = [], []
    for first in range(0, len(faces), per_canvas):
        canvas, squares = _canvas(faces[first : first + per_canvas], angle, side, random)
        canvases.append(canvas)
        truths.append(squares)
    began = time.process_time()
    found = _squares([np.asarray(canvas) for canvas in canvases])
    seconds = time.process_time() - began
    errors, tilts, sizes, wrong, cut = [], [], [], 0, []
    for canvas, squares, truth in zip(canvases, found, truths, strict=True):
        for square in squares:
            nearest = min(truth, key=lambda one: np.hypot(*(one.middle - square.middle)))
            if np.hypot(*(nearest.middle - square.middle)) > nearest.side / 4:
                wrong += 1
                continue
            errors += list(np.hypot(*(_places(square, nearest.points(EYES)) - EYES).T) / 2)
            tilts.append(_degrees(square, nearest))
            sizes.append(square.side / nearest.side)
            cut.append(cut_square(canvas, square, 128))
    if options.sheets and canvases:
        kind = f"{options.sheets}_{'small' if side < 240 else 'turned'}_{angle}_{side}_{len(faces[0][0].tobytes())}"
        canvases[0].save(f"{kind}_canvas.png")
        if cut:
            Image.fromarray(np.hstack(cut[:12])).save(f"{kind}_faces.png")
    row = {"faces": len(faces), "found": round(len(tilts) / len(faces), 3), "wrong": wrong}
    row |= {"canvases_per_second": round(len(canvases) / seconds, 1)}
    if cut:
        row |= {"eye_error": _spread(errors), "degrees": _spread(tilts), "size": _spread(np.abs(np.log(sizes)))}
        row |= _seen_again(cut)
    return row


def _canvas(faces, angle, side, random):
    """Six faces, leaning, on a soft background, and their squares on it."""
    noise = random.integers(60, 200, (6, 9, 3), dtype=np.uint8)
    canvas = Image.fromarray(noise).resize((ACROSS * CELL, DOWN * CELL), Image.Resampling.BICUBIC)
    squares = []
    for number, (picture, square) in enumerate(faces):
        scale = side / square.side
        size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
        small = picture.resize(size, Image.Resampling.BICUBIC)
        turned = small.convert("RGBA").rotate(angle, Image.Resampling.BICUBIC, expand=True)
        place = np.array([number % ACROSS, number // ACROSS]) * CELL + CELL // 2 - np.array(turned.size) // 2
        canvas.paste(turned, tuple(place.tolist()), turned)
        square = square.scaled(size[0] / picture.width, size[1] / picture.height)
        turn = np.radians(-angle)
        turn = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        middle = turn @ (square.middle - np.array(size) / 2) + np.array(turned.size) / 2 + place
        squares.append(Square(middle, turn @ square.right))
    return canvas, squares


def _places(square, points):
    """Where pixels lie in a square from -1 to 1."""
    away = points - square.middle
    return np.stack([away @ square.right, away @ square.down], axis=-1) / (square.right @ square.right)


def _degrees(square, other):
    turn = np.arctan2(*square.right[::-1]) - np.arctan2(*other.right[::-1])
    return abs(np.degrees((turn + np.pi) % (2 * np.pi) - np.pi))


def _seen_again(cut):
    """What the detector says of the finished squares: where the eyes are, how level, how far from their median."""
    found = [
        one[0] for some in range(0, len(cut), LOOKS) for one in find_landmarks(cut[some : some + LOOKS]) if len(one)
    ]
    if not found:
        return {}
    eyes = np.stack(found)[:, :2] / 128
    away = np.hypot(*np.moveaxis(eyes - np.median(eyes, axis=0), -1, 0))
    across = eyes[:, 1] - eyes[:, 0]
    return {
        "seen_again": round(len(found) / len(cut), 3),
        "eyes": np.median(eyes, axis=0).round(3).tolist(),
        "from_median": _spread(away),
        "not_level": _spread(np.abs(np.degrees(np.arctan2(across[:, 1], across[:, 0])))),
    }


def _spread(values):
    return np.quantile(values, [0.5, 0.95]).round(4).tolist()


def _line(row):
    words = [f"{row['set']:9} {row['angle']:4} degrees, side {row['side']:4}: found {row['found']:.3f}"]
    for name in ("eye_error", "degrees", "size", "from_median", "not_level"):
        if name in row:
            words.append(f"{name} {row[name][0]:.4f} {row[name][1]:.4f}")
    return "  ".join([*words, f"wrong {row['wrong']}", f"{row['canvases_per_second']}/s"])


def _speed(options):
    """Pictures a second, from files to the cache, of this process' processor time; the detector is loaded already."""
    import tempfile

    with tempfile.TemporaryDirectory() as cache:
        began, clock = time.process_time(), time.perf_counter()
        prepared = prepare_images(options.portraits, 64, crop="faces", cache=cache)
        files = len(find_faces(options.portraits))
        return {
            "files": files,
            "faces": len(prepared.images),
            "skipped": [reason for _, reason in prepared.skipped],
            "files_per_processor_second": round(files / (time.process_time() - began), 1),
            "files_per_second": round(files / (time.perf_counter() - clock), 1),
        }


if __name__ == "__main__":
    main()
