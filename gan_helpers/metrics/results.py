"""What a measure returns: a number, how sure it is, and what makes it comparable."""

import math
from dataclasses import dataclass, field

Z95 = 1.959964  # 95 % of a normal distribution lie within so many standard errors


@dataclass(frozen=True)
class Measure:
    """One measured number.

    Attributes:
        name: its standard name, such as `"fid"`.
        value: the number.
        spread: one standard error (KID: the standard deviation over its subsets, as published figures state it), or
            `None` where it was not asked for.
        interval: `(low, high)`, 95 % confidence, or `None`.
        conditions: `dict` of plain data, all that a reader needs to compare it: counts, feature network, resize, …
    """

    name: str
    value: float
    spread: float | None = None
    interval: tuple[float, float] | None = None
    conditions: dict = field(default_factory=dict)

    def __float__(self):
        return self.value

    def __str__(self):
        shown = f"{self.name} {self.value:.4g}"
        return shown if self.spread is None else f"{shown} ± {self.spread:.2g}"


def around(name, value, error, conditions, *, spread=None):
    """A `Measure` with an interval of 1.96 standard errors to both sides; without an error, none."""
    interval = None if error is None else (value - Z95 * error, value + Z95 * error)
    return Measure(name, value, error if spread is None else spread, interval, conditions)


def share(name, hits, total, conditions):
    """A `Measure` of the share of `total` for which something holds, with Wilson's interval.

    Args:
        name: the measure's name.
        hits: for how many it holds.
        total: of how many, at least 1.
        conditions: see `Measure`.

    Reference: Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", 1927.
    """
    p, z2 = hits / total, Z95**2
    centre = (p + z2 / (2 * total)) / (1 + z2 / total)
    reach = Z95 / (1 + z2 / total) * math.sqrt(p * (1 - p) / total + z2 / (4 * total**2))
    interval = max(0.0, centre - reach), min(1.0, centre + reach)
    return Measure(name, p, math.sqrt(p * (1 - p) / total), interval, conditions)
