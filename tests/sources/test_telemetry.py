"""Named events of the sources that add something up, or keep quiet about what was told already."""

import pytest
from prometheus_client import REGISTRY

from sources import telemetry
from sources.errors import Denied, Throttled
from sources.metric_scopes import NOBODY, place
from sources.telemetry import FailureStreak

STATISTICS, HERE, THERE = (place(name, NOBODY, "eu-west-1") for name in ("statistics", "s", "t"))
ONCE = FailureStreak(1, 60)


@pytest.fixture
def said(caplog):
    """Return what was said at INFO or louder: event and fields."""
    caplog.set_level("INFO", "collector")
    return lambda: [(one.levelname, one.event, one.fields) for one in caplog.records]


def test_pull_totals_add_up(said):
    """What a service has pulled, left out and failed at is one line; what never happened is not in it."""
    telemetry.polled(STATISTICS, "eu-west-1", "123456789012", 5, 1)
    telemetry.polled(STATISTICS, "us-east-1", "123456789012", 7, 2)
    telemetry.events_dropped("statistics", "keep_one_in", 3)
    telemetry.events_dropped("statistics", "drop_event_names", 4)
    for _ in range(2):
        telemetry.poll_failed(STATISTICS, "eu-west-1", Throttled("a", "b", "c"), ONCE)
    telemetry.poll_failed(STATISTICS, "eu-west-1", Denied("a", "b", "c"), FailureStreak(2))
    for _ in range(2):
        telemetry.lane_joined("statistics", NOBODY, 1)
    telemetry.lane_joined("statistics", NOBODY, 2)
    telemetry.lane_left("statistics", 1)
    telemetry.lane_left("statistics", 0)
    assert said() == [], "an input still pulls"
    telemetry.lane_left("statistics", 0)
    expected = {"service": "statistics", "polls": 2, "failures": 3, "dropped": 7}
    assert said() == [("INFO", "pull_totals", expected)]


def test_a_shared_cause_is_told_once_and_recovers_quietly(said):
    """Of three targets with one cause one is heard, when it fails and when it works again."""
    error = Denied("a", "b", "c", cause="x:Y for me")
    for target in ("one", "two", "three"):
        telemetry.poll_failed(HERE, target, error, ONCE)
    for target in ("three", "one", "two"):
        telemetry.poll_recovered(HERE, target, error.cause)
    assert [(event, fields["target"]) for _, event, fields in said()] == [
        ("poll_failed", "one"),
        ("poll_recovered", "one"),
    ]


def test_causes_are_shared_by_all_kinds_of_work(said):
    """A refused identity that stops polls, receives, objects, heartbeats and deletions is told by one."""
    error = Denied("a", "b", "c", cause="input in, credentials")
    telemetry.receive_failed(HERE, "queue q", error, 60, 1)
    telemetry.poll_failed(THERE, "eu-west-1", error, ONCE)
    telemetry.fetch_failed(HERE, "denied", error, 60, 1)
    telemetry.extend_failed("s", "q", error)
    telemetry.settle_failed("s", "q", 3, error)
    assert [event for _, event, _ in said()] == ["receive_failed"]


def test_r20_lateness_near_the_reach_warns_once_and_is_counted(said):
    """An event that came at more than 80 % of the reach warns once an hour; all are in the histogram."""
    counts = {"10": 3, "+Inf": 4}
    for _ in range(2):
        telemetry.read_late(HERE, "late-target", counts, 1_000, 1_200)
    telemetry.read_late(HERE, "early-target", counts, 900, 1_200)
    assert [(level, event, fields["target"]) for level, event, fields in said()] == [
        ("WARNING", "lateness_near_reach", "late-target")
    ]
    name = "collector_events_by_lateness_total"
    assert REGISTRY.get_sample_value(name, {**HERE._asdict(), "le": "+Inf"}) == 12
