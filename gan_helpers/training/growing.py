"""Small pictures first: a GAN that learns on 32 pixels, then goes on at twice the side, and again."""

from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from gan_helpers.models.recipes import SMALLEST


@dataclass(frozen=True)
class Stage:
    """A part of a training in which pictures have one size.

    Attributes:
        image_size: their side in pixels.
        first: the step that it begins at.
        last: the step that it ends at; `None` for the last one, which goes on as long as one likes.
        shrink: how many times smaller its pictures are than those of the last one.
    """

    image_size: int
    first: int
    last: int | None
    shrink: int


def stages(recipe, image_size, planned_steps=None):
    """The stages of a training: one, or with `recipe.growth` one for each size from 32 pixels up.

    The smaller sizes share `recipe.growth` of the planned steps, as many for each.

    Args:
        recipe: a `Recipe`.
        image_size: side of the pictures in the end.
        planned_steps: planned length of the whole; where there is none, growing has none either.

    Returns:
        List of `Stage`.

    Raises:
        ValueError: growth outside [0, 1), or of networks that cannot grow.

    Example:
        >>> [(one.image_size, one.last) for one in stages(read_recipe("best"), 128, 10_000)]
        [(32, 4000), (64, 8000), (128, None)]

    Reference: Karras et al., "Progressive Growing of GANs for Improved Quality, Stability, and Variation", 2018.
    """
    if not 0 <= recipe.growth < 1 or (recipe.growth and recipe.architecture != "growing"):
        raise ValueError(
            f"expected growth in [0, 1), and 0 for networks other than growing; received {recipe.growth} with "
            f"{recipe.architecture}; try architecture=growing,growth=0.6"
        )
    sizes = [image_size]
    while recipe.growth and planned_steps and sizes[0] > SMALLEST:
        sizes.insert(0, sizes[0] // 2)
    each = recipe.growth * (planned_steps or 0) / max(1, len(sizes) - 1)
    ends = [round(each * number) for number in range(len(sizes))] + [None]
    found = []
    for size, first, last in zip(sizes, ends[:-1], ends[1:], strict=True):
        found.append(Stage(size, first, last, image_size // size))
    return found


def grow(smaller, larger):
    """Goes on with a GAN in one of twice the side: weights, averages and counts of what both have.

    What the larger networks have more begins with adding nothing, so that at first its faces are the smaller one's,
    enlarged, and its discriminator's logits those of the pictures made smaller. Both optimizers begin anew: a mean of
    past gradients says little about other pictures.

    Args:
        smaller: a `GAN` of networks of the architecture `"growing"`.
        larger: one of twice the image size and as many `base_filters`; it is changed.

    Raises:
        ValueError: networks that do not fit.

    Example:
        >>> grow(gan_of_32_pixels, gan_of_64_pixels)
    """
    for name in ("generator", "discriminator", "running_average"):
        _carry(getattr(smaller, name), getattr(larger, name), name)
    for old, new in zip(
        (smaller.d_updates, smaller.g_updates, *smaller.adaptive),
        (larger.d_updates, larger.g_updates, *larger.adaptive),
        strict=True,
    ):
        new.assign(old)
    larger.first_step = larger.step
    larger.averages_changed()


def _carry(smaller, larger, name):
    known = {layer.name: layer for layer in larger.layers}
    for layer in smaller.layers:
        if not layer.weights:
            continue
        new, norm = known.get(layer.name), known.get(layer.name.replace("images", "above") + "_norm")
        places = [] if new is None else new.weights
        if norm is not None and len(places) < len(layer.weights):  # a bias, in the larger one the shift of a norm
            places = [*places, norm.beta]
        fitting = [place.shape for place in places] == [weight.shape for weight in layer.weights]
        if not fitting:
            raise ValueError(
                f"expected a larger {name} that has the smaller one's layers; received one whose {layer.name!r} is "
                f"{'missing' if new is None else 'of another width'}; make both with architecture='growing' and the "
                "same base_filters, the larger with twice the image_size"
            )
        for place, weight in zip(places, layer.weights, strict=True):
            place.assign(weight)


def smaller_batches(batches, times):
    """A stream of pictures whose side is so many times smaller: means of squares of pixels.

    Args:
        batches: `tf.data.Dataset` of images, or of pairs of images and attributes, see `face_batches`.
        times: how many times smaller, a divisor of the side. 1 gives the stream as it is.

    Returns:
        `tf.data.Dataset`.
    """
    if times == 1:
        return batches

    def shrink(images, *attributes):
        smaller = tf.nn.avg_pool2d(images, times, times, "VALID")
        return (smaller, *attributes) if attributes else smaller

    return batches.map(shrink, num_parallel_calls=2, deterministic=True)


def smaller_pictures(images, times):
    """The same of an array, float `(batch, height, width, 3)`."""
    count, height, width, channels = images.shape
    blocks = images.reshape(count, height // times, times, width // times, times, channels)
    return blocks.mean(axis=(2, 4), dtype=np.float32)


class Later(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule of a whole training, for an optimizer that begins at a later step of it.

    Args:
        schedule: the `LearningRateSchedule` of the whole.
        first_step: the step that the optimizer begins at.
    """

    def __init__(self, schedule, first_step):
        super().__init__()
        self.schedule, self.first_step = schedule, first_step

    def __call__(self, step):
        return self.schedule(step + self.first_step)

    def get_config(self):
        return {"schedule": self.schedule, "first_step": self.first_step}
