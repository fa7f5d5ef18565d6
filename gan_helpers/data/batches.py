"""An endless, seeded, shuffled stream of batches that can start at any step."""

import mmap
import os

import numpy as np
import tensorflow as tf


def steps_per_epoch(count, batch_size):
    """Steps in one pass over `count` pictures; a last, smaller batch is left to the next epoch's new order.

    Raises:
        ValueError: there are fewer pictures than one batch holds.
    """
    if count < batch_size:
        raise ValueError(
            f"expected at least one batch of {batch_size} pictures; received {count}; "
            f"add pictures, or make the batch smaller (--batch-size {max(1, count)})"
        )
    return count // batch_size


def face_batches(images, batch_size=64, *, seed=0, start_step=0, flip=True, labels=None, parts=1, part=0):
    """Batches for training, without end.

    Which pictures stand in the batch of a step, in which order, and which of them are mirrored, is a function of
    `(seed, step)` alone. So a stream that starts at step 1,000 gives what one that ran from 0 gives there, and a
    resumed run sees what one never stopped would have seen. Each epoch is a new random order of all pictures, from
    a stateless shuffle (`tf.random.experimental.index_shuffle`), so that it costs no memory and no start-up time.

    Args:
        images: uint8 `(count, height, width, 3)`, an array or memory map.
        batch_size: pictures in a batch. Every batch is full. Defaults to `64`.
        seed: seed of order and mirroring. Defaults to `0`.
        start_step: the step to start at. Defaults to `0`.
        flip: mirror half of the pictures left to right; faces stay faces. Defaults to `True`.
        labels: `Labels` of the pictures, a row each, for a GAN with attributes. Of mirrored pictures those that have a
            left and a right change their sign. Defaults to `None`.
        parts: workers that share each batch, each reading its own slice of it. Defaults to `1`.
        part: which slice this is, from 0. Defaults to `0`.

    Returns:
        `tf.data.Dataset` of float32 `(batch_size / parts, height, width, 3)` in [-1, 1]; with labels, of pairs of that
        and float32 `(batch_size / parts, n)`, NaN where unknown.

    Raises:
        ValueError: fewer pictures than a batch, pictures of another shape or type, labels of more or fewer pictures,
            or a batch that the parts cannot share evenly.

    Example:
        >>> batch = next(iter(face_batches(images, 64)))
        >>> batch.shape
        TensorShape([64, 64, 64, 3])
    """
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] != 3:
        raise ValueError(
            f"expected uint8 images of shape (count, height, width, 3); received {images.dtype} {images.shape}; "
            "pass prepare_images(...).images"
        )
    if labels is not None and len(labels.values) != len(images):
        raise ValueError(
            f"expected a row of labels for each of {len(images)} pictures; received {len(labels.values)}; "
            "make them with labels_of(prepared, names)"
        )
    if not 0 <= part < parts or batch_size % parts:
        raise ValueError(
            f"expected a batch that its parts share evenly, and a part below their number; received {batch_size} "
            f"pictures, {parts} parts, part {part}; make the batch a multiple of the parts"
        )
    steps = steps_per_epoch(len(images), batch_size)
    first, own = part * batch_size // parts, batch_size // parts
    if labels is not None:
        table = tf.constant(labels.values)
        turned = tf.constant([-1.0 if one.mirrored else 1.0 for one in labels.attributes])
    rows = _Rows(images)
    last = tf.constant(len(images) - 1, tf.int64)
    seed = tf.constant(seed, tf.int64)

    def pick(step):
        epoch, step_of_epoch = step // steps, step % steps
        positions = step_of_epoch * batch_size + tf.range(first, first + own, dtype=tf.int64)
        order = tf.stack([seed, epoch])
        picked = tf.random.experimental.index_shuffle(positions, order, last)
        mirrored = tf.random.stateless_uniform((batch_size, 1, 1, 1), tf.stack([seed, step])) < (0.5 if flip else 0.0)
        mirrored = mirrored[first : first + own, 0, 0, 0]  # drawn for all parts, so that none repeats another
        batch = tf.numpy_function(rows, [picked, mirrored], tf.uint8, stateful=False)
        batch = tf.ensure_shape(batch, (own, *images.shape[1:]))
        batch = tf.cast(batch, tf.float32) / 127.5 - 1.0
        if labels is None:
            return batch
        attributes = tf.gather(table, picked)
        return batch, tf.where(mirrored[:, None], attributes * turned, attributes)

    stream = tf.data.Dataset.range(start_step, np.iinfo(np.int64).max)
    stream = stream.map(pick, num_parallel_calls=2, deterministic=True).prefetch(4)
    options = tf.data.Options()
    options.autotune.enabled = False  # nothing is to be tuned, and the end may wait for its ever longer sleep
    return stream.with_options(options)


class _Rows:
    """Pictures by their numbers, uint8, some of them mirrored.

    As bytes, channel by channel: TensorFlow's reversal of the floats took 20 times as long as all the rest. Of a memory
    map the pictures are read from its file, a call each: by way of the map, its pages would count as this process'
    memory, and of a large file four times the processor time goes into reading what stands around the pictures.
    """

    def __init__(self, images):
        self.images = images
        self.file, self.first = _file_of(images)

    def __call__(self, picked, mirrored):
        batch = self._read(picked) if self.file else np.asarray(self.images[picked])
        turned = batch[mirrored]
        for channel in range(3):
            turned[..., channel] = batch[mirrored, :, ::-1, channel]
        batch[mirrored] = turned
        return batch

    def _read(self, picked):
        batch, stride = np.empty((len(picked), *self.images.shape[1:]), np.uint8), self.images.strides[0]
        for row, number in zip(batch, picked.tolist(), strict=True):
            if os.preadv(self.file.fileno(), [row], self.first + number * stride) < row.nbytes:
                raise ValueError(
                    f"expected picture {number} whole in '{self.images.filename}'; received the end of a file that was "
                    "cut while it was read; prepare the pictures again, and train on"
                )
        return batch


def _file_of(images):
    """The open file of a memory map that nobody writes to, or `None`, and where its first picture stands."""
    if not isinstance(images, np.memmap) or images.mode != "r" or not hasattr(os, "preadv"):
        return None, 0
    if not images[:1].flags.c_contiguous:
        return None, 0
    try:
        file = open(images.filename, "rb", buffering=0)  # noqa: SIM115, closed with its stream
    except (OSError, TypeError):  # it has no name any more, but the map still holds it
        return None, 0
    mapped_from = images.offset - images.offset % mmap.ALLOCATIONGRANULARITY  # maps begin at whole pages of a file
    first = mapped_from + images.ctypes.data - np.frombuffer(images._mmap, np.uint8).ctypes.data
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
    return file, first
