"""Rates and lags of the last hour and day: rings of samples, every ten seconds and every five minutes."""

import math
from collections import deque
from collections.abc import Callable, Hashable, Mapping
from itertools import pairwise
from statistics import fmean

STEP_SECONDS = 10.0
SPANS: Mapping[str, tuple[float, float, int]] = {
    "hour": (STEP_SECONDS, 3600.0, 60),
    "day": (300.0, 86_400.0, 96),
}
"""Name → seconds between two samples, seconds of all, and points of a curve."""

_RECENT_SECONDS = 60.0
_EVENTS, _LAG = ("all", "events"), ("all", "lag")
"""Of everything together. Other keys are places, and names of outputs."""


class History:
    """What counters have come to, and how far behind all is, by samples. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._rings = {name: _Ring(*span) for name, span in SPANS.items()}

    def sample(
        self, now: float, totals: Mapping[Hashable, float], events: float = 0.0, lag: float = 0.0
    ) -> None:
        """Take the present value of each counter; the oldest sample beyond the hour goes.

        events: of all places. lag: the longest of any, in seconds. These two are kept for a day.
        """
        both: dict[Hashable, float] = {_EVENTS: events, _LAG: lag}
        self._rings["hour"].take(now, {**totals, **both})
        self._rings["day"].take(now, both)

    def rate(self, key: Hashable) -> float:
        """Return the events per second of the last minute, as far as it is known."""
        samples = self._rings["hour"].of(key)
        recent = [one for one in samples if one[0] >= samples[-1][0] - _RECENT_SECONDS]
        return _per_second(recent[0], recent[-1]) if recent else 0.0

    def curve(self, key: Hashable) -> list[float]:
        """Return mean rates of equal parts of the last hour, newest last; parts not known are left out."""
        return self._rings["hour"].rates(key)

    def charts(self) -> dict[str, dict[str, list[float]]]:
        """Return, of the hour and of the day, rates of everything and the longest lags, newest last."""
        return {
            name: {"rate": _rounded(ring.rates(_EVENTS)), "lag": _rounded(ring.most(_LAG))}
            for name, ring in self._rings.items()
        }


class _Ring:
    def __init__(self, step: float, span: float, points: int) -> None:
        self._step, self._part, self._points = step, span / points, points
        self._most = int(span / step) + 1
        self._samples: dict[Hashable, deque[tuple[float, float]]] = {}

    def take(self, now: float, values: Mapping[Hashable, float]) -> None:
        """Take values, unless the last ones are younger than a step."""
        for key, value in values.items():
            samples = self._samples.setdefault(key, deque(maxlen=self._most))
            if not samples or now - samples[-1][0] > self._step - STEP_SECONDS / 2:
                samples.append((now, value))

    def of(self, key: Hashable) -> list[tuple[float, float]]:
        return list(self._samples.get(key, ()))

    def rates(self, key: Hashable) -> list[float]:
        found = [(after[0], _per_second(one, after)) for one, after in pairwise(self.of(key))]
        return self._parts(found, fmean)

    def most(self, key: Hashable) -> list[float]:
        return self._parts(self.of(key), max)

    def _parts(self, values: list[tuple[float, float]], join: Callable[[list[float]], float]) -> list[float]:
        lots: dict[int, list[float]] = {}
        for at, value in values:
            place = math.floor((values[-1][0] - at) / self._part)
            if place < self._points:
                lots.setdefault(place, []).append(value)
        return [join(lots[place]) for place in sorted(lots, reverse=True)]


def _per_second(one: tuple[float, float], after: tuple[float, float]) -> float:
    (began, before), (now, total) = one, after
    return (total - before) / (now - began) if now > began else 0.0


def _rounded(values: list[float]) -> list[float]:
    return [round(value, 3) for value in values]
