import keras
import numpy as np
import pytest
import tensorflow as tf

from gan_helpers import GAN, discriminator_model, face_batches, generator_model
from gan_helpers.training.fused import PRECISIONS, for_training


def _weights(network):
    return [weight.copy() for weight in network.get_weights()]


def _same(first, second):
    return all((a == b).all() for a, b in zip(first, second, strict=True))


def test_one_step_equals_one_written_out(small_gan, real_batch):
    gan, plain = small_gan(), small_gan()
    gan.train_step(tf.constant(real_batch))

    generator, discriminator = plain.generator, plain.discriminator
    g_optimizer, d_optimizer = (keras.optimizers.Adam(2e-4, beta_1=0.5) for _ in range(2))
    latents = [tf.random.stateless_normal((16, 10), [3, half]) for half in (0, 1)]
    with tf.GradientTape() as tape:
        real_logits = discriminator(real_batch, training=True)
        fake_logits = discriminator(generator(latents[0], training=True), training=True)
        d_loss = tf.reduce_mean(tf.nn.softplus(-real_logits)) + tf.reduce_mean(tf.nn.softplus(fake_logits))
    weights = discriminator.trainable_variables
    d_optimizer.apply(tape.gradient(d_loss, weights), weights)
    with tf.GradientTape() as tape:
        fake_logits = discriminator(generator(latents[1], training=True), training=True)
        g_loss = tf.reduce_mean(tf.nn.softplus(-fake_logits))
    weights = generator.trainable_variables
    g_optimizer.apply(tape.gradient(g_loss, weights), weights)

    for mine, by_hand in ((gan.generator, generator), (gan.discriminator, discriminator)):
        for a, b in zip(mine.get_weights(), by_hand.get_weights(), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("loss", ["non_saturating", "probability"])
def test_each_half_trains_its_own_network_and_lowers_its_loss(small_gan, real_batch, loss):
    gan = small_gan(loss)
    real_images = tf.constant(real_batch)
    generator, discriminator = (_weights_of_trainable(net) for net in (gan.generator, gan.discriminator))
    train_discriminator, train_generator = tf.function(gan.train_discriminator), tf.function(gan.train_generator)
    first = float(train_discriminator(real_images)["d_loss"])
    assert _same(generator, _weights_of_trainable(gan.generator))
    assert not _same(discriminator, _weights_of_trainable(gan.discriminator))
    for _ in range(30):
        results = train_discriminator(real_images)
    assert float(results["d_loss"]) < first
    assert 0 <= float(results["fake_score"]) < float(results["real_score"]) <= 1

    discriminator = _weights_of_trainable(gan.discriminator)
    first = float(train_generator(16)["g_loss"])
    assert _same(discriminator, _weights_of_trainable(gan.discriminator))
    for _ in range(60):
        last = float(train_generator(16)["g_loss"])
    assert last < first


def _weights_of_trainable(network):
    return [weight.numpy() for weight in network.trainable_variables]


def test_average_follows_its_equation(small_gan, real_batch):
    gan = small_gan(averaging_half_life=100)
    expected = _weights(gan.generator)
    for step in range(1, 4):
        gan.train_step(tf.constant(real_batch))
        half_life = min(100, 16 * step / 20)
        keep = 0.5 ** (16 / half_life)
        expected = [
            keep * old + (1 - keep) * new for old, new in zip(expected, gan.generator.get_weights(), strict=True)
        ]
    for average, by_hand in zip(gan.averaged_generator.get_weights(), expected, strict=True):
        np.testing.assert_allclose(average, by_hand, rtol=1e-4, atol=1e-6)


def test_fit_trains_and_reports(small_gan, faces):
    gan = small_gan()
    history = gan.fit(face_batches(faces, 16), steps_per_epoch=5, epochs=2, verbose=0).history
    assert set(history) == {"d_loss", "g_loss", "real_score", "fake_score"}
    assert all(len(values) == 2 and np.isfinite(values).all() for values in history.values())
    assert gan.step == 10


def test_fit_equals_eager_steps(small_gan, faces):
    fitted, stepped = small_gan(), small_gan()
    fitted.fit(face_batches(faces, 16, seed=3), steps_per_epoch=4, epochs=1, verbose=0)
    for batch in face_batches(faces, 16, seed=3).take(4):
        stepped.train_step(batch)
    for a, b in zip(fitted.generator.get_weights(), stepped.generator.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)


def test_training_is_repeatable(small_gan, real_batch):
    first, second, other = small_gan(), small_gan(), small_gan(seed=4)
    for gan in (first, second, other):
        gan.train_step(tf.constant(real_batch))
    assert _same(_weights(first.generator), _weights(second.generator))
    assert not _same(_weights(first.generator), _weights(other.generator))


def test_smaller_last_batch(small_gan, real_batch):
    gan = small_gan()
    data = tf.data.Dataset.from_tensor_slices(real_batch).batch(10)
    gan.fit(data, epochs=1, verbose=0)
    assert gan.step == 2


def test_call_is_the_averaged_generator(small_gan, real_batch):
    gan = small_gan()
    for _ in range(3):
        gan.train_step(tf.constant(real_batch))
    latents = keras.random.normal((3, 10), seed=1)
    assert np.array_equal(gan(latents), gan.averaged_generator(latents))
    assert not np.allclose(gan(latents), gan.generator(latents), atol=1e-6)


def test_samples_do_not_change_the_averaged_generator(small_gan):
    gan = small_gan()
    before = _weights(gan.averaged_generator)
    gan.averaged_generator(keras.random.normal((8, 10)), training=True)
    assert _same(before, _weights(gan.averaged_generator))


def test_networks_that_do_not_fit():
    with pytest.raises(ValueError, match=r"expected a discriminator for .*\(64, 64, 3\).*\(32, 32, 3\)"):
        GAN(generator_model(10, base_filters=4), discriminator_model(image_size=32, base_filters=4))


def test_compile_refuses(small_gan):
    gan, optimizer = small_gan(), keras.optimizers.Adam()
    with pytest.raises(ValueError, match="expected two optimizers"):
        gan.compile(optimizer, optimizer)
    with pytest.raises(ValueError, match="expected a loss of non_saturating, probability; received 'hinge'"):
        gan.compile(loss="hinge")


# Both networks from one pass, fused and in 16 bits


def _built(precision=None, kind=GAN, learning_rate=None, simultaneous=True, **arguments):
    """A small GAN, built for training when a precision is given; with a learning rate, that of plain SGD."""
    keras.utils.set_random_seed(7)
    shared = {"image_size": 32, "base_filters": 4}
    networks = generator_model(10, **shared), discriminator_model(**shared)
    if precision:
        networks = [for_training(network, precision) for network in networks]

    def optimizer():
        chosen = keras.optimizers.SGD(learning_rate) if learning_rate else keras.optimizers.Adam(2e-4, beta_1=0.5)
        return keras.optimizers.LossScaleOptimizer(chosen) if precision == "mixed_float16" else chosen

    gan = kind(*networks, seed=3, **arguments)
    gan.compile(optimizer(), optimizer(), simultaneous=simultaneous, jit_compile=False)
    return gan


def _gradients(gan, real_batch):
    """What one step subtracts at learning rate 1."""
    before = [_weights_of_trainable(network) for network in (gan.discriminator, gan.generator)]
    gan.train_step(tf.constant(real_batch))
    after = [_weights_of_trainable(network) for network in (gan.discriminator, gan.generator)]
    return [[b - a for b, a in zip(*pair, strict=True)] for pair in zip(before, after, strict=True)]


def _assert_near(first, second, tolerance=1e-4):
    for a, b in zip(first, second, strict=True):
        assert np.linalg.norm(a - b) <= tolerance * np.linalg.norm(b) and np.linalg.norm(b) > 0


def test_one_simultaneous_step_equals_one_written_out(real_batch):
    gan, plain = _built(), _built()
    results = gan.train_step(tf.constant(real_batch))

    generator, discriminator = plain.generator, plain.discriminator
    g_optimizer, d_optimizer = (keras.optimizers.Adam(2e-4, beta_1=0.5) for _ in range(2))
    latents = tf.random.stateless_normal((16, 10), [3, 0])
    with tf.GradientTape() as tape:
        real_logits = discriminator(real_batch, training=True)
        fake_logits = discriminator(generator(latents, training=True), training=True)
        d_loss = tf.reduce_mean(tf.nn.softplus(-real_logits)) + tf.reduce_mean(tf.nn.softplus(fake_logits))
    weights = discriminator.trainable_variables
    d_optimizer.apply(tape.gradient(d_loss, weights), weights)
    statistics = [weight.numpy() for weight in generator.non_trainable_variables]
    with tf.GradientTape() as tape:  # the same latents, and so the same images
        fake_logits = discriminator(generator(latents, training=True), training=True)
        g_loss = tf.reduce_mean(tf.nn.softplus(-fake_logits))
    weights = generator.trainable_variables
    g_optimizer.apply(tape.gradient(g_loss, weights), weights)
    for weight, value in zip(generator.non_trainable_variables, statistics, strict=True):
        weight.assign(value)  # one pass of the generator moves them once

    for mine, by_hand in ((gan.generator, generator), (gan.discriminator, discriminator)):
        for a, b in zip(mine.get_weights(), by_hand.get_weights(), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    assert [float(results[name]) for name in ("d_loss", "g_loss")] == pytest.approx([float(d_loss), float(g_loss)])
    assert int(gan.d_updates) == gan.step == 1


def test_first_discriminator_gradient_is_that_of_the_alternating_step(real_batch):
    simultaneous = _gradients(_built(learning_rate=1.0), real_batch)
    alternating = _gradients(_built(learning_rate=1.0, simultaneous=False), real_batch)
    _assert_near(simultaneous[0], alternating[0])
    assert np.linalg.norm(simultaneous[1][0] - alternating[1][0]) > 0.1 * np.linalg.norm(alternating[1][0])


@pytest.mark.parametrize("augmentation", [(), ("colour", "translation", "cutout")])
def test_fused_networks_have_the_gradients_of_stock_ones(real_batch, augmentation):
    fused = _gradients(_built("float32", learning_rate=1.0, augmentation=augmentation), real_batch)
    stock = _gradients(_built(learning_rate=1.0, augmentation=augmentation), real_batch)
    for mine, expected in zip(fused, stock, strict=True):
        _assert_near(mine, expected)


@pytest.mark.parametrize("simultaneous", [False, True])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_every_kind_of_step_trains(real_batch, precision, simultaneous):
    gan = _built(precision, simultaneous=simultaneous)
    before = [_weights_of_trainable(network) for network in (gan.generator, gan.discriminator)]
    for step in range(1, 6):
        if step == 3:
            gan.augmentation, gan.r1_weight = ("colour", "translation", "cutout"), 1.0
        results = gan.train_step(tf.constant(real_batch[:8]))
        assert gan.step == step and int(gan.broken_at) == -1
        assert np.isfinite([float(value) for value in results.values()]).all()
    for network, old in zip((gan.generator, gan.discriminator), before, strict=True):
        assert all(np.isfinite(weight).all() for weight in network.get_weights())
        assert all((a != b).any() for a, b in zip(old, _weights_of_trainable(network), strict=True))
    assert all(np.isfinite(weight).all() for weight in gan.averaged_generator.get_weights())


def test_penalty_is_added_to_the_discriminators_loss(real_batch):
    gan, without = _built(r1_weight=2.0), _built()
    penalty = float(gan._penalty(tf.constant(real_batch)))
    added = [float(each.train_step(tf.constant(real_batch))["d_loss"]) for each in (gan, without)]
    assert added[0] - added[1] == pytest.approx(penalty, rel=1e-2) and penalty > 0


class Counting(GAN):
    """Counts how often TensorFlow traces its step."""

    traces = 0

    def train_step(self, real_images):
        self.traces += 1
        return super().train_step(real_images)


def test_steps_are_traced_once(faces):
    kinds = ("colour", "translation", "cutout")
    gan = _built("mixed_float16", Counting, simultaneous=True, augmentation=kinds, r1_weight=1.0)
    gan.fit(face_batches(faces, 16), steps_per_epoch=2, epochs=2, verbose=0, shuffle=False)
    batches = face_batches(faces, 16, start_step=4)
    gan.fit(batches, steps_per_epoch=3, initial_epoch=2, epochs=3, verbose=0, shuffle=False)
    assert gan.step == 7 and gan.traces == 1


@pytest.mark.parametrize("broken", ["image", "generator", "discriminator"])
def test_broken_at_is_the_first_broken_step(real_batch, broken):
    gan = _built()
    for step in range(1, 5):
        images = real_batch.copy()
        if step == 3 and broken == "image":
            images[5, 6, 7, 1] = np.nan
        elif step == 3:
            weight = getattr(gan, broken).trainable_variables[0]
            value = weight.numpy()
            value.flat[0] = np.nan
            weight.assign(value)
        gan.train_step(tf.constant(images))
        assert int(gan.broken_at) == (3 if step >= 3 else -1)


def test_r1_is_refused_with_probabilities(small_gan):
    with pytest.raises(ValueError, match="expected r1_weight 0 with a discriminator that gives prob.*received 0.1"):
        small_gan("probability", r1_weight=0.1)


def test_unknown_augmentation(small_gan):
    with pytest.raises(ValueError, match="expected augmentations of colour, translation, cutout; received 'blur'"):
        small_gan(augmentation=("colour", "blur"))
