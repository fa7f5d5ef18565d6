import keras
import numpy as np
import pytest
import tensorflow as tf

from gan_helpers import RECIPES, discriminator_model, draw_faces, generator_model
from gan_helpers.models.networks import D_NORMALISATIONS, G_NORMALISATIONS, IMAGE_SIZES

G_CASES = [(architecture, kind) for architecture, kinds in G_NORMALISATIONS.items() for kind in kinds]
D_CASES = [(architecture, kind) for architecture, kinds in D_NORMALISATIONS.items() for kind in kinds]


@pytest.mark.parametrize("image_size", IMAGE_SIZES)
@pytest.mark.parametrize(
    ("architecture", "base_filters"), [("dcgan", 4), ("growing", 1), ("resnet", 1), ("light", 3), ("light", 1)]
)
def test_shapes_and_ranges(image_size, architecture, base_filters):
    shared = {"image_size": image_size, "base_filters": base_filters, "architecture": architecture}
    generator, discriminator = generator_model(20, **shared), discriminator_model(**shared)
    images = generator(keras.random.normal((2, 20), seed=1))
    assert images.shape == (2, image_size, image_size, 3) and images.dtype == "float32"
    assert 0 < np.abs(images).max() <= 1
    logits = discriminator(images)
    assert logits.shape == (2, 1) and logits.dtype == "float32" and np.isfinite(logits).all()
    assert generator.output_shape == discriminator.input_shape == (None, image_size, image_size, 3)


@pytest.mark.parametrize(("architecture", "most"), [("dcgan", 16), ("resnet", 8), ("light", 8)])
@pytest.mark.parametrize("image_size", IMAGE_SIZES)
def test_channels_double_up_to_a_most(architecture, most, image_size):
    shared = {"image_size": image_size, "base_filters": 2, "architecture": architecture}
    for network in (generator_model(20, **shared), discriminator_model(**shared)):
        deepest = {layer.output.shape[-1] for layer in network.layers if layer.output.shape[1:3] == (4, 4)}
        assert deepest <= {min(most, image_size // 8) * factor for factor in (1, 2)}
        assert 2 * min(most, image_size // 8) in deepest


def _written_out():
    """dcgan's networks of 32 pixels and 2 base filters, layer by layer."""

    def plain(kind, *given, use_bias=False, **named):
        initial = keras.initializers.RandomNormal(0.0, 0.02)
        return kind(*given, use_bias=use_bias, kernel_initializer=initial, **named)

    layers = keras.layers
    generator = keras.Sequential([keras.Input((8,)), plain(layers.Dense, 16 * 8), layers.Reshape((4, 4, 8))])
    for filters in (4, 2):
        generator.add(layers.BatchNormalization(momentum=0.9, epsilon=1e-5))
        generator.add(layers.ReLU())
        generator.add(plain(layers.Conv2DTranspose, filters, 4, 2, "same"))
    generator.add(layers.BatchNormalization(momentum=0.9, epsilon=1e-5))
    generator.add(layers.ReLU())
    generator.add(plain(layers.Conv2DTranspose, 3, 4, 2, "same", use_bias=True))
    generator.add(layers.Activation("tanh"))
    discriminator = keras.Sequential([keras.Input((32, 32, 3)), plain(layers.Conv2D, 2, 4, 2, "same", use_bias=True)])
    discriminator.add(layers.LeakyReLU(negative_slope=0.2))
    for filters in (4, 8):
        discriminator.add(plain(layers.Conv2D, filters, 4, 2, "same"))
        discriminator.add(layers.BatchNormalization(momentum=0.9, epsilon=1e-5))
        discriminator.add(layers.LeakyReLU(negative_slope=0.2))
    discriminator.add(layers.Flatten())
    discriminator.add(plain(layers.Dense, 1, use_bias=True))
    return generator, discriminator


def test_dcgan_layer_by_layer(real_batch):
    keras.utils.set_random_seed(3)
    mine = generator_model(8, image_size=32, base_filters=2), discriminator_model(image_size=32, base_filters=2)
    keras.utils.set_random_seed(3)
    for network, expected in zip(mine, _written_out(), strict=True):
        for weight, other in zip(network.get_weights(), expected.get_weights(), strict=True):
            np.testing.assert_array_equal(weight, other)  # the same beginning, number for number, from the same seed
        inputs = keras.random.normal((4, 8), seed=1) if network is mine[0] else real_batch
        np.testing.assert_array_equal(network(inputs, training=True), expected(inputs, training=True))


def test_called_as_the_origins_do():
    assert generator_model(100).output_shape == (None, 64, 64, 3)
    assert discriminator_model().input_shape == (None, 64, 64, 3)


def test_parameters_by_hand():
    # 100 -> 4x4x128 -> 8x8x64 -> 16x16x32 -> 32x32x16 -> 64x64x3, batch normalisation with 4 numbers a channel
    f = 16
    dense = 100 * 16 * 8 * f + 4 * 8 * f
    convolutions = sum(16 * a * f * b * f + 4 * b * f for a, b in ((8, 4), (4, 2), (2, 1)))
    assert generator_model(100, base_filters=f).count_params() == dense + convolutions + 16 * f * 3 + 3
    convolutions = 16 * 3 * f + f + sum(16 * a * f * b * f + 4 * b * f for a, b in ((1, 2), (2, 4), (4, 8)))
    assert discriminator_model(base_filters=f).count_params() == convolutions + 16 * 8 * f + 1


def test_weights_begin_as_in_the_paper():
    generator = generator_model(100)
    kernel = generator.layers[1].kernel.numpy()
    assert abs(kernel.mean()) < 1e-3 and kernel.std() == pytest.approx(0.02, rel=0.02)


def test_logits_by_default_probabilities_on_request(real_batch):
    logits = discriminator_model(image_size=32, base_filters=4)
    probabilities = discriminator_model(image_size=32, base_filters=4, activation="sigmoid")
    probabilities.set_weights(logits.get_weights())
    expected = 1 / (1 + np.exp(-logits(50 * real_batch).numpy()))
    assert np.allclose(probabilities(50 * real_batch), expected, atol=1e-6) and np.ptp(expected) > 0


def test_script_networks(real_batch):
    shared = {"image_size": 32, "base_filters": 4, "architecture": "script_32"}
    generator, discriminator = generator_model(100, **shared), discriminator_model(**shared)
    kinds = {type(layer).__name__ for layer in generator.layers}
    assert {"LeakyReLU", "BatchNormalization", "Conv2DTranspose"} <= kinds
    images = generator(keras.random.normal((2, 100)))
    assert images.shape == (2, 32, 32, 3) and np.abs(images).max() <= 1
    kinds = {type(layer).__name__ for layer in discriminator.layers}
    assert {"LeakyReLU", "Dropout", "Conv2D"} <= kinds
    scores = discriminator(real_batch).numpy()
    assert scores.min() >= 0 and scores.max() <= 1


@pytest.mark.parametrize("minibatch_std", [False, True])
@pytest.mark.parametrize(("architecture", "normalisation"), [*D_CASES, ("script_32", None)])
def test_every_layer_is_connected(architecture, normalisation, minibatch_std, real_batch):
    if architecture == "script_32" and minibatch_std:
        pytest.skip("there is none")
    discriminator = discriminator_model(
        image_size=32,
        base_filters=4,
        architecture=architecture,
        normalisation=normalisation,
        minibatch_std=minibatch_std,
    )
    with tf.GradientTape() as tape:
        score = tf.reduce_sum(discriminator(real_batch, training=True) ** 2)
    gradients = tape.gradient(score, discriminator.trainable_variables)
    assert all(gradient is not None and np.abs(gradient).max() > 0 for gradient in gradients)


@pytest.mark.parametrize(("architecture", "normalisation"), G_CASES)
def test_every_layer_of_a_generator_is_connected(architecture, normalisation):
    generator = generator_model(
        10, image_size=32, base_filters=4, architecture=architecture, normalisation=normalisation
    )
    with tf.GradientTape() as tape:
        images = generator(keras.random.normal((4, 10), seed=1), training=True)
        score = tf.reduce_sum(images * keras.random.normal(images.shape, seed=2))
    gradients = tape.gradient(score, generator.trainable_variables)
    assert all(gradient is not None and np.abs(gradient).max() > 0 for gradient in gradients)


def _kinds(network):
    return {type(layer).__name__ for layer in network.layers}


@pytest.mark.parametrize(("architecture", "normalisation"), D_CASES)
def test_normalisation_of_discriminators(architecture, normalisation):
    given = {"image_size": 32, "base_filters": 2, "architecture": architecture}
    network = discriminator_model(normalisation=normalisation, **given)
    assert ("BatchNormalization" in _kinds(network)) == (normalisation == "batch")
    assert {"SpectralConv2D", "SpectralDense"} <= _kinds(network) or normalisation != "spectral"
    assert not {"Conv2D", "Dense"} & _kinds(network) or normalisation != "spectral"
    if normalisation != "batch" and architecture == "dcgan":
        assert all(layer.use_bias for layer in network.layers if hasattr(layer, "use_bias"))
    own = discriminator_model(**given)
    assert _kinds(own) == _kinds(network) or normalisation != D_NORMALISATIONS[architecture][0]


@pytest.mark.parametrize(("architecture", "normalisation"), G_CASES)
def test_normalisation_of_generators(architecture, normalisation):
    given = {"image_size": 32, "base_filters": 2, "architecture": architecture}
    network = generator_model(10, normalisation=normalisation, **given)
    assert ("BatchNormalization" in _kinds(network)) == (normalisation == "batch")
    if normalisation == "none" and architecture == "dcgan":
        assert all(layer.use_bias for layer in network.layers if hasattr(layer, "use_bias"))
    assert ("Conv2DTranspose" in _kinds(network)) == (architecture in ("dcgan", "growing"))
    assert all(type(layer).__module__.startswith("keras.") for layer in network.layers)


def _deviations(network, inputs):
    """Standard deviation of what each residual sum and the output hold."""
    watched = [layer for layer in network.layers if type(layer).__name__ == "Add"] + [network.layers[-1]]
    _settle(network)
    outputs = keras.Model(network.input, [layer.output for layer in watched])(inputs, training=True)
    return [float(np.std(values)) for values in outputs]


def _settle(network):
    """Sets the vector of each spectral layer to where power iterations would bring it."""
    for layer in network.layers:
        if hasattr(layer, "vector"):
            kernel = layer.kernel.numpy()
            layer.vector.assign(np.linalg.svd(kernel.reshape(-1, kernel.shape[-1]), full_matrices=False)[2][0])


@pytest.mark.parametrize("image_size", [32, 64])
def test_signals_begin_in_balance(image_size):
    keras.utils.set_random_seed(1)
    faces = draw_faces(16, image_size, seed=1)[0] / np.float32(127.5) - 1
    latents = np.random.default_rng(0).normal(size=(16, 100)).astype(np.float32)
    shared = {"image_size": image_size, "base_filters": 16}
    for architecture in ("resnet", "light"):
        *sums, images = _deviations(generator_model(100, architecture=architecture, **shared), latents)
        assert all(0.3 < deviation < 3 for deviation in sums) and 0.15 < images < 0.7
    *sums, logits = _deviations(discriminator_model(architecture="light", **shared), faces)
    assert all(0.1 < deviation < 1 for deviation in sums) and 0.03 < logits < 1.5
    *sums, logits = _deviations(discriminator_model(architecture="resnet", **shared), faces)
    assert all(0.005 < deviation < 1 for deviation in sums)  # no layer's gain is above 1, so that signals fade


def _smooth(network):
    """With SiLU for ReLUs, whose slopes jump, so that differences say nothing; and spectral vectors settled."""

    def rebuild(layer):
        smooth = type(layer).__name__ in ("ReLU", "LeakyReLU")
        return keras.layers.Activation("silu") if smooth else type(layer).from_config(layer.get_config())

    copy = keras.models.clone_model(network, clone_function=rebuild)
    copy.set_weights(network.get_weights())
    _settle(copy)
    return copy


@pytest.mark.parametrize(("architecture", "normalisation"), [c for c in D_CASES if c[1] != "batch"])
@pytest.mark.parametrize("minibatch_std", [False, True])
def test_second_derivatives_by_finite_differences(architecture, normalisation, minibatch_std, real_batch):
    keras.utils.set_random_seed(2)
    discriminator = discriminator_model(
        image_size=32,
        base_filters=2,
        architecture=architecture,
        normalisation=normalisation,
        minibatch_std=minibatch_std,
    )
    discriminator = _smooth(discriminator)
    weights = [w.value for w in discriminator.trainable_variables if w.name == "kernel"]

    @tf.function
    def penalty():
        images = tf.constant(real_batch[:4])
        with tf.GradientTape() as tape:
            tape.watch(images)
            total = tf.reduce_sum(discriminator(images))
        return tf.reduce_sum(tape.gradient(total, images) ** 2)

    with tf.GradientTape() as tape:
        value = penalty()
    gradients = tape.gradient(value, weights)
    length = np.sqrt(sum(float(tf.reduce_sum(g**2)) for g in gradients))
    size = 2e-3 * np.sqrt(sum(float(tf.reduce_sum(w**2)) for w in weights))

    def moved(step):
        for weight, gradient in zip(weights, gradients, strict=True):
            weight.assign_add(step * size / length * gradient)
        return float(penalty())

    difference = (moved(1) - moved(-2)) / (2 * size)
    assert value > 0 and length == pytest.approx(difference, rel=0.01)


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_stock_layers_load_in_plain_keras(name, tmp_path):
    recipe = RECIPES[name]
    generator = generator_model(recipe.latent_dim, image_size=32, base_filters=4, architecture=recipe.architecture)
    generator.save(tmp_path / "generator.keras")
    latents = keras.random.normal((2, recipe.latent_dim))
    loaded = keras.saving.load_model(tmp_path / "generator.keras")
    assert np.allclose(loaded(latents), generator(latents), atol=1e-6)
    assert all(type(layer).__module__.startswith("keras.") for layer in loaded.layers)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image_size": 48}, "expected image_size 32 or 64 or 128 or 256 for dcgan; received 48; the nearest is 32"),
        ({"image_size": 64, "architecture": "script_32"}, "expected image_size 32 for script_32; received 64"),
        ({"image_size": None}, "received None"),
        ({"base_filters": 0}, "expected base_filters as a whole number of at least 1; received 0"),
        ({"base_filters": 2.5}, "received 2.5"),
        ({"normalisation": "layer"}, "expected normalisation None or 'batch' or .*; received 'layer'; leave it out"),
        ({"normalisation": "batch", "architecture": "light"}, "without statistics of the batch.*; received 'batch'"),
        ({"normalisation": "none", "architecture": "growing"}, "a normalisation's gain of 0.*; received 'none'"),
        ({"normalisation": "none", "image_size": 32, "architecture": "script_32"}, "None .*origin made it.*'none'"),
        (
            {"architecture": "unet"},
            "expected an architecture of dcgan, growing, resnet, light, script_32; received 'unet'",
        ),
    ],
)
def test_bad_arguments(arguments, message):
    for network in (generator_model, discriminator_model):
        with pytest.raises(ValueError, match=message):
            network(**arguments)


def test_bad_latents_and_activation():
    with pytest.raises(ValueError, match="expected z_dim"):
        generator_model(0)
    with pytest.raises(ValueError, match="expected activation None, 'linear' or 'sigmoid'; received 'relu'"):
        discriminator_model(activation="relu")
    with pytest.raises(ValueError, match="expected normalisation .*a generator may be.*; received 'spectral'; leave"):
        generator_model(normalisation="spectral")
    with pytest.raises(ValueError, match="expected minibatch_std False for script_32.*; received True; take"):
        discriminator_model(image_size=32, architecture="script_32", minibatch_std=True)


def test_recipes_are_plain_frozen_data():
    import dataclasses

    for recipe in RECIPES.values():
        with pytest.raises(dataclasses.FrozenInstanceError):
            recipe.batch_size = 1
        assert all(
            isinstance(value, str | int | float | bool | tuple | None) for value in dataclasses.asdict(recipe).values()
        )
