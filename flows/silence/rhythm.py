"""How often something comes of each scope, and since when it comes too rarely. Pure: minutes are passed in.

Learned of each scope, for each hour of the week: in how many minutes of it something came. A pause is then
measured in what should have come meanwhile, so a quiet night counts less than a quiet morning. Clocks are
changed twice a year: where much comes, an hour is expected to bring no more than those beside it; of what is
rare, or comes at its hour as a daily report, pauses are measured by three clocks, and the least counts.

Usual is the longest pause that a scope has in a year, or of a thousand where it has fewer. It follows from
how pauses go on in which half of what should come has not (peaks over a threshold): of what comes at random,
or in bursts, they have no memory. What comes regularly ends them soon; there the longest of the last five
weeks is usual. A scope is silent before twice the usual is over, by what it learned.

Nothing is told of a scope in its first two weeks. A pause that was told counts as little longer than the
longest before it: what became usual is learned in a few rounds, and one outage hides no other.
"""

import math
from array import array
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

_VERSION = 2
MINUTE, HOUR_MINUTES, WEEK_HOURS = 60, 60, 168
WEEK_MINUTES = WEEK_HOURS * HOUR_MINUTES
MOST_SCOPES = 100_000
"""Further ones are not learned, so that nobody fills memory with accounts that he made up."""

LEARNING_MINUTES = 2 * WEEK_MINUTES
_WEEKS = 5
_SHIFTS = (0, -HOUR_MINUTES, HOUR_MINUTES)
_FULL = 65_535
"""An hour's expectation is kept as the square root of its share, in 16 bits: fine where it is small."""

_LAST_WEEK, _SIGNS = (0.05, 0.15), 300
"""Weight of the last week in an hour's expectation,
by how often something comes: what is rare takes months."""

_THRESHOLD, _FURTHER = 0.5, 2.0
"""Pauses in which less should have come belong to a burst, or tell nothing of long ones. Some bursts last as
long as what is between them: pauses above the second one have a say where they go on for longer."""

_MOST_TAIL, _FEW, _PRIOR = 2_000, 12, 10
"""Pauses of which the tail is known; too few to call them regular; as many count as by chance beforehand."""

_MANY = 600
"""Of what is rare the longest of so many pauses is usual; about a thousand with the short ones."""

_REGULAR, _RANDOM = 0.15, 0.5
"""Relative variance of tails: up to the one they are regular, from the other on random (by chance: 1)."""

_LEAST, _USUAL, _LONGEST, _HARDLY = 1.9, 1.65, 1.4, 1.25
"""Silent after so many usual pauses: below two, as twice is promised and the usual is not known exactly. Of
the longest of five weeks fewer: it may have been longest by chance."""

_OFTEN, _COMMON = 0.015, 0.5
"""In such a share of minutes, and so much of it in hours beside each other: a change of clocks shows."""

_EXACT_MINUTES = 10
"""How often the end of the next pause is reckoned anew while something comes each minute."""

_FAR_MINUTES = 10 * WEEK_MINUTES


class Rhythms:
    """What is known of every scope, by number; 420 bytes each. Not thread-safe.

    Arrays hold one value a scope, `_rates` one for each of its hours and `_longest` one for each of its last
    weeks. `_tail`, `_square`: how much longer than the threshold pauses are that are longer, and its square.
    `_further`, `_share`: that of the pauses above the second one, and how many of the longer ones they are.
    `_all`, `_common`: what is expected in an hour, and what in it and those beside it, on average.
    `_due`: the minute in which the scope is silent if nothing comes before.
    """

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}
        self.left_out = 0
        self._rates, self._count = array("H"), bytearray()
        self._longest, self._tail, self._square = array("f"), array("f"), array("f")
        self._further, self._share = array("f"), array("f")
        self._all, self._common = array("f"), array("f")
        self._first, self._last, self._due = array("q"), array("q"), array("q")
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
        last = self._last[number]
        usual = self._usual(number, last)
        then = self._reach(number, last, usual)
        return max(then - last, self._reach(number, then, usual) - then)

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
        self._last, self._due = (array("q", bytes(8 * count)) for _ in range(2))
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
        self.numbers[scope] = len(self.numbers)
        self._rates.extend([0] * WEEK_HOURS)
        self._count.append(1)
        self._longest.extend([0.0] * _WEEKS)
        for values in (self._tail, self._square, self._further, self._share, self._all, self._common):
            values.append(0.0)
        for numbers in (self._gaps, self._gaps_before, self._tails):
            numbers.append(0)
        self._first.append(minute)
        self._last.append(minute)
        self._due.append(minute + _FAR_MINUTES)

    def _learn(self, number: int, minute: int) -> None:
        """Note the pause that ends now, and until when the next one may last."""
        last = self._last[number]
        self._last[number] = minute
        self._count[number] = min(self._count[number] + 1, HOUR_MINUTES)
        near = minute - last == 1 and minute % _EXACT_MINUTES
        if near:
            self._due[number] += 1
            pause = self._least(number, minute // HOUR_MINUTES)
        else:
            pause = self._expected(number, last, minute)
        age = minute - self._first[number]
        if age > LEARNING_MINUTES:
            pause = min(pause, _HARDLY * self._usual(number, minute))
        if age > WEEK_MINUTES:
            slot = number * _WEEKS + minute // WEEK_MINUTES % _WEEKS
            self._longest[slot] = max(self._longest[slot], pause)
            if pause > _THRESHOLD:
                self._learn_tail(number, pause - _THRESHOLD)
        if not near:
            self._due[number] = self._deadline(number, minute)

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

    def _usual(self, number: int, minute: int) -> float:
        """Return what should have come in the longest pause that is usual."""
        longest = max(self._longest[number * _WEEKS : (number + 1) * _WEEKS])
        tail, known = self._tail[number] or 1.0, self._tails[number]
        variance = self._square[number] / tail**2 - 1 if known else 1.0
        random = min(max((variance - _REGULAR) / (_RANDOM - _REGULAR), 1 - known / _FEW, 0.0), 1.0)
        chance = (self._tail[number] * known + _PRIOR) / (known + _PRIOR)
        week = max(self._gaps[number], self._gaps_before[number])
        many = max(52 * week, _MANY)
        by_chance = random * max(_THRESHOLD + chance * math.log(many), self._further_usual(number, many))
        weeks = min((minute - self._first[number]) / WEEK_MINUTES - 1, 2 / self._weight(number, minute))
        doubt = 1 / (weeks * math.log1p(1 / weeks))  # nothing came: a Poisson count known from so many weeks
        return max(longest * _LONGEST / _USUAL, by_chance * doubt, _LEAST / _USUAL)

    def _further_usual(self, number: int, year: float) -> float:
        """Return the longest pause of a year by those above the second threshold, as far as it is certain."""
        share = self._share[number]
        known = share * self._tails[number]
        if known <= 1:
            return 0.0
        return _FURTHER + self._further[number] * (1 - 1 / math.sqrt(known)) * math.log(max(year * share, 1))

    def _weight(self, number: int, minute: int) -> float:
        """Return that of the last week in an hour's expectation."""
        least, most = _LAST_WEEK
        signs = max(self._gaps[number], self._gaps_before[number])
        weeks = (minute - self._first[number]) // WEEK_MINUTES + 1
        return max(min(signs / _SIGNS, most), least, 1 / weeks)

    def _deadline(self, number: int, minute: int) -> int:
        if minute - self._first[number] < LEARNING_MINUTES:
            return minute + _FAR_MINUTES
        return self._reach(number, minute, _USUAL * self._usual(number, minute))

    def _reach(self, number: int, minute: int, pause: float) -> int:
        """Return when so much should have come since a minute, ten weeks at most."""
        rate, shifts = self._measure(number)
        return max(_reached(partial(rate, number), minute + shift, pause) - shift for shift in shifts)

    def _expected(self, number: int, start: int, end: int) -> float:
        """Return in how many minutes something should have come."""
        rate, shifts = self._measure(number)
        end = min(end, start + _FAR_MINUTES)
        return min(_came(partial(rate, number), start + shift, end + shift) for shift in shifts)

    def _measure(self, number: int) -> tuple[Callable[[int, int], float], tuple[int, ...]]:
        """Return what is expected by number and hour, and by which clocks."""
        if self._common[number] > max(_COMMON * self._all[number], _OFTEN):
            return self._least, _SHIFTS[:1]
        return self._rate, _SHIFTS

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
            if forgotten and minute < self._due[number] < minute + _FAR_MINUTES:
                # whoever is silent already is measured by what is usual now
                self._due[number] = min(self._due[number], self._deadline(number, self._last[number]))
        self._gaps_before, self._gaps = self._gaps, array("L", bytes(self._gaps.itemsize * len(self._gaps)))


def _reached(rate: Callable[[int], float], at: int, pause: float) -> int:
    hour, end = at // HOUR_MINUTES, at + _FAR_MINUTES
    while at < end:
        a_minute = rate(hour)
        whole = (hour + 1) * HOUR_MINUTES - at
        if a_minute * whole >= pause:
            return at + math.ceil(pause / a_minute)
        pause -= a_minute * whole
        at, hour = at + whole, hour + 1
    return end


def _came(rate: Callable[[int], float], start: int, end: int) -> float:
    found = 0.0
    while start < end:
        hour = start // HOUR_MINUTES
        stop = min((hour + 1) * HOUR_MINUTES, end)
        found += (stop - start) * rate(hour)
        start = stop
    return found
