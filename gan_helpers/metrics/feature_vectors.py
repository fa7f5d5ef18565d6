"""From pictures to the feature vectors that the measures compare."""

import functools
import itertools
import tempfile

import keras
import numpy as np
import tensorflow as tf
from PIL import Image

from gan_helpers.data.drawn_faces import draw_faces
from gan_helpers.metrics.inception import inception_network
from gan_helpers.metrics.resize import resized
from gan_helpers.metrics.weights import inception_weights

NETWORKS = ("inception", "small")
LAYERS = (64, 192, 768, 2048)
SMALL_SIDE, SMALL_FILTERS = 64, (32, 64, 128)
SMALL_WIDTH = 2 * sum(SMALL_FILTERS)


def features(images, network="inception", resize="clean", layer=2048, *, batch_size=16, weights=None, progress=None):
    """What a feature network sees in each picture, as one vector each.

    Pictures pass through in batches; their features lie in a temporary file that is memory-mapped, so that memory
    does not grow with their number.

    `"inception"` is the network of every published FID: Inception of 2015-12-05. `"small"` is for tests and quick
    curves: three convolutions with fixed random kernels, means and deviations of their maps, each less its mean and
    divided by its deviation over drawn faces; no download, a hundred times as fast. Its figures compare with nothing
    but themselves.

    Args:
        images: uint8 `(count, height, width, 3)`, 0 to 255, or an iterable of such batches.
        network: `"inception"` (default) or `"small"`.
        resize: how pictures become 299 pixels for Inception, see `resized`: `"clean"` (default), `"tf1"` or `"torch"`.
        layer: features of Inception: `64`, `192`, `768`, `2048` (default), or `"logits"`, `(count, 1008)`, for weights
            that have them.
        batch_size: pictures that pass through at a time: each takes about 17 MB. Defaults to
            `16`.
        weights: path of a file with Inception's weights. Defaults to the one fetched, see `inception_weights`.
        progress: function that is called with the number of pictures after each batch, such as `tqdm().update`.

    Returns:
        float32 `(count, layer)` (`"small"`: `(count, 448)`), a memory map.

    Raises:
        ValueError: pictures that are not uint8 RGB, none at all, or a network, resize or layer that there is not.

    Example:
        >>> features(draw_faces(10, 64)[0], network="small").shape
        (10, 448)

    References: Szegedy et al., "Rethinking the Inception Architecture for Computer Vision", 2016; random features:
    Naeem et al., "Reliable Fidelity and Diversity Metrics for Generative Models", 2020.
    """
    if network not in NETWORKS:
        raise ValueError(f"expected a network of {', '.join(NETWORKS)}; received {network!r}")
    if network == "inception" and layer not in (*LAYERS, "logits"):
        raise ValueError(f"expected a layer of {', '.join(map(str, LAYERS))} or 'logits'; received {layer!r}")
    batches = image_batches(images, batch_size)
    first = next(batches, None)  # what is wrong with the pictures is said before weights are fetched
    if first is None:
        raise ValueError("expected at least one picture; received none; check the folder or the iterable")
    see = _small_network() if network == "small" else _inception(weights, resize, layer)
    file, count = tempfile.TemporaryFile(), 0  # noqa: SIM115  it lives as long as the memory map
    for batch in itertools.chain([first], batches):
        vectors = np.ascontiguousarray(see(batch), np.float32)
        file.write(vectors)
        count += len(vectors)
        if progress is not None:
            progress(len(vectors))
    file.flush()
    return np.memmap(file, np.float32, "r", shape=(count, vectors.shape[1]))


def image_batches(images, batch_size=16):
    """Checked uint8 batches `(at most batch_size, height, width, 3)` of an array, or of an iterable of batches.

    Raises:
        ValueError: pictures of another type, range or shape.
    """
    if isinstance(images, str | bytes | dict):
        raise ValueError(f"expected uint8 pictures or batches of them; received {type(images).__name__}")
    parts = [images] if hasattr(images, "shape") else images
    for part in parts:
        part = np.asarray(part)
        _check(part)
        for start in range(0, len(part), batch_size):
            yield np.ascontiguousarray(part[start : start + batch_size])


def as_features(images, name="images", **options):
    """Features as they are, once checked; pictures through `features`.

    Args:
        images: float `(count, width)` features, uint8 pictures, or an iterable of batches of pictures.
        name: what to call them in an error.
        **options: of `features`.

    Returns:
        float32 or float64 `(count, width)`.

    Raises:
        ValueError: NaN or infinity among the features, or what `features` refuses.
    """
    if getattr(images, "ndim", None) != 2:
        return features(images, **options)
    given = np.asarray(images)
    if given.dtype.kind != "f" or len(given) == 0:
        raise ValueError(
            f"expected {name} as float features (count, width), at least one; received {given.dtype} {given.shape}"
        )
    for start in range(0, len(given), 4096):
        finite = np.isfinite(given[start : start + 4096]).all(axis=1)
        if not finite.all():
            raise ValueError(
                f"expected finite features of {name}; received NaN or infinity in row {start + int(finite.argmin())}; "
                "look at the picture it was made from"
            )
    return given


def conditions_of(given, options):
    """How pictures became features, as plain data: what makes figures comparable. Features that are given do not say.

    Args:
        given: list of what a measure was given; only pictures among them are turned into features here.
        options: `dict` of the options of `features`.
    """
    pictures = [one for one in given if getattr(one, "ndim", None) == 4 or _is_iterable_of_batches(one)]
    if not pictures:
        return {"features": "given"}
    if options.get("network") == "small":
        return {"features": "small (random convolutions; compares with nothing else)", "layer": SMALL_WIDTH}
    known = {"features": "inception-2015-12-05", "weights_sha256": inception_weights(options.get("weights")).sha256}
    return known | {"resize": options.get("resize", "clean"), "layer": options.get("layer", 2048)}


def _is_iterable_of_batches(given):
    return hasattr(given, "__iter__") and not hasattr(given, "ndim") and not isinstance(given, str)


def _check(part):
    advice = "give uint8 RGB pictures, (count, height, width, 3), 0 to 255"
    if part.dtype != np.uint8:
        found = f"{part.dtype} {part.shape}"
        if part.dtype.kind == "f" and part.size:
            low, high = float(np.nanmin(part)), float(np.nanmax(part))
            found += f" from {low:.3g} to {high:.3g}"
            advice = "make uint8 of [-1, 1] with visualization.plots.to_uint8, of [0, 1] with (255 * images).round()"
        raise ValueError(f"expected uint8 pictures; received {found}; {advice}")
    if part.ndim != 4 or part.shape[-1] != 3 or 0 in part.shape[1:]:
        raise ValueError(f"expected pictures of shape (count, height, width, 3); received {part.shape}; {advice}")


@functools.lru_cache(maxsize=2)
def _compiled(weights, logits):
    """Inception as one TensorFlow function of batches of any size."""
    network = inception_network(weights, logits=logits)
    return tf.function(
        lambda pictures: network(pictures, training=False),
        input_signature=[tf.TensorSpec((None, 299, 299, 3), tf.float32)],
    )


def _inception(weights, resize, layer):
    resized(np.zeros((1, 8, 8, 3), np.uint8), resize)  # refuses a name that there is not
    network = _compiled(None if weights is None else str(weights), layer == "logits")
    return lambda batch: network(resized(batch, resize))[layer].numpy()


@functools.lru_cache(maxsize=1)
def _small_network():
    """Three convolutions (3x3, stride 2, ReLU) with kernels of NumPy's generator: the same everywhere, for good."""
    random = np.random.default_rng(2020)
    inputs = x = keras.Input((SMALL_SIDE, SMALL_SIDE, 3))
    seen, kernels = [], []
    for filters in SMALL_FILTERS:
        layer = keras.layers.Conv2D(filters, 3, 2, "same", use_bias=False, activation="relu")
        kernel = random.standard_normal((3, 3, x.shape[-1], filters), np.float32)
        kernels.append((layer, kernel * np.sqrt(2 / (9 * x.shape[-1]), dtype=np.float32)))
        x = layer(x)
        seen += [keras.ops.mean(x, (1, 2)), keras.ops.std(x, (1, 2))]
    network = keras.Model(inputs, keras.ops.concatenate(seen, axis=-1))
    for layer, kernel in kernels:
        layer.set_weights([kernel])

    def unscaled(batch):
        if batch.shape[1:3] != (SMALL_SIDE, SMALL_SIDE):
            side = (SMALL_SIDE, SMALL_SIDE)
            batch = np.stack([Image.fromarray(image).resize(side, Image.Resampling.BICUBIC) for image in batch])
        return network(batch.astype(np.float32) / 127.5 - 1, training=False).numpy()

    # As they are, the loudest few features are all that KID's kernel hears.
    usual = unscaled(draw_faces(200, SMALL_SIDE, seed=2020)[0])
    mean, deviation = usual.mean(axis=0), usual.std(axis=0)
    deviation = np.maximum(deviation, np.median(deviation) / 10)
    return lambda batch: (unscaled(batch) - mean) / deviation
