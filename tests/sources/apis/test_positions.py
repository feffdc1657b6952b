"""Positions: what the release before wrote is read, what this one writes is plain data and comes back."""

import json

import pytest

from sources.apis.cloudtrail import LookupPosition
from sources.apis.cloudwatch_logs import LogsPosition
from sources.apis.guardduty import FindingsPosition
from sources.apis.metric_windows import MetricsPosition
from sources.apis.poll import restored, stored
from sources.apis.window import Window
from sources.errors import SourceError

OLD = {
    LookupPosition: {"v": 1, "from": 1, "done": 9, "seen": {"a": 8}, "window": [7, 12], "upto": 10},
    LogsPosition: {
        "v": 1, "asked": None, "from": 1, "done": 9, "back": 4, "span": 60_000, "seen": {"a": 8},
        "window": [5, 12], "more": [{"b": 9}, {"c": 10}],
    },
    MetricsPosition: {
        "v": 1, "period": 300, "from": 0, "done": 600_000, "start": 300_000, "seen": {"a": 300_000},
        "listed": 5, "known": ["m"], "window": [300_000, 900_000], "more": [{"b": 600_000}],
    },
    FindingsPosition: {"v": 1, "from": 1, "at": 9, "seen": {"f": 9}},
}  # fmt: skip
"""Kind → a state in mid-window as the release before wrote it."""

each = pytest.mark.parametrize("kind", OLD, ids=lambda kind: kind.__name__)


@each
def test_a_state_of_the_release_before_goes_on(kind):
    """A state of version 1 is read with all that it held."""
    found = restored(kind, OLD[kind], "here")
    assert found.seen == OLD[kind]["seen"]
    assert found.first == OLD[kind]["from"]
    if "window" in OLD[kind]:
        assert found.window == Window(*OLD[kind]["window"])
    if kind is LogsPosition:
        assert found.final == 5
        assert found.more == [{"b": 9}, {"c": 10}]


@each
def test_what_is_stored_is_plain_and_comes_back(kind):
    """A stored position survives JSON, bears its version and is the same position again."""
    position = restored(kind, OLD[kind], "here")
    plain = stored(position)
    assert plain["v"] == kind.VERSION
    assert restored(kind, json.loads(json.dumps(plain)), "here") == position


@each
@pytest.mark.parametrize("state", [{"v": 99}, {"v": 2}, {"v": 1}, {"v": 2, "from": "x"}])
def test_what_no_release_wrote_is_refused(kind, state):
    """A state of a later release, or of none, is an error and no fresh start."""
    with pytest.raises(SourceError, match="state of version"):
        restored(kind, state, "here")


@each
def test_never_polled(kind):
    """No state is no position."""
    assert restored(kind, {}, "here") is None
