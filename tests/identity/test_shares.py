"""Two accounts, several regions, all ten services in one process: everyone runs, and none starves."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from tests.fakes.collector import Collector, Launch, configuration, output
from tests.fakes.fake_aws import server as fake_aws
from tests.fakes.faultproxy import FaultProxy
from tests.fakes.process import wait_until
from tests.identity.shares import (
    MESSAGES,
    OBJECTS,
    POLLED,
    QUEUED,
    Unit,
    World,
    arrived,
    calls,
    longest_waits,
    turns,
)

ACCOUNTS = ("111111111111", "222222222222")
REGIONS = ("us-east-1", "eu-west-1", "ap-south-1")
ROUNDS = 6
"""Polls of every API unit while events go on coming."""

FAMILIES = ((tuple(POLLED), 6), (OBJECTS, 12), (MESSAGES, 12))
"""Services whose turns weigh alike, and the most turns that another one may have between two of one's own.

Six polls are six periods; twelve receives are three rounds of a queue's four receivers.
"""


@pytest.fixture
def fake() -> Iterator[fake_aws.FakeAws]:
    fake_aws.reset()
    with fake_aws.FakeAws() as running:
        yield running


@pytest.fixture
def gate(aws) -> Iterator["Gate"]:
    with FaultProxy(aws.url) as proxy:
        made = Gate(proxy)
        yield made
        made.open.set()


class Gate:
    """Holds every receive back until all queues are asked: then all of them have a backlog at once.

    It lets some sixty a second pass, so that the backlog lasts for some polls of the APIs.
    """

    def __init__(self, proxy: FaultProxy) -> None:
        self.url, self.open = proxy.url, threading.Event()
        self._rule = proxy.add("call", op="sqs.ReceiveMessage", then=self._wait)

    def _wait(self) -> None:
        self.open.wait()
        time.sleep(0.1)

    def open_when(self, asked: int, collector: Collector) -> None:
        """Open it once so many receives wait."""
        wait_until(lambda: self._rule.fired >= asked or not collector.alive, 60, "a receive of each queue")
        self.open.set()


@pytest.mark.parametrize(
    ("regions", "backlog"),
    [
        pytest.param(1, 100, id="2 accounts, 1 region", marks=pytest.mark.timeout(400)),
        pytest.param(3, 160, id="2 accounts, 3 regions", marks=[pytest.mark.full, pytest.mark.timeout(600)]),
    ],
)
def test_every_unit_has_its_share(fake, aws, gate, rsyslog, certs, tmp_path, figures, regions, backlog):
    """Each unit delivers each event once; while all have work, none waits for many turns of another."""
    world = World(aws.url, ACCOUNTS, REGIONS[:regions], int(time.time()) // 60 * 60 - 600)
    world.detect(fake.url)
    world.fill_queues(backlog)
    settings = configuration({}, output(rsyslog.port, certs), tmp_path, debug=True)
    settings["inputs"] = world.inputs()
    collector = Collector(SimpleNamespace(url=fake.url), tmp_path / "collector", settings, Launch("flows"))
    collector.environment = {"AWS_ENDPOINT_URL_SQS": gate.url, "AWS_ENDPOINT_URL_S3": aws.url}
    try:
        world.fill_metrics(ROUNDS)
        world.fill_apis(0, time.time() - 60)
        collector.start()
        log = collector.children[0].log
        gate.open_when(sum(unit.service in QUEUED for unit in world.units), collector)
        for number in range(1, ROUNDS + 1):
            world.fill_apis(number, time.time())
            least = number + 1
            wait_until(
                lambda n=least: fewest_polls(log, world) >= n or not collector.alive, 60, "a poll of all"
            )
        wait_until(lambda: complete(world, rsyslog) or not collector.alive, 240, "every event")
        collector.drain()
    finally:
        collector.kill()
    text, found = log.read_text(), arrived(rsyslog.events())
    assert not world.due - delivered(rsyslog)
    order = turns(text)
    waits = {unit: most for family, _ in FAMILIES for unit, most in longest_waits(order, family).items()}
    had, asked = Counter(order), calls(text, fake_aws.served())
    events = Counter(unit for unit, _ in found.elements())
    figures(table(world, events, had, asked, waits))
    assert events == world.due
    assert set(found.values()) == {1}
    meanwhile = while_queues_have_work(order)
    assert all(meanwhile[unit] for unit in world.units)
    for family, most in FAMILIES:
        members = [unit for unit in world.units if unit.service in family]
        assert min(had[unit] for unit in members) * 3 >= max(had[unit] for unit in members)
        assert max(waits[unit] for unit in members) <= most


def fewest_polls(log, world: World) -> int:
    had = Counter(turns(log.read_text()))
    return min(had[unit] for unit in world.units if unit.service in POLLED)


def while_queues_have_work(order: list[Unit]) -> Counter[Unit]:
    """Return the turns from the first receive that brought something to the last one."""
    places = [place for place, unit in enumerate(order) if unit.service in QUEUED]
    return Counter(order[places[0] : places[-1] + 1])


def complete(world: World, receiver) -> bool:
    return receiver.size() >= world.due.total() and not world.due - delivered(receiver)


def delivered(receiver) -> Counter[Unit]:
    """Return how many different events of each unit have arrived."""
    return Counter(unit for unit, _ in arrived(receiver.events()))


def table(world: World, events, had, asked, waits) -> str:
    """Return a line for each unit: events, turns, calls, and the most turns of another while it waited."""
    head = f"{'service':24} {'account':12} {'region':10} {'events':>6} {'turns':>5} {'calls':>5} {'wait':>4}"
    rows = [
        f"{unit.service:24} {unit.account} {unit.region:10} "
        f"{events[unit]:6} {had[unit]:5} {asked[unit]:5} {waits.get(unit, 0):4}"
        for unit in world.units
    ]
    return "\n".join([head, *rows])


def test_a_starving_unit_would_be_seen():
    """The measure of waiting tells a unit that had to wait from those that took turns."""
    one, other = Unit("logs", "1", "r"), Unit("logs", "2", "r")
    assert longest_waits([one, other] * 5, ["logs"]) == {one: 1, other: 1}
    starved = [one, other, *[other] * 7, one, other, one]
    assert longest_waits(starved, ["logs"])[one] == 8
