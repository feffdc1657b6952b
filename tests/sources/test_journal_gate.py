"""Leases pass to their end only behind their rows."""

import threading
from functools import partial
from types import SimpleNamespace

import pytest

from sources import journal_gate as module
from sources.errors import SourceError
from sources.journal import JournalRow
from sources.journal_gate import JournalGate
from sources.queues.lease_life import Lease, journal_rows
from sources.queues.sqs import Message
from tests.fakes.process import wait_until

OBJECT = JournalRow(0, "object", "delivered", "flowlogs", object="s3://b/k")


class Journal:
    """Keeps rows, or fails as often as it is told to."""

    def __init__(self) -> None:
        self.rows, self.failures, self.tried = [], 0, 0

    def write(self, rows):
        self.tried += 1
        if self.failures:
            self.failures -= 1
            raise SourceError("no room", "journal", "make some")
        self.rows += rows


@pytest.fixture
def gate(monkeypatch):
    """Return a gate with a journal, and what has passed it with how many rows were there."""
    monkeypatch.setattr(module, "_PAUSE_SECONDS", (0.01, 0.01))
    journal, passed = Journal(), []

    def spawn(name, job):
        threading.Thread(target=job, name=name, daemon=True).start()

    made = JournalGate(
        journal,
        "flowlogs",
        spawn,
        partial(journal_rows, "flowlogs", "production"),
        lambda leases: passed.extend((lease, len(journal.rows)) for lease in leases),
    )
    yield SimpleNamespace(gate=made, journal=journal, passed=passed)
    made.stop()


def lease(**fields) -> Lease:
    """Return a lease as it is once its epoch is receipted."""
    message = Message("id-1", "handle", "{}", "queue", "eu-west-1", "123456789012")
    return Lease(message, None, 0.0, 30.0, **fields)


def test_a_lease_passes_behind_its_rows(gate):
    """When it passes, the rows of its objects are written, with time and input."""
    gate.gate.take([lease(rows=[OBJECT, OBJECT], events=9)])
    wait_until(lambda: gate.gate.idle and gate.passed, 10, "it has passed")
    assert gate.passed[0][1] == 2
    assert {row.input for row in gate.journal.rows} == {"production"}
    assert all(row.time for row in gate.journal.rows)


@pytest.mark.parametrize(("events", "outcome"), [(3, "delivered"), (0, "ignored")])
def test_a_message_without_objects_has_a_row_of_its_own(gate, events, outcome):
    """A message of events, or one that holds nothing, is one row that names it."""
    gate.gate.take([lease(events=events)])
    wait_until(lambda: gate.gate.idle and gate.passed, 10, "it has passed")
    (row,) = gate.journal.rows
    assert (row.kind, row.outcome, row.object, row.events) == ("message", outcome, "id-1", events)


def test_what_is_given_back_has_rows_of_what_was_delivered_only(gate):
    """A message whose second object failed goes back: the first one has its row, the message none."""
    gate.gate.take([lease(back=0), lease(back=0, rows=[OBJECT])])
    wait_until(lambda: gate.gate.idle and gate.passed, 10, "they have passed")
    assert [row.kind for row in gate.journal.rows] == ["object"]


def test_nothing_passes_while_the_journal_cannot_be_written(gate):
    """Failures hold leases back; they pass once the journal can be written again."""
    gate.journal.failures = 1 << 30
    gate.gate.take([lease(rows=[OBJECT])])
    wait_until(lambda: gate.journal.tried >= 3, 10, "it was tried")
    assert not gate.gate.idle
    assert gate.passed == []
    gate.journal.failures = 0
    wait_until(lambda: gate.gate.idle, 10, "it has passed")
    assert [rows for _, rows in gate.passed] == [1]


def test_a_stop_lets_nothing_pass_unwritten(gate):
    """When the threads end while the journal fails, the leases stay SQS's."""
    gate.journal.failures = 1 << 30
    gate.gate.take([lease(rows=[OBJECT])])
    wait_until(lambda: gate.journal.tried, 10, "it was tried")
    gate.gate.stop()
    wait_until(lambda: gate.gate.idle, 10, "the thread has ended")
    assert gate.passed == []
