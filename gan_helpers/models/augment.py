"""Differentiable augmentation, in `keras.ops`."""

from keras import ops

KINDS = ("colour", "translation", "cutout")
WIDTH = 7  # random numbers that one image takes


def augment(images, uniforms, kinds=KINDS):
    """Changes images at random, in ways through which gradients flow.

    The discriminator sees real and fake images alike through it, so it cannot learn a small data set by heart; and
    since the generator's gradient passes through it too, what is augmented does not leak into the samples.

    `"colour"` shifts brightness by up to 0.5, and scales saturation (0 to 2) and contrast (0.5 to 1.5);
    `"translation"` moves by up to an eighth of the side, with zeros coming in; `"cutout"` blanks a square of half
    the side.

    Args:
        images: float `(batch, height, width, 3)` in [-1, 1].
        uniforms: float32 `(batch, 7)` in [0, 1), the randomness: a pure function asks for it.
        kinds: which of `"colour"`, `"translation"`, `"cutout"` to apply. Defaults to all.

    Returns:
        Images of the same shape and type; colours may leave [-1, 1] a little.

    Raises:
        ValueError: a kind that there is not.

    Example:
        >>> augment(images, keras.random.uniform((len(images), 7)), ("translation",)).shape
        TensorShape([64, 64, 64, 3])

    Reference: Zhao et al., "Differentiable Augmentation for Data-Efficient GAN Training", 2020.
    """
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown:
        raise ValueError(f"expected augmentations of {', '.join(KINDS)}; received {unknown[0]!r}")
    if "colour" in kinds:
        images = _colour(images, ops.cast(uniforms[:, :3], images.dtype))
    if "translation" in kinds:
        images = _translation(images, uniforms[:, 3:5])
    if "cutout" in kinds:
        images = _cutout(images, uniforms[:, 5:7])
    return images


def _colour(images, uniforms):
    brightness, saturation, contrast = (uniforms[:, n, None, None, None] for n in range(3))
    images = images + brightness - 0.5
    grey = ops.mean(images, axis=-1, keepdims=True)
    images = grey + (images - grey) * 2 * saturation
    mean = ops.mean(images, axis=(1, 2, 3), keepdims=True)
    return mean + (images - mean) * (contrast + 0.5)


def _translation(images, uniforms):
    # Moving is a product with a shifted unit matrix: no gather, whose gradient would be a slow scatter.
    for axis, equation in ((1, "bij,bjwc->biwc"), (2, "bij,bhjc->bhic")):
        side = images.shape[axis]
        reach = side // 8
        shift = ops.floor(uniforms[:, axis - 1] * (2 * reach + 1)) - reach
        rows = ops.arange(side, dtype="float32")  # in 16 bits a uniform may round up to 1, out of reach
        moved = ops.equal(rows[None, :, None] - shift[:, None, None], rows[None, None, :])
        images = ops.einsum(equation, ops.cast(moved, images.dtype), images)
    return images


def _cutout(images, uniforms):
    inside = []
    for axis in (1, 2):
        side = images.shape[axis]
        centre = ops.floor(uniforms[:, axis - 1] * side)
        distance = ops.abs(ops.arange(side, dtype="float32")[None, :] - centre[:, None] + 0.5)
        inside.append(distance < side / 4)
    hole = ops.logical_and(inside[0][:, :, None, None], inside[1][:, None, :, None])
    return ops.where(hole, ops.zeros_like(images), images)
