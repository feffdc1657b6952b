"""Ten forms of an identity, each absent, rotated, expired early, denied: events flow again without a restart.

`pytest tests/identity/test_credential_forms.py` prints the table; `-m full` adds the long form.
"""

import json
import logging
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing

import pytest
from botocore.exceptions import ClientError

from sources.apis.cloudtrail import LookupEvents, LookupOptions
from sources.apis.cursor import CursorOptions, CursorSource
from sources.aws import renewal
from sources.aws.account import Account
from sources.aws.limiter import Bucket, Limiters
from sources.errors import IdentityAbsent, RegionDisabled, SourceError, translate
from tests.fakes.credential_endpoints import Endpoints
from tests.fakes.process import wait_until
from tests.identity.forms import FORMS, Form, Machine, bare
from transforms.block import Block

REGION, STEP = "us-east-1", 12
UNLIMITED = Limiters(lambda *_: Bucket(0))


class Life:
    """A collector of LookupEvents on one machine, in virtual time: an event in each step."""

    def __init__(self, machine: Machine, form: Form, lines: "Lines") -> None:
        self.machine, self.form, self.world, self.log = machine, form, machine.world, lines
        self.now = int(time.time()) // STEP * STEP
        self.put = 0
        self.got: list[str] = []

    def step(self, steps: int = 1) -> None:
        """Let time pass, and an event happen in each step."""
        for _ in range(steps):
            self.now += STEP
            self.world.date_ahead = self.now - time.time()  # AWS's clock is that of this world
            self.put += 1
            name = f"id-{self.put}"
            self.world.events.append(
                {
                    "EventId": name,
                    "EventName": "Op",
                    "EventTime": self.now - 70,
                    "CloudTrailEvent": json.dumps({"eventID": name}),
                }
            )

    def start(self, stack: ExitStack, backoff: float = 0.004) -> None:
        drain = threading.Event()
        stack.callback(drain.set)
        poll = LookupEvents(
            Account(self.machine.folder.name),
            LookupOptions((REGION,), (self.now - 300) * 1000, period_seconds=0.005),
            UNLIMITED,
            drain,
            lambda: self.now * 1000,
        )
        options = CursorOptions(threads=2, backoff_seconds=backoff, discover_seconds=3600)
        source = CursorSource(poll, options, drain)
        parts = [source.build_part("step", lane, None) for lane in source.list_parts()]
        self.parts = [stack.enter_context(closing(part)) for part in parts]

    def take(self) -> int:
        """Take what has arrived, as an epoch would; return how many events have."""
        for part in self.parts:
            for item in part.next_batch():
                assert isinstance(item, Block)
                assert item.origin.account == "123456789012"
                self.got += [json.loads(line)["eventID"] for line in item.payload.splitlines()]
            part.snapshot()
        return len(self.got)

    def flows(self) -> None:
        """Wait until all that was put is here."""
        wait_until(lambda: self.take() >= self.put, 30, "all events", every=0.005)

    def stands(self, seconds: float = 0.25) -> None:
        """See that nothing comes, for a moment of this machine's time."""
        before, until = len(self.got), time.monotonic() + seconds
        while time.monotonic() < until:
            self.take()
            time.sleep(0.01)
        assert len(self.got) == before


class Lines(logging.Handler):
    """The log as an operator has it: INFO and above."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage().split()[0])


@pytest.fixture
def lines() -> Iterator[Lines]:
    logger, heard = logging.getLogger("collector"), Lines()
    level = logger.level
    logger.addHandler(heard)
    logger.setLevel(logging.INFO)
    yield heard
    logger.removeHandler(heard)
    logger.setLevel(level)


def told(lines: Lines) -> list[str]:
    """Return what was said of changes."""
    found = [line for line in lines.lines if line.startswith(("identity_", "poll_"))]
    lines.lines.clear()
    return found


def late(life: Life) -> None:
    """Lose the identity before the start; give it after twenty seconds."""
    life.step(2)
    wait_until(lambda: "identity_failed" in life.log.lines, 30, "its absence is told", every=0.01)
    life.stands()
    life.form.give(life.machine)


def absent(life: Life) -> None:
    """Lose the identity for a minute, its last session over."""
    life.form.lose(life.machine)
    life.world.rotate(over="ExpiredToken")
    life.step(60 // STEP)
    wait_until(lambda: "identity_failed" in life.log.lines, 30, "its absence is told", every=0.01)
    life.stands()
    life.form.give(life.machine)


def rotated(life: Life) -> None:
    """Give other keys; the ones before are unknown to AWS from now on."""
    life.world.rotate()
    life.form.give(life.machine)


def expired_early(life: Life) -> None:
    """Let AWS call the session over long before its time."""
    life.world.rotate(over="ExpiredToken")
    life.form.give(life.machine)


def denied(life: Life) -> None:
    """Deny the call for a minute, then allow it."""
    life.world.verdict = "AccessDeniedException"
    life.step(60 // STEP)
    wait_until(lambda: "poll_failed" in life.log.lines, 30, "the refusal is told", every=0.01)
    life.stands()
    life.world.verdict = ""


def in_mid_page(life: Life) -> None:
    """Let the session end between two pages of one window."""
    life.form.give(life.machine)
    life.world.mid_page = True
    give = life.world.rotate

    def rotate(*, over: str) -> None:
        give(over=over)
        life.form.give(life.machine)

    life.world.rotate = rotate  # type: ignore[method-assign]
    life.step(3 * PAGES)
    wait_until(lambda: life.take() >= life.put, 30, "all pages", every=0.005)
    assert not life.world.mid_page


PAGES = 2
TROUBLES: dict[str, tuple[Callable[[Life], None], set[str]]] = {
    "late": (late, {"identity_failed", "identity_recovered"}),
    "absent for a minute": (absent, {"identity_failed", "identity_recovered"}),
    "rotated": (rotated, {"identity_renewed"}),
    "expired early": (expired_early, {"identity_renewed"}),
    "denied then allowed": (denied, {"poll_failed", "poll_recovered"}),
    "expired in mid-page": (in_mid_page, {"identity_renewed"}),
}
"""What happens → (how, which lines tell it, each once)."""


@pytest.fixture
def machine(tmp_path, monkeypatch) -> Iterator[Machine]:
    monkeypatch.setattr(renewal, "MIN_INTERVAL_SECONDS", 0.0)
    with Endpoints() as world:
        yield bare(world, tmp_path, monkeypatch)


@pytest.mark.parametrize("trouble", TROUBLES)
@pytest.mark.parametrize("name", FORMS)
def test_r22_events_flow_again_without_a_restart(machine, lines, figures, name, trouble):
    """Whatever happens to an identity of whatever form, no event is lost, and each change is one line."""
    happens, expected = TROUBLES[trouble]
    form = FORMS[name]
    form.set_up(machine)
    life = Life(machine, form, lines)
    (form.lose if trouble == "late" else form.give)(machine)
    with ExitStack() as stack:
        life.start(stack)
        if trouble != "late":
            life.step(2)
            life.flows()
            told(lines)
        happens(life)
        life.step(2)
        life.flows()
        wait_until(lambda: expected <= set(lines.lines), 30, "each change is told", every=0.005)
    said = told(lines)
    figures(
        f"{name:22} {trouble:22} put {life.put:3} got {len(set(life.got)):3} twice "
        f"{len(life.got) - len(set(life.got))} lines {len(said)}: {', '.join(said)}"
    )
    assert sorted(life.got) == sorted(f"id-{n}" for n in range(1, life.put + 1))
    assert sorted(said) == sorted(expected)


@pytest.mark.full
@pytest.mark.timeout(400)
@pytest.mark.parametrize("name", FORMS)
def test_r22_a_real_minute(machine, lines, figures, monkeypatch, name):
    """With the intervals of a real collector, an identity that is a minute late is used soon after."""
    monkeypatch.setattr(renewal, "MIN_INTERVAL_SECONDS", 5.0)
    form = FORMS[name]
    form.set_up(machine)
    life = Life(machine, form, lines)
    form.lose(machine)
    life.step(2)
    with ExitStack() as stack:
        life.start(stack, backoff=1.0)
        life.stands(65)
        form.give(machine)
        given = time.monotonic()
        wait_until(lambda: life.take() >= life.put, 90, "all events", every=0.05)
    figures(f"{name:22} a minute late: events {time.monotonic() - given:.0f} s after it came, {told(lines)}")


def test_r22_a_hop_limit_that_is_raised(machine, lines):
    """In a container whose token never comes, with v1 off, nothing is read until the hop limit is raised."""
    form = FORMS["metadata, v1 off"]
    form.set_up(machine)
    machine.set(AWS_EC2_METADATA_V1_DISABLED="true")
    machine.world.metadata = "hop"
    life = Life(machine, form, lines)
    with ExitStack() as stack:
        life.start(stack)
        late(life)
        machine.world.metadata = "v2"
        life.flows()
    assert told(lines) == ["identity_failed", "identity_recovered"]


def test_r22_a_process_that_hangs_is_ended(machine, monkeypatch):
    """A `credential_process` that never answers is ended in time, and started anew by the next question."""
    monkeypatch.setattr("sources.aws.machine.PROCESS_SECONDS", 0.3)
    machine.file("config", "[default]\ncredential_process = sh -c 'sleep 600'\n")
    account = Account("prod")
    with pytest.raises(IdentityAbsent) as caught:
        account.identity()
    assert "no answer within 0.3 s" in caught.value.what
    FORMS["credential_process"].set_up(machine)
    FORMS["credential_process"].give(machine)
    assert account.identity().account == "123456789012"


HINTS = {
    "metadata, v1 off": "hop limit",
    "ECS task": "has the task a role?",
    "EKS pod identity": "is a role associated with the pod?",
    "web identity (IRSA)": "trust policy names its issuer",
    "profile with a role": "the profile work",
    "credential_process": "credential_process prints",
    "SSO": "aws sso login",
}


@pytest.mark.parametrize("name", HINTS)
def test_r22_absence_says_where_to_look(machine, name):
    """An identity that is absent names the place that should give it."""
    FORMS[name].set_up(machine)
    FORMS[name].lose(machine)
    with pytest.raises(IdentityAbsent) as caught:
        Account("prod").identity()
    assert HINTS[name] in caught.value.hint
    assert caught.value.where == "input prod, credentials"


@pytest.mark.parametrize("status", [401, 403, 500])
@pytest.mark.parametrize("name", FORMS)
def test_r22_a_place_that_refuses(machine, name, status):
    """A place that answers no, or is broken, is asked again; then the identity is there."""
    form = FORMS[name]
    form.set_up(machine)
    form.give(machine)
    machine.world.refusing = status
    account = Account("prod")
    local = name in {"credential_process", "shared file"}
    if local:
        assert account.identity().account == "123456789012"
        return
    with pytest.raises(SourceError) as caught:
        account.identity()
    assert caught.value.cause == "input prod, credentials"
    machine.world.refusing = 0
    assert account.identity().account == "123456789012"


def test_r28_a_region_that_is_not_enabled(machine):
    """Keys that AWS knows at home and not in one region are right: that region is not switched on."""
    FORMS["shared file"].give(machine)
    account = Account("prod")
    assert account.identity().account == "123456789012"
    machine.world.off = {"af-south-1"}
    with pytest.raises(ClientError) as caught:
        account.client("cloudtrail", "af-south-1").lookup_events()
    error = translate(caught.value, "LookupEvents in af-south-1", "cloudtrail:LookupEvents")
    assert isinstance(error, RegionDisabled)
    assert "af-south-1" in error.hint


@pytest.mark.parametrize(("ahead", "way"), [(-3600, "behind"), (3600, "ahead of")])
def test_r28_a_clock_that_is_wrong(machine, ahead, way):
    """A signature refused to a machine whose clock is an hour off is the clock's fault, by so much."""
    FORMS["shared file"].give(machine)
    machine.world.date_ahead = -ahead
    machine.world.verdict = "InvalidSignatureException"
    with pytest.raises(ClientError) as caught:
        Account("prod").client("cloudtrail", REGION).lookup_events()
    hint = translate(caught.value, "here", "cloudtrail:LookupEvents").hint
    assert re.match(rf"set this machine's clock: it is 3[56]\d\d s {way} AWS's", hint)
