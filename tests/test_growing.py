"""Growing: what a smaller GAN learnt goes on in a larger one, and a run that grows survives being stopped."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from gan_helpers import RECIPES, draw_faces, face_batches, load_generator, sample_latents, train
from gan_helpers.models.networks import discriminator_model, generator_model
from gan_helpers.models.recipes import read_recipe
from gan_helpers.training.build import build_gan
from gan_helpers.training.gan import GAN
from gan_helpers.training.growing import Later, grow, smaller_batches, smaller_pictures, stages
from gan_helpers.training.runs import Run

SLIM = dataclasses.replace(RECIPES["best"], base_filters=2, batch_size=8, latent_dim=10)


def test_stages_share_the_steps():
    plan = stages(dataclasses.replace(SLIM, growth=0.6), 128, 10_000)
    assert [(one.image_size, one.first, one.last, one.shrink) for one in plan] == [
        (32, 0, 3000, 4), (64, 3000, 6000, 2), (128, 6000, None, 1)]  # fmt: skip


@pytest.mark.parametrize(("size", "planned", "growth"), [(32, 100, 0.6), (128, None, 0.6), (128, 100, 0.0)])
def test_there_is_one_stage_where_nothing_grows(size, planned, growth):
    (only,) = stages(dataclasses.replace(SLIM, growth=growth), size, planned)
    assert (only.image_size, only.first, only.last, only.shrink) == (size, 0, None, 1)


@pytest.mark.parametrize("text", ["quick,growth=0.5", "best,growth=1", "best,growth=-0.1"])
def test_growth_that_cannot_be_is_refused(text):
    with pytest.raises(ValueError, match="expected growth in .*; received .*; try architecture=growing"):
        stages(read_recipe(text), 64, 100)


def _gans(attributes=0):
    made = []
    for size in (32, 64):
        keras.utils.set_random_seed(size)
        shared = {"image_size": size, "base_filters": 4, "architecture": "growing"}
        gan = GAN(generator_model(10, **shared), discriminator_model(**shared))
        gan.compile()
        made.append(gan)
    return made


@pytest.fixture(scope="module")
def grown():
    """A GAN of 32 pixels after 3 steps, and one of 64 that has grown from it."""
    smaller, larger = _gans()
    smaller.fit(face_batches(draw_faces(16, 32, seed=1)[0], 8), steps_per_epoch=3, shuffle=False, verbose=0)
    grow(smaller, larger)
    return smaller, larger


def test_faces_are_at_first_the_smaller_ones_enlarged(grown):
    smaller, larger = grown
    latents = sample_latents(4, 10)
    for name in ("generator", "averaged_generator"):
        small, large = (np.array(getattr(gan, name)(latents)) for gan in grown)
        by_hand = np.tanh(keras.layers.UpSampling2D(interpolation="bilinear")(np.arctanh(small)))
        np.testing.assert_allclose(large, by_hand, atol=1e-5)


def test_logits_are_at_first_those_of_pictures_made_smaller(grown):
    smaller, larger = grown
    faces = draw_faces(4, 64, seed=3)[0].astype(np.float32) / 127.5 - 1
    small = smaller_pictures(faces, 2)
    np.testing.assert_allclose(larger.discriminator(faces), smaller.discriminator(small), atol=1e-5)


@pytest.mark.parametrize("size", [32, 64])
def test_a_discriminator_learns_to_tell_contrast(size):
    """Batch normalisation hides a batch's contrast from what follows, unless there is a bias before it."""
    keras.utils.set_random_seed(0)
    discriminator = discriminator_model(image_size=size, base_filters=2, architecture="growing")
    for layer in discriminator.layers:  # kernels grow in training; small ones tell contrast by the norm's epsilon
        if isinstance(layer, keras.layers.Conv2D):
            layer.kernel.assign(20 * layer.kernel)
    faces = draw_faces(16, size, seed=4)[0].astype(np.float32) / 127.5 - 1
    adam = keras.optimizers.Adam(2e-2)
    for _ in range(60):
        with tf.GradientTape() as tape:
            full, half = (discriminator(images, training=True) for images in (faces, faces / 2))
            loss = tf.reduce_mean(tf.nn.softplus(-full)) + tf.reduce_mean(tf.nn.softplus(half))
        weights = discriminator.trainable_variables
        adam.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
    assert loss < 0.7  # blind, it stays at 2 ln 2


def test_counts_go_on_and_what_was_added_learns(grown):
    smaller, larger = grown
    assert larger.step == larger.first_step == smaller.step == 3
    before = {layer.name: layer.get_weights() for layer in larger.generator.layers}
    larger.fit(face_batches(draw_faces(16, 64, seed=1)[0], 8), steps_per_epoch=2, shuffle=False, verbose=0)
    assert larger.step == 5
    for name in ("images_32", "images_64", "detail_64", "map_32", "map_4"):
        now = larger.generator.get_layer(name).get_weights()
        assert not np.array_equal(before[name][0], now[0]), name


def test_no_transposed_convolution_leaves_its_grid_in_larger_pictures():
    network = generator_model(10, image_size=256, base_filters=1, architecture="growing")
    sides = [layer.output.shape[1] for layer in network.layers if isinstance(layer, keras.layers.Conv2DTranspose)]
    assert sorted(sides) == [8, 16, 32, 32]


def test_the_detail_of_a_size_goes_on_into_the_next():
    smaller, larger = (build_gan(SLIM, size, planned_steps=100) for size in (64, 128))
    smaller.fit(face_batches(draw_faces(16, 64, seed=1)[0], 8), steps_per_epoch=2, shuffle=False, verbose=0)
    grow(smaller, larger)
    for name in ("detail_64", "images_64"):
        of = [gan.generator.get_layer(name).get_weights() for gan in (smaller, larger)]
        assert all(np.array_equal(a, b) for a, b in zip(*of, strict=True)) and np.any(of[0][0])
    latents = sample_latents(4, 10)
    small, large = (gan.generator.predict(latents, verbose=0) for gan in (smaller, larger))
    enlarged = np.tanh(tf.image.resize(np.arctanh(small), (128, 128)))
    np.testing.assert_allclose(large, enlarged, atol=1e-5)


def test_beyond_64_pixels_a_further_map_has_the_full_side():
    network = generator_model(10, image_size=256, base_filters=16, architecture="growing")
    fine = {layer.name: layer.output.shape[1:] for layer in network.layers if layer.name.startswith("fine")}
    assert {name: shape for name, shape in fine.items() if not name.endswith("norm")} == {
        "fine_128": (128, 128, 2), "fine_256": (256, 256, 1)}  # fmt: skip


@pytest.mark.parametrize(("size", "precision"), [(64, "mixed_bfloat16"), (128, "mixed_float16")])
def test_a_step_compiles_as_on_a_gpu(size, precision):
    """By XLA, in the 16 bits that GPUs compute in: no gradient of an enlarged map may come in other bits than it."""
    gan = build_gan(SLIM, size, precision=precision, planned_steps=10)
    logs = tf.function(gan.train_step, jit_compile=True)(tf.zeros((8, size, size, 3)))
    assert gan.step == 1
    assert all(np.isfinite(float(value)) for value in logs.values())


def test_networks_that_do_not_fit_are_refused():
    smaller, larger = _gans()
    with pytest.raises(ValueError, match="expected a larger generator .*; received one whose 'map_32.*missing"):
        grow(larger, smaller)
    wide = {"image_size": 64, "base_filters": 8, "architecture": "growing"}
    with pytest.raises(ValueError, match="of another width; make both with"):
        grow(smaller, GAN(generator_model(10, **wide), discriminator_model(**wide)))


def test_smaller_pictures_are_means_of_blocks():
    faces = draw_faces(8, 32, seed=5)[0]
    batch = next(iter(face_batches(faces, 4, seed=2)))
    smaller = next(iter(smaller_batches(face_batches(faces, 4, seed=2), 2)))
    assert smaller.shape == (4, 16, 16, 3)
    np.testing.assert_allclose(smaller[1, 3, 5], np.mean(batch[1, 6:8, 10:12], (0, 1)), atol=1e-6)
    np.testing.assert_allclose(smaller, smaller_pictures(batch.numpy(), 2), atol=1e-6)


def test_rates_fall_over_the_whole_training():
    whole = keras.optimizers.schedules.CosineDecay(1e-3, 100, alpha=0.1)
    assert float(Later(whole, 60)(10)) == pytest.approx(float(whole(70)))
    gan = build_gan(dataclasses.replace(SLIM, final_learning_rate=0.1), 64, planned_steps=100, first_step=60)
    assert float(gan.g_optimizer.learning_rate) == pytest.approx(5e-4 * float(whole(60)) / 1e-3)


def test_pictures_beyond_64_pixels_have_a_penalty_of_their_own():
    recipe = dataclasses.replace(SLIM, r1_weight=0.5, r1_weight_beyond_64=2.0)
    for size, weight in ((64, 0.5), (128, 2.5)):
        assert build_gan(recipe, size, first_step=60).penalty_weights["r1_weight"] == weight


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory):
    return _train(tmp_path_factory.mktemp("whole") / "run")


def _train(folder, epochs=4, **more):
    recipe = dataclasses.replace(SLIM, growth=0.6)
    options = {"recipe": recipe, "epochs": epochs, "count": 20, "health": False, "report": lambda line: None}
    return train("drawn", folder, image_size=64, deterministic=True, **options | more)


def test_a_run_grows_in_its_middle_and_has_one_history(whole_run):
    run = whole_run.run
    assert [row["epoch"] for row in run.history()] == [1, 2, 3, 4]
    assert whole_run.gan.step == 8 and whole_run.gan.first_step == 5  # 60 % of 4 epochs of 2 steps
    assert load_generator(whole_run.folder).output_shape == (None, 64, 64, 3)
    assert load_generator(whole_run.folder / "32px").output_shape == (None, 32, 32, 3)
    assert {file.name for file in whole_run.samples.iterdir()} == {f"epoch_{number}.png" for number in range(5)}
    assert whole_run.faces.exists()


class _Stop(keras.callbacks.Callback):
    def __init__(self, at):
        super().__init__()
        self.at = at

    def on_train_batch_end(self, batch, logs=None):
        if self.model.step == self.at:
            self.model.stop_training = True


@pytest.mark.parametrize("at", [3, 5, 6])
def test_stopped_and_gone_on_with_it_ends_in_the_same_bits(whole_run, tmp_path, at):
    said = []
    stopped = _train(tmp_path / "run", callbacks=[_Stop(at)], report=said.append)
    assert stopped.gan.step == at
    told = f"it stopped at 32 of 64 pixels, step {at} of 8 planned; the same command goes on to larger ones"
    assert (told in said) == (at <= 5)
    assert load_generator(tmp_path / "run").output_shape[1] == (32 if at <= 5 else 64)
    trained = _train(tmp_path / "run")
    assert trained.gan.step == 8
    for one, other in ((whole_run.gan.generator, trained.gan.generator),
                       (whole_run.gan.averaged_generator, trained.gan.averaged_generator)):  # fmt: skip
        for first, second in zip(one.get_weights(), other.get_weights(), strict=True):
            np.testing.assert_array_equal(first, second)
    assert trained.run.history() == whole_run.run.history()


def test_what_was_planned_is_kept_when_more_is_asked_for(whole_run, tmp_path):
    _train(tmp_path / "run")
    longer = _train(tmp_path / "run", epochs=5)
    assert longer.gan.step == 10 and Run(tmp_path / "run").settings["planned_steps"] == 8


def test_a_growing_gan_can_be_conditional(tmp_path):
    trained = _train(tmp_path / "run", attributes=("eyeglasses", "smile"))
    assert trained.gan.step == 8 and trained.gan.averaged_generator.labels.names == ("eyeglasses", "smile")
