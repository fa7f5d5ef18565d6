"""In how many pictures a face detector finds a face, and where."""

import functools
import importlib.metadata
import sys

import keras
import numpy as np
from PIL import Image

from gan_helpers.metrics.feature_vectors import image_batches
from gan_helpers.metrics.results import share

SIDE = 64  # pixels of the shorter side as the detector sees it: what a generator makes fills its picture
BATCH_SIZE = 32
BATCH_PIXELS = 2**21  # of pictures that are searched together, which takes about 0.4 GB
PATCH_SIDE = 48  # pixels of what the last of its three networks sees


def face_share(images, *, confidence=0.9, progress=None):
    """The share of pictures in which a face detector (MTCNN) finds a face: do they look like faces at all?

    It catches pictures that are no faces, which a distance between distributions dilutes. It says nothing about
    variety, and little about beauty: a generator that makes one good face again and again gets 1.

    Each picture is resized (bicubic, antialiased) to 64 pixels on its shorter side, so that generators of all sizes
    are seen alike. Measured with mtcnn 1.0.0 on 2,000 photographs of CelebA, cut to the face:

    - photographs of 32, 64 and 128 pixels: 0.989, 0.990, 0.991; at `confidence=0.99` about 0.87
    - noise: 0; their pixels shuffled: 0; blocks of 8 pixels shuffled: 0.005, of 16: 0.06, their quarters: 0.33
    - blurred (Gaussian, 2, 4 and 8 pixels of 64): 0.94, 0.45, 0; upside down: 0.14
    - drawn faces of 64 and 32 pixels: 0.90, 0.81

    Neither larger sides (96, 128, 160) nor margins (grey, reflected, repeated edge) raised the share of real faces of
    64 pixels by more than a hundredth; reflected ones let more than twice as many shuffled quarters pass. One CPU core
    sees about 300 pictures a second.

    Args:
        images: uint8 `(count, height, width, 3)`, 0 to 255, or an iterable of such batches.
        confidence: how sure the detector must be of a face, between 0 and 1. Defaults to `0.9`.
        progress: function that is called with the number of pictures after each batch, such as `tqdm().update`.

    Returns:
        A `Measure` named `"face_share"`, 0 to 1, with Wilson's interval.

    Raises:
        ValueError: pictures that are not uint8 RGB, none at all, or a confidence outside 0 to 1.
        ModuleNotFoundError: mtcnn is not there: `pip install 'gan_helpers[detector]'`.

    Example:
        >>> face_share(fake_images).value
        0.87

    Reference: Zhang et al., "Joint Face Detection and Alignment Using Multitask Cascaded Convolutional Networks", 2016.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"expected a confidence between 0 and 1; received {confidence}; 0.9 is usual")
    stages = _stages()
    found = total = 0
    for batch in image_batches(images, BATCH_SIZE):
        found += len(np.unique(_faces(stages, [_resized(picture) for picture in batch], confidence)[:, 0]))
        total += len(batch)
        if progress is not None:
            progress(len(batch))
    if total == 0:
        raise ValueError("expected at least one picture; received none; check the folder or the iterable")
    detector = f"mtcnn {importlib.metadata.version('mtcnn')}"
    return share(
        "face_share", found, total, {"detector": detector, "side": SIDE, "confidence": confidence, "count": total}
    )


def find_landmarks(pictures, confidence=0.9):
    """Where the eyes, the nose and the corners of the mouth are of each face that a face detector (MTCNN) finds.

    Faces are found from 20 pixels of height, in any picture's own size. Pictures of one shape are looked at together.

    Args:
        pictures: list of uint8 arrays `(height, width, 3)`, 0 to 255.
        confidence: how sure the detector must be of a face, between 0 and 1. Defaults to `0.9`.

    Returns:
        A list with a float64 array `(faces, 5, 2)` for each picture: left eye, right eye, nose, left and right corner
        of the mouth, as one sees them, across and down in pixels from the top left corner. Faces go from left to right.

    Raises:
        ModuleNotFoundError: mtcnn is not there: `pip install 'gan_helpers[detector]'`.

    Example:
        >>> [landmarks] = find_landmarks([photograph])
        >>> left_eye, right_eye = landmarks[0, :2]
    """
    stages = _stages()
    found = [np.zeros((0, 5, 2))] * len(pictures)
    for numbers in _batches_of_one_shape(pictures):
        faces = _faces(stages, [pictures[number] for number in numbers], confidence)
        for place, number in enumerate(numbers):
            rows = faces[faces[:, 0] == place]
            landmarks = np.stack([rows[:, 6:11], rows[:, 11:16]], axis=-1) + 0.5
            found[number] = landmarks[np.lexsort(landmarks.mean(axis=1).T[::-1])]
    return found


def _batches_of_one_shape(pictures):
    """Numbers of pictures that fit into one array, which are few where they are large."""
    shapes = {}
    for number, picture in enumerate(pictures):
        shapes.setdefault(picture.shape, []).append(number)
    for (height, width, _), numbers in shapes.items():
        length = max(1, BATCH_PIXELS // (height * width))
        yield from (numbers[first : first + length] for first in range(0, len(numbers), length))


def landmarks_of_patches(patches):
    """What the detector's last network sees in pictures that are known to hold one face each, as big as they are.

    Args:
        patches: uint8 `(count, 48, 48, 3)`, 0 to 255.

    Returns:
        Landmarks as `find_landmarks` gives them, float64 `(count, 5, 2)`, and how sure the network is of each face,
        `(count,)`.
    """
    onet = _stages()[-1].model
    _, landmarks, scores = onet((np.asarray(patches, np.float32) - 127.5) / 128)
    landmarks = np.asarray(landmarks, np.float64).reshape(-1, 2, 5).transpose(0, 2, 1)
    return landmarks * PATCH_SIDE, np.asarray(scores)[:, 1]


def _faces(stages, batch, confidence):
    """A row for each face in a batch: number of its picture, box, confidence, landmarks; `(faces, 16)`."""
    # mtcnn's own `detect_faces` takes any argument that TensorFlow refuses for a batch without faces, and fails on
    # such a batch with Keras 3.13. So its three stages are called here, until one leaves nothing to look at.
    pictures = (np.stack(batch).astype(np.float32) - 127.5) / 128
    shapes = np.array([picture.shape for picture in pictures])
    boxes = None
    for stage in stages:
        boxes = stage(images_normalized=pictures, images_oshapes=shapes, bboxes_batch=boxes, threshold_onet=confidence)
        if len(boxes) == 0:
            return np.zeros((0, 16))
    return boxes


def _resized(picture):
    height, width = picture.shape[:2]
    scale = SIDE / min(height, width)
    size = round(width * scale), round(height * scale)
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC))


@functools.lru_cache(maxsize=1)
def _stages():
    try:
        from mtcnn import MTCNN
    except ModuleNotFoundError as error:
        if error.name not in ("mtcnn", "joblib", "lz4", "cloudpickle"):
            raise
        raise ModuleNotFoundError(
            f"expected the face detector mtcnn, an extra of this package; received no module {error.name!r}; "
            "pip install 'gan_helpers[detector]'",
            name=error.name,
        ) from error
    # With Python 3.13, lz4 (4.4.5) closes each file of weights twice: harmless, but a traceback on the screen.
    hook, sys.unraisablehook = sys.unraisablehook, lambda _: None
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32")  # mtcnn cannot compute in less
    try:
        return MTCNN().stages
    finally:
        keras.config.set_dtype_policy(policy)
        sys.unraisablehook = hook
