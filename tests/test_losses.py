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
