"""Which pictures are the same one twice, though their files differ: a perceptual hash, and those of small distance."""

import numpy as np
from tqdm import tqdm

SIDE = 16  # frequencies in each direction: 256 bits a picture, one of which, the mean, says nothing
COARSE = 8  # the lowest of them, whose signs change least, fill the hash's first word
NEAR = 44  # bits of 255 in which two hashes of one picture may differ
ORDERS, WINDOW = 40, 32
_FLAT = 0.01  # grey levels; below is what rounding leaves on an even surface
_GREY = np.float32([0.299, 0.587, 0.114])
_BLOCK = 256

# Frequencies (down, across) of the bits: the coarse square first, then the rest.
_PLACES = np.array([(v, u) for v in range(SIDE) for u in range(SIDE)])
_PLACES = _PLACES[np.argsort((_PLACES >= COARSE).any(axis=1), kind="stable")]


def perceptual_hash(images):
    """256 bits of each picture that stay nearly the same when it is compressed, resized, or made brighter.

    They are the signs of its grey values' discrete cosine transform at the lowest 16x16 frequencies,
    `c[v, u] = mean(grey[y, x] * cos(pi (y + 1/2) v / height) * cos(pi (x + 1/2) u / width))`, but for the mean,
    `c[0, 0]`, whose bit is 0. Of two hashes of one picture few bits differ, of two pictures nearly half. Mirrored, a
    picture keeps its bits of even `u` and turns those of odd `u`. Colour plays no part.

    Args:
        images: uint8 `(count, height, width, 3)`, at least one, an array or memory map; read in blocks.

    Returns:
        uint64 `(count, 4)`. The lowest 8x8 frequencies fill the first word.

    Raises:
        ValueError: images of another shape or type.

    Example:
        >>> first, second = perceptual_hash(draw_faces(2)[0])
        >>> hash_distances(first, second)
        136

    Reference: Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions", 2010, section 3.2, which
    takes 8x8 frequencies and cuts at their median; aligned faces share too much for so few.
    """
    if getattr(images, "dtype", None) != np.uint8 or images.ndim != 4 or images.shape[-1] != 3 or len(images) == 0:
        found = f"{images.dtype} {images.shape}" if hasattr(images, "dtype") else type(images).__name__
        raise ValueError(
            f"expected uint8 images of shape (count, height, width, 3), at least one; received {found}; "
            "prepare_images gives such"
        )
    blocks = (images[start : start + _BLOCK] for start in range(0, len(images), _BLOCK))
    return np.concatenate([_hashed(np.asarray(block) @ _GREY) for block in blocks])


def hash_distances(first, second):
    """In how many bits hashes differ (Hamming distance).

    Args:
        first: uint64 `(…, 4)`.
        second: uint64 `(…, 4)`, of a shape that broadcasts with it.

    Returns:
        Whole numbers `(…,)`, 0 to 255.
    """
    return _differing(np.moveaxis(first, -1, 0), np.moveaxis(second, -1, 0))


def near_duplicates(hashes, *, near=NEAR, mirrored=True, seed=0):
    """Groups of pictures that are one and the same, but for compression, size, brightness, or a shift of a pixel.

    Two are put together where their hashes differ in at most `near` bits, and groups that share a picture are one.

    To compare all with all would take `count**2 / 2` comparisons. Instead hashes are sorted by some of their coarse
    bits, drawn at random, and each is compared with those that follow it closely; two of nearly equal hashes stand
    near each other in many such orders, and the chance of being missed in all 40 is small. Time grows as
    `count * log(count)`, memory as `count`, whatever the pictures.

    Made for photographs. Drawings on one pattern, such as `draw_faces` gives, are nearer to each other than that.

    Args:
        hashes: uint64 `(count, 4)`, as `perceptual_hash` gives them.
        near: bits in which two may differ. Defaults to `44`, which separates twins from look-alikes among faces.
        mirrored: whether a picture's mirror image is the same picture, as it is in a training that flips pictures.
            Defaults to `True`.
        seed: seed of the orders. Defaults to `0`.

    Returns:
        A list of int arrays, each with the numbers of a group's pictures, in order; the groups by their first picture.

    Raises:
        ValueError: hashes of another shape or type, or `near` out of range.

    Example:
        >>> images, _ = draw_faces(3)
        >>> near_duplicates(perceptual_hash(images[[0, 1, 2, 1]]))
        [array([1, 3])]

    Reference: Charikar, "Similarity Estimation Techniques from Rounding Algorithms", 2002, section 3.
    """
    if getattr(hashes, "dtype", None) != np.uint64 or hashes.ndim != 2 or hashes.shape[1] != SIDE**2 // 64:
        raise ValueError(
            f"expected hashes as uint64 (count, {SIDE**2 // 64}); received {getattr(hashes, 'dtype', type(hashes))} "
            f"{getattr(hashes, 'shape', '')}; make them with perceptual_hash(images)"
        )
    if not 0 <= near < SIDE**2:
        raise ValueError(f"expected near from 0 to {SIDE**2 - 1} bits; received {near!r}; try {NEAR}")
    # The same hash many times over (copies, empty pictures) is one, so that it cannot fill all windows by itself.
    unique, of = np.unique(hashes, axis=0, return_inverse=True)
    groups = np.arange(len(unique))  # of each hash the smallest number of those that it belongs with
    entries = np.concatenate([unique, unique ^ _mirror()]) if mirrored else unique
    random = np.random.default_rng(seed)
    for _ in tqdm(range(ORDERS), desc="duplicates", unit=" orders"):
        order = np.argsort(_keys(entries, random), kind="stable")
        words, numbers = np.ascontiguousarray(entries[order].T), order % len(unique)
        for step in range(1, min(WINDOW, len(order) - 1) + 1):
            close = np.flatnonzero(_differing(words[:, :-step], words[:, step:]) <= near)
            _join(groups, numbers[close], numbers[close + step])
    groups = groups[of.reshape(-1)]
    order = np.argsort(groups, kind="stable")
    found = np.split(order, np.flatnonzero(np.diff(groups[order])) + 1)
    return sorted((group for group in found if len(group) > 1), key=lambda group: group[0])


def mirrored_members(hashes):
    """Which pictures of one group are mirror images of its first rather than copies of it.

    Args:
        hashes: uint64 `(count, 4)`, those of the group, in order.

    Returns:
        bool `(count,)`.
    """
    return hash_distances(hashes, hashes[0] ^ _mirror()) < hash_distances(hashes, hashes[0])


def _hashed(grey):
    """uint64 `(count, 4)` of float32 grey pictures `(count, height, width)`."""
    down, across = (_cosines(length) for length in grey.shape[1:])
    coefficients = down @ grey @ across.T
    bits = coefficients[:, _PLACES[:, 0], _PLACES[:, 1]] > _FLAT
    bits[:, 0] = False
    return np.ascontiguousarray(np.packbits(bits, axis=1, bitorder="little")).view("<u8").astype(np.uint64)


def _cosines(length):
    """The lowest frequencies' waves along a side of so many pixels, as `(16, length)`."""
    waves = np.cos(np.pi / length * np.outer(np.arange(SIDE), np.arange(length) + 0.5)) / length
    waves[length:] = 0  # a picture of fewer pixels has no such frequencies
    return waves.astype(np.float32)


def _mirror():
    """What a hash is to be combined with (exclusive or) to become its mirror image's."""
    return np.packbits(_PLACES[:, 1] % 2 == 1, bitorder="little").view("<u8").astype(np.uint64)


def _differing(first, second):
    """Bits in which hashes `(4, …)` differ; word by word, which is several times as fast as a sum over an axis of 4."""
    return sum((np.bitwise_count(one ^ other) for one, other in zip(first, second, strict=True)), start=np.int16(0))


def _keys(entries, random):
    """Of each hash 32 of its coarse bits, in an order drawn at random, as a number to sort by."""
    keys = np.zeros(len(entries), np.uint32)
    for bit in 1 + random.permutation(COARSE**2 - 1)[:32]:
        keys = keys << np.uint32(1) | (entries[:, 0] >> np.uint64(bit) & np.uint64(1)).astype(np.uint32)
    return keys


def _join(groups, first, second):
    """Makes one group of each pair's two. Numbers point straight at their group's smallest, before and after."""
    while True:
        ends = groups[first], groups[second]
        apart = ends[0] != ends[1]
        if not apart.any():
            return
        first, second = first[apart], second[apart]
        low, high = np.minimum(*ends)[apart], np.maximum(*ends)[apart]
        np.minimum.at(groups, high, low)
        while not np.array_equal(above := groups[groups], groups):
            groups[:] = above
