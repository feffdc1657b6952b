"""When a process ends by itself, and when it must not."""

import threading
import time

import pytest

from flows.cluster.watchdog import ClockWatch, EpochWatch
from flows.status.liveness import Liveness


class Link:
    """What the watch sees of a peer."""

    def __init__(self, name, *, silent=False, **state):
        self.name, self.heard, self.state = name, time.monotonic() - 1e6 * silent, state

    def __str__(self):
        return self.name


class Peers:
    def __init__(self, *links):
        self.links = links


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def watch(clock, *links, alone=False):
    """Return a watch of a dataflow that was called once, with an interval of 3 s."""
    liveness = Liveness(alone=alone, clock=clock)
    liveness.during("flowlogs", lambda: None)
    made = EpochWatch(3.0, liveness, Peers(*links) if links else None, threading.Event(), clock)
    return made, liveness


def test_s4_a_clock_that_steps_back_is_noticed():
    """A step of minutes is told, each once; a slow drift, a jump forward and little steps are not."""
    seen = ClockWatch(100.0)
    assert seen.stepped_back(1100.0, 1000.0) == 0
    assert seen.stepped_back(1700.0, 1001.0) == 0  # resumed: forward
    assert seen.stepped_back(1101.0, 1002.0) == 600.0
    assert seen.stepped_back(1102.0, 1003.0) == 0
    assert seen.stepped_back(1102.5, 1004.5) == 0  # by a second


def test_s3_no_epoch_for_twenty_intervals(clock):
    """Twenty intervals without an epoch's end, and who is silent: that is the cause, and no sooner."""
    made, liveness = watch(clock, Link("process 1 at b:1", silent=True), Link("process 2 at c:1", well=True))
    clock.now += 59
    assert made.look() == ""
    clock.now += 2
    assert made.look() == (
        "no epoch was closed for 61 s though the outputs are well; nothing comes from process 1 at b:1"
    )
    liveness.turned()
    assert made.look() == ""


def test_s3_an_output_that_is_down_is_waited_for(clock):
    """While an output here or elsewhere waits or tries again, epochs take as long as they must."""
    made, _ = watch(clock, Link("process 1", well=False))
    clock.now += 100
    assert made.look() == ""
    made, _ = watch(clock, Link("process 1", well=True))
    clock.now += 100
    made.hear("delivery_retried", {})
    assert made.look() == ""
    assert made.report()["well"] is False
    clock.now += 46
    assert made.look().startswith("no epoch was closed for 146 s")


@pytest.mark.parametrize("alone", [True, False])
def test_one_that_only_lacks_cpu_goes_on(clock, alone):
    """While calls return, however slowly, an epoch may take twenty minutes; after that something is wrong."""
    peers = [] if alone else [Link("process 1", well=True)]
    made, liveness = watch(clock, *peers, alone=alone)
    for _ in range(11):
        clock.now += 100
        liveness.during("one of five hundred inputs", lambda: None)
        clock.now += 5
        assert made.look() == ""
    clock.now += 50
    liveness.during("one of five hundred inputs", lambda: None)
    assert made.look().startswith("no epoch was closed for 1205 s")


def test_one_process_that_hangs_ends_too(clock):
    """Alone, it names what it is in; without a way to know of others, it says nothing."""
    made, liveness = watch(clock, alone=True)

    def look_later():
        clock.now += 121
        return made.look()

    assert liveness.during("parse", look_later).endswith("; this process is in parse")
    assert liveness.during("output", look_later) == ""
    clock.now += 119
    assert made.look() == ""
    clock.now += 2
    assert made.look().startswith("no epoch was closed for 363 s")
    made, _ = watch(clock)
    clock.now += 100
    assert made.look() == ""
