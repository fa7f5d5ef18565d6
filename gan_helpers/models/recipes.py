"""Named settings of a whole training run: plain data."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """What to train and how.

    Attributes:
        architecture: name of both networks' architecture, see `generator_model`.
        base_filters: width of both networks.
        latent_dim: width of the latents.
        batch_size: images in a step.
        g_learning_rate: Adam's learning rate for the generator.
        d_learning_rate: Adam's learning rate for the discriminator.
        beta_1: Adam's first decay; 0.5 steadies a GAN (Radford et al. 2015).
        loss: name of a pair in `losses.LOSSES`.
        averaging_half_life: images after which a past generator's share in the averaged one has halved.
        flip: mirror half of the real images.
        simultaneous: update both networks from one generator pass, see `GAN.train_simultaneously`.
        augmentation: kinds of differentiable augmentation, see `augment`.
        r1_weight: weight of the discriminator's R1 penalty.
        final_learning_rate: share of the learning rates that is left at the planned end, in (0, 1]; they fall as half a
            cosine. Below 1 the run depends on its planned length, which is fixed when it is made.
    """

    architecture: str = "dcgan"
    base_filters: int = 64
    latent_dim: int = 100
    batch_size: int = 64
    g_learning_rate: float = 2e-4
    d_learning_rate: float = 2e-4
    beta_1: float = 0.5
    loss: str = "non_saturating"
    averaging_half_life: int = 10_000
    flip: bool = True
    simultaneous: bool = False
    augmentation: tuple[str, ...] = ()
    r1_weight: float = 0.0
    final_learning_rate: float = 1.0


# The paper's optimiser and batch of 128; its widest drawing has 128 base filters, the common ports have these 64.
dcgan_2015 = Recipe(batch_size=128)

# For minutes on a CPU: a slim network and more, smaller, faster steps.
quick = Recipe(base_filters=32, batch_size=32, simultaneous=True)

# The script origin's networks, whose discriminator ends in a sigmoid.
script_32 = Recipe(architecture="script_32", base_filters=32, loss="probability")

RECIPES = {"quick": quick, "dcgan_2015": dcgan_2015, "script_32": script_32}
