"""Rows in a lane's state: whatever moment a crash chooses, each has its receipt and none is missing."""

import json
import random
import threading
import time

import pytest
from msgspec.structs import replace

from sources import journal_gate
from sources.errors import SourceError
from sources.journal import JournalRow, digest
from sources.journal_pending import MOST_ROWS, RowKeeper
from sources.journal_windows import QUIET_MS, WindowRows
from tests.fakes.process import wait_until
from transforms.block import Block, Origin, Poison

HOUR = 3_600_000
ORIGIN = Origin("logs", "123456789012", "eu-west-1", "/my/group")


class Disk:
    """A journal that outlives its process; it writes while `works`."""

    def __init__(self) -> None:
        self.rows, self.works, self.tried = [], True, 0
        self._lock = threading.Lock()

    def recent(self, service, owner):
        assert (service, owner) == ("logs", "production")
        with self._lock:
            return [digest(row.id) for row in self.rows]

    def complete(self, rows):
        return [row if row.process else replace(row, process="life") for row in rows]

    def write(self, rows):
        self.tried += 1
        with self._lock:
            if not self.works:
                raise SourceError("no room", "journal", "make some")
            self.rows += rows


@pytest.fixture
def disk(monkeypatch):
    """Return a journal whose failures are tried again soon."""
    monkeypatch.setattr(journal_gate, "_PAUSE_SECONDS", (0.01, 0.01))
    return Disk()


def block(count):
    return Block(b"x\n" * count, count, ORIGIN)


def row(number, **more):
    return JournalRow(0, "window", "delivered", "logs", object="t", start=number, end=number + 1, **more)


class Lane:
    """A lane of windows as bytewax drives it: its state is kept once the next call proves the receipt."""

    def __init__(self, disk, state):
        self.keeper = RowKeeper(disk, "logs", "production")
        kept = json.loads(json.dumps(state))
        self.rows, self.windows = self.keeper.join(kept), WindowRows("logs", kept)

    def call(self, at, count):
        self.rows.confirm()
        self.windows.note("eu-west-1/g", (at * HOUR, (at + 1) * HOUR), [block(count)], [at * HOUR + 5])

    def snapshot(self):
        self.rows.note(self.windows.rows())
        return {**self.rows.seal(), **self.windows.state()}


@pytest.mark.parametrize("seed", range(40))
def test_a_crash_at_any_step_loses_no_row_and_invents_none(disk, seed):
    """Lives of random length, a journal that fails at times: at the end each hour is in one row, once."""
    chance = random.Random(seed)
    state, at = {}, 0
    for _ in range(6):
        lane, ahead = Lane(disk, state), at
        for _ in range(chance.randrange(1, 6)):
            disk.works = chance.random() < 0.7
            for _ in range(chance.randrange(3)):
                lane.call(ahead, 10)
                ahead += 1
            sealed = lane.snapshot()
            if chance.random() < 0.3:
                break  # dies before the receipt: bytewax resumes the state before
            state, at = sealed, ahead
            assert {row.end for row in disk.rows} <= {HOUR * (n + 1) for n in range(at)}
            if chance.random() < 0.7:
                lane.rows.confirm()
            time.sleep(chance.choice((0, 0.02)))
        lane.rows.close()
        gate_ends(lane)
    disk.works = True
    lane = Lane(disk, state)
    lane.rows.confirm()
    wait_until(lambda: not lane.rows._waiting, 10, "the rest is written")
    lane.rows.close()
    spans = sorted((row.start, row.end) for row in disk.rows)
    assert spans == sorted(set(spans))
    assert [end for _, end in spans] == [start for start, _ in spans[1:]] + [at * HOUR] * bool(at)
    assert sum(row.events for row in disk.rows) == 10 * at


def gate_ends(lane):
    """Wait until a life's thread has ended, as death would have ended it."""
    wait_until(lambda: not any(t.name == "logs-journal" for t in threading.enumerate()), 10, "it has ended")
    assert lane.keeper._gate is None


def test_rows_are_written_behind_the_receipt_only(disk):
    """Emitted and sealed, a row waits in the state; the next call hands it over, and then it is gone."""
    lane = Lane(disk, {})
    lane.call(0, 3)
    sealed = lane.snapshot()
    assert [one[0] for one in sealed["rows"]] == [0]
    assert disk.tried == 0
    lane.rows.confirm()
    wait_until(lambda: not lane.rows._waiting, 10, "it is written")
    assert "rows" not in lane.snapshot()
    (found,) = disk.rows
    assert (found.start, found.end, found.events, found.first) == (0, HOUR, 3, 5)
    assert (found.account, found.region, found.container) == (ORIGIN.account, ORIGIN.region, ORIGIN.container)
    assert (found.input, found.process, found.resumed) == ("production", "life", False)
    lane.rows.close()


def test_a_journal_that_fails_holds_the_lane_back(disk):
    """More than so many rows do not wait: the lane is told, and may go on when they are written."""
    disk.works = False
    rows = RowKeeper(disk, "logs", "production").join({})
    rows.note(map(row, range(MOST_ROWS + 1)))
    rows.seal()
    rows.confirm()
    assert rows.full
    disk.works = True
    wait_until(lambda: not rows.full and rows.over(), 10, "they are written")
    rows.close()


def test_what_is_not_written_at_the_end_is_told(disk, monkeypatch):
    """A drained lane does not wait for ever; who asked is told how many rows are left in the state."""
    monkeypatch.setattr("sources.journal_pending._LAST_SECONDS", 0.0)
    disk.works = False
    keeper = RowKeeper(disk, "logs", "production")
    rows = keeper.join({})
    rows.note([row(1)])
    assert rows.over()
    assert rows.seal()["rows"]
    rows.close()
    assert keeper.left == 1


def test_without_a_journal_nothing_is_kept():
    """Nothing waits, nothing is in the state, nothing holds the lane."""
    rows = RowKeeper(None, "logs").join({"rows": [list(range(3))]})
    rows.note([row(1)])
    rows.confirm()
    assert (rows.seal(), rows.full, rows.over()) == ({}, False, True)


def test_s7_rows_of_quiet_targets_are_made_together():
    """Each write takes a page of the disk: those that are due within minutes are one epoch's."""
    seconds, epochs = 0, []
    windows = WindowRows("logs", {}, lambda: seconds)
    for seconds in range(0, 7500, 10):
        at = seconds * 1000
        windows.note(f"r/g{seconds // 10 % 30}", (max(0, at - 300_000), at), [], [])
        epochs.append(len(windows.rows()))
    assert sum(epochs) >= 30
    assert len([made for made in epochs if made]) <= 7500 // 300


def test_a_quiet_target_has_a_row_an_hour():
    """Stretches without events are put together; one with events ends at once."""
    minute = 0
    windows = WindowRows("logs", {}, lambda: minute * 60)
    made = []
    for minute in range(0, 150, 5):
        at = minute * 60_000
        windows.note("r/g", (at, at + 300_000), [block(2)] if minute == 90 else [], [])
        made += windows.rows()
    assert [(one.start // 60_000, one.end // 60_000, one.events) for one in made] == [
        (0, 60, 0),
        (60, 95, 2),
    ]
    assert QUIET_MS == HOUR


def test_a_window_that_is_not_read_to_its_end_has_no_row_yet():
    """Its events are counted in the state, and belong to the row that it ends with, after a restart too."""
    windows = WindowRows("logs", {})
    windows.note("r/g", (0, 0), [block(2), Poison("odd", "?", ORIGIN, b"x")], [])
    assert windows.rows() == []
    again = WindowRows("logs", json.loads(json.dumps(windows.state())))
    again.note("r/g", (0, HOUR), [block(1)], [])
    (found,) = again.rows()
    assert (found.records, found.events, found.quarantined, found.resumed) == (4, 3, 1, True)


@pytest.mark.parametrize("state", [{}, {"open": "?"}, {"rows": "?", "open": {"k": 3}}], ids=str)
def test_a_state_of_another_release_begins_anew(disk, state):
    """Without it rows begin where the position is; nothing is raised."""
    lane = Lane(disk, state)
    lane.call(7, 1)
    assert [one.start for one in lane.windows.rows()] == [7 * HOUR]
    lane.rows.close()
