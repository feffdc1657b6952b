"""Listed objects, lane by lane: resumed in the middle of an object, retried, drained."""

import threading
import time

import pytest

from sources.errors import Denied, Transient
from sources.journal import JournalRow, digest
from sources.journal_pending import RowKeeper
from sources.listed.backlog import BacklogSource
from sources.objects.object_ref import ObjectRef
from sources.queues.message_opener import ObjectBatch
from transforms.block import Block, Origin

OBJECTS = [ObjectRef("b", f"k{number}", etag="e", size=1) for number in range(20)]
PIECES = 4


def opened(ref, records):
    """Cut an object in four pieces of one record."""
    for record in range(records, PIECES):
        yield ObjectBatch((Block(f"{ref.key}/{record}".encode(), 1, Origin("s")),), ref.id, record + 1)
    row = JournalRow(0, "object", "delivered", "s", object=ref.uri, records=PIECES)
    yield ObjectBatch((), ref.id, PIECES, last=True, row=row)


def every_event():
    return sorted(f"{ref.key}/{record}" for ref in OBJECTS for record in range(PIECES))


def run(source, states=None, stop=None, *, seal=False):
    """Run all lanes to their end, or until `stop` events; returns (events, snapshots). seal: end epochs."""
    parts = {key: source.build_part("step", key, (states or {}).get(key)) for key in source.list_parts()}
    events, ended, deadline = [], set(), time.monotonic() + 120
    while len(ended) < len(parts) and (stop is None or len(events) < stop):
        assert time.monotonic() < deadline
        for key, part in parts.items():
            try:
                events += [block.payload.decode() for block in part.next_batch()] if key not in ended else []
            except StopIteration:
                ended.add(key)
            if seal:
                part.snapshot()
    snapshots = {key: part.snapshot() for key, part in parts.items()}
    for part in parts.values():
        part.close()
    return events, snapshots


def test_every_record_once_and_every_object_told():
    """A run to the end emits everything, and counts each object once."""
    told = []
    events, _ = run(BacklogSource("s", OBJECTS, opened, threading.Event(), told.append))
    assert sorted(events) == every_event()
    assert sorted(ref.key for ref in told) == sorted(ref.key for ref in OBJECTS)


@pytest.mark.parametrize("stop", [1, 7, 30, 79])
def test_h22_resumes_behind_the_last_record(stop):
    """What the first run emitted and the second one emits are together every record, once."""
    first, states = run(BacklogSource("s", OBJECTS, opened, threading.Event()), stop=stop)
    told = []
    second, _ = run(BacklogSource("s", OBJECTS, opened, threading.Event(), told.append), states)
    assert sorted(first + second) == every_event()
    assert len(told) == len(OBJECTS)


def test_h19_a_connection_lost_in_mid_object_is_taken_up(monkeypatch):
    """A transient failure is tried again from the record it had come to."""
    monkeypatch.setattr("sources.listed.backlog.pause_after", lambda *_: 0.0)
    failures = iter([True] * 5)

    def flaky(ref, records):
        for cut in opened(ref, records):
            yield cut
            if cut.records == 2 and next(failures, False):
                raise Transient("lost", ref.uri, "again")

    events, _ = run(BacklogSource("s", OBJECTS, flaky, threading.Event()))
    assert sorted(events) == every_event()


def test_what_cannot_be_had_ends_the_run_after_what_could():
    """A refused object is an error of the command; nothing that came before it is dropped."""

    def denied(ref, records):
        yield from list(opened(ref, records))[:2]
        raise Denied("no", ref.uri, "allow s3:GetObject")

    source = BacklogSource("s", OBJECTS[:1], denied, threading.Event())
    part = source.build_part("step", "lane-0", None)
    events = []

    def until_it_fails():
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            events.extend(block.payload for block in part.next_batch())

    with pytest.raises(Denied):
        until_it_fails()
    assert events == [b"k0/0", b"k0/1"]


def test_a_drain_ends_every_lane():
    """After the drain flag nothing more is emitted."""
    drain = threading.Event()
    source = BacklogSource("s", OBJECTS, opened, drain)
    parts = [source.build_part("step", key, None) for key in source.list_parts()]
    drain.set()
    for part in parts:
        with pytest.raises(StopIteration):
            part.next_batch()


class Rows(list):
    """A journal that keeps rows in memory."""

    write = list.extend

    def complete(self, rows):
        return rows

    def recent(self, _service, _owner):
        return [digest(row.id) for row in self]


def journaled(rows):
    """Return a source whose rows go to a journal."""
    source = BacklogSource("s", OBJECTS, opened, threading.Event())
    source.keeper = RowKeeper(rows, "s", "production")
    return source


def test_each_object_has_its_row_when_the_lanes_end():
    """Lanes end when the epoch of their last object is receipted, and its row written."""
    rows = Rows()
    run(source := journaled(rows), seal=True)
    assert sorted(row.object for row in rows) == sorted(ref.uri for ref in OBJECTS)
    assert {(row.input, row.events, row.time > 0) for row in rows} == {("production", PIECES, True)}
    assert source.keeper.left == 0


@pytest.mark.parametrize("stop", [7, 30, 79])
def test_a_killed_process_leaves_no_object_without_its_row(stop):
    """Rows that were not written when it was killed are in the state, and written by the next one, once."""
    rows = Rows()
    _, states = run(journaled(rows), stop=stop)
    assert not rows
    run(journaled(rows), states, seal=True)
    run(journaled(rows), states, seal=True)  # … and if it dies at once, not again
    assert sorted({row.object for row in rows}) == sorted(ref.uri for ref in OBJECTS)
    assert len([row for row in rows if row.resumed]) <= len(OBJECTS)
