"""Partition keys are forever."""

from sources.lanes import keys, lane_of


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
