"""From a recipe to a compiled GAN, its batches, and how many steps of it a time holds."""

import time

import keras

from gan_helpers.data.batches import face_batches
from gan_helpers.models.networks import discriminator_model, generator_model
from gan_helpers.training.bench import start_and_step
from gan_helpers.training.fused import FusedAdam, for_training
from gan_helpers.training.gan import GAN
from gan_helpers.training.growing import Later, smaller_batches, stages
from gan_helpers.training.replicas import SharedLossScale

# With attributes, where a recipe names none. After 2 minutes on drawn faces of 32 pixels (one seed) a smile or a frown
# that was asked for was there in 92 % of the samples, without it in 64 %; feature distances were 17.5 and 14.0.
MISMATCH_WEIGHT = 0.5


def build_gan(
    recipe,
    image_size,
    seed=0,
    precision="float32",
    planned_steps=None,
    labels=None,
    synchronised=False,
    *,
    first_step=0,
):
    """A compiled `GAN` of a `Recipe`, as `train` makes it.

    Args:
        recipe: a `Recipe`.
        image_size: side of the faces in pixels.
        seed: seed of weights and latents. Defaults to `0`.
        precision: see `for_training`. Defaults to `"float32"`.
        planned_steps: length over which the learning rates fall. Defaults to `None`: they stay.
        labels: `Labels` of the data, for a conditional GAN. Defaults to `None`.
        synchronised: see `for_training`. Defaults to `False`.
        first_step: the step of that length at which it begins to learn, see `grow`. Defaults to `0`.

    Returns:
        A `GAN`.

    Raises:
        ValueError: settings that make no sense.

    Example:
        >>> gan = build_gan(RECIPES["quick"], 32)
        >>> gan.fit(face_batches(images, 32), steps_per_epoch=100, shuffle=False)
    """
    keras.utils.set_random_seed(seed)
    shared = {"image_size": image_size, "base_filters": recipe.base_filters, "architecture": recipe.architecture}
    shared["attributes"] = 0 if labels is None else len(labels.attributes)
    mismatch_weight = recipe.mismatch_weight
    if mismatch_weight is None:
        mismatch_weight = 0.0 if labels is None else MISMATCH_WEIGHT
    generator = generator_model(recipe.latent_dim, **shared, normalisation=recipe.g_normalisation)
    discriminator = discriminator_model(
        **shared, normalisation=recipe.d_normalisation, minibatch_std=recipe.minibatch_std
    )
    gan = GAN(
        for_training(generator, precision, synchronised),
        for_training(discriminator, precision, synchronised),
        seed=seed,
        averaging_half_life=recipe.averaging_half_life,
        averaging_share=recipe.averaging_share,
        augmentation=recipe.augmentation,
        augmentation_target=recipe.augmentation_target,
        r1_weight=recipe.r1_weight + (recipe.r1_weight_beyond_64 if image_size > 64 else 0),
        r2_weight=recipe.r2_weight,
        gradient_penalty_weight=recipe.gradient_penalty_weight,
        penalty_every=recipe.penalty_every,
        labels=labels,
        mismatch_weight=mismatch_weight,
    )

    def optimizer(rate):
        if planned_steps and recipe.final_learning_rate < 1:
            whole = keras.optimizers.schedules.CosineDecay(rate, planned_steps, alpha=recipe.final_learning_rate)
            rate = Later(whole, first_step) if first_step else whole
        adam = FusedAdam(rate, beta_1=recipe.beta_1)
        return SharedLossScale(adam) if precision == "mixed_float16" else adam

    gan.compile(
        optimizer(recipe.g_learning_rate),
        optimizer(recipe.d_learning_rate),
        loss=recipe.loss,
        label_smoothing=recipe.label_smoothing,
        simultaneous=recipe.simultaneous,
    )
    return gan


def steps_in(minutes, recipe, images, precision, labels=None, clock=time.perf_counter):
    """How many steps of training so many minutes hold, at the speed of a GAN that is made and thrown away.

    The start of each picture size, in which its step is traced (and on a GPU compiled), is taken off the minutes, but
    never more than half of them.

    Args:
        minutes: above 0; a twentieth of it, at most 20 seconds, is measured for.
        recipe: a `Recipe`.
        images: uint8 pictures, as to train on.
        precision: see `for_training`.
        labels: `Labels` of the pictures, for a conditional GAN. Defaults to `None`.
        clock: function that gives the time in seconds. Defaults to `time.perf_counter`.

    Returns:
        An `int`, at least 1.
    """
    plan, starts, a_step = stages(recipe, images.shape[1], 10**6), 0.0, 0.0
    for stage in plan:
        gan = build_gan(recipe, stage.image_size, precision=precision, labels=labels)
        stream = training_batches(images, recipe, labels, stage.shrink)
        start, seconds = start_and_step(gan, stream, min(20, 60 * minutes / 20) / len(plan), clock)
        starts += start
        a_step += seconds * ((stage.last or 10**6) - stage.first) / 10**6
    return max(1, round(max(60 * minutes - starts, 30 * minutes) / a_step))


def training_batches(images, recipe, labels=None, shrink=1, **where):
    """The stream of batches that a recipe trains on.

    Args:
        images: uint8 pictures.
        recipe: a `Recipe`.
        labels: `Labels` of the pictures, for a conditional GAN. Defaults to `None`.
        shrink: how many times smaller the pictures are made. Defaults to `1`.
        **where: `seed` and `start_step`, see `face_batches`.

    Returns:
        `tf.data.Dataset`.
    """
    stream = face_batches(images, recipe.batch_size, flip=recipe.flip, labels=labels, **where)
    return smaller_batches(stream, shrink)
