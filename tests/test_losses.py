import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from gan_helpers.models import losses

REAL = np.array([[2.0], [-1.0], [0.5]], np.float32)
FAKE = np.array([[-3.0], [0.25], [1.5]], np.float32)


def _sigmoid(x):
    return 1 / (1 + np.exp(-x.astype(np.float64)))


def test_discriminator_loss_by_hand():
    expected = -np.log(_sigmoid(REAL)).mean() - np.log(1 - _sigmoid(FAKE)).mean()
    assert float(losses.non_saturating_d_loss(REAL, FAKE)) == pytest.approx(expected, rel=1e-6)


def test_generator_loss_by_hand():
    assert float(losses.non_saturating_g_loss(FAKE)) == pytest.approx(-np.log(_sigmoid(FAKE)).mean(), rel=1e-6)


def test_where_the_discriminator_cannot_tell():
    zero = np.zeros((4, 1), np.float32)
    assert float(losses.non_saturating_d_loss(zero, zero)) == pytest.approx(2 * np.log(2))
    assert float(losses.non_saturating_g_loss(zero)) == pytest.approx(np.log(2))


def _softplus(x):
    return np.log1p(np.exp(x))


BY_HAND = {
    "non_saturating": lambda r, f: (_softplus(-r).mean() + _softplus(f).mean(), _softplus(-f).mean()),
    "least_squares": lambda r, f: (((r - 1) ** 2).mean() / 2 + (f**2).mean() / 2, ((f - 1) ** 2).mean() / 2),
    "hinge": lambda r, f: (np.maximum(0, 1 - r).mean() + np.maximum(0, 1 + f).mean(), -f.mean()),
    "wasserstein": lambda r, f: (f.mean() - r.mean(), -f.mean()),
    "relativistic": lambda r, f: (_softplus(f - r).mean(), _softplus(r - f).mean()),
}  # fmt: skip


@pytest.mark.parametrize("name", BY_HAND)
def test_each_pair_by_hand(name):
    d_loss, g_loss = losses.LOSSES[name]
    expected = BY_HAND[name](REAL.astype(np.float64), FAKE.astype(np.float64))
    real = [REAL] if name == "relativistic" else []
    assert float(d_loss(REAL, FAKE)) == pytest.approx(expected[0], rel=1e-6)
    assert float(g_loss(FAKE, *real)) == pytest.approx(expected[1], rel=1e-6)


@pytest.mark.parametrize("name", BY_HAND)
def test_each_pair_pulls_the_right_way(name):
    d_loss, g_loss = losses.LOSSES[name]
    real, fake = (tf.constant(np.zeros((2, 1), np.float32)) for _ in range(2))
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([real, fake])
        d, g = d_loss(real, fake), g_loss(fake, *([real] if name == "relativistic" else []))
    if name != "least_squares":  # whose fake logits are to be 0, where they are
        assert (tape.gradient(d, fake).numpy() > 0).all()
    assert (tape.gradient(d, real).numpy() < 0).all() and (tape.gradient(g, fake).numpy() < 0).all()


def test_relativistic_and_wasserstein_losses_know_differences_only():
    for name in losses.WITHOUT_ZERO:
        d_loss = losses.LOSSES[name][0]
        assert float(d_loss(REAL + 7, FAKE + 7)) == pytest.approx(float(d_loss(REAL, FAKE)), rel=1e-5)


def test_one_sided_label_smoothing():
    real, fake = REAL.astype(np.float64), FAKE.astype(np.float64)
    p, q = _sigmoid(real), _sigmoid(fake)
    expected = -(0.9 * np.log(p) + 0.1 * np.log(1 - p)).mean() - np.log(1 - q).mean()
    assert float(losses.non_saturating_d_loss(REAL, FAKE, label_smoothing=0.1)) == pytest.approx(expected, rel=1e-6)
    probabilities = (ops.convert_to_tensor(x.astype(np.float32)) for x in (p, q))
    assert float(losses.probability_d_loss(*probabilities, label_smoothing=0.1)) == pytest.approx(expected, rel=1e-5)
    # The best answer to a real image is 1 - s, no longer certainty.
    best = np.full((1, 1), np.log(9), np.float32)
    values = [
        float(losses.non_saturating_d_loss(best + d, -50 + 0 * best, label_smoothing=0.1)) for d in (-0.1, 0, 0.1)
    ]
    assert values[1] < min(values[0], values[2])


@pytest.mark.parametrize("name", losses.LOSSES)
def test_scores_are_beliefs(name):
    same = np.full((4, 1), 0.5 if name in ("probability", "least_squares") else 0.0, np.float32)
    assert np.allclose(losses.scores(name, same, same), 0.5)
    real, fake = (same + d for d in (0.4, -0.4))
    real_scores, fake_scores = (np.asarray(x) for x in losses.scores(name, real, fake))
    assert (real_scores > 0.5).all() and (fake_scores < 0.5).all()
    assert real_scores.shape == fake_scores.shape == (4, 1)
    far = [np.asarray(x) for x in losses.scores(name, same + 0.5, same - 0.5)] if name == "probability" else [
        np.asarray(x) for x in losses.scores(name, same + 90, same - 90)]  # fmt: skip
    assert np.allclose(far[0], 1) and np.allclose(far[1], 0)


def test_gradient_penalty_of_linear_discriminators():
    w = np.random.default_rng(0).normal(size=(8, 8, 3)).astype(np.float32)
    slopes = [np.sqrt((w.astype(np.float64) ** 2).sum()), 1.0]
    gradients = np.stack([w, w / slopes[0]])
    assert float(losses.gradient_penalty(gradients)) == pytest.approx((slopes[0] - 1) ** 2 / 2, rel=1e-5)


def test_gradient_penalty_is_finite_at_a_flat_discriminator():
    gradients = tf.zeros((2, 4, 4, 3))
    with tf.GradientTape() as tape:
        tape.watch(gradients)
        value = losses.gradient_penalty(gradients)
    assert float(value) == pytest.approx(1, abs=1e-5) and np.isfinite(tape.gradient(value, gradients)).all()


def test_interpolated_images_lie_between():
    random = np.random.default_rng(3)
    real, fake = random.uniform(-1, 1, (2, 5, 4, 4, 3)).astype(np.float32)
    uniforms = np.linspace(0, 1, 5, dtype=np.float32).reshape(5, 1, 1, 1)
    between = np.asarray(losses.interpolated(real, fake, uniforms))
    np.testing.assert_allclose(between[0], real[0])
    np.testing.assert_allclose(between[4], fake[4], atol=1e-6)
    np.testing.assert_allclose(between[2], (real[2] + fake[2]) / 2, atol=1e-6)


def test_r2_is_r1_elsewhere():
    gradients = np.random.default_rng(5).normal(size=(3, 4, 4, 3)).astype(np.float32)
    assert float(losses.r2_penalty(gradients)) == float(losses.r1_penalty(gradients))


@pytest.mark.parametrize("size", [100.0, 1e4])
def test_extreme_logits_stay_finite(size):
    far = np.full((2, 1), size, np.float32)
    assert float(losses.non_saturating_d_loss(far, -far)) == pytest.approx(0, abs=1e-6)
    assert float(losses.non_saturating_d_loss(-far, far)) == pytest.approx(2 * size)
    assert float(losses.non_saturating_g_loss(-far)) == pytest.approx(size)


def test_probabilities_give_the_same_as_logits():
    real, fake = (ops.convert_to_tensor(_sigmoid(x).astype(np.float32)) for x in (REAL, FAKE))
    expected = losses.non_saturating_d_loss(REAL, FAKE)
    assert float(losses.probability_d_loss(real, fake)) == pytest.approx(float(expected), rel=1e-5)
    expected = losses.non_saturating_g_loss(FAKE)
    assert float(losses.probability_g_loss(fake)) == pytest.approx(float(expected), rel=1e-5)


def test_r1_penalty_of_a_linear_discriminator():
    w = np.random.default_rng(0).normal(size=(8, 8, 3)).astype(np.float32)  # w·x has the gradient w at every image
    gradients = np.stack([w, w])
    assert float(losses.r1_penalty(gradients)) == pytest.approx((w.astype(np.float64) ** 2).sum() / 2, rel=1e-5)


def test_r1_penalty_against_finite_differences():
    random = np.random.default_rng(1)
    images, w = random.uniform(-1, 1, (3, 4, 4, 3)), random.normal(size=(4, 4, 3))

    def logit(image):
        return np.tanh((w * image).sum() / 4)

    gradients, h = np.zeros(images.shape), 1e-6
    for place in np.ndindex(images.shape):
        higher, lower = images.copy(), images.copy()
        higher[place], lower[place] = images[place] + h, images[place] - h
        gradients[place] = (logit(higher[place[0]]) - logit(lower[place[0]])) / (2 * h)
    slopes = [(1 - logit(image) ** 2) / 4 for image in images]  # of tanh at each image, by hand
    expected = np.mean([slope**2 * (w**2).sum() for slope in slopes]) / 2
    assert float(losses.r1_penalty(gradients.astype(np.float32))) == pytest.approx(expected, rel=1e-4)
