"""The second look: all that came later than the reach is found in each API, once, and nothing else."""

import json
import threading
from collections import Counter
from types import SimpleNamespace

import botocore.session
import pytest

from sources.apis import guardduty
from sources.apis.cloudtrail import LookupEvents, LookupOptions
from sources.apis.cloudwatch_logs import CloudWatchLogs, LogsOptions
from sources.apis.cloudwatch_metrics import CloudWatchMetrics, MetricsOptions
from sources.apis.cursor import _collected_range, _read_before
from sources.apis.guardduty import GuardDuty, GuardDutyOptions
from sources.apis.log_groups import GroupRule
from sources.apis.poll import SECOND_LOOK, Target
from sources.apis.window import Window, to_datetime, to_ms
from sources.aws.limiter import Bucket, Limiters
from sources.collected import CollectedIds, CollectedRange
from sources.errors import SourceError
from sources.listed.recheck import DailyRecheck, LateSource, late_pages

UNLIMITED = Limiters(lambda *_: Bucket(0))
START = 1_789_948_800_000  # a midnight
HOUR, DAY = 3_600_000, 86_400_000
LATE = 30 * HOUR
"""Later than every reach."""


class World:
    """All four APIs over one list of events: (id, time, shown from)."""

    meta = SimpleNamespace(
        events=SimpleNamespace(register=lambda *_, **__: None),
        service_model=botocore.session.get_session().get_service_model("guardduty"),
    )

    def __init__(self) -> None:
        self.now, self.events = START, []

    def shown(self, low: int, high: int) -> list[tuple[str, int, int]]:
        return sorted(
            (one for one in self.events if low <= one[1] < high and one[2] <= self.now),
            key=lambda one: (one[1], one[0]),
        )

    def lookup_events(self, StartTime, EndTime, MaxResults, NextToken="0"):  # noqa: ARG002, N803
        found = self.shown(to_ms(StartTime), to_ms(EndTime) + 1000)[::-1]
        end = int(NextToken) + 50
        events = [
            {"EventId": key, "EventTime": to_datetime(ms), "CloudTrailEvent": json.dumps({"id": key})}
            for key, ms, _ in found[int(NextToken) : end]
        ]
        return {"Events": events, **({"NextToken": str(end)} if end < len(found) else {})}

    def filter_log_events(self, logGroupName, startTime, endTime):  # noqa: ARG002, N803
        events = [
            {"logStreamName": "s", "eventId": key, "timestamp": ms, "ingestionTime": shown, "message": key}
            for key, ms, shown in self.shown(startTime, endTime + 1)
        ]
        return {"events": events}

    def list_metrics(self, **_):
        return {"Metrics": [{"Namespace": "N", "MetricName": "m"}]}

    def get_metric_data(self, MetricDataQueries, StartTime, EndTime, **_):  # noqa: N803
        shown = self.shown(to_ms(StartTime), to_ms(EndTime))
        stamps, values = [to_datetime(ms) for _, ms, _ in shown], [1.0] * len(shown)
        results = [
            {"Id": query["Id"], "StatusCode": "Complete", "Timestamps": stamps, "Values": values}
            for query in MetricDataQueries
        ]
        return {"MetricDataResults": results}

    def list_detectors(self, **_):
        return {"DetectorIds": ["d1"], "NextToken": ""}

    def list_findings(self, FindingCriteria, **_):  # noqa: N803
        asked = FindingCriteria["Criterion"]["updatedAt"]
        found = self.shown(asked["GreaterThanOrEqual"], asked.get("LessThan", self.now + DAY))
        return {"FindingIds": [key for key, _, _ in found], "NextToken": ""}

    def get_findings(self, FindingIds, **_):  # noqa: N803
        times = {key: ms for key, ms, _ in self.events}
        found = [{"id": key, "updatedAt": to_datetime(times[key]).isoformat()} for key in FindingIds]
        return {guardduty._WIRE: json.dumps({"findings": found}).encode()}


REGIONS = ("eu-west-1",)
POLLS = {
    "audits_api": (
        lambda account, *rest: LookupEvents(account, LookupOptions(REGIONS, START), *rest),
        lambda event: event["id"],
        "eu-west-1",
    ),
    "logs": (
        lambda account, *rest: CloudWatchLogs(account, LogsOptions(REGIONS, (GroupRule("/g"),)), *rest),
        lambda event: event["eventId"],
        "eu-west-1//g",
    ),
    "metrics-all": (
        lambda account, *rest: CloudWatchMetrics(account, MetricsOptions(REGIONS, START), *rest),
        lambda event: event["timestamp"],
        "eu-west-1",
    ),
    "aws-guardduty": (
        lambda account, *rest: GuardDuty(account, GuardDutyOptions(REGIONS, START), *rest),
        lambda event: event["id"],
        "eu-west-1/d1",
    ),
}
each = pytest.mark.parametrize("service", POLLS)


class Setup:
    """A poll that has run for days, its ids kept as a lane keeps them, over a world with late events.

    begun: from when on they are kept, as of an input that has become an organization.
    """

    def __init__(self, service, folder, *, late=LATE, begun=START) -> None:
        make, self.id_of, key = POLLS[service]
        self.aws, self.ids, self.state, self.got = World(), CollectedIds(folder), {}, Counter()
        account = SimpleNamespace(
            name="main", where="input main", account_id="123456789012", client=lambda *_: self.aws
        )
        self.poll = make(account, UNLIMITED, threading.Event(), lambda: self.aws.now)
        self.target = Target(key, "123456789012", "eu-west-1", key.partition("/")[2])
        self.late = set()
        for n in range(200):
            ms = START + 600_000 + n * 600_000
            shown = ms + (late if n % 7 == 3 else 400_000)
            self.aws.events.append((f"e{n}", ms, shown))
            if n % 7 == 3:
                moment = f"{to_datetime(ms):%Y-%m-%dT%H:%M:%SZ}"
                self.late.add(moment if service == "metrics-all" else f"e{n}")
        while self.aws.now < START + 4 * DAY:
            kept, self.ids = self.ids, CollectedIds(folder / "former") if self.aws.now < begun else self.ids
            self.round()
            self.ids = kept
            if self.aws.now == begun - 600_000:
                self.ids.note(self.target.key, *_read_before(self.state))
            self.aws.now += 600_000

    def round(self) -> None:
        again = True
        while again:
            again = False
            for page in self.poll.pages(self.target, json.loads(json.dumps(self.state))):
                self.ids.note(self.target.key, page.ids, _collected_range(self.state or None, page.state))
                self.state, again = page.state, page.again
                self.got.update(self.ids_in(page))

    def ids_in(self, page) -> list[str]:
        return [self.id_of(json.loads(line)) for block in page.items for line in block.payload.splitlines()]

    def look(self, start=START, end=START + 2 * DAY) -> Counter[str]:
        """Look once more and keep what was found, as the command does."""
        found: Counter[str] = Counter()
        source = LateSource(self.poll, self.ids, [self.target], Window(start, end), threading.Event())
        lane = source.build_part("step", "lane-0", None)
        while True:
            try:
                found.update(
                    self.id_of(json.loads(line))
                    for item in lane.next_batch()
                    for line in item.payload.splitlines()
                )
            except StopIteration:
                break
        assert source.failed == {}
        source.keep()
        assert source.events == sum(found.values())
        return found


@each
def test_every_event_that_came_later_is_found_and_sent_once(service, tmp_path):
    """Of 200 events 29 come after the reach: the second look sends just these, the third one nothing."""
    setup = Setup(service, tmp_path)
    late = setup.late - set(setup.got)
    assert len(late) >= (20 if service == "aws-guardduty" else 29)
    assert setup.look() == Counter(late)
    assert setup.look() == Counter()
    assert set(setup.got) | late >= setup.late


@each
def test_nothing_is_found_where_nothing_was_late(service, tmp_path):
    """What was collected in time is not sent again, at any border of the range."""
    setup = Setup(service, tmp_path, late=400_000)
    for start, end in ((START, START + 2 * DAY), (START + HOUR, START + 7 * HOUR)):
        assert setup.look(start, end) == Counter()


@each
def test_a_daily_look_sends_what_came_later_by_itself(service, tmp_path):
    """Each day is looked at again once it is final; its late events come once."""
    setup = Setup(service, tmp_path)
    late = setup.late - set(setup.got)
    daily = DailyRecheck(setup.poll, setup.ids)
    setup.poll.targets = lambda: [setup.target]
    _, again = daily.targets()
    assert again.key == setup.target.key + SECOND_LOOK
    state, found = {"v": 1, "from": START, "done": START}, Counter()
    for _ in range(6):
        for page in daily.pages(again, state):
            setup.ids.add(setup.target.key, page.ids)
            found.update(setup.ids_in(page))
            state = page.state
    assert found == Counter(late)
    assert state["done"] >= START + 2 * DAY


@each
def test_a_daily_look_of_a_new_key_sends_nothing_that_its_former_key_did(service, tmp_path):
    """It takes over the former look's position, but not its ids."""
    setup = Setup(service, tmp_path, late=400_000, begun=START + DAY)
    daily = DailyRecheck(setup.poll, setup.ids)
    setup.poll.targets = lambda: [setup.target]
    _, again = daily.targets()
    state, found = {"v": 1, "from": START, "done": START}, Counter()
    for _ in range(6):
        for page in daily.pages(again, state):
            found.update(setup.ids_in(page))
            state = page.state
    assert found == Counter()
    assert state["done"] > START + 2 * DAY


@pytest.mark.parametrize("why", ["down for a fortnight", "too many ids"])
def test_a_daily_look_goes_on_behind_days_that_it_cannot_look_at(why, tmp_path, caplog, monkeypatch):
    """Further behind than ids are kept, or at a day of too many: it says so once, and sends the rest."""
    setup = Setup("audits_api", tmp_path)
    late = setup.late - set(setup.got)
    wanted = {f"e{n}" for n in range(200) if n * 600_000 + 600_000 >= DAY} & late
    if why == "too many ids":
        (day,) = tmp_path.rglob(f"{to_datetime(START):%Y-%m-%d}.ids")
        monkeypatch.setattr("sources.collected._MOST_BYTES", day.stat().st_size)
        done = START
    else:
        monkeypatch.setattr("sources.listed.recheck.KEPT_DAYS", 3)
        monkeypatch.setattr("sources.collected.KEPT_DAYS", 3)
        final = setup.ids.range(setup.target.key).final
        setup.ids.note(setup.target.key, {}, CollectedRange(START, final // DAY * DAY))
        done = START - 14 * DAY
    daily = DailyRecheck(setup.poll, setup.ids)
    setup.poll.targets = lambda: [setup.target]
    _, again = daily.targets()
    state, found = {"v": 1, "from": done, "done": done}, Counter()
    for _ in range(5):
        pages = list(daily.pages(again, state))
        for page in pages:
            setup.ids.add(setup.target.key, page.ids)
            found.update(setup.ids_in(page))
            state = page.state
        if not pages or not pages[-1].again:
            break
    assert wanted <= set(found) <= late
    assert max(found.values()) == 1
    assert state["done"] >= START + 2 * DAY
    told = [one.message for one in caplog.records if "recheck_left_out" in one.message]
    assert len(told) == 1, told
    assert setup.target.key in told[0]


def test_what_is_not_known_cannot_be_looked_at(tmp_path):
    """Before the ids begin, or with none at all, the second look says so instead of sending everything."""
    ids = CollectedIds(tmp_path)
    with pytest.raises(SourceError, match="at no time"):
        ids.known("t", START, START + 1)
    ids.note("t", {"a": START + 5}, CollectedRange(START, START + DAY))
    ids.note("t", {"b": START + DAY}, CollectedRange(START + HOUR, START + 2 * DAY))
    with pytest.raises(SourceError, match="only since"):
        ids.known("t", START - 1, START + 10)
    assert ids.known("t", START, START + DAY) == {"a": START + 5}
    assert ids.range("t") == CollectedRange(START, START + 2 * DAY)


def test_days_long_past_are_forgotten(tmp_path):
    """Files of ids do not grow for ever."""
    ids = CollectedIds(tmp_path)
    for day in range(30):
        ids.note("t", {f"e{day}": START + day * DAY}, CollectedRange(START, START + day * DAY))
    assert 9 <= len(list(tmp_path.rglob("*.ids"))) <= 11


def test_pages_of_a_second_look_move_no_position(tmp_path):
    """What is yielded bears ids and no lateness: it would widen the reach of what runs."""
    setup = Setup("logs", tmp_path)
    pages = list(late_pages(setup.poll, setup.ids, setup.target, Window(START, START + DAY)))
    assert pages
    assert all(page.late is None and page.ids and not page.again for page in pages)


def test_s7_a_range_that_goes_on_in_silence_is_seldom_written(tmp_path):
    """The process that reads it knows how far it has come; another one by some hours less, never more."""
    here, hour = CollectedIds(tmp_path), 3_600_000
    finals = []
    for number in range(24):
        here.note("r/g", {}, CollectedRange(hour, number * hour))
        assert here.range("r/g") == CollectedRange(hour, number * hour)
        finals.append(CollectedIds(tmp_path).range("r/g").final)
        assert finals[-1] <= number * hour < finals[-1] + 6 * hour
    assert len(set(finals)) == 4
    here.note("r/g", {}, CollectedRange(hour, 2 * hour))
    assert CollectedIds(tmp_path).range("r/g") == here.range("r/g") == CollectedRange(hour, 2 * hour)
