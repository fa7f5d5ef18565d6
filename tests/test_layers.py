import keras
import numpy as np
import pytest
import tensorflow as tf

from gan_helpers.models.layers import (
    MinibatchStandardDeviation,
    SpectralConv2D,
    SpectralDense,
    largest_singular_value,
    minibatch_standard_deviation,
)

RANDOM = np.random.default_rng(5)
KERNEL = RANDOM.normal(size=(3, 3, 4, 6)).astype(np.float32)
LAYERS = {
    "convolution": (lambda **given: SpectralConv2D(6, 3, padding="same", **given), (5, 8, 8, 4)),
    "dense": (lambda **given: SpectralDense(6, **given), (5, 7)),
}


def _built(kind, **given):
    make, shape = LAYERS[kind]
    keras.utils.set_random_seed(1)
    layer = make(bias_initializer=keras.initializers.RandomNormal(seed=2), **given)
    inputs = tf.constant(np.random.default_rng(3).normal(size=shape), tf.float32)
    layer(inputs)
    return layer, inputs


def _converged(kind, **given):
    layer, inputs = _built(kind, **given)
    kernel = layer.kernel.numpy()
    layer.vector.assign(np.linalg.svd(kernel.reshape(-1, 6))[2][0])
    return layer, inputs


def _true_sigma(kernel):
    return np.linalg.svd(np.reshape(kernel, (-1, kernel.shape[-1])), compute_uv=False)[0]


def test_singular_value_rises_to_that_of_numpy():
    vector, sigmas = tf.ones(6) / np.sqrt(6), []
    for _ in range(100):
        sigma, vector = largest_singular_value(KERNEL, vector)
        sigmas.append(float(sigma))
    assert all(after >= before - 1e-5 for before, after in zip(sigmas, sigmas[1:], strict=False))
    assert sigmas[0] < 0.99 * sigmas[-1] and sigmas[-1] == pytest.approx(_true_sigma(KERNEL), rel=1e-5)
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-6)


def test_a_kernel_of_zeros_neither_breaks_nor_stays():
    vector = tf.constant([0.6, 0.8])
    sigma, after = largest_singular_value(tf.zeros((3, 2)), vector)
    assert 0 < float(sigma) < 1e-6 and np.array_equal(after, vector)


@pytest.mark.parametrize("kind", LAYERS)
def test_spectral_outputs_are_those_of_the_divided_kernel(kind):
    layer, inputs = _converged(kind)
    kernel, bias = layer.get_weights()[:2]
    stock = keras.layers.Conv2D(6, 3, padding="same") if kind == "convolution" else keras.layers.Dense(6)
    stock.build(inputs.shape)
    stock.set_weights([kernel / _true_sigma(kernel), bias])
    np.testing.assert_allclose(layer(inputs), stock(inputs), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(layer(inputs, training=True), stock(inputs), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", LAYERS)
def test_the_vector_moves_in_training_alone(kind):
    layer, inputs = _built(kind)
    before, kernel = layer.vector.numpy(), layer.kernel.numpy()
    layer(inputs)
    np.testing.assert_array_equal(layer.vector, before)
    tf.function(lambda: layer(inputs, training=True))()
    assert not np.array_equal(layer.vector, before) and np.array_equal(layer.kernel, kernel)
    assert layer.vector.dtype == "float32" and any(weight is layer.vector for weight in layer.non_trainable_weights)
    moved = layer.vector.numpy()
    layer.trainable = False
    layer(inputs, training=True)
    np.testing.assert_array_equal(layer.vector, moved)


@pytest.mark.parametrize("kind", LAYERS)
def test_the_gradient_flows_through_the_division(kind):
    layer, inputs = _converged(kind)
    direction = RANDOM.normal(size=layer.kernel.shape).astype(np.float32)
    kernel = layer.kernel.numpy()
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(layer(inputs) ** 2)
    gradient = tape.gradient(total, layer.kernel.value)
    # What lengthens the kernel changes nothing.
    assert abs(np.sum(gradient * kernel)) < 1e-4 * np.linalg.norm(gradient) * np.linalg.norm(kernel)

    def total_at(step):  # sigma anew by NumPy: at the top, holding the vectors is exact to first order
        moved = kernel + step * direction
        layer.kernel.assign(moved)
        held = layer(inputs).numpy() - layer.bias.numpy()
        estimate = float(largest_singular_value(moved, layer.vector)[0])
        return np.sum((np.float64(held) * estimate / _true_sigma(moved) + layer.bias.numpy()) ** 2)

    difference = (total_at(1e-3) - total_at(-1e-3)) / 2e-3
    assert np.sum(gradient * direction) == pytest.approx(difference, rel=0.01)


@pytest.mark.parametrize("kind", LAYERS)
def test_keras_own_spectral_normalisation_is_another(kind):
    """Why these layers are here; if Keras mends this, they can go."""
    layer, inputs = _converged(kind)
    plain = keras.layers.Conv2D(6, 3, padding="same") if kind == "convolution" else keras.layers.Dense(6)
    keras_own = keras.layers.SpectralNormalization(plain)
    keras_own.build(inputs.shape)
    plain.kernel.assign(layer.kernel)
    keras_own(inputs, training=True)
    assert not np.allclose(plain.kernel, layer.kernel)  # it assigns
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(keras_own(inputs, training=True) ** 2)
    gradient, kernel = tape.gradient(total, plain.kernel.value).numpy(), plain.kernel.numpy()
    assert np.sum(gradient * kernel) > 0.1 * np.linalg.norm(gradient) * np.linalg.norm(kernel)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16", "float16"])
@pytest.mark.parametrize("kind", LAYERS)
def test_sigma_keeps_its_digits_in_16_bits(kind, policy):
    exact, inputs = _converged(kind)
    layer, _ = _built(kind, dtype=policy)
    layer.set_weights(exact.get_weights())
    outputs = layer(inputs, training=True)
    assert outputs.dtype.name == layer.compute_dtype and layer.vector.dtype == "float32"
    np.testing.assert_allclose(tf.cast(outputs, tf.float32), exact(inputs), atol=0.05)
    if policy != "float16":  # the kernel itself is float32
        np.testing.assert_allclose(layer.vector, exact.vector, atol=1e-4)


def test_channels_first_has_its_bias_where_it_belongs():
    layer = SpectralConv2D(6, 3, data_format="channels_first", bias_initializer="ones")
    layer.build((None, 4, 8, 8))
    assert layer.compute_output_shape((2, 4, 8, 8)) == (2, 6, 6, 6)


@pytest.mark.parametrize(
    "layer", [SpectralConv2D(3, 4, 2, "same", activation="relu"), SpectralDense(3), MinibatchStandardDeviation(2)]
)
def test_layers_survive_their_configuration_and_a_file(layer, tmp_path):
    network = keras.Sequential([keras.Input((8, 8, 4)), layer])
    images = RANDOM.normal(size=(4, 8, 8, 4)).astype(np.float32)
    network(images, training=True)
    network.save(tmp_path / "network.keras")
    loaded = keras.saving.load_model(tmp_path / "network.keras")
    copy = keras.models.clone_model(network)
    copy.set_weights(network.get_weights())
    assert type(layer).from_config(layer.get_config()).get_config() == layer.get_config()
    for other in (loaded, copy):
        np.testing.assert_array_equal(other(images), network(images))


@pytest.mark.parametrize(("batch", "group"), [(8, 4), (6, 3), (5, 1), (2, 2), (1, 1)])
@pytest.mark.parametrize("in_graph", [False, True])
def test_minibatch_standard_deviation_by_hand(batch, group, in_graph):
    features = RANDOM.normal(size=(batch, 2, 3, 5)).astype(np.float32)
    run = minibatch_standard_deviation
    if in_graph:  # where the batch's size is not known yet
        run = tf.function(run, input_signature=[tf.TensorSpec((None, 2, 3, 5))])
    outputs = run(tf.constant(features)).numpy()
    assert outputs.shape == (batch, 2, 3, 6)
    np.testing.assert_array_equal(outputs[..., :5], features)
    for image in range(batch):
        members = features[image % (batch // group) :: batch // group]
        assert len(members) == group
        np.testing.assert_allclose(outputs[image, ..., 5], members.std(axis=0).mean(), atol=2e-4)


def test_images_that_are_all_alike_have_a_finite_gradient():
    features = tf.ones((4, 2, 2, 3))
    with tf.GradientTape() as outer:
        outer.watch(features)
        with tf.GradientTape() as tape:
            tape.watch(features)
            total = tf.reduce_sum(minibatch_standard_deviation(features)[..., -1])
        gradient = tape.gradient(total, features)
        squares = tf.reduce_sum(gradient**2)
    assert float(total) < 0.01 and np.isfinite(gradient).all()
    assert np.isfinite(outer.gradient(squares, features)).all()


def test_minibatch_standard_deviation_in_16_bits_is_computed_in_float32():
    features = tf.cast(100 + 0.1 * RANDOM.normal(size=(4, 2, 2, 3)), tf.float16)
    outputs = minibatch_standard_deviation(features)
    assert outputs.dtype == tf.float16
    expected = np.float64(features).std(axis=0).mean()
    assert float(outputs[0, 0, 0, -1]) == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("group_size", [0, -1, 2.5, None])
def test_bad_groups(group_size):
    with pytest.raises(ValueError, match="expected group_size as a whole number of at least 1; received .*; try 4"):
        MinibatchStandardDeviation(group_size)
