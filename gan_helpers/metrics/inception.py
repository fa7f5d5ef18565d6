"""Inception of 2015-12-05, the network of every published FID, in stock Keras layers."""

import keras
import numpy as np

from gan_helpers.metrics.weights import InceptionWeights, inception_weights

EPSILON = 1e-3  # of every batch normalisation
TOLERANCE = 0.01  # of the check on a fixed picture; GPUs that round to TF32 stay within it

# One entry a block, one tuple a tower, all towers' outputs joined; names as the original graph has them. A tuple within
# a tower is a fork: both convolutions see the same input and are joined.
_POOLED = ("tower_2/pool", "tower_2/conv")
_MIXED_35 = (
    ("conv",),
    ("tower/conv", "tower/conv_1"),
    ("tower_1/conv", "tower_1/conv_1", "tower_1/conv_2"),
    _POOLED,
)
_MIXED_17 = (
    ("conv",),
    ("tower/conv", "tower/conv_1", "tower/conv_2"),
    ("tower_1/conv", "tower_1/conv_1", "tower_1/conv_2", "tower_1/conv_3", "tower_1/conv_4"),
    _POOLED,
)
_MIXED_8 = (
    ("conv",),
    ("tower/conv", ("tower/mixed/conv", "tower/mixed/conv_1")),
    ("tower_1/conv", "tower_1/conv_1", ("tower_1/mixed/conv", "tower_1/mixed/conv_1")),
    _POOLED,
)
BLOCKS = {
    "mixed": _MIXED_35,
    "mixed_1": _MIXED_35,
    "mixed_2": _MIXED_35,
    "mixed_3": (("conv",), ("tower/conv", "tower/conv_1", "tower/conv_2"), ("pool",)),
    "mixed_4": _MIXED_17,
    "mixed_5": _MIXED_17,
    "mixed_6": _MIXED_17,
    "mixed_7": _MIXED_17,
    "mixed_8": (
        ("tower/conv", "tower/conv_1"),
        ("tower_1/conv", "tower_1/conv_1", "tower_1/conv_2", "tower_1/conv_3"),
        ("pool",),
    ),
    "mixed_9": _MIXED_8,
    "mixed_10": _MIXED_8,
}
STEM = ("conv", "conv_1", "conv_2", "pool"), ("conv_3", "conv_4", "pool_1")
POOLS = {name for tower in STEM for name in tower if name.startswith("pool")} | {
    f"{block}/{tower[0]}" for block, towers in BLOCKS.items() for tower in towers if tower[0].endswith("pool")
}
# These halve the side; like the two others they see no padding.
HALVING = {"conv", "pool", "pool_1", "mixed_3/conv", "mixed_3/tower/conv_2", "mixed_3/pool"} | {
    "mixed_8/tower/conv_1",
    "mixed_8/tower_1/conv_3",
    "mixed_8/pool",
}
UNPADDED = HALVING | {"conv_1", "conv_4"}
# Pools that average, over the pixels that are there; mixed_10 has a maximum in their place, an oddity of the original.
AVERAGING = {f"{block}/tower_2/pool" for block, towers in BLOCKS.items() if _POOLED in towers} - {
    "mixed_10/tower_2/pool"
}


def inception_network(weights=None, *, logits=False):
    """The network that turns pictures into the features of FID, KID, precision and recall.

    It is the original's architecture, not that of today's Inception v3: average pools leave the padding out, the last
    block pools by maximum, batch normalisation has no gamma and an epsilon of 0.001. That normalisation is folded into
    the convolutions' kernels and biases, so that a picture costs 94 convolutions with ReLU and nothing between them.

    Args:
        weights: path of a file, `InceptionWeights`, or `None` (default): the weights that `inception_weights` fetches.
        logits: give the softmax's 1008 inputs in place of the features, for the Inception Score. They are made without
            the bias, as the original score makes them. Defaults to `False`.

    Returns:
        A frozen `keras.Model` of 21.8 million parameters. It takes float32 `(batch, 299, 299, 3)`, normalised as
        `resized` does, and gives a `dict` of float32 `(batch, layer)`, means over all pixels, for each layer `64`
        (after the first maximum pool), `192` (after the second), `768` (after `mixed_7`) and `2048` (the last, which
        papers use); or, with `logits`, of `"logits"` `(batch, 1008)` alone.

    Raises:
        ValueError: weights that are missing, damaged, not Inception's, or (with `logits`) without the softmax.

    Example:
        >>> network = inception_network()
        >>> network(resized(draw_faces(2, 64)[0], "clean"))[2048].shape
        TensorShape([2, 2048])

    References: Szegedy et al., "Rethinking the Inception Architecture for Computer Vision", 2016; as FID's network:
    Heusel et al., "GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium", 2017.
    """
    if not isinstance(weights, InceptionWeights):
        weights = inception_weights(weights)
    if logits and weights.softmax is None:
        raise ValueError(
            f"expected weights with the 1008-way softmax, for the Inception Score; received '{weights.source}', "
            "which has none; give the path of TensorFlow's inception-2015-12-05.tgz"
        )
    network = _built(weights)
    _check_on_a_picture(network, weights.source)
    if not logits:
        return network
    last = keras.layers.Dense(weights.softmax["kernel"].shape[-1], use_bias=False, dtype="float32", name="softmax")
    scores = last(network.output[2048])
    last.set_weights([weights.softmax["kernel"]])
    return _frozen(keras.Model(network.input, {"logits": scores}, name="inception_2015_12_05_logits"))


def _built(weights):
    """The network with its weights, unchecked."""
    layers = dict(weights.layers)
    outputs = {}

    def see(x, name):
        return _pool(x, name) if name in POOLS else _convolution(x, name, layers.pop(name))

    try:
        x = inputs = keras.Input((299, 299, 3), dtype="float32", name="pictures")
        for tower in STEM:
            for name in tower:
                x = see(x, name)
            outputs[x.shape[-1]] = x
        for block, towers in BLOCKS.items():
            x = _joined([_tower(x, block, tower, see) for tower in towers], block)
            outputs[x.shape[-1]] = x
        outputs = {width: _mean(outputs[width]) for width in (64, 192, 768, 2048)}
    except (KeyError, ValueError) as error:
        raise ValueError(
            f"expected the layers of Inception of 2015-12-05; received others in '{weights.source}' "
            f"({' '.join(str(error).split())[:200]}); give a path of the true file"
        ) from error
    return _frozen(keras.Model(inputs, outputs, name="inception_2015_12_05"))


def _tower(x, block, names, see):
    for name in names:
        if isinstance(name, tuple):
            x = _joined([see(x, f"{block}/{each}") for each in name], f"{block}/{name[0].rsplit('/', 1)[0]}")
        else:
            x = see(x, f"{block}/{name}")
    return x


def _convolution(x, name, weights):
    """A convolution with ReLU, its batch normalisation folded in, which is done in float64 to cost no digit."""
    scale = 1 / np.sqrt(weights["variance"].astype(np.float64) + EPSILON)
    kernel, bias = weights["kernel"] * scale, weights["beta"] - weights["mean"] * scale
    height, width, _, filters = kernel.shape
    layer = keras.layers.Conv2D(filters, (height, width), activation="relu", **_settings(name))
    x = layer(x)
    layer.set_weights([kernel, bias])
    return x


def _pool(x, name):
    kind = keras.layers.AveragePooling2D if name in AVERAGING else keras.layers.MaxPooling2D
    return kind(3, **_settings(name))(x)


def _settings(name):
    """What convolutions and pools share; the type is stated, since a training may have set bfloat16 for all layers."""
    return {
        "strides": 2 if name in HALVING else 1,
        "padding": "valid" if name in UNPADDED else "same",
        "data_format": "channels_last",
        "dtype": "float32",
        "name": name.replace("/", "."),
    }


def _joined(parts, block):
    return keras.layers.Concatenate(dtype="float32", name=f"{block.replace('/', '.')}.join")(parts)


def _mean(x):
    layer = keras.layers.GlobalAveragePooling2D(
        data_format="channels_last", dtype="float32", name=f"features_{x.shape[-1]}"
    )
    return layer(x)


def _frozen(network):
    network.trainable = False
    return network


# Mean and deviation of the features of `_fixed_picture` in each layer, as pytorch-fid computes them too.
EXPECTED = {64: (2.52152, 1.45688), 192: (3.2032, 1.63245), 768: (0.029755, 0.077797), 2048: (0.246161, 0.246245)}


def _fixed_picture():
    row, column, channel = np.indices((299, 299, 3))
    return ((row * (channel + 1) + column * 3 + row * column // 50) % 256 / 128 - 1).astype(np.float32)[None]


def _check_on_a_picture(network, source):
    """Weights that are not Inception's give other features, whatever their shapes are."""
    seen = {layer: keras.ops.convert_to_numpy(x) for layer, x in network(_fixed_picture(), training=False).items()}
    found = {layer: (float(x.mean()), float(x.std())) for layer, x in seen.items()}
    wrong = [layer for layer in EXPECTED if not np.allclose(found[layer], EXPECTED[layer], rtol=TOLERANCE, atol=0)]
    if wrong:
        layer = wrong[0]
        raise ValueError(
            f"expected features of a fixed picture with mean and deviation {EXPECTED[layer]} in layer {layer}, as "
            f"Inception of 2015-12-05 gives; received {found[layer]} with '{source}', which is another network or "
            "damaged; delete it where it lies in the cache, or give another path"
        )
