"""How far objects have come, over repeats, moves between lanes and restarts."""

from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from sources.errors import ObjectBusy
from sources.queues.message_opener import ObjectBatch
from sources.queues.object_progress import ALL, KEPT_SECONDS, ObjectProgress


@dataclass(eq=False)
class Holder:
    objects: list[str] = field(default_factory=list)


def claimed(progress, object_id):
    holder = Holder()
    return holder, progress.claim(object_id, holder)


def test_new_object_starts_at_its_beginning():
    """Nothing is known of a new object, and asking again by the same lease changes nothing."""
    progress = ObjectProgress()
    holder, done = claimed(progress, "a")
    assert (done, progress.claim("a", holder), holder.objects) == (0, 0, ["a"])


def test_h05_repeat_while_it_is_collected_is_busy():
    """A second notice of an object that another lease reads is told so."""
    progress = ObjectProgress()
    claimed(progress, "a")
    with pytest.raises(ObjectBusy):
        claimed(progress, "a")


def test_h05_repeat_after_its_receipt_is_done():
    """A repeat of a collected object emits nothing; another version is another object."""
    progress = ObjectProgress()
    holder, _ = claimed(progress, "a@1")
    progress.emitted("lane-0", [ObjectBatch((), "a@1", 7, last=True)])
    progress.release(holder, whole=True)
    progress.settled(holder)
    assert claimed(progress, "a@1")[1] == ALL
    assert claimed(progress, "a@2")[1] == 0


def test_half_emitted_object_goes_on():
    """After a lost lease the next one goes on behind what was emitted, on whatever lane."""
    progress = ObjectProgress()
    holder, _ = claimed(progress, "a")
    progress.emitted("lane-1", [ObjectBatch((), "a", 3, last=False)])
    progress.release(holder, whole=False)
    assert claimed(progress, "a")[1] == 3


def test_h03_complete_part_of_a_failed_message_is_done():
    """Of two objects in one message the first is done though the message stays."""
    progress = ObjectProgress()
    holder, _ = claimed(progress, "a")
    progress.claim("b", holder)
    progress.emitted("lane-0", [ObjectBatch((), "a", 2, last=True)])
    progress.release(holder, whole=False)
    assert claimed(progress, "a")[1] == ALL
    assert claimed(progress, "b")[1] == 0


def test_snapshot_has_own_lane_only():
    """A lane's snapshot tells what this lane emitted last, and is a copy."""
    progress = ObjectProgress()
    progress.emitted("lane-0", [ObjectBatch((), "a", 3, last=False)])
    progress.emitted("lane-1", [ObjectBatch((), "b", 4, last=False)])
    progress.emitted("lane-0", [ObjectBatch((), "c", 5, last=True)])
    state = progress.state("lane-0")
    progress.emitted("lane-1", [ObjectBatch((), "a", 9, last=False)])
    assert state == {"v": 1, "partial": {"a": 3}, "done": ["c"]}
    assert progress.state("lane-0")["partial"] == {}


def test_snapshot_forgets_what_is_settled():
    """A deleted message comes no more, so snapshots stay small."""
    progress = ObjectProgress()
    holder, _ = claimed(progress, "a")
    progress.emitted("lane-0", [ObjectBatch((), "a", 3, last=True)])
    progress.release(holder, whole=True)
    assert progress.state("lane-0")["done"] == ["a"]
    progress.settled(holder)
    assert progress.state("lane-0") == {"v": 1, "partial": {}, "done": []}


def test_restart_takes_the_greatest_of_all_lanes():
    """An object that moved between lanes is in both snapshots: the greater number counts, in any order."""
    for order in ([("lane-0", 3), ("lane-1", 8)], [("lane-1", 8), ("lane-0", 3)]):
        progress = ObjectProgress()
        for lane, records in order:
            progress.load(lane, {"v": 1, "partial": {"a": records}, "done": []})
        assert claimed(progress, "a")[1] == 8


def test_restart_knows_what_was_done_but_not_deleted():
    """A message that was receipted before the crash and comes again emits nothing."""
    progress = ObjectProgress()
    progress.load("lane-0", {"v": 1, "partial": {}, "done": ["a"]})
    holder, done = claimed(progress, "a")
    assert done == ALL
    progress.release(holder, whole=True)
    progress.settled(holder)
    assert progress.state("lane-0")["done"] == []


def test_table_and_window_are_bounded():
    """The oldest is forgotten, nothing grows for ever."""
    progress = ObjectProgress(window=3, entries=2)
    for name in "abcde":
        holder, _ = claimed(progress, name)
        progress.emitted("lane-0", [ObjectBatch((), name, 1, last=True)])
        progress.release(holder, whole=True)
    assert len(progress.state("lane-0")["done"]) == 2
    assert [claimed(progress, name)[1] == ALL for name in "abcde"] == [False, False, True, True, True]


def test_a6_what_was_gone_is_never_done():
    """An object that was not there is open to the next notice, also in the snapshot and after a restart."""
    progress, holder = ObjectProgress(), Holder()
    assert progress.claim("o", holder) == progress.claim("p", holder) == 0
    progress.emitted("lane-0", [ObjectBatch((), "p", 3), ObjectBatch((), "p", 3, last=True, gone=True)])
    progress.emitted("lane-0", [ObjectBatch((), "o", 2, last=True)])
    progress.release(holder, whole=True)
    assert progress.state("lane-0") == {"v": 1, "partial": {}, "done": ["o"]}
    assert (progress.claim("o", Holder()), progress.claim("p", Holder())) == (ALL, 0)


@pytest.mark.parametrize("kind", ["partial", "done"])
def test_s6_loaded_ids_expire(kind):
    """What a crash left and nobody brings again is an hour in the snapshots, then it costs nothing more."""
    now = [0.0]
    progress = ObjectProgress(clock=lambda: now[0])
    ids = [f"o{number}" for number in range(100)]
    progress.load("lane-0", {"partial": dict.fromkeys(ids, 3)} if kind == "partial" else {"done": ids})
    claimed(progress, "o7")
    now[0] = KEPT_SECONDS - 1
    assert len(progress.state("lane-0")[kind]) == 100
    now[0] = KEPT_SECONDS + 1
    left = progress.state("lane-0")[kind]
    assert list(left) == ([] if kind == "done" else ["o7"])
    assert claimed(progress, "o8")[1] == (ALL if kind == "done" else 0)


class Restarts(RuleBasedStateMachine):
    """Lanes emit, snapshot and crash at any time: the number resumed from was always emitted before.

    One object, two lanes that are at most one epoch apart, as bytewax keeps them.
    """

    LANES = ("lane-0", "lane-1")

    def __init__(self):
        super().__init__()
        self.start({})

    def start(self, states):
        self.progress = ObjectProgress()
        for lane, state in states.items():
            self.progress.load(lane, state)
        self.holder = None
        self.states = states
        self.pending = {}
        self.records = self.receipted = max((s["partial"].get("o", 0) for s in states.values()), default=0)

    @precondition(lambda self: self.holder is None)
    @rule()
    def receive(self):
        self.holder = Holder()
        done = self.progress.claim("o", self.holder)
        assert self.receipted <= done == self.records

    @precondition(lambda self: self.holder is not None)
    @rule(lane=st.sampled_from(LANES), more=st.integers(1, 3))
    def emit(self, lane, more):
        if lane not in self.pending:  # a lane that has ended this epoch waits for the others
            self.records += more
            self.progress.emitted(lane, [ObjectBatch((), "o", self.records, last=False)])

    @precondition(lambda self: self.holder is not None)
    @rule()
    def lose(self):
        self.progress.release(self.holder, whole=False)
        self.holder = None

    @rule(lane=st.sampled_from(LANES))
    def snapshot(self, lane):
        if lane not in self.pending:
            self.pending[lane] = (self.progress.state(lane), self.records)
        if len(self.pending) == len(self.LANES):
            self.states = {lane: state for lane, (state, _) in self.pending.items()}
            self.receipted = max(records for _, records in self.pending.values())
            self.pending = {}

    @rule()
    def crash(self):
        before = self.receipted
        self.start(self.states)
        assert self.records == before


TestRestarts = Restarts.TestCase
TestRestarts.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
