"""Measures by nearest neighbours: precision and recall, realism, memorisation, duplicates."""

from dataclasses import dataclass, replace

import numpy as np

from gan_helpers.metrics.feature_vectors import as_features, conditions_of
from gan_helpers.metrics.results import Measure, around, share

BLOCK = 512  # vectors of each side whose distances are worked out at a time


@dataclass(frozen=True)
class PrecisionRecall:
    """Two questions apart: are the fake pictures like real ones, and are all kinds of real ones among the fake?

    Attributes:
        precision: share of fake pictures within the real ones' neighbourhoods: realistic.
        recall: share of real pictures within the fake ones' neighbourhoods: none forgotten.
        density: in how many real neighbourhoods a fake picture lies, as a share of what is expected; 1 for equal
            distributions, not bounded above.
        coverage: share of real pictures with a fake one in their neighbourhood.
    """

    precision: Measure
    recall: Measure
    density: Measure
    coverage: Measure


@dataclass(frozen=True)
class Memorisation:
    """Whether a generator copies its training data, beside how near unseen real pictures come to it by chance.

    Attributes:
        copied: share of fake pictures that are nearer to a training picture than all but 5 % of the unseen real ones.
            0.05 is expected of a generator that does not copy; 1 of one that only copies.
        nearer: median distance of fake pictures to their nearest training picture, over that of unseen real ones; well
            below 1 where it copies.
        nearest: int `(fake_count,)`, number of each fake picture's nearest training picture.
        distances: float64 `(fake_count,)`, its distance.
        unseen_distances: float64 `(unseen_count,)`, those of the unseen real pictures.
    """

    copied: Measure
    nearer: Measure
    nearest: np.ndarray
    distances: np.ndarray
    unseen_distances: np.ndarray


def precision_recall(real, fake, *, neighbours=3, density_neighbours=5, **options):
    """Improved precision and recall, density and coverage.

    Each picture's neighbourhood reaches to its k-th nearest neighbour within its own set. Precision is the share of
    fake pictures in some real neighbourhood; recall the share of real pictures in some fake one. One odd real picture
    has a large neighbourhood, which flatters precision; density counts neighbourhoods instead, and coverage uses only
    the real ones, which is steadier.

    Use equal counts of both: all four depend on them.

    Args:
        real: uint8 pictures, an iterable of batches, or float features.
        fake: likewise.
        neighbours: k of precision and recall. Defaults to `3`.
        density_neighbours: k of density and coverage. Defaults to `5`.
        **options: of `features`.

    Returns:
        A `PrecisionRecall`; intervals of the shares are Wilson's, that of density 1.96 standard errors of its mean.

    Raises:
        ValueError: not more pictures than neighbours, different widths, NaN, or what `features` refuses.

    References: Kynkäänniemi et al., "Improved Precision and Recall Metric for Assessing Generative Models", 2019;
    Naeem et al., "Reliable Fidelity and Diversity Metrics for Generative Models", 2020.
    """
    known = conditions_of([real, fake], options)
    real, fake = as_features(real, "real", **options), as_features(fake, "fake", **options)
    most = max(neighbours, density_neighbours)
    _more_than(most, real, fake)
    known |= {"real_count": len(real), "fake_count": len(fake), "neighbours": neighbours}
    known["density_neighbours"] = density_neighbours
    real_reach = nearest_within(real, most)[0]
    fake_reach = nearest_within(fake, neighbours)[0][:, neighbours - 1]
    in_real, in_fake = np.zeros(len(fake), bool), np.zeros(len(real), bool)
    counts, covered = np.zeros(len(fake), int), np.zeros(len(real), bool)
    for rows, distances in distance_blocks(real, fake):
        in_real |= (distances <= real_reach[rows, neighbours - 1, None]).any(axis=0)
        in_fake[rows] = (distances <= fake_reach).any(axis=1)
        near = distances <= real_reach[rows, density_neighbours - 1, None]
        counts += near.sum(axis=0)
        covered[rows] = near.any(axis=1)
    densities = counts / density_neighbours
    error = float(densities.std() / np.sqrt(len(fake)))
    return PrecisionRecall(
        precision=share("precision", int(in_real.sum()), len(fake), known),
        recall=share("recall", int(in_fake.sum()), len(real), known),
        density=around("density", float(densities.mean()), error, known),
        coverage=share("coverage", int(covered.sum()), len(real), known),
    )


def realism(real, fake, *, neighbours=3, **options):
    """How realistic each single picture is: at 1 and above it lies in the neighbourhood of a real one.

    `max over real of (reach of its neighbourhood / distance to it)`, over the half of the real pictures whose
    neighbourhoods are smaller, since odd ones would flatter everything.

    Args:
        real: uint8 pictures, an iterable of batches, or float features.
        fake: likewise.
        neighbours: which neighbour a neighbourhood reaches to. Defaults to `3`.
        **options: of `features`.

    Returns:
        float64 `(fake_count,)`, above 0; infinite for a picture that is a real one.

    Raises:
        ValueError: as `precision_recall`.

    Reference: Kynkäänniemi et al., 2019, section 5.
    """
    real, fake = as_features(real, "real", **options), as_features(fake, "fake", **options)
    _more_than(neighbours, real)
    reach = nearest_within(real, neighbours)[0][:, neighbours - 1]
    usual = reach <= np.median(reach)
    scores = np.zeros(len(fake))
    for rows, distances in distance_blocks(np.asarray(real)[usual], fake):
        with np.errstate(divide="ignore"):
            scores = np.maximum(scores, (reach[usual][rows, None] / distances).max(axis=0))
    return scores


def memorisation(fake, training, unseen, *, by="features", **options):
    """Whether fake pictures are copies of training pictures, with a number for "copied".

    How near is near? Real pictures that the generator never saw answer: their distances to the nearest training picture
    are what chance gives.

    Args:
        fake: uint8 pictures, or float features.
        training: the pictures that the generator was trained on, likewise.
        unseen: real pictures of the same kind that it was not trained on, likewise.
        by: `"features"` (default) or `"pixels"`, the root mean squared difference in grey values. Smooth pictures are
            near to everything in pixels, so look at both.
        **options: of `features`.

    Returns:
        A `Memorisation`.

    Raises:
        ValueError: fewer than 20 unseen pictures, `by` something else, pictures of different sizes, or what `features`
            refuses.

    Reference: nearest neighbours against held-out ones: Meehan et al., "A Non-Parametric Test to Detect Data-Copying in
    Generative Models", 2020.
    """
    if by not in ("features", "pixels"):
        raise ValueError(f"expected by 'features' or 'pixels'; received {by!r}")
    if by == "pixels":
        known = {"by": "pixels (root mean squared difference, grey values 0 to 255)"}
        fake, training, unseen = (_flat(one) for one in (fake, training, unseen))
    else:
        known = conditions_of([fake, training, unseen], options)
        given = {"fake": fake, "training": training, "unseen": unseen}
        fake, training, unseen = (as_features(one, name, **options) for name, one in given.items())
    if len(unseen) < 20:
        raise ValueError(
            f"expected at least 20 unseen pictures, which say what chance gives; received {len(unseen)}; hold out more"
        )
    known |= {"fake_count": len(fake), "training_count": len(training), "unseen_count": len(unseen)}
    distances, nearest = nearest_among(fake, training)
    by_chance, _ = nearest_among(unseen, training)
    if by == "pixels":
        distances, by_chance = (one / np.sqrt(training.shape[1]) for one in (distances, by_chance))
    copied = _bootstrapped("copied", _share_nearer, distances, by_chance, known)
    nearer = _bootstrapped("nearer", _ratio_of_medians, distances, by_chance, known)
    return Memorisation(copied, nearer, nearest, distances, by_chance)


def duplicates(fake, real, *, seed=0, **options):
    """Share of fake pictures that have a near twin among the fake ones: few kinds of picture, often repeated.

    A twin is nearer than 1 % of as many real pictures have their nearest other one; so 0.01 is what real pictures give.

    Args:
        fake: uint8 pictures, an iterable of batches, or float features.
        real: likewise; at least 20, and best as many as fake ones: of the larger set a random part is taken.
        seed: seed of that part. Defaults to `0`.
        **options: of `features`.

    Returns:
        A `Measure`, from 0 to 1.

    Raises:
        ValueError: fewer than 20 pictures on a side, different widths, NaN, or what `features` refuses.
    """
    known = conditions_of([real, fake], options)
    real, fake = as_features(real, "real", **options), as_features(fake, "fake", **options)
    _more_than(19, real, fake)
    count, random = min(len(real), len(fake)), np.random.default_rng(seed)
    real, fake = (one[np.sort(random.choice(len(one), count, replace=False))] for one in (real, fake))
    near = np.quantile(nearest_within(real, 1)[0], 0.01)
    twins = int((nearest_within(fake, 1)[0][:, 0] < near).sum())
    return share("duplicates", twins, count, known | {"count": count, "seed": seed})


def nearest_within(vectors, count):
    """Of each vector the nearest others of its own set: `(distances, numbers)`, both `(len(vectors), count)`."""
    distances, numbers = np.empty((len(vectors), count)), np.empty((len(vectors), count), int)
    for rows, block in distance_blocks(vectors, vectors):
        block[np.arange(len(block)), np.arange(len(vectors))[rows]] = np.inf  # a vector is no neighbour of its own
        found = np.argpartition(block, count - 1, axis=1)[:, :count]
        values = np.take_along_axis(block, found, axis=1)
        order = np.argsort(values, axis=1, kind="stable")
        distances[rows] = np.take_along_axis(values, order, axis=1)
        numbers[rows] = np.take_along_axis(found, order, axis=1)
    return distances, numbers


def nearest_among(vectors, others):
    """Of each vector the nearest of `others`: `(distances, numbers)`, both `(len(vectors),)`."""
    blocks = [(block.min(axis=1), block.argmin(axis=1)) for _, block in distance_blocks(vectors, others)]
    return tuple(np.concatenate(parts) for parts in zip(*blocks, strict=True))


def distance_blocks(first, second):
    """Euclidean distances of all pairs, as `(rows of first, float64 (rows, len(second)))` block by block."""
    if first.shape[1] != second.shape[1]:
        raise ValueError(
            f"expected features of one width on both sides; received {first.shape[1]} and {second.shape[1]}; "
            "make both with the same network and layer"
        )
    # A point near all of them: distances stay, and their squares keep more digits.
    centre = np.asarray(second[:BLOCK], np.float64).mean(axis=0)
    for start in range(0, len(first), BLOCK):
        rows = slice(start, min(start + BLOCK, len(first)))
        part = np.asarray(first[rows], np.float64) - centre
        columns = (np.asarray(second[n : n + BLOCK], np.float64) - centre for n in range(0, len(second), BLOCK))
        yield rows, np.concatenate([_distances(part, others) for others in columns], axis=1)


def _distances(first, second):
    norms = [np.einsum("ij,ij->i", vectors, vectors) for vectors in (first, second)]
    squares = norms[0][:, None] + norms[1] - 2 * (first @ second.T)
    return np.sqrt(np.maximum(squares, 0))


def _share_nearer(distances, by_chance):
    return float((distances < np.quantile(by_chance, 0.05)).mean())


def _ratio_of_medians(distances, by_chance):
    below = np.median(by_chance)
    return float(np.median(distances) / below) if below else float("nan")


def _bootstrapped(name, measured, distances, by_chance, known, resamples=200):
    """A `Measure` whose error takes into account that both sets are samples; never below 0."""
    random = np.random.default_rng(0)
    draws = [
        measured(random.choice(distances, len(distances)), random.choice(by_chance, len(by_chance)))
        for _ in range(resamples)
    ]
    found = around(name, measured(distances, by_chance), float(np.std(draws)), known)
    return replace(found, interval=(max(0.0, found.interval[0]), found.interval[1]))


def _flat(images):
    """Pictures as uint8 vectors, which a memory map gives without reading it."""
    images = np.asarray(images)
    if images.dtype != np.uint8 or images.ndim != 4 or len(images) == 0:
        raise ValueError(
            f"expected uint8 pictures (count, height, width, 3) to compare pixels; received {images.dtype} "
            f"{images.shape}; give pictures, or by='features'"
        )
    return images.reshape(len(images), -1)


def _more_than(count, *sets):
    fewest = min(map(len, sets))
    if fewest <= count:
        raise ValueError(f"expected more than {count} pictures on each side; received {fewest}; give more")
