"""Figures by service, input and region."""

import threading

import pytest
from prometheus_client import REGISTRY

from sources import metric_scopes
from sources.errors import Denied
from sources.metric_scopes import Counted, ScopeOwner
from transforms.block import Block, Origin, Poison
from transforms.telemetry import listen, unlisten

HERE = metric_scopes.place("places-test", ScopeOwner("one", "key"), "eu-west-1")
ERROR = Denied("a", "b", "c")


def value(name, where=HERE):
    return REGISTRY.get_sample_value(f"collector_{name}", where._asdict())


@pytest.fixture
def heard():
    told = []

    def listener(event, fields):
        told.append((event, fields))

    listen(listener)
    yield told
    unlisten(listener)


def block(count):
    return Block(b"x\n" * count, count, Origin("places-test"))


def test_events_are_counted_by_region():
    """Blocks of several regions in one batch are each counted in their own; poison is no event."""
    there = HERE._replace(region="us-east-1")
    before = [value("source_events_total", where) or 0 for where in (HERE, there)]
    lots = [
        ("eu-west-1", [block(3)]),
        ("us-east-1", [block(5)]),
        ("eu-west-1", [block(4), Poison("r", "d", block(1).origin)]),
    ]
    metric_scopes.emitted("places-test", ScopeOwner("one", "key"), lots)
    after = [value("source_events_total", where) for where in (HERE, there)]
    assert [now - then for now, then in zip(after, before, strict=True)] == [7, 5]


def test_each_turn_of_a_limiter_is_a_request():
    """A limiter that counts lets everything through, and nothing once the process drains."""
    drain, limiter = threading.Event(), Counted(HERE)
    before = value("requests_total") or 0
    assert limiter.wait(drain)
    assert limiter.reserve() == 0
    drain.set()
    assert not limiter.wait(drain)
    assert value("requests_total") == before + 3


def test_a_failing_place_is_shown_until_all_of_it_works(heard):
    """The number of failing targets is a figure; listeners hear the error, and that the last one is well."""
    metric_scopes.failing(HERE, ERROR, 2)
    assert value("targets_failing") == 2
    metric_scopes.well(HERE, 1)
    assert value("targets_failing") == 1
    metric_scopes.well(HERE)
    assert value("targets_failing") == 0
    assert [event for event, _ in heard] == ["place_failed", "place_recovered"]
    assert heard[0][1] == {"place": HERE, "error": ERROR, "again": 0.0}


@pytest.mark.parametrize(
    ("event", "name"),
    [(metric_scopes.read_up_to, "read_up_to_timestamp_seconds"), (metric_scopes.held, "leases_held")],
)
def test_what_is_shown_is_the_last(event, name):
    """A figure that goes up and down shows what was told last."""
    for number in (7, 3):
        event(HERE, number)
    assert value(name) == 3
