"""Sources that sleep, and workers that are early, do not keep a busy source from being called."""

import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from statistics import median

import bytewax.operators as op
import pytest
from bytewax.dataflow import Dataflow
from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from bytewax.testing import TestingSink, cluster_main

from flows.epochs import Epochs, Span, Worker

EPOCH, PAUSE, LANES, AHEAD = 0.2, 0.05, 4, 25


class Lane(StatefulSourcePartition):
    """Busy ones count their calls by epoch; idle ones wake at the same moments, a pause apart."""

    def __init__(self, calls, *, busy):
        self.calls, self.busy, self.epoch = calls, busy, 0

    def next_batch(self):
        if self.epoch == AHEAD:
            raise StopIteration
        if self.busy:
            self.calls[self.epoch] += 1
            time.sleep(0.0005)
        return [1] if self.busy else []

    def next_awake(self):
        if self.busy:
            return None
        return datetime.fromtimestamp((time.time() // PAUSE + 1) * PAUSE, UTC)

    def snapshot(self):
        self.epoch += 1


class Source(FixedPartitionedSource):
    def __init__(self, calls, *, busy):
        self.calls, self.busy = calls, busy

    def list_parts(self):
        return [f"lane-{number}" for number in range(LANES)]

    def build_part(self, _step_id, _for_part, _state):
        return Lane(self.calls, busy=self.busy)


def calls_by_epoch(workers):
    """Run a busy source beside three idle ones; return how often the busy one was called in each epoch."""
    calls, epochs = Counter(), Epochs(EPOCH)
    dataflow = Dataflow("epochs")
    streams = [op.input(f"source-{n}", dataflow, epochs.source(Source(calls, busy=n == 0))) for n in range(4)]
    op.output("out", op.merge("all", *streams), TestingSink([]))
    cluster_main(dataflow, [], 0, epoch_interval=timedelta(seconds=EPOCH), worker_count_per_proc=workers)
    return [calls[epoch] for epoch in range(AHEAD)]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_busy_source_is_called_beside_idle_ones(workers):
    """Left to themselves, lanes that sleep end each epoch later, until a busy one is called once in it."""
    calls = calls_by_epoch(workers)
    assert median(calls[AHEAD // 2 :]) > 5 * LANES, calls


@pytest.mark.parametrize(
    ("wish", "earliest", "asked", "now", "step", "called"),
    [
        (105.0, 110.0, 104.0, 104.0, 0.0, 105.0),  # idle, far from the end
        (115.0, 110.0, 104.0, 104.0, 0.0, 110.2),  # sleeps no longer than until the last lane's epoch is over
        (110.1, 110.0, 104.0, 104.0, 0.0, 110.2),  # and does not end its own before
        (105.0, 110.0, 104.0, 105.0, 0.02, 105.0),  # busy: at once
        (109.99, 110.0, 104.0, 109.99, 0.02, 110.2),  # busy, and early by its next call
        (109.99, 110.2, 104.0, 109.99, 0.02, 109.99),  # busy, and not early
        (112.0, 110.0, 110.2, 110.3, 0.0, 112.0),  # called for the end: this is it
        (112.0, 110.0, 110.1, 110.3, 0.0, 110.301),  # called before it: bytewax may have looked too early
    ],
)
def test_lanes_are_called_until_the_last_ends(wish, earliest, asked, now, step, called):
    """Who ended the last epoch early waits for the end that is the last lane's, and nobody sleeps over it."""
    assert Span(earliest, 110.2).call(wish, step, asked, now) == pytest.approx(called)


def test_a_worker_that_was_early_waits_as_long_the_next_time():
    """What it waited for others counts, not what its own outputs took; and only for one epoch."""
    worker = Worker(10.0)
    worker.seal(1, 99.0)
    worker.seal(1, 100.0)
    worker.done = 100.5
    worker.begin(1, 102.0)
    worker.begin(1, 103.0)
    assert worker.end(1) == 111.5
    worker.seal(2, 111.5)
    assert worker.end(2) == 121.5


def test_lanes_that_have_not_ended_keep_the_old_end():
    """While one lane after the other ends its epoch, the rest is not put off by those that have."""
    worker = Worker(10.0)
    worker.seal(1, 100.0)
    worker.seal(2, 110.0)
    assert worker.end(1) == 110.0


def test_wrapped_parts_are_built_and_closed():
    """State goes in, state comes out, and close is passed on."""
    passed = []

    class One(Source):
        def build_part(self, step_id, for_part, state):
            passed.append((step_id, for_part, state))
            lane = super().build_part(step_id, for_part, state)
            lane.close = lambda: passed.append("closed")
            return lane

    lane = Epochs(10.0).source(One(Counter(), busy=False)).build_part("step", "lane-0", {"v": 1})
    lane.close()
    assert passed == [("step", "lane-0", {"v": 1}), "closed"]
