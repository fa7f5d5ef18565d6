import numpy as np
import pytest
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
