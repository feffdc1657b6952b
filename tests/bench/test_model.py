"""The capacity model and the simulation that checks it."""

import math

import pytest

from tests.bench.model import IN_FLIGHT, SCALES, Assumed, Figures, Load, Scale, answer, figures, load
from tests.bench.simulation import ROOM, simulate

ONE = Figures(events_per_second=1_500_000, objects_per_second=300, peak_mib=280, sqs_calls=0.2)
GIVEN = Assumed()
TOLERANCE = 0.1
"""Within which model and simulation shall agree; the page says the same."""


@pytest.mark.parametrize("scale", SCALES, ids=lambda scale: scale.name)
def test_simulation_and_model_agree(scale):
    """Busy cores, messages in flight and objects done are those of the model, within a tenth."""
    said = answer(scale, ONE)
    seconds = min(2_000.0, 20_000 / said.load.objects)
    seen = simulate(said.load, said.processes, GIVEN, seconds)
    assert seen.busy == pytest.approx(said.load.objects * said.load.service / said.processes, rel=TOLERANCE)
    assert seen.in_flight == pytest.approx(said.in_flight, rel=TOLERANCE)
    assert seen.done == pytest.approx(said.load.objects, rel=TOLERANCE)


def test_too_few_processes_leave_a_backlog_and_not_more_in_flight():
    """Above its capacity a cluster does what it can, and what it cannot hold stays in the queue."""
    of = Load(events=0, objects=400, service=0.01)
    seen = simulate(of, 2, GIVEN, 60)
    assert seen.done == pytest.approx(2 / of.service, rel=TOLERANCE)
    assert seen.most_in_flight <= 2 * ROOM
    assert seen.left == pytest.approx((400 - 200) * 60, rel=0.25)


def test_the_same_seed_plays_the_same():
    """A simulation can be repeated."""
    of = Load(0, 50, 0.01)
    assert simulate(of, 1, GIVEN, 20, seed=3) == simulate(of, 1, GIVEN, 20, seed=3)
    assert simulate(of, 1, GIVEN, 20, seed=3) != simulate(of, 1, GIVEN, 20, seed=4)


def test_ten_times_the_load_needs_at_most_ten_times_of_everything():
    """Nothing in the model grows faster than the load."""
    small, large = answer(Scale("a", 10), ONE), answer(Scale("b", 100), ONE)
    for name in ("processes", "connections", "memory_gib", "aws_usd", "compute_usd", "traffic_usd"):
        assert getattr(large, name) <= 10 * getattr(small, name) * 1.001


@pytest.mark.parametrize("scale", SCALES, ids=lambda scale: scale.name)
def test_replicas_do_the_work_without_one(scale):
    """One may be lost in the busiest hour; what is in flight anyway asks for no further one."""
    said = answer(scale, ONE)
    busy = said.load.objects * said.load.service / (said.most - 1)
    assert busy <= GIVEN.spare
    assert 2 <= said.fewest <= said.most
    assert said.in_flight / said.per_replica <= said.most - 1


def test_more_accounts_cost_objects_not_events():
    """Accounts add small objects: more requests and money, the same events."""
    few, many = load(Scale("a", 1), GIVEN, ONE), load(Scale("b", 1, accounts=1_000), GIVEN, ONE)
    assert many.events == few.events
    assert many.objects == pytest.approx(few.objects + 999 * 4 / 300 * GIVEN.busy)


def test_a_long_epoch_asks_for_more_queues():
    """Messages are in flight for half an epoch, so an hour of it fills a queue's limit."""
    said = answer(Scale("a", 100), ONE, Assumed(epoch=7_200))
    assert said.in_flight > IN_FLIGHT
    assert said.queues == math.ceil(said.in_flight / (IN_FLIGHT * GIVEN.spare))
    assert said.first_limit.startswith("SQS FIFO")


def test_figures_are_the_lower_of_cpu_and_wall():
    """A process is planned with what it reaches on the clock, not with what its CPU alone would allow."""
    names = {"vpc": 3e6, "live-large": 2e6, "live-small": 300, "sqs-calls": 0.2, "peak": 250}
    assert figures({name: {"measured": value} for name, value in names.items()}) == Figures(
        2e6, 300, 250, 0.2
    )
