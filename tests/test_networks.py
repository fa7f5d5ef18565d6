import keras
import numpy as np
import pytest

from gan_helpers import RECIPES, discriminator_model, generator_model
from gan_helpers.models.networks import IMAGE_SIZES


@pytest.mark.parametrize("image_size", IMAGE_SIZES)
@pytest.mark.parametrize("base_filters", [4, 16])
def test_shapes_and_ranges(image_size, base_filters):
    generator = generator_model(20, image_size=image_size, base_filters=base_filters)
    discriminator = discriminator_model(image_size=image_size, base_filters=base_filters)
    images = generator(keras.random.normal((3, 20), seed=1))
    assert images.shape == (3, image_size, image_size, 3)
    assert np.abs(images).max() <= 1
    assert discriminator(images).shape == (3, 1)


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


@pytest.mark.parametrize("architecture", ["dcgan", "script_32"])
def test_every_layer_is_connected(architecture, real_batch):
    import tensorflow as tf

    discriminator = discriminator_model(image_size=32, base_filters=4, architecture=architecture)
    with tf.GradientTape() as tape:
        score = tf.reduce_sum(discriminator(real_batch, training=True) ** 2)
    gradients = tape.gradient(score, discriminator.trainable_variables)
    assert all(gradient is not None and np.abs(gradient).max() > 0 for gradient in gradients)


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
        ({"image_size": 48}, "expected image_size 32 or 64 or 128 for dcgan; received 48; the nearest is 32"),
        ({"image_size": 64, "architecture": "script_32"}, "expected image_size 32 for script_32; received 64"),
        ({"image_size": None}, "received None"),
        ({"base_filters": 0}, "expected base_filters as a whole number of at least 1; received 0"),
        ({"base_filters": 2.5}, "received 2.5"),
        ({"architecture": "unet"}, "expected an architecture of dcgan, script_32; received 'unet'"),
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


def test_recipes_are_plain_frozen_data():
    import dataclasses

    for recipe in RECIPES.values():
        with pytest.raises(dataclasses.FrozenInstanceError):
            recipe.batch_size = 1
        assert all(isinstance(value, str | int | float | bool | tuple) for value in dataclasses.asdict(recipe).values())
