"""What pictures' pixels say by themselves: how much they differ, how sharp they are, whether they show a grid.

Each is one number for a batch, in units of pixels in [-1, 1], and means something next to the same number of real
pictures. None needs a network, so that all of them together take milliseconds.
"""

import numpy as np

CELLS = 8  # cells a side that pictures are averaged down to before they are compared
SATURATED = 0.99


def diversity(images):
    """How much the pictures differ from each other: the mean distance between two of them.

    The distance is the root of the mean squared difference after both were averaged down to 8x8 cells, which leaves
    what a face is (its place, pose, colours and light) and drops noise: grain that differs is no diversity.

    Args:
        images: uint8, or float in [-1, 1], `(count, height, width, 3)`, at least two, height and width multiples of 8.

    Returns:
        `float`, at least 0; 0 where all are alike, 2 between a black picture and a white one.

    Raises:
        ValueError: images of another shape.

    Example:
        >>> diversity(samples) / diversity(real_images)   # near 1 in health, near 0 in mode collapse
        0.93
    """
    images = _checked(images, at_least=2)
    count, height, width, channels = images.shape
    if height % CELLS or width % CELLS:
        raise ValueError(
            f"expected images whose sides are multiples of {CELLS}; received {images.shape}; resize them, say to 64"
        )
    cells = images.reshape(count, CELLS, height // CELLS, CELLS, width // CELLS, channels).mean(axis=(2, 4))
    flat = cells.reshape(count, -1).astype(np.float64)
    products = flat @ flat.T
    squares = np.diag(products)
    distances = np.maximum(squares[:, None] + squares[None] - 2 * products, 0) / flat.shape[1]
    return float(np.sqrt(distances)[np.triu_indices(count, 1)].mean())


def sharpness(images):
    """How much fine detail the pictures have: the size of what is left without their smoothed copies.

    Smoothed is with the weights 1, 2, 1 along both sides. A blur lowers it, noise and checkerboards raise it.

    Args:
        images: uint8, or float in [-1, 1], `(count, height, width, 3)`.

    Returns:
        `float`, at least 0, the root of the mean square; 0 for an even surface, `a` for a checkerboard of `+a`, `-a`.

    Raises:
        ValueError: images of another shape.
    """
    return float(np.sqrt(np.square(_residual(_checked(images))).mean(dtype=np.float64)))


def nyquist_power(images):
    """How much of a grid of every second pixel the pictures show: a checkerboard's own power.

    Transposed convolutions whose kernels overlap unevenly leave a pattern of period two all over a picture. It stands
    at the three corners of the spectrum that have the highest (Nyquist) frequency along rows, columns, or both:
    `power = sum over the three of |mean(residual * pattern)|^2`, with the patterns `(-1)^x`, `(-1)^y`, `(-1)^(x+y)`,
    the residual of `sharpness`, and means weighted by a Hann window, as is usual for spectra: a picture's border, which
    zero padding makes a line of, is no grid. Edges within have the pattern too, but at no fixed places, so that they
    cancel out.

    Args:
        images: uint8, or float in [-1, 1], `(count, height, width, 3)`, height and width even.

    Returns:
        `float`, at least 0, the mean over pictures and channels; `a^2` for a checkerboard of `+a`, `-a`.

    Raises:
        ValueError: images of another shape.

    Reference: Odena, Dumoulin, Olah, "Deconvolution and Checkerboard Artifacts", 2016.
    """
    images = _checked(images)
    _, height, width, _ = images.shape
    if height % 2 or width % 2:
        raise ValueError(f"expected images with even sides; received {images.shape}; resize them, say to 64")
    residual = _residual(images)
    in_rows, in_columns = 1 - 2 * (np.arange(width) % 2), 1 - 2 * (np.arange(height) % 2)
    patterns = np.stack([np.tile(in_rows, (height, 1)), np.tile(in_columns[:, None], (1, width))])
    patterns = np.concatenate([patterns, patterns[:1] * patterns[1:]])
    window = np.outer(np.hanning(height + 2)[1:-1], np.hanning(width + 2)[1:-1])
    patterns = (patterns * window / window.sum()).astype(np.float32)
    # One matrix product: pixels of each picture and channel against the three patterns.
    flat = residual.transpose(0, 3, 1, 2).reshape(-1, height * width)
    means = flat @ patterns.reshape(3, -1).T
    return float(np.square(means, dtype=np.float64).sum(axis=1).mean())


def saturated_share(images):
    """The share of values that stand at the end of the range, beyond 0.99 from its middle.

    Args:
        images: uint8, or float in [-1, 1], `(count, height, width, 3)`.

    Returns:
        `float` in [0, 1]; real faces have little of it, a generator whose tanh is driven to its ends much.

    Raises:
        ValueError: images of another shape.
    """
    return float((np.abs(_checked(images)) > SATURATED).mean())


def contrast(images):
    """The mean over the pictures of the standard deviation of a picture's own values.

    Args:
        images: uint8, or float in [-1, 1], `(count, height, width, 3)`.

    Returns:
        `float`, at least 0; 0 where each is an even surface.

    Raises:
        ValueError: images of another shape.
    """
    return float(_checked(images).std(axis=(1, 2, 3)).mean())


def _residual(images):
    rows = np.pad(images, ((0, 0), (1, 1), (0, 0), (0, 0)), mode="edge")
    smooth = (rows[:, :-2] + rows[:, 2:]) / 4 + images / 2
    columns = np.pad(smooth, ((0, 0), (0, 0), (1, 1), (0, 0)), mode="edge")
    return images - (columns[:, :, :-2] + columns[:, :, 2:]) / 4 - smooth / 2


def _checked(images, at_least=1):
    images = np.asarray(images)
    if images.ndim != 4 or images.shape[-1] != 3 or len(images) < at_least:
        raise ValueError(
            f"expected images of shape (count, height, width, 3), at least {at_least}; received {images.shape}; "
            "add a batch axis to a single picture with images[None]"
        )
    return images / np.float32(127.5) - 1 if images.dtype == np.uint8 else images.astype(np.float32)
