"""Positions are written once they are receipted, when they have changed, and go on from there."""

import os
import pickle
import random
import sqlite3
from contextlib import closing, suppress
from datetime import timedelta

import pytest
from bytewax import operators as op
from bytewax.dataflow import Dataflow
from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.testing import run_main

from flows.positions.checkpoint import changed, positions, settle
from flows.positions.log import LOG
from flows.positions.store import QUIET_SECONDS, Positions
from flows.process.recovery_store import StateError, check, hold, prepare
from flows.process.sealed_state import seal, sealed

A, B, OTHER = ("1-logs", "lane-0"), ("1-logs", "lane-1"), ("2-logs", "lane-0")


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def folder(tmp_path):
    """Return a new state."""
    made = tmp_path / "state"
    prepare(made, first=True)
    return made


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def kept(folder, clock):
    """Return positions of three lanes that are known."""
    store = Positions(folder, clock)
    for place in (A, B, OTHER):
        store.resumed(place)
        store.seal(place, 0, {"targets": {"x": 0}}, busy=False)
    store.receipted(1)
    return store


def epoch(store, number, states, busy=()):
    """Seal an epoch of all lanes."""
    for place in (A, B, OTHER):
        store.seal(place, number, {"targets": {"x": states[place]}}, busy=place in busy)


def on_disk(folder):
    return {place: state["targets"]["x"] for place, state in positions(folder).items()}


def test_a_first_position_is_written_at_once(kept, folder):
    """Without it a service would begin anew at another moment."""
    assert on_disk(folder) == {A: 0, B: 0, OTHER: 0}


def test_what_is_not_receipted_is_not_written(kept, folder):
    """Only a call for the next epoch tells that all outputs have their receipt."""
    epoch(kept, 1, {A: 1, B: 1, OTHER: 1}, busy=(A,))
    kept.receipted(1)
    assert on_disk(folder) == {A: 0, B: 0, OTHER: 0}
    kept.receipted(2)
    assert on_disk(folder) == {A: 1, B: 1, OTHER: 0}


def test_a_lane_that_is_ahead_changes_nothing(kept, folder):
    """One that has ended the next epoch already, while others are first called for it, waits."""
    epoch(kept, 1, {A: 1, B: 1, OTHER: 1}, busy=(A, B, OTHER))
    kept.receipted(2)
    kept.seal(A, 2, {"targets": {"x": 2}}, busy=True)
    kept.receipted(2)
    assert on_disk(folder) == {A: 1, B: 1, OTHER: 1}
    kept.seal(B, 2, {"targets": {"x": 2}}, busy=True)
    kept.receipted(3)
    assert on_disk(folder) == {A: 2, B: 2, OTHER: 1}


def test_s7_what_moves_without_events_may_wait(kept, folder, clock):
    """Nothing is written of it for minutes; then all of it is, as of one moment."""
    size = (folder / LOG).stat().st_size
    for number in range(1, 50):
        epoch(kept, number, {A: number, B: number, OTHER: number})
    assert (folder / LOG).stat().st_size == size
    clock.now += QUIET_SECONDS
    epoch(kept, 50, {A: 50, B: 50, OTHER: 50})
    assert on_disk(folder) == {A: 49, B: 49, OTHER: 49}


def test_s7_what_does_not_change_is_not_written(kept, folder, clock):
    """Busy or not, late or not."""
    size = (folder / LOG).stat().st_size
    for number in range(1, 9):
        clock.now += QUIET_SECONDS
        epoch(kept, number, {A: 0, B: 0, OTHER: 0}, busy=(A,))
    assert (folder / LOG).stat().st_size == size


def test_s7_a_lane_that_waits_goes_with_its_step(kept, folder):
    """What one lane lets go of, another one's position must know: a step is of one moment."""
    epoch(kept, 1, {A: 1, B: 1, OTHER: 1})
    epoch(kept, 2, {A: 2, B: 2, OTHER: 2}, busy=(B,))
    kept.receipted(3)
    assert on_disk(folder) == {A: 2, B: 2, OTHER: 0}


def test_a_clean_end_leaves_what_bytewax_has(kept, folder):
    """All is receipted then; there is no log."""
    epoch(kept, 1, {A: 1, B: 1, OTHER: 1})
    kept.finish()
    assert not (folder / LOG).exists()
    assert on_disk(folder) == {A: 1, B: 1, OTHER: 1}
    check(folder, alone=True)
    with closing(sqlite3.connect(folder / "part-0.sqlite3")) as database:
        assert database.execute("SELECT count(*) FROM snaps").fetchone() == (3,)


def test_processes_of_a_cluster_can_resume_in_the_same_moment(kept, folder):
    """WAL mode is what bytewax asks for of a file; one of several that change it finds it locked."""
    kept.finish()
    assert (folder / "part-0.sqlite3").read_bytes()[18:20] == b"\2\2", "SQLite's file format: 2 = WAL"


def test_s7_a_long_log_is_folded(folder, clock, monkeypatch):
    """It never gets longer than a multiple of what is alive, and nothing is lost by it."""
    monkeypatch.setattr("flows.positions.store._LONG_BYTES", 3000)
    monkeypatch.setattr("flows.positions.store._LONG_TIMES", 0)
    store = Positions(folder, clock)
    for place in (A, B, OTHER):
        store.resumed(place)
    sizes = set()
    for number in range(300):
        epoch(store, number, {A: number, B: -number, OTHER: 7}, busy=(A,))
        sizes.add((folder / LOG).stat().st_size)
    assert max(sizes) < 4000
    assert len([size for size in sizes if size < 300]) >= 1
    store.receipted(300)
    assert on_disk(folder) == {A: 299, B: -299, OTHER: 7}


def test_a_checkpoint_is_never_older_than_a_day(kept, folder, clock):
    """An older release that goes on after a kill knows nothing else, and collects again what came since."""
    epoch(kept, 1, {A: 1, B: 1, OTHER: 1}, busy=(A, B, OTHER))
    kept.receipted(2)
    clock.now += 86_400
    epoch(kept, 2, {A: 2, B: 2, OTHER: 2}, busy=(A,))
    kept.receipted(3)
    (folder / LOG).unlink()
    assert on_disk(folder) == {A: 2, B: 2, OTHER: 2}


def test_a_damaged_log_is_named(kept, folder):
    """A flipped byte is no torn end: one line, with what helps."""
    epoch(kept, 1, {A: 1, B: 1, OTHER: 1}, busy=(A, OTHER))
    kept.receipted(2)
    text = bytearray((folder / LOG).read_bytes())
    text[len(text) // 2] ^= 1
    (folder / LOG).write_bytes(text)
    with pytest.raises(StateError, match=r"damaged .at byte.*positions.log: restore it from a copy"):
        Positions(folder)


def test_a_full_disk_ends_the_process(kept, folder, monkeypatch):
    """One line that says where there is no room; what was not written is not relied on."""
    monkeypatch.setattr(
        "os.fdatasync", lambda _file: (_ for _ in ()).throw(OSError(28, "No space left on device"))
    )
    epoch(kept, 1, {A: 1, B: 1, OTHER: 1}, busy=(A,))
    with pytest.raises(StateError, match=r"no room for the recovery directory .No space left on device"):
        kept.receipted(2)


@pytest.mark.parametrize("point", range(50))
def test_a_crash_while_it_is_folded_loses_nothing(folder, clock, monkeypatch, point):
    """At each of its steps on the disk: the next start has all that was written."""

    class Crash(BaseException):
        pass

    store = Positions(folder, clock)
    for place in (A, B, OTHER):
        store.resumed(place)
    epoch(store, 0, {A: 5, B: 6, OTHER: 7}, busy=(A, B, OTHER))
    store.receipted(1)
    steps = iter(range(100))

    def stepping(real):
        def step(*arguments, **options):
            if next(steps) == point:
                raise Crash
            return real(*arguments, **options)

        return step

    with monkeypatch.context() as patched:
        for name in (
            "os.fsync",
            "os.fdatasync",
            "pathlib.Path.replace",
            "pathlib.Path.unlink",
            "shutil.rmtree",
        ):
            module, _, function = name.rpartition(".")
            real = {"os": os, "shutil": __import__("shutil"), "pathlib.Path": type(folder).__mro__[1]}[module]
            patched.setattr(name, stepping(vars(real)[function]))
        with suppress(Crash):
            Positions(folder, clock)
            settle(folder)
            Positions(folder, clock)
    assert next(steps) <= 50
    prepare(folder, first=True)
    check(folder, alone=True)
    Positions(folder, clock)
    assert on_disk(folder) == {A: 5, B: 6, OTHER: 7}


def test_many_files_become_one(tmp_path, clock):
    """A directory of a former release: its eight files, and what its epochs had completed, become one."""
    folder = tmp_path / "state"
    folder.mkdir(mode=0o700)
    init_db_dir(folder, 8)
    for number in range(8):
        with closing(sqlite3.connect(folder / f"part-{number}.sqlite3")) as database, database:
            for when in (3, 4, 5):
                row = pickle.dumps(seal("s", f"lane-{number}", {"at": when}))
                database.execute(
                    "INSERT INTO snaps (step_id, state_key, snap_epoch, ser_change) VALUES ('s', ?, ?, ?)",
                    (f"lane-{number}", when, row),
                )
            if number == 2:
                database.execute("INSERT INTO exs (ex_num, worker_count, resume_epoch) VALUES (0, 2, 1)")
                database.execute("INSERT INTO exs (ex_num, worker_count, resume_epoch) VALUES (1, 2, 2)")
            if number in {3, 4}:
                database.execute(
                    "INSERT INTO fronts VALUES (DEFAULT, 1, ?, ?)".replace("DEFAULT", "'x'"),
                    (number - 3, 5 + number % 2),
                )
    check(folder, alone=True)
    Positions(folder, clock)
    assert [file.name for file in folder.glob("part-*")] == ["part-0.sqlite3"]
    assert positions(folder) == {("s", f"lane-{number}"): {"at": 4} for number in range(8)}


def test_a_log_on_whose_checkpoint_bytewax_ran_is_left_out(kept, folder):
    """An older release, which knows no log, was started on it: what it has come to counts."""
    with closing(sqlite3.connect(folder / "part-0.sqlite3")) as database, database:
        database.execute("INSERT INTO exs (ex_num, worker_count, resume_epoch) VALUES (1, 1, 1)")
    assert positions(folder) == {}
    assert changed(folder) == {}


class Numbers(FixedPartitionedSource):
    """Counts, in each of two lanes, with a state as large as what it has counted."""

    def __init__(self, upto, stop=0):
        self.upto, self.stop = upto, stop

    def list_parts(self):
        return ["lane-0", "lane-1"]

    def build_part(self, _step, for_part, resume_state):
        return Counting(for_part, self, resume_state)


class Counting(StatefulSourcePartition):
    def __init__(self, name, source, state):
        self.name, self.source = name, source
        self.at = (state or {"at": {"n": 0}})["at"]["n"]

    def next_batch(self):
        if self.at >= self.source.upto:
            raise StopIteration
        self.at += 1
        if self.at == self.source.stop:
            raise Killed
        return [(self.name, self.at)]

    def snapshot(self):
        return {"v": 1, "at": {"n": self.at}}


class Killed(RuntimeError):
    pass


class Receipts(DynamicSink):
    def __init__(self):
        self.got = []

    def build(self, _step, _index, _count):
        return Receiving(self.got)


class Receiving(StatelessSinkPartition):
    def __init__(self, got):
        self.got = got

    def write_batch(self, items):
        self.got += items


def life(source, sink, recovery=None):
    dataflow = Dataflow("numbers")
    op.output("out", op.input("numbers", dataflow, source), sink)
    run_main(dataflow, epoch_interval=timedelta(0), recovery_config=recovery)


def test_lives_of_both_stores_go_on_from_each_other(folder):
    """Ours, then bytewax's, then ours, ended well or killed: a number comes again only at a kill."""
    dice, sink = random.Random(1), Receipts()
    hold(folder)
    upto = 0
    for number in range(30):
        upto += 20
        dies = dice.random() < 0.5
        end = upto - dice.randrange(1, 15) if dies else 0
        source, before = Numbers(upto, end), len(sink.got)
        try:
            if number % 3 == 1:
                settle(folder)
                life(sealed(source), sink, RecoveryConfig(str(folder), timedelta(0)))
            else:
                store = Positions(folder)
                life(store.source(source), sink)
                store.finish()
        except (Killed, RuntimeError):
            assert dies
        check(folder, alone=True)
        fresh = sink.got[before:]
        assert len(set(fresh)) == len(fresh)
    for lane in ("lane-0", "lane-1"):
        numbers = [number for name, number in sink.got if name == lane]
        assert sorted(set(numbers)) == list(range(1, max(numbers) + 1))
        assert len(numbers) - len(set(numbers)) <= 3 * 30
