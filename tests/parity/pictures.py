"""The pictures that our features and the references' are compared on: made, so that they need not be stored."""

import hashlib

import numpy as np
from PIL import Image

SIDES = (32, 64, 128, 299)
RESIZE_OF = {"pytorch-fid": "torch", "torch-fidelity": "tf1", "torchmetrics": "tf1", "clean-fid": "clean"}


def drawn(side, count=1, seed=41):
    """Drawn faces, uint8 `(count, side, side, 3)`; above 256 pixels, which is the largest, they are enlarged."""
    from gan_helpers import draw_faces

    faces = draw_faces(count, min(side, 256), seed=seed)[0]
    return np.stack(
        [np.asarray(Image.fromarray(face).resize((side, side), Image.Resampling.BICUBIC)) for face in faces]
    )


def noise(side, count=1):
    return np.random.default_rng(side).integers(0, 256, (count, side, side, 3), np.uint8)


def two_sets(count=64, side=64):
    """Two sets of drawn faces that differ: the second is paler, and a quarter of it grainy."""
    real, fake = drawn(side, count, seed=42), drawn(side, count, seed=43).astype(int)
    fake = (3 * fake + 2 * fake.sum(axis=3, keepdims=True) // 3) // 5
    fake[::4] += np.random.default_rng(0).integers(-12, 13, fake[::4].shape)
    return real, fake.clip(0, 255).astype(np.uint8)


def from_torch(state, *digests):
    """The two sets of torchmetrics' examples without PyTorch: its generator is NumPy's old one.

    Args:
        state: uint32 `(625,)`, the generator's 624 words and its position, after the network's random beginnings.
        *digests: SHA-256 of both sets, as PyTorch made them.

    Returns:
        Two uint8 arrays `(100, 299, 299, 3)`.

    Raises:
        ValueError: they came out otherwise.
    """
    generator, sets = np.random.RandomState(), []
    generator.set_state(("MT19937", state[:624], int(state[624])))
    for (low, high), digest in zip(((0, 200), (100, 255)), digests, strict=True):
        numbers = generator.randint(0, 2**32, 100 * 3 * 299 * 299, np.uint32)
        images = (low + numbers % (high - low)).astype(np.uint8).reshape(100, 3, 299, 299)
        if hashlib.sha256(images).hexdigest() != str(digest):
            raise ValueError(f"expected pictures of SHA-256 {digest}; received others; run measure.py --write")
        sets.append(np.ascontiguousarray(images.transpose(0, 2, 3, 1)))
    return sets
