"""Rates of the last hour: a ring of samples of counters, one every ten seconds."""

import math
from collections import deque
from collections.abc import Hashable, Mapping
from itertools import pairwise

STEP_SECONDS = 10.0
SPAN_SECONDS = 3600.0
_SAMPLES = int(SPAN_SECONDS / STEP_SECONDS) + 1
_RECENT_SECONDS = 60.0


class History:
    """What counters have come to, sample by sample. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._samples: dict[Hashable, deque[tuple[float, float]]] = {}

    def sample(self, now: float, totals: Mapping[Hashable, float]) -> None:
        """Take the present value of each counter; the oldest sample beyond the hour goes."""
        for key, total in totals.items():
            self._samples.setdefault(key, deque(maxlen=_SAMPLES)).append((now, total))

    def rate(self, key: Hashable) -> float:
        """Return the events per second of the last minute, as far as it is known."""
        samples = list(self._samples.get(key, ()))
        recent = [one for one in samples if one[0] >= samples[-1][0] - _RECENT_SECONDS]
        if len(recent) < 2:  # noqa: PLR2004 - a rate is a difference
            return 0.0
        (began, before), (now, total) = recent[0], recent[-1]
        return (total - before) / (now - began) if now > began else 0.0

    def curve(self, key: Hashable, points: int = 60) -> list[float]:
        """Return mean rates of equal parts of the last hour, newest last; parts not known are left out."""
        samples = list(self._samples.get(key, ()))
        part = SPAN_SECONDS / points
        lots: dict[int, list[float]] = {}
        for (began, before), (now, total) in pairwise(samples):
            place = math.floor((samples[-1][0] - now) / part)
            if place < points and now > began:
                lots.setdefault(place, []).append((total - before) / (now - began))
        return [sum(lots[place]) / len(lots[place]) for place in sorted(lots, reverse=True)]
