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

from flows.process.epoch_alignment import EpochAlignment

EPOCH, PAUSE, LANES, LAST = 0.3, 0.05, 4, 20


class Lane(StatefulSourcePartition):
    """Busy ones count their calls by epoch; idle ones wake at the same moments, a pause apart."""

    def __init__(self, calls, name, *, busy):
        self.calls, self.name, self.busy, self.epoch = calls, name, busy, 0

    def next_batch(self):
        if self.epoch == LAST:
            raise StopIteration
        if self.busy:
            self.calls[self.name, self.epoch] += 1
            time.sleep(0.0005)
        return [1] if self.busy else []

    def next_awake(self):
        if self.busy:
            return None
        return datetime.fromtimestamp((time.time() // PAUSE + 1) * PAUSE, UTC)

    def snapshot(self):
        self.epoch += 1
        return self.epoch


class Source(FixedPartitionedSource):
    def __init__(self, calls, *, busy):
        self.calls, self.busy = calls, busy

    def list_parts(self):
        return [f"lane-{number}" for number in range(LANES)]

    def build_part(self, _step_id, for_part, _state):
        return Lane(self.calls, for_part, busy=self.busy)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_busy_source_is_called_beside_idle_ones(workers):
    """Left to themselves, lanes that sleep end each epoch later, until a busy one is called once in it."""
    calls, epochs = Counter(), EpochAlignment(EPOCH)
    dataflow = Dataflow("epochs")
    streams = [op.input(f"source-{n}", dataflow, epochs.source(Source(calls, busy=n == 0))) for n in range(4)]
    op.output("out", op.merge("all", *streams), TestingSink([]))
    cluster_main(dataflow, [], 0, epoch_interval=timedelta(seconds=EPOCH), worker_count_per_proc=workers)
    for number in range(LANES):
        assert median(calls[f"lane-{number}", epoch] for epoch in range(LAST // 2, LAST)) >= 3, calls


@pytest.mark.parametrize(
    ("wish", "sealed", "asked", "now", "called"),
    [
        (105.0, 100.0, 104.0, 104.0, 105.0),  # idle, far from the end
        (115.0, 100.0, 104.0, 104.0, 110.2),  # sleeps no longer than until the last lane's epoch is over
        (110.1, 100.0, 104.0, 104.0, 110.2),  # and does not end its own before
        (105.0, 100.0, 104.0, 105.0, 105.0),  # busy: at once
        (109.99, 100.0, 104.0, 109.99, 110.2),  # busy, and early by its next call
        (109.99, 100.2, 104.0, 109.99, 109.99),  # busy, and not early
        (112.0, 100.0, 110.2, 110.3, 112.0),  # called for the end: this is it
        (112.0, 100.0, 110.1, 110.3, 110.301),  # called before it: bytewax may have looked too early
        (100.3, 90.2, 100.2, 100.3, 115.2),  # early by a whole epoch: it ends half an interval later
    ],
)
def test_lanes_are_called_until_the_last_ends(wish, sealed, asked, now, called):
    """Who ended the last epoch early waits for the end that is the last lane's, and nobody sleeps over it."""
    epochs = EpochAlignment(10.0)
    epochs.seal(1, 100.2)
    epochs.seal(1, 100.0)
    assert epochs.call(wish, 1, sealed, asked, now) == pytest.approx(called)


@pytest.mark.parametrize(
    ("asked", "receipted", "lag"),
    [
        (0.0, 0.0, 2.0),  # busy: since it ended its epoch
        (0.0, 100.5, 1.5),  # what its own outputs took was no waiting
        (101.8, 100.5, 0.2),  # nor what it slept
        (103.0, 100.5, 0.0),
    ],
)
def test_a_process_that_was_early_waits_as_long_the_next_time(asked, receipted, lag):
    """What it waited for others counts, and only for one epoch; alone there is nobody to wait for."""
    for alone in (True, False):
        epochs = EpochAlignment(10.0, alone=alone, receipted=lambda: receipted)
        epochs.seal(1, 100.0)
        epochs.begin(1, asked, 102.0)
        assert epochs.call(200.0, 1, 100.0, 103.0, 104.0) == pytest.approx(110.0 + (0 if alone else lag))
        epochs.seal(2, 111.5)
        assert epochs.call(200.0, 2, 111.5, 112.0, 112.0) == 121.5


def test_lanes_that_have_not_ended_are_not_put_off():
    """While one lane after the other ends its epoch, those that have not are called as they wish."""
    epochs = EpochAlignment(10.0)
    epochs.seal(1, 100.0)
    epochs.seal(2, 110.0)
    assert epochs.call(110.0, 1, 100.0, 110.0, 110.0) == 110.0


def test_wrapped_parts_are_built_asked_and_closed():
    """State goes in, state comes out, batches pass, and close is passed on."""
    passed = []

    class One(Source):
        def build_part(self, step_id, for_part, state):
            passed.append((step_id, for_part, state))
            lane = super().build_part(step_id, for_part, state)
            lane.close = lambda: passed.append("closed")
            return lane

    source = EpochAlignment(10.0).source(One(Counter(), busy=True))
    lane = source.build_part("step", "lane-0", {"v": 1})
    assert source.list_parts() == [f"lane-{number}" for number in range(LANES)]
    assert [lane.next_batch(), lane.next_awake(), lane.snapshot()] == [[1], None, 1]
    lane.close()
    assert passed == [("step", "lane-0", {"v": 1}), "closed"]
