"""A local cluster (`flows run --processes N`) and what can end it: its group, its head, a member."""

import os
import signal
from contextlib import contextmanager
from pathlib import Path

from tests.fakes.collector import Launch, configuration, first_difference, output, services, settle, verdict
from tests.fakes.corpus import FULL, corpus, expected
from tests.fakes.process import wait_until

PAIR = Launch("flows", processes=2)
_TIMEOUT = 45.0
_VISIBILITY_SECONDS = 6


def members(head):
    """Return the process ids of a supervisor's children."""
    return [int(pid) for pid in Path(f"/proc/{head}/task/{head}/children").read_text().split()]


def running_state(pid):
    """Tell whether a process is alive; a zombie is not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@contextmanager
def cluster(stage, receiver, number):
    """Start a cluster and feed it; yields (collector, site, samples)."""
    site = stage.site(visibility=_VISIBILITY_SECONDS)
    chosen = services([site], auto=True, visibility_timeout_seconds=_VISIBILITY_SECONDS)
    collector = stage.collector(configuration(chosen, output(receiver.port, stage.certs), stage.folder), PAIR)
    samples = corpus({kind: count // 10 for kind, count in FULL.items()}, seed=number)
    try:
        collector.start()
        site.put(samples)
        receiver.wait_for(1, _TIMEOUT)
        yield collector, site, samples
    finally:
        collector.kill()


def test_h22_a_signal_to_the_whole_group_drains(stage, rsyslog):
    """Ctrl-C and systemd signal every process of the group: it drains all the same, and exits with 0."""
    with cluster(stage, rsyslog, 1) as (collector, site, samples):
        due = expected(samples, auto=True)
        settle(collector, rsyslog, [site], due.total(), _TIMEOUT)
        head = collector.children[0]
        os.killpg(head.pid, signal.SIGINT)
        assert head.wait(_TIMEOUT) == 0, head.tail()
    arrived = rsyslog.events()
    assert verdict(due, arrived).exactly_once, first_difference(due, arrived)


def test_h22_members_end_with_their_head(stage, rsyslog):
    """A supervisor that is killed leaves no process behind that would fight the next one for the state."""
    with cluster(stage, rsyslog, 2) as (collector, _, _):
        head = collector.children[0].pid
        left = members(head)
        assert len(left) == PAIR.processes
        os.kill(head, signal.SIGKILL)
        wait_until(lambda: not any(map(running_state, left)), _TIMEOUT, "the members have ended")


def test_h22_a_killed_member_is_replaced(stage, rsyslog):
    """One process of the cluster is killed: the cluster starts again and nothing is lost."""
    with cluster(stage, rsyslog, 3) as (collector, site, samples):
        old = members(collector.children[0].pid)
        os.kill(old[-1], signal.SIGKILL)
        more = corpus({kind: count // 20 for kind, count in FULL.items()}, seed=30)
        site.put(more)
        due = expected([*samples, *more], auto=True)
        settle(collector, rsyslog, [site], due.total(), _TIMEOUT)
        collector.drain()
    assert verdict(due, rsyslog.events()).lost == 0
