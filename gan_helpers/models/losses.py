"""Adversarial losses, one function for the discriminator and one for the generator of each, and gradient penalties."""

import keras
from keras import ops


def non_saturating_d_loss(real_logits, fake_logits, label_smoothing=0.0):
    """The discriminator's loss: cross-entropy of calling real images real and fake ones fake.

    `mean(softplus(-real_logits)) + mean(softplus(fake_logits))`, which is `-log D(x) - log(1 - D(G(z)))` with
    `D = sigmoid(logits)`, but never overflows.

    Helps always: the plain choice, hard to beat where training is short. One-sided label smoothing aims at `1 - s` for
    real images instead of 1 (never at more than 0 for fake ones, which would reward the generator for standing still);
    it helps where the discriminator grows overconfident.

    Args:
        real_logits: float `(batch, 1)`, the discriminator's logits for real images.
        fake_logits: float `(batch, 1)`, its logits for generated images.
        label_smoothing: `s`, in [0, 0.5). Defaults to `0.0`.

    Returns:
        A float scalar, at least 0; `2 log 2 = 1.386` where the discriminator cannot tell.

    References: Goodfellow et al., "Generative Adversarial Networks", 2014; smoothing: Salimans et al., "Improved
    Techniques for Training GANs", 2016.
    """
    real = (1 - label_smoothing) * ops.softplus(-real_logits) + label_smoothing * ops.softplus(real_logits)
    return ops.mean(real) + ops.mean(ops.softplus(fake_logits))


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


def probability_d_loss(real_probabilities, fake_probabilities, label_smoothing=0.0):
    """`non_saturating_d_loss` for a discriminator that ends in a sigmoid.

    The logarithms are cut off where a probability is within 1e-7 of 0 or 1; prefer logits, where nothing is cut.

    Args:
        real_probabilities: float `(batch, 1)` in [0, 1].
        fake_probabilities: float `(batch, 1)` in [0, 1].
        label_smoothing: as there. Defaults to `0.0`.

    Returns:
        A float scalar, at least 0.
    """
    return _cross_entropy(1.0 - label_smoothing, real_probabilities) + _cross_entropy(0.0, fake_probabilities)


def probability_g_loss(fake_probabilities):
    """`non_saturating_g_loss` for a discriminator that ends in a sigmoid.

    Args:
        fake_probabilities: float `(batch, 1)` in [0, 1].

    Returns:
        A float scalar, at least 0.
    """
    return _cross_entropy(1.0, fake_probabilities)


def least_squares_d_loss(real_logits, fake_logits):
    """Squared distance from 1 at real images and from 0 at fake ones: `mean((real - 1)^2) / 2 + mean(fake^2) / 2`.

    Helps where the discriminator is so sure that cross-entropy's gradient fades: images far on the right side are
    pulled back too.

    Args:
        real_logits: float `(batch, 1)`.
        fake_logits: float `(batch, 1)`.

    Returns:
        A float scalar, at least 0; `1/4` where the discriminator cannot tell.

    Reference: Mao et al., "Least Squares Generative Adversarial Networks", 2017.
    """
    return (ops.mean(ops.square(real_logits - 1)) + ops.mean(ops.square(fake_logits))) / 2


def least_squares_g_loss(fake_logits):
    """`mean((fake - 1)^2) / 2`, at least 0; see `least_squares_d_loss`."""
    return ops.mean(ops.square(fake_logits - 1)) / 2


def hinge_d_loss(real_logits, fake_logits):
    """`mean(max(0, 1 - real)) + mean(max(0, 1 + fake))`: images that are told apart by a margin teach nothing more.

    Helps together with spectral normalisation, which keeps the discriminator from widening its margin by scale alone.

    Args:
        real_logits: float `(batch, 1)`.
        fake_logits: float `(batch, 1)`.

    Returns:
        A float scalar, at least 0; 2 where the discriminator cannot tell.

    References: Lim and Ye, "Geometric GAN", 2017; Miyato et al., "Spectral Normalization for Generative Adversarial
    Networks", 2018.
    """
    return ops.mean(ops.relu(1 - real_logits)) + ops.mean(ops.relu(1 + fake_logits))


def wasserstein_d_loss(real_logits, fake_logits):
    """`mean(fake) - mean(real)`: minus an estimate of the earth mover's distance between real and fake images.

    Helps where a loss is wanted that falls as the images get better. It is an estimate only of a discriminator whose
    slope is bounded: by `gradient_penalty` or spectral normalisation.

    Args:
        real_logits: float `(batch, 1)`.
        fake_logits: float `(batch, 1)`.

    Returns:
        A float scalar of either sign; 0 where the discriminator cannot tell.

    Reference: Arjovsky, Chintala, Bottou, "Wasserstein GAN", 2017.
    """
    return ops.mean(fake_logits) - ops.mean(real_logits)


def wasserstein_g_loss(fake_logits):
    """`-mean(fake)`, the generator's loss of the Wasserstein GAN (2017) and of the hinge loss (2017)."""
    return -ops.mean(fake_logits)


def relativistic_pairing_d_loss(real_logits, fake_logits):
    """`mean(softplus(-(real - fake)))`: each real image is to look more real than the fake one beside it.

    Helps against mode collapse: fake images are judged against real ones, so that a generator cannot win all by one
    image. Wants R1 and R2 penalties, which make training converge.

    Args:
        real_logits: float `(batch, 1)`.
        fake_logits: float `(batch, 1)`, as many.

    Returns:
        A float scalar, at least 0; `log 2 = 0.693` where the discriminator cannot tell.

    References: Jolicoeur-Martineau, "The Relativistic Discriminator", 2018; Huang et al., "The GAN is dead; long live
    the GAN! A Modern Baseline GAN", 2024.
    """
    return ops.mean(ops.softplus(fake_logits - real_logits))


def relativistic_pairing_g_loss(fake_logits, real_logits):
    """`mean(softplus(-(fake - real)))`, the pairing loss the other way round; unlike others it needs real logits."""
    return ops.mean(ops.softplus(real_logits - fake_logits))


def r1_penalty(gradients):
    """Pulls the discriminator towards being flat at real images: `mean(|gradients|^2) / 2`.

    Helps training to converge, most without batch normalisation, where each logit is a function of its own image.

    Args:
        gradients: float32 `(batch, height, width, 3)`, of each real image's logit by the image.

    Returns:
        A float scalar, at least 0; it is added to the discriminator's loss times a weight (0.1 to 10).

    Reference: Mescheder et al., "Which Training Methods for GANs do actually Converge?", 2018.
    """
    return ops.mean(ops.sum(ops.square(gradients), axis=(1, 2, 3))) / 2


def r2_penalty(gradients):
    """`r1_penalty` at fake images, from the gradients of their logits; helps beside it, with the relativistic loss.

    References: Mescheder et al., 2018, and Huang et al., 2024, as above.
    """
    return r1_penalty(gradients)


def gradient_penalty(gradients):
    """Pulls the slope of the discriminator towards 1, halfway between real and fake: `mean((|gradients| - 1)^2)`.

    Helps the Wasserstein loss, which is meaningless without a bound on the slope.

    Args:
        gradients: float32 `(batch, height, width, 3)`, of each logit by its image, at `interpolated` images.

    Returns:
        A float scalar, at least 0; the paper's weight is 10.

    Reference: Gulrajani et al., "Improved Training of Wasserstein GANs", 2017.
    """
    # The 1e-12 keeps the root's own gradient finite where the slope is 0, as it is before training has begun.
    slopes = ops.sqrt(ops.sum(ops.square(gradients), axis=(1, 2, 3)) + 1e-12)
    return ops.mean(ops.square(slopes - 1))


def interpolated(real_images, fake_images, uniforms):
    """Images on the straight line between each real image and the fake one beside it, where the penalty is taken.

    Args:
        real_images: float `(batch, height, width, 3)`.
        fake_images: float, of the same shape.
        uniforms: float `(batch, 1, 1, 1)` in [0, 1). Uniform as in the paper: with normal weights, as in some
            tutorials, most images would lie beyond the line's ends or around one of them.

    Returns:
        `real_images + uniforms * (fake_images - real_images)`.

    Reference: Gulrajani et al., 2017, as above.
    """
    return real_images + uniforms * (fake_images - real_images)


def scores(loss, real_logits, fake_logits):
    """What the discriminator believes, image by image, on one scale for all losses.

    1 is "real", 0 "fake", 0.5 "cannot tell". For logits of cross-entropy it is their probability; for the hinge loss
    the same function, where its margins lie at 0.27 and 0.73; least squares aims at 0 and 1 themselves. Of the
    Wasserstein and the relativistic loss only differences mean anything: there it is the sigmoid of the logit's
    distance from the mean of the other side.

    Args:
        loss: a name in `LOSSES`.
        real_logits: float `(batch, 1)`.
        fake_logits: float `(batch, 1)`.

    Returns:
        `(real_scores, fake_scores)`, each float `(batch, 1)` in [0, 1].
    """
    if loss == "probability":
        return real_logits, fake_logits
    if loss == "least_squares":
        return ops.clip(real_logits, 0.0, 1.0), ops.clip(fake_logits, 0.0, 1.0)
    if loss in WITHOUT_ZERO:
        real_mean, fake_mean = ops.mean(real_logits), ops.mean(fake_logits)
        real_logits, fake_logits = real_logits - fake_mean, fake_logits - real_mean
    return ops.sigmoid(real_logits), ops.sigmoid(fake_logits)


def _cross_entropy(target, probabilities):
    return ops.mean(keras.losses.binary_crossentropy(ops.full_like(probabilities, target), probabilities))


LOSSES = {
    "non_saturating": (non_saturating_d_loss, non_saturating_g_loss),
    "probability": (probability_d_loss, probability_g_loss),
    "least_squares": (least_squares_d_loss, least_squares_g_loss),
    "hinge": (hinge_d_loss, wasserstein_g_loss),
    "wasserstein": (wasserstein_d_loss, wasserstein_g_loss),
    "relativistic": (relativistic_pairing_d_loss, relativistic_pairing_g_loss),
}
WITH_LABELS = ("non_saturating", "probability")  # cross-entropies, whose labels can be smoothed
WITHOUT_ZERO = ("wasserstein", "relativistic")  # a constant added to all their logits changes nothing
