"""Differentiable augmentation, in `keras.ops`."""

from keras import ops

KINDS = ("colour", "translation", "cutout")
WIDTH = 10  # random numbers that one image takes


def augment(images, uniforms, kinds=KINDS, probability=1.0):
    """Changes images at random, in ways through which gradients flow.

    The discriminator sees real and fake images alike through it, so it cannot learn a small data set by heart; and
    since the generator's gradient passes through it too, what is augmented does not leak into the samples.

    `"colour"` shifts brightness by up to 0.5, and scales saturation (0 to 2) and contrast (0.5 to 1.5);
    `"translation"` moves by up to an eighth of the side, with zeros coming in; `"cutout"` blanks a square of half
    the side.

    Args:
        images: float `(batch, height, width, 3)` in [-1, 1].
        uniforms: float32 `(batch, 10)` in [0, 1), the randomness: a pure function asks for it.
        kinds: which of `"colour"`, `"translation"`, `"cutout"` to apply. Defaults to all.
        probability: in [0, 1], with which each kind is applied to each image: a number or a scalar tensor. Defaults to
            `1.0`.

    Returns:
        Images of the same shape and type; colours may leave [-1, 1] a little.

    Raises:
        ValueError: a kind that there is not.

    Example:
        >>> augment(images, keras.random.uniform((len(images), 10)), ("translation",)).shape
        TensorShape([64, 64, 64, 3])

    Reference: Zhao et al., "Differentiable Augmentation for Data-Efficient GAN Training", 2020.
    """
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown:
        raise ValueError(f"expected augmentations of {', '.join(KINDS)}; received {unknown[0]!r}")
    always = isinstance(probability, int | float) and probability == 1
    for number, (kind, apply, first, last) in enumerate(_STEPS):
        if kind in kinds:
            changed = apply(images, uniforms[:, first:last])
            if not always:
                chosen = ops.less(uniforms[:, 7 + number, None, None, None], probability)
                changed = ops.where(chosen, changed, images)
            images = changed
    return images


def _colour(images, uniforms):
    uniforms = ops.cast(uniforms, images.dtype)
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


# Kind, function, and which of the uniforms it takes; the last three decide whether each is applied.
_STEPS = (("colour", _colour, 0, 3), ("translation", _translation, 3, 5), ("cutout", _cutout, 5, 7))
