"""Lateness: measured, found within a reach that follows it, at no more calls; every event once."""

import json
import random
import threading
from bisect import bisect_left, bisect_right
from collections import Counter
from types import SimpleNamespace

import pytest

from sources.apis.cloudtrail import LookupEvents, LookupOptions
from sources.apis.cloudwatch_logs import CloudWatchLogs, LogsOptions
from sources.apis.log_groups import GroupRule
from sources.apis.poll import Target
from sources.apis.window import BOUNDS, Lateness, ReachRule, late_events, to_datetime, to_ms
from sources.aws.limiter import Bucket, Limiters

UNLIMITED = Limiters(lambda *_: Bucket(0))
START = 1_790_000_000_000
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
GROUP = Target("eu-west-1//g", "123456789012", "eu-west-1", "/g")


class Logs:
    """FilterLogEvents of one group, as AWS documents it: inclusive times, pages, events shown when ingested.

    page: events of one reply. ahead: how much the clock of who asks is, in ms.
    """

    ahead = 0

    def __init__(self, page: int = 10_000) -> None:
        self.events: list[dict] = []
        self.shown: list[int] = []
        self.now, self.page, self.calls = START, page, 0

    def put(self, time: int, ingested: int, message: str = "m") -> str:
        """Add an event that is there from `ingested` on."""
        number = f"{len(self.events):056d}"
        event = {"logStreamName": "s", "eventId": number, "timestamp": time, "ingestionTime": ingested}
        at = bisect_right(self.shown, time)
        self.shown.insert(at, time)
        self.events.insert(at, {**event, "message": message})
        return number

    def filter_log_events(self, logGroupName, startTime, endTime, nextToken="0"):  # noqa: N803
        """Answer a page."""
        assert logGroupName == "/g"
        self.calls += 1
        low, high = bisect_left(self.shown, startTime), bisect_right(self.shown, endTime)
        found = [one for one in self.events[low:high] if one["ingestionTime"] <= self.now]
        end = int(nextToken) + self.page
        more = {"nextToken": str(end)} if end < len(found) else {}
        return {"events": found[int(nextToken) : end], **more}


class Run:
    """Polls one target as the scheduler does, on a clock of the test."""

    def __init__(self, aws, make) -> None:
        account = SimpleNamespace(
            name="main", where="input main", account_id="123456789012", client=lambda *_: aws
        )
        self.aws, self.poll = (
            aws,
            make(account, UNLIMITED, threading.Event(), lambda: aws.now + getattr(aws, "ahead", 0)),
        )
        self.state: dict = {}
        self.got: Counter[str] = Counter()
        self.late: list = []
        self.most_ids = 0

    def once(self, target: Target, key: str) -> None:
        """Poll until nothing is left to read now."""
        again = True
        while again:
            for page in self.poll.pages(target, json.loads(json.dumps(self.state))):
                self.state, again = page.state, page.again
                self.late.append(page.late)
                self.most_ids = max(self.most_ids, len(page.state["seen"]))
                for block in page.items:
                    self.got.update(json.loads(line)[key] for line in block.payload.splitlines())


def logs(aws: Logs, **options) -> Run:
    chosen = LogsOptions(("eu-west-1",), (GroupRule("/g"),), **options)
    return Run(aws, lambda account, *rest: CloudWatchLogs(account, chosen, *rest))


def live(run: Run, until: int, step: int = 300_000) -> None:
    while run.aws.now < until:
        run.once(GROUP, "eventId")
        run.aws.now += step


def test_r20_what_is_late_by_a_window_of_flow_logs_is_found_by_default():
    """Flow logs bear their window's start: 10 minutes, and 5 more until they are there; 20 are covered."""
    aws = Logs()
    run = logs(aws)
    live(run, START + HOUR)
    ids = [aws.put(aws.now - late * 1000, aws.now) for late in (0, 61, 359, 361, 900, 1195)]
    live(run, aws.now + HOUR)
    assert run.got == Counter(ids)


def test_r20_a_quiet_group_costs_one_call_a_poll():
    """The wider reach rides in the same request."""
    aws = Logs()
    run = logs(aws)
    for n in range(1000):
        aws.put(START + n * 20_000, START + n * 20_000 + 500)
    live(run, START + 20_000_000)
    assert sum(run.got.values()) > 950
    assert aws.calls <= 20_000_000 / 300_000 + 1


def requests_of(times: list[int], until: int, page: int) -> int:
    """Return what a reach of six minutes takes: each poll reads two periods, in full pages."""
    calls, done = 0, START
    for now in range(START, until, 300_000):
        if (end := now - 60_000) > done:
            count = bisect_left(times, end) - bisect_left(times, max(done - 300_000, START))
            calls, done = calls + max(1, -(-count // page)), end
    return calls


@pytest.mark.parametrize("fill", [0.1, 0.25, 0.375, 0.42, 0.6, 0.9, 1.2, 2.1, 3.5])
def test_r20_a_reach_of_twenty_minutes_takes_no_more_requests(fill, figures, monkeypatch):
    """However full its pages: each event is read when it is new and when it is final, in whole requests.

    fill: pages in a period. Before, with a reach of six minutes, each event was read twice too.
    """
    monkeypatch.setattr("sources.apis.cloudwatch_logs._PAGE_EVENTS", 400)
    aws = Logs(page=400)
    run = logs(aws)
    rng, time, times = random.Random(f"{fill}"), float(START), list[int]()
    while time < START + 8 * HOUR:
        time += rng.expovariate(fill * 400 / 300) * 1000
        times.append(int(time))
    ids = [aws.put(at, at + (1_100_000 if n % 97 == 0 else 2_000)) for n, at in enumerate(times)]
    live(run, START + 8 * HOUR)
    calls, before = aws.calls, requests_of(times, START + 8 * HOUR, 400)
    figures(f"{fill} pages a period: {calls} calls, {before} with a reach of 6 minutes")
    live(run, START + 10 * HOUR)
    assert run.got == Counter(ids)
    assert calls <= before * 1.08 + 2  # how full a page will be is a guess


def test_new_events_wait_a_period_at_most(monkeypatch):
    """Where a second reading takes a poll's one request, what is new comes with the next one."""
    monkeypatch.setattr("sources.apis.cloudwatch_logs._PAGE_EVENTS", 400)
    aws = Logs(page=400)
    run = logs(aws)
    for n in range(8 * 3600 // 2):
        aws.put(START + n * 2_000, START + n * 2_000 + 500)
    behind = set[int]()
    while aws.now < START + 8 * HOUR:
        run.once(GROUP, "eventId")
        behind.add(aws.now - run.state["done"])
        aws.now += 300_000
    assert max(behind) <= 60_000 + 300_000


def test_r20_ids_are_bounded_however_dense_a_group_is(monkeypatch):
    """Beyond the bound only ids of what was ingested just before are kept; nothing is lost or repeated."""
    monkeypatch.setattr("sources.apis.cloudwatch_logs._MOST_IDS", 2_000)
    aws = Logs(page=1_000)
    run = logs(aws)
    ids = [
        aws.put(START + n * 250, START + n * 250 + (900_000 if n % 50 == 0 else 1_000)) for n in range(40_000)
    ]
    live(run, START + 5 * HOUR)
    assert run.got == Counter(ids)
    assert run.most_ids < 7_000  # of 12,000 that are not final


def test_r20_the_reach_follows_a_lateness_that_doubles_each_hour(figures):
    """Nothing is lost while lateness grows from 2 minutes to 8 hours, and the reach is not far beyond it."""
    aws = Logs()
    run = logs(aws)
    ids = []
    for hour in range(9):
        late = 2 * MINUTE << hour
        for n in range(60):
            time = START + hour * HOUR + n * MINUTE
            ids.append(aws.put(time, time + late))
    live(run, START + 20 * HOUR)
    figures(f"{len(ids)} events, {aws.calls} calls in 20 h, reach {run.state['late']['reach'] / HOUR:.1f} h")
    assert run.got == Counter(ids)
    assert aws.calls <= 20 * 12 + 20
    live(run, START + 4 * DAY)
    assert run.state["late"]["reach"] < 6 * HOUR


@pytest.mark.full
@pytest.mark.timeout(900)
def test_r20_a_day_of_doubling_lateness(figures):
    """A whole day, from 5 seconds on until the bound: 0 lost, and calls as of a quiet day."""
    aws = Logs()
    run = logs(aws)
    ids = []
    for hour in range(24):
        late = min(5_000 << hour, 10 * HOUR)
        for n in range(120):
            time = START + hour * HOUR + n * MINUTE // 2
            ids.append(aws.put(time, time + late))
    live(run, START + 2 * DAY)
    figures(f"{len(ids)} events, {sum(run.got.values())} collected, {aws.calls} calls in 2 days")
    assert run.got == Counter(ids)
    assert aws.calls <= 2 * 288 + 60


def test_r21_the_first_lines_of_a_group_that_is_born_are_read():
    """Lines that are older than their group's creation are all there, at a call or two more."""
    aws = Logs()
    run = logs(aws)
    created = START - 5_000
    group = {"logGroupName": "/g", "arn": "arn:aws:logs:eu-west-1:123456789012:log-group:/g:*"}
    aws.describe_log_groups = lambda **_: {"logGroups": [{**group, "creationTime": created}]}
    (target,) = run.poll.targets()
    ids = [aws.put(created - before, created) for before in (10 * DAY, HOUR, 200, 0, -200)]
    aws.now += 120_000
    run.once(target, "eventId")
    assert run.got == Counter(ids)
    assert aws.calls <= 3


def test_r25_a_window_that_lookup_events_knows_no_more_counts_as_done(caplog):
    """A state in mid-window, resumed 91 days later, goes on with what is known, and says so once."""

    class Trail:
        now = START + 91 * DAY
        meta = SimpleNamespace(events=SimpleNamespace(register=lambda *_, **__: None))

        def lookup_events(self, **asked):
            assert to_ms(asked["StartTime"]) <= to_ms(asked["EndTime"])
            assert self.now - to_ms(asked["StartTime"]) <= 90 * DAY
            return {"Events": []}

    options = LookupOptions(("eu-west-1",))
    run = Run(Trail(), lambda account, *rest: LookupEvents(account, options, *rest))
    for form in ({"v": 1}, {"v": 2, "final": START - 900_000}):
        run.state = {**form, "from": START - DAY, "done": START, "seen": {}, "upto": START + 5_000,
                     "window": [START - 900_000, START + 300_000]}  # fmt: skip
        with caplog.at_level("WARNING", "collector"):
            run.once(Target("eu-west-1", "123456789012", "eu-west-1"), "eventID")
        assert "window" not in run.state
        assert run.state["done"] > run.aws.now - HOUR
    assert [record.event for record in caplog.records] == ["start_clamped"]


class Trail:
    """LookupEvents that shows events late. events: (id, time, shown)."""

    def __init__(self) -> None:
        self.events: list[tuple[str, int, int]] = []
        self.now, self.calls = START, 0
        self.meta = SimpleNamespace(events=SimpleNamespace(register=lambda *_, **__: None))

    def lookup_events(self, MaxResults, StartTime, EndTime, NextToken="0"):  # noqa: ARG002, N803
        """Answer a page, newest first."""
        self.calls += 1
        low, high = to_ms(StartTime), to_ms(EndTime) + 999
        found = sorted(
            ((t, key) for key, t, shown in self.events if low <= t <= high and shown <= self.now),
            reverse=True,
        )
        end = int(NextToken) + 50
        events = [
            {"EventId": key, "EventTime": to_datetime(t), "CloudTrailEvent": json.dumps({"eventID": key})}
            for t, key in found[int(NextToken) : end]
        ]
        return {"Events": events, **({"NextToken": str(end)} if end < len(found) else {})}


def test_r20_lookup_events_follow_a_lateness_that_doubles():
    """CloudTrail's own 15 minutes by default, and more when more is seen: 0 lost, 0 repeated."""
    aws = Trail()
    options = LookupOptions(("eu-west-1",), START)
    run = Run(aws, lambda account, *rest: LookupEvents(account, options, *rest))
    for hour in range(6):
        for n in range(10):
            time = START + hour * HOUR + n * 6 * MINUTE
            aws.events.append((f"{hour}-{n}", time, time + (5 * MINUTE << hour)))
    while aws.now < START + 12 * HOUR:
        run.once(Target("eu-west-1", "123456789012", "eu-west-1"), "eventID")
        aws.now += 300_000
    assert run.got == Counter(key for key, _, _ in aws.events)
    assert run.state["late"]["reach"] == 21_600_000


def test_a_reach_grows_at_once_and_shrinks_by_half_a_day():
    """The rule: room for twice the lateness within 80 %, never beyond the bounds, halved after a day."""
    rule = ReachRule(20 * MINUTE, 6 * HOUR)
    late = rule.after(Lateness(), 0, START)
    assert rule.of(late) == 20 * MINUTE
    late = rule.after(late, HOUR, START + 1)
    assert rule.of(late) == 150 * MINUTE
    late = rule.after(late, 5 * HOUR, START + 2)
    assert rule.of(late) == 6 * HOUR
    for day in range(1, 8):
        late = rule.after(late, 0, START + day * DAY)
    assert rule.of(late) == 20 * MINUTE


def test_lateness_is_counted_by_bounds():
    """A histogram of few bounds, cumulative as Prometheus has it."""
    late = late_events([0, 10_000, 10_001, 59_000, 90_000_000], HOUR)
    assert late.most == 90_000_000
    assert late.cumulative() == {"10": 2, **{str(bound): 4 for bound in BOUNDS[1:]}, "+Inf": 5}


def test_r24_an_arn_of_another_account_reads_that_account():
    """A monitoring account asks by the ARN, and and events bear the owning account."""
    aws, asked = Logs(), []

    def describe(**given):
        asked.append(given)
        owner = given.get("accountIdentifiers", ["123456789012"])[0]
        arn = f"arn:aws:logs:eu-west-1:{owner}:log-group:/app:*"
        return {"logGroups": [{"logGroupName": "/app", "arn": arn, "creationTime": START - 30 * DAY}]}

    aws.describe_log_groups = describe
    filtered = []
    event = {"logStreamName": "s", "eventId": "1", "timestamp": START, "ingestionTime": START, "message": "m"}
    aws.filter_log_events = lambda **given: filtered.append(given) or {"events": [event]}
    arn = "arn:aws:logs:eu-west-1:999999999999:log-group:/app"
    rules = (GroupRule(arn, START - HOUR), GroupRule("/app", START - HOUR))
    options = LogsOptions(("eu-west-1",), rules, stream_prefix="i-", filter_pattern="ERROR")
    run = Run(aws, lambda account, *rest: CloudWatchLogs(account, options, *rest))
    targets = list(run.poll.targets())
    assert {target.key: target.account for target in targets} == {
        "eu-west-1//app": "123456789012",
        "eu-west-1/999999999999:/app": "999999999999",
    }
    lines = [
        json.loads(line)
        for target in targets
        for page in run.poll.pages(target, {})
        for block in page.items
        for line in block.payload.splitlines()
    ]
    assert {(line["account"], line["logGroup"]) for line in lines} == {
        ("123456789012", "/app"),
        ("999999999999", "/app"),
    }
    assert [given.get("logGroupIdentifier") for given in filtered if "logGroupName" not in given] == [arn]
    assert all(one["logStreamNamePrefix"] == "i-" and one["filterPattern"] == "ERROR" for one in filtered)
    assert [given.get("includeLinkedAccounts") for given in asked] == [True, None]


def test_r24_every_group_of_linked_accounts_is_read():
    """With linked accounts a prefix stands for the groups of all of them."""
    aws = Logs()
    groups = [
        {"logGroupName": "/a", "arn": f"arn:aws:logs:eu-west-1:{owner}:log-group:/a:*", "creationTime": START}
        for owner in ("123456789012", "222222222222")
    ]
    aws.describe_log_groups = lambda **asked: {"logGroups": groups if asked["includeLinkedAccounts"] else []}
    options = LogsOptions(("eu-west-1",), (GroupRule("/"),), linked=True)
    run = Run(aws, lambda account, *rest: CloudWatchLogs(account, options, *rest))
    assert [target.key for target in run.poll.targets()] == ["eu-west-1//a", "eu-west-1/222222222222:/a"]
