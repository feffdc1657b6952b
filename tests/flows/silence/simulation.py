"""Accounts and regions in virtual time: daily and weekly rhythm, and silences that were planted.

python -m tests.flows.silence.simulation [SCOPES] [WEEKS]
"""

import heapq
import random
import sys
from dataclasses import dataclass, field

from flows.silence.rhythm import HOUR_MINUTES, WEEK_MINUTES, Rhythms

LEARNED_WEEKS = 5


@dataclass
class Scope:
    """One account's region. kind: how it comes. longest: pause of each of the last five weeks, in minutes."""

    name: str
    kind: str
    every: float
    nights: float
    weekends: float
    chance: random.Random
    longest: dict[int, int] = field(default_factory=dict)

    def share(self, minute: float) -> float:
        """Return its activity at a time of the week, 1 = that of a working day's noon."""
        hour, day = minute // HOUR_MINUTES % 24, minute // (24 * HOUR_MINUTES) % 7
        share = 1.0 if 7 <= hour < 19 else self.nights
        return share * (self.weekends if day >= 5 else 1.0)

    def after(self, minute: float) -> float:
        """Return when something comes next."""
        if (
            self.kind == "steady"
        ):  # as services deliver that write every so many minutes while there is anything
            return minute + self.every * self.chance.uniform(0.8, 1.2)
        if self.kind == "daily":
            return minute + 24 * HOUR_MINUTES + self.chance.uniform(-20, 20)
        while True:  # at random, thinned by the hour
            minute += self.chance.expovariate(1 / self.every)
            if self.chance.random() < self.share(minute):
                return minute


def scopes(count: int, seed: int) -> list[Scope]:
    """Return scopes: a fifth steady, a twentieth once a day, the rest at random, busy to quiet."""
    made = []
    for number in range(count):
        chance = random.Random(seed * 1_000_003 + number)
        kind = "steady" if number % 5 == 0 else "daily" if number % 20 == 1 else "random"
        every = chance.choice((5, 15, 60)) if kind == "steady" else 2 ** chance.uniform(2, 9)
        nights, weekends = chance.choice((1.0, 0.3, 0.05)), chance.choice((1.0, 0.5, 0.05))
        name = f"audits_s3 {100_000_000_000 + number // 4} region-{number % 4}"
        made.append(Scope(name, kind, every, nights, weekends, chance))
    return made


@dataclass
class Simulated:
    """What came of it. late: planted silences that were never told. ratios, raw: see `told`."""

    false_alarms: int = 0
    scope_months: float = 0.0
    planted: int = 0
    told: int = 0
    late: int = 0
    ratios: list[float] = field(default_factory=list)
    raw: list[float] = field(default_factory=list)


def simulate(count: int, weeks: int, seed: int = 1, planted: int = 200) -> Simulated:
    """Learn for five weeks, then watch `weeks` weeks; in the last one some scopes end, one by one."""
    made, rhythms, found = scopes(count, seed), Rhythms(), Simulated()
    chance = random.Random(seed)
    watched, end = LEARNED_WEEKS * WEEK_MINUTES, (LEARNED_WEEKS + weeks) * WEEK_MINUTES
    last_week = end - WEEK_MINUTES
    dying = {
        one.name: chance.uniform(last_week, last_week + WEEK_MINUTES / 2)
        for one in chance.sample(made, min(planted, count // 2))
    }
    ahead = [(one.chance.uniform(0, one.every), number) for number, one in enumerate(made)]
    heapq.heapify(ahead)
    silent_from: dict[str, tuple[int, int]] = {}
    last = [0] * count  # minute in which something came last
    for minute in range(end + 6 * WEEK_MINUTES):
        heard = []
        while ahead and ahead[0][0] < minute + 1:
            at, number = heapq.heappop(ahead)
            one = made[number]
            if at >= dying.get(one.name, float("inf")):
                silent_from[one.name] = rhythms.usual(one.name), max(one.longest.values())
                continue
            heard.append(one.name)
            week = minute // WEEK_MINUTES % LEARNED_WEEKS
            one.longest[week] = max(one.longest.get(week, 0), minute - last[number])
            last[number] = minute
            heapq.heappush(ahead, (one.after(at), number))
        rhythms.hear(dict.fromkeys(heard), minute)
        for name, pause in rhythms.look(minute):
            if name in silent_from:
                found.told += 1
                usual, longest = silent_from.pop(name)
                found.ratios.append(pause / max(usual, 1))
                found.raw.append(pause / max(longest, 1))
            elif watched <= minute < end and minute < dying.get(name, float("inf")):
                found.false_alarms += 1
        if minute >= end:
            if not silent_from:
                break
            ahead.clear()
    found.planted, found.late = len(dying), len(silent_from)
    found.scope_months = count * weeks * 7 / 30.4
    return found


def told(found: Simulated) -> str:
    """Return it as one line."""
    ratios, raw = sorted(found.ratios), sorted(found.raw)
    middle, most = ratios[len(ratios) // 2], ratios[-1]
    really, mostly = raw[len(raw) // 2], raw[len(raw) * 9 // 10]
    return (
        f"{found.planted} planted silences: {found.told} told, after {middle:.2f} (at most {most:.2f}) times "
        f"the pause that is usual at that hour, {really:.2f} (nine in ten {mostly:.2f}) times the longest of "
        f"five weeks; {found.false_alarms} false alarms in {found.scope_months:.0f} scope-months"
    )


if __name__ == "__main__":
    size, long = (int(one) for one in (*sys.argv[1:], *("400", "9")[len(sys.argv) - 1 :]))
    sys.stdout.write(told(simulate(size, long)) + "\n")
