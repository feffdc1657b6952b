"""A cluster of three hosts under every fault: events flow again, /healthz tells the truth, nothing is lost.

`pytest -m full tests/e2e/test_cluster_hosts.py` plays all of it, half an hour; figures are printed.
"""

import http.client
import pickle
import signal
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from tests.e2e.pods import Backlog, Ledger, Silences, World, world_of
from tests.fakes.collector import Collector, Launch, Stage, configuration
from tests.fakes.hosts import SERVERS, Host, inside, need_hosts
from tests.fakes.process import Background, Child, wait_until

_PORT, _STATUS_PORT = 9999, 3030
_BACK_OFF_SECONDS, _MOST_BACK_OFF_SECONDS = 10.0, 300.0
"""Of a kubelet: a container is started again at once, then after 10 s, 20 s, 40 s."""
_AGAIN_SECONDS = 60.0
_GAP_SECONDS = 3.0
"""A shorter pause is the interval's, not a fault's."""
_TIMEOUT = 180.0


class Member(Collector):
    """One process of the cluster on its host, started again as a kubelet does, `tend` by `tend`."""

    def __init__(self, world: World, host: Host, index: int) -> None:
        self.host, self.name, self.index = host, f"member-{index}", index
        told = world.output | {"host": self.name}
        outputs = {"devo": {"type": "devo_platform", "config": told | {"timestamp": "iso8601"}}}
        settings = configuration(world.services, outputs, world.stage.folder / self.name)
        super().__init__(world.stage.aws, world.stage.folder / self.name, settings, Launch("flows"))
        self.environment |= {
            "AWS_ENDPOINT_URL": world.endpoint,
            "BYTEWAX_PROCESS_ID": str(index),
            "COLLECTOR_CLUSTER_SECRET": "a secret of the tests",
            "COLLECTOR_STATUS": f"0.0.0.0:{_STATUS_PORT}",
        }
        self.wanted, self.ends, self._due = False, 0, 0.0

    def _commands(self) -> list[list[str]]:
        return [[*self.host.prefix, *command] for command in super()._commands()]

    def begin(self, addresses: str) -> None:
        """Start it as one of these."""
        self.environment["BYTEWAX_ADDRESSES"] = addresses
        self.wanted, self.ends, self._due = True, 0, 0.0
        self.start()

    def tend(self) -> None:
        """Start it again when it is due."""
        if not self.wanted or self.alive:
            return
        if not self._due:
            pause = _BACK_OFF_SECONDS * 2 ** (self.ends - 1) if self.ends else 0.0
            self._due = time.monotonic() + min(pause, _MOST_BACK_OFF_SECONDS)
            self.ends += 1
        elif time.monotonic() >= self._due:
            self._due = 0.0
            self.start()

    def lose(self) -> None:
        """Kill it, and leave it so."""
        self.wanted = False
        self.kill()

    def healthz(self) -> int:
        """Return what a kubelet on its host gets, 0 = no answer."""
        try:
            asked = inside(self.host.space.path, self._asked)
        except OSError:
            return 0
        with asked:
            return asked.status

    def _asked(self) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection("127.0.0.1", _STATUS_PORT, timeout=3)
        connection.request("GET", "/healthz")
        try:
            return connection.getresponse()
        except http.client.HTTPException as error:
            raise OSError(str(error)) from None
        finally:
            connection.close()

    def log(self) -> str:
        """Return what all its lives have logged."""
        return "".join(path.read_text(errors="replace") for path in sorted(self.folder.glob("log-*")))


class Cluster(Background):
    """Members on hosts; a thread tends them, and asks each for its health every second."""

    def __init__(self, world: World, count: int) -> None:
        super().__init__()
        self.world = world
        self.members = [Member(world, host, index) for index, host in enumerate(world.hosts[:count])]
        self.health: list[tuple[float, list[int]]] = []
        self._steps = threading.Lock()

    def __enter__(self):
        self.begin(len(self.members))
        return super().__enter__()

    def __exit__(self, *of_error: object) -> None:
        super().__exit__(*of_error)
        for member in self.members:
            member.kill()

    def begin(self, count: int) -> None:
        """Start so many."""
        hosts = self.world.hosts[:count]
        addresses = ";".join(f"{host.address}:{_PORT}" for host in hosts)
        for index in range(len(self.members), count):
            self.members.append(Member(self.world, hosts[index], index))
        for member in self.members[:count]:
            member.begin(addresses)

    def _run(self) -> None:
        asked = 0.0
        while not self._ended.wait(0.1):
            with self._steps:
                for member in self.members:
                    member.tend()
                wanted = [member for member in self.members if member.wanted]
            if time.monotonic() - asked >= 1.0:
                asked = time.monotonic()
                self.health.append((asked, [member.healthz() for member in wanted]))

    def resize(self, count: int) -> None:
        """Drain all and start so many, as an upgrade of the chart does."""
        with self._steps:
            for member in self.members:
                member.wanted = False
            ends = [member.children[0] for member in self.members if member.alive]
            for child in ends:
                child.signal(signal.SIGTERM)
            for child in ends:
                child.wait(_TIMEOUT)
            self.begin(count)


def kill(cluster: Cluster) -> None:
    """Kill one with -9."""
    cluster.members[1].kill()


def kill_four_times(cluster: Cluster) -> None:
    """Kill the same one four times in 75 s."""
    for number in range(4):
        if number:
            time.sleep(25)
        cluster.members[1].kill()


def cut(cluster: Cluster, seconds: float) -> None:
    """Cut the link of one host."""
    host = cluster.members[1].host
    host.cut()
    time.sleep(seconds)
    host.mend()


def mute(cluster: Cluster) -> None:
    """One host hears everybody, and nobody hears it."""
    host = cluster.members[1].host
    host.mute([SERVERS, *(other.address for other in cluster.world.hosts if other is not host)])
    time.sleep(60)
    host.mend()


def stop(cluster: Cluster) -> None:
    """SIGSTOP of one, for 60 s."""
    child = cluster.members[1].children[0]
    child.signal(signal.SIGSTOP)
    time.sleep(60)
    child.signal(signal.SIGCONT)


def lose_a_node(cluster: Cluster) -> None:
    """Let a host vanish, and start another one's process again meanwhile; then the host comes back."""
    gone, other = cluster.members[1], cluster.members[2]
    gone.host.cut()
    gone.lose()
    time.sleep(15)
    other.kill()
    time.sleep(45)
    gone.host.mend()
    gone.begin(gone.environment["BYTEWAX_ADDRESSES"])


def restart_twice(cluster: Cluster) -> None:
    """One is killed, and again as soon as it has begun."""
    for _ in range(2):
        ends = cluster.members[1].starts
        cluster.members[1].kill()
        wait_until(lambda ends=ends: cluster.members[1].starts > ends, _TIMEOUT, "it has begun")
        time.sleep(1)


def roll(cluster: Cluster) -> None:
    """Each is drained and started again, the last first, as a StatefulSet's update does."""
    for member in reversed(cluster.members):
        starts = member.starts
        member.children[0].signal(signal.SIGTERM)
        wait_until(lambda member=member, starts=starts: member.starts > starts, _TIMEOUT, "it has begun")
        wait_until(lambda: healthy(cluster), _TIMEOUT, "all are well", every=0.5)


def resize(cluster: Cluster) -> None:
    """Three become five, and one."""
    cluster.resize(5)
    wait_until(lambda: healthy(cluster), _TIMEOUT, "five are well", every=0.5)
    time.sleep(10)
    cluster.resize(1)


def healthy(cluster: Cluster) -> bool:
    """Tell whether all have said at the last look that they are well."""
    return bool(cluster.health) and all(code == 200 for code in cluster.health[-1][1])


FAULTS = {
    "kill -9 of one": kill,
    "four kills in 75 s": kill_four_times,
    "link down 5 s": lambda cluster: cut(cluster, 5),
    "link down 30 s": lambda cluster: cut(cluster, 30),
    "one direction lost 60 s": mute,
    "SIGSTOP 60 s": stop,
    "link down for good, back after 180 s": lambda cluster: cut(cluster, 180),
    "node gone, another restarts, node back": lose_a_node,
    "restarted twice in a row": restart_twice,
    "rolling restart": roll,
    "3 → 5 → 1": resize,
}


def untold(silences: Silences, cluster: Cluster, since: float) -> float:
    """Return the longest time, in seconds, for which nothing came and all said that they are well."""
    longest = 0.0
    for gap, end in silences.gaps:
        if gap <= _GAP_SECONDS or end < since:
            continue
        told = [at for at, codes in cluster.health if end - gap < at < end and set(codes) != {200}]
        longest = max(longest, (told[0] if told else end) - (end - gap))
    return longest


def play(
    cluster: Cluster, silences: Silences, fault: Callable[[Cluster], None], steady_seconds: float
) -> tuple[float, float]:
    """Play a fault and wait until events have flowed for a while; return when it began and ended."""
    began = time.monotonic()
    fault(cluster)
    ended = time.monotonic()

    def steady() -> bool:
        now = time.monotonic()
        last = max((end for gap, end in silences.gaps if gap > _GAP_SECONDS), default=began)
        flowing = bool(silences.gaps) and now - silences.gaps[-1][1] < _GAP_SECONDS
        return flowing and now - max(last, ended) > steady_seconds and healthy(cluster)

    try:
        wait_until(steady, _TIMEOUT, "events flow again, and all are well", every=0.5)
    except AssertionError as error:
        logs = [f"== {one.name}\n{one.tail(3000)}" for one in cluster.members if one.children]
        raise AssertionError("\n".join([str(error), str(cluster.health[-5:]), *logs])) from None
    return began, ended


def three_members(stack: ExitStack, stage: Stage, hosts: int) -> tuple[World, Cluster, Ledger, Backlog]:
    """Return a cluster of three that is well, and what it is to be fed with and judged by."""
    world = stack.enter_context(world_of(stage, hosts=hosts))
    cluster = stack.enter_context(Cluster(world, 3))
    wait_until(lambda: healthy(cluster), _TIMEOUT, "all are well", every=0.5)
    ledger, feed = Ledger(world.receiver, world.rows), Backlog(world.site, world.rows)
    feed.least = 5.0
    return world, cluster, ledger, feed


SHORT = "link down 5 s"


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[] if name == SHORT else pytest.mark.full) for name in FAULTS],
    ids=lambda name: name.replace(" ", "-").replace("→", "to"),
)
@pytest.mark.timeout(900)
def test_a_cluster_under_a_fault(stage, figures, name):
    """What arrives is what was put, once it flows again; while nothing comes, somebody says so."""
    need_hosts()
    with ExitStack() as stack:
        world, cluster, ledger, feed = three_members(stack, stage, hosts=5)
        with feed:
            world.receiver.wait_for(1, _TIMEOUT)
            with Silences(world.receiver) as silences:
                time.sleep(2)
                began, ended = play(cluster, silences, FAULTS[name], 5.0 if name == SHORT else 15.0)
        due = feed.objects * world.rows

        def arrived() -> bool:
            return world.receiver.size() >= due and not world.site.waiting()

        wait_until(arrived, _TIMEOUT, "all has arrived", every=0.5)
        ledger.look()
        quiet = untold(silences, cluster, began)
    lost = len(set(range(due)) - ledger.times.keys())
    twice = ledger.times.total() - len(ledger.times)
    again = max([0.0, *(end - ended for gap, end in silences.gaps if gap > _GAP_SECONDS)])
    what = f"lost {lost}, twice {twice} of {due}, nothing for {silences.longest:.0f} s"
    figures(
        f"{name}: {what}; flows {again:.0f} s after its end; silent and called well for at most {quiet:.0f} s"
    )
    assert (lost, ledger.torn) == (0, 0)
    if name != SHORT:
        assert again <= _AGAIN_SECONDS
        assert quiet <= _AGAIN_SECONDS


class Evil:
    """Makes a file where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return open, (str(self._path), "w")


_OTHER_FLOW = """
import bytewax.operators as op
from bytewax.connectors.stdio import StdOutSink
from bytewax.dataflow import Dataflow
from bytewax.testing import TestingSource

flow = Dataflow("other")
op.output("out", op.input("inp", flow, TestingSource(range(10))), StdOutSink())
"""


@pytest.mark.full
@pytest.mark.timeout(600)
def test_strangers_on_the_port_of_a_host(stage, figures, tmp_path):
    """Silent ones, garbage, a worker of another flow, a forged pickle: nobody restarts, nothing runs."""
    need_hosts()
    (tmp_path / "other.py").write_text(textwrap.dedent(_OTHER_FLOW))
    marked = tmp_path / "unpickled"
    evil = pickle.dumps(Evil(marked))
    with ExitStack() as stack:
        world, cluster, ledger, feed = three_members(stack, stage, hosts=4)
        stack.enter_context(feed)
        stranger = world.hosts[3]
        addresses = [f"{member.host.address}:{_PORT}" for member in cluster.members]
        peers = ";".join([*addresses[:2], f"{stranger.address}:{_PORT}"])
        command = [sys.executable, "-m", "bytewax.run", "other", "-i", "2", "-a", peers]
        worker = Child([*stranger.prefix, *command], tmp_path / "other.log", {}, tmp_path)
        stack.callback(worker.kill)
        for address in addresses:
            where = address.rpartition(":")[0]
            for said in (b"", bytes(100_000), b"\xc2\xf1\xfb\x77\x01\x18\xad\xd9" + bytes(8) + evil, evil):
                sock = stack.enter_context(world.network.connect(where, _PORT))
                with suppress(OSError):
                    sock.sendall(said)
        with Silences(world.receiver) as silences:
            world.receiver.wait_for(50 * world.rows, _TIMEOUT)
        feed.__exit__()
        due = feed.objects * world.rows
        wait_until(lambda: world.receiver.size() >= due, _TIMEOUT, "all has arrived")
        ledger.look()
        refused = sum(member.log().count("stranger_refused") for member in cluster.members)
        assert [member.starts for member in cluster.members] == [1, 1, 1]
    figures(f"strangers: {refused} told as refused; longest silence {silences.longest:.1f} s")
    assert not marked.exists()
    assert refused
    assert (set(range(due)) - ledger.times.keys(), ledger.torn) == (set(), 0)
    assert ledger.times.total() == len(ledger.times)
