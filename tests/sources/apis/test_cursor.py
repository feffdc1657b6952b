"""The cursor family's partition: resumes, drains, never waits, outlives failures."""

import json
import pickle
import shutil
import threading
import time
from collections import defaultdict
from contextlib import contextmanager
from datetime import timedelta

import bytewax.operators as op
import msgspec
import pytest
from bytewax.dataflow import Dataflow
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.testing import TestingSink, cluster_main, run_main

from sources import lanes, metric_scopes
from sources.apis.cursor import CursorOptions, CursorSource, Page, Target
from sources.apis.poll import Rest
from sources.collected import RANGES_KEPT, CollectedIds, CollectedNotes, CollectedRange
from sources.errors import Denied, SourceError, Throttled, Transient
from sources.journal import digest
from sources.journal_windows import OpenWindow
from transforms.block import Block, Origin

FAST = {"discover_seconds": 0.02, "backoff_seconds": 0.005, "threads": 3}
PERIOD = 0.01


class Numbers:
    """An API whose targets count upwards, `size` numbers a page, `pages` pages a poll, up to `last`."""

    name = "numbers"
    period_seconds = PERIOD

    def __init__(self, *keys, last=6, size=1, pages=2, failures=()):
        self.keys, self.last, self.size, self.pages_a_poll = list(keys), last, size, pages
        self.failures = list(failures)
        self.asked = defaultdict(int)
        self.listing_error = None

    def targets(self):
        for key in list(self.keys):
            yield Target(key, detail=key)
        if self.listing_error:
            yield self.listing_error

    def pages(self, target, state):
        self.asked[target.key] += 1
        at = state.get("at", 0)
        for number in range(self.pages_a_poll):
            if number and self.failures:
                raise self.failures.pop()
            numbers = range(at, min(at + self.size, self.last))
            if not numbers:
                return
            at = numbers.stop
            payload = b"".join(b"%s %d\n" % (target.key.encode(), n) for n in numbers)
            yield Page(
                (Block(payload, len(numbers), Origin("numbers")),), {"v": 1, "at": at}, again=at < self.last
            )


@contextmanager
def lane_of(poll, state=None, key="a", drain=None, **options):
    """One built lane: the one that owns `key`."""
    source = CursorSource(poll, CursorOptions(**{**FAST, **options}), drain or threading.Event())
    part = source.build_part("step", lanes.lane_of(key), pickle.loads(pickle.dumps(state)))  # noqa: S301 - our own bytes
    try:
        yield part
    finally:
        part.close()


def until(condition, seconds=120):
    """Wait until a condition holds; fails when it never does."""
    limit = time.monotonic() + seconds
    while not (result := condition()):
        assert time.monotonic() < limit, "it never happened"
        time.sleep(0.002)
    return result


def take(part, count):
    """Collect lines from a lane until there are `count`."""
    lines = []

    def enough():
        lines.extend(line for item in part.next_batch() for line in item.payload.decode().splitlines())
        return len(lines) >= count

    until(enough)
    return lines


def rest(part, seconds=0.1):
    """Collect what comes within a short time."""
    lines, limit = [], time.monotonic() + seconds
    while time.monotonic() < limit:
        lines += [line for item in part.next_batch() for line in item.payload.decode().splitlines()]
        time.sleep(0.005)
    return lines


def test_resumes_from_a_snapshot(monkeypatch):
    """Two batches, a snapshot, two more; rebuilt from the snapshot, the same two come again."""
    monkeypatch.setattr("sources.apis.cursor._BATCH_BYTES", 1)
    with lane_of(Numbers("a", last=4)) as part:
        first = take(part, 2)
        state = part.snapshot()
        after = take(part, 2)
    with lane_of(Numbers("a", last=4), state) as again:
        assert take(again, 2) == after
        assert rest(again) == []
    assert first == ["a 0", "a 1"]
    assert after == ["a 2", "a 3"]


def test_a_new_target_hears_since_when_it_may_be_there():
    """After an outage since its beginning, that of the last position; at a first start since then."""
    poll, heard = Numbers("a", last=40), {}
    poll.pages = lambda target, _state: heard.setdefault(target.key, target.since) and iter(())
    began = int(time.time() * 1000)
    stopped = {"v": 1, "config": "", "targets": {"b": {"v": 1, "at": 1_000}, "c": {"v": 1, "done": 7_000}}}
    for state in (None, stopped):
        heard.clear()
        with lane_of(poll, state):
            until(lambda: "a" in heard)
        assert heard["a"] == 7_000 if state else began <= heard["a"] <= time.time() * 1000


def test_snapshot_is_plain_and_versioned():
    """The recovery store holds JSON types only, and says of which version."""
    began = int(time.time() * 1000)
    with lane_of(Numbers("a"), fingerprint="2024-01-01") as part:
        take(part, 6)
        state = part.snapshot()
    assert began <= state.pop("since") <= time.time() * 1000
    assert state == {"v": 1, "config": "2024-01-01", "targets": {"a": {"v": 1, "at": 6}}}
    assert json.loads(json.dumps(state)) == state


def test_snapshot_does_not_change_afterwards():
    """A snapshot is pickled later: what is emitted meanwhile must not slip in."""
    poll = Numbers("a", last=1)
    with lane_of(poll) as part:
        take(part, 1)
        state = part.snapshot()
        poll.last = 2
        take(part, 1)
    assert state["targets"]["a"]["at"] == 1


def test_what_was_fetched_but_not_emitted_is_no_position():
    """The position moves with `next_batch`, not with the fetch thread that is ahead of it."""
    poll = Numbers("a", last=100, pages=100)
    with lane_of(poll) as part:
        until(lambda: len(part._inbox) > 50)
        assert part.snapshot()["targets"] == {}


def test_next_batch_never_waits_for_a_slow_api():
    """h19: an API that stalls costs its target time, and `next_batch` none."""
    inside, release = threading.Event(), threading.Event()

    class Stalling(Numbers):
        def pages(self, target, state):
            inside.set()
            release.wait(120)
            yield from super().pages(target, state)

    with lane_of(Stalling("a")) as part:
        assert inside.wait(120)
        assert [part.next_batch() for _ in range(100)] == [[]] * 100
        awake = part.next_awake()
        assert awake is not None
        assert awake.tzinfo is not None
        release.set()
        assert len(take(part, 6)) == 6


def test_next_awake_is_soon_and_never_at_once_without_pages():
    """An idle lane neither spins nor sleeps long."""
    with lane_of(Numbers()) as part:
        for _ in range(20):
            part.next_batch()
        pause = part._pause
        assert timedelta(milliseconds=20) <= pause <= timedelta(milliseconds=200)
        assert part.next_awake() is not None


def test_lanes_own_their_targets_and_share_the_threads():
    """Every target is emitted by exactly one lane, and the lanes never change."""
    names = [f"region-{n}" for n in range(30)]
    poll = Numbers(*names, last=1, pages=1)
    source = CursorSource(poll, CursorOptions(**FAST), threading.Event())
    assert source.list_parts() == [f"lane-{n}" for n in range(8)]
    parts = {key: source.build_part("step", key, None) for key in source.list_parts()}
    found = {}

    def all_found():
        for lane, part in parts.items():
            for item in part.next_batch():
                found.setdefault(item.payload.decode().split()[0], []).append(lane)
        return len(found) == 30

    until(all_found)
    assert found == {name: [lanes.lane_of(name)] for name in names}
    assert len([t for t in threading.enumerate() if t.name.startswith("numbers-")]) <= FAST["threads"] * 2
    for part in parts.values():
        part.close()


def test_threads_end_with_the_last_lane():
    """A closed source leaves no thread behind."""
    poll = Numbers("a")
    poll.name = "ending"
    with lane_of(poll) as part:
        take(part, 1)
        assert [t for t in threading.enumerate() if t.name.startswith("ending-")]
    until(lambda: not [t for t in threading.enumerate() if t.name.startswith("ending-")])


def test_thread_that_ends_ends_the_service(monkeypatch):
    """A service whose thread died does not stand still in silence: the next batch raises."""

    def broken(*_):
        raise RuntimeError("planted")

    monkeypatch.setattr("sources.telemetry.polled", broken)
    ended = pytest.raises(SourceError, match=r"a thread ended with RuntimeError \(planted\)")
    with lane_of(Numbers("a")) as part, ended:
        until(lambda: part.next_batch() and False)


def test_system_without_more_threads_is_worked_by_one(monkeypatch):
    """Where no second thread can be started, the first one does everything."""
    start, started = threading.Thread.start, []

    def first_only(thread):
        if thread.name.startswith("lonely"):
            if started:
                raise RuntimeError("can't start new thread")
            started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", first_only)
    poll = Numbers("a", last=6)
    poll.name = "lonely"
    with lane_of(poll) as part:
        assert len(take(part, 6)) == 6
    assert len(started) == 1


def test_error_in_mid_poll_keeps_the_pages_before_it():
    """h18: a session that expires between two pages costs neither an event nor a repeat."""
    errors = [Throttled("slow", "x", "h"), Transient("reset", "x", "h"), KeyError("bug")]
    with lane_of(Numbers("a", last=9, pages=3, failures=errors)) as part:
        assert take(part, 9) == [f"a {n}" for n in range(9)]
        assert rest(part, 0.05) == []


def test_denied_target_does_not_stop_the_others(caplog):
    """h06: one clear warning for what only a person can repair, no storm, the others go on."""

    class Guarded(Numbers):
        def pages(self, target, state):
            if target.key == "denied":
                self.asked["denied"] += 1
                raise Denied("not allowed", "denied", "allow x:Y")
            yield from super().pages(target, state)

    a_lane = lanes.lane_of("a")
    mates = [name for name in map(str, range(200)) if lanes.lane_of(name) == a_lane][:1]
    poll = Guarded("a", "denied", *mates)
    source = CursorSource(poll, CursorOptions(**{**FAST, "backoff_seconds": 0.0002}), threading.Event())
    parts = [source.build_part("step", key, None) for key in source.list_parts()]
    with caplog.at_level("WARNING", "collector"):
        lines = []
        until(lambda: lines.extend(i for p in parts for i in p.next_batch()) or len(lines) >= 12)
        until(lambda: poll.asked["denied"] >= 3)
    for part in parts:
        part.close()
    told = [r.getMessage() for r in caplog.records if "poll_failed" in r.getMessage()]
    assert len(told) == 1
    assert "allow x:Y" in told[0]


def test_targets_appear_and_vanish():
    """h15: a group made while it runs is read, one that went keeps its position for when it comes back."""
    poll = Numbers("a", last=2)
    mate = next(name for name in map(str, range(200)) if lanes.lane_of(name) == lanes.lane_of("a"))
    with lane_of(poll) as part:
        take(part, 2)
        poll.keys = [mate]
        assert take(part, 2) == [f"{mate} 0", f"{mate} 1"]
        until(lambda: part.next_batch() == [] and "a" in part._gone)
        state = part.snapshot()
        assert set(state["targets"]) == {"a", mate}
        poll.keys = ["a", mate]
        poll.last = 3
        assert sorted(take(part, 2)) == sorted(["a 2", f"{mate} 2"])
        until(lambda: part.next_batch() == [] and not part._gone)
        assert "gone" not in part.snapshot()
    assert set(state["gone"]) == {"a"}


def test_a_target_that_has_gone_fails_no_more(monkeypatch):
    """A log group that was denied and then deleted is not counted as failing, or its alert never ends."""

    class Refused(Numbers):
        def pages(self, target, _state):
            raise Denied("denied", target.key, "allow it")

    shown = {}
    monkeypatch.setattr(metric_scopes, "_failing", lambda at, targets: shown.update({at.region: targets}))
    poll = Refused("r/a")
    with lane_of(poll, key="r/a"):
        until(lambda: shown.get("r") == 1)
        poll.keys = []
        until(lambda: shown["r"] == 0)


def test_state_of_a_target_long_gone_is_dropped():
    """The recovery store does not grow with every group that ever was."""
    state = {"v": 1, "config": "", "targets": {"a": {"v": 1, "at": 3}}, "gone": {"a": 1}}
    with lane_of(Numbers(), state, keep_gone_days=1) as part:
        until(lambda: part.next_batch() == [] and not part.state)
        assert part.snapshot()["targets"] == {}
        assert "gone" not in part.snapshot()


def test_partly_failed_listing_takes_nothing_away():
    """h22: a region that cannot be listed for a moment does not make its targets vanish."""
    poll = Numbers("a", last=2)
    with lane_of(poll) as part:
        take(part, 2)
        poll.listing_error = Transient("listing failed", "eu-west-1", "h")
        poll.keys, poll.last = [], 4
        assert take(part, 2) == ["a 2", "a 3"]
        assert part._gone == {}


def test_changed_start_time_begins_anew_and_says_so(caplog):
    """Another `start_time` resets the service, once and audibly."""
    state = {"v": 1, "config": "2024-01-01", "targets": {"a": {"v": 1, "at": 5}}}
    with (
        caplog.at_level("WARNING", "collector"),
        lane_of(Numbers("a"), state, fingerprint="2024-02-02") as part,
    ):
        assert take(part, 6)[0] == "a 0"
    assert [r.event for r in caplog.records] == ["cursors_reset"]


def test_same_start_time_keeps_the_positions():
    """An unchanged configuration resumes."""
    state = {"v": 1, "config": "2024-01-01", "targets": {"a": {"v": 1, "at": 5}}}
    with lane_of(Numbers("a"), state, fingerprint="2024-01-01") as part:
        assert take(part, 1) == ["a 5"]


def test_removed_start_time_keeps_the_positions(caplog):
    """Without a start_time there is nothing to begin from: beginning now would leave a hole."""
    state = {"v": 1, "config": "2024-01-01", "targets": {"a": {"v": 1, "at": 5}}}
    with caplog.at_level("WARNING", "collector"), lane_of(Numbers("a"), state, fingerprint="") as part:
        assert take(part, 1) == ["a 5"]
    assert not caplog.records


def test_missing_recovery_directory_is_told_once(caplog):
    """h22: that positions will not survive is one loud line, not eight."""
    source = CursorSource(Numbers(), CursorOptions(**FAST, durable=False), threading.Event())
    with caplog.at_level("WARNING", "collector"):
        parts = [source.build_part("step", key, None) for key in source.list_parts()]
    for part in parts:
        part.close()
    assert [r.event for r in caplog.records] == ["cursors_not_durable"]


def test_state_of_an_unknown_version_is_refused():
    """h22: guessing at a foreign state would leave a hole that nobody hears of."""
    source = CursorSource(Numbers(), CursorOptions(**FAST), threading.Event())
    with pytest.raises(SourceError, match="version 7"):
        source.build_part("step", "lane-0", {"v": 7})


def test_drain_emits_nothing_more_and_ends_after_a_snapshot():
    """h22: SIGTERM: what was emitted is waited for, what was only fetched is left for the next start."""
    drain = threading.Event()
    poll = Numbers("a", last=50, pages=50)
    with lane_of(poll, drain=drain) as part:
        emitted = take(part, 1)
        drain.set()
        assert [part.next_batch() for _ in range(3)] == [[]] * 3
        state = part.snapshot()
        with pytest.raises(StopIteration):
            part.next_batch()
    assert state["targets"]["a"]["at"] == len(emitted)


def test_drain_ends_an_idle_lane_at_once():
    """A lane that owes nothing does not hold the process."""
    drain = threading.Event()
    drain.set()
    with lane_of(Numbers("a"), drain=drain) as part, pytest.raises(StopIteration):
        part.next_batch()


def collect(poll, out, wanted):
    """Build a dataflow of a cursor source that drains once enough has come out."""
    drain = threading.Event()
    flow = Dataflow("cursor")
    stream = op.input("numbers", flow, CursorSource(poll, CursorOptions(**FAST), drain))
    op.output("out", op.map("line", stream, lambda block: block.payload.decode().strip()), TestingSink(out))
    threading.Thread(target=lambda: (until(lambda: len(out) >= wanted), drain.set()), daemon=True).start()
    return flow


@pytest.mark.timeout(30)
@pytest.mark.parametrize("workers", [1, 2])
def test_drains_and_resumes_in_a_dataflow(tmp_path, workers):
    """Under bytewax itself: drained and started again, nothing is lost and nothing repeated."""
    init_db_dir(tmp_path, 1)
    recovery = RecoveryConfig(tmp_path, timedelta(0))
    out, epoch = [], timedelta(milliseconds=10)
    for wanted in (10, 300):
        flow = collect(Numbers("a", "b", "c", last=100, pages=1), out, wanted)
        if workers == 1:
            run_main(flow, epoch_interval=epoch, recovery_config=recovery)
        else:
            cluster_main(
                flow, [], 0, worker_count_per_proc=workers, epoch_interval=epoch, recovery_config=recovery
            )
    assert sorted(out) == sorted(f"{key} {n}" for key in "abc" for n in range(100))


class _Kept:
    """A journal in memory; `fails` as long as it is told to."""

    def __init__(self):
        self.rows, self.fails = [], False

    def recent(self, _service, _owner):
        return [digest(row.id) for row in self.rows]

    def complete(self, rows):
        return rows

    def write(self, rows):
        if self.fails:
            raise SourceError("no room", "journal", "make some")
        self.rows += rows


def test_a_position_moves_with_its_rows():
    """A state of a release without journal resumes; what is emitted has its row once it is receipted."""
    journal = _Kept()
    old = {"v": 1, "config": "", "targets": {"a": {"v": 1, "at": 2}}}
    with lane_of(Numbers("a"), old, journal=journal) as part:
        assert take(part, 4) == ["a 2", "a 3", "a 4", "a 5"]
        state = part.snapshot()
        assert journal.rows == []
        assert state["targets"] == {"a": {"v": 1, "at": 6}}
        until(lambda: part.next_batch() or journal.rows)
        assert [(row.start, row.end, row.records) for row in journal.rows] == [(2, 6, 4)]
        assert "rows" not in part.snapshot()["journal"]
    with lane_of(Numbers("a"), state, journal=(lost := _Kept())) as part:  # it died before the row
        until(lambda: part.next_batch() or lost.rows)
    with lane_of(Numbers("a"), state, journal=journal) as part:  # … or behind it
        assert rest(part) == []
    assert [(row.start, row.end, row.resumed) for row in lost.rows] == [(2, 6, True)]
    assert len(journal.rows) == 1


def test_a_drain_waits_for_the_rows_and_a_new_start_keeps_them():
    """While the journal fails the lane does not end; rows outlive a changed `start_time`."""
    journal, drain = _Kept(), threading.Event()
    journal.fails = True
    with lane_of(Numbers("a"), journal=journal, drain=drain, fingerprint="2024-01-01") as part:
        take(part, 6)
        state = part.snapshot()
        drain.set()
        assert rest(part) == []
    journal.fails = False
    with lane_of(Numbers("a", last=0), state, journal=journal, fingerprint="2025-01-01") as part:
        until(lambda: part.next_batch() or journal.rows)
        assert part.snapshot()["targets"] == {}
    assert [row.records for row in journal.rows] == [6]


@pytest.mark.parametrize("end", ["gone", "restarted"])
def test_what_a_stretch_brought_has_its_row_when_its_target_ends_within_it(end):
    """Events of pages within a window are receipted: a row tells them though nobody reads the window on."""
    journal = _Kept()
    stretch = OpenWindow(3, 3, records=2, first=4, last=4)
    state = {
        "v": 1,
        "config": "2024-01-01",
        "targets": {"a": {"v": 1, "at": 3}},
        "gone": {"a": 1} if end == "gone" else {},
        "journal": {"open": msgspec.to_builtins({"a": stretch})},
    }
    config = "2024-01-01" if end == "gone" else "2025-01-01"
    poll = Numbers() if end == "gone" else Numbers("a", last=1)
    with lane_of(poll, state, journal=journal, fingerprint=config, keep_gone_days=1) as part:
        until(lambda: part.next_batch() == [] and part.snapshot() and len(journal.rows) == 1 + len(poll.keys))
        until(lambda: "rows" not in part.snapshot().get("journal", {}))
    row, *later = sorted(journal.rows, key=lambda one: -one.start)
    assert (row.object, row.start, row.end, row.records, row.resumed) == ("a", 3, 3, 2, True)
    assert [(one.start, one.end, one.records) for one in later] == ([] if end == "gone" else [(0, 1, 1)])


class Renamed(Numbers):
    """Targets of an organization: their former key is told, and accounts that rest."""

    def __init__(self, *keys, born=0, resting=(), **more):
        super().__init__(*keys, **more)
        self.born, self.resting = born, resting

    def targets(self):
        for key in self.keys:
            yield Target(key, detail=key, former=key.partition("/")[0], born=self.born)
        yield from map(Rest, self.resting)


@pytest.mark.parametrize(("born", "first"), [(0, 3), (99, 0)])
def test_a_target_goes_on_from_its_former_key(born, first):
    """An input that becomes an organization reads on where it stood; an account born later does not."""
    key, names = "a/111111111111", lanes.keys()
    states = {lanes.lane_of("a"): {"v": 1, "config": "", "targets": {"a": {"v": 1, "at": 3}}}}
    source = CursorSource(Renamed(key, born=born), CursorOptions(**FAST), threading.Event())
    parts = [source.build_part("step", lane, states.get(lane)) for lane in names]
    try:
        part = parts[names.index(lanes.lane_of(key))]
        assert take(part, 2)[:2] == [f"{key} {first}", f"{key} {first + 1}"]
        assert part.snapshot()["targets"][key]["at"] >= first + 2
    finally:
        for part in parts:
            part.close()


@pytest.mark.parametrize("former", ["a", "a/111111111111"])
def test_ids_begin_with_what_was_read_under_a_former_key_or_before_any_were_kept(tmp_path, former):
    """They are in the position; of what was final by then none are known, and no second look is taken."""
    key, ids, names = "a/111111111111", CollectedIds(tmp_path), lanes.keys()
    at = {"v": 1, "from": 1, "at": 5, "final": 3, "seen": {"x": 3}, "slow": {"y": 4}, "more": [{"z": 5}]}
    source = CursorSource(Renamed(key), CursorOptions(**FAST, collected=ids), threading.Event())
    states = {lanes.lane_of(former): {"v": 1, "config": "", "targets": {former: at}}}
    parts = [source.build_part("step", lane, states.get(lane)) for lane in names]
    try:
        part = parts[names.index(lanes.lane_of(key))]
        take(part, 1)
        part.snapshot()
        assert ids.range(key) == CollectedRange(3, 6)
        assert ids.known(key, 3, 9) == {"x": 3, "y": 4, "z": 5}
    finally:
        for part in parts:
            part.close()


def test_ids_are_kept_at_once_and_ranges_a_few_at_a_time(tmp_path):
    """Thousands of quiet targets hold no epoch open; each range comes in its turn, from its beginning on."""
    ids, keys = CollectedIds(tmp_path), [f"a/{number}" for number in range(3 * RANGES_KEPT)]
    notes = CollectedNotes(ids)
    for final in (5, 6):
        for key in keys:
            notes.add(key, {f"{key} {final}": final}, CollectedRange(1 if final == 5 else 5, final))
    for epochs in (1, 2, 3):
        assert notes.keep() is None
        assert [bool(ids.range(key)) for key in keys].count(True) == epochs * RANGES_KEPT
        assert len([*tmp_path.glob("*/*.ids")]) == len(keys)
    for key in keys:
        assert ids.range(key) == CollectedRange(1, 6)
        assert ids.known(key, 1, 9) == {f"{key} 5": 5, f"{key} 6": 6}


def test_a_target_whose_ids_could_not_be_written_begins_anew_and_others_do_not(tmp_path):
    """A gap would look like events that came later."""
    ids = CollectedIds(tmp_path)
    notes = CollectedNotes(ids)
    for key in "abc":
        notes.add(key, {"x": 1}, CollectedRange(0, 1))
    notes.keep()
    (folder,) = [path.parent for path in tmp_path.glob("*/range.json") if '"b"' in path.read_text()]
    shutil.rmtree(folder)
    folder.touch()
    for key in "abc":
        notes.add(key, {"y": 2}, CollectedRange(1, 2))
    assert "ids cannot be kept" in str(notes.keep())
    folder.unlink()
    for key in "abc":
        notes.add(key, {"z": 3}, CollectedRange(2, 3))
    assert notes.keep() is None
    assert [ids.range(key) for key in "abc"] == [CollectedRange(begin, 3) for begin in (0, 2, 0)]
    assert ids.known("c", 0, 9) == {"x": 1, "y": 2, "z": 3}


def test_positions_of_an_account_that_rests_are_not_taken_as_gone():
    """A suspended account, or one that lets nobody in, may come back after a long time."""
    key, other = "a/111111111111", "a/222222222222"
    state = {"v": 1, "config": "", "targets": {key: {"v": 1, "at": 6}, other: {"v": 1, "at": 6}}}
    poll = Renamed(resting=["111111111111", "222222222222"])
    with lane_of(poll, state, key=key) as part:
        until(lambda: part.next_batch() == [] and part._feed.listing().number > 1)
        part.next_batch()
        assert part._gone == {}
        poll.resting = ["111111111111"]
        until(lambda: part.next_batch() == [] and part._gone)
        assert list(part._gone) == [other]


def test_regions_that_an_account_denies_are_told_once_each_and_shown(caplog, monkeypatch):
    """Listings go on finding them; what is known is no news, and it stands on the page while it lasts."""
    refused = [Denied("no", f"ListDetectors of {region}", "lift it") for region in ("eu-west-1", "us-east-1")]
    shown = []
    monkeypatch.setattr(
        metric_scopes, "failing", lambda where, _error, count, _: shown.append((where, count))
    )
    monkeypatch.setattr(metric_scopes, "well", lambda where, still=0: shown.append((where, still)))

    class Refused(Numbers):
        def targets(self):
            yield from super().targets()
            yield from (Rest("111111111111", one) for one in refused)

    with caplog.at_level("WARNING", "collector"), lane_of(Refused("a", last=1)) as part:
        until(lambda: part.next_batch() is not None and part._feed.listing().number > 3)
        told = [one for one in caplog.records if "targets of 111111111111" in one.getMessage()]
        assert len(told) == 2
        assert [(where.region, count) for where, count in shown] == [("", 2), ("", 2)]
        refused.pop()
        until(lambda: part.next_batch() is not None and len(shown) > 2)
        assert [(where.region, count) for where, count in shown[2:]] == [("", 1)]
