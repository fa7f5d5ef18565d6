import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from gan_helpers import GAN, discriminator_model, generator_model
from gan_helpers.models.layers import SpectralConv2D
from gan_helpers.training import fused
from gan_helpers.training.fused import (
    PRECISIONS,
    FusedAdam,
    FusedBatchNormalization,
    FusedSpectralConv2D,
    doubling_convolution,
    for_training,
    halving_convolution,
    in_float32,
    stock_copy,
)

ARCHITECTURES = ("dcgan", "growing", "script_32", "resnet", "light")
NETWORKS = [(kind, architecture) for kind in ("generator", "discriminator") for architecture in ARCHITECTURES]
RANDOM = np.random.default_rng(4)
LATENTS = RANDOM.normal(size=(8, 10)).astype(np.float32)
IMAGES = RANDOM.uniform(-1, 1, (8, 32, 32, 3)).astype(np.float32)


def _network(kind, architecture, **given):
    """Always the same, with weights and statistics that are none of a new network's zeros and ones."""
    keras.utils.set_random_seed(7)
    shared = {"image_size": 32, "base_filters": 4, "architecture": architecture}
    if kind == "generator":
        network = generator_model(10, **shared)
    else:
        network = discriminator_model(activation="linear", **shared, **given)
    random = np.random.default_rng(0)
    network.set_weights([w + random.uniform(0, 0.1, w.shape) for w in network.get_weights()])
    return network


def _inputs(network):
    return LATENTS if network.input_shape[-1] == 10 else IMAGES


def _is_stock(network):
    return all(type(layer).__module__.startswith("keras.") for layer in network.layers)


def _assert_near(first, second, tolerance=1e-4):
    """As vectors: what is a zero by cancellation (a bias before a batch norm) is measured by the largest of all."""
    largest = max(np.linalg.norm(array) for array in second)
    for a, b in zip(first, second, strict=True):
        difference = np.linalg.norm(np.asarray(a, np.float64) - np.asarray(b, np.float64))
        assert difference <= tolerance * max(np.linalg.norm(b), 1e-3 * largest)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize(("kind", "architecture"), NETWORKS)
def test_same_network(kind, architecture, precision):
    network = _network(kind, architecture)
    trains = for_training(network, precision)
    back = stock_copy(trains)
    normalising = [type(layer) for layer in network.layers].count(keras.layers.BatchNormalization)
    assert [type(layer) for layer in trains.layers].count(FusedBatchNormalization) == normalising
    assert normalising or architecture == "light" or kind == "discriminator" and architecture in ("script_32", "resnet")
    assert [type(layer) for layer in back.layers] == [type(layer) for layer in network.layers]
    assert _is_stock(back) or (kind, architecture) == ("discriminator", "resnet")
    spectral = [type(layer) for layer in network.layers].count(SpectralConv2D)
    assert [type(layer) for layer in trains.layers].count(FusedSpectralConv2D) == spectral
    for copy in (trains, back):
        assert [w.path for w in copy.weights] == [w.path for w in network.weights]
        assert {w.dtype for w in copy.weights} == {"float32"}
        assert [w.path for w in copy.trainable_weights] == [w.path for w in network.trainable_weights]
        for mine, given in zip(copy.get_weights(), network.get_weights(), strict=True):
            np.testing.assert_array_equal(mine, given)
    assert {layer.compute_dtype for layer in back.layers} == {"float32"}
    expected = network(_inputs(network))
    np.testing.assert_array_equal(back(_inputs(network)), expected)
    outputs = trains(_inputs(network))
    assert outputs.dtype == "float32"
    if precision == "float32":
        np.testing.assert_array_equal(outputs, expected)
    else:
        assert {layer.compute_dtype for layer in trains.layers[1:-1]} == {precision.removeprefix("mixed_")}
        assert trains.layers[-1].compute_dtype == "float32"
        _assert_near([outputs], [expected], 0.05)
        assert not np.array_equal(outputs, expected)  # 16 bits were computed with indeed


def _trained_on(network, direction):
    inputs = tf.constant(_inputs(network))
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = network(inputs, training=True)
        total = tf.reduce_sum(outputs * direction)
    return outputs, tape.gradient(total, [inputs, *network.trainable_variables])


@pytest.mark.parametrize(("kind", "architecture"), NETWORKS)
def test_training_is_that_of_keras(kind, architecture):
    network = _network(kind, architecture)
    before = network.get_weights()
    trains = for_training(network)
    for mine, given in zip(trains.layers, network.layers, strict=True):
        if hasattr(given, "seed_generator"):  # dropout
            mine.seed_generator.state.assign(given.seed_generator.state)
    direction = RANDOM.normal(size=(8, *network.output_shape[1:])).astype(np.float32)
    outputs, gradients = _trained_on(trains, direction)
    expected_outputs, expected_gradients = _trained_on(network, direction)
    _assert_near([outputs], [expected_outputs])
    _assert_near(gradients, expected_gradients)
    moved = [not np.array_equal(a, b) for a, b in zip(before, network.get_weights(), strict=True)]
    assert any(moved) == any(isinstance(layer, FusedBatchNormalization | SpectralConv2D) for layer in trains.layers)
    for mine, given in zip(trains.get_weights(), network.get_weights(), strict=True):
        np.testing.assert_allclose(mine, given, rtol=1e-4, atol=1e-6)


def _halved(images, kernel):
    return tf.nn.conv2d(images, kernel, 2, "SAME")


def _doubled(images, kernel):
    shape = (len(images), 2 * images.shape[1], 2 * images.shape[2], kernel.shape[2])
    return tf.nn.conv2d_transpose(images, kernel, shape, 2, "SAME")


def _second_derivatives(convolve, images, kernel, direction):
    """Outputs, first gradients, and those of a penalty on the gradient towards the images."""
    with tf.GradientTape() as outer:
        outer.watch([images, kernel])
        with tf.GradientTape() as tape:
            tape.watch([images, kernel])
            outputs = convolve(images, kernel)
            total = tf.reduce_sum(tf.tanh(outputs) * direction)
        towards_images, towards_kernel = tape.gradient(total, [images, kernel])
        penalty = tf.reduce_sum(towards_images**2) + tf.reduce_sum(towards_kernel**2)
    return [outputs, towards_images, towards_kernel, *outer.gradient(penalty, [images, kernel])]


@pytest.mark.parametrize("sides", [(2, 2), (4, 4), (8, 8), (4, 10)])
@pytest.mark.parametrize(("mine", "plain"), [(halving_convolution, _halved), (doubling_convolution, _doubled)])
def test_convolutions_by_products_have_the_gradients_of_tensorflow(mine, plain, sides):
    images = tf.constant(RANDOM.normal(size=(3, *sides, 5)), tf.float32)
    shape = (4, 4, 5, 6) if plain is _halved else (4, 4, 6, 5)
    kernel = tf.constant(RANDOM.normal(size=shape) / 9, tf.float32)
    direction = tf.constant(RANDOM.normal(size=plain(images, kernel).shape), tf.float32)
    expected = _second_derivatives(plain, images, kernel, direction)
    _assert_near(_second_derivatives(mine, images, kernel, direction), expected)
    for one, other in zip(_second_derivatives(tf.function(mine), images, kernel, direction), expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-3)


def test_bfloat16_takes_products_where_they_pay(monkeypatch):
    taken = []
    for name in ("halving_convolution", "doubling_convolution"):
        convolve = getattr(fused, name)
        monkeypatch.setattr(
            fused, name, lambda *given, f=convolve, n=name: taken.append((n, given[0].shape)) or f(*given)
        )
    shared = {"image_size": 32, "base_filters": 64}
    networks = generator_model(10, **shared), discriminator_model(**shared)
    given = [tf.random.stateless_normal((4, *network.input_shape[1:]), (1, 2)) for network in networks]
    for network, inputs in zip(networks, given, strict=True):
        for_training(network)(inputs, training=True)
    assert taken == []  # float32 is faster without
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [])
    networks = [for_training(network, "mixed_bfloat16") for network in networks]
    taken.clear()  # of building
    results = {}
    for pays in (True, False):
        if not pays:
            monkeypatch.setattr(fused, "_by_products", lambda *_: False)
        for network, inputs in zip(networks, given, strict=True):
            with tf.GradientTape() as tape:
                total = tf.reduce_sum(tf.cast(network(inputs, training=True), tf.float32) ** 2)
            results[network.name, pays] = [
                tf.cast(g, tf.float32) for g in tape.gradient(total, network.trainable_weights)
            ]
    assert taken == [("doubling_convolution", (4, 4, 4, 256)), ("doubling_convolution", (4, 8, 8, 128))] + [
        ("halving_convolution", (4, 16, 16, 64)),
        ("halving_convolution", (4, 8, 8, 128)),
    ]
    for network in networks:
        _assert_near(results[network.name, True], results[network.name, False], 0.03)
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["a GPU"])
    assert not fused._by_products(networks[1].get_layer(index=3), 16, 64)


def _adam_after(kind, gradients):
    weight = keras.Variable(np.linspace(-1, 1, 21, dtype=np.float32).reshape(7, 3), name="w")
    optimizer = kind(keras.optimizers.schedules.CosineDecay(0.01, 5), beta_1=0.5)
    optimizer.build([weight])
    apply = tf.function(lambda gradient: optimizer.apply([gradient], [weight]))
    for gradient in gradients:
        apply(tf.constant(gradient))
    return {v.path.split("/")[-1]: np.asarray(v) for v in optimizer.variables} | {"weight": weight.numpy()}


def test_fused_adam_is_adam():
    gradients = [RANDOM.normal(size=(7, 3)).astype(np.float32) * scale for scale in (1, 1e-3, 30, 0, 1e-8)]
    mine, theirs = _adam_after(FusedAdam, gradients), _adam_after(keras.optimizers.Adam, gradients)
    assert mine.keys() == theirs.keys() and len(mine) >= 4
    for name, value in theirs.items():
        # the kernel takes 1 - beta_2 in float32, which is 1.3e-5 off
        np.testing.assert_allclose(mine[name], value, rtol=3e-5, atol=1e-7)


def test_a_frozen_layer_is_left_as_it_is():
    layer = FusedBatchNormalization(trainable=False)
    plain = keras.layers.BatchNormalization(trainable=False)
    np.testing.assert_array_equal(layer(IMAGES, training=True), plain(IMAGES, training=True))
    assert (layer.moving_mean.numpy() == 0).all()


def test_saved_copies_load_without_this_library(tmp_path):
    expected = []
    saved = [case for case in NETWORKS if case != ("discriminator", "resnet")]  # which has layers of this library
    for number, (kind, architecture) in enumerate(saved):
        network = stock_copy(for_training(_network(kind, architecture), "mixed_bfloat16"))
        network.save(tmp_path / f"{number}.keras")
        expected.append(network(_inputs(network)).numpy())
    np.savez(tmp_path / "inputs.npz", latents=LATENTS, images=IMAGES)
    code = (
        "import sys, keras, numpy as np\n"
        "given = np.load('inputs.npz')\n"
        f"for number in range({len(saved)}):\n"
        "    network = keras.models.load_model(f'{number}.keras')\n"
        "    inputs = given['latents'] if network.input_shape[-1] == 10 else given['images']\n"
        "    np.save(f'{number}.npy', network(inputs))\n"
        "assert not [name for name in sys.modules if name.startswith('gan_helpers')]\n"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    for number, outputs in enumerate(expected):
        np.testing.assert_allclose(np.load(tmp_path / f"{number}.npy"), outputs, rtol=1e-5, atol=1e-5)


def test_in_float32_and_back():
    network = for_training(_network("discriminator", "dcgan"), "mixed_bfloat16")
    before = [layer.dtype_policy.name for layer in network.layers]
    exact, rough = _network("discriminator", "dcgan")(IMAGES), network(IMAGES)
    assert before.count("mixed_bfloat16") > 5 and not np.array_equal(exact, rough)
    with in_float32(network):
        assert {layer.compute_dtype for layer in network.layers} == {"float32"}
        np.testing.assert_allclose(network(IMAGES), exact, rtol=1e-5, atol=1e-6)
    assert [layer.dtype_policy.name for layer in network.layers] == before
    np.testing.assert_array_equal(network(IMAGES), rough)
    with pytest.raises(RuntimeError, match="within"), in_float32(network):
        raise RuntimeError("within")
    assert [layer.dtype_policy.name for layer in network.layers] == before


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("architecture", ["dcgan", "resnet", "light"])
def test_spectral_discriminators_that_look_at_the_whole_batch(architecture, precision):
    network = _network("discriminator", architecture, normalisation="spectral", minibatch_std=True)
    trains = for_training(network, precision)
    _assert_near([trains(IMAGES)], [network(IMAGES)], 1e-6 if precision == "float32" else 0.05)
    with in_float32(trains):
        _assert_near([trains(IMAGES)], [network(IMAGES)], 1e-5)
        _assert_near([trains(IMAGES, training=True)], [network(IMAGES, training=True)], 1e-5)
    back = stock_copy(trains)
    assert [type(layer) for layer in back.layers] == [type(layer) for layer in network.layers]
    for mine, given in zip(back.get_weights(), network.get_weights(), strict=True):
        np.testing.assert_allclose(mine, given, rtol=1e-4, atol=1e-5)  # vectors moved alike


class WrittenOut(keras.layers.BatchNormalization):
    """Keras' own is no measure here: its `moments` cut a term out of second derivatives with a `stop_gradient`."""

    def call(self, inputs, training=None, mask=None):
        mean = tf.reduce_mean(inputs, (0, 1, 2))
        variance = tf.reduce_mean((inputs - mean) ** 2, (0, 1, 2))
        return (inputs - mean) / tf.sqrt(variance + self.epsilon) * self.gamma + self.beta


def _written_out(network):
    def rebuild(layer):
        kind = WrittenOut if isinstance(layer, keras.layers.BatchNormalization) else type(layer)
        return kind.from_config(layer.get_config())

    copy = keras.models.clone_model(network, clone_function=rebuild)
    copy.set_weights(network.get_weights())
    return copy


def _penalty_and_gradients(architecture, copied):
    discriminator = copied(_network("discriminator", architecture))  # from the same seed: dropout draws the same
    gan = GAN(_network("generator", architecture), discriminator, r1_weight=10.0)
    weights = [w for w in discriminator.trainable_variables if "kernel" in w.path or "gamma" in w.path]
    with tf.GradientTape() as tape:
        penalty = gan._penalty(tf.constant(IMAGES), tf.constant(IMAGES))
    return float(penalty), tape.gradient(penalty, weights)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_r1_has_the_right_second_derivatives_in_each_precision(architecture):
    penalty, expected = _penalty_and_gradients(architecture, _written_out)
    assert penalty > 0 and all(np.linalg.norm(gradient) > 0 for gradient in expected)
    for precision in PRECISIONS:
        value, gradients = _penalty_and_gradients(architecture, lambda network, p=precision: for_training(network, p))
        assert value == pytest.approx(penalty, rel=1e-4)
        _assert_near(gradients, expected, 1e-3)


def test_unknown_precision():
    with pytest.raises(ValueError, match="expected a precision of float32, mixed_bfloat16, mixed_float16; received 'f"):
        for_training(_network("discriminator", "dcgan"), "float64")
