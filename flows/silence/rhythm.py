"""How often something comes of each scope, and since when it comes too rarely. Pure: minutes are passed in.

Learned of each scope, for each hour of the week: in how many minutes of it something came. A pause is then
measured in what should have come meanwhile, so a quiet night counts less than a quiet morning.

Usual is the longest pause that a scope has in a year, or of a thousand where it has fewer. It follows from
how pauses go on in which half of what should come has not (peaks over a threshold): of what comes at random,
or in bursts, they have no memory. What comes regularly ends them soon; there the longest of the last five
weeks is usual, and a pause begins anew after the hours in which nothing ever comes: what was left of an
evening and what passes of a morning are two pauses. A scope is silent before twice the usual is over, by
what it learned.

Clocks are changed twice a year: a scope is not silent before a good part of its pause is also over by clocks
an hour behind and before; where much comes, by hours that bring no more than those beside them.

Nothing is told of a scope in its first two weeks. A pause that was told counts as little longer than the
longest before it: what became usual is learned in a few rounds, and one outage hides no other.

When a scope is due is reckoned only when it may be, or after some hours: what comes mostly makes it later.
"""

import heapq
import math
from array import array
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from flows.silence.pauses import (
    CLOSED_HOURS,
    FAR_MINUTES,
    HOUR_MINUTES,
    WEEK_HOURS,
    WEEK_MINUTES,
    believed,
    came,
    reached,
)

_VERSION = 2
MINUTE = 60
MOST_SCOPES = 100_000
"""Further ones are not learned, so that nobody fills memory with accounts that he made up."""

LEARNING_MINUTES = 2 * WEEK_MINUTES
_WEEKS = 5
_SHIFTS = (-HOUR_MINUTES, HOUR_MINUTES)
_FULL = 65_535
"""An hour's expectation is kept as the square root of its share, in 16 bits: fine where it is small."""

_LAST_WEEK = 0.05
"""Weight of the last week in an hour's expectation: a pause is as long as a dozen comings, so the hours
of the week that it goes through are known from few of them, however often something comes."""

_THRESHOLD, _FURTHER = 0.5, 2.0
"""Pauses in which less should have come belong to a burst, or tell nothing of long ones. Some bursts last as
long as what is between them: pauses above the second one have a say where they go on for longer."""

_MOST_TAIL, _FEW = 2_000, 12
"""Pauses of which the tail is known; too few to call them regular."""

_MANY = 600
"""Of what is rare the longest of so many pauses is usual; about a thousand with the short ones."""

_REGULAR, _RANDOM, _FEW_VARY = 0.15, 0.5, 6.0
"""Relative variance of tails: up to the one they are regular, from the other on random (by chance: 1). It
may be more by so many standard errors: a few pauses are alike by chance."""

_BURSTS = 0.1
"""Bursts have a longer tail than it seems: by night and by day they are not the same."""

_DOUBT, _YOUNG = 1.4, 2.0
"""How much it counts that an expectation is known from few weeks: 1 = as for a Poisson count; and from hardly
any, over their square: whether what came was a burst is then not known either."""

_LEAST, _USUAL, _LONGEST, _HARDLY = 1.9, 1.6, 1.4, 1.25
"""Silent after so many usual pauses: below two, as twice is promised and the usual is not known exactly. Of
the longest of five weeks fewer: it may have been longest by chance."""

_CLOSED, _A_DAY = 0.1, 6
"""Nothing ever comes in an hour that has such a share of the average, where so much comes in a day."""

_OFTEN, _COMMON, _MUCH = 0.015, 0.5, 0.7
"""In such a share of minutes, and so much of it in hours beside each other: a change of clocks shows. An hour
beside another one brings far less with less than the second."""

_MOVED, _MOVED_LEAST = 0.5, 3.0
"""How much of a pause has to be over by other clocks, and how much at least: they are right for some days."""

_AGAIN_MINUTES = 6 * HOUR_MINUTES
"""Who may not be silent for long is looked at so often: what comes rarely may come more often from now on."""

_NUMBER_BITS = 17
_NUMBERS = (1 << _NUMBER_BITS) - 1
"""Up to MOST_SCOPES."""


class Rhythms:
    """What is known of every scope, by number; 420 bytes each. Not thread-safe.

    Arrays hold one value a scope, `_rates` one for each of its hours and `_longest` one for each of its last
    weeks. `_tail`, `_square`: how much longer than the threshold pauses are that are longer, and its square.
    `_further`, `_share`: that of the pauses above the second one, and how many of the longer ones they are.
    `_all`, `_common`: what is expected in an hour, and what in it and those beside it, on average.
    `_due`: the minute in which a scope is silent if nothing comes after the minute of `_due_after`.
    `_next`: when it is looked at; `_waiting` has these minutes with numbers in order, some outdated.
    """

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}
        self.left_out = 0
        self._rates, self._count = array("H"), bytearray()
        self._longest, self._tail, self._square = array("f"), array("f"), array("f")
        self._further, self._share = array("f"), array("f")
        self._all, self._common = array("f"), array("f")
        self._first, self._last = array("q"), array("q")
        self._due, self._due_after, self._next = array("q"), array("q"), array("q")
        self._names: list[str] = []
        self._waiting: list[int] = []
        self._tails = array("H")
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
                self._wait(number, minute)
            if minute > self._last[number]:
                self._learn(number, minute)
        return back

    def look(self, minute: int) -> list[tuple[str, int]]:
        """Return scopes that have fallen silent, each with how many minutes nothing came. Each once."""
        self._turn(minute)
        found, waiting = [], self._waiting
        while waiting and waiting[0] >> _NUMBER_BITS <= minute:
            entry = heapq.heappop(waiting)
            number = entry & _NUMBERS
            if entry >> _NUMBER_BITS != self._next[number]:
                continue
            last, scope = self._last[number], self._names[number]
            if last != self._due_after[number]:
                if minute - last < _LEAST:
                    self._wait(number, last + math.ceil(_LEAST))
                    continue
                self._due[number], self._due_after[number] = self._deadline(number, last), last
            if self._due[number] > minute:
                self._wait(number, min(self._due[number], minute + _AGAIN_MINUTES))
            elif scope not in self.silent:
                self.silent[scope] = last
                found.append((scope, minute - last))
        return found

    def usual(self, scope: str) -> int:
        """Return the longest pause that is usual for a scope at these hours of the week, in minutes."""
        number = self.numbers[scope]
        last = self._last[number]
        usual, closed = self._usual(number, last)
        rate = partial(self._rate, number)
        then = reached(rate, last, usual, closed)
        return max(then - last, reached(rate, then, usual, closed) - then)

    def skip(self, minute: int) -> None:
        """Begin all pauses anew: until now nothing could come, for whatever reason."""
        self._turn(minute)
        for scope, number in self.numbers.items():
            if scope not in self.silent:
                self._last[number] = minute

    def state(self) -> dict[str, Any]:
        """Return all that is learned, as plain data."""
        arrays = {name: values.tobytes() for name, (values, _) in self._arrays().items()}
        return {"v": _VERSION, "scopes": list(self.numbers), **arrays}

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
        if state["v"] != _VERSION:
            raise ValueError("another version")
        self.numbers = {scope: number for number, scope in enumerate(state["scopes"])}
        self._count = bytearray(count)
        for name, (values, each) in self._arrays().items():
            values.frombytes(state[name])
            if len(values) != count * each:
                raise ValueError("it is torn")
        self._names = list(self.numbers)
        self._last, self._due, self._next = (array("q", [minute]) * count for _ in range(3))
        self._due_after = array("q", [-1]) * count
        self._waiting = [minute << _NUMBER_BITS | number for number in range(count)]
        self._hour = minute // HOUR_MINUTES
        self.skip(minute)

    def _arrays(self) -> "Mapping[str, tuple[array[Any], int]]":
        """Return what is kept by name, with how many values a scope has."""
        return {
            "rates": (self._rates, WEEK_HOURS),
            "longest": (self._longest, _WEEKS),
            "tail": (self._tail, 1),
            "tails": (self._tails, 1),
            "further": (self._further, 1),
            "share": (self._share, 1),
            "all": (self._all, 1),
            "common": (self._common, 1),
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
        number = self.numbers[scope] = len(self.numbers)
        self._names.append(scope)
        self._rates.extend([0] * WEEK_HOURS)
        self._count.append(1)
        self._longest.extend([0.0] * _WEEKS)
        for values in (self._tail, self._square, self._further, self._share, self._all, self._common):
            values.append(0.0)
        for numbers in (self._gaps, self._gaps_before, self._tails):
            numbers.append(0)
        self._first.append(minute)
        self._last.append(minute)
        self._due.append(0)
        self._due_after.append(-1)
        self._next.append(0)
        self._wait(number, minute + LEARNING_MINUTES)

    def _wait(self, number: int, minute: int) -> None:
        """Look at a scope in a minute."""
        self._next[number] = minute
        heapq.heappush(self._waiting, minute << _NUMBER_BITS | number)

    def _learn(self, number: int, minute: int) -> None:
        """Note the pause that ends now."""
        last = self._last[number]
        self._last[number] = minute
        self._count[number] = min(self._count[number] + 1, HOUR_MINUTES)
        age = minute - self._first[number]
        if age <= WEEK_MINUTES:
            return
        pause = self._expected(number, last, minute)
        if age > LEARNING_MINUTES and pause > _LEAST * _HARDLY / _USUAL:
            pause = min(pause, _HARDLY * self._usual(number, minute)[0])
        slot = number * _WEEKS + minute // WEEK_MINUTES % _WEEKS
        self._longest[slot] = max(self._longest[slot], pause)
        if pause > _THRESHOLD:
            self._learn_tail(number, pause - _THRESHOLD)

    def _learn_tail(self, number: int, longer: float) -> None:
        self._gaps[number] += 1
        self._tails[number] = min(self._tails[number] + 1, _MOST_TAIL)
        known = self._tails[number]
        self._tail[number] += (longer - self._tail[number]) / known
        self._square[number] += (longer**2 - self._square[number]) / known
        further = longer + _THRESHOLD - _FURTHER
        self._share[number] += ((further > 0) - self._share[number]) / known
        if further > 0:
            self._further[number] += (further - self._further[number]) / max(self._share[number] * known, 1)

    def _usual(self, number: int, minute: int) -> tuple[float, float]:
        """Return what should have come in the longest usual pause, and which rate is none: see `reached`."""
        longest = max(self._longest[number * _WEEKS : (number + 1) * _WEEKS])
        tail, known = self._tail[number] or 1.0, self._tails[number]
        variance = self._square[number] / tail**2 - 1 if known else 1.0
        variance *= 1 + _FEW_VARY / math.sqrt(known or 1)
        random = min(max((variance - _REGULAR) / (_RANDOM - _REGULAR), 1 - known / _FEW, 0.0), 1.0)
        chance = believed(tail, known, 1.0) if known else 1.0
        many = max(52 * max(self._gaps[number], self._gaps_before[number]), _MANY)
        by_chance = random * max(
            _THRESHOLD + chance * math.log(many), self._further_usual(number, many, chance)
        )
        weeks = (minute - self._first[number]) / WEEK_MINUTES - 1
        weeks = min(max(weeks, 1.0), 2 / self._weight(number, minute))
        doubt = 1 / (weeks * math.log1p(1 / weeks)) - 1  # nothing came: a count known from so many weeks
        usual = max(
            longest * _LONGEST / _USUAL, by_chance * (1 + _DOUBT * doubt + _YOUNG / weeks**2), _LEAST / _USUAL
        )
        closes = random < 0.5 and self._all[number] * 24 * HOUR_MINUTES >= _A_DAY  # noqa: PLR2004 - rather regular
        return usual, _CLOSED * self._all[number] if closes else -1.0

    def _further_usual(self, number: int, many: float, chance: float) -> float:
        """Return the longest pause of so many by those above the second threshold, where they last longer."""
        share, further = self._share[number], self._further[number]
        known = share * self._tails[number]
        if known <= 1 or further <= self._tail[number]:
            return 0.0
        tail = chance + (believed(further / self._tail[number], known, 1.0) - 1) * chance
        bursts = 1 + _BURSTS * min(max(further / chance - 1, 0.0), 1.0)
        return _FURTHER + tail * bursts * math.log(max(many * share, 1))

    def _weight(self, number: int, minute: int) -> float:
        """Return that of the last week in an hour's expectation."""
        return max(_LAST_WEEK, 1 / ((minute - self._first[number]) // WEEK_MINUTES + 1))

    def _deadline(self, number: int, last: int) -> int:
        """Return the minute in which a scope is silent if nothing comes before, in ten weeks at most."""
        if last - self._first[number] < LEARNING_MINUTES:
            return last + FAR_MINUTES
        usual, closed = self._usual(number, last)
        pause, rate = _USUAL * usual, partial(self._rate, number)
        moved = min(pause, max(_MOVED * pause, _MOVED_LEAST))
        own = reached(rate, last, pause, closed)
        if self._often(number):
            return max(own, reached(partial(self._least, number), last, moved, closed))
        return max(own, *(reached(rate, last + shift, moved, closed) - shift for shift in _SHIFTS))

    def _expected(self, number: int, start: int, end: int) -> float:
        """Return in how many minutes something should have come."""
        rate = partial(self._least if self._often(number) else self._rate, number)
        night = end - start > CLOSED_HOURS * HOUR_MINUTES and end - self._first[number] > WEEK_MINUTES
        closed = self._usual(number, end)[1] if night else -1.0
        return came(rate, start, min(end, start + FAR_MINUTES), closed)

    def _often(self, number: int) -> bool:
        return self._common[number] > max(_MUCH * self._all[number], _OFTEN)

    def _rate(self, number: int, hour: int) -> float:
        """Return in which share of an hour's minutes something comes."""
        return (self._rates[number * WEEK_HOURS + hour % WEEK_HOURS] / _FULL) ** 2

    def _least(self, number: int, hour: int) -> float:
        """Return the same of an hour or one beside it, where that is far less."""
        base, at, rates = number * WEEK_HOURS, hour % WEEK_HOURS, self._rates
        beside = rates[base + (at or WEEK_HOURS) - 1], rates[base + (at + 1) % WEEK_HOURS]
        own, least = rates[base + at] ** 2, min(beside) ** 2
        return (least if least < _COMMON * own else own) / _FULL**2

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
        minute = (hour + 1) * HOUR_MINUTES
        for number, count in enumerate(self._count):
            slot = number * WEEK_HOURS + at
            now = count / HOUR_MINUTES
            if self._first[number] <= first and (count or self._rates[slot]):
                known = self._rate(number, hour)
                now = known + self._weight(number, minute) * (now - known)
            self._rates[slot] = min(round(math.sqrt(now) * _FULL), _FULL)
            self._all[number] += (now - self._all[number]) / WEEK_HOURS
            self._common[number] += (self._least(number, hour - 1) - self._common[number]) / WEEK_HOURS
        self._count = bytearray(len(self._count))

    def _begin_week(self, week: int) -> None:
        minute = self._hour * HOUR_MINUTES
        for number in range(len(self.numbers)):
            slot = number * _WEEKS + week
            forgotten, self._longest[slot] = self._longest[slot], 0.0
            last = self._last[number]
            if forgotten and self._due_after[number] == last and self._names[number] not in self.silent:
                # whoever pauses already is measured by what is usual now
                self._due[number] = min(self._due[number], self._deadline(number, last))
                self._wait(number, max(min(self._due[number], self._next[number]), minute))
        self._gaps_before, self._gaps = self._gaps, array("L", bytes(self._gaps.itemsize * len(self._gaps)))
