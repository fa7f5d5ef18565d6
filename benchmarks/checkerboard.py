"""Do samples show a grid of every second pixel? `python -m benchmarks.checkerboard RUN … --data FOLDER`.

The power of the three patterns of period two in the samples' fine detail, over that of real faces, of the averaged
generator and of the one that played: see `gan_helpers.metrics.nyquist_power`. Beside it stands the same ratio of the
detail itself, since a picture with more detail has more of everything. A table goes to stderr, JSON to stdout.
"""

import argparse
import json
import sys

from gan_helpers.data.images import prepare_images
from gan_helpers.metrics.pixels import nyquist_power, sharpness
from gan_helpers.training.runs import Run, load_generator, newest_step
from gan_helpers.visualization.plots import generate_images


def main():
    parser = argparse.ArgumentParser(prog="python -m benchmarks.checkerboard", description=__doc__.split("\n")[0])
    parser.add_argument("runs", nargs="+", metavar="RUN", help="folder of a run")
    parser.add_argument("--data", default="drawn", help="folder of real faces, or 'drawn' (default: %(default)s)")
    parser.add_argument("--count", type=int, default=1000, help="samples, and real faces (default: %(default)s)")
    options = parser.parse_args()
    rows = [row for run in options.runs for row in measure(run, options)]
    width = max(len(row["run"]) for row in rows)
    print(f"{'run':{width}}  architecture   step  weights   grid/real  detail/real", file=sys.stderr)
    for row in rows:
        print(
            f"{row['run']:{width}}  {row['architecture']:12}  {row['step']:5}  {row['weights']:8}  "
            f"{row['nyquist_ratio']:9.2f}  {row['sharpness_ratio']:11.2f}",
            file=sys.stderr,
        )
    json.dump(rows, sys.stdout, indent=1)


def measure(run, options):
    """A row for the averaged weights and one for those that played."""
    settings = Run(run).settings
    real = prepare_images(options.data, settings["image_size"], crop=settings["crop"]).images[-options.count :]
    for weights in ("averaged", "raw"):
        generator = load_generator(run, averaged=weights == "averaged")
        samples = generate_images(generator, options.count, seed=0)
        yield {
            "run": str(run),
            "architecture": settings["architecture"],
            "step": newest_step(run),
            "weights": weights,
            "nyquist_ratio": round(nyquist_power(samples) / nyquist_power(real), 3),
            "sharpness_ratio": round(sharpness(samples) / sharpness(real), 3),
        }


if __name__ == "__main__":
    main()
