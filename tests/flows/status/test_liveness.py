"""Whether the dataflow turns: an outage is no illness, a hang is one."""

import threading

import pytest
from bytewax import operators as op
from bytewax.dataflow import Dataflow
from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition
from bytewax.testing import run_main

from flows.status.liveness import Liveness
from tests.fakes.process import wait_until
from tests.flows.status.acting import Stop
from transforms.block import Block, Origin

BLOCK = Block(b"x\n", 1, Origin("flowlogs"), "a.b")


class Time:
    """A clock that is set by hand."""

    at = 1000.0

    def __call__(self):
        return self.at


@pytest.fixture
def time():
    return Time()


def turned(time, **options):
    liveness = Liveness(grace=60, clock=time, **options)
    liveness.during("a source", lambda: None)
    return liveness


def test_a_process_that_has_not_begun_is_well(time):
    """Waiting for the other processes of a cluster to come is no illness, however long it takes."""
    liveness = Liveness(grace=60, clock=time)
    time.at += 10_000
    assert liveness.unhealthy_reason() == ""


def test_a_dataflow_that_does_not_turn_is_ill(time):
    """Within the grace nothing is wrong, after it is, and the next turn cures it."""
    liveness = turned(time)
    time.at += 59
    assert liveness.unhealthy_reason() == ""
    time.at += 31
    assert liveness.unhealthy_reason() == "the dataflow has not turned for 90 s"
    liveness.during("a source", lambda: None)
    assert liveness.unhealthy_reason() == ""


def test_an_outage_is_no_illness(time):
    """An output that waits for its receiver, or rests between two attempts, gives signs of life."""
    liveness = turned(time)

    def write():
        for _ in range(100):
            time.at += 50
            liveness.beat()
            assert liveness.unhealthy_reason() == ""
        liveness.beat(rest=300)
        time.at += 350
        assert liveness.unhealthy_reason() == ""
        time.at += 20
        assert liveness.unhealthy_reason() == "the dataflow has not turned for 370 s, it is in output"

    liveness.during("output", write)


def test_a_process_of_a_cluster_may_wait_for_the_others(time):
    """In a cluster nothing of ours is called while another process is blocked; a call that hangs is ill."""
    liveness = turned(time, alone=False)
    time.at += 10_000
    assert liveness.unhealthy_reason() == ""

    def hang():
        time.at += 61
        assert liveness.unhealthy_reason() == "the dataflow has not turned for 61 s, it is in quarantine"

    liveness.during("quarantine", hang)
    time.at += 10_000
    assert liveness.unhealthy_reason() == ""


def test_what_a_call_raises_passes(time):
    """The end of a source, or its error, comes through, and leaves nobody inside."""
    liveness = turned(time, alone=False)
    with pytest.raises(StopIteration):
        liveness.during("a source", lambda: next(iter(())))
    time.at += 10_000
    assert liveness.unhealthy_reason() == ""


class Source(FixedPartitionedSource):
    def list_parts(self):
        return ["lane-0"]

    def build_part(self, *_):
        return Lane()


class Lane(StatefulSourcePartition):
    def __init__(self):
        self.left = [BLOCK]
        self.closed = False

    def next_batch(self):
        if not self.left:
            raise StopIteration
        return [self.left.pop()]

    def snapshot(self):
        return {"left": len(self.left)}

    def close(self):
        self.closed = True


class Sink(FixedPartitionedSink):
    def __init__(self):
        self.written = []

    def list_parts(self):
        return ["p0"]

    def build_part(self, *_):
        return Writer(self.written)


class Writer(StatefulSinkPartition):
    def __init__(self, written):
        self.written = written

    def write_batch(self, values):
        self.written += values

    def snapshot(self):
        return len(self.written)


def test_a_real_dataflow_that_hangs_in_a_step_is_ill_until_it_goes_on():
    """Watched source, transform and sink do what they did; a transform that hangs is named."""
    liveness, stop, sink = Liveness(grace=0.2), Stop(), Sink()
    flow = Dataflow("watched")
    stream = op.input("in", flow, liveness.source(Source()))
    stream = op.flat_map("events", stream, liveness.transform("flowlogs", stop))
    op.output("out", op.map("key", stream, lambda block: ("p0", block)), liveness.sink("output", sink))
    runs = threading.Thread(target=run_main, args=(flow,), daemon=True)
    runs.start()
    assert stop.entered.wait(60)
    wait_until(lambda: "it is in flowlogs" in liveness.unhealthy_reason(), 60, "the hang is noticed")
    stop.go_on.set()
    runs.join(60)
    assert sink.written == [BLOCK]
