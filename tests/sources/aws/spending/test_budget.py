"""A month of virtual time under a budget: it is kept, nothing protected waits, and what can wait does."""

import heapq
from itertools import count, pairwise

import pytest

from sources.aws.spending.book import SpendingBook
from sources.aws.spending.budget import FREE, BudgetGate, Month, MonthlyBudget
from sources.threads import Payer

DAY = 86_400
NOV, DEC, JAN = 1_793_491_200, 1_796_083_200, 1_798_761_600
"""Midnight of the first days, UTC, 2026 and 2027."""

GUARDED, METRICS, FLOW = (Payer(name, "aws", name) for name in ("guarded", "metrics", "flow"))


class World:
    """Services that poll on a virtual clock; each poll costs so much. sent: whom → moments of polls."""

    def __init__(self, mode, usd, *, start=NOV, last=()):
        self.now = float(start)
        self.book = SpendingBook({"a:1": 1.0}.get, lambda: self.now)
        self.budget = MonthlyBudget(
            "inputs.aws", usd, mode, 0, lambda _: True, lambda payer: payer == GUARDED, last, self.book
        )
        self.gates = {GUARDED: FREE}
        self.polls: dict[tuple[Payer, str], list[float]] = {}
        self.late = 0.0
        self.worst = 0.0

    def run(self, until, *targets):
        """Let targets (payer, key, period, cost) poll until a moment."""
        numbers = count()
        due = [(self.now, next(numbers), one) for one in targets]
        while due[0][0] < until:
            self.now, _, one = heapq.heappop(due)
            payer, key, period, cost = one
            gate = self.gates.setdefault(payer, BudgetGate((self.budget,)))
            pause = gate.pause(key)
            if not pause:
                before = gate.began()
                self.book.add(payer, "a:1", 1, cost)
                gate.polled(key, before)
                self.polls.setdefault((payer, key), []).append(self.now)
                self.worst = max(self.worst, sum(self.budget.spent()) / self.budget.usd)
            heapq.heappush(due, (self.now + (pause or period), next(numbers), one))
        self.now = until

    def every(self, payer, key):
        times = self.polls.get((payer, key), [])
        return [round(after - before) for before, after in pairwise(times)]


TARGETS = (
    (GUARDED, "eu/", 900, 2),
    (METRICS, "eu/", 300, 3),
    (METRICS, "us/", 300, 3),
    (FLOW, "", 1200, 4),
)
"""A month costs 2880·2 + 2·8640·3 + 2160·4 = 66,240."""


@pytest.mark.parametrize("mode", ["slow", "stop"])
@pytest.mark.parametrize("start", [NOV, NOV + 11 * DAY + 4321])
def test_three_times_the_budget(mode, start):
    """A month at three times the allowed cost: at most 102 % is spent, protected polls are on time."""
    whole = 66_240 * (DEC - start) / (DEC - NOV)
    world = World(mode, whole / 3, start=start)
    world.run(DEC - 1, *TARGETS)
    assert sum(world.budget.spent()) / world.budget.usd >= 0.9 or mode == "stop"
    assert world.worst <= 1.02
    assert set(world.every(GUARDED, "eu/")) == {900}
    assert world.budget.state()["state"] == {"slow": "slowed", "stop": "stopped"}[mode]
    seen = {
        payer: sum(len(p) for (who, _), p in world.polls.items() if who == payer)
        for payer in (GUARDED, METRICS, FLOW)
    }
    assert {key.payer: row.calls for key, row in world.book.rows().items()} == seen


def test_slow_is_spread_over_the_month():
    """What is slowed is polled to the end, each target in its turn: nothing rests for a day."""
    world = World("slow", 22_080)
    world.run(DEC, *TARGETS)
    assert max(world.every(METRICS, "eu/") + world.every(FLOW, "")) < DAY
    half = [at for at in world.polls[METRICS, "us/"] if at < NOV + 15 * DAY]
    assert 0.4 < len(half) / len(world.polls[METRICS, "us/"]) < 0.65
    seen = [len(world.polls[one]) for one in ((METRICS, "eu/"), (METRICS, "us/"), (FLOW, ""))]
    assert min(seen) > 0.8 * max(seen)


def test_the_month_turns():
    """With a new month work goes on as before, under `stop` too; it is told."""
    world = World("stop", 22_080)
    world.run(DEC, *TARGETS)
    last = world.polls[METRICS, "eu/"][-1]
    assert last < DEC - 5 * DAY
    world.run(DEC + DAY, *TARGETS)
    after = [at for at in world.polls[METRICS, "eu/"] if at >= DEC]
    assert after[0] - DEC < 300
    assert len(after) == 288


def test_within_the_budget_nothing_waits():
    """A budget that is not used up changes nothing, catching up included."""
    world = World("slow", 70_000)
    world.run(DEC, *TARGETS)
    assert set(world.every(METRICS, "eu/")) == {300}
    assert world.budget.state()["state"] == "kept"


def test_a_warning_changes_nothing():
    """`warn` lets all go on, and says that the budget will be exceeded as soon as that is likely."""
    world = World("warn", 22_080)
    world.run(NOV + DAY - 1, *TARGETS)
    assert world.budget.state()["state"] == "kept"
    world.run(NOV + 2 * DAY, *TARGETS)
    found = world.budget.state()
    assert found["state"] == "exceeded"
    assert found["forecast_usd"] == pytest.approx(66_240, rel=0.05)
    assert set(world.every(METRICS, "eu/")) <= {300, 299}


def test_last_comes_last():
    """What is declared to come last waits while others use up what there is."""
    world = World("slow", 22_080, last=["/debug*"])
    world.run(NOV + 10 * DAY, *TARGETS, (METRICS, "eu/" + "/debug-1", 300, 3))
    assert len(world.polls.get((METRICS, "eu//debug-1"), [])) < len(world.polls[METRICS, "us/"]) / 100
    rich = World("slow", 100_000, last=["/debug*"])
    rich.run(NOV + 10 * DAY, *TARGETS, (METRICS, "eu/" + "/debug-1", 300, 3))
    assert len(rich.polls[METRICS, "eu//debug-1"]) > 0.9 * len(rich.polls[METRICS, "us/"])


def test_a_service_may_come_last():
    """A service that is declared to come last waits like a target that is."""
    world = World("slow", 22_080, last=["metrics-of-*"])
    world.gates[METRICS] = BudgetGate((world.budget,), "metrics-of-queues")
    world.gates[FLOW] = BudgetGate((world.budget,), "flow")
    greedy = (FLOW, "x", 300, 4)
    world.run(NOV + 20 * DAY, *TARGETS, greedy)
    assert len(world.polls.get((METRICS, "us/"), [])) < len(world.polls[FLOW, "x"]) / 50


@pytest.mark.parametrize("mode", ["slow", "stop"])
def test_a_dear_poll_does_not_rest_for_ever(mode):
    """A poll that has cost more than a month may (it caught up) is forgotten when the month turns."""
    world = World(mode, 100, start=NOV + 9 * DAY)
    world.run(NOV + 9 * DAY + 1, (METRICS, "eu/", 300, 120))
    world.run(DEC, (METRICS, "eu/", 300, 1))
    rested = world.every(METRICS, "eu/")
    assert len(rested) == (2 if mode == "slow" else 0)
    world.run(JAN, (METRICS, "eu/", 300, 1))
    assert sum(at >= DEC for at in world.polls[METRICS, "eu/"]) == 100
    assert world.worst <= 1.22


def test_half_a_month_waits_for_the_line_only():
    """What has cost half of the room at once goes on at the middle of the month, not at its end."""
    world = World("slow", 100)
    world.run(NOV + 1, (METRICS, "eu/", 300, 50))
    world.run(DEC, (METRICS, "eu/", 300, 0.01))
    assert world.polls[METRICS, "eu/"][1] <= NOV + 15 * DAY + 300


@pytest.mark.parametrize(("last", "least"), [([], 3), (["eu*", ""], 0)])
def test_slow_always_polls_again(last, least):
    """Where protected services need all of it each target has a poll in ten days, unless it comes last."""
    world = World("slow", 5760, last=last)
    world.gates[METRICS] = BudgetGate((world.budget,), "eu")
    world.run(NOV + DAY, (GUARDED, "eu/", 900, 2))
    for month, turn in ((NOV, DEC), (DEC, JAN)):
        world.run(turn, (GUARDED, "eu/", 900, 2.1), (METRICS, "eu/", 300, 3))
        polls = [at for at in world.polls.get((METRICS, "eu/"), ()) if month <= at < turn]
        assert (len(polls) >= least - (month == NOV)) if least else len(polls) < 60
    assert world.polls.keys() >= {(GUARDED, "eu/")}
    assert FREE.begun == {}


def test_bytes_cost_where_they_leave_aws():
    """With `usd_per_gb` what replies held is spent too."""
    world = World("slow", 10)
    world.budget.usd_per_gb = 0.09
    world.book.add(METRICS, "a:1", 1, 2, 10**11)
    assert world.budget.spent() == (0, 11.0)
    assert BudgetGate((world.budget,)).pause() == 300


def test_a_month_knows_its_length():
    """Months are those of UTC, leap years and turns of the year included."""
    assert Month.of(DEC - 1) == Month(NOV, DEC, DEC - 1)
    assert Month.of(DEC).end == JAN
    assert Month.of(1_835_395_200).end - Month.of(1_835_395_200).start == 29 * DAY  # February 2028


def test_changes_are_told_once(caplog):
    """The log has a line when something begins to wait, and one when the budget is kept again."""
    caplog.set_level("INFO", "collector")
    world = World("slow", 22_080)
    for day in range(1, 6):
        world.run(NOV + day * DAY, *TARGETS)
        world.budget.tell()
    world.now = DEC + 1.0
    world.budget.tell()
    told = [record.fields["state"] for record in caplog.records if record.event == "budget_changed"]
    assert told == ["slowed", "kept"]
