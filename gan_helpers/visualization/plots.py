"""Grids, curves, strips, interpolations and animations of what a generator makes."""

from pathlib import Path

import keras
import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

from gan_helpers.models.conditional import network_inputs


def sample_latents(count, latent_dim=100, *, seed=0):
    """Latents from the standard normal distribution; the first rows do not depend on `count`.

    Args:
        count: how many.
        latent_dim: their width. Defaults to `100`.
        seed: seed of NumPy's generator. Defaults to `0`.

    Returns:
        float32 `(count, latent_dim)`.
    """
    return np.random.default_rng(seed).standard_normal((count, latent_dim), np.float32)


def generate_images(generator, latents, *, seed=0, batch_size=64, attributes=None):
    """Pictures from a generator, as uint8.

    Args:
        generator: `keras.Model` from latents to images in [-1, 1].
        latents: float32 `(count, latent_dim)`, or an `int`: that many are drawn with `sample_latents`.
        seed: seed for a number of latents. Defaults to `0`.
        batch_size: images made at a time. Defaults to `64`.
        attributes: of a generator with attributes, what to make: a dict of wishes such as `{"Smiling": 1}` (see
            `Labels.sample`), or float32 `(count, n)` in [-1, 1]. What is not wished for comes as in the data, drawn by
            `seed`. Defaults to `None`, no wishes.

    Returns:
        uint8 `(count, height, width, 3)`.

    Raises:
        ValueError: latents of another width than the generator's, or attributes that it does not have.
    """
    width = latent_dim_of(generator)
    if isinstance(latents, int):
        latents = sample_latents(latents, width, seed=seed)
    latents = keras.ops.convert_to_numpy(latents)
    if latents.ndim != 2 or latents.shape[1] != width:
        raise ValueError(
            f"expected latents of shape (count, {width}) for this generator; received {latents.shape}; "
            f"draw them with sample_latents(count, {width})"
        )
    rows = attributes_for(generator, len(latents), attributes, seed=seed)
    parts = []
    for start in range(0, len(latents), batch_size):
        some = slice(start, start + batch_size)
        given = network_inputs(latents[some], None if rows is None else rows[some])
        parts.append(generator(given, training=False))
    return to_uint8(np.concatenate([keras.ops.convert_to_numpy(part) for part in parts]))


def latent_dim_of(generator):
    """Width of a generator's latents, whether it has attributes beside them or not."""
    return generator.inputs[0].shape[-1]


def attributes_for(generator, count, attributes=None, *, seed=0):
    """The attributes that `generate_images` gives a generator beside its latents.

    Args:
        generator: a `keras.Model`.
        count: how many rows.
        attributes: as for `generate_images`.
        seed: as there. Defaults to `0`.

    Returns:
        float32 `(count, n)` in [-1, 1], or `None` for a generator without attributes.

    Raises:
        ValueError: attributes that it does not have, or too few of them.
    """
    if len(generator.inputs) == 1:
        if attributes is None or len(attributes) == 0:
            return None
        raise ValueError(
            f"expected no attributes for a generator that was trained without; received {_shown(attributes)}; train "
            "one with --attributes"
        )
    number, labels = generator.inputs[1].shape[-1], getattr(generator, "labels", None)
    if attributes is None or isinstance(attributes, dict):
        if labels is None:
            raise ValueError(
                f"expected the {number} attributes of each face, for this generator does not know its data's; received "
                f"{_shown(attributes)}; pass float32 (count, {number}) in [-1, 1], or load it with load_generator"
            )
        return labels.sample(count, seed=seed, wishes=attributes)
    attributes = keras.ops.convert_to_numpy(attributes).astype(np.float32)
    if attributes.shape != (count, number) or not np.all(np.abs(attributes) <= 1):
        raise ValueError(
            f"expected attributes of shape ({count}, {number}) in [-1, 1]; received {_shown(attributes)}; for wishes "
            'in their own units pass a dict such as {"Smiling": 1}'
        )
    return attributes


def _shown(attributes):
    if not isinstance(attributes, np.ndarray):
        return attributes
    return f"{attributes.shape} from {attributes.min():g} to {attributes.max():g}" if attributes.size else "none"


def to_uint8(images):
    """uint8 pictures from uint8 (as they are) or float in [-1, 1] (values outside are cut off)."""
    images = np.asarray(images)
    if images.dtype == np.uint8:
        return images
    return np.clip(np.rint((images.astype(np.float32) + 1.0) * 127.5), 0, 255).astype(np.uint8)


def image_grid(images, columns=None, *, gap=2, background=255, scale=1):
    """One picture of many, row by row.

    Args:
        images: uint8, or float in [-1, 1], `(count, height, width, 3)`.
        columns: pictures in a row. Defaults to the whole number nearest to a square.
        gap: pixels between pictures. Defaults to `2`.
        background: grey value of the gaps, 0 to 255. Defaults to `255`.
        scale: how often each pixel is repeated, for small pictures on a large screen. Defaults to `1`.

    Returns:
        uint8 `(height, width, 3)`.

    Raises:
        ValueError: images of another shape.
    """
    images = to_uint8(images)
    if images.ndim != 4 or images.shape[-1] != 3 or len(images) == 0:
        raise ValueError(
            f"expected images of shape (count, height, width, 3), at least one; received {images.shape}; "
            "add a batch axis to a single picture with images[None]"
        )
    count, height, width, _ = images.shape
    columns = min(columns or int(np.ceil(np.sqrt(count))), count)
    rows = -(-count // columns)
    grid = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, 3), background, np.uint8)
    for number, image in enumerate(images):
        top, left = number // columns * (height + gap), number % columns * (width + gap)
        grid[top : top + height, left : left + width] = image
    return grid.repeat(scale, axis=0).repeat(scale, axis=1)


def show_images(images, columns=None, *, title=None, scale=1.0):
    """Shows a grid in a notebook.

    Args:
        images: uint8, or float in [-1, 1], `(count, height, width, 3)`.
        columns: pictures in a row, as in `image_grid`.
        title: a line above it, or `None`.
        scale: size on the page, relative to about one and a half screen pixels a pixel. Defaults to `1.0`.

    Returns:
        The `matplotlib` figure.
    """
    grid = image_grid(images, columns)
    height, width = grid.shape[:2]
    figure = plt.figure(figsize=(scale * width / 72, scale * height / 72 + (0.3 if title else 0)))
    axes = figure.add_axes((0, 0, 1, scale * height / 72 / figure.get_figheight()))
    axes.imshow(grid, interpolation="nearest" if scale >= 2 else "antialiased")
    axes.axis("off")
    if title:
        axes.set_title(title, fontsize=10)
    return figure


def generate_and_save_images(
    generator,
    epoch,
    test_input,
    *,
    directory="images",
    name="epoch_{epoch}.png",
    batch=None,
    columns=None,
    scale=1,
    show=None,
    attributes=None,
):
    """Generates a grid of faces and saves it, `images/epoch_0.png` for epoch 0; a picture of that name is replaced.

    Args:
        generator: `keras.Model` from latents to images in [-1, 1].
        epoch: number of the epoch, for the file's name.
        test_input: float32 latents `(count, latent_dim)`; give the same ones each time, to watch the same faces.
        directory: folder, made where missing. Defaults to `"images"`.
        name: the file's name, with `{epoch}` and perhaps `{batch}`; its ending chooses the format.
            Defaults to `"epoch_{epoch}.png"`.
        batch: number of the batch, where the name holds `{batch}`.
        columns: faces in a row, as in `image_grid`.
        scale: how many pixels a side each of the faces' is drawn as. Defaults to `1`.
        show: also show it (with matplotlib). Defaults to `None`: where it runs in a notebook.
        attributes: as for `generate_images`; by default the same rows of the data each time.

    Returns:
        `pathlib.Path` of the picture.

    Raises:
        ValueError: latents of another width, a name with other fields, or with `{batch}` but no `batch` given.
    """
    if "{batch}" in f"{directory}{name}" and batch is None:
        raise ValueError(f"expected batch, since the name {name!r} holds {{batch}}; received None; pass batch=1")
    try:
        path = Path(str(directory).format(epoch=epoch, batch=batch)) / name.format(epoch=epoch, batch=batch)
    except (KeyError, IndexError, ValueError):
        raise ValueError(f"expected a name with {{epoch}} and {{batch}} alone; received {name!r}") from None
    images = generate_images(generator, test_input, attributes=attributes)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image_grid(images, columns, scale=scale)).save(path, quality=95)
    if show or (show is None and _in_notebook()):
        show_images(images, columns, title=f"epoch {epoch}")
        plt.show()
    return path


def plot_history(history, *, axes=None):
    """Losses and scores of a run against its steps.

    Args:
        history: rows as `Run.history()` gives them, or the `history` dict of Keras' `History`.
        axes: two matplotlib axes to draw into. Defaults to a new figure.

    Returns:
        The `matplotlib` figure.

    Raises:
        ValueError: the history is empty.
    """
    if isinstance(history, dict):
        count = len(next(iter(history.values()), []))
        history = [{"epoch": n + 1} | {name: values[n] for name, values in history.items()} for n in range(count)]
    if not history:
        raise ValueError("expected at least one finished epoch; received an empty history; train longer")
    if axes is None:
        _, axes = plt.subplots(1, 2, figsize=(10, 3), layout="constrained")
    epochs = [row["epoch"] for row in history]
    for name, axis, style in (
        ("d_loss", axes[0], "C0-"), ("g_loss", axes[0], "C1-"),
        ("real_score", axes[1], "C0-"), ("fake_score", axes[1], "C1-"),
    ):  # fmt: skip
        axis.plot(epochs, [row[name] for row in history], style, label=name, marker="." if len(epochs) < 40 else "")
    axes[1].axhline(0.5, color="grey", linewidth=0.8, linestyle=":")
    axes[1].set_ylim(0, 1)
    for axis, title in zip(axes, ("losses", "discriminator's mean probability of “real”"), strict=True):
        axis.set_xlabel("epoch")
        axis.set_title(title, fontsize=10)
        axis.legend(fontsize=8)
    return axes[0].figure


def interpolate(first, second, steps=8, *, method="spherical"):
    """Latents on the way from one to another.

    Latents of a standard normal distribution lie near a sphere of radius `sqrt(latent_dim)`. The straight way cuts
    through its inside, where the generator was never trained; the spherical one keeps to its surface.

    Args:
        first: float32 `(latent_dim,)`.
        second: float32 `(latent_dim,)`.
        steps: how many latents, both ends included. Defaults to `8`.
        method: `"spherical"` (default) or `"straight"`.

    Returns:
        float32 `(steps, latent_dim)`.

    Raises:
        ValueError: another method, other shapes, or fewer than two steps.

    Reference: White, "Sampling Generative Networks", 2016.
    """
    first, second = np.asarray(first, np.float32), np.asarray(second, np.float32)
    if first.ndim != 1 or first.shape != second.shape or steps < 2:
        raise ValueError(
            f"expected two latents of one shape (latent_dim,) and at least 2 steps; received {first.shape}, "
            f"{second.shape} and {steps}; take rows of sample_latents(2)"
        )
    share = np.linspace(0, 1, steps, dtype=np.float32)[:, None]
    if method == "straight":
        return (1 - share) * first + share * second
    if method != "spherical":
        raise ValueError(f"expected method 'spherical' or 'straight'; received {method!r}")
    cosine = np.dot(first, second) / (np.linalg.norm(first) * np.linalg.norm(second))
    angle = np.arccos(np.clip(cosine, -1, 1))
    if np.sin(angle) < 1e-4:  # parallel: both ways are one
        return (1 - share) * first + share * second
    return (np.sin((1 - share) * angle) * first + np.sin(share * angle) * second) / np.sin(angle)


def nearest_neighbours(images, candidates, count=3):
    """For each picture the candidates nearest to it, by mean squared difference of pixels.

    Args:
        images: uint8 `(n, height, width, 3)`.
        candidates: uint8 `(m, height, width, 3)`, an array or memory map; read in blocks.
        count: neighbours of each. Defaults to `3`.

    Returns:
        `(indices, distances)`: int `(n, count)`, nearest first, and float32 `(n, count)`, the root of the mean
        squared difference in grey values, 0 to 255.

    Raises:
        ValueError: pictures of other sizes, or fewer candidates than `count`.
    """
    if images.shape[1:] != candidates.shape[1:] or len(candidates) < count:
        raise ValueError(
            f"expected candidates of shape (at least {count}, {', '.join(map(str, images.shape[1:]))}); "
            f"received {candidates.shape}; prepare both at one image_size"
        )
    flat = images.reshape(len(images), -1).astype(np.float32)
    blocks = []
    for start in range(0, len(candidates), 1024):
        block = candidates[start : start + 1024].reshape(-1, flat.shape[1]).astype(np.float32)
        squares = (flat**2).sum(1)[:, None] + (block**2).sum(1)[None] - 2 * flat @ block.T
        blocks.append(np.maximum(squares, 0) / flat.shape[1])
    squares = np.concatenate(blocks, axis=1)
    indices = np.argsort(squares, axis=1, kind="stable")[:, :count]
    return indices, np.sqrt(np.take_along_axis(squares, indices, axis=1))


def save_animation(frames, path, *, milliseconds=100, hold=1000):
    """Pictures as an endless GIF.

    Args:
        frames: uint8, or float in [-1, 1], `(count, height, width, 3)`.
        path: file ending in `.gif`; a file of that name is replaced.
        milliseconds: how long each frame stands. Defaults to `100`.
        hold: how long the last one stands. Defaults to `1000`.

    Returns:
        `pathlib.Path` of the GIF.

    Raises:
        ValueError: no frame, or another ending.
    """
    path = Path(path)
    if path.suffix.lower() != ".gif" or len(frames) == 0:
        raise ValueError(f"expected frames and a .gif file; received {len(frames)} frames and '{path.name}'")
    pictures = [Image.fromarray(frame) for frame in to_uint8(frames)]
    times = [milliseconds] * (len(pictures) - 1) + [hold]
    path.parent.mkdir(parents=True, exist_ok=True)
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=times, loop=0)
    return path


def _in_notebook():
    try:
        from IPython import get_ipython
    except ImportError:
        return False
    return get_ipython() is not None and "IPKernelApp" in get_ipython().config
