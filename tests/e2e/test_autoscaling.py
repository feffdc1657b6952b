"""Replicas on hosts: an autoscaler, kills, cut links and a lost node; a rolling update. Nothing is lost."""

import time
from collections import Counter
from dataclasses import dataclass, field

import pytest

from tests.e2e.pods import Backlog, Deployment, Faults, Ledger, Life, Silences, world_of
from tests.fakes.collector import settle
from tests.fakes.hosts import need_hosts
from tests.fakes.keda import Scaler

_TIMEOUT = 120.0
_QUEUE_LENGTH = 4


@dataclass(frozen=True)
class Plan:
    """seconds: of each phase (little, much, little). most: replicas. kills, cuts: how many; cut: seconds.

    sync, window: of the autoscaler, seconds. evict: see `Deployment`. interval: of receipts. strict: silence
    is asserted.
    """

    seconds: tuple[float, float, float]
    most: int
    kills: int
    cuts: int
    cut: float
    sync: float
    window: float
    evict: float
    interval: int
    strict: bool


SHORT = Plan((3, 12, 8), 5, 3, 1, 6, 1, 5, 8, 2, strict=False)
LONG = Plan((60, 240, 300), 12, 20, 4, 30, 15, 60, 40, 3, strict=True)


def spread(plan: Plan) -> list[tuple[float, str]]:
    """Return when which fault is due: from the time of many replicas on, evenly, kinds in turn."""
    middle = sum(plan.seconds[:2]) - plan.seconds[0]
    first, last = plan.seconds[0] + middle / 4, sum(plan.seconds) - plan.seconds[2] / 4
    every = (last - first) / (plan.kills + plan.cuts)
    evenly = ["kill"] * plan.kills
    for number in range(plan.cuts):
        evenly.insert((number + 1) * len(evenly) // (plan.cuts + 1), "cut")
    due = [(first + every * number, kind) for number, kind in enumerate(evenly)]
    gone = plan.seconds[0] + middle * 0.6
    return sorted([*due, (gone, "for good"), (gone + middle * 0.2, "node")])


@dataclass
class Run:
    """What a run was like. counts: (seconds, replicas) at each change."""

    plan: Plan
    counts: list[tuple[float, int]] = field(default_factory=list)
    messages: int = 0

    @property
    def most(self) -> int:
        """The most replicas that there were."""
        return max((count for _, count in self.counts), default=0)

    def scale(self, pods: Deployment, scaler: Scaler, at: float, messages: int) -> None:
        """Let the autoscaler say how many."""
        pods.wanted = scaler.replicas(pods.wanted, messages, at)
        self.messages = max(self.messages, messages)
        if not self.counts or self.counts[-1][1] != pods.wanted:
            self.counts.append((at, pods.wanted))


def play(plan: Plan, pods: Deployment, feed: Backlog, faults: Faults) -> Run:
    """Play the three phases, the second until there are as many as may be, the third until two are left."""
    run, due = Run(plan), spread(plan)
    scaler = Scaler(_QUEUE_LENGTH, 1, plan.most, plan.window, plan.sync)
    phases = [(0.8, 0.5), (plan.most + 1.0, 5.0), (1.8, 2.0)]
    ends = [sum(plan.seconds[: number + 1]) for number in range(3)]
    began, next_sync = time.monotonic(), 0.0

    def done() -> bool:
        nonlocal next_sync
        at = time.monotonic() - began
        phase = min(sum(end < at for end in ends), 2)
        if run.most < plan.most:  # a busy machine takes longer to get there
            phase = min(phase, 1)
        share, feed.least = phases[phase]
        if phase == 2 and not due and faults.mended:  # nobody holds messages any more that nobody works at
            feed.least = 0.5
        feed.messages = int(share * _QUEUE_LENGTH)
        if at >= next_sync:
            next_sync = at + plan.sync
            run.scale(pods, scaler, at, pods.world.site.waiting())
        if due and at >= due[0][0]:
            kind = due[0][1]
            acts = {
                "kill": faults.kill,
                "cut": lambda: faults.cut(plan.cut),
                "for good": lambda: faults.cut(0),
                "node": faults.node,
            }
            if acts[kind]():
                del due[0]
        faults.mend()
        return at >= ends[-1] and not due and faults.mended and pods.wanted == 2

    pods.until(done, "two replicas are left", sum(plan.seconds) + 2 * _TIMEOUT)
    return run


def told(run: Run, faults: Faults, silences: Silences, sums: "Sums", seconds: float) -> str:
    """Return the table of a run."""
    done = [what for _, what in faults.done]
    kinds = Counter(what.split()[0] for what in done)
    longest, at = max(silences.gaps)
    before = [what for moment, what in faults.done if moment <= at] or ["before any fault"]
    others = ", ".join(f"{gap:.1f}" for gap, _ in sorted(silences.gaps, reverse=True)[1:5])
    path = " → ".join(f"{count} ({at:.0f} s)" for at, count in run.counts)
    return f"""\
replicas over {seconds:.0f} s: {path}
kills -9: {kinds["kill"]}, links cut: {kinds["link"]}, nodes gone: {kinds["host"]}
messages at most: {run.messages}
{sums.table()}
longest silence: {longest:.1f} s (after: {before[-1]}); then {others}"""


@dataclass(frozen=True)
class Sums:
    """sent, repeated: events. lost: of those that were due. bare, leaving: see `Ledger.at_risk`."""

    sent: int
    arrived: int
    lost: int
    repeated: set[int]
    bare: set[int]
    leaving: set[int]

    def table(self) -> str:
        """Return what arrived, and what of it came again."""
        late = self.leaving - self.bare
        return f"""\
events: {self.sent} sent, {self.lost} lost, {self.arrived} arrived, {len(self.repeated)} of them came again
without a receipt at a fault: {len(self.bare)}, of these came again: {len(self.repeated & self.bare)}
with the last receipt before it: {len(late)}, of these came again: {len(self.repeated & late)}
of others came again: {len(self.repeated - self.bare - late)}"""


def sums(ledger: Ledger, lives: list[Life], due: int) -> Sums:
    """Return what became of the events 0 to `due`."""
    risks = ledger.at_risk(lives)
    bare, leaving = (set().union(*one) for one in zip(*risks, strict=True))
    repeated = {event for event, times in ledger.times.items() if times > 1}
    lost = len(set(range(due)) - ledger.times.keys())
    return Sums(due, ledger.times.total(), lost, repeated, bare, leaving)


@pytest.mark.parametrize(
    "plan",
    [pytest.param(SHORT, id="short"), pytest.param(LONG, id="long", marks=pytest.mark.full)],
)
@pytest.mark.timeout(1200)
def test_an_autoscaler_under_faults(stage, figures, plan):
    """From one to many to two by KEDA's formula, under every fault: what comes again had no receipt."""
    need_hosts()
    with world_of(stage, hosts=6) as world, Deployment(world, plan.interval, plan.evict) as pods:
        pods.wanted = 1
        pods.until(pods.ready, "the first is ready")
        ledger, faults = Ledger(world.receiver, world.rows), Faults(pods, seed=24)
        began = time.monotonic()
        feed = Backlog(world.site, world.rows)
        with feed:
            feed.messages = _QUEUE_LENGTH
            world.receiver.wait_for(1, _TIMEOUT)
            with Silences(world.receiver) as silences:
                run = play(plan, pods, feed, faults)
                seconds = time.monotonic() - began
        due = feed.objects * world.rows
        settle(pods.ready()[0], world.receiver, [world.site], due, _TIMEOUT)
        lives = pods.finish()
        ledger.look()
        found = sums(ledger, lives, due)
        figures(told(run, faults, silences, found, seconds))
    assert (found.lost, ledger.torn) == (0, 0)
    assert found.repeated <= found.bare | found.leaving
    assert [run.counts[0][1], run.most, run.counts[-1][1]] == [1, plan.most, 2]
    if plan.strict:
        assert silences.longest <= 5


@pytest.mark.parametrize(
    ("count", "strict"), [(3, False), pytest.param(6, True, marks=pytest.mark.full)], ids=["short", "long"]
)
@pytest.mark.timeout(600)
def test_a_rolling_update(stage, figures, count, strict):
    """All are replaced under load, one more at a time and none less: every event arrives exactly once."""
    need_hosts()
    with world_of(stage, hosts=3) as world, Deployment(world) as pods:
        pods.wanted = count
        pods.until(lambda: len(pods.ready()) == count, "all are ready")
        ledger, feed = Ledger(world.receiver, world.rows), Backlog(world.site, world.rows)
        feed.messages, feed.least = 4 * count, 5.0
        with feed:
            world.receiver.wait_for(1, _TIMEOUT)
            began = time.monotonic()
            with Silences(world.receiver) as silences:
                for old in list(pods.pods):
                    new = pods.add()
                    pods.wanted = count + 1
                    pods.until(lambda new=new: new.ready, "the new one is ready")
                    pods.wanted = count
                    pods.drain(old)
                    pods.until(lambda: len(pods.leaving) < 2, "one at a time")
                pods.until(lambda: not pods.leaving, "all have drained")
            seconds = time.monotonic() - began
        due = feed.objects * world.rows
        settle(pods.ready()[0], world.receiver, [world.site], due, _TIMEOUT)
        pods.finish()
        ledger.look()
    again = ledger.times.total() - len(ledger.times)
    lost = len(set(range(due)) - ledger.times.keys())
    what = f"rolling update of {count} replicas in {seconds:.0f} s under {due / seconds:.0f} events/s"
    figures(f"{what}: lost {lost}, twice {again}, longest silence {silences.longest:.1f} s")
    assert (lost, again, ledger.torn) == (0, 0, 0)
    if strict:
        assert silences.longest <= 2
