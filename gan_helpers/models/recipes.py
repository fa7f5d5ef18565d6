"""Named settings of a whole training run: plain data."""

import dataclasses
import difflib
from dataclasses import dataclass

SMALLEST = 32  # pixels a side of the pictures that growing begins with


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
        label_smoothing: one-sided, see `non_saturating_d_loss`.
        g_normalisation: the generator's, see `generator_model`; `None`: its architecture's own.
        d_normalisation: the discriminator's, likewise.
        minibatch_std: whether the discriminator sees how much the images of a batch differ.
        averaging_half_life: images after which a past generator's share in the averaged one has halved.
        averaging_share: early in a run the half-life is this share of the images seen so far, in (0, 1].
        flip: mirror half of the real images.
        simultaneous: update both networks from one generator pass, see `GAN.train_simultaneously`.
        augmentation: kinds of differentiable augmentation, see `augment`.
        augmentation_target: makes its strength adapt, see `GAN`; `None`: always on.
        r1_weight: weight of the discriminator's R1 penalty.
        r1_weight_beyond_64: what is added to it for pictures of more than 64 pixels.
        r2_weight: weight of its R2 penalty.
        gradient_penalty_weight: weight of its gradient penalty (WGAN-GP).
        penalty_every: steps between two penalties.
        mismatch_weight: share of real images with another image's attributes, see `GAN`; `None`: 0.5 where there are
            attributes, 0 where there are not.
        final_learning_rate: share of the learning rates that is left at the planned end, in (0, 1]; they fall as half a
            cosine. Below 1 the run depends on its planned length (epochs, or minutes at the speed measured), which is
            fixed when it is made.
        growth: share of the planned steps, in [0, 1), that is made on smaller pictures, from 32 pixels on, with
            networks of the architecture `"growing"`, see `training.growing.stages`. Above 0 the run depends on its
            planned length, likewise.
    """

    architecture: str = "dcgan"
    base_filters: int = 64
    latent_dim: int = 100
    batch_size: int = 64
    g_learning_rate: float = 2e-4
    d_learning_rate: float = 2e-4
    beta_1: float = 0.5
    loss: str = "non_saturating"
    label_smoothing: float = 0.0
    g_normalisation: str | None = None
    d_normalisation: str | None = None
    minibatch_std: bool = False
    averaging_half_life: int = 10_000
    averaging_share: float = 0.05
    flip: bool = True
    simultaneous: bool = False
    augmentation: tuple[str, ...] = ()
    augmentation_target: float | None = None
    r1_weight: float = 0.0
    r1_weight_beyond_64: float = 0.0
    r2_weight: float = 0.0
    gradient_penalty_weight: float = 0.0
    penalty_every: int = 1
    mismatch_weight: float | None = None
    final_learning_rate: float = 1.0
    growth: float = 0.0

    def planned(self, image_size):
        """Whether a run of pictures of so many pixels depends on its planned length."""
        return self.final_learning_rate < 1 or (self.growth > 0 and image_size > SMALLEST)


# The paper's optimiser and batch of 128; its widest drawing has 128 base filters, the common ports have these 64.
dcgan_2015 = Recipe(batch_size=128)

# For minutes on a CPU: a slim network and more, smaller, faster steps.
quick = Recipe(base_filters=32, batch_size=32, simultaneous=True)

# Small pictures first: what a face is made of is learnt at 32 pixels, where a step costs less, and detail after that.
# The augmentation grows while the discriminator is too sure of real pictures: with few it soon knows them by heart.
# At 128 pixels the discriminator came to judge by fine detail alone and won, after 1,000 steps; R1 prevents that.
best = Recipe(
    architecture="growing",
    base_filters=64,
    batch_size=32,
    g_learning_rate=5e-4,
    d_learning_rate=5e-4,
    simultaneous=True,
    augmentation=("colour", "translation", "cutout"),
    augmentation_target=0.6,
    r1_weight_beyond_64=1.0,
    penalty_every=4,
    growth=0.8,
)

# Residual networks whose samples show no grid, at four times the time a step; spectral normalisation bounds the slope.
resnet = Recipe(architecture="resnet", base_filters=32, batch_size=32, simultaneous=True)

# Residual networks without batch normalisation, at twice the time a step; R1 holds their discriminator back.
light = Recipe(architecture="light", base_filters=32, batch_size=32, simultaneous=True, r1_weight=0.2)

# The script origin's networks, whose discriminator ends in a sigmoid.
script_32 = Recipe(architecture="script_32", base_filters=32, loss="probability")

RECIPES = {
    "quick": quick,
    "best": best,
    "dcgan_2015": dcgan_2015,
    "script_32": script_32,
    "resnet": resnet,
    "light": light,
}


def read_recipe(text):
    """A recipe by its name, with changes where they follow it: `"quick,loss=hinge,d_normalisation=spectral"`.

    Args:
        text: a name in `RECIPES`, then any number of `,field=value`. A tuple's items stand with `+` between them
            (`augmentation=colour+cutout`), and `none` for no item, as for a number that may be `None`.

    Returns:
        A `Recipe`.

    Raises:
        ValueError: a name, field or value that there is not.

    Example:
        >>> read_recipe("quick,loss=hinge").loss
        'hinge'
    """
    name, *changes = (word.strip() for word in text.split(","))
    if name not in RECIPES:
        raise ValueError(f"expected a recipe of {', '.join(RECIPES)}; received {name!r}")
    recipe = RECIPES[name]
    for change in changes:
        field, _, value = change.partition("=")
        recipe = dataclasses.replace(recipe, **{field: _value(field, value)})
    return recipe


def _value(name, text):
    """The text as what the field holds: a number, truth, text, tuple or `None`."""
    kinds = {field.name: str(field.type) for field in dataclasses.fields(Recipe)}
    if name not in kinds:
        near = difflib.get_close_matches(name, kinds, 3) or sorted(kinds)
        raise ValueError(f"expected a field of Recipe, such as {', '.join(near)}; received {name!r}")
    kind = kinds[name]
    if text.lower() == "none" and "str |" not in kind and ("None" in kind or "tuple" in kind):
        return () if "tuple" in kind else None  # for a normalisation, "none" is a name
    try:
        if "tuple" in kind:
            return tuple(text.split("+"))
        if "bool" in kind:
            return {"true": True, "false": False}[text.lower()]
        return int(text) if "int" in kind else float(text) if "float" in kind else text
    except (ValueError, KeyError):
        wanted = {"bool": "true or false", "int": "a whole number", "float": "a number"}
        names = [words for word, words in wanted.items() if word in kind]
        raise ValueError(f"expected {name} as {names[0]}; received {text!r}") from None
