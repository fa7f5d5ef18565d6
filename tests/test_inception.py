"""Inception as a Keras network: its parts on random weights, and its features on the real ones."""

import keras
import numpy as np
import pytest
from inception_weights import random_layers, random_softmax

from gan_helpers import draw_faces
from gan_helpers.metrics import inception as module
from gan_helpers.metrics.inception import inception_network
from gan_helpers.metrics.resize import resized
from gan_helpers.metrics.weights import InceptionWeights


@pytest.fixture(scope="module")
def made():
    return InceptionWeights(random_layers(), random_softmax(), "0" * 64, "made.pb")


@pytest.fixture(scope="module")
def unchecked(made):
    return module._built(made)


@pytest.fixture(scope="module")
def network(inception):
    return inception_network(inception)


def test_the_size_of_the_network(unchecked):
    assert unchecked.count_params() == 21_768_352 and not unchecked.trainable_variables
    assert {width: tuple(output.shape) for width, output in unchecked.output.items()} == {
        width: (None, width) for width in (64, 192, 768, 2048)
    }
    assert sum(isinstance(layer, keras.layers.Conv2D) for layer in unchecked.layers) == 94


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("conv", (None, 149, 149, 32)),
        ("conv_2", (None, 147, 147, 64)),
        ("pool", (None, 73, 73, 64)),
        ("pool_1", (None, 35, 35, 192)),
        ("mixed.join", (None, 35, 35, 256)),
        ("mixed_2.join", (None, 35, 35, 288)),
        ("mixed_3.join", (None, 17, 17, 768)),
        ("mixed_7.join", (None, 17, 17, 768)),
        ("mixed_8.join", (None, 8, 8, 1280)),
        ("mixed_10.join", (None, 8, 8, 2048)),
    ],
)
def test_shapes_on_the_way(unchecked, name, shape):
    assert unchecked.get_layer(name).output.shape == shape


def test_only_the_last_block_pools_by_maximum(unchecked):
    pools = {layer.name: type(layer).__name__ for layer in unchecked.layers if layer.name.endswith("tower_2.pool")}
    assert len(pools) == 9 and pools.pop("mixed_10.tower_2.pool") == "MaxPooling2D"
    assert set(pools.values()) == {"AveragePooling2D"}


def test_average_pools_leave_the_padding_out(unchecked):
    ones = np.ones((1, 35, 35, 192), np.float32)
    np.testing.assert_allclose(unchecked.get_layer("mixed.tower_2.pool")(ones), ones, rtol=1e-6)


@pytest.mark.parametrize("name", ["conv", "mixed_10/tower_1/mixed/conv_1"])
def test_batch_normalisation_is_folded_in(unchecked, made, name):
    layer, parts = unchecked.get_layer(name.replace("/", ".")), made.layers[name]
    x = np.random.default_rng(0).standard_normal((2, 9, 9, parts["kernel"].shape[2])).astype(np.float32)
    strides = 2 if name == "conv" else 1
    seen = keras.ops.convert_to_numpy(keras.ops.conv(x, parts["kernel"], strides, padding=layer.padding))
    normal = (seen - parts["mean"]) / np.sqrt(parts["variance"] + 1e-3) + parts["beta"]
    np.testing.assert_allclose(layer(x), np.maximum(normal, 0), atol=1e-4)


def test_a_policy_for_training_leaves_it_in_float32(made):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        network = module._built(made)
    finally:
        keras.config.set_dtype_policy(before)
    assert {layer.compute_dtype for layer in network.layers[1:]} == {"float32"}  # the first only names the input
    assert {output.dtype for output in network.output.values()} == {"float32"}


def test_logits_have_no_bias(made, unchecked, monkeypatch):
    monkeypatch.setattr(module, "_check_on_a_picture", lambda network, source: None)
    pictures = resized(np.random.default_rng(0).integers(0, 256, (2, 40, 40, 3), np.uint8))
    logits = inception_network(made, logits=True)(pictures)
    assert set(logits) == {"logits"}
    expected = keras.ops.convert_to_numpy(unchecked(pictures)[2048]) @ made.softmax["kernel"]
    np.testing.assert_allclose(logits["logits"], expected, rtol=1e-4, atol=1e-3)


def test_logits_need_the_softmax(made):
    without = InceptionWeights(made.layers, None, made.sha256, "default_1.pt")
    with pytest.raises(ValueError, match="expected weights with the 1008-way softmax.*received 'default_1.pt'"):
        inception_network(without, logits=True)


def test_other_weights_of_the_right_shapes_are_refused(made):
    with pytest.raises(ValueError, match=r"expected features of a fixed picture .* received .* with 'made.pb'"):
        inception_network(made)


def renamed(layers):
    return {name.replace("mixed_10/conv", "mixed_11/conv"): parts for name, parts in layers.items()}


def reshaped(layers):
    parts = layers["mixed_4/conv"]
    return layers | {"mixed_4/conv": parts | {"kernel": np.repeat(parts["kernel"], 2, axis=2)}}


@pytest.mark.parametrize("change", [renamed, reshaped])
def test_other_layers_are_refused(made, change):
    other = InceptionWeights(change(made.layers), None, made.sha256, "made.pb")
    with pytest.raises(
        ValueError, match="expected the layers of Inception of 2015-12-05; received others in 'made.pb'"
    ):
        inception_network(other)


def test_features_of_real_weights(network):
    faces, _ = draw_faces(3, 64, seed=1)
    features = network(resized(np.concatenate([faces, faces[::-1]])))
    assert {width: tuple(x.shape) for width, x in features.items()} == {w: (6, w) for w in (64, 192, 768, 2048)}
    last = keras.ops.convert_to_numpy(features[2048])
    assert last.dtype == np.float32 and last.min() >= 0 and 0.1 < last.mean() < 1
    np.testing.assert_allclose(last[:3], last[:2:-1], atol=1e-4)
    assert np.linalg.norm(last[0] - last[1]) > 1


def test_weights_come_from_the_environment_by_default(network, inception):
    same = inception_network()
    picture = module._fixed_picture()
    np.testing.assert_array_equal(same(picture)[2048], network(picture)[2048])


def test_one_damaged_layer_of_the_real_weights_is_noticed(inception):
    from gan_helpers.metrics.weights import inception_weights

    real = inception_weights(inception)
    parts = real.layers["mixed_6/tower/conv_1"]
    shuffled = parts | {"kernel": parts["kernel"][..., ::-1]}
    damaged = InceptionWeights(real.layers | {"mixed_6/tower/conv_1": shuffled}, None, real.sha256, "damaged.pt")
    with pytest.raises(ValueError, match="expected features of a fixed picture"):
        inception_network(damaged)


def test_it_can_be_saved_and_loaded_as_plain_keras(network, tmp_path):
    network.save(tmp_path / "inception.keras")
    picture = module._fixed_picture()
    loaded = keras.models.load_model(tmp_path / "inception.keras")
    outputs = loaded(picture)
    seen = outputs.get(2048, outputs.get("2048"))
    np.testing.assert_allclose(seen, network(picture)[2048], atol=1e-6)
