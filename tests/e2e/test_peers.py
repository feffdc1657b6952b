"""A cluster whose processes were started one by one, as pods are: each restarted alone, with a secret."""

import re
import signal
import socket
import threading
import time

import pytest

from tests.fakes.collector import Collector, Launch, configuration, output, services, verdict
from tests.fakes.corpus import FULL, corpus, expected
from tests.fakes.process import HOST, free_port, wait_until

_TIMEOUT = 120.0
_VISIBILITY_SECONDS = 6
_COUNT = 3


class Pod(Collector):
    """One process of the cluster; a thread starts it again a second after it has ended, as a kubelet does."""

    def __init__(self, stage, settings, index, addresses):
        super().__init__(stage.aws, stage.folder / f"pod-{index}", settings, Launch("flows"))
        self.environment |= {
            "BYTEWAX_ADDRESSES": ";".join(addresses),
            "BYTEWAX_PROCESS_ID": str(index),
            "COLLECTOR_CLUSTER_SECRET": "a secret of the tests",
        }
        self.ended, self.codes = threading.Event(), []
        self.keeper = threading.Thread(target=self._keep, daemon=True)

    def begin(self):
        self.start()
        self.keeper.start()

    def _keep(self):
        while not self.ended.wait(0.1):
            if not self.alive:
                self.codes.append(self.children[0].process.returncode)
                if not self.ended.wait(1.0):
                    self.start()

    def log(self):
        """Return what all its lives have logged."""
        return "".join(path.read_text(errors="replace") for path in sorted(self.folder.glob("log-*")))


class Pods:
    """All of them, and what they are fed with."""

    def __init__(self, stage, receiver):
        self.site = stage.site(visibility=_VISIBILITY_SECONDS)
        self.receiver = receiver
        chosen = services([self.site], auto=True, visibility_timeout_seconds=_VISIBILITY_SECONDS)
        settings = configuration(chosen, output(receiver.port, stage.certs), stage.folder)
        self.addresses = [f"{HOST}:{free_port()}" for _ in range(_COUNT)]
        self.pods = [Pod(stage, settings, index, self.addresses) for index in range(_COUNT)]
        self.sent, self.seed = [], 100

    def __enter__(self):
        for pod in self.pods:
            pod.begin()
        self.flow()
        return self

    def __exit__(self, *_):
        for pod in self.pods:
            pod.ended.set()
        for pod in self.pods:
            pod.keeper.join()
            pod.kill()

    def feed(self):
        self.seed += 1
        more = corpus({kind: count // 20 for kind, count in FULL.items()}, seed=self.seed)
        self.sent += more
        self.site.put(more)

    def flow(self):
        """Send something more; return in how many seconds all that was sent has arrived."""
        began = time.monotonic()
        self.feed()
        due = expected(self.sent, auto=True)

        def arrived():
            return self.receiver.size() >= due.total() and not self.site.waiting()

        try:
            wait_until(arrived, _TIMEOUT, "all has arrived", every=0.2)
        except AssertionError as error:
            raise AssertionError("\n".join([str(error), *(pod.tail(1500) for pod in self.pods)])) from None
        return time.monotonic() - began

    def lost(self):
        return verdict(expected(self.sent, auto=True), self.receiver.events()).lost


@pytest.fixture
def pods(stage, rsyslog):
    with Pods(stage, rsyslog) as started:
        yield started


def test_s8_a_lost_peer_is_one_line(pods, figures):
    """One is killed: the others say whom they have lost, in one line, and all begin again together."""
    pods.pods[1].children[0].signal(signal.SIGKILL)
    figures(f"cluster of {_COUNT}, one killed: events again after {pods.flow():.1f} s")
    for pod in (pods.pods[0], pods.pods[2]):
        told = [line for line in pod.log().splitlines() if "cluster_broken" in line]
        assert len(told) == 1, pod.log()
        assert re.search(r"lost process 1 at|process 1 at .* has begun again|lost process [02]", told[0])
        assert "panicked" not in pod.log()
        assert "Traceback" not in pod.log()
        assert pod.codes == [1]
    assert pods.lost() == 0


def test_s8_a_lone_drain_ends_when_it_has_drained(pods, figures):
    """A pod that is replaced ends well, long before its grace is over; the others begin again with it."""
    pod = pods.pods[2]
    began = time.monotonic()
    pod.children[0].signal(signal.SIGTERM)
    wait_until(lambda: pod.codes, _TIMEOUT, "it has ended")
    figures(f"a lone drain in a cluster: {time.monotonic() - began:.1f} s")
    assert pod.codes[0] == 0, pod.log()[-3000:]
    assert time.monotonic() - began < 40
    figures(f"events again after {pods.flow():.1f} s")
    assert pods.lost() == 0


def test_s2_strangers_on_the_port_change_nothing(pods):
    """Silent ones, garbage and a worker of another flow: nobody restarts, nothing is lost."""
    host, _, port = pods.addresses[0].rpartition(":")
    for said in (b"\xc2\xf1\xfb\x77\x01\x18\xad\xd9" + bytes(8), b"GET / HTTP/1.0\r\n\r\n", bytes(100_000)):
        with socket.create_connection((host, int(port))) as loud:
            try:
                loud.sendall(said)
            except OSError:
                continue
    wait_until(lambda: "stranger_refused" in pods.pods[0].log(), _TIMEOUT, "it is told")
    silent = [socket.create_connection((host, int(port))) for _ in range(40)]
    pods.flow()
    for one in silent:
        one.close()
    assert [pod.codes for pod in pods.pods] == [[]] * _COUNT
    assert pods.lost() == 0


@pytest.mark.full
def test_s3_a_process_that_is_stopped(pods, figures):
    """One hangs for longer than twenty intervals: the others end, name it, and all go on when it is back."""
    pods.pods[1].children[0].signal(signal.SIGSTOP)
    pods.feed()
    wait_until(lambda: "no epoch was closed" in pods.pods[0].log(), _TIMEOUT, "the watchdog has spoken")
    assert "nothing comes from process 1 at" in pods.pods[0].log()
    pods.pods[1].children[0].signal(signal.SIGCONT)
    figures(f"cluster of {_COUNT}, one stopped: events {pods.flow():.1f} s after it goes on")
    assert pods.lost() == 0


@pytest.mark.full
def test_a_rolling_restart_of_a_cluster(pods, figures):
    """All are replaced one after the other: all come back each time, and nothing is lost."""
    for pod in pods.pods:
        ends = len(pod.codes)
        pod.children[0].signal(signal.SIGTERM)
        wait_until(lambda pod=pod, ends=ends: len(pod.codes) > ends, _TIMEOUT, "it has ended")
        figures(f"rolling restart: events again after {pods.flow():.1f} s")
    assert pods.lost() == 0
