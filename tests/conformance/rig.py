"""Rows of the catalogue at work: their sources, as `flows.catalogue.build` makes them, driven by hand.

Between boto3 and the emulators stands a proxy for each row; nothing of the collector is replaced. Only pauses
are shortened (`impatient`), so that what has to be tried again is tried again soon.

A scenario is what one row goes through, told as a generator of what it waits for:

    def scenario(rig):
        wanted = rig.site.put(range(9))
        started = rig.start()
        yield "the first events", lambda: started.lines
        …

`play` lets all rows go through it at once, their lanes driven by one thread as one worker of bytewax would:
what one row waits for costs the others nothing.
"""

import json
import pickle
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from flows.catalogue.service import ConfiguredService, RunContext, Source
from flows.catalogue.services import every, units
from flows.config.load import load
from flows.demo.embedded import EmbeddedAws
from flows.steps import apply
from sources.aws.limiter import SharedBucket
from sources.queues.lease import LeaseOptions
from tests.conformance.rows import Place, Row, Site
from tests.fakes.fake_aws import server as fake_aws
from tests.fakes.faultproxy import Call, FaultProxy
from tests.fakes.ministack import ACCOUNT, REGION
from tests.fakes.process import wait_until
from tests.fakes.strict import StrictMinistack, admit, ruled
from tests.sources.queues.leasing import Run
from transforms.block import Block, Poison, Transform

LONG = 90.0
"""Seconds that anything may take on a busy machine."""

TIGHT = 8
"""Bytes that may be fetched ahead: one page or piece at a time waits for each lane."""

IAM = {
    "sqs.DeleteMessageBatch": "sqs:DeleteMessage",
    "sqs.ChangeMessageVisibilityBatch": "sqs:ChangeMessageVisibility",
}
"""Operations whose action has another name."""


def _action(call: Call) -> str:
    """Return the IAM action that AWS checks a request against: one that names a version needs another."""
    action = IAM.get(call.op, call.op.replace(".", ":"))
    return f"{action}Version" if call.op == "s3.GetObject" and "versionId=" in call.target else action


FREE = {
    "sqs:GetQueueAttributes": "asked once for a queue's policy; without it buckets are not learnt",
    "sts:GetCallerIdentity": "AWS answers it to everybody, no policy can deny it",
    "sts:AssumeRole": "of the credentials, not of a service; asked for where they name a role",
}
"""Actions that no row declares, with the reason."""

Wait: TypeAlias = tuple[str, Callable[[], object]]
Waits: TypeAlias = Iterator[Wait]
Scenario: TypeAlias = Callable[["Rig"], Waits]


@dataclass
class Started:
    """A running row."""

    unit: ConfiguredService
    drain: threading.Event
    run: Run
    transform: Transform
    poison: list[Poison] = field(default_factory=list)
    _read: int = 0
    _lines: list[bytes] = field(default_factory=list)

    @property
    def lines(self) -> list[bytes]:
        """Return the events so far, as they go to the outputs."""
        fresh = self.run.items[self._read :]
        self._read += len(fresh)
        for item in apply(self.transform)(fresh):
            if isinstance(item, Block):
                self._lines += item.payload.splitlines()
            else:
                self.poison.append(item)
        return self._lines

    @property
    def ahead(self) -> bool:
        """Tell that something was fetched and waits to be emitted."""
        return any(len(lane._inbox) for lane in self.run.lanes.values())

    def call(self) -> None:
        """Call every lane once, without an end of the epoch."""
        for lane in self.run.lanes.values():
            self.run.items += lane.next_batch()

    def sealed(self) -> dict[str, Any]:
        """End the epoch; return the snapshots of all lanes as the recovery store would give them back."""
        self.run.states |= {key: lane.snapshot() for key, lane in self.run.lanes.items()}
        return pickle.loads(pickle.dumps(self.run.states))  # noqa: S301 - made in this line


@dataclass(frozen=True, slots=True)
class Rig:
    """What a scenario plays on. lead: endpoint variables. credentials: the configuration's.

    wrap: what is put around each source.
    """

    row: Row
    place: Place
    site: Site
    proxy: FaultProxy
    folder: Path
    lead: Mapping[str, str]
    credentials: Mapping[str, str]
    wrap: Callable[[Source], Source]
    running: list[Started] = field(default_factory=list)

    def start(self, states: Mapping[str, Any] | None = None, ahead: int = 48 << 20) -> Started:
        """Load the configuration, build the row's source and all its lanes. ahead: see `RunContext`."""
        unit, drain = self.unit(), threading.Event()
        source = self.wrap(unit.service.source(unit, RunContext(drain, self.folder, ahead)))
        started = Started(unit, drain, Run(source, dict(states or {})), unit.service.transform(unit))
        self.running.append(started)
        return started

    def unit(self) -> ConfiguredService:
        """Return the row's unit of its configuration, loaded anew: with an account and clients of its own.

        The clients are made here, while boto3 is led to this row's proxy.
        """
        path = self.folder / "config.json"
        given = {"id": "10001", "credentials": dict(self.credentials), "services": self.site.services}
        path.write_text(json.dumps({"globals": {}, "inputs": {"aws": given}, "outputs": {}}))
        if isinstance(self.place.aws, StrictMinistack):
            admit(self.place.aws.state, path, ACCOUNT if self.row.leases else self.place.account)
        (unit,) = units(load(path))
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self.lead.items():
                patch.setenv(name, value)
            for service in {operation.split(".")[0] for operation in self.row.operations}:
                unit.account.client(service, "" if service == "sts" else REGION)
        return unit

    def finish(self, started: Started, expected: Iterable[bytes], before: Iterable[bytes] = ()) -> Waits:
        """Wait until exactly these events have come, those of an earlier life included, and no more."""
        wanted, had = Counter(expected), Counter(before)
        total = wanted.total() - had.total()
        yield f"{total} events", lambda: len(started.lines) >= total
        asked = self.asked_on()
        yield (
            "it asks on and nothing waits",
            lambda: self.site.empty() and (not self.row.repeats or self.asked_on() >= asked + 2),
        )
        came = had + Counter(started.lines)
        assert not started.poison
        assert self.undeclared == set()
        assert (came - wanted, wanted - came) == (Counter(), Counter())

    @property
    def declared(self) -> set[str]:
        """Return the IAM actions that the row declares."""
        return set(every()[self.row.name].actions)

    @property
    def asked(self) -> set[str]:
        """Return the IAM actions behind everything that was asked so far."""
        return {_action(call) for call in list(self.proxy.log)}

    @property
    def undeclared(self) -> set[str]:
        """Return the actions that were asked for and are neither declared nor free."""
        return self.asked - self.declared - set(FREE)

    def asked_on(self) -> int:
        """Return how often the row has asked for what is new."""
        return self.proxy.count(self.row.operations[-1])

    def round(self) -> None:
        """Call every lane of all that runs once."""
        for started in self.running:
            started.run.round()

    @property
    def threads(self) -> list[str]:
        """Return the names of the row's threads."""
        named = (thread.name for thread in threading.enumerate())
        return [name for name in named if name.startswith(f"{self.row.name}-")]

    def close(self) -> None:
        """Let all that was started end."""
        for started in self.running:
            started.drain.set()
            started.run.close()


@dataclass
class _Turn:
    """A row's way through a scenario. what, met: what it waits for."""

    rig: Rig
    waits: Waits
    what: str = "its start"
    met: Callable[[], object] = lambda: True
    deadline: float = 0.0
    over: bool = False
    failure: Exception | None = None

    def step(self) -> None:
        """Drive the row's lanes once; go on when what it waits for has come."""
        try:
            self.rig.round()
            if self.met():
                self.what, self.met = next(self.waits)
                self.deadline = time.monotonic() + LONG
            else:
                assert time.monotonic() < self.deadline, f"{self.rig.row.name}, not in time: {self.what}"
        except StopIteration:
            self.over = True
        except Exception as failure:  # noqa: BLE001 - raised by the row's own test
            self.over, self.failure = True, failure

    def await_threads(self) -> None:
        """Wait for the row's threads: one that lost its proxy in mid-call would leave a socket behind."""
        try:
            wait_until(lambda: not self.rig.threads, LONG, f"the threads of {self.rig.row.name} end")
        except AssertionError as failure:
            self.failure = self.failure or failure


def play(scenario: Scenario, rigs: Sequence[Rig]) -> dict[str, Exception | None]:
    """Let all rows go through a scenario at once; return each one's failure, if it has failed."""
    turns = [_Turn(rig, scenario(rig)) for rig in rigs]
    while live := [turn for turn in turns if not turn.over]:
        for turn in live:
            turn.step()
            if turn.over:
                turn.rig.close()
        time.sleep(0.01)
    for turn in turns:
        turn.await_threads()
    return {turn.rig.row.name: turn.failure for turn in turns}


@contextmanager
def impatient() -> Iterator[None]:
    """Shorten pauses: after failures, of long polls, between requests; for rates there are other tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sources.queues.failure_policy.LONGEST_SECONDS", 0)
        patch.setattr("sources.queues.receiver.pause_after", lambda *_: 0.05)
        patch.setattr("sources.apis.poll_scheduler.pause_after", lambda *_: 0.05)
        patch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0.02)
        patch.setattr("flows.catalogue.build.LeaseOptions", partial(LeaseOptions, wait_seconds=1))
        yield


def keys(row: Row, place: Place, _site: Site) -> dict[str, str]:
    """Return plain keys as the configuration's credentials."""
    own = f"{row.name}-{place.account}" if isinstance(place.aws, StrictMinistack) else "test"
    return {"access_key": own if row.leases else place.account, "access_secret": "test"}


@contextmanager
def rig_of(
    row: Row,
    place: Place,
    folder: Path,
    wrap: Callable[[Source], Source] = lambda source: source,
    credentials: Callable[[Row, Place, Site], Mapping[str, str]] = keys,
) -> Iterator[Rig]:
    """Open a row's site, and a proxy before its emulator."""
    with ExitStack() as stack:
        upstream = place.aws.url if row.leases else stack.enter_context(ruled(place.apis, place.aws))
        proxy = stack.enter_context(FaultProxy(upstream))
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        for operation, size in (row.pages or {}).items():
            patch.setitem(fake_aws.PLAN.page_size, operation, size)
        site = row.open(place)
        lead = EmbeddedAws(proxy.url, proxy.url).environment()
        rig = Rig(row, place, site, proxy, folder, lead, credentials(row, place, site), wrap)
        stack.callback(rig.close)
        yield rig


@contextmanager
def nobody(folder: Path) -> Iterator[None]:
    """Take this machine's own identity away; count AWS's rates apart from other tests, and raise them."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
            patch.delenv(name, raising=False)
        for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
            patch.setenv(name, "/nonexistent")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        patch.setenv("AWS_DEFAULT_REGION", REGION)
        patch.setattr("sources.aws.limiter.SharedBucket", partial(SharedBucket, folder=folder))
        patch.setattr("sources.aws.limiter._MARGIN", 25)
        yield
