"""Partition keys are forever; idle lanes wake rarely and together."""

from datetime import UTC, datetime, timedelta

import pytest

from sources.lanes import awake_after, idle_seconds, keys, lane_of, poll_seconds, switch_seconds


def test_keys_never_change():
    """The recovery store of every installation holds these names."""
    assert keys() == [f"lane-{number}" for number in range(8)]


def test_lane_of_a_target_never_changes():
    """A target's lane is the same in every process and release: its state is kept there."""
    assert [lane_of(target) for target in ("eu-west-1", "eu-west-1/my-group", "")] == [
        "lane-2",
        "lane-4",
        "lane-0",
    ]


@pytest.mark.parametrize("milliseconds", [20, 100, 400, 2000])
def test_lanes_wake_together(milliseconds):
    """Lanes that ask at different times within a pause get the same moment, which is still to come."""
    pause = timedelta(milliseconds=milliseconds)
    asked = datetime.now(UTC)
    moments = [awake_after(pause) for _ in range(20)]
    assert all(asked < moment <= datetime.now(UTC) + pause for moment in moments)
    assert len(set(moments)) <= 2  # a border may have passed between the first and the last


@pytest.mark.parametrize(
    ("services", "idle", "poll", "switch"),
    [
        (1, 0.1, 3, 0.005),
        (25, 0.1, 3, 0.005),
        (100, 0.4, 3, 0.01),
        (300, 1.2, 10, 0.03),
        (1000, 2.0, 10, 0.1),
    ],
)
def test_many_services_are_asked_less_often(services, idle, poll, switch):
    """What idle services cost does not grow with their number beyond a bound."""
    assert switch_seconds(services) == pytest.approx(switch)
    assert idle_seconds(services, 0.1) == pytest.approx(idle)
    assert poll_seconds(services) == poll
