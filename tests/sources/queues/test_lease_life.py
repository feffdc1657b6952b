"""A lease's life: which steps it allows, and that no order of them loses, doubles or keeps a message."""

import logging
import threading

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from sources.errors import ObjectBusy
from sources.queues import lease_manager
from sources.queues.inbox import BatchInbox
from sources.queues.lease_life import Lease, LeaseState, LeaseStepError, Ledger
from sources.queues.lease_manager import LeaseManager
from sources.queues.message_opener import ObjectBatch
from sources.queues.object_progress import ALL, ObjectProgress
from sources.queues.sqs import CEILING_SECONDS, Message, SqsQueue
from tests.sources.queues.leasing import FakeSqs, aws_error
from transforms.block import Block, Origin

VISIBILITY, DELAY = 30, 7
RARELY = st.sampled_from([False] * 7 + [True])


class Manager:
    """What a ledger needs of a lease's manager."""

    lock = threading.RLock()


@pytest.fixture(autouse=True)
def _locked():
    """Hold what guards the steps of leases: here one thread does all."""
    with Manager.lock:
        yield


def lease(*steps):
    """Return a lease that has taken some steps."""
    made = Lease(Message("m", "r", "", queue="q"), Manager, 0.0, VISIBILITY)
    for step, *values in steps:
        getattr(made, step)(*values)
    return made


FETCHED = [("fetch",), ("begin",), ("end", None)]
CONFIRMED = [*FETCHED, ("emit",), ("seal",), ("confirm",)]


@pytest.mark.parametrize(
    ("before", "step"),
    [
        ([], ("emit",)),
        ([], ("leave",)),
        ([("fetch",)], ("fetch",)),
        (FETCHED, ("begin",)),
        (FETCHED, ("confirm",)),  # begun: its receipt is not here
        (FETCHED, ("seal",)),
        (FETCHED[:1], ("confirm",)),
        ([*FETCHED, ("emit",)], ("confirm",)),
        ([*FETCHED, ("lose",)], ("lose",)),
        ([*CONFIRMED, ("leave",)], ("lose",)),
        ([*CONFIRMED, ("leave",)], ("extend", 1.0)),
        ([*CONFIRMED, ("lose",)], ("leave",)),
        ([*CONFIRMED, ("lose",)], ("extend", 1.0)),
        ([*CONFIRMED, ("leave",), ("leave_done",)], ("leave",)),
        ([("end", 0), ("confirm",)], ("extend", 1.0)),
    ],
)
def test_a_step_that_the_state_does_not_allow_is_an_error(before, step):
    """What would delete too early, twice or what is somebody else's is refused, and says what happened."""
    one = lease(*before)
    state = one.state
    with pytest.raises(LeaseStepError, match=f"a lease that is {state.value} .*: message m of queue q"):
        getattr(one, step[0])(*step[1:])
    assert one.state is state


def test_a_lease_that_emitted_nothing_needs_no_receipt():
    """It goes from its fetcher to its end at once, and from a drain without a fetcher."""
    for steps in ([("fetch",), ("end", None)], [("end", 0)]):
        one = lease(*steps, ("confirm",), ("leave",), ("leave_done",))
        assert one.state is (LeaseState.SETTLED if one.back is None else LeaseState.GIVEN_BACK)


def test_a_lost_lease_goes_its_way_and_stays_lost():
    """What it claimed is let go when its receipt comes; it is never deleted."""
    one = lease(("fetch",), ("begin",), ("lose",), ("end", None), ("emit",), ("seal",), ("confirm",))
    assert one.lost
    assert one.ended


def test_its_end_is_decided_once():
    """A drain and a fetcher may both end it: the first one counts."""
    one = lease(("fetch",), ("end", 0))
    assert not one.end(None)
    assert one.back == 0


def test_settles_after_seal_and_call():
    """What was emitted is settled by the first next_batch after the snapshot, not before."""
    ledger, first, second = Ledger(), lease(*FETCHED), lease(*FETCHED)
    ledger.emitted(first)
    assert ledger.confirm() == []
    ledger.seal()
    ledger.emitted(second)
    assert ledger.confirm() == [first]
    assert ledger.confirm() == []


@pytest.mark.parametrize("seals", [1, 2, 3])
def test_snapshots_in_a_row_settle_all(seals):
    """Epochs without a next_batch between them are confirmed together."""
    ledger, leases = Ledger(), [lease(*FETCHED) for _ in range(seals)]
    for one in leases:
        ledger.emitted(one)
        ledger.seal()
    assert ledger.confirm() == leases
    assert len(ledger) == 0


class Contract(RuleBasedStateMachine):
    """bytewax's calls in any order, beside a model that remembers when each lease was emitted."""

    def __init__(self):
        super().__init__()
        self.ledger = Ledger()
        self.epoch = 0
        self.emitted_in: dict[Lease, int] = {}
        self.settled: list[Lease] = []

    @rule()
    def emit(self):
        one = lease(*FETCHED)
        self.ledger.emitted(one)
        self.emitted_in[one] = self.epoch

    @rule()
    def snapshot(self):
        self.ledger.seal()
        self.epoch += 1

    @rule()
    def next_batch(self):
        settled = self.ledger.confirm()
        assert all(self.emitted_in[one] < self.epoch for one in settled)
        self.settled += settled
        assert {one for one, epoch in self.emitted_in.items() if epoch < self.epoch} == set(self.settled)

    @invariant()
    def once_each(self):
        assert len(set(self.settled)) == len(self.settled)
        assert len(self.ledger) == len(self.emitted_in) - len(self.settled)


TestContract = Contract.TestCase
TestContract.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)


class WatchedSqs(FakeSqs):
    """A queue that remembers what was asked about each handle, and notes what no collector may ask."""

    def __init__(self):
        super().__init__()
        self.over: dict[str, str] = {}
        self.delivered: dict[str, int] = {}
        self.forbidden: set[str] = set()
        self.wrong: list[str] = []

    def _each(self, operation, asked, act):
        for entry in asked["Entries"]:
            handle = entry["ReceiptHandle"]
            if handle in self.over:
                self.wrong.append(f"asked again of what was {self.over[handle]}")
            if handle in self.forbidden:
                self.wrong.append("asked about a lost lease")

        def watched(message, entry):
            if "VisibilityTimeout" not in entry:
                if self.delivered.get(message.body, 0) < len(message.body.split()):
                    self.wrong.append("deleted before its receipt")
                self.over[entry["ReceiptHandle"]] = "deleted"
            elif entry["VisibilityTimeout"] in {0, DELAY}:
                self.over[entry["ReceiptHandle"]] = "given back"
            act(message, entry)

        return super()._each(operation, asked, watched)


FAULTS = {
    "fine": None,
    "throttled": aws_error("Any", "ThrottlingException"),
    "denied": aws_error("Any", "AccessDenied", 403),
    "internal": {
        "Failed": [{"Id": str(n), "Code": "InternalError", "SenderFault": False} for n in range(10)]
    },
}


class LeaseLife(RuleBasedStateMachine):
    """One process after another on one queue, by hand; manager, inbox, ledger and progress are real.

    An epoch's events count as delivered when its receipt comes; a crash throws away all that was not.
    """

    def __init__(self):
        super().__init__()
        self.sqs = WatchedSqs()
        self.sent = 0
        self.saved: dict = {}
        self.linger = lease_manager._LINGER_SECONDS
        lease_manager._LINGER_SECONDS = 0.0
        self.begin()
        for words in (1, 1, 2, 3):
            self.send(words)

    def begin(self):
        """Start a process from what the last receipted epoch knows."""
        self.progress = ObjectProgress()
        self.progress.load("lane-0", self.saved)
        self.manager = LeaseManager("test", SqsQueue(self.sqs.queue), VISIBILITY, self.progress.settled)
        self.manager.clock = lambda: self.sqs.now
        self.manager.lock.acquire()  # this thread is all threads
        self.manager._pause = lambda _seconds: False
        self.inbox, self.ledger = BatchInbox(1 << 30), Ledger()
        self.ready: list[Lease] = []
        self.fetching: dict[Lease, list[ObjectBatch]] = {}
        self.leases: list[Lease] = []
        self.emitted: dict[str, int] = {}
        self.sealed: list[tuple[dict, dict]] = []
        self.draining = False

    # the queue

    @rule(words=st.integers(1, 3))
    def send(self, words):
        self.sent += 1
        self.sqs.send(" ".join(f"{self.sent}.{n}" for n in range(words)))

    @rule(seconds=st.sampled_from([1, VISIBILITY / 2, VISIBILITY - 1, VISIBILITY + 1]), far=RARELY)
    def advance(self, seconds, far):
        self.sqs.advance(CEILING_SECONDS if far else seconds)

    @precondition(lambda self: self.sqs.messages)
    @rule(data=st.data())
    def steal(self, data):
        """Somebody else receives a message that we hold, as after a pause longer than its lease."""
        message = data.draw(st.sampled_from(self.sqs.messages))
        message.receipt_handle = f"stolen {len(self.sqs.calls)}"
        message.visible_at = self.sqs.now + VISIBILITY

    # a process

    @precondition(lambda self: self.sqs.visible and not self.draining)
    @rule(most=st.integers(1, 10))
    def receive(self, most):
        messages = self.manager.queue.receive(0, VISIBILITY, most)
        leases = [Lease(one, self.manager, self.sqs.now, self.sqs.now + VISIBILITY) for one in messages]
        self.manager.hold(leases)
        self.ready += leases
        self.leases += leases

    @precondition(lambda self: self.ready and not self.draining)
    @rule(data=st.data())
    def fetch(self, data):
        one = data.draw(st.sampled_from(self.ready))
        self.ready.remove(one)
        one.fetch()
        body = one.message.body
        try:
            done = self.progress.claim(body, one)
        except ObjectBusy:
            self.end(one, DELAY)
            return
        words = body.split()
        cuts = [
            ObjectBatch((Block(f"{word}\n".encode(), 1, Origin("test")),), body, number)
            for number, word in enumerate(words, 1)
            if number > done
        ]
        self.fetching[one] = [*cuts, ObjectBatch((), body, len(words), last=True)] if done < ALL else []

    @precondition(lambda self: self.sqs.visible and not self.draining)
    @rule(fails=st.booleans(), emits=st.booleans(), far=st.booleans())
    def quickly(self, fails, emits, far):
        """Receive one message and come to its end at once, as mostly happens."""
        self.receive(1)
        one = self.ready[-1]
        self.fetch(Last())
        while one in self.fetching:
            self.go_on(Last(), fails=fails)
        if emits:
            self.emit(1 << 30)
        if far:
            self.sqs.advance(VISIBILITY - 1)

    @precondition(lambda self: self.fetching)
    @rule(data=st.data(), fails=st.booleans())
    def go_on(self, data, fails):
        """Put a fetcher's next cut, let it come to its end, or fail."""
        one = data.draw(st.sampled_from(list(self.fetching)))
        cuts = self.fetching[one]
        if cuts and not fails and self.inbox.put(one, cuts[0], lambda: False):
            cuts.pop(0)
        else:
            self.end(one, DELAY if cuts else None)

    def end(self, one, back):
        self.fetching.pop(one, None)
        if self.inbox.end(one, back) and not one.begun:
            one.confirm()
            self.settle([one])

    @rule(size=st.sampled_from([1, 1 << 20]))
    def emit(self, size):
        cuts = []
        for one, cut in self.inbox.take(size):
            if cut is None:
                self.ledger.emitted(one)
            elif not one.lost:
                cuts.append(cut)
        self.progress.emitted("lane-0", cuts)
        self.emitted |= {cut.object_id: cut.records for cut in cuts}

    @rule()
    def seal(self):
        self.ledger.seal()
        self.sealed.append((dict(self.emitted), self.progress.state("lane-0")))

    @precondition(lambda self: self.sealed)
    @rule()
    def confirm(self):
        """Let the outputs have finished every epoch that was closed, and call the lane again."""
        for emitted, saved in self.sealed:
            self.saved = saved
            self.sqs.delivered |= {k: max(v, self.sqs.delivered.get(k, 0)) for k, v in emitted.items()}
        self.sealed = []
        self.settle(self.ledger.confirm())

    def settle(self, leases):
        for one in leases:
            self.progress.release(one, whole=one.back is None and not one.lost)
        self.manager.settle(leases)

    @precondition(lambda self: self.manager._leaving)
    @rule(fault=st.sampled_from(sorted(FAULTS)))
    def finish(self, fault):
        """Delete a lot or give it back, as a settler does."""
        self.manager._stopped = True  # it does not wait for more
        lot = self.manager._next_lot()
        self.manager._stopped = False
        if lot:
            with Faults(self.sqs, FAULTS[fault]):
                self.manager._finish(lot)

    @rule(fault=st.sampled_from(sorted(FAULTS)))
    def beat(self, fault):
        """Extend what is due, and learn what is lost."""
        with Faults(self.sqs, FAULTS[fault]):
            self.manager.extend_due(self.sqs.now)

    @rule(now=RARELY)
    def drain(self, now):
        """Give back what has not begun, and stop at a cut what has."""
        if not now:
            return
        self.draining = True
        for one in self.ready:
            one.end(0)
            one.confirm()
        self.settle(self.ready)
        self.ready = []
        for one in list(self.fetching):
            self.end(one, 0)

    @rule(now=RARELY)
    def crash(self, now):
        if now:
            self.sqs.forbidden.clear()
            self.begin()

    @rule(fault=st.sampled_from(sorted(FAULTS)), between=st.booleans())
    def epoch(self, fault, between):
        """Close an epoch, prove it and end what it held; the next one may have begun meanwhile."""
        self.emit(1 << 30)
        self.seal()
        if between and self.sqs.visible and not self.draining:
            self.quickly(fails=False, emits=True, far=False)
        self.confirm()
        if self.manager._leaving:
            self.finish(fault)

    # what always holds

    @invariant()
    def nothing_wrong_was_asked(self):
        assert self.sqs.wrong == []

    @invariant()
    def a_lost_lease_is_left_alone(self):
        self.sqs.forbidden |= {one.message.receipt_handle for one in self.leases if one.lost}

    @invariant()
    def what_is_held_is_ours(self):
        held = {one for one in self.leases if one.held or one.state is LeaseState.LEAVING}
        assert set(self.manager._held) == held
        assert self.manager._open >= sum(one.state is LeaseState.CONFIRMED for one in self.leases)

    @invariant()
    def one_end(self):
        assert all((one.back is None) == (one.state is LeaseState.SETTLED) for one in self.ended())

    def ended(self):
        return [one for one in self.leases if one.state in {LeaseState.SETTLED, LeaseState.GIVEN_BACK}]

    def teardown(self):
        """Everything that was ever sent comes to its end, in this process and after one more crash."""
        try:
            for _ in range(2):
                self.run_out()
                assert not self.manager._held
                assert not self.progress._claims
                assert self.manager.idle
                self.crash(now=True)
                self.sqs.advance(VISIBILITY + 1)
                self.run_out()
                assert self.sqs.messages == []
                assert self.sqs.wrong == []
        finally:
            lease_manager._LINGER_SECONDS = self.linger

    def run_out(self):
        """Go on without a fault until nothing is left to do."""
        for _ in range(20):
            while self.sqs.visible and not self.draining:
                self.receive(10)
            for one in [*self.ready, *self.fetching]:
                if one in self.ready:
                    self.fetch(Last())
            while self.fetching:
                self.go_on(Last(), fails=False)
            self.emit(1 << 30)
            self.seal()
            self.confirm()
            while self.manager._leaving:
                self.finish("fine")
            self.sqs.advance(DELAY)
            self.beat("fine")
            if not (self.sqs.messages or self.manager._held or self.draining):
                return


class Last:
    """Draws the last of what there is."""

    def draw(self, strategy):
        return strategy.elements[-1]


class Faults:
    """Lets both calls that end or extend a lease fail for a while."""

    def __init__(self, sqs, fault):
        self.sqs, self.fault = sqs, fault

    def __enter__(self):
        if self.fault is not None:
            for operation in ("delete_message_batch", "change_message_visibility_batch"):
                self.sqs.faults[operation] = self.fail

    def fail(self, **_):
        if isinstance(self.fault, Exception):
            raise self.fault
        return self.fault

    def __exit__(self, *_):
        self.sqs.faults.clear()


@pytest.mark.parametrize(
    "examples", [100, pytest.param(10_000, marks=[pytest.mark.full, pytest.mark.timeout(3600)])]
)
def test_no_order_of_steps_loses_or_keeps_a_message(examples, caplog):
    """Received, emitted, receipted, lost, given back, drained, crashed in any order: everything arrives."""
    caplog.set_level(logging.CRITICAL, logger="collector")  # else all that it says is kept
    quiet = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
    lot = min(examples, 500)  # hypothesis remembers every choice of a run: 150 KB an example
    once = settings(max_examples=lot, stateful_step_count=40, deadline=None, suppress_health_check=quiet)
    for _ in range(examples // lot):
        run_state_machine_as_test(LeaseLife, settings=once)
