"""What was there before it was first read is read from where nobody had looked for it, in every API."""

import json
import threading
import time
from collections import Counter
from types import SimpleNamespace

import pytest

from sources import lanes
from sources.apis.cloudtrail import LookupEvents, LookupOptions
from sources.apis.cloudwatch_logs import CloudWatchLogs, LogsOptions
from sources.apis.cloudwatch_metrics import CloudWatchMetrics, MetricsOptions
from sources.apis.cursor import CursorOptions, CursorSource
from sources.apis.guardduty import GuardDuty, GuardDutyOptions
from sources.apis.log_groups import GroupRule
from sources.apis.poll import Beginnings, Listing, Target
from sources.apis.window import to_datetime, to_ms
from sources.aws.limiter import Bucket, Limiters
from sources.errors import Denied
from tests.sources.listed.test_recheck import World

UNLIMITED = Limiters(lambda *_: Bucket(0))
START, MINUTE, HOUR = 1_789_948_800_000, 60_000, 3_600_000
FAST = {"discover_seconds": 0.02, "backoff_seconds": 0.005, "threads": 3}
OLD, NEW = "eu-west-1", "us-west-2"
DENIED = Denied("denied", NEW, "allow it")


class Region(World):
    """One region's APIs on a clock of the test. groups: name → creation. denied: it answers nobody."""

    def __init__(self, clock) -> None:
        self.clock, self.events, self.groups, self.denied = clock, [], {"/g": START - 400 * 24 * HOUR}, False

    @property
    def now(self) -> int:
        if self.denied:
            raise DENIED
        return self.clock.now

    def describe_log_groups(self, **_):
        return {
            "logGroups": [
                {"logGroupName": name, "creationTime": at, "arn": f"arn:aws:logs:r:1:log-group:{name}:*"}
                for name, at in self.groups.items()
            ]
        }


POLLS = {
    "audits_api": (LookupEvents, LookupOptions, {}, "id"),
    "logs": (CloudWatchLogs, LogsOptions, {"groups": (GroupRule("/"),)}, "eventId"),
    "metrics": (CloudWatchMetrics, MetricsOptions, {}, "timestamp"),
    "guardduty": (GuardDuty, GuardDutyOptions, {}, "id"),
}
each = pytest.mark.parametrize("service", POLLS)


class Site:
    """A service in regions; each life is a source of its own, built with the lanes that it is given."""

    def __init__(self, service, monkeypatch) -> None:
        self.now = START
        monkeypatch.setattr("sources.apis.poll_scheduler.now_ms", lambda: self.now)
        self.aws = {OLD: Region(self), NEW: Region(self)}
        self.make, self.options, self.more, self.id_of = POLLS[service]
        self.states: dict[str, dict] = {}
        self.got: Counter[str] = Counter()

    def account(self):
        return SimpleNamespace(
            name="main", where="input main", account_id="1", client=lambda _, region: self.aws[region]
        )

    def live(self, regions, moments, which=None) -> None:
        """Run at some moments, each until two listings and all that is due are over; then be killed."""
        self.now = moments[0]
        options = self.options(regions, period_seconds=0.001, **self.more)
        drain = threading.Event()
        poll = self.make(self.account(), options, UNLIMITED, drain, lambda: self.now)
        source = CursorSource(poll, CursorOptions(**FAST), drain)
        parts = {
            name: source.build_part("step", name, self.states.get(name)) for name in which or lanes.keys()
        }
        try:
            for self.now in moments:
                heard = source.feed.listing().number
                limit, quiet = time.monotonic() + 20, 0
                while quiet < 40 or source.feed.listing().number < heard + 2:
                    lines = [
                        line
                        for part in parts.values()
                        for item in part.next_batch()
                        for line in item.payload.splitlines()
                    ]
                    self.got.update(f"{json.loads(line)[self.id_of]}" for line in lines)
                    quiet = 0 if lines else quiet + 1
                    time.sleep(0.002)
                    assert time.monotonic() < limit, "it never became quiet"
                self.states.update(
                    {name: json.loads(json.dumps(part.snapshot())) for name, part in parts.items()}
                )
        finally:
            for part in parts.values():
                part.close()

    def put(self, region, begin, end, step=5 * MINUTE) -> set[str]:
        """Put an event each `step`, visible two minutes later; return their ids as the service shows them."""
        ids = set()
        for ms in range(begin, end, step):
            key = f"{region}-{ms}"
            self.aws[region].events.append((key, ms, ms + 2 * MINUTE))
            moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(ms / 1000))
            ids.add(moment if self.id_of == "timestamp" else key)
        return ids


@pytest.fixture
def site(service, monkeypatch):
    return Site(service, monkeypatch)


@each
def test_a_region_of_the_time_of_an_outage_is_read_from_its_beginning(site):
    """Enabled while it was down, on whichever lane: nothing of the outage is missing, nothing comes twice."""
    site.live((OLD,), [START, START + HOUR])
    wanted = site.put(NEW, START + HOUR + MINUTE * 5, START + 9 * HOUR)
    site.live((OLD, NEW), [START + 6 * HOUR, START + 10 * HOUR])
    assert wanted - set(site.got) == set()
    assert max(site.got.values()) == 1


@each
def test_a_process_that_has_only_lanes_without_positions_knows_of_the_outage(site):
    """Of several processes, one may have none of the lanes that were read before."""
    site.live((OLD,), [START, START + HOUR])
    wanted = site.put(NEW, START + HOUR + MINUTE * 5, START + 9 * HOUR)
    empty = [name for name, state in site.states.items() if not state["targets"]]
    site.live((NEW,), [START + 6 * HOUR, START + 10 * HOUR], empty)
    assert wanted - set(site.got) == set()


@each
def test_what_was_refused_is_read_from_its_first_listing_on_through_every_restart(site):
    """A region that is denied for hours, while others are read and the process is killed, leaves no hole."""
    site.live((OLD, NEW), [START])
    site.aws[NEW].denied = True
    site.states = {}
    site.now = START
    wanted = site.put(NEW, START + MINUTE * 5, START + 9 * HOUR)
    for hour in range(4):
        site.put(OLD, START + hour * HOUR, START + (hour + 1) * HOUR)
        site.live((OLD, NEW), [START + hour * HOUR])
    site.aws[NEW].denied = False
    site.live((OLD, NEW), [START + 6 * HOUR, START + 10 * HOUR])
    assert wanted - set(site.got) == set()


@each
def test_what_was_refused_since_an_older_release_is_read_from_where_that_ended(site):
    """A state that says nothing of beginnings: they are where the others stood, through every restart."""
    site.live((OLD,), [START])
    for state in site.states.values():
        state.pop("since", None)
        state.pop("unread", None)
    site.aws[NEW].denied = True
    wanted = site.put(NEW, START + MINUTE * 5, START + 9 * HOUR)
    for hour in range(1, 4):
        site.put(OLD, START + (hour - 1) * HOUR, START + hour * HOUR)
        site.live((OLD, NEW), [START + hour * HOUR])
    site.aws[NEW].denied = False
    site.live((OLD, NEW), [START + 6 * HOUR, START + 10 * HOUR])
    assert wanted - set(site.got) == set()


@pytest.mark.parametrize("service", ["logs"])
def test_a_group_of_the_time_of_an_outage_is_read_from_its_first_line(site):
    """However long it has been there when the collector is back."""
    site.live((OLD,), [START])
    site.aws[OLD].groups["/born"] = START + HOUR
    wanted = site.put(OLD, START + HOUR, START + 40 * HOUR)
    site.live((OLD,), [START + 40 * HOUR, START + 41 * HOUR, START + 42 * HOUR])
    assert wanted - set(site.got) == set()
    assert {site.got[key] for key in wanted} == {2}  # the fake shows the same lines in both groups


class Metrics:
    """Metrics that are listed a quarter of an hour after their first point, recent ones for three hours."""

    def __init__(self, clock) -> None:
        self.clock, self.points = clock, {}

    def list_metrics(self, RecentlyActive="", **_):  # noqa: N803
        oldest = self.clock.now - (3 * HOUR if RecentlyActive else 14 * 24 * HOUR)
        listed = [
            name
            for name, times in self.points.items()
            if times[0] <= self.clock.now - 15 * MINUTE
            and any(oldest <= ms <= self.clock.now for ms in times)
        ]
        return {"Metrics": [{"Namespace": "N", "MetricName": name} for name in listed]}

    def get_metric_data(self, MetricDataQueries, StartTime, EndTime, **_):  # noqa: N803
        def result(query):
            times = self.points[query["MetricStat"]["Metric"]["MetricName"]]
            shown = [ms for ms in times if to_ms(StartTime) <= ms < to_ms(EndTime) and ms <= self.clock.now]
            moments = [to_datetime(ms) for ms in shown]
            return {
                "Id": query["Id"],
                "StatusCode": "Complete",
                "Timestamps": moments,
                "Values": [1.0] * len(shown),
            }

        return {"MetricDataResults": [result(query) for query in MetricDataQueries]}


@pytest.mark.parametrize("outage", [2, 6, 20, 24 * 5])
def test_metrics_of_the_time_of_an_outage_are_read_from_their_first_point(outage):
    """One that began in it, one that began and ended in it, and one that began just before."""
    clock = SimpleNamespace(now=START)
    aws = Metrics(clock)
    account = SimpleNamespace(name="m", where="input m", account_id="1", client=lambda *_: aws)
    down, up = START + 2 * HOUR, START + (2 + outage) * HOUR
    for name, begin, end in (
        ("always", START, up + 4 * HOUR),
        ("just before", down - 5 * MINUTE, up + 4 * HOUR),
        ("within", down + 20 * MINUTE, up - HOUR),
        ("later", up - 20 * MINUTE, up + 4 * HOUR),
    ):
        aws.points[name] = list(range(begin, end, 5 * MINUTE))
    state, got = {}, Counter()
    for begin, end in ((START, down), (up, up + 5 * HOUR)):
        poll = CloudWatchMetrics(
            account, MetricsOptions((OLD,)), UNLIMITED, threading.Event(), lambda: clock.now
        )
        for clock.now in range(begin, end, 5 * MINUTE):
            again = True
            while again:
                again = False
                for page in poll.pages(Target(OLD, "1", OLD), json.loads(json.dumps(state))):
                    state, again = page.state, page.again
                    lines = [line for block in page.items for line in block.payload.splitlines()]
                    got.update((event["metricName"], event["timestamp"]) for event in map(json.loads, lines))
    wanted = {
        (name, to_datetime(ms).strftime("%Y-%m-%dT%H:%M:%SZ"))
        for name, times in aws.points.items()
        for ms in times
    }
    assert wanted - set(got) == set()
    assert max(got.values()) == 1


def test_beginnings_move_with_whole_listings_only():
    """An account that rests may hide targets; what was shown keeps its beginning until it is read."""
    first = Beginnings(5)
    late = 100_000_000
    resting = first.after(Listing(1, frozenset({"r/1/a"}), frozenset({"1"}), late), ["r/2/b"])
    assert resting == Beginnings(5, {"r/2/b": 5})
    whole = resting.after(Listing(2, frozenset({"r/2/b"}), frozenset(), late), ["r/2/b"])
    assert whole == Beginnings(late - 3 * 3_600_000, {"r/2/b": 5})
    assert whole.of("r/3/c") == late - 3 * 3_600_000
    assert whole.after(Listing(3, frozenset(), frozenset(), late), []) == Beginnings(late - 3 * 3_600_000)
    assert Target("a", since=whole.of("a")).begin(late) == late - 3 * 3_600_000
