"""`next_batch` never waits for AWS: one partition that waits holds back every epoch of every service.

That timing is never asserted is waived for this contract (50 ms, however slow the API); see `watch.py`.
"""

import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from types import SimpleNamespace

import pytest

from tests.conformance.rig import Rig, Waits, play
from tests.conformance.waivers import over_rows
from tests.conformance.watch import Metronome, Slow, Watch, report

SLOW_SECONDS = 1.0
"""How long each call of AWS takes at least."""


def slow(rig: Rig) -> Waits:
    rig.proxy.add("latency", seconds=SLOW_SECONDS)
    wanted = rig.site.put(range(rig.row.few // 2))
    yield "all rows have put theirs", lambda: True
    yield from rig.finish(rig.start(), wanted)


@pytest.fixture(scope="module")
def seen(rigs, request) -> Iterator[SimpleNamespace]:
    """Return what was seen while every call took a second; all rows are driven by this one thread."""
    watches: dict[str, Watch] = {}

    def watched(name: str) -> Callable:
        watches[name] = Watch()
        return watches[name].over

    with rigs(wrap=watched) as all_of_them, Metronome() as metronome:
        failures = play(slow, all_of_them)
        slowed = {rig.row.name: rig.proxy.count(outcome="latency") for rig in all_of_them}
        capture = request.config.pluginmanager.getplugin("capturemanager")
        with capture.global_and_fixture_disabled():
            sys.stdout.write("\n" + "\n".join(report(watches, metronome)) + "\n")
        yield SimpleNamespace(watches=watches, failures=failures, slowed=slowed, metronome=metronome)


@over_rows("never_wait_in_a_callback")
def test_never_wait_in_a_callback(seen, row):
    """While each call of AWS takes a second, no callback touches a socket, sleeps, or waits for a thread."""
    if seen.failures[row.name]:
        raise seen.failures[row.name]
    assert seen.slowed[row.name] >= len(row.operations)
    assert seen.watches[row.name].calls
    assert not seen.watches[row.name].waits


@over_rows("return_within_50_ms")
def test_return_within_50_ms(seen, row):
    """While each call of AWS takes a second, no callback takes over 50 ms for a reason of its own.

    A callback that waited for AWS would take up to a second. What is short and rare on a machine that makes
    even the metronome late is noise; it needs no other excuse, and gets none where the metronome was in time.
    """
    unexplained = seen.metronome.unexplained(seen.watches[row.name])
    assert len(unexplained) <= seen.metronome.noise
    assert max(map(seen.metronome.left, unexplained), default=0) < SLOW_SECONDS / 4


def held() -> None:
    """Wait for a lock that somebody holds while they wait for AWS."""
    lock = threading.Lock()
    lock.acquire()
    threading.Timer(SLOW_SECONDS, lock.release).start()
    lock.acquire()


def asked() -> None:
    with closing(socket.socket()) as one:
        one.connect_ex(("127.0.0.1", 9))


@pytest.mark.parametrize(
    ("callback", "found"),
    [
        (lambda: time.sleep(0.001), {"sleep"}),
        (lambda: threading.Event().wait(0.001), {"Event.wait", "Condition.wait"}),
        (asked, {"socket.connect_ex", "socket.close"}),
        (lambda: threading.Thread(target=int).start(), set()),
        (lambda: [].append(1), set()),
    ],
    ids=["sleep", "event", "socket", "thread's start", "work"],
)
def test_the_first_witness_sees_waits(callback, found):
    """A sleep, a wait for a thread and a socket are seen in a callback, work is not."""
    watch = Watch()
    watch.call("it", callback)
    assert found <= watch.waits
    assert bool(found) == bool(watch.waits)


def test_the_second_witness_sees_a_held_lock():
    """A callback that waits for a lock is late alone: nothing explains it."""
    watch = Watch()
    with Metronome() as metronome:
        watch.call("it", held)
    assert not watch.waits
    assert metronome.unexplained(watch) == watch.slow != []


@pytest.mark.parametrize(
    ("late", "unready", "left"),
    [((1.0, 1.2), 0, 0), ((1.1, 5.0), 0, 0.1), ((2.0, 3.0), 0, 0.2), ((2.0, 3.0), 0.15, 0.05)],
)
def test_a_machine_explains_what_it_took(late, unready, left):
    """The time in which the metronome was late as well, or the thread did not get to run, is taken off."""
    metronome = Metronome()
    metronome.late = [late]
    assert metronome.left(Slow("it", 1.0, 1.2, unready)) == pytest.approx(left)
