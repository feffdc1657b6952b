"""The lease family inside bytewax: deletion after the receipt, death at any point, the drain."""

import threading
import time
from collections import Counter
from datetime import timedelta

import pytest
from bytewax import operators as op
from bytewax.dataflow import Dataflow
from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.testing import cluster_main
from msgspec.structs import replace

from sinks.answering_sink import answering
from sources.queues.lease import LeaseSource
from tests.sources.queues import leasing
from tests.sources.queues.leasing import FakeSqs, WordOpener
from transforms.receipt_request import ReceiptRequest
from transforms.telemetry import total

SINKS = 4
QUICK = replace(leasing.QUICK, drain_seconds=60.0)


class Outcome:
    """What a test's output saw: words written, words under a receipt, and how often it took one."""

    def __init__(self):
        self.written: list[str] = []
        self.receipted: set[str] = set()
        self.receipts = 0
        self.die_after = 0


class Output(FixedPartitionedSink):
    """An output that knows a word is safe only once a partition's snapshot has taken its receipt."""

    def __init__(self, outcome):
        self.outcome = outcome

    def list_parts(self):
        return [f"p{number}" for number in range(SINKS)]

    def build_part(self, *_):
        return _Part(self.outcome)


class _Part(StatefulSinkPartition):
    def __init__(self, outcome):
        self.outcome = outcome
        self.waiting = []

    def write_batch(self, items):
        time.sleep(0.001)
        words = [item.payload.decode().strip() for item in items]
        self.waiting += words
        self.outcome.written += words
        if 0 < self.outcome.die_after <= len(self.outcome.written):
            raise BrokenPipeError("the output dies on plan")

    def snapshot(self):
        time.sleep(0.002)
        self.outcome.receipted |= set(self.waiting)
        self.outcome.receipts += 1
        self.waiting = []


def keyed(item):
    """Deal blocks by their size; a request for a receipt goes to all."""
    if isinstance(item, ReceiptRequest):
        item.expect(SINKS)
        return [(f"p{number}", item) for number in range(SINKS)]
    return [(f"p{len(item.payload) % SINKS}", item)]


class Stage:
    """A queue, a source and an output, run as a dataflow as often as wanted."""

    def __init__(self, *bodies, options=QUICK):
        self.sqs, self.opener, self.options = FakeSqs(), WordOpener(), options
        self.sqs.send(*bodies)
        self.drain = threading.Event()
        self.outcome = Outcome()
        self.early: list[str] = []
        self.sqs.faults["delete_message_batch"] = self._deleting

    def _deleting(self, Entries, **_):  # noqa: N803 - boto3's spelling
        receipts = {entry["ReceiptHandle"] for entry in Entries}
        for message in list(self.sqs.messages):
            if message.receipt_handle in receipts:
                self.early += [word for word in message.body.split() if word not in self.outcome.receipted]

    def run(self, *, workers=1, epoch=0.05, recovery=None):
        flow = Dataflow("flow")
        source = LeaseSource("test", [self.sqs.queue], self.opener, self.options, self.drain)
        items = op.input("in", flow, source)
        op.output("out", op.flat_map("key", items, keyed), answering(Output(self.outcome)))
        cluster_main(
            flow,
            [],
            0,
            worker_count_per_proc=workers,
            epoch_interval=timedelta(seconds=epoch),
            recovery_config=RecoveryConfig(recovery, timedelta(0)) if recovery else None,
        )

    def drain_when(self, true):
        def watch():
            while not true():
                time.sleep(0.01)
            self.drain.set()

        threading.Thread(target=watch, daemon=True).start()


@pytest.fixture
def recovery(tmp_path):
    init_db_dir(tmp_path, 2)
    return tmp_path


def words(name, count):
    return [f"{name}-{'x' * (number % 7)}{number}" for number in range(count)]


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("epoch", [0.0, 0.05])
@pytest.mark.parametrize("durable", [False, True])
def test_h22_deleted_after_the_receipt_only(recovery, workers, epoch, durable):
    """No message is deleted before each of its events is under a receipt, wherever the outputs are."""
    bodies = [" ".join(words(f"m{number}", 5)) for number in range(40)]
    stage = Stage(*bodies, options=replace(QUICK, batch_bytes=2000))
    stage.drain_when(lambda: len(stage.outcome.written) >= 200)
    stage.run(workers=workers, epoch=epoch, recovery=recovery if durable else None)
    assert stage.early == []
    assert stage.sqs.messages == []
    assert Counter(stage.outcome.written) == Counter(word for body in bodies for word in body.split())


def test_h22_killed_dataflow_leaves_its_messages(recovery):
    """When an output dies, what is not under a receipt is in the queue again; the next run brings it."""
    bodies = [" ".join(words(f"m{number}", 5)) for number in range(40)]
    stage = Stage(*bodies, options=replace(QUICK, batch_bytes=2000))
    stage.outcome.die_after = 60
    with pytest.raises(BrokenPipeError):
        stage.run(recovery=recovery)
    left = {message.body for message in stage.sqs.messages}
    assert all(set(body.split()) <= stage.outcome.receipted for body in bodies if body not in left)
    assert left
    stage.sqs.advance(1000)
    assert stage.sqs.visible == len(left)
    stage.outcome.die_after = 0
    stage.drain_when(lambda: len(set(stage.outcome.written)) == 200)
    stage.run(recovery=recovery)
    assert stage.early == []
    assert stage.sqs.messages == []


def test_h22_half_an_object_goes_on_after_the_kill(recovery):
    """A large object that was half emitted goes on at the last receipt, not at its start."""
    body = " ".join(words("big", 300))
    stage = Stage(body, options=replace(QUICK, batch_bytes=2000))
    stage.outcome.die_after = 200
    with pytest.raises(BrokenPipeError):
        stage.run(epoch=0.0, recovery=recovery)
    known = set(stage.outcome.receipted)
    first = list(stage.outcome.written)
    stage.sqs.advance(1000)
    stage.outcome.die_after = 0
    stage.drain_when(lambda: len(set(stage.outcome.written)) == 300)
    stage.run(epoch=0.0, recovery=recovery)
    again = stage.outcome.written[len(first) :]
    assert len(known) > 50
    assert set(first) | set(again) == set(body.split())
    assert len(set(again) & known) < 50, "at most what the last epoch held"
    assert stage.sqs.messages == []


@pytest.mark.parametrize("workers", [1, 2])
def test_h22_drain_under_load(recovery, workers):
    """SIGTERM in the middle: the dataflow ends by itself, nothing stays in flight; the rest comes next."""
    bodies = [" ".join(words(f"m{number}", 3)) for number in range(300)]
    stage = Stage(*bodies, options=replace(QUICK, batch_bytes=2000, prefetch_bytes=1 << 14))
    stage.drain_when(lambda: len(stage.outcome.written) >= 90)
    stage.run(workers=workers, recovery=recovery)
    assert 0 < len(stage.sqs.messages) == stage.sqs.visible
    stage.drain.clear()
    stage.options = QUICK
    stage.drain_when(lambda: not stage.sqs.messages)
    stage.run(workers=workers, recovery=recovery)
    assert stage.early == []
    assert Counter(stage.outcome.written) == Counter(word for body in bodies for word in body.split())


def test_h22_other_number_of_workers_after_a_restart(recovery):
    """State of two workers is resumed by one, and the other way round: lanes are the same for ever."""
    stage = Stage(options=QUICK)
    for number, workers in enumerate((2, 1, 2)):
        expected = words(f"r{number}", 20)
        stage.sqs.send(*expected)
        stage.drain.clear()
        stage.drain_when(lambda wanted=expected: set(wanted) <= set(stage.outcome.written))
        stage.run(workers=workers, recovery=recovery)
        assert stage.sqs.messages == []
    assert max(Counter(stage.outcome.written).values()) == 1


FIFO = replace(QUICK, fetchers=0, receivers=2, early_receipts=True)
"""As services whose messages are the events read their queues."""


def test_s1_one_group_of_a_fifo_queue(recovery, figures):
    """Ten come at a time, the next when those are deleted: no epoch is waited for, order is kept."""
    stage = Stage(options=FIFO)
    bodies = [f"{number:04}" for number in range(300)]
    stage.sqs.send(*bodies, group="devo")
    stage.drain_when(lambda: not stage.sqs.messages)
    started = time.monotonic()
    stage.run(epoch=3.0, recovery=recovery)
    rate = len(bodies) / (time.monotonic() - started)
    figures(f"one FIFO group at an interval of 3 s: {rate:.0f} messages/s")
    assert stage.outcome.written == bodies
    assert stage.sqs.deleted == bodies
    assert not stage.early


@pytest.mark.parametrize("epoch", [0.05, 3.0])
@pytest.mark.parametrize("groups", [1, 3])
def test_s1_order_in_a_group_is_kept_under_kills(recovery, groups, epoch):
    """After each of ten kills a group goes on where its receipts end: none is lost, none overtakes."""
    stage = Stage(options=FIFO)
    sent = {f"g{group}": [f"{group}{number:03}" for number in range(60)] for group in range(groups)}
    for group, bodies in sent.items():
        stage.sqs.send(*bodies, group=group)
    for _ in range(10):
        stage.outcome.die_after = len(stage.outcome.written) + 5
        with pytest.raises(BrokenPipeError):
            stage.run(epoch=epoch, recovery=recovery)
        stage.sqs.advance(1000)
    stage.outcome.die_after = 0
    stage.drain_when(lambda: not stage.sqs.messages)
    stage.run(epoch=epoch, recovery=recovery)
    for group, bodies in sent.items():
        first = [word for word in dict.fromkeys(stage.outcome.written) if word[0] == group[1]]
        assert first == bodies
    assert set(stage.outcome.receipted) == {word for bodies in sent.values() for word in bodies}
    assert not stage.early


def test_r_repeats_are_counted(recovery):
    """What a kill leaves unreceipted comes again and is counted; what was receipted does not."""
    stage = Stage(*words("m", 200))
    stage.outcome.die_after = 60
    with pytest.raises(BrokenPipeError):
        stage.run(recovery=recovery)
    receipted, written = set(stage.outcome.receipted), list(stage.outcome.written)
    stage.outcome.die_after = 0
    stage.sqs.advance(1000)
    stage.drain_when(lambda: not stage.sqs.messages)
    before = total("repeated_events", service="test")
    stage.run(recovery=recovery)
    again = stage.outcome.written[len(written) :]
    assert not receipted & set(again)
    sent_twice = len(set(again) & set(written))
    assert sent_twice <= total("repeated_events", service="test") - before <= 200 - len(receipted)
