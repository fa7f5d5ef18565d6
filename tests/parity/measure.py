"""Compares our features and measures with the reference implementations', on the real weights (`make test-parity`).

    .venv/bin/python tests/parity/measure.py .venv-parity/bin/python            compares
    .venv/bin/python tests/parity/measure.py .venv-parity/bin/python --write    and keeps what the references gave
    .venv/bin/python tests/parity/measure.py .venv-parity/bin/python --speed    measures how fast both are instead

The references run in an environment of their own (`tests/parity/requirements.txt`). What they gave is kept in
`tests/data/parity.npz`, which `tests/test_parity.py` checks against without them. Where `GAN_FACES_DIR` names a folder
of photographs, they are compared too, and nothing made of them is kept.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from pictures import RESIZE_OF, SIDES, drawn, from_torch, noise, two_sets

from gan_helpers import metrics
from gan_helpers.data.decoding import load_image
from gan_helpers.data.sources import find_faces
from gan_helpers.metrics.distances import squared_mmd
from gan_helpers.metrics.inception import inception_network
from gan_helpers.metrics.resize import resized
from gan_helpers.metrics.weights import inception_weights
from gan_helpers.training.files import write_whole

HERE = Path(__file__).parent
KEPT = HERE.parent / "data" / "parity.npz"
FEATURES, DISTANCES = 1e-4, 1e-3  # absolute; relative
TURNS, SPEED_COUNT = 5, 96


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("python", help="interpreter of the environment with the references")
    parser.add_argument("--write", action="store_true", help=f"keep what the references gave in {KEPT.name}")
    parser.add_argument("--speed", action="store_true", help="measure pictures a second instead")
    arguments = parser.parse_args()
    weights = inception_weights()
    if not weights.source.endswith(".pt"):
        sys.exit("expected weights from default_1.pt, which clean-fid reads; set GAN_HELPERS_INCEPTION to its path")
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        layers = {f"{name}/{part}": array for name, parts in weights.layers.items() for part, array in parts.items()}
        np.savez(folder / "weights.npz", **layers)
        if arguments.speed:
            return speed(arguments.python, folder)
        theirs = references(arguments.python, folder, weights.source)
        right = report(theirs)
        if arguments.write:
            keep(theirs)
    sys.exit(0 if right else "expected features equal to 1e-4 and distances to 0.1 %; received others, see above")


def pictures():
    """All that is compared: for features a few of each side, for distances two sets; photographs where there are."""
    found = {f"face/{side}": drawn(side) for side in SIDES} | {f"noise/{side}": noise(side) for side in SIDES}
    found["drawn/real"], found["drawn/fake"] = two_sets()
    if os.environ.get("GAN_FACES_DIR"):
        files = find_faces(os.environ["GAN_FACES_DIR"])[:192]
        found |= {f"photo/{side}": np.stack([load_image(file, side) for file in files[:8]]) for side in SIDES}
        found["photos/real"] = np.stack([load_image(file, 64) for file in files[:96]])
        found["photos/fake"] = np.stack([load_image(file, 64) for file in files[96:]])[:, :, ::-1] // 8 * 8
    return found


def references(python, folder, script):
    np.savez(folder / "pictures.npz", **pictures())
    files = [folder / "weights.npz", script, folder / "pictures.npz", folder / "results.npz"]
    subprocess.run([python, HERE / "references.py", *files], check=True)
    with np.load(folder / "results.npz") as stored:
        return {key: stored[key] for key in stored.files}


def report(theirs):
    """Prints a table of differences; whether all are small enough."""
    network, given, right = inception_network(), pictures(), True
    print(f"{'pictures':14} {'reference':16} largest difference of a feature, by layer")
    ours = {}
    for key, images in given.items():
        for resize in ("torch", "tf1", "clean"):
            parts = [network(resized(images[start : start + 16], resize)) for start in range(0, len(images), 16)]
            ours[key, resize] = {layer: np.concatenate([part[layer] for part in parts]) for layer in parts[0]}
        for reference, resize in RESIZE_OF.items():
            known = {layer: theirs.get(f"{key}/{reference}/{layer}") for layer in (64, 192, 768, 2048)}
            known = {layer: array for layer, array in known.items() if array is not None}
            gaps = {layer: float(np.abs(ours[key, resize][layer] - array).max()) for layer, array in known.items()}
            right &= max(gaps.values()) <= FEATURES
            print(f"{key:14} {reference:16} " + "  ".join(f"{layer}: {gap:.1e}" for layer, gap in gaps.items()))
    for sets in (key.removesuffix("/real") for key in given if key.endswith("/real")):
        for reference, resize in RESIZE_OF.items():
            real, fake = (ours[f"{sets}/{side}", resize][2048] for side in ("real", "fake"))
            right &= report_distances(f"{sets}/{reference}/", our_distances(real, fake), theirs)
    return right & report_examples(network, theirs)


def our_distances(real, fake):
    shares = metrics.precision_recall(real, fake, neighbours=3)
    return {
        "fid": metrics.fid(real, fake, groups=0).value,
        "kid": metrics.kid(real, fake, subsets=1, subset_size=len(real)).value,
        "precision": shares.precision.value,
        "recall": shares.recall.value,
    }


def report_distances(prefix, ours, theirs):
    right = True
    for key, value in theirs.items():
        if not key.startswith(prefix) or key.count("/") != 3:
            continue
        name, reference = key.removeprefix(prefix).split("/")
        if name in ours:
            gap = abs(ours[name] / float(value) - 1) if value else abs(ours[name])
            right &= gap <= DISTANCES
            print(f"{prefix + name:40} by {reference:15} {float(value):.8g}  ours {ours[name]:.8g}  gap {gap:.1e}")
    return right


def report_examples(network, theirs):
    """torchmetrics' documented examples, on the same pictures."""
    real, fake = from_torch(*(theirs[f"torchmetrics/{name}"] for name in ("state", "pictures/real", "pictures/fake")))
    seen = [
        [network(resized(images[start : start + 20], "tf1")) for start in range(0, 100, 20)] for images in (real, fake)
    ]
    features = {layer: [np.concatenate([part[layer] for part in parts]) for parts in seen] for layer in (64, 2048)}
    fid, (first, second) = metrics.fid(*features[64], groups=0).value, features[2048]
    kid = np.mean([squared_mmd(*_wide(first[one], second[two])) for one, two in theirs["torchmetrics/subsets"]])
    own = metrics.kid(first, second, subsets=100, subset_size=50)
    print(f"torchmetrics' example: FID {theirs['torchmetrics/fid'][0]:.4f} (documented 12.6388), ours {fid:.4f}")
    mean, spread = theirs["torchmetrics/kid"]
    print(
        f"torchmetrics' example: KID {mean:.4f} +- {spread:.4f} (documented 0.0312 +- 0.0025), ours {kid:.4f} on the "
        f"same subsets, {own.value:.4f} +- {own.spread:.4f} on our own"
    )
    return all(
        abs(one / float(other) - 1) < DISTANCES for one, other in ((fid, theirs["torchmetrics/fid"][0]), (kid, mean))
    )


def _wide(*features):
    return [one.astype(np.float64) for one in features]


def keep(theirs):
    """What `tests/test_parity.py` needs: a face of each side, features of it and of noise, distances."""
    kept = {key: array for key, array in theirs.items() if key.split("/")[0] in ("face", "noise", "torchmetrics")}
    kept = {key: array for key, array in kept.items() if "/torchmetrics/" not in key}
    kept |= {key: array for key, array in theirs.items() if key.startswith("drawn/") and array.ndim == 0}
    kept |= {f"face/{side}": drawn(side) for side in SIDES}
    KEPT.parent.mkdir(exist_ok=True)
    write_whole(KEPT, lambda opened: np.savez_compressed(opened, **kept))
    print(f"{KEPT.name}: {KEPT.stat().st_size} bytes")


def speed(python, folder):
    """Ours and pytorch-fid in turn, from 64 pixels, each process alone: medians of pictures a second."""
    np.savez(folder / "speed.npz", speed=drawn(64, SPEED_COUNT))
    own = [sys.executable, HERE / "measure_speed.py", folder / "speed.npz"]
    peer = [python, HERE / "references.py", folder / "weights.npz", "--speed", folder / "speed.npz"]
    found = {"ours": [], "pytorch-fid": []}
    for _ in range(TURNS):
        for name, command in zip(found, (own, peer), strict=True):
            found[name].append(float(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
            time.sleep(1)
    medians = {name: statistics.median(rates) for name, rates in found.items()}
    for name, rates in found.items():
        print(f"{name}: {medians[name]:.2f} pictures/s ({', '.join(f'{rate:.2f}' for rate in rates)})")
    print(f"ratio: {medians['ours'] / medians['pytorch-fid']:.3f}")


if __name__ == "__main__":
    main()
