"""What named events make of an output and a place."""

import pytest

from flows.status.event_status import EventStatus
from sinks.errors import ConnectFailed
from sources.errors import SourceError
from tests.flows.status.acting import DENIED, LOGS, REFUSED
from transforms.telemetry import listen, say, unlisten


@pytest.fixture
def status():
    made = EventStatus(clock=lambda: 5.0)
    made.hear(
        "output_declared", {"output": "devo", "type": "syslog", "strength": "receipt", "required": True}
    )
    return made


def retried(status):
    status.hear("delivery_retried", {"output": "devo", "error": REFUSED, "pause": 2.0, "events": 3})


STORIES = [
    ([], False),
    (["connection_opened"], True),
    (["connection_opened", "output_blocked"], False),
    (["connection_opened", "output_blocked", "output_recovered"], True),
    (["connection_opened", "delivery_refused"], False),
    (["connection_opened", "delivery_refused", "receipt_taken"], True),
    (["output_blocked"], False),
]


@pytest.mark.parametrize(("story", "ready"), STORIES, ids=str)
def test_ready_is_reached_and_not_down(status, story, ready):
    """An output is ready once it was reached, unless it takes nothing or refuses us at present."""
    for event in story:
        status.hear(event, {"output": "devo"})
    assert status.unready() == ([] if ready else ["devo"])


@pytest.mark.parametrize(("required", "strength"), [(False, "receipt"), (True, "written")])
def test_what_need_not_be_reached_is_ready(required, strength):
    """An output that is not required, and one that is a file, never keep the collector unready."""
    status = EventStatus()
    told = {"output": "o", "type": "file", "strength": strength, "required": required}
    status.hear("output_declared", told)
    assert status.unready() == []


def test_an_error_stays_until_it_is_over(status):
    """The last error is kept with its code and hint, and marked as over by the next receipt."""
    retried(status)
    failure = status.output("devo").failure
    assert (failure.code, failure.what, failure.hint) == (REFUSED.code(), REFUSED.what, REFUSED.hint)
    assert not failure.over
    status.hear("receipt_taken", {"output": "devo", "strength": "kernel"})
    assert status.output("devo").failure.over
    assert status.output("devo").strength == "kernel"


def test_signs_of_life_are_passed_on():
    """Each attempt tells how long the output rests, each wait and each receipt that it lives."""
    beats = []
    status = EventStatus(beats.append)
    retried(status)
    status.hear("delivery_waited", {"output": "devo"})
    status.hear("receipt_taken", {"output": "devo", "strength": "receipt"})
    assert beats == [2.0, 0.0, 0.0]


def test_a_place_fails_and_recovers(status):
    """A place's error is kept, and marked as over when the place works again."""
    status.hear("place_failed", {"place": LOGS, "error": DENIED})
    assert not status.failures[LOGS].over
    status.hear("place_recovered", {"place": LOGS})
    assert status.failures[LOGS].over


def test_named_events_are_heard_whatever_the_log_level(status, caplog):
    """A listener hears debug events too, and none after it has left."""
    caplog.set_level("ERROR", "collector")
    listen(status.hear)
    try:
        say(10, "connection_opened", output="devo", where="there", seconds=0.1)
    finally:
        unlisten(status.hear)
    assert status.unready() == []
    say(10, "delivery_retried", output="devo", error=ConnectFailed("a", "b", "c"), pause=0, events=0)
    assert status.output("devo").failure is None


def test_a_journal_that_cannot_be_written_is_no_good_state():
    """While nothing may be deleted the collector is not ready, and says where; a row written ends it."""
    status = EventStatus()
    status.hear(
        "journal_failed", {"service": "s", "error": SourceError("no room", "/journal/log/1.log", "x")}
    )
    assert status.unready() == ["journal at /journal/log/1.log"]
    status.hear("journal_recovered", {"service": "s"})
    assert status.unready() == []


def test_an_account_that_lets_nobody_in_is_shown_and_leaves_the_process_ready(status):
    """One of a thousand accounts is no reason to restart what reads the others."""
    status.hear("connection_opened", {"output": "devo"})
    status.hear("account_refused", {"place": "input a, organization arn:aws:iam::1:role/r", "error": DENIED})
    assert status.unready() == []
    assert list(status.accounts) == ["input a, organization arn:aws:iam::1:role/r"]
    status.hear("account_admitted", {"place": "input a, organization arn:aws:iam::1:role/r"})
    assert not status.accounts
