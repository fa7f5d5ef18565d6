"""How far two sets of pictures are apart: FID, KID, FID-infinity; and the Inception Score of one."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from gan_helpers.metrics.feature_vectors import as_features, conditions_of
from gan_helpers.metrics.results import around
from gan_helpers.training.files import write_arrays

CHUNK = 2048  # features that are turned into float64 at a time


@dataclass(frozen=True)
class Statistics:
    """Mean and covariance of features: all that FID needs of a set of pictures.

    Attributes:
        mean: float64 `(width,)`.
        covariance: float64 `(width, width)`, unbiased.
        count: how many pictures it is of, or `None` where a file does not say.
        conditions: what makes it comparable; empty where a file does not say.
        root: the covariance's symmetric square root, computed once, when it is first asked for.
    """

    mean: np.ndarray
    covariance: np.ndarray
    count: int | None = None
    conditions: dict | None = None

    @cached_property
    def root(self):
        return square_root(self.covariance)

    def save(self, file):
        """Writes `.npz` with `mu` and `sigma`, as pytorch-fid does, and with `count` and `conditions`."""
        known = [f"{name}={value}" for name, value in (self.conditions or {}).items()]
        arrays = {"mu": self.mean, "sigma": self.covariance, "count": np.int64(self.count or -1)}
        write_arrays(file, arrays | {"conditions": np.array(known, dtype=np.str_)})

    @classmethod
    def load(cls, file):
        """Reads what `save` or pytorch-fid wrote.

        Raises:
            ValueError: there is no such file, it is damaged, or it holds no `mu` and `sigma` that fit each other.
        """
        try:
            with np.load(file) as stored:
                mean, covariance = (np.asarray(stored[name], np.float64) for name in ("mu", "sigma"))
                count = int(stored["count"]) if "count" in stored.files else -1
                known = stored["conditions"].tolist() if "conditions" in stored.files else []
        except Exception as error:
            raise ValueError(
                f"expected statistics (.npz with mu and sigma) in '{file}'; received a file that does not load "
                f"({' '.join(str(error).split())[:200]}); make it with statistics(images).save(file)"
            ) from error
        finite = np.isfinite(mean).all() and np.isfinite(covariance).all()
        if mean.ndim != 1 or covariance.shape != 2 * mean.shape or not finite:
            raise ValueError(
                f"expected finite mu (width,) and sigma (width, width) in '{file}'; received {mean.shape} and "
                f"{covariance.shape}{'' if finite else ' with NaN or infinity'}; make them anew with statistics"
            )
        return cls(mean, covariance, count if count > 0 else None, dict(line.split("=", 1) for line in known))


def statistics(images, **options):
    """Mean and covariance of pictures' features, computed once and saved for every later FID.

    Args:
        images: uint8 pictures, an iterable of batches of them, or float features `(count, width)`.
        **options: of `features`: `network`, `resize`, `layer`, …

    Returns:
        `Statistics`.

    Raises:
        ValueError: fewer than two pictures, or what `features` refuses.

    Example:
        >>> statistics(faces, network="small").save("faces.npz")
        >>> fid(Statistics.load("faces.npz"), other_faces, network="small")
    """
    vectors = as_features(images, **options)
    _at_least_two(len(vectors), "pictures")
    mean, covariance = _mean_and_covariance(_sums(vectors, vectors[0]))
    return Statistics(mean, covariance, len(vectors), conditions_of([images], options))


def fid(real, fake, *, groups=10, **options):
    """Fréchet inception distance: how far the features of fake pictures are from those of real ones.

    Both sets' features are taken for normal distributions, whose distance is

    `|m_real - m_fake|^2 + trace(S_real + S_fake - 2 (S_real S_fake)^(1/2))`

    with means m and covariances S. It is 0 for equal distributions, and biased: with few pictures it comes out larger.
    Compare at equal counts, state it beside the FID of real pictures against other real ones, or see `fid_infinity`;
    with few references `kid` is the better figure.

    Args:
        real: uint8 pictures, an iterable of batches, float features, `Statistics`, or the path of saved ones.
        fake: uint8 pictures, an iterable of batches, or float features.
        groups: parts of `fake` of which each is left out in turn for the standard error (jackknife); it tells how much
            other samples of the same generator would differ. 0 leaves it out, which is faster. Defaults to `10`.
        **options: of `features`: `network`, `resize`, `layer`, …

    Returns:
        A `Measure`, value at least 0.

    Raises:
        ValueError: fewer than two pictures on a side, features of different widths, NaN, or what `features` refuses.

    Example:
        >>> fid(real_faces, fake_faces, network="small").value

    References: Heusel et al., "GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium",
    2017; Efron and Stein, "The Jackknife Estimate of Variance", 1981.
    """
    known = conditions_of([real, fake], options)
    real = _as_statistics(real, options)
    vectors = as_features(fake, "fake", **options)
    _at_least_two(len(vectors), "fake pictures")
    _same_width(len(real.mean), vectors.shape[1])
    origin = vectors[0]  # near the mean, so that sums of squares keep their digits
    bounds = np.linspace(0, len(vectors), max(1, min(groups, len(vectors) // 2)) + 1).astype(int)
    total = _sums(vectors, origin)
    value = _distance(real, *_mean_and_covariance(total))
    error = None
    if groups > 1 and len(bounds) > 2:
        order = np.random.default_rng(0).permutation(len(vectors))  # neighbours in a folder are often alike
        parts = [np.sort(order[start:stop]) for start, stop in zip(bounds, bounds[1:], strict=False)]
        left_out = [_distance(real, *_mean_and_covariance(total - _sums(vectors, origin, part))) for part in parts]
        error = float(np.sqrt((len(left_out) - 1) * np.var(left_out)))
    return around("fid", value, error, known | {"real_count": real.count, "fake_count": len(vectors)})


def frechet_distance(first, second):
    """The distance in `fid`'s equation, of two `Statistics`: a float, at least 0."""
    _same_width(len(first.mean), len(second.mean))
    return _distance(first, second.mean, second.covariance)


def square_root(covariance):
    """The symmetric square root of a covariance matrix, by its eigenvalues: real, also where it is singular."""
    values, vectors = np.linalg.eigh(covariance)
    return (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T


def fid_infinity(real, fake, *, points=10, smallest=None, seed=0, **options):
    """FID as it would come out with endlessly many fake pictures.

    FID's bias falls as one over the count. Here it is measured at several counts, and the straight line through them
    over `1 / count` is followed to 0.

    Args:
        real: as for `fid`.
        fake: as for `fid`; some hundreds at least.
        points: counts at which it is measured. Defaults to `10`.
        smallest: the least of them. Defaults to a fifth of the pictures.
        seed: seed of which pictures belong to which count. Defaults to `0`.
        **options: of `features`.

    Returns:
        A `Measure`; its error is that of the straight line. It can be below 0, where FID is near 0.

    Raises:
        ValueError: fewer than 20 fake pictures, a `smallest` that does not lie between 2 and their number, or what
            `fid` refuses.

    Reference: Chong and Forsyth, "Effectively Unbiased FID and Inception Score and Where to Find Them", 2020.
    """
    known = conditions_of([real, fake], options)
    real = _as_statistics(real, options)
    vectors = as_features(fake, "fake", **options)
    smallest = smallest or len(vectors) // 5
    if len(vectors) < 20 or not 2 <= smallest < len(vectors) or points < 3:
        raise ValueError(
            f"expected at least 20 fake pictures, at least 3 points, and smallest between 2 and their number; received "
            f"{len(vectors)}, {points} and {smallest}; generate more"
        )
    _same_width(len(real.mean), vectors.shape[1])
    random = np.random.default_rng(seed)
    counts = np.linspace(smallest, len(vectors), points).astype(int)
    values = []
    for count in counts:
        chosen = np.sort(random.choice(len(vectors), count, replace=False))
        values.append(_distance(real, *_mean_and_covariance(_sums(vectors, vectors[0], chosen))))
    design = np.stack([np.ones(points), 1 / counts], axis=1)
    solution, residual, *_ = np.linalg.lstsq(design, np.array(values), rcond=None)
    variance = float(residual[0]) / (points - 2) if len(residual) else 0.0
    error = float(np.sqrt(variance * np.linalg.inv(design.T @ design)[0, 0]))
    known |= {"real_count": real.count, "fake_count": len(vectors), "smallest": int(smallest), "points": points}
    return around("fid_infinity", float(solution[0]), error, known)


def kid(real, fake, *, subsets=100, subset_size=None, seed=0, **options):
    """Kernel inception distance: unbiased, so that it can be used with few pictures; 0 for equal distributions.

    The squared maximum mean discrepancy with the kernel `(x·y / width + 1)^3`, estimated without bias on random subsets
    of both sets; it can come out a little below 0.

    Args:
        real: uint8 pictures, an iterable of batches, or float features.
        fake: likewise.
        subsets: how many random subsets. Defaults to `100`.
        subset_size: pictures of each set in a subset. Defaults to `1000`, or half of the smaller set.
        seed: seed of the subsets. Defaults to `0`.
        **options: of `features`.

    Returns:
        A `Measure`: the mean over the subsets; `spread` is their standard deviation, as published figures state it.
        The interval takes into account that the subsets share pictures: as if only as many were independent as fit
        into the smaller set.

    Raises:
        ValueError: a subset larger than a set or smaller than 2, different widths, NaN, or what `features` refuses.

    Reference: Bińkowski et al., "Demystifying MMD GANs", 2018.
    """
    known = conditions_of([real, fake], options)
    real, fake = as_features(real, "real", **options), as_features(fake, "fake", **options)
    _same_width(real.shape[1], fake.shape[1])
    smaller = min(len(real), len(fake))
    size = subset_size or min(1000, smaller // 2)
    if not 2 <= size <= smaller or subsets < 1:
        raise ValueError(
            f"expected subsets of 2 to {smaller} pictures, the smaller set's number, and at least 1 subset; received "
            f"{subsets} of {size}; give more pictures, or another subset_size"
        )
    random = np.random.default_rng(seed)

    def chosen(vectors):
        return np.asarray(vectors[np.sort(random.choice(len(vectors), size, replace=False))], np.float64)

    values = [squared_mmd(chosen(real), chosen(fake)) for _ in range(subsets)]
    spread = float(np.std(values)) if subsets > 1 else None
    error = None if spread is None else spread * np.sqrt(size / smaller)
    known |= {"real_count": len(real), "fake_count": len(fake), "subsets": subsets, "subset_size": size, "seed": seed}
    return around("kid", float(np.mean(values)), error, known, spread=spread)


def squared_mmd(real, fake):
    """The unbiased squared maximum mean discrepancy of two sets of features, with KID's kernel: a float."""
    width, m, n = real.shape[1], len(real), len(fake)
    within = [(one @ one.T / width + 1) ** 3 for one in (real, fake)]
    between = (real @ fake.T / width + 1) ** 3
    own = [(kernel.sum() - np.trace(kernel)) / (k * (k - 1)) for kernel, k in zip(within, (m, n), strict=True)]
    return float(own[0] + own[1] - 2 * between.mean())


def inception_score(images, *, splits=10, seed=0, **options):
    """Inception Score: high where each picture is of one class of ImageNet and all classes occur.

    `exp(E_x KL(p(y|x) | p(y)))`, from 1 to 1008. It knows nothing of faces (ImageNet has no such class) nor of the
    training data, and rewards a single perfect picture of each class; it stands here because older papers state it.

    Args:
        images: uint8 pictures, an iterable of batches, or float logits `(count, classes)`.
        splits: parts whose scores' mean and deviation are reported. Defaults to `10`, fewer where there are fewer
            pictures.
        seed: seed of the order in which pictures are dealt to the parts. Defaults to `0`.
        **options: of `features`, of which `layer` is the logits.

    Returns:
        A `Measure`; `spread` is the standard deviation over the parts.

    Raises:
        ValueError: weights without the softmax, or what `features` refuses.

    Reference: Salimans et al., "Improved Techniques for Training GANs", 2016.
    """
    options = options | {"layer": "logits"}
    known = conditions_of([images], options)
    logits = np.asarray(as_features(images, **options), np.float64)
    logits = logits[np.random.default_rng(seed).permutation(len(logits))]
    splits = max(1, min(splits, len(logits)))
    scores = []
    for part in np.array_split(logits, splits):
        shifted = part - part.max(axis=1, keepdims=True)
        log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        p = np.exp(log_p)
        marginal = np.log(np.maximum(p.mean(axis=0), 1e-300))
        scores.append(float(np.exp((p * (log_p - marginal)).sum(axis=1).mean())))
    spread = float(np.std(scores)) if splits > 1 else None
    error = None if spread is None else spread / np.sqrt(splits)
    known |= {"count": len(logits), "splits": splits, "seed": seed}
    return around("inception_score", float(np.mean(scores)), error, known, spread=spread)


def _as_statistics(real, options):
    if isinstance(real, str | Path):
        return Statistics.load(real)
    return real if isinstance(real, Statistics) else statistics(real, **options)


class _Sums:
    """Count, sum and sum of squares (outer products) of vectors less an origin; sums of parts add and subtract."""

    def __init__(self, origin, count, first, second):
        self.origin, self.count, self.first, self.second = origin, count, first, second

    def __sub__(self, other):
        return _Sums(self.origin, self.count - other.count, self.first - other.first, self.second - other.second)


def _sums(vectors, origin, chosen=None):
    origin = np.asarray(origin, np.float64)
    count = len(vectors) if chosen is None else len(chosen)
    first, second = np.zeros_like(origin), np.zeros(2 * origin.shape)
    for start in range(0, count, CHUNK):
        part = vectors[start : start + CHUNK] if chosen is None else vectors[chosen[start : start + CHUNK]]
        part = np.asarray(part, np.float64) - origin
        first += part.sum(axis=0)
        second += part.T @ part
    return _Sums(origin, count, first, second)


def _mean_and_covariance(sums):
    mean = sums.first / sums.count
    covariance = (sums.second - sums.count * np.outer(mean, mean)) / (sums.count - 1)
    return sums.origin + mean, covariance


def _distance(real, mean, covariance):
    """S_real S_fake has the eigenvalues of `root S_fake root`, with the square root of `S_real`."""
    product = real.root @ covariance @ real.root
    cross = np.sqrt(np.maximum(np.linalg.eigvalsh((product + product.T) / 2), 0)).sum()
    squared = ((real.mean - mean) ** 2).sum() + np.trace(real.covariance) + np.trace(covariance) - 2 * cross
    return max(0.0, float(squared))


def _at_least_two(count, what):
    if count < 2:
        raise ValueError(f"expected at least 2 {what}, since one has no covariance; received {count}; give more")


def _same_width(first, second):
    if first != second:
        raise ValueError(
            f"expected features of one width on both sides; received {first} and {second}; "
            "make both with the same network and layer"
        )
