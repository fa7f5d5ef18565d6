"""Adversarial losses: one function for the discriminator and one for the generator of each."""

import keras
from keras import ops


def non_saturating_d_loss(real_logits, fake_logits):
    """The discriminator's loss: cross-entropy of calling real images real and fake ones fake.

    `mean(softplus(-real_logits)) + mean(softplus(fake_logits))`, which is `-log D(x) - log(1 - D(G(z)))` with
    `D = sigmoid(logits)`, but never overflows.

    Args:
        real_logits: float `(batch, 1)`, the discriminator's logits for real images.
        fake_logits: float `(batch, 1)`, its logits for generated images.

    Returns:
        A float scalar, at least 0; `2 log 2 = 1.386` where the discriminator cannot tell.

    Reference: Goodfellow et al., "Generative Adversarial Networks", 2014.
    """
    return ops.mean(ops.softplus(-real_logits)) + ops.mean(ops.softplus(fake_logits))


def non_saturating_g_loss(fake_logits):
    """The generator's loss: cross-entropy of having its images called real, `mean(softplus(-fake_logits))`.

    Called non-saturating because its gradient is strong where the generator loses, which `log(1 - D(G(z)))` is not.

    Args:
        fake_logits: float `(batch, 1)`, the discriminator's logits for generated images.

    Returns:
        A float scalar, at least 0; `log 2 = 0.693` where the discriminator cannot tell.

    Reference: Goodfellow et al., "Generative Adversarial Networks", 2014.
    """
    return ops.mean(ops.softplus(-fake_logits))


def probability_d_loss(real_probabilities, fake_probabilities):
    """`non_saturating_d_loss` for a discriminator that ends in a sigmoid.

    The logarithms are cut off where a probability is within 1e-7 of 0 or 1; prefer logits, where nothing is cut.

    Args:
        real_probabilities: float `(batch, 1)` in [0, 1].
        fake_probabilities: float `(batch, 1)` in [0, 1].

    Returns:
        A float scalar, at least 0.
    """
    return _cross_entropy(1.0, real_probabilities) + _cross_entropy(0.0, fake_probabilities)


def probability_g_loss(fake_probabilities):
    """`non_saturating_g_loss` for a discriminator that ends in a sigmoid.

    Args:
        fake_probabilities: float `(batch, 1)` in [0, 1].

    Returns:
        A float scalar, at least 0.
    """
    return _cross_entropy(1.0, fake_probabilities)


def r1_penalty(gradients):
    """Pulls the discriminator towards being flat at real images, which steadies training: `mean(|gradients|^2) / 2`.

    Args:
        gradients: float32 `(batch, height, width, 3)`, of each real image's logit by the image.

    Returns:
        A float scalar, at least 0; it is added to the discriminator's loss times a weight (0.1 to 10).

    Reference: Mescheder et al., "Which Training Methods for GANs do actually Converge?", 2018.
    """
    return ops.mean(ops.sum(ops.square(gradients), axis=(1, 2, 3))) / 2


def _cross_entropy(target, probabilities):
    return ops.mean(keras.losses.binary_crossentropy(ops.full_like(probabilities, target), probabilities))


LOSSES = {
    "non_saturating": (non_saturating_d_loss, non_saturating_g_loss),
    "probability": (probability_d_loss, probability_g_loss),
}
