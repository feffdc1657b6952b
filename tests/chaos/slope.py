"""Whether something grows: a straight line through its samples, with the confidence of its slope."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import NormalDist, fmean, median

_Z = NormalDist().inv_cdf(0.975)


@dataclass(frozen=True, slots=True)
class Slope:
    """Units of the samples per second: slope ± margin with a confidence of 95 %. mean: of the samples."""

    slope: float
    margin: float
    mean: float

    @property
    def none(self) -> bool:
        """Whether 0 lies within the margin."""
        return abs(self.slope) <= self.margin

    @property
    def told(self) -> str:
        """Return that in words."""
        return "no slope" if self.none else "a slope"


def slope(samples: Sequence[tuple[float, float]]) -> Slope:
    """Fit a line by least squares to (seconds, value); three samples at least.

    The margin uses Student's t (Cornish-Fisher, exact to a percent from five samples on).
    """
    count = len(samples)
    at, value = fmean(x for x, _ in samples), fmean(y for _, y in samples)
    spread = sum((x - at) ** 2 for x, _ in samples)
    rise = sum((x - at) * (y - value) for x, y in samples) / spread
    rest = sum((y - value - rise * (x - at)) ** 2 for x, y in samples)
    degrees = count - 2
    student = _Z + (_Z**3 + _Z) / (4 * degrees) + (5 * _Z**5 + 16 * _Z**3 + 3 * _Z) / (96 * degrees**2)
    return Slope(rise, student * math.sqrt(rest / degrees / spread), value)


def typical(samples: Sequence[tuple[float, float]]) -> Slope:
    """Return the median of the slopes between all pairs (Theil 1950), its margin by Kendall's tau (Sen 1968).

    One step, up to a new high-water mark, tilts the line of `slope` more than this one; a leak tilts both.
    """
    count = len(samples)
    slopes = sorted((y2 - y1) / (x2 - x1) for (x1, y1), (x2, y2) in combinations(samples, 2))
    out = _Z * math.sqrt(count * (count - 1) * (2 * count + 5) / 18) / 2
    low = slopes[max(0, round(len(slopes) / 2 - out) - 1)]
    high = slopes[min(len(slopes) - 1, round(len(slopes) / 2 + out))]
    middle = median(slopes)
    return Slope(middle, max(middle - low, high - middle), fmean(y for _, y in samples))


def calmed(samples: Sequence[tuple[float, float]], seconds: float) -> list[tuple[float, float]]:
    """Return the medians over spans of so many seconds: neighbours depend on each other, spans hardly."""
    spans: dict[int, list[tuple[float, float]]] = {}
    for sample in samples:
        spans.setdefault(int(sample[0] // seconds), []).append(sample)
    return [(fmean(x for x, _ in span), median(y for _, y in span)) for span in spans.values()]
