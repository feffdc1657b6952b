"""An hour of virtual time on sessions of one minute: two hops renew themselves, and nothing is interrupted.

The clock is one: the fake AWS ends sessions by it, the collector renews them by it (its own may lag behind),
and the polls cut their windows by it. Only who waits for what is real.
"""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from sources import telemetry
from sources.apis.cloudtrail import LookupEvents, LookupOptions
from sources.apis.cloudwatch_logs import CloudWatchLogs, LogsOptions
from sources.apis.cursor import CursorOptions, CursorSource
from sources.apis.guardduty import GuardDuty, GuardDutyOptions
from sources.apis.log_groups import GroupRule
from sources.aws import renewal as module
from sources.aws.account import Account, Credentials
from sources.aws.limiter import Bucket, Limiters
from tests.fakes.fake_aws import server as fake_aws
from tests.fakes.fake_aws import sts
from tests.fakes.fake_aws.server import ACCOUNT, CLOCK
from tests.fakes.faultproxy import FaultProxy
from tests.fakes.process import wait_until

REGION = "us-east-1"
TARGET_ACCOUNT = "210987654321"
BASE, TARGET = f"arn:aws:iam::{ACCOUNT}:role/base", f"arn:aws:iam::{TARGET_ACCOUNT}:role/target"
EXTERNAL_ID = "an-external-id"
UNLIMITED = Limiters(lambda *_: Bucket(0))
HOUR, SESSION, STEP = 3600, 60, 12
PERIOD = 0.005
"""Seconds of the machine between two polls: they wait for the virtual clock only."""


def now_ms() -> int:
    return int(CLOCK.now() * 1000)


@pytest.fixture
def proxy(monkeypatch) -> Iterator[FaultProxy]:
    """Return an AWS whose clock stands still, with both roles; this machine may assume the first."""
    fake_aws.reset()
    monkeypatch.setitem(sts.limits, "shortest", 1)
    with fake_aws.FakeAws() as aws, FaultProxy(aws.url) as running:
        for name, value in fake_aws.environment(running.url).items():
            monkeypatch.setenv(name, value)
        make_role("base", ACCOUNT, {})
        make_role("target", TARGET_ACCOUNT, {"StringEquals": {"sts:ExternalId": EXTERNAL_ID}})
        running.clear()
        CLOCK.freeze(time.time() // STEP * STEP)
        yield running


def make_role(name: str, account: str, condition: dict) -> None:
    trust = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole", "Condition": condition}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    keys = Credentials(access_key=account, access_secret="secret")
    iam = Account(account, keys).client("iam", REGION)
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=document)


def put_record(number: int) -> None:
    record = {"EventName": "Op", "EventId": f"id-{number}", "EventTime": CLOCK.now() - 70}
    fake_aws.put_cloudtrail_events([record], TARGET_ACCOUNT, REGION)


def put_line(number: int) -> None:
    line = {"timestamp": now_ms() - 70_000, "message": f"line {number}"}
    fake_aws.put_log_events("/group", "stream", [line], TARGET_ACCOUNT)


class Findings:
    """A detector that finds something now and then."""

    def __init__(self) -> None:
        keys = Credentials(access_key=TARGET_ACCOUNT, access_secret="secret")
        guardduty = Account(TARGET_ACCOUNT, keys).client("guardduty", REGION)
        self.detector = guardduty.create_detector(Enable=True)["DetectorId"]

    def put(self, number: int) -> None:
        at = datetime.fromtimestamp(CLOCK.now() - 5, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
        fake_aws.put_findings(
            self.detector, [{"Id": f"{number:032x}", "UpdatedAt": at}], TARGET_ACCOUNT, REGION
        )


@dataclass
class Service:
    """One API's real source over all its lanes, and what puts an event there."""

    source: CursorSource
    put: Callable[[int], None]
    parts: list = field(default_factory=list)
    events: int = 0

    def start(self, stack: ExitStack) -> None:
        for lane in self.source.list_parts():
            part = self.source.build_part("step", lane, None)
            self.parts.append(stack.enter_context(closing(part)))

    def drained(self, count: int) -> bool:
        """Take what has arrived, as an epoch would; tell whether that many events have."""
        for part in self.parts:
            self.events += sum(item.count for item in part.next_batch())
            part.snapshot()
        return self.events >= count


def services(account: Account, names: tuple[str, ...], drain: threading.Event) -> list[Service]:
    start = now_ms() - 300_000
    made = {
        "audits_api": lambda: (
            LookupEvents(
                account, LookupOptions((REGION,), start, period_seconds=PERIOD), UNLIMITED, drain, now_ms
            ),
            put_record,
        ),
        "logs": lambda: (
            CloudWatchLogs(
                account,
                LogsOptions((REGION,), (GroupRule("/group", start),), PERIOD),
                UNLIMITED,
                drain,
                now_ms,
            ),
            put_line,
        ),
        "guardduty": lambda: (
            GuardDuty(
                account, GuardDutyOptions((REGION,), start, period_seconds=PERIOD), UNLIMITED, drain, now_ms
            ),
            Findings().put,
        ),
    }
    found = []
    for name in names:
        poll, put = made[name]()
        put(0)
        found.append(Service(CursorSource(poll, CursorOptions(threads=2), drain), put))
    return found


def live(
    seconds: int, account: Account, names: tuple[str, ...], monkeypatch
) -> tuple[list[Service], list[str]]:
    """Let time pass in steps, an event of each service in each; return the services and what failed."""
    failed: list[str] = []
    monkeypatch.setattr(telemetry, "poll_failed", lambda *told: failed.append(" ".join(map(str, told))))
    drain = threading.Event()
    with ExitStack() as stack:
        stack.callback(drain.set)
        running = services(account, names, drain)
        for one in running:
            one.start(stack)
        for number in range(1, seconds // STEP + 1):
            CLOCK.advance(STEP)
            for one in running:
                one.put(number)
            for one in running:
                wait_until(lambda one=one, n=number: one.drained(n + 1), 60, f"event {number}", every=0.002)
    return running, failed


def account_of(lag: float = 0) -> Account:
    """Return the account behind both hops, with a clock that lags behind AWS's by so many seconds."""
    credentials = Credentials(
        base_assume_role=BASE, target_assume_role=TARGET, assume_role_external_id=EXTERNAL_ID
    )
    clock = lambda: datetime.fromtimestamp(CLOCK.now(), UTC) - timedelta(seconds=lag)  # noqa: E731
    return Account("prod", credentials, session_seconds=SESSION, clock=clock)


def sessions_made(proxy: FaultProxy) -> dict[str, int]:
    """Return how many sessions of each hop began; those of the base with the machine's own key."""
    base = sum(one.key == ACCOUNT for one in fake_aws.served("sts.AssumeRole"))
    return {"base": base, "target": proxy.count("sts.AssumeRole", "200") - base}


ALL = ("audits_api", "logs", "guardduty")


@pytest.mark.timeout(900)
@pytest.mark.parametrize("names", [ALL[:1], pytest.param(ALL, marks=pytest.mark.full)], ids=["one", "all"])
def test_h18_an_hour_on_sessions_of_a_minute(proxy, monkeypatch, figures, names):
    """Both hops are renewed before they end: no poll fails, each event comes once; no call is refused.

    But for one whose session ends under way: the clock leaps by a fifth of a session between sign and answer.
    """
    running, failed = live(HOUR, account_of(), names, monkeypatch)
    sessions, polls = sessions_made(proxy), proxy.count() - proxy.count("sts.*")
    refused = len(proxy.log) - proxy.count(outcome="200")
    figures(
        f"{HOUR} s of virtual time, sessions of {SESSION} s, {', '.join(names)}: sessions made "
        f"base {sessions['base']}, target {sessions['target']} (least {HOUR // SESSION}); {polls} calls, "
        f"{refused} refused, {len(failed)} polls failed, events {[one.events for one in running]}"
    )
    assert failed == []
    assert refused <= 3
    assert [one.events for one in running] == [HOUR // STEP + 1] * len(names)
    least, most = HOUR // SESSION, HOUR // (SESSION - SESSION // 4 - STEP) + 1
    assert all(least <= sessions[hop] <= most for hop in ("base", "target"))


@pytest.mark.parametrize("seconds", [HOUR // 6, pytest.param(HOUR, marks=pytest.mark.full)])
def test_h18_sessions_with_a_clock_that_lags(proxy, monkeypatch, figures, seconds):
    """A machine that believes its sessions alive learns of their end in mid-poll; no poll fails by it."""
    monkeypatch.setattr(
        module, "MIN_INTERVAL_SECONDS", 0.0
    )  # of the machine's time, in which an hour is seconds
    running, failed = live(seconds, account_of(lag=10 * HOUR), ALL[:1], monkeypatch)
    sessions = sessions_made(proxy)
    refused = len(proxy.log) - proxy.count(outcome="200")
    figures(
        f"{seconds} s of virtual time, a clock that lags: sessions made base {sessions['base']}, "
        f"target {sessions['target']}; {refused} calls refused and repeated, {len(failed)} polls failed"
    )
    assert failed == []
    assert refused >= seconds // SESSION - 1
    assert running[0].events == seconds // STEP + 1
    assert all(seconds // SESSION <= made <= seconds // SESSION + 1 for made in sessions.values())
