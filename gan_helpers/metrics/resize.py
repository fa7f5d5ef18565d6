"""Three ways to 299 pixels. Published figures differ by them, so each has a name."""

import numpy as np
import tensorflow as tf
from PIL import Image

SIDE = 299
RESIZES = ("clean", "tf1", "torch")


def resized(images, resize="clean"):
    """Pictures at the size and in the range that Inception takes.

    - `"clean"`: bicubic with antialiasing (Pillow), not rounded to whole values; as clean-fid does. Right for pictures
      of every size, and the default.
    - `"tf1"`: TensorFlow 1's bilinear without antialiasing, pixels' corners aligned to the upper left; as the original
      FID, torch-fidelity and most papers of 2017 to 2021 did.
    - `"torch"`: PyTorch's bilinear without antialiasing, pixels' centres aligned; as pytorch-fid does, whose
      normalisation `2 x / 255 - 1` it takes over. The others use `(x - 128) / 128`.

    Args:
        images: uint8 `(count, height, width, 3)`, 0 to 255.
        resize: `"clean"` (default), `"tf1"` or `"torch"`.

    Returns:
        float32 `(count, 299, 299, 3)`, -1 to 1.

    Raises:
        ValueError: another name, or images of another type or shape.

    Example:
        >>> resized(draw_faces(2, 64)[0], "clean").shape
        (2, 299, 299, 3)

    Reference: Parmar et al., "On Aliased Resizing and Surprising Subtleties in GAN Evaluation", 2022.
    """
    if resize not in RESIZES:
        raise ValueError(
            f"expected a resize of {', '.join(RESIZES)}; received {resize!r}; take 'clean' unless you compare with "
            "figures that were made otherwise"
        )
    images = np.asarray(images)
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] != 3 or 0 in images.shape[1:3]:
        raise ValueError(
            f"expected uint8 images of shape (count, height, width, 3); received {images.dtype} {images.shape}; "
            "add a batch axis to a single picture with images[None]"
        )
    if resize == "clean":
        return (_bicubic(images) - 128) / 128
    if resize == "tf1":
        return (_bilinear(images.astype(np.float32), half_pixel_centers=False) - 128) / 128
    return 2 * _bilinear(images / np.float32(255), half_pixel_centers=True) - 1


def _bicubic(images):
    """Each channel by itself as a picture of floats, since Pillow would round RGB to whole values."""
    out = np.empty((len(images), SIDE, SIDE, 3), np.float32)
    for number, image in enumerate(images):
        for channel in range(3):
            plane = Image.fromarray(image[:, :, channel].astype(np.float32))
            out[number, :, :, channel] = plane.resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    return out.clip(0, 255)


def _bilinear(images, **centres):
    return tf.raw_ops.ResizeBilinear(images=images, size=(SIDE, SIDE), align_corners=False, **centres).numpy()
