"""A panel to look back on a training with: the samples of each epoch beside the run's curves."""

import re
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from gan_helpers.training.runs import Run
from gan_helpers.visualization.panel import Panel, widgets
from gan_helpers.visualization.plots import plot_history

_DPI = 100
_WIDTH, _LEAST, _SHOWN, _GAP = 440, 400, 512, 8  # pixels: of the curves; their least height; of the samples, about
_GREY = 60  # of the line that marks the epoch


def explore_run(run, *, directory="images"):
    """A run's timeline: a slider over its epochs, their samples, and where they lie on its curves.

    The same latents at each epoch, as `train` leaves them in the run's `samples/`; epoch 0 is before the training. A
    run that is still being trained shows what there is.

    Args:
        run: path of the run's folder.
        directory: folder of the pictures that one saves. Defaults to `"images"`.

    Returns:
        A `Panel`; as the last line of a cell it is shown.

    Raises:
        ModuleNotFoundError: there is no ipywidgets.
        ValueError: the folder is no run, there are no samples in it, or a damaged one.

    Example:
        >>> explore_run("runs/mine")
    """
    run = Run(run)
    run.settings  # noqa: B018  refuses what is no run
    files = _samples(run.samples)
    epochs = widgets().SelectionSlider(options=list(files), value=max(files), description="epoch")
    high = max(_LEAST, _read(files[epochs.value]).shape[0])
    curves = _curves(run.history(), list(files), high)

    def draw():
        samples = _read(files[epochs.value])
        return samples if curves is None else _beside(samples, _marked(*curves, epochs.value))

    return Panel(draw, [epochs], "run", directory=directory)


def _samples(folder):
    """The files of the samples by their epochs, in their order."""
    found = {}
    for file in Path(folder).glob("epoch_*.png"):
        if match := re.fullmatch(r"epoch_(\d+)", file.stem):
            found[int(match[1])] = file
    if not found:
        raise ValueError(
            f"expected samples epoch_0.png, epoch_1.png, … in '{folder}'; received none; train with this run again "
            "(without --sample-path, which puts them elsewhere)"
        )
    return dict(sorted(found.items()))


def _read(file):
    """A sample's pixels, small ones enlarged by whole numbers."""
    try:
        with Image.open(file) as picture:
            pixels = np.asarray(picture.convert("RGB"))
    except OSError as error:
        raise ValueError(f"expected a whole picture in '{file}'; received a damaged one ({error}); delete it") from None
    scale = max(1, round(_SHOWN / pixels.shape[0]))
    return pixels.repeat(scale, axis=0).repeat(scale, axis=1)


def _curves(history, epochs, high):
    """The curves as pixels, each chart's rows `(top, bottom)`, and the transforms from epochs to columns.

    Drawn once: matplotlib takes longer for it than a slider may take to answer.
    """
    if not history:
        return None
    figure = Figure(figsize=(_WIDTH / _DPI, high / _DPI), dpi=_DPI, layout="constrained")
    canvas, axes = FigureCanvasAgg(figure), figure.subplots(2, 1)
    plot_history(history, axes=axes)
    known = [*epochs, *(row["epoch"] for row in history)]
    margin = max(max(known) - min(known), 1) / 25
    for axis in axes:
        axis.set_xlim(min(known) - margin, max(known) + margin)
        axis.xaxis.get_major_locator().set_params(integer=True)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[..., :3].copy()
    frames = [(len(pixels) - round(axis.bbox.y1), len(pixels) - round(axis.bbox.y0)) for axis in axes]
    return pixels, frames, [axis.transData.frozen() for axis in axes]


def _marked(pixels, frames, places, epoch):
    pixels = pixels.copy()
    for (top, bottom), place in zip(frames, places, strict=True):
        column = round(place.transform((epoch, 0))[0])
        pixels[top:bottom, column : column + 2] = _GREY
    return pixels


def _beside(left, right):
    width = left.shape[1] + _GAP
    sheet = np.full((max(len(left), len(right)), width + right.shape[1], 3), 255, np.uint8)
    sheet[: len(left), : left.shape[1]], sheet[: len(right), width:] = left, right
    return sheet
