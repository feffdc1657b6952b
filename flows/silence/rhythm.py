"""How often something comes of each scope, and since when it comes too rarely. Pure: minutes are passed in.

Learned of each scope, for each hour of the week: in how many minutes of it something came. A pause is then
measured in what should have come meanwhile, so a quiet night counts less than a quiet morning. A scope is
silent when its pause has reached the greatest of

    twice the longest pause of the last five weeks
    where pauses look random, that which one scope of three thousand has once in a month by chance
    two

Nothing is told of a scope in its first two weeks. A pause that was told counts as little longer than the
longest before it: what became usual is learned in a few rounds, and one outage hides no other.
"""

import math
from array import array
from collections.abc import Iterable, Mapping
from typing import Any

MINUTE, HOUR_MINUTES, WEEK_HOURS = 60, 60, 168
WEEK_MINUTES = WEEK_HOURS * HOUR_MINUTES
MOST_SCOPES = 100_000
"""Further ones are not learned, so that nobody fills memory with accounts that he made up."""

LEARNING_MINUTES = 2 * WEEK_MINUTES
_WEEKS = 5
_UNITS = 4
"""An hour's expectation is kept in quarters of a minute, in a byte."""

_WEIGHT = 0.3
"""Of the last week in an hour's expectation; of the first one it is all."""

_LEAST, _TWICE, _HARDLY = 2.0, 2.0, 1.25
_SCOPES_A_FALSE_ALARM = 3_000
_REGULAR, _RANDOM = 0.15, 0.5
"""Relative variance of pauses: up to the one they are regular, from the other on random (by chance: 1)."""

_DOUBT = 2.0
"""By so much over the square root of a week's pauses more is awaited: what is rare is known badly."""

_EXACT_MINUTES = 10
"""How often the end of the next pause is reckoned anew while something comes each minute."""

_MOMENTS = 0.02
_FAR_MINUTES = 10 * WEEK_MINUTES


class Rhythms:
    """What is known of every scope, by number; 250 bytes each. Not thread-safe.

    Arrays hold one value a scope, `_rates` one byte for each of its hours and `_longest` one value for each
    of its last weeks. `_due`: the minute in which the scope is silent if nothing comes before.
    """

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}
        self.left_out = 0
        self._rates, self._count = bytearray(), bytearray()
        self._longest, self._mean, self._square = array("f"), array("f"), array("f")
        self._first, self._last, self._due = array("q"), array("q"), array("q")
        self._gaps, self._gaps_before = array("L"), array("L")
        self._hour = -1
        self.silent: dict[str, int] = {}
        """Scope → minute of its last sign, of those that are silent now."""

    def hear(self, scopes: Iterable[str], minute: int) -> list[str]:
        """Note that something came of scopes within a minute; returns those that had been told as silent."""
        self._turn(minute)
        back = []
        for scope in scopes:
            number = self.numbers.get(scope)
            if number is None:
                self._add(scope, minute)
                continue
            if self.silent.pop(scope, None) is not None:
                back.append(scope)
            if minute > self._last[number]:
                self._learn(number, minute)
        return back

    def look(self, minute: int) -> list[tuple[str, int]]:
        """Return scopes that have fallen silent, each with how many minutes nothing came. Each once."""
        self._turn(minute)
        due = self._due
        late = [(scope, number) for scope, number in self.numbers.items() if due[number] <= minute]
        found = []
        for scope, number in late:
            if scope in self.silent:
                continue
            self.silent[scope] = self._last[number]
            found.append((scope, minute - self._last[number]))
        return found

    def usual(self, scope: str) -> int:
        """Return the longest pause that is usual for a scope at these hours of the week, in minutes."""
        number = self.numbers[scope]
        last, most = self._last[number], self._most(number)
        then = self._reach(number, last, most)
        return max(then - last, self._reach(number, then, most) - then)

    def skip(self, minute: int) -> None:
        """Begin all pauses anew: until now nothing could come, for whatever reason."""
        self._turn(minute)
        for scope, number in self.numbers.items():
            if scope not in self.silent:
                self._last[number] = minute
                self._due[number] = self._deadline(number, minute)

    def state(self) -> dict[str, Any]:
        """Return all that is learned, as plain data."""
        arrays = {name: values.tobytes() for name, (values, _) in self._arrays().items()}
        return {"v": 1, "scopes": list(self.numbers), "rates": bytes(self._rates), **arrays}

    @classmethod
    def restored(cls, state: dict[str, Any], minute: int) -> "Rhythms":
        """Return what a state knows; pauses begin now.

        Raises ValueError, KeyError or TypeError for one of another release.
        """
        made = cls()
        made.load(state, minute)
        return made

    def load(self, state: dict[str, Any], minute: int) -> None:
        """Take over what a state knows: see `restored`."""
        count = len(state["scopes"])
        if state["v"] != 1 or len(state["rates"]) != count * WEEK_HOURS:
            raise ValueError("another version")
        self.numbers = {scope: number for number, scope in enumerate(state["scopes"])}
        self._rates, self._count = bytearray(state["rates"]), bytearray(count)
        for name, (values, each) in self._arrays().items():
            values.frombytes(state[name])
            if len(values) != count * each:
                raise ValueError("it is torn")
        self._last, self._due = (array("q", bytes(8 * count)) for _ in range(2))
        self._hour = minute // HOUR_MINUTES
        self.skip(minute)

    def _arrays(self) -> "Mapping[str, tuple[array[Any], int]]":
        """Return what is kept by name, with how many values a scope has."""
        return {
            "longest": (self._longest, _WEEKS),
            "mean": (self._mean, 1),
            "square": (self._square, 1),
            "first": (self._first, 1),
            "gaps": (self._gaps, 1),
            "gaps_before": (self._gaps_before, 1),
        }

    # one scope

    def _add(self, scope: str, minute: int) -> None:
        if len(self.numbers) >= MOST_SCOPES:
            self.left_out += 1
            return
        self.numbers[scope] = len(self.numbers)
        self._rates += bytes(WEEK_HOURS)
        self._count.append(1)
        self._longest.extend([0.0] * _WEEKS)
        for values in (self._mean, self._square):
            values.append(1.0)
        for numbers in (self._gaps, self._gaps_before):
            numbers.append(0)
        self._first.append(minute)
        self._last.append(minute)
        self._due.append(minute + _FAR_MINUTES)

    def _learn(self, number: int, minute: int) -> None:
        """Note the pause that ends now, and until when the next one may last."""
        last = self._last[number]
        self._last[number] = minute
        self._count[number] = min(self._count[number] + 1, HOUR_MINUTES)
        self._gaps[number] += 1
        near = minute - last == 1 and minute % _EXACT_MINUTES
        if near:
            self._due[number] += 1
            pause = self._rate(number, minute // HOUR_MINUTES) / HOUR_MINUTES
        else:
            pause = self._expected(number, last, minute)
        if minute - self._first[number] > LEARNING_MINUTES:
            pause = min(pause, _HARDLY * self._most(number))
        self._mean[number] += _MOMENTS * (pause - self._mean[number])
        self._square[number] += _MOMENTS * (min(pause, 50.0) ** 2 - self._square[number])
        if minute - self._first[number] > WEEK_MINUTES:
            slot = number * _WEEKS + minute // WEEK_MINUTES % _WEEKS
            self._longest[slot] = max(self._longest[slot], pause)
        if not near:
            self._due[number] = self._deadline(number, minute)

    def _most(self, number: int) -> float:
        """Return what should have come in the longest pause that is usual: half of what makes it silent."""
        longest = max(self._longest[number * _WEEKS : (number + 1) * _WEEKS])
        mean = max(self._mean[number], 1e-3)
        variance = self._square[number] / mean**2 - 1
        random = min(max((variance - _REGULAR) / (_RANDOM - _REGULAR), 0.0), 1.0)
        week = max(self._gaps[number], self._gaps_before[number], 1)
        by_chance = random * math.log(_SCOPES_A_FALSE_ALARM * 4.3 * week) * (1 + _DOUBT / math.sqrt(week))
        return max(longest, by_chance / _TWICE, _LEAST / _TWICE)

    def _deadline(self, number: int, minute: int) -> int:
        if minute - self._first[number] < LEARNING_MINUTES:
            return minute + _FAR_MINUTES
        return self._reach(number, minute, _TWICE * self._most(number))

    def _reach(self, number: int, minute: int, pause: float) -> int:
        """Return when so much should have come since a minute, ten weeks at most."""
        hour, at, end = minute // HOUR_MINUTES, minute, minute + _FAR_MINUTES
        while at < end:
            rate = self._rate(number, hour) / HOUR_MINUTES
            whole = (hour + 1) * HOUR_MINUTES - at
            if rate * whole >= pause:
                return at + math.ceil(pause / rate)
            pause -= rate * whole
            at, hour = at + whole, hour + 1
        return end

    def _expected(self, number: int, start: int, end: int) -> float:
        """Return in how many minutes something should have come."""
        found, end = 0.0, min(end, start + _FAR_MINUTES)
        while start < end:
            hour = start // HOUR_MINUTES
            stop = min((hour + 1) * HOUR_MINUTES, end)
            found += (stop - start) * self._rate(number, hour) / HOUR_MINUTES
            start = stop
        return found

    def _rate(self, number: int, hour: int) -> float:
        """Return in how many minutes of an hour something comes; the hours beside it have a say."""
        base, at, rates = number * WEEK_HOURS, hour % WEEK_HOURS, self._rates
        beside = rates[base + at - 1 if at else base + WEEK_HOURS - 1] + rates[base + (at + 1) % WEEK_HOURS]
        return (2 * rates[base + at] + beside) / (4 * _UNITS)

    # all scopes

    def _turn(self, minute: int) -> None:
        """Learn the hours that are over, and begin a week's longest pauses when it begins."""
        hour = minute // HOUR_MINUTES
        if self._hour < 0:
            self._hour = hour
        while self._hour < hour:
            self._end_hour(self._hour)
            self._hour += 1
            if self._hour % WEEK_HOURS == 0:
                self._begin_week(self._hour // WEEK_HOURS % _WEEKS)

    def _end_hour(self, hour: int) -> None:
        at, first = hour % WEEK_HOURS, (hour - WEEK_HOURS) * HOUR_MINUTES
        for number, count in enumerate(self._count):
            slot = number * WEEK_HOURS + at
            known, now = self._rates[slot], count * _UNITS
            if self._first[number] > first:
                self._rates[slot] = min(now, 255)
            elif known != now:
                self._rates[slot] = min(round(known + _WEIGHT * (now - known)), 255)
        self._count = bytearray(len(self._count))

    def _begin_week(self, week: int) -> None:
        minute = self._hour * HOUR_MINUTES
        for number in range(len(self.numbers)):
            slot = number * _WEEKS + week
            forgotten, self._longest[slot] = self._longest[slot], 0.0
            if forgotten and minute < self._due[number] < minute + _FAR_MINUTES:
                # whoever is silent already is measured by what is usual now
                self._due[number] = min(self._due[number], self._deadline(number, self._last[number]))
        self._gaps_before, self._gaps = self._gaps, array("L", bytes(self._gaps.itemsize * len(self._gaps)))
