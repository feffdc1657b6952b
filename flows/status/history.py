"""Rates and lags of the last hour and day: samples every ten seconds and every five minutes.

A source takes 8 KB, whatever it brings: 361 and 289 samples of a counter (8 bytes) and a lag (4 bytes).
"""

import math
from array import array
from bisect import bisect_left
from collections.abc import Hashable, Iterator, Mapping
from itertools import groupby

STEP_SECONDS = 10.0
SPANS: Mapping[str, tuple[float, float, int]] = {
    "hour": (STEP_SECONDS, 3600.0, 60),
    "day": (300.0, 86_400.0, 96),
}
"""Name → seconds between two samples, seconds of all, and points of a curve."""

ALL = "all sources together"
"""The key of everything. Other keys are places, and names of outputs."""

_RECENT_SECONDS = 60.0


class History:
    """What counters have come to, and how far behind each source is. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._rings = {name: _Ring(*span) for name, span in SPANS.items()}

    def sample(
        self,
        now: float,
        totals: Mapping[Hashable, float],
        events: float = 0.0,
        lags: Mapping[Hashable, float] | None = None,
    ) -> None:
        """Take the present value of each counter; the oldest sample beyond the span goes.

        events: of all places. lags: by place, in seconds; those that are not known are left out.
        """
        known = lags or {}
        lag = max(known.values(), default=0.0)
        for ring in self._rings.values():
            ring.take(now, {**totals, ALL: events}, {**known, ALL: lag})

    def rate(self, key: Hashable) -> float:
        """Return the events per second of the last minute, as far as it is known."""
        return self._rings["hour"].rate(key, _RECENT_SECONDS)

    def curve(self, key: Hashable) -> list[float]:
        """Return mean rates of equal parts of the last hour, newest last; parts not known are left out."""
        return self._rings["hour"].rates(key)

    def charts(self, key: Hashable = ALL) -> dict[str, dict[str, list[float]]]:
        """Return, of the hour and of the day, rates and the longest lags of a place or all, newest last."""
        return {
            name: {"rate": _rounded(ring.rates(key)), "lag": _rounded(ring.most(key))}
            for name, ring in self._rings.items()
        }


class _Ring:
    """Samples that were taken together. counts, gauges: a value of each key for each time, NaN = unknown."""

    def __init__(self, step: float, span: float, points: int) -> None:
        self._step, self._part, self._points = step, span / points, points
        self._most = int(span / step) + 1
        self._times = array("d")
        self.counts: dict[Hashable, array[float]] = {}
        self.gauges: dict[Hashable, array[float]] = {}
        self._parts: list[tuple[int, int]] = []

    def take(self, now: float, counts: Mapping[Hashable, float], gauges: Mapping[Hashable, float]) -> None:
        """Take values, unless the last ones are younger than a step."""
        if self._times and now - self._times[-1] <= self._step - STEP_SECONDS / 2:
            return
        before = len(self._times)
        _append(self.counts, "d", counts, before, self._most)
        _append(self.gauges, "f", gauges, before, self._most)
        self._times.append(now)
        del self._times[: -self._most]
        self._parts = list(self._divided())

    def rate(self, key: Hashable, seconds: float) -> float:
        """Return the rate of the last seconds."""
        if not self._times or key not in self.counts:
            return 0.0
        return self._rate(self.counts[key], bisect_left(self._times, self._times[-1] - seconds), -1) or 0.0

    def rates(self, key: Hashable) -> list[float]:
        """Return the mean rate of each part, newest last; those not known are left out."""
        counts = self.counts.get(key)
        if counts is None:
            return []
        found = (self._rate(counts, max(first - 1, 0), last) for first, last in self._parts)
        return [rate for rate in found if rate is not None]

    def most(self, key: Hashable) -> list[float]:
        """Return the largest value in each part, newest last; those not known are left out."""
        gauges = self.gauges.get(key, array("f"))
        if not gauges:
            return []
        parts = ([one for one in gauges[first : last + 1] if one == one] for first, last in self._parts)  # noqa: PLR0124
        return [max(part) for part in parts if part]

    def _rate(self, counts: "array[float]", first: int, last: int) -> float | None:
        last %= len(counts)
        while first < last and math.isnan(counts[first]):  # it is younger than the others
            first += 1
        seconds = self._times[last] - self._times[first]
        rate = (counts[last] - counts[first]) / seconds if seconds > 0 else math.nan
        return None if math.isnan(rate) else rate

    def _divided(self) -> Iterator[tuple[int, int]]:
        """Yield the first and last sample of each part, oldest first."""
        newest = self._times[-1]
        places = ((math.floor((newest - at) / self._part), index) for index, at in enumerate(self._times))
        for place, group in groupby(places, key=lambda one: one[0]):
            indices = [index for _, index in group]
            if place < self._points:
                yield indices[0], indices[-1]


def _append(
    kept: "dict[Hashable, array[float]]", code: str, values: Mapping[Hashable, float], before: int, most: int
) -> None:
    for key in values.keys() - kept.keys():
        kept[key] = array(code, [math.nan]) * before
    for key, samples in kept.items():
        samples.append(values.get(key, math.nan))
        del samples[:-most]


def _rounded(values: list[float]) -> list[float]:
    return [round(value, 3) for value in values]
