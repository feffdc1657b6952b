"""CloudWatch metrics: every point once, revised ones once more, in as few calls as there can be."""

import json
import math
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import pytest

from sources.apis.cloudwatch_metrics import CloudWatchMetrics, MetricsOptions
from sources.aws.account import Account
from sources.aws.limiter import Bucket, Limiters
from sources.errors import SourceError, Transient
from tests.fakes.fake_aws import server as fake_aws
from tests.fakes.fake_aws.server import CLOCK, PLAN, FakeAws
from tests.fakes.faultproxy import FaultProxy

PERIOD = 300
NOW = 1_790_000_100
"""A multiple of the period."""

REGION = "us-east-1"
UNLIMITED = Limiters(lambda *_: Bucket(0))
pytestmark = pytest.mark.usefixtures("proxy")


@pytest.fixture(scope="module")
def served() -> Iterator[FaultProxy]:
    """Return the proxy before the fake; the collector's clients, retrying without rest, go through it."""
    with FakeAws() as aws, FaultProxy(aws.url) as running, pytest.MonkeyPatch.context() as patch:
        for name, value in fake_aws.environment(running.url).items():
            patch.setenv(name, value)
        patch.setattr("botocore.endpoint.time", SimpleNamespace(sleep=lambda _: None))
        yield running


@pytest.fixture(scope="module")
def account(served) -> Account:
    """Return the account of the environment; its clients are made once."""
    return Account("main")


@pytest.fixture
def proxy(served) -> FaultProxy:
    """Return the proxy without rules, before an empty AWS whose clock stands at NOW."""
    fake_aws.reset()
    CLOCK.freeze(NOW)
    served.clear()
    return served


@pytest.fixture
def poll(account) -> Callable[..., CloudWatchMetrics]:
    """Return a maker of polls on the fake's clock, from options; they start two periods ago."""

    def make(regions=(REGION,), **options) -> CloudWatchMetrics:
        chosen = {"start": (NOW - 2 * PERIOD) * 1000, "delay_seconds": 0, **options}
        clock = lambda: int(CLOCK.now() * 1000)  # noqa: E731 - short
        return CloudWatchMetrics(
            account, MetricsOptions(regions, **chosen), UNLIMITED, threading.Event(), clock
        )

    return make


class Collector:
    """Polls as the cursor family does: each target from the state of its last page, again after errors."""

    def __init__(self, poll: CloudWatchMetrics, states: dict[str, dict] | None = None) -> None:
        self.poll = poll
        self.states = states or {}
        self.events: list[dict] = []
        self.errors: list[SourceError] = []

    def round(self) -> list[dict]:
        """Poll every region until nothing is left to read now; returns what came."""
        before = len(self.events)
        for target in self.poll.targets():
            while self.once(target):
                pass
        return self.events[before:]

    def once(self, target) -> bool:
        again = False
        try:
            for page in self.poll.pages(target, self.states.get(target.key, {})):
                self.states[target.key], again = json.loads(json.dumps(page.state)), page.again
                texts = [text for block in page.items for text in block.payload.splitlines()]
                self.events += map(json.loads, texts)
        except Transient as error:
            self.errors.append(error)
            return True
        return again


def put(name="Calls", at=NOW - PERIOD, value=1.0, region=REGION, host="a", namespace="App", **more) -> None:
    sample = {"timestamp": at, "value": value, **more}
    fake_aws.put_metric_samples(namespace, name, [sample], {"Host": host}, region=region)


def brief(events: list[dict]) -> list[tuple]:
    return [(event["metricName"], event["timestamp"][11:16], event["sum"]) for event in events]


def calls(op: str) -> int:
    return fake_aws.served_counts().get(f"cloudwatch.{op}", 0)


def test_a_point_is_one_event_with_five_statistics(poll):
    """Samples of one period are one event; account and region are told."""
    for value in (1.0, 2.0, 6.0):
        put(value=value)
    (event,) = Collector(poll()).round()
    assert event == {
        "namespace": "App",
        "metricName": "Calls",
        "dimensions": {"Host": "a"},
        "period": 300,
        "timestamp": "2026-09-21T14:10:00Z",
        "sampleCount": 3.0,
        "average": 3.0,
        "sum": 9.0,
        "minimum": 1.0,
        "maximum": 6.0,
        "unit": None,
        "account": "123456789012",
        "region": REGION,
    }


def test_h16_windows_are_aligned_half_open_and_delayed(poll):
    """A period is read when its end is older than the delay; it ends before the next one begins."""
    for second in (NOW - PERIOD, NOW - 1, NOW):
        put(at=second, value=second % PERIOD + 1)
    collector = Collector(poll(delay_seconds=120))
    assert collector.round() == []
    CLOCK.advance(119)
    assert collector.round() == []
    CLOCK.advance(1)
    assert brief(collector.round()) == [("Calls", "14:10", 301)]
    CLOCK.advance(PERIOD)
    assert brief(collector.round()) == [("Calls", "14:15", 1)]


def test_h16_late_points_come_once_and_revised_ones_once_more(poll):
    """Later readings bring what was late or changed, and repeat nothing."""
    put("Same")
    put("Revised")
    put("Revised", late_s=200, value=5)
    put("Late", late_s=200, value=7)
    put("TooLate", late_s=1801 + PERIOD)
    for name in ("Late", "TooLate"):
        put(name, at=NOW - 3600)
    collector = Collector(poll())
    rounds = []
    for _ in range(8):
        rounds.append(sorted(brief(collector.round())))
        CLOCK.advance(PERIOD)
    assert rounds[2:] == [[]] * 6
    assert rounds[:2] == [
        [("Revised", "14:10", 1), ("Same", "14:10", 1)],
        [("Late", "14:10", 7), ("Revised", "14:10", 6)],
    ]


def test_h16_failed_results_are_asked_for_again_and_then_one_by_one(poll):
    """InternalError and partial results of single metrics: one more batch, then GetMetricStatistics."""
    for name in ("Good", "Once", "Partly", "Never"):
        put(name, unit="Count")
    fake_aws.result_statuses("Once", ["InternalError"])
    fake_aws.result_statuses("Partly", ["PartialData"])
    fake_aws.result_statuses("Never", ["InternalError"] * 10)
    events = Collector(poll()).round()
    assert Counter(event["metricName"] for event in events) == {"Good": 1, "Once": 1, "Partly": 1, "Never": 1}
    assert {event["metricName"]: event["unit"] for event in events if event["unit"]} == {"Never": "Count"}
    assert (calls("GetMetricData"), calls("GetMetricStatistics")) == (2, 1)


def test_h16_a_forbidden_metric_is_told_once_and_left_out(poll, caplog):
    """What may not be read does not hold up the others."""
    put("Good")
    put("Secret")
    fake_aws.result_statuses("Secret", ["Forbidden"] * 20)
    collector = Collector(poll())
    names = [event["metricName"] for event in collector.round()]
    CLOCK.advance(PERIOD)
    collector.round()
    assert names == ["Good"]
    assert [record.message.split()[0] for record in caplog.records] == ["target_unreadable"]


def test_without_get_metric_data_metrics_are_read_one_by_one(poll, proxy, caplog):
    """A policy without GetMetricData is told, and GetMetricStatistics serves; nothing comes twice for it."""
    for name in ("A", "B", "C"):
        put(name, unit="Bytes")
    denied = proxy.add("error", op="cloudwatch.GetMetricData", code="AccessDenied", status=403)
    collector = Collector(poll())
    first = collector.round()
    assert [(event["metricName"], event["unit"]) for event in first] == [
        ("A", "Bytes"),
        ("B", "Bytes"),
        ("C", "Bytes"),
    ]
    assert denied.fired == 1
    assert any(record.message.startswith("metric_data_denied") for record in caplog.records)
    proxy.clear()
    CLOCK.advance(3600)
    assert collector.round() == []
    assert calls("GetMetricData") > 0


@pytest.mark.parametrize("size", [1, 3, 7, 100_800])
def test_h16_pages_of_every_size_lose_nothing(poll, size):
    """Points of one metric over several pages, empty pages with a token, are joined."""
    for name in ("A", "B", "C"):
        for back in (1, 2):
            put(name, at=NOW - back * PERIOD, value=back)
    PLAN.page_size["GetMetricData"] = size
    fake_aws.empty_pages("GetMetricData", 2)
    fake_aws.empty_pages("ListMetrics", 2)
    got = brief(Collector(poll()).round())
    assert sorted(got) == sorted(
        (name, when, n) for name in "ABC" for when, n in (("14:10", 1), ("14:05", 2))
    )


def test_filters_choose_namespace_name_and_dimension(poll):
    """Each filter is the API's own where the API has it."""
    put("Calls", host="a")
    put("Calls", host="b")
    put("Errors", host="a")
    put("Calls", namespace="Other")
    fake_aws.put_metric_samples("App", "Bare", [{"timestamp": NOW - PERIOD, "value": 1}])

    def found(**options) -> list[tuple]:
        events = Collector(poll(**options)).round()
        return sorted((e["namespace"], e["metricName"], e["dimensions"].get("Host", "")) for e in events)

    assert len(found()) == 5
    assert found(namespaces=("Other", "None")) == [("Other", "Calls", "a")]
    assert found(names=("Errors",)) == [("App", "Errors", "a")]
    assert found(names=("Errors", "Bare")) == [("App", "Bare", ""), ("App", "Errors", "a")]
    assert found(dimensions={"Host": "b"}) == [("App", "Calls", "b")]
    assert len(found(dimensions={"Host": ""})) == 4


def test_metrics_are_listed_each_hour_and_new_ones_lose_nothing(poll):
    """A metric that appears after a listing is read from before that listing on, each point once."""
    put("Old", at=NOW - PERIOD)
    collector = Collector(poll())
    collector.round()
    for n in range(16):
        put("Old", at=NOW + n * PERIOD, value=n)
        if n >= 2:
            put("New", at=NOW + n * PERIOD, value=n, listed_late_s=600)
        CLOCK.advance(PERIOD)
        collector.round()
    got = Counter((event["metricName"], event["sum"], event["timestamp"]) for event in collector.events)
    assert Counter(name for name, _, _ in got) == {"Old": 17, "New": 14}
    assert set(got.values()) == {1}
    assert calls("ListMetrics") == 2


def test_resuming_within_a_window_neither_loses_nor_repeats(poll):
    """From the state of any page on the rest comes, also what was new in the listing at hand."""
    for n in range(250):
        put("Calls", host=f"h{n}")
    for cut in (0, 1, 2, 3):
        first = poll()
        (target,) = first.targets()
        states, emitted = {}, 0
        for number, page in enumerate(first.pages(target, {})):
            if number == cut:
                break
            states, emitted = {target.key: page.state}, emitted + sum(block.count for block in page.items)
        second = Collector(poll(), states)
        assert emitted + len(second.round()) == 250


def test_h19_h18_faults_cost_nothing_but_calls(poll, proxy):
    """Hollow replies, resets, throttling, lost replies: the same window again, no point lost or repeated."""
    for n in range(250):
        put("Calls", host=f"h{n}", value=n)
    for do, share in (("short", 0.1), ("junk", 0.1), ("reset", 0.1), ("error", 0.1), ("lost", 0.1)):
        proxy.add(do, op="cloudwatch.*", probability=share)
    collector = Collector(poll())
    for _ in range(3):
        collector.round()
        CLOCK.advance(PERIOD)
    assert Counter(event["dimensions"]["Host"] for event in collector.events) == {
        f"h{n}": 1 for n in range(250)
    }


def test_a_start_long_ago_is_clamped_and_caught_up_without_reading_twice(poll, caplog):
    """Points of a minute are kept 15 days; history is read in windows of half a day, once."""
    start = NOW - 20 * 86_400
    for hour in range(1, 24 * 20):
        put("Calls", at=NOW - hour * 3600, value=hour)
    collector = Collector(poll(start=start * 1000, period=60))
    collector.round()
    assert sorted(event["sum"] for event in collector.events) == list(range(1, 24 * 15 + 1))
    assert any(record.message.startswith("start_clamped") for record in caplog.records)
    assert calls("GetMetricData") == 30


def test_another_period_goes_on_without_a_hole(poll):
    """A changed period begins at the last whole one of the new length."""
    CLOCK.advance(-60)
    for n in range(10):
        put(at=NOW - 600 + n * 60, value=1)
    collector = Collector(poll(period=60))
    collector.round()
    later = Collector(poll(period=300), collector.states)
    CLOCK.advance(60)
    assert sum(event["sum"] for event in collector.events) == 9
    assert brief(later.round()) == [("Calls", "14:10", 5)]


@pytest.mark.parametrize(
    ("metrics", "periods"),
    [(240, 4), pytest.param(3000, 12, marks=[pytest.mark.full, pytest.mark.timeout(900)])],
)
def test_h16_a_whole_service_in_the_fewest_calls(poll, metrics, periods, figures):
    """Two regions, late and revised points: every point once, revised ones once more, calls within 5 %."""
    rng, regions = random.Random(metrics), (REGION, "eu-west-1")
    collector = Collector(poll(regions, start=NOW * 1000, delay_seconds=180))
    expected: Counter[tuple] = Counter()
    for n in range(metrics):  # published before, so that the first listing has them
        put(f"M{n % 50}", host=f"h{n}", region=regions[n % 2], at=NOW - 600)
    for number in range(periods):
        for n in range(metrics):
            name, region, at = (f"M{n % 50}", f"h{n}"), regions[n % 2], NOW + number * PERIOD
            fate = rng.random()
            late = at + (rng.uniform(300, 700) if fate < 0.05 else 0) - CLOCK.now()
            put(name[0], host=name[1], region=region, at=at, value=n, late_s=late)
            expected[region, *name, at, n] += 1
            if fate > 0.95:
                late = at + rng.uniform(500, 700) - CLOCK.now()
                put(name[0], host=name[1], region=region, at=at + 1, value=1, late_s=late)
                expected[region, *name, at, n + 1] += 1
        CLOCK.advance(PERIOD)
        if number == 0:
            CLOCK.advance(180)
        collector.round()
    CLOCK.advance(PERIOD)
    collector.round()
    got = Counter(
        (e["region"], e["metricName"], e["dimensions"]["Host"], _second(e["timestamp"]), int(e["sum"]))
        for e in collector.events
    )
    least = 2 * (periods + 1) * math.ceil(metrics / 2 * 5 / 500) + 2 * math.ceil(metrics / 2 / 500) * (
        1 + (periods + 1) * PERIOD // 3600
    )
    made = sum(fake_aws.served_counts().values()) - fake_aws.served_counts().get("sts.GetCallerIdentity", 0)
    figures(
        f"{metrics} metrics, {sum(expected.values())} points and revisions, "
        f"{sum(got.values())} collected, {made} calls, {least} are the least ({made / least:.1%})"
    )
    assert got == expected
    assert made <= least * 1.05


def _second(iso: str) -> int:
    from datetime import datetime  # noqa: PLC0415

    return int(datetime.fromisoformat(iso).timestamp())
