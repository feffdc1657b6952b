"""Replicas as a Deployment has them: pods on hosts, started again, added, drained, evicted."""

import random
import re
import signal
import time
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import accumulate
from operator import itemgetter
from typing import Self

from tests.chaos.load import flow_log
from tests.fakes.certs import make_certs
from tests.fakes.collector import Collector, Launch, Site, Stage, configuration, output, services
from tests.fakes.corpus import Sample
from tests.fakes.hosts import SERVERS, Host, Network
from tests.fakes.process import Background, wait_until
from tests.fakes.receivers import Receiver, need, running

_STATUS_PORT = 3030
_RESTART_SECONDS = 1.0
_TICK_SECONDS = 0.1
_TIMEOUT = 90.0
_SECOND = len("2026-01-01T00:00:00")
"""Times of the log have no fractions: what a log tells of the same second counts as later."""

_LINE = re.compile(
    rb"<14>([0-9T:.-]+Z) (\S+) cloud\.aws\.vpc\.\w+: 2 000123456789 eni-(\d{10}) 10\.\d+\.\d+\.\d+ "
    rb"10\.0\.0\.9 \d+ 443 6 7 840 (\d+) \d+ ACCEPT OK\n"
)


def now() -> str:
    """Return the time as lines and logs tell it, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass
class Life:
    """One life of a process. receipts: (time, events).

    faults: (begin, end) of each that it suffered; begin "": all receipts were before.
    """

    name: str
    how: str
    ended: str
    receipts: list[tuple[str, int]]
    faults: list[tuple[str, str]]


class Pod(Collector):
    """A replica on a host; its lines name it."""

    def __init__(self, world: "World", host: Host, number: int, interval: int) -> None:
        self.name, self.host, self.number = f"replica-{number}", host, number
        self.world, self.ready, self.since, self.kills = world, False, time.monotonic(), 0
        self.lives: list[Life] = []
        self.faults: list[tuple[str, str]] = []
        self._ended_at = 0.0
        told = world.output | {"host": self.name, "timestamp": "iso8601"}
        outputs = {"devo": {"type": "devo_platform", "config": told}}
        settings = configuration(world.services, outputs, world.stage.folder / self.name)
        launch = Launch("flows", interval=interval)
        super().__init__(world.stage.aws, world.stage.folder / self.name, settings, launch)
        self.environment |= {
            "AWS_ENDPOINT_URL": world.endpoint,
            "COLLECTOR_ONLY": "queues",
            "COLLECTOR_DEBUG": "1",
            "COLLECTOR_LOG": "json",
            "COLLECTOR_STATUS": f"0.0.0.0:{_STATUS_PORT + number}",
        }
        self.start()

    def _commands(self) -> list[list[str]]:
        return [[*self.host.prefix, *command] for command in super()._commands()]

    def look(self) -> None:
        """See whether it is ready, and start it again when it has ended, as a kubelet does."""
        if not self.alive:
            if not self._ended_at:
                self.end("died")
            elif time.monotonic() - self._ended_at > _RESTART_SECONDS:
                self._ended_at = 0.0
                self.start()
        elif not self.ready and self.host.up:
            asked = self.world.network.get(self.host.address, _STATUS_PORT + self.number, "/readyz", 1.0)
            self.ready = asked[0] == 200

    def end(self, how: str) -> None:
        """Note that a life has ended."""
        code = self.children[0].process.wait()
        assert how != "died", f"{self.name} ended with {code}:\n{self.tail()}"
        if self.host in self.world.cut:
            self.faults.append((self.world.cut[self.host], now()))
        receipts = [(told["time"], told["events"]) for told in self.told("receipt_taken")]
        self.lives.append(Life(self.name, how, now(), receipts, self.faults))
        self.faults, self.ready, self._ended_at = [], False, time.monotonic()

    def hit(self, how: str) -> None:
        """SIGKILL it."""
        self.kill()
        self.faults.append(("", now()))
        self.kills += 1
        self.end(how)


class Ledger:
    """Which line arrived of which life. rows: lines of an object."""

    def __init__(self, receiver: Receiver, rows: int) -> None:
        self._tail, self._rows = receiver.tail(), rows
        self.lines: dict[str, list[tuple[str, int]]] = defaultdict(list)
        self.times: Counter[int] = Counter()
        self.torn = 0

    def look(self) -> None:
        """Read what is new."""
        for chunk in self._tail.grown():
            found = _LINE.findall(chunk)
            self.torn += chunk.count(b"\n") - len(found)
            for date, name, number, row in found:
                event = int(number) * self._rows + int(row)
                self.times[event] += 1
                self.lines[name.decode()].append((date.decode(), event))

    def at_risk(self, lives: Sequence[Life]) -> list[tuple[set[int], set[int]]]:
        """Return of each life the events without a receipt at its faults, and those of the last before."""
        by_name = defaultdict(list)
        for life in sorted(lives, key=lambda one: one.ended):
            by_name[life.name].append(life)
        found = {}
        for name, own in by_name.items():
            lines = sorted(self.lines[name], key=itemgetter(0))
            ends = [life.ended for life in own]
            sent: list[dict[int, str]] = [{} for _ in own]
            for date, event in lines:
                sent[min(bisect_right(ends, date), len(own) - 1)].setdefault(event, date)
            found |= {id(life): _risks(life, events) for life, events in zip(own, sent, strict=True)}
        return [found[id(life)] for life in lives]


def _risks(life: Life, sent: dict[int, str]) -> tuple[set[int], set[int]]:
    """Return what had no receipt at the faults of a life, and what the last receipt before was for."""
    borders = [0, *accumulate(count for _, count in life.receipts)]
    times = [moment for moment, _ in life.receipts]
    events = list(sent.items())
    bare: set[int] = set()
    leaving: set[int] = set()
    for begin, end in life.faults:
        before = bisect_left(times, begin[:_SECOND]) if begin else len(times)
        after = bisect_right(times, end) + 1  # SQS may have answered while the link was cut
        until = times[after] if begin and after < len(times) else life.ended
        bare |= {event for event, date in events[borders[before] :] if date <= until}
        leaving |= {event for event, _ in events[borders[max(before - 1, 0)] : borders[before]]}
    return bare, leaving


class Silences(Background):
    """Notes for how long nothing arrived, each time that something did again."""

    def __init__(self, receiver: Receiver) -> None:
        super().__init__()
        self._receiver = receiver
        self.gaps: list[tuple[float, float]] = []

    def _run(self) -> None:
        seen, since = self._receiver.size(), time.monotonic()
        while not self._ended.wait(0.05):
            if (size := self._receiver.size()) != seen:
                at = time.monotonic()
                self.gaps.append((at - since, at))
                seen, since = size, at
        self.gaps.append((time.monotonic() - since, time.monotonic()))

    @property
    def longest(self) -> float:
        return max((gap for gap, _ in self.gaps), default=0.0)


class Backlog(Background):
    """Puts objects so that the queue has so many messages; at least `least` a second."""

    def __init__(self, site: Site, rows: int) -> None:
        super().__init__()
        self._site, self._rows = site, rows
        self.messages, self.least, self.objects = 0, 0.0, 0

    def _run(self) -> None:
        due = 0.0
        while not self._ended.wait(_TICK_SECONDS):
            due = min(due + self.least * _TICK_SECONDS, 10.0)
            count = min(max(self.messages - self._site.waiting(), int(due)), 20)
            due -= min(due, count)
            lot = [
                Sample("flowlogs", *flow_log(number, self._rows), ())
                for number in range(self.objects, self.objects + count)
            ]
            self._site.put(lot)
            self.objects += count


@dataclass
class World:
    """Everything around the pods. cut: hosts without a link, and since when."""

    stage: Stage
    network: Network
    receiver: Receiver
    site: Site
    visibility: int
    rows: int
    hosts: list[Host] = field(default_factory=list)
    cut: dict[Host, str] = field(default_factory=dict)

    @property
    def services(self):
        return services(
            [self.site], auto=False, only=["flowlogs"], visibility_timeout_seconds=self.visibility
        )

    @property
    def output(self):
        assert self.receiver.certs
        return output(self.receiver.port, self.receiver.certs)["devo"]["config"] | {"address": SERVERS}

    @property
    def endpoint(self) -> str:
        return f"http://{SERVERS}:{self.stage.aws.url.rpartition(':')[2]}"


@contextmanager
def world_of(stage: Stage, hosts: int, visibility: int = 10, rows: int = 20) -> Iterator[World]:
    """Make hosts, a receiver that they reach, and one queue with its bucket."""
    certs = make_certs(stage.folder / "certs-of-hosts", server_names=("127.0.0.1", SERVERS))
    need("rsyslog")
    for receiver in running("rsyslog", stage.folder / "receiver", certs):
        site = stage.site(visibility=visibility)
        site.queues = {name: queue for name, queue in site.queues.items() if name == "flowlogs"}
        with Network() as network:
            network.publish(int(stage.aws.url.rpartition(":")[2]), receiver.port)
            world = World(stage, network, receiver, site, visibility, rows)
            world.hosts = [network.host() for _ in range(hosts)]
            yield world


class Deployment:
    """Pods, as many as are wanted.

    interval: of receipts. evict: seconds after which a host without a link loses its pods.
    """

    def __init__(self, world: World, interval: int = 1, evict: float = 40.0) -> None:
        self.world, self.interval, self.evict, self.wanted = world, interval, evict, 0
        self.pods: list[Pod] = []
        self.leaving: list[Pod] = []
        self.lost: list[Pod] = []
        self.all: list[Pod] = []
        self.down: dict[Host, float] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for pod in self.all:
            pod.kill()

    def ready(self) -> list[Pod]:
        """Return the pods that work, and can be reached."""
        return [pod for pod in self.pods if pod.ready and pod.alive and pod.host.up]

    def add(self) -> Pod:
        """Start one more on the host with the fewest."""
        crowd = Counter(pod.host for pod in self.pods)
        host = min((host for host in self.world.hosts if host.up), key=lambda one: crowd[one])
        pod = Pod(self.world, host, len(self.all), self.interval)
        self.all.append(pod)
        self.pods.append(pod)
        return pod

    def drain(self, pod: Pod) -> None:
        """Ask one to end well."""
        self.pods.remove(pod)
        self.leaving.append(pod)
        wait_until(lambda: pod.children[0].catches(signal.SIGTERM) or not pod.alive, _TIMEOUT, "a handler")
        pod.children[0].signal(signal.SIGTERM)

    def tend(self) -> None:
        """One round of what a Deployment, its kubelets and its node controller do."""
        for pod in [pod for pod in self.leaving if not pod.alive]:
            pod.end("drained")
            assert pod.children[0].process.returncode == 0 or pod.lives[-1].faults, pod.tail()
            self.leaving.remove(pod)
        for pod in self.pods:
            if pod.host.up:
                pod.look()
        for host in [host for host, since in self.down.items() if time.monotonic() - since > self.evict]:
            gone = [pod for pod in self.pods if pod.host is host]
            self.pods = [pod for pod in self.pods if pod.host is not host]
            self.lost += gone
            del self.down[host]
        while len(self.pods) < self.wanted:
            self.add()
        while len(self.pods) > self.wanted:
            self.drain(self._next())

    def _next(self) -> Pod:
        """Return the one to go: not ready, of the host with the most, the youngest."""
        crowd = Counter(pod.host for pod in self.pods)
        return min(self.pods, key=lambda pod: (pod.ready and pod.host.up, -crowd[pod.host], -pod.number))

    def until(self, true: Callable[[], object], what: str, timeout: float = _TIMEOUT) -> None:
        """Tend until something is true."""

        def tended() -> object:
            self.tend()
            return true()

        wait_until(tended, timeout, what, every=_TICK_SECONDS)

    def finish(self) -> list[Life]:
        """Drain all that can be, kill what is cut off; return all lives."""
        self.wanted = 0
        self.until(lambda: not self.pods and not self.leaving, "all have drained")
        for pod in self.lost:
            if pod.alive:
                pod.kill()
                pod.end("cut off")
        return [life for pod in self.all for life in pod.lives]


class Faults:
    """What is done to a deployment, and to its hosts; each only while another replica works on."""

    def __init__(self, pods: Deployment, seed: int) -> None:
        self._pods, self._random = pods, random.Random(seed)
        self._mending: dict[Host, float] = {}
        self.done: list[tuple[float, str]] = []

    def kill(self) -> bool:
        """Kill one with -9."""
        ready = self._pods.ready()
        if len(ready) < 2:
            return False
        pod = min(ready, key=lambda one: (one.kills, self._random.random()))
        pod.hit("kill -9")
        return self._note(f"kill -9 of {pod.name}")

    def cut(self, seconds: float) -> bool:
        """Cut a host's link. seconds: 0 = for good."""
        host = self._victim()
        if host:
            self._cut(host)
            if seconds:
                self._mending[host] = time.monotonic() + seconds
            else:
                self._pods.down[host] = time.monotonic()
            how = f"for {seconds:g} s" if seconds else "for good"
            return self._note(f"link of host {host.number} cut {how}")
        return False

    def node(self) -> bool:
        """Let a host vanish: first its link, so that nobody is told, then all that runs there."""
        host = self._victim()
        if host:
            self._cut(host)
            for pod in self._on(host):
                pod.hit("node gone")
            self._pods.down[host] = time.monotonic()
            return self._note(f"host {host.number} gone")
        return False

    def mend(self) -> None:
        """Mend the links that are due."""
        for host in [host for host, at in self._mending.items() if time.monotonic() >= at]:
            host.mend()
            begin = self._pods.world.cut.pop(host)
            for pod in self._on(host):
                pod.faults.append((begin, now()))
            del self._mending[host]

    def _cut(self, host: Host) -> None:
        host.cut()
        self._pods.world.cut[host] = now()

    @property
    def mended(self) -> bool:
        return not self._mending

    def _on(self, host: Host) -> list[Pod]:
        return [pod for pod in (*self._pods.pods, *self._pods.leaving) if pod.host is host and pod.alive]

    def _victim(self) -> Host | None:
        """Return a host that works, and without which another one does."""
        ready = {pod.host for pod in self._pods.ready()}
        leaving = {pod.host for pod in self._pods.leaving}
        choice = sorted(ready - leaving, key=lambda host: host.number)
        return self._random.choice(choice) if len(ready) > 1 and choice else None

    def _note(self, what: str) -> bool:
        self.done.append((time.monotonic(), what))
        return True
