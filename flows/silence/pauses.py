"""Pauses by what should come meanwhile. Pure.

Minutes and hours are counted from an epoch; a rate is in which share of an hour's minutes something comes.
"""

import math
from collections.abc import Callable

HOUR_MINUTES, WEEK_HOURS = 60, 168
WEEK_MINUTES = WEEK_HOURS * HOUR_MINUTES
FAR_MINUTES = 10 * WEEK_MINUTES
"""No pause is measured for longer."""

CLOSED_HOURS = 5
"""In which nothing ever comes, one after another: a night."""

_CERTAIN = 9.0
"""Square of the standard errors by which a tail's mean is half believed, where another one is likelier."""


def believed(mean: float, known: float, likelier: float) -> float:
    """Return a mean, drawn to a likelier one as long as it may differ from it by chance."""
    errors = (mean - likelier) ** 2 * known
    return likelier + (mean - likelier) * errors / (errors + _CERTAIN)


def reached(rate: Callable[[int], float], at: int, pause: float, closed: float) -> int:
    """Return when so much should have come. closed: up to this rate nothing does; anew after such a night."""
    hour, end, left, quiet = at // HOUR_MINUTES, at + FAR_MINUTES, pause, 0
    while at < end:
        a_minute = rate(hour)
        whole = (hour + 1) * HOUR_MINUTES - at
        quiet = _quiet(quiet, a_minute, closed)
        if quiet == CLOSED_HOURS:
            left = pause
        if a_minute * whole >= left:
            return at + math.ceil(left / a_minute)
        left -= a_minute * whole
        at, hour = at + whole, hour + 1
    return end


def came(rate: Callable[[int], float], start: int, end: int, closed: float) -> float:
    """Return what should have come, before or after a night: see `reached`."""
    found, before, quiet = 0.0, 0.0, 0
    while start < end:
        hour = start // HOUR_MINUTES
        stop, a_minute = min((hour + 1) * HOUR_MINUTES, end), rate(hour)
        found += (stop - start) * a_minute
        quiet = _quiet(quiet, a_minute, closed)
        if quiet == CLOSED_HOURS:
            found, before = 0.0, found
        start = stop
    return max(found, before)


def _quiet(hours: int, rate: float, closed: float) -> int:
    """Return how many hours one after another bring nothing; once it is a night, it stays the only one."""
    if hours >= CLOSED_HOURS:
        return hours + 1
    return hours + 1 if rate <= closed else 0
