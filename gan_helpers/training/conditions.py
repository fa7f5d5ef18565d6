"""What can be wrong with a GAN in training, and how to tell: `diagnose`, a function of what was seen.

Each condition has a rule that one look answers with yes or no, and a number of looks in a row for which the answer must
be yes: one where the cause is certain, more where a healthy training passes through the same state. The first condition
of the list that holds is named, so that causes come before what they lead to.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

HEALTHY = "healthy"
NOTEBOOK = "06_when_training_fails"


@dataclass(frozen=True)
class Thresholds:
    """Where health ends. Set on one set of trainings, frozen, and tried on another: `benchmarks/health.py`.

    Attributes: numbers of looks end in `_looks`; the comment at each says what healthy trainings showed.
    """

    range_margin: float = 0.02  # beyond [-1, 1] that images may reach; tanh and scaled uint8 never leave it
    lightest: float = -0.05  # of 50 batches' darkest value: in [-1, 1] some pixel is darker than mid-grey, by far
    smallest_batch: int = 8  # images from which a mean and a variance over the batch mean something
    weight_growth: float = 1.4  # weights' size over that some looks before; healthy ones: 1.03, of the first: 1.1
    growth_window: int = 10  # so many looks before
    loss: float = 1000.0  # cross-entropy of logits of a thousand: 16 bits overflow next; healthy ones stay below 30
    swapped_gap: float = 0.5  # fake score above real score by so much; no healthy one for 50 steps
    swapped_looks: int = 2
    unseen_gap: float = 0.14  # unseen pictures' share of the way from seen ones to samples; of sets of 40: from 0.15
    unseen_passes: float = 100  # over the pictures before that counts; learning by heart takes many
    unseen_early_gap: float = 0.3  # what counts before; healthy ones show 0.19 after 30 passes over 6,000 pictures
    unseen_errors: float = 1.2  # standard errors by which they differ, on the average
    unseen_window: int = 8  # of so many looks
    dull: float = 0.25  # diversity, since the start, of a generator whose signal vanishes on its way
    vanishing_looks: int = 4
    sure: float = 0.015  # scores this near to 1 and 0 leave the generator without a gradient of use
    sure_looks: int = 4  # healthy ones come near for two looks, when samples are still blobs
    weak_gap: float = 0.1  # real score over fake score of a discriminator that hardly tells them apart
    unlike: float = 0.3  # diversity, contrast and sharpness below it: samples that anyone could tell
    weak_looks: int = 8
    collapsed: float = 0.2  # diversity; healthy ones reach 0.5 within 300 steps and stay above it
    collapsed_looks: int = 4
    diverse: float = 0.4  # what it has been before it collapsed
    late: int = 1500  # steps after which samples that were never diverse count as collapsed too
    swing: float = 0.3  # between a high and the next low of the scores' means
    swings: int = 4  # so many of them
    swing_looks: int = 12  # within so many looks
    saturated: float = 0.5  # share of samples' values at the range's ends above real pictures' share
    saturated_looks: int = 3
    grid: float = 0.25  # share of the detail's energy that is a grid of every second pixel
    nyquist: float = 100.0  # and the grid's power over real pictures'
    grid_looks: int = 20  # young samples have a grid that fades
    grid_step: int = 3000


THRESHOLDS = Thresholds()


@dataclass(frozen=True)
class Diagnosis:
    """What `diagnose` found.

    Attributes:
        condition: `"healthy"`, or a name in `CONDITIONS`.
        since_step: the step of the first look of those in a row that show it.
        looks: how many they are.
        evidence: the numbers that show it, as text.
        advice: what to change, as text.
        section: title of the section that explains it, in the notebook `06_when_training_fails`.
    """

    condition: str = HEALTHY
    since_step: int = 0
    looks: int = 0
    evidence: str = ""
    advice: str = ""
    section: str = ""

    @property
    def headline(self):
        """What is wrong, since when."""
        return self.condition if self.condition == HEALTHY else f"{self.condition} since step {self.since_step:,}"

    def __str__(self):
        if self.condition == HEALTHY:
            return HEALTHY
        lasting = f", for {self.looks} looks" if self.looks > 1 else ""
        return (
            f"{self.headline} ({self.evidence}{lasting}); try {self.advice}; "
            f"see notebook {NOTEBOOK}, section '{self.section}'"
        )


@dataclass(frozen=True)
class Condition:
    """A way to fail: its name, its rule, how many looks in a row must show it, what shows it, and what helps.

    The rule and the evidence are functions of `(looks, number, thresholds)` and of one look.
    """

    name: str
    holds: Callable
    looks: int
    evidence: str
    advice: str

    @property
    def section(self):
        return self.name[0].upper() + self.name[1:]


def diagnose(looks, thresholds=THRESHOLDS):
    """Names what is wrong with a training, from what was seen of it so far.

    Args:
        looks: list of dicts of numbers, oldest first, as `HealthMonitor.looks` or the rows of a `health.csv`.
        thresholds: a `Thresholds`. Defaults to the frozen ones.

    Returns:
        A `Diagnosis`; `"healthy"` where nothing is wrong, or nothing can be told yet.

    Example:
        >>> diagnose(monitor.looks).condition
        'mode collapse'
    """
    for condition in CONDITIONS:
        wanted = getattr(thresholds, condition.looks) if isinstance(condition.looks, str) else condition.looks
        first = len(looks)
        while first > 0 and condition.holds(looks, first - 1, thresholds):
            first -= 1
        if len(looks) - first >= wanted:
            growth = _growth(looks, len(looks) - 1, thresholds)
            evidence = condition.evidence.format(growth=growth, **looks[-1])
            since = looks[first]["step"]
            return Diagnosis(condition.name, since, len(looks) - first, evidence, condition.advice, condition.section)
    return Diagnosis()


def _wrong_range(looks, number, t):
    low, high = looks[number]["real_low"], looks[number]["real_high"]
    return low < -1 - t.range_margin or high > 1 + t.range_margin or low > t.lightest


def _out_of_range(looks, number, t):
    return looks[number]["fake_low"] < -1 - t.range_margin or looks[number]["fake_high"] > 1 + t.range_margin


def _batch_too_small(looks, number, t):
    look = looks[number]
    return look["g_batch_norm"] + look["d_batch_norm"] > 0 and look["batch_size"] < t.smallest_batch


def _rate_too_high(looks, number, t):
    return _growth(looks, number, t) > t.weight_growth


def _growth(looks, number, t):
    """How many times as large as a while before the weights of one network are, of the one that grew more."""
    now, before = looks[number], looks[max(0, number - t.growth_window)]
    return max(now[name] / before[name] for name in ("g_weight_norm", "d_weight_norm"))


def _nan_ahead(looks, number, t):
    values = [looks[number][name] for name in ("d_loss", "g_loss", "d_gradient_norm", "g_gradient_norm")]
    return number > 0 and not (all(map(math.isfinite, values)) and max(map(abs, values[:2])) < t.loss)


def _labels_swapped(looks, number, t):
    return looks[number]["fake_score"] - looks[number]["real_score"] > t.swapped_gap


def _learnt_by_heart(looks, number, t):
    recent = looks[max(1, number + 1 - t.unseen_window) : number + 1]
    if len(recent) < t.unseen_window or "unseen_logit" not in looks[number]:
        return False
    seen, unseen, sample = (sum(look[f"{part}_logit"] for look in recent) for part in ("seen", "unseen", "sample"))
    errors = sum(look["unseen_errors"] for look in recent) / len(recent)
    gap = t.unseen_gap if looks[number]["epochs"] > t.unseen_passes else t.unseen_early_gap
    return errors > t.unseen_errors and seen - unseen > gap * (seen - sample)


def _vanishing(looks, number, t):
    without = looks[number]["g_batch_norm"] == 0
    return without and all(look["diversity"] < t.dull for look in looks[: number + 1])


def _discriminator_wins(looks, number, t):
    return looks[number]["real_score"] > 1 - t.sure and looks[number]["fake_score"] < t.sure


def _generator_wins(looks, number, t):
    look = looks[number]
    unlike = min(look["diversity"], look["contrast"], look["sharpness"]) < t.unlike
    return look["real_score"] - look["fake_score"] < t.weak_gap and unlike


def _collapsed(looks, number, t):
    if looks[number]["diversity"] >= t.collapsed:
        return False
    return looks[number]["step"] > t.late or any(past["diversity"] > t.diverse for past in looks[:number])


def _oscillates(looks, number, t):
    recent = looks[max(1, number + 1 - t.swing_looks) : number + 1]
    return any(_swings([look[name] for look in recent], t.swing) >= t.swings for name in ("real_score", "fake_score"))


def _swings(values, size):
    """How many moves of at least this size, up and down by turns, the values make."""
    moves, low, high, upwards = 0, math.inf, -math.inf, None
    for value in values:
        low, high = min(low, value), max(high, value)
        if upwards is not True and value - low >= size:
            moves, upwards, high = moves + 1, True, value
        elif upwards is not False and high - value >= size:
            moves, upwards, low = moves + 1, False, value
    return moves


def _saturates(looks, number, t):
    return looks[number]["saturated"] - looks[number]["real_saturated"] > t.saturated


def _checkerboard(looks, number, t):
    look = looks[number]
    return look["step"] >= t.grid_step and look["grid"] > t.grid and look["nyquist"] > t.nyquist


CONDITIONS = (
    Condition(
        "wrong data range", _wrong_range, 1, "real pictures reach from {real_low:.2f} to {real_high:.2f}",
        "scaling them to [-1, 1], the range of the generator's tanh: images / 127.5 - 1",
    ),
    Condition(
        "samples out of range", _out_of_range, 1, "samples reach from {fake_low:.2f} to {fake_high:.2f}",
        "ending the generator in tanh, so that it makes what real pictures can be",
    ),
    Condition(
        "batch too small", _batch_too_small, 1, "batch normalisation over {batch_size:.0f} images",
        "batch_size=32 or more, at least 8, or networks without batch normalisation",
    ),
    Condition(
        "learning rate too high", _rate_too_high, 1, "weights {growth:.1f} times as large as a while before",
        "learning rates of 2e-4 for Adam, or a tenth of the present ones",
    ),
    Condition(
        "NaN ahead", _nan_ahead, 1, "losses {d_loss:.3g} and {g_loss:.3g}",
        "lower learning rates, precision float32, and the last good checkpoint",
    ),
    Condition(
        "labels swapped", _labels_swapped, "swapped_looks",
        "scores {real_score:.2f} for real, {fake_score:.2f} for fake",
        "the discriminator's loss with real and fake logits in their order: it is rewarded for calling real fake",
    ),
    Condition(
        "vanishing signal", _vanishing, "vanishing_looks", "diversity {diversity:.2f} of real pictures' from the start",
        "normalisation='batch' in both networks, or initial weights that keep the signal's size",
    ),
    Condition(
        "overfitting discriminator", _learnt_by_heart, 1,
        "score {seen_score:.2f} for pictures trained on, {unseen_score:.2f} for unseen ones",
        "more pictures, mirrored ones, or augmentation=('colour', 'translation', 'cutout')",
    ),
    Condition(
        "discriminator wins", _discriminator_wins, "sure_looks", "scores {real_score:.3f} and {fake_score:.3f}",
        "a lower learning rate or fewer filters for the discriminator, r1_weight, or label_smoothing=0.1",
    ),
    Condition(
        "mode collapse", _collapsed, "collapsed_looks", "diversity {diversity:.2f} of real pictures'",
        "minibatch_std=True, r1_weight, or a lower learning rate for the generator; go back to a checkpoint before",
    ),
    Condition(
        "generator wins", _generator_wins, "weak_looks",
        "scores {real_score:.2f} for real, {fake_score:.2f} for fake, though they are far from alike",
        "a higher learning rate or more filters for the discriminator, or less augmentation",
    ),
    Condition(
        "oscillation", _oscillates, 1, "scores {real_score:.2f} and {fake_score:.2f}, turning again and again",
        "lower learning rates, beta_1=0.5 or less, r1_weight; judge by the averaged generator",
    ),
    Condition(
        "saturated tanh", _saturates, "saturated_looks", "{saturated:.0%} of samples' values are black or white",
        "a lower learning rate for the generator, and pictures scaled to [-1, 1]",
    ),
    Condition(
        "checkerboard", _checkerboard, "grid_looks", "{grid:.0%} of the samples' detail is a grid of pixels",
        "kernels whose size is a multiple of the stride, or architecture='resnet', which repeats pixels instead",
    ),
)  # fmt: skip
