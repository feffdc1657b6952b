"""Accounts and regions in virtual time: daily and weekly rhythm, and silences that were planted.

python -m tests.flows.silence.simulation [SCOPES] [WEEKS] [SEED]

What is usual is reckoned here from how a scope comes in truth, not from what was learned of it: the longest
pause that it has in a year, or of a thousand where it has fewer, by the hours of the week that a pause goes
through, and by both of its clocks where they change, as they do in a year. Of what comes at random that is
the pause in which `log(comings a year)` should have come; of what comes in bursts the same of its bursts; of
what comes regularly the pause with the most delay.
"""

import heapq
import math
import random
import sys
from collections import defaultdict
from dataclasses import dataclass, field, replace

from flows.silence.pauses import HOUR_MINUTES, WEEK_MINUTES
from flows.silence.rhythm import Rhythms

MOST = 2.0
"""Times the usual within which a silence is to be told."""

TOLD_FROM_WEEK = 2
"""Nothing is told of what is younger."""

CLOCKS_CHANGE = (7, 17)
"""Weeks in which half of the accounts' clocks are put back, and forward again."""

DAY_MINUTES = 24 * HOUR_MINUTES
BURST_MINUTES = 32
"""How long a burst lasts on average: 16 events, 2 minutes apart."""


@dataclass
class Scope:
    """One account's region. kind: how it comes. every: minutes between its comings, or bursts, at noon."""

    name: str
    kind: str
    every: float
    nights: float
    weekends: float
    moves: bool
    chance: random.Random
    burst: list[float] = field(default_factory=list)

    def share(self, minute: float) -> float:
        """Return its activity in a minute, 1 = that of a working day's noon."""
        moved = self.moves and CLOCKS_CHANGE[0] <= minute / WEEK_MINUTES < CLOCKS_CHANGE[1]
        return self.activity(minute - HOUR_MINUTES * moved)

    def activity(self, minute: float) -> float:
        """Return the same by its clock."""
        hour, day = minute // HOUR_MINUTES % 24, minute // DAY_MINUTES % 7
        share = 1.0 if 7 <= hour < 19 else self.nights
        return share * (self.weekends if day >= 5 else 1.0)

    def after(self, minute: float) -> float:
        """Return when something comes next."""
        if self.burst:
            return self.burst.pop()
        if self.kind == "daily":
            return minute + DAY_MINUTES + self.chance.uniform(-20, 20)
        while True:  # thinned by the hour
            if self.kind in ("steady", "office"):  # as services write every so many minutes
                minute += self.every * self.chance.uniform(0.8, 1.2)
                share = float(self.kind == "steady" or self.share(minute) == 1)
            else:
                minute += self.chance.expovariate(1 / self.every)
                share = self.share(minute)
            if self.chance.random() < share:
                break
        if self.kind == "bursty":
            times = [minute]
            for _ in range(self.chance.randint(2, 30)):
                times.append(times[-1] + self.chance.expovariate(0.5))
            self.burst = times[:0:-1]
        return minute

    def usual(self, minute: float) -> float:
        """Return the longest pause of a year among those that begin in a minute of the week."""
        clocks = (minute, minute - HOUR_MINUTES) if self.moves else (minute,)
        return max(map(self._usual, clocks))

    def told_in_time(self, start: int, end: int) -> float:
        """Return how many times the usual a silence lasted that was told."""
        return (end - start) / math.ceil(self.usual_within(start, end) + 1)

    def _usual(self, minute: float) -> float:
        if self.kind == "steady":
            return 1.2 * self.every
        if self.kind == "daily":
            return DAY_MINUTES + 40
        if self.kind == "office":
            soon = self._until(minute, 1.2, 1 / self.every)
            if soon <= 2 * self.every:
                return soon
            opens = self._until(minute + 2 * self.every, 1 / self.every, 1 / self.every) + 2 * self.every
            return opens + 1.2 * self.every
        lasts = BURST_MINUTES if self.kind == "bursty" else 0
        shares = [self.activity(hour * HOUR_MINUTES) for hour in range(168)]
        year = 52 * sum(HOUR_MINUTES / (self.every / share + lasts) for share in shares)
        return self._until(minute, math.log(max(year, 1_000)), 0.0)

    def _until(self, minute: float, pause: float, least: float) -> float:
        """Return minutes until so many should have come. least: rate that counts."""
        at = minute
        while pause > 0:
            stop = (at // HOUR_MINUTES + 1) * HOUR_MINUTES
            rate = self.activity(at) / self.every
            rate = rate if rate >= least else 0.0
            if rate * (stop - at) >= pause:
                return at + pause / rate - minute
            pause -= rate * (stop - at)
            at = stop
        return at - minute

    def usual_within(self, start: int, end: int) -> float:
        """Return the longest pause of a year by the hours of a pause: of those that begin in it."""
        hours = range(start + HOUR_MINUTES, min(end, start + WEEK_MINUTES), HOUR_MINUTES)
        return max(map(self.usual, (start, *hours)))


def scopes(count: int, seed: int) -> list[Scope]:
    """Return scopes: a tenth each steady, steady in working hours, and in bursts; a twentieth once a day."""
    kinds = {0: "steady", 10: "steady", 5: "office", 15: "office", 1: "daily", 2: "bursty", 12: "bursty"}
    made = []
    for number in range(count):
        chance = random.Random(seed * 1_000_003 + number)
        kind = kinds.get(number % 20, "random")
        every = 2 ** chance.uniform(2, 9)
        if kind in ("steady", "office"):
            every = chance.choice((5, 15, 60))
        elif kind == "bursty":
            every = 2 ** chance.uniform(5, 9)
        nights, weekends = chance.choice((1.0, 0.3, 0.05)), chance.choice((1.0, 0.5, 0.05))
        if kind == "office":
            nights, weekends = 0.05, chance.choice((1.0, 0.05))
        name = f"audits_s3 {100_000_000_000 + number // 4} region-{number % 4}"
        made.append(Scope(name, kind, every, nights, weekends, chance.random() < 0.5, chance))
    return made


@dataclass
class Simulated:
    """What came of it. late: planted silences that were never told.

    clocks: those beyond twice the usual that are within it if the clocks changed, which nobody can know
    of a scope that is not a year old.
    """

    scope_months: float = 0.0
    planted: int = 0
    told: int = 0
    late: int = 0
    alarms: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    ratios: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    began: list[float] = field(default_factory=list)
    clocks: list[float] = field(default_factory=list)

    @property
    def false_alarms(self) -> int:
        return sum(self.alarms.values())

    @property
    def most(self) -> float:
        return max(ratio for ratios in self.ratios.values() for ratio in ratios)


def simulate(count: int, weeks: int, seed: int = 1, planted: int = 200) -> Simulated:
    """Live some weeks; in the last one some scopes end, one by one."""
    made, rhythms, found = scopes(count, seed), Rhythms(), Simulated()
    named = {one.name: one for one in made}
    chance = random.Random(seed)
    watched, end = TOLD_FROM_WEEK * WEEK_MINUTES, weeks * WEEK_MINUTES
    last_week = end - WEEK_MINUTES
    dying = {
        one.name: chance.uniform(last_week, last_week + WEEK_MINUTES / 2)
        for one in chance.sample(made, min(planted, count // 2))
    }
    ahead = [(one.chance.uniform(0, one.every), number) for number, one in enumerate(made)]
    heapq.heapify(ahead)
    last = [0] * count  # minute in which something came last
    silent_from: dict[str, int] = {}
    for minute in range(end + 12 * WEEK_MINUTES):
        heard = []
        while ahead and ahead[0][0] < minute + 1:
            at, number = heapq.heappop(ahead)
            one = made[number]
            if at >= dying.get(one.name, math.inf):
                silent_from[one.name] = last[number]
                continue
            heard.append(one.name)
            last[number] = minute
            heapq.heappush(ahead, (one.after(at), number))
        rhythms.hear(dict.fromkeys(heard), minute)
        for name, pause in rhythms.look(minute):
            one = named[name]
            if name in silent_from:
                start = silent_from.pop(name)
                found.told += 1
                ratio = one.told_in_time(start, minute)
                if ratio > MOST and replace(one, moves=True).told_in_time(start, minute) <= MOST:
                    found.clocks.append(ratio)
                else:
                    found.ratios[one.kind].append(ratio)
                found.began.append(pause / math.ceil(one.usual(start) + 1))
            elif watched <= minute < min(end, dying.get(name, math.inf)):
                found.alarms[one.kind] += 1
        if minute >= end:
            if not silent_from:
                break
            ahead.clear()
    found.planted, found.late = len(dying), len(silent_from)
    found.scope_months = count * (weeks - TOLD_FROM_WEEK) * 7 / 30.4
    return found


def told(found: Simulated) -> str:
    """Return it as text."""
    kinds = ", ".join(
        f"{kind} {sorted(ratios)[len(ratios) // 2]:.2f} (at most {max(ratios):.2f})"
        for kind, ratios in sorted(found.ratios.items())
    )
    alarms = ", ".join(f"{number} {kind}" for kind, number in sorted(found.alarms.items())) or "none"
    began = sorted(found.began)
    clocks = ", ".join(f"{ratio:.2f}" for ratio in found.clocks) or "none"
    return (
        f"{found.planted} planted silences: {found.told} told, after so many times the longest pause of a "
        f"year at these hours: {kinds}; at the hour in which they began: {began[len(began) // 2]:.2f} (nine "
        f"in ten {began[len(began) * 9 // 10]:.2f}); {found.false_alarms} false alarms ({alarms}) in "
        f"{found.scope_months:.0f} scope-months; beyond twice, but not if clocks were changed: {clocks}"
    )


if __name__ == "__main__":
    size, long, start = (int(one) for one in (*sys.argv[1:], *("400", "20", "1")[len(sys.argv) - 1 :]))
    sys.stdout.write(told(simulate(size, long, start)) + "\n")
