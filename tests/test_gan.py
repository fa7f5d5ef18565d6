import keras
import numpy as np
import pytest
import tensorflow as tf

from gan_helpers import GAN, discriminator_model, face_batches, generator_model
from gan_helpers.models.augment import KINDS
from gan_helpers.training.fused import PRECISIONS, for_training
from gan_helpers.training.gan import RECENT, SIGNALS


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
    for average, by_hand in zip(gan.averaged_generator.weights, expected, strict=True):
        if "moving" not in average.path:
            np.testing.assert_allclose(average, by_hand, rtol=1e-4, atol=1e-6)


def _statistics(network):
    """Mean and variance of each normalised map of other latents, as training has them."""
    norms = [layer for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization)]
    copy = keras.models.clone_model(network)
    copy.set_weights(network.get_weights())
    for layer in copy.layers:
        layer.trainable, layer.momentum = True, 0.0
    copy(keras.random.normal((2000, 10), seed=5), training=True)
    return [(norm.get_weights()[2:], copy.get_layer(norm.name).get_weights()[2:]) for norm in norms]


def test_averaged_weights_have_their_own_statistics(small_gan, real_batch):
    gan = small_gan(averaging_half_life=200, averaging_share=0.5)
    for _ in range(10):
        gan.train_step(tf.constant(real_batch))
    for (mean, variance), (own_mean, own_variance) in _statistics(gan.averaged_generator):
        deviation = np.sqrt(own_variance.mean())
        np.testing.assert_allclose(mean, own_mean, atol=0.1 * deviation)
        np.testing.assert_allclose(variance, own_variance, rtol=0.2, atol=0.02 * own_variance.mean())


def test_statistics_are_a_function_of_the_weights(small_gan, real_batch):
    looked_at, left_alone = small_gan(), small_gan()
    for _ in range(4):
        for gan in (looked_at, left_alone):
            gan.train_step(tf.constant(real_batch))
        assert looked_at.averaged_generator is looked_at.averaged_generator
    assert _same(_weights(looked_at.averaged_generator), _weights(left_alone.averaged_generator))


@pytest.mark.parametrize("share", [0, -0.1, 1.5])
def test_shares_of_the_images_that_there_are_not(small_gan, share):
    with pytest.raises(ValueError, match=r"expected averaging_share in \(0, 1\]; received"):
        small_gan(averaging_share=share)


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
    with pytest.raises(ValueError, match="expected a loss of non_saturating, .*, relativistic; received 'mse'"):
        gan.compile(loss="mse")


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
        scaled = precision == "mixed_float16"  # a first scale that no gradient here overflows
        return keras.optimizers.LossScaleOptimizer(chosen, initial_scale=64) if scaled else chosen

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
            gan.augmentation, gan.penalty_weights["r1_weight"] = ("colour", "translation", "cutout"), 1.0
        results = gan.train_step(tf.constant(real_batch[:8]))
        assert gan.step == step and int(gan.broken_at) == -1
        assert np.isfinite([float(value) for value in results.values()]).all()
    for network, old in zip((gan.generator, gan.discriminator), before, strict=True):
        assert all(np.isfinite(weight).all() for weight in network.get_weights())
        assert all((a != b).any() for a, b in zip(old, _weights_of_trainable(network), strict=True))
    assert all(np.isfinite(weight).all() for weight in gan.averaged_generator.get_weights())


def test_penalty_is_added_to_the_discriminators_loss(real_batch):
    gan, without = _built(r1_weight=2.0), _built()
    penalty = float(gan._penalty(tf.constant(real_batch), None))
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


def test_penalties_are_refused_with_probabilities(small_gan):
    with pytest.raises(ValueError, match="expected no penalty with a discriminator that gives prob.*'r1_weight': 0.1"):
        small_gan("probability", r1_weight=0.1)


def test_unknown_augmentation(small_gan):
    with pytest.raises(ValueError, match="expected augmentations of colour, translation, cutout; received 'blur'"):
        small_gan(augmentation=("colour", "blur"))


# Ingredients

PENALTIES = ("r1_weight", "r2_weight", "gradient_penalty_weight")
INGREDIENTS = {
    "least squares": ({}, {}, {"loss": "least_squares"}),
    "hinge and spectral": ({"normalisation": "spectral"}, {}, {"loss": "hinge"}),
    "wasserstein and gradient penalty": (
        {"normalisation": "none"}, {"gradient_penalty_weight": 10.0}, {"loss": "wasserstein"}),
    "relativistic, R1 and R2": (
        {"normalisation": "none"}, {"r1_weight": 1.0, "r2_weight": 1.0}, {"loss": "relativistic"}),
    "lazy R1": ({}, {"r1_weight": 1.0, "penalty_every": 4}, {}),
    "augmentation": ({}, {"augmentation": KINDS}, {}),
    "adaptive augmentation": ({}, {"augmentation": KINDS, "augmentation_target": 0.6}, {}),
    "label smoothing": ({}, {}, {"label_smoothing": 0.1}),
    "minibatch standard deviation": ({"minibatch_std": True}, {}, {}),
}  # fmt: skip


def _with(network, gan, compiled, precision="float32", **shared):
    keras.utils.set_random_seed(7)
    shared = {"image_size": 32, "base_filters": 4} | shared
    gan = GAN(
        for_training(generator_model(10, **shared), precision),
        for_training(discriminator_model(**shared, **network), precision),
        seed=3,
        **gan,
    )
    gan.compile(simultaneous=True, jit_compile=False, **compiled)
    return gan


@pytest.mark.parametrize("name", INGREDIENTS)
def test_each_ingredient_trains(name, real_batch):
    """50 steps on one batch: all stays finite, and the loss that the discriminator minimises falls."""
    gan = _with(*INGREDIENTS[name])
    real_images = tf.constant(real_batch)
    train_step = tf.function(gan.train_step)
    for _ in range(50):
        results = train_step(real_images)
    assert int(gan.broken_at) == -1 and gan.step == 50
    assert np.isfinite([float(value) for value in results.values()]).all()
    fake_images = gan.generator(np.random.default_rng(0).normal(size=(16, 10)).astype(np.float32))

    def loss():
        real_logits, fake_logits = (gan._discriminate(images, "real") for images in (real_images, fake_images))
        return float(gan.d_loss(real_logits, fake_logits) + gan._penalty(real_images, fake_images))

    if gan.adaptive:
        gan.adaptive[0].assign(0.0)
    first, learn = loss(), tf.function(lambda: gan._learn_to_tell(real_images, fake_images))
    for _ in range(30):
        learn()
    gan.d_updates.assign_sub(30)  # the same augmentation as before
    assert loss() < first


def _smooth_discriminator():
    """Finite differences would stumble over the kinks of ReLUs."""
    keras.utils.set_random_seed(7)
    inputs = x = keras.Input((32, 32, 3))
    for filters in (4, 8):
        x = keras.layers.Conv2D(filters, 4, 2, "same", activation="tanh", kernel_initializer="he_normal")(x)
    return keras.Model(inputs, keras.layers.Dense(1)(keras.layers.Flatten()(x)))


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("precision", PRECISIONS)
def test_penalties_have_the_derivatives_of_finite_differences(penalty, precision, real_batch):
    """A weight's gradient through the gradient by the image, whatever the precision of the rest."""
    discriminator = for_training(_smooth_discriminator(), precision)
    gan = GAN(generator_model(10, image_size=32, base_filters=4), discriminator, **{penalty: 3.0})
    real_images, fake_images = tf.constant(real_batch[:4]), tf.constant(real_batch[4:8])
    for weight in discriminator.trainable_variables[:3:2]:
        direction = np.random.default_rng(0).normal(size=weight.shape).astype(np.float32)
        direction /= np.linalg.norm(direction)
        with tf.GradientTape() as tape:
            value = gan._penalty(real_images, fake_images)
        slope = float(tf.reduce_sum(tape.gradient(value, weight) * direction))
        values, h = [], 0.01
        for sign in (1, -1):
            weight.assign_add(sign * h * direction)
            values.append(float(gan._penalty(real_images, fake_images)))
            weight.assign_sub(sign * h * direction)
        assert slope == pytest.approx((values[0] - values[1]) / (2 * h), rel=0.01) and abs(slope) > 1e-3


@pytest.mark.parametrize("precision", PRECISIONS[1:])
def test_penalties_are_alike_in_every_precision(precision, real_batch):
    def penalty(precision):
        gan = _with({"normalisation": "none"}, dict.fromkeys(PENALTIES, 1.0), {}, precision)
        return float(gan._penalty(tf.constant(real_batch[:8]), tf.constant(real_batch[8:])))

    assert penalty(precision) == pytest.approx(penalty("float32"), rel=1e-4)


def test_penalties_of_a_linear_discriminator_by_hand(real_batch):
    """`w . x` has the slope `w` everywhere: each penalty is a number that can be worked out."""
    inputs = keras.Input((32, 32, 3))
    linear = keras.Model(inputs, keras.layers.Dense(1, use_bias=False)(keras.layers.Flatten()(inputs)))
    squared = float((linear.get_weights()[0].astype(np.float64) ** 2).sum())
    expected = {"r1_weight": squared / 2, "r2_weight": squared / 2, "gradient_penalty_weight": (squared**0.5 - 1) ** 2}
    generator = generator_model(10, image_size=32, base_filters=4)
    for name, value in expected.items():
        gan = GAN(generator, linear, **{name: 5.0})
        real_images, fake_images = tf.constant(real_batch[:8]), tf.constant(real_batch[8:])
        assert float(gan._penalty(real_images, fake_images)) == pytest.approx(5 * value, rel=1e-4), name


def test_penalties_now_and_then_are_as_many_times_as_strong(real_batch):
    every, lazy = (_with({}, {"r1_weight": 2.0, "penalty_every": n}, {}) for n in (1, 4))
    images = tf.constant(real_batch)
    values = []
    for step in range(8):
        lazy.d_updates.assign(step)
        values.append(float(tf.function(lazy._penalty)(images, images)))
    assert values[1:4] == values[5:] == [0, 0, 0]
    assert values[0] == values[4] == pytest.approx(4 * float(every._penalty(images, images)), rel=1e-5)


def test_real_and_fake_images_pass_apart(real_batch):
    """Batch statistics of the one do not reach the other: with other fake images, real logits stay the same."""
    gan, seen = _with({}, {"r1_weight": 1.0, "r2_weight": 1.0}, {}), []
    gan.d_loss = lambda real_logits, fake_logits: seen.append(real_logits) or tf.reduce_mean(fake_logits - real_logits)
    for scale in (1.0, 0.1):
        before = gan.discriminator.get_weights()
        gan._learn_to_tell(tf.constant(real_batch), tf.constant(scale * real_batch))
        gan.discriminator.set_weights(before)
    np.testing.assert_array_equal(seen[0], seen[1])


def test_augmentation_does_not_reach_samples(real_batch):
    """A discriminator step augments what it looks at; what the generator makes for others stays as it is."""
    gan = _with({}, {"augmentation": KINDS}, {})
    latents = np.random.default_rng(0).normal(size=(4, 10)).astype(np.float32)
    before = gan.averaged_generator(latents).numpy()
    gan.train_discriminator(tf.constant(real_batch))
    np.testing.assert_array_equal(gan.averaged_generator(latents), before)


@pytest.mark.parametrize(("logit", "direction"), [(5.0, 1), (-5.0, -1)])
def test_adaptive_augmentation_follows_the_sign_of_real_images(logit, direction, small_gan):
    gan = small_gan(augmentation=KINDS, augmentation_target=0.6)
    strength, real_sign = gan.adaptive
    strength.assign(0.4)
    scores = tf.sigmoid(tf.fill((16, 1), logit))
    for _ in range(10):
        gan._adapt(scores)
        gan.d_updates.assign_add(1)
    assert float(real_sign) == pytest.approx(direction)
    assert float(strength) == pytest.approx(0.4 + direction * 10 * 16 / 100_000, rel=1e-4)


def test_adaptive_augmentation_stays_in_its_bounds(small_gan):
    gan = small_gan(augmentation=KINDS, augmentation_target=0.6)
    strength, _ = gan.adaptive
    for start, score, end in ((0.8, 1.0, 0.8), (0.0, 0.0, 0.0)):
        strength.assign(start)
        gan.d_updates.assign(0)
        gan._adapt(tf.fill((16, 1), score))
        assert float(strength) == pytest.approx(end)


def test_relativistic_generator_answers_real_images(real_batch):
    """Its loss is that of the discriminator as it is after its own update, at the same real images."""
    gan = _with({"normalisation": "none"}, {"r1_weight": 1.0}, {"loss": "relativistic"})
    before = gan.generator.get_weights()
    results = gan.train_step(tf.constant(real_batch))
    latents = tf.random.stateless_normal((16, 10), [3, 0])
    gan.generator.set_weights(before)
    real, fake = (gan.discriminator(x, training=True) for x in (real_batch, gan.generator(latents, training=True)))
    assert float(results["g_loss"]) == pytest.approx(float(tf.reduce_mean(tf.nn.softplus(real - fake))), rel=1e-4)


@pytest.mark.parametrize(
    ("network", "gan", "compiled", "message"),
    [
        ({}, {"gradient_penalty_weight": 10.0}, {}, "without batch normalisation for gradient_penalty_weight"),
        ({}, {}, {"loss": "wasserstein"}, "bounded slope with wasserstein.*gradient_penalty_weight=10"),
        ({}, {}, {"loss": "relativistic", "simultaneous": False}, "expected simultaneous=True with relativistic"),
        ({}, {}, {"loss": "hinge", "label_smoothing": 0.1}, "expected label_smoothing 0 with hinge"),
        ({}, {}, {"label_smoothing": 0.5}, r"expected label_smoothing in \[0, 0.5\); received 0.5"),
        ({}, {"r1_weight": -1.0}, {}, "expected r1_weight of at least 0; received -1.0"),
        ({}, {"penalty_every": 0}, {}, "expected penalty_every as a whole number of at least 1; received 0"),
        ({}, {"augmentation_target": 0.6}, {}, "with kinds of augmentation to adapt; received 0.6 with none"),
        ({}, {"augmentation": KINDS, "augmentation_target": 1.5}, {}, "expected augmentation_target in"),
        (
            {},
            {"augmentation": KINDS, "augmentation_target": 0.6},
            {"loss": "relativistic"},
            "no augmentation_target with relativistic",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(network, gan, compiled, message):
    with pytest.raises(ValueError, match=message):
        gan = _with(network, gan, {})
        gan.compile(**({"simultaneous": True} | compiled))


def test_signals_are_kept_when_asked_for(small_gan, real_batch):
    gan = small_gan()
    gan.train_step(tf.constant(real_batch))
    assert gan.signals is None
    gan.keep_signals()
    for _ in range(2):
        results = gan.train_step(tf.constant(real_batch))
    rows = gan.signals.numpy()
    assert rows.shape == (RECENT, len(SIGNALS)) and np.isnan(rows[0]).all() and np.isnan(rows[3:]).all()
    row = dict(zip(SIGNALS, rows[2], strict=True))
    assert row["real_low"] == real_batch.min() and row["real_high"] == real_batch.max()
    assert -1 <= row["fake_low"] < row["fake_high"] <= 1
    assert 0 < row["fake_score"] < 1 and row["d_gradient_norm"] > 0 and row["g_gradient_norm"] > 0
    assert set(results) == {"d_loss", "g_loss", "real_score", "fake_score"}


@pytest.mark.parametrize("precision", PRECISIONS)
def test_signals_change_nothing_and_are_alike_in_every_precision(precision, real_batch):
    watched, alone = _built(precision), _built(precision)
    watched.keep_signals()
    for gan in (watched, alone):
        gan.train_step(tf.constant(real_batch))
    assert _same(watched.generator.get_weights(), alone.generator.get_weights())
    plain = _built("float32")
    plain.keep_signals()
    plain.train_step(tf.constant(real_batch))
    np.testing.assert_allclose(watched.signals[0], plain.signals[0], rtol=0.1, atol=0.02)
