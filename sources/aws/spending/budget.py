"""How long work waits so that a month costs no more than it may.

What protected services (audit events, findings) will have cost by the end of the month is set aside; the rest
is for the others. Under `slow` they may have spent, at each moment, as much of it as of the month has passed,
and a day's part more: whoever is ahead of that line polls later, and reads more at a time; who has waited
longest is the next. Under `stop` they go on as they like until the rest is spent. What is declared to come
last has not that day.

A poll is begun when what its target's last one of this month has cost still fits, so no poll overspends but
the first of a target. Under `slow` what would rest until the month turns is polled once in ten days all the
same, as CloudWatch keeps points of a minute for fifteen days; what is to come last is not.
"""

import calendar
import time
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

from msgspec import Struct, field

from sources.aws.spending import telemetry
from sources.aws.spending.book import SpendingBook, Spent, month_of
from sources.threads import Payer

WARN, SLOW, STOP = "warn", "slow", "stop"
KEPT = "kept"
BUDGET_STATES = (KEPT, "exceeded", "slowed", "stopped")
"""Where a budget may stand. exceeded: it is, or will be by the end of the month, and nothing waits for it."""

_DAY = 86_400.0
_LEAST_ELAPSED = 3600.0
"""A forecast from less than an hour says nothing."""

_LONGEST_PAUSE = 300.0
"""After so long it is looked again: others may have spent, or the clock may have been set."""

_PART_DAYS, _PARTS = 10, 3
"""Under `slow` a target is polled in each part of a month."""

_GB = 1_000_000_000


class Month(Struct, frozen=True):
    """The month of a moment, in UTC. start, end, now: epoch seconds."""

    start: float
    end: float
    now: float

    @classmethod
    def of(cls, now: float) -> "Month":
        """Return the month that a moment is in."""
        year, month, *_ = time.gmtime(now)
        start = calendar.timegm((year, month, 1, 0, 0, 0))
        return cls(start, start + calendar.monthrange(year, month)[1] * _DAY, now)

    @property
    def part(self) -> tuple[float, int]:
        """Return which part of which month it is."""
        return self.start, min(int((self.now - self.start) / (_PART_DAYS * _DAY)), _PARTS - 1)

    def forecast(self, spent: float, since: float) -> float:
        """Return what will be spent by the end, going on as since `since`."""
        elapsed = max(self.now - max(since, self.start), _LEAST_ELAPSED)
        return spent + spent / elapsed * (self.end - self.now)


class MonthlyBudget(Struct):
    """What an input, or a service of it, may cost.

    name: where it stands in the configuration. usd: a month. mode: `warn`, `slow` or `stop`. usd_per_gb: what
    replies cost besides. covers: whose bills are paid of it. protected: of those, who never waits. last:
    patterns of log groups and namespaces that come last.
    """

    name: str
    usd: float
    mode: str
    usd_per_gb: float
    covers: Callable[[Payer], bool]
    protected: Callable[[Payer], bool]
    last: Sequence[str]
    book: SpendingBook
    held: float = float("-inf")
    told: str = KEPT

    def cost(self, spent: Spent) -> float:
        """Return what was spent, in USD."""
        return spent.usd + spent.size / _GB * self.usd_per_gb

    def spent(self) -> tuple[float, float]:
        """Return what protected services have cost this month, and what the others have."""
        sums = [0.0, 0.0]
        for payer, spent in self.book.spent().items():
            if self.covers(payer):
                sums[not self.protected(payer)] += self.cost(spent)
        return sums[0], sums[1]

    def pause(self, cost: Spent, begun: float, *, last: bool) -> float:
        """Return the seconds until work of that cost may begin, 0 = now. begun: when it last was, epoch s."""
        if self.mode == WARN:
            return 0.0
        month, since = Month.of(self.book.clock()), self.book.since()
        protected, spent = self.spent()
        room = max(self.usd - month.forecast(protected, since), 0.0)
        wanted, length = self.cost(cost), month.end - month.start
        if not room or spent + wanted > room:
            rested = self.mode == SLOW and not last and Month.of(begun).part != month.part
            due = month.now if rested else month.end
        elif self.mode == STOP:
            due = month.now
        else:  # what costs more than a day's part waits for the line only, or it would never come
            share = (spent + min(wanted, room * _DAY / length)) / room
            due = month.start + share * length - (0.0 if last else _DAY + min(month.now - begun, _DAY))
        pause = max(due - month.now, 0.0)
        if pause:
            self.held = month.now
        return pause

    def state(self) -> dict[str, Any]:
        """Return where it stands, as plain data."""
        month = Month.of(self.book.clock())
        spent = sum(self.spent())
        forecast = month.forecast(spent, self.book.since())
        held = self.held >= max(month.start, month.now - _DAY)
        over = spent >= self.usd or (forecast > self.usd and month.now - self.book.since() >= _DAY)
        state = BUDGET_STATES[(3 if self.mode == STOP else 2) if held else over]
        return {
            "name": self.name,
            "usd_per_month": self.usd,
            "on_exceed": self.mode,
            "spent_usd": round(spent, 4),
            "forecast_usd": round(forecast, 2),
            "state": state,
        }

    def tell(self) -> str:
        """Show where it stands in metrics, and log what has changed; for one thread. Returns it."""
        found = self.state()
        state, spent, forecast = found["state"], found["spent_usd"], found["forecast_usd"]
        telemetry.budget(self.name, self.usd, spent, forecast)
        if state != self.told:
            self.told = state
            telemetry.budget_changed(self.name, state, self.usd, spent, forecast)
        return self.told


class BudgetGate(Struct, frozen=True):
    """What a service asks before it asks AWS: may it begin, and when else. One for each, for all threads.

    name: the service's key, which may be declared to come last, as its targets may. costs: target → what its
    last poll has cost. begun: target → when that was, epoch seconds.
    """

    budgets: Sequence[MonthlyBudget] = ()
    name: str = ""
    costs: dict[str, Spent] = field(default_factory=dict)
    begun: dict[str, float] = field(default_factory=dict)

    def pause(self, target: str = "") -> float:
        """Return the seconds until a target may be polled, at most five minutes; 0 = now."""
        if not self.budgets:
            return 0.0
        now = self.budgets[0].book.clock()
        begun = self.begun.setdefault(target, now)
        if month_of(begun) != month_of(now):
            self.costs.pop(target, None)
        cost, fits = self.costs.get(target, Spent()), partial(_fits, service=self.name, target=target)
        pause = max(one.pause(cost, begun, last=fits(one.last)) for one in self.budgets)
        if not pause:
            self.begun[target] = now
        return min(pause, _LONGEST_PAUSE)

    def began(self) -> Spent:
        """Return what `polled` needs to know afterwards."""
        return self.budgets[0].book.of_thread() if self.budgets else Spent()

    def polled(self, target: str, before: Spent) -> None:
        """Note what a poll by this thread has cost: the next one of the target will cost as much."""
        if self.budgets:
            now = self.budgets[0].book.of_thread()
            self.costs[target] = Spent(now.usd - before.usd, now.size - before.size)


FREE = BudgetGate()
"""Of what has no budget, and of protected services: it never waits."""


def _fits(patterns: Sequence[str], service: str, target: str) -> bool:
    """Tell whether a service, or what follows a target's region, is one of those; `*` stands for anything."""
    names = {service, target.partition("/")[2]} - {""}
    return any(fnmatchcase(name, pattern) for pattern in patterns for name in names)
