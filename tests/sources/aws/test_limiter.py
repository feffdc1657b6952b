"""Turns are given at the pace that AWS allows, within one process and among several."""

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sources.aws.limiter import Bucket, Chain, Limiters, SharedBucket, shared, turn
from sources.errors import SourceError


class Clock:
    """A clock that a test moves."""

    def __init__(self, now=1000.0):
        self.now = now

    def __call__(self):
        return self.now


def bucket(kind, clock, tmp_path, rate=2.0, burst=1):
    if kind == "shared":
        return SharedBucket("LookupEvents 1 eu-west-1", rate, burst, tmp_path, clock)
    return Bucket(rate, burst, clock)


BOTH = pytest.mark.parametrize("kind", ["own", "shared"])


@BOTH
def test_turns_are_spaced(kind, tmp_path):
    """The first turn is at once, each other one a gap later."""
    limiter = bucket(kind, Clock(), tmp_path)
    assert [round(limiter.reserve(), 3) for _ in range(4)] == [0, 0.5, 1.0, 1.5]


@BOTH
def test_time_gives_turns_back(kind, tmp_path):
    """Turns not taken are not saved up beyond the burst."""
    clock = Clock()
    limiter = bucket(kind, clock, tmp_path)
    limiter.reserve()
    clock.now += 60
    assert [round(limiter.reserve(), 3) for _ in range(2)] == [0, 0.5]


@BOTH
def test_a_burst_comes_at_once(kind, tmp_path):
    """As many turns as the burst come at once, then the pace holds."""
    limiter = bucket(kind, Clock(), tmp_path, burst=3)
    assert [round(limiter.reserve(), 3) for _ in range(5)] == [0, 0, 0, 0.5, 1.0]


@BOTH
def test_unlimited(kind, tmp_path):
    """A rate of 0 bounds nothing."""
    limiter = bucket(kind, Clock(), tmp_path, rate=0)
    assert {limiter.reserve() for _ in range(10)} == {0.0}


@given(st.lists(st.floats(0, 5), min_size=5, max_size=60), st.floats(0.2, 20), st.integers(1, 10))
def test_h14_no_window_holds_more_than_rate_and_burst(pauses, rate, burst):
    """Whatever the pauses between them, n turns never take less than (n - burst) gaps of time."""
    now, following, gap, times = 0.0, 0.0, 1 / rate, []
    for pause in pauses:
        now += pause
        wait, following = turn(now, following, gap, gap * (burst - 1))
        times.append(now + wait)
    for first in range(len(times)):
        for last in range(first, len(times)):
            turns = last - first + 1
            assert times[last] - times[first] >= (turns - burst) * gap - 1e-9


@BOTH
def test_drain_ends_the_wait(kind, tmp_path):
    """A thread that waits for its turn goes when the process drains, without having it."""
    limiter = bucket(kind, Clock(), tmp_path, rate=0.01)
    drain = threading.Event()
    assert limiter.wait(drain)
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(limiter.wait, drain)
        drain.set()
        assert waiting.result(30) is False


def test_threads_never_share_a_turn():
    """Threads that ask at the same moment get turns of their own."""
    limiter = Bucket(10, clock=Clock())
    with ThreadPoolExecutor(8) as pool:
        waits = sorted(round(wait, 6) for wait in pool.map(lambda _: limiter.reserve(), range(40)))
    assert waits == [round(number / 10, 6) for number in range(40)]


_PROCESS = """
import sys
from pathlib import Path
from sources.aws.limiter import SharedBucket
limiter = SharedBucket("LookupEvents 1 eu-west-1", 2, folder=Path(sys.argv[1]), clock=lambda: 1000.0)
sys.stdout.write("\\n".join(f"{limiter.reserve():.3f}" for _ in range(25)))
"""


def test_h14_processes_never_share_a_turn(tmp_path):
    """All processes of a machine together keep to the two requests a second of LookupEvents."""
    children = [
        subprocess.Popen([sys.executable, "-c", _PROCESS, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    waits = sorted(float(line) for child in children for line in child.communicate(timeout=300)[0].split())
    assert waits == [number / 2 for number in range(75)]


def test_names_do_not_meet(tmp_path):
    """Each account, region and API has its own turns."""
    one = SharedBucket("LookupEvents 1 eu-west-1", 2, folder=tmp_path, clock=Clock())
    other = SharedBucket("LookupEvents 2 eu-west-1", 2, folder=tmp_path, clock=Clock())
    assert (one.reserve(), other.reserve()) == (0, 0)


@pytest.mark.parametrize("content", ["9" * 30, "torn", "", "nan"])
def test_a_spoilt_file_delays_nobody(tmp_path, content):
    """A file of a former boot, torn by a full disk or empty, means: nobody waits."""
    limiter = SharedBucket("api", 2, folder=tmp_path, clock=Clock())
    (tmp_path / "api").write_text(content)
    assert [round(limiter.reserve(), 3) for _ in range(2)] == [0, 0.5]


def test_a_folder_that_cannot_be_used_is_told(tmp_path):
    """Without its folder the limit cannot be kept, and the error says what to do."""
    with pytest.raises(SourceError) as caught:
        SharedBucket("api", 2, folder=tmp_path / "none").reserve()
    assert "shared request limit cannot be kept" in caught.value.what
    assert "TMPDIR" in caught.value.hint


def test_own_folder_is_private(tmp_path, monkeypatch):
    """The default folder is this user's own; a link that somebody laid there is refused."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert SharedBucket("api", 2).reserve() == 0
    (folder,) = tmp_path.iterdir()
    assert folder.stat().st_mode & 0o077 == 0
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SourceError, match="somebody else"):
        SharedBucket("api", 2)


@pytest.mark.parametrize("squat", ["link", "file", "open folder"])
def test_a15_a_squatted_folder_stops_nobody(tmp_path, monkeypatch, caplog, squat):
    """What somebody else put in the folder's place: this process keeps half of the rate itself, and warns."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    folder = tmp_path / f"devo-aws-collector-{os.getuid()}"
    if squat == "link":
        folder.symlink_to(tmp_path)
    elif squat == "file":
        folder.touch()
    else:
        folder.mkdir()
        folder.chmod(0o777)
    limiter = shared({"api": 2.5}).of("1", "eu-west-1", "api")
    assert [round(limiter.reserve(), 1) for _ in range(2)] == [0, 1]
    assert "limit_not_shared" in caplog.text
    folder.rmdir() if squat == "open folder" else folder.unlink()
    assert limiter.reserve() == 0
    assert folder.stat().st_mode & 0o077 == 0


def test_the_slowest_of_several_limits_decides():
    """With a limit per second and one per day, both are kept."""
    clock = Clock()
    limiter = Chain([Bucket(2, clock=clock), Bucket(0.1, 2, clock)])
    assert [round(limiter.reserve(), 3) for _ in range(3)] == [0, 0.5, 10]
    assert Chain([]).reserve() == 0
    assert Chain([]).wait(threading.Event())


def test_one_limiter_for_each_account_region_and_api():
    """The same three words mean the same limiter, however many threads ask."""
    made = []

    def make(*key):
        made.append(key)
        return Bucket(1)

    limiters = Limiters(make)
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(lambda _: limiters.of("1", "eu-west-1", "LookupEvents"), range(32)))
    assert len(found) == 1
    assert limiters.of("1", "us-east-1", "LookupEvents") not in found
    assert made == [("1", "eu-west-1", "LookupEvents"), ("1", "us-east-1", "LookupEvents")]


@pytest.mark.parametrize(("late", "turns"), [(0.0, 1), (0.04, 1), (0.1, 2)])
def test_h14_who_wakes_too_late_takes_a_new_turn(tmp_path, late, turns):
    """On a busy machine two late turns would go together, and AWS would count three in a second."""
    now, waits = [100.0], []

    class Sleep:
        def wait(self, seconds):
            now[0] += seconds + (0 if waits else late)
            waits.append(seconds)
            return False

    bucket = SharedBucket("turns", 2, folder=tmp_path, clock=lambda: now[0])
    bucket.reserve()
    assert bucket.wait(Sleep())
    assert len(waits) == turns


def test_a_chain_waits_for_each_of_its_limits():
    """The last limit's turn is taken after the others have waited, so that it is kept to the moment."""
    order = []

    class Noted:
        def __init__(self, name):
            self.name = name

        def wait(self, drain):
            order.append(self.name)
            return not drain.is_set()

    drain = threading.Event()
    chain = Chain([Noted("own"), Noted("shared")])
    assert chain.wait(drain)
    drain.set()
    assert not chain.wait(drain)
    assert order == ["own", "shared", "own"]


def test_awss_rates_are_shared_by_all_who_ask(monkeypatch, tmp_path):
    """Two services, or two processes, of one account have one rate together, and other accounts their own."""
    monkeypatch.setattr(
        "sources.aws.limiter.SharedBucket", partial(SharedBucket, folder=tmp_path, clock=Clock())
    )
    one, other = shared({"FilterLogEvents": 5.0}), shared({"FilterLogEvents": 5.0})
    mine = ("123456789012", "eu-west-1", "FilterLogEvents")
    waits = [limiters.of(*mine).reserve() for limiters in (one, other) * 3]
    assert waits == pytest.approx([n / 5 / 0.8 for n in range(6)], rel=1e-4)
    assert other.of("210987654321", *mine[1:]).reserve() == 0
    assert other.of(mine[0], "us-east-1", mine[2]).reserve() == 0
    assert [other.of(*mine[:2], "ListMetrics").reserve() for _ in range(9)] == [0] * 9
