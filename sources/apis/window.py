"""Time windows for APIs whose events arrive late: pure arithmetic on UTC epoch milliseconds.

    now ──────────────────────────────────────────────┐
    settle: too fresh to be complete         ├────────┤
    window                    ├──────────────┤
    overlap, read once more   ├────┤
    former window        ├─────────┤

An event of time t is read for the last time by a window that ends beyond t + overlap, at a moment beyond
that end + settle. So whatever becomes visible within settle + overlap of its time is found; what is found
twice is dropped by its id (`Seen`).

How late that is, is measured (`Lateness`): the reach grows so that twice the lateness seen still lies well
within it, up to a bound, and shrinks again by half a day's end.
"""

import time
from bisect import bisect_left
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from math import inf

from msgspec import Struct

from sources.telemetry import NEAR

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)


class Window(Struct, frozen=True, array_like=True):
    """Half-open: start ≤ t < end, in epoch milliseconds."""

    start: int
    end: int


class Reach(Struct, frozen=True):
    """How windows follow each other, in milliseconds.

    settle: events younger than this are left for the next window.
    overlap: how far each window reaches back into the former one.
    span: longest step from one window's end to the next one's.
    """

    settle: int
    overlap: int
    span: int


def next_window(done: int, now: int, reach: Reach) -> Window | None:
    """Return the window after one that ended at `done`; None while everything later is too fresh."""
    end = min(done + reach.span, now - reach.settle)
    return Window(done - reach.overlap, end) if end > done else None


def behind(done: int, now: int, reach: Reach) -> bool:
    """Tell whether at least one whole span is left to read: time to catch up instead of resting."""
    return now - reach.settle - done >= reach.span


class Lateness(Struct, frozen=True):
    """How late events became visible lately, in ms: the part of a position that decides its reach.

    reach: beyond the least one; 0 = the least. most: the latest event since `since` (epoch ms).
    """

    reach: int = 0
    most: int = 0
    since: int = 0


class ReachRule(Struct, frozen=True):
    """Between which bounds, in ms, a reach follows the lateness: settle + overlap, and the longest one."""

    least: int
    most: int

    def of(self, late: Lateness) -> int:
        """Return the age up to which events that become visible are found."""
        return max(self.least, min(late.reach, self.most))

    def after(self, late: Lateness, seen: int, now: int) -> Lateness:
        """Return the lateness after a poll whose latest event was `seen` ms late.

        A reach that has been too wide for a day is halved, or what the day asked for.
        """
        since, most = late.since or now, max(late.most, seen)
        wanted = int(most * _ROOM)
        if now - since < _DAY:
            return Lateness(max(self.of(late), min(wanted, self.most)), most, since)
        return Lateness(min(max(self.of(late) // 2, wanted), self.most), seen, now)


class LateEvents(Struct, frozen=True):
    """The lateness of a page. counts: events by `BOUNDS`, the last for all beyond. most, reach: ms."""

    counts: tuple[int, ...]
    most: int
    reach: int

    def cumulative(self) -> dict[str, int]:
        """Return how many events were at most so late, by the bound in seconds, as histograms have it."""
        names = (*map(str, BOUNDS), "+Inf")
        return dict(zip(names, accumulate(self.counts), strict=True))


def part_of_reach(told: tuple[float, float]) -> float:
    """Return which part of the reach the latest event takes; of no reach (`overlap_seconds: 0`) all."""
    most, reach = told
    return most / reach if reach else inf if most else 0.0


BOUNDS = (10, 60, 300, 600, 1200, 3600, 10_800, 21_600, 86_400)
"""Seconds of lateness up to which events are counted, in a histogram that is the same for every service."""

_ROOM = 2 / NEAR
"""Twice the lateness seen is to be no warning yet."""

_DAY = 86_400_000


def late_events(lateness: Iterable[int], reach: int) -> LateEvents:
    """Return the histogram of events' lateness, each in ms; a negative one (clocks differ) counts as none."""
    counts, most = [0] * (len(BOUNDS) + 1), 0
    for ms in lateness:
        most = max(most, ms)
        counts[bisect_left(BOUNDS, ms / 1000)] += 1
    return LateEvents(tuple(counts), most, reach)


class Seen:
    """Ids already emitted, each with the time of its event, bounded by forgetting what no window reads again.

    Plain form: `{id: epoch milliseconds}`.
    """

    def __init__(self, ids: dict[str, int] | None = None) -> None:
        self._ids = dict(ids or {})

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, key: str, when: int) -> bool:
        """Remember an id; False when it was known already."""
        if key in self._ids:
            return False
        self._ids[key] = when
        return True

    def since(self, start: int) -> dict[str, int]:
        """Return, as a new dict, the ids of events at or after `start`."""
        return {key: when for key, when in self._ids.items() if when >= start}

    def until(self, end: int) -> dict[str, int]:
        """Return, as a new dict, the ids of events at or before `end`."""
        return {key: when for key, when in self._ids.items() if when <= end}


def now_ms() -> int:
    """Return the present moment in epoch milliseconds."""
    return time.time_ns() // 1_000_000


def to_ms(moment: datetime) -> int:
    """Return epoch milliseconds of an aware datetime, exactly (floats lose the last digit)."""
    return (moment - _EPOCH) // _MS


def to_datetime(ms: int) -> datetime:
    """Return the UTC datetime of epoch milliseconds, exactly."""
    return _EPOCH + ms * _MS


def parse_iso(text: str) -> int:
    """Return epoch milliseconds of an ISO 8601 time; one without offset is UTC. Raises ValueError."""
    moment = datetime.fromisoformat(text)
    return to_ms(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
