"""CloudWatch logs and metrics through the whole collector to a receiver, through kills and faults."""

import json
import random
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from flows.demo.fake_aws import server as fake_aws
from flows.demo.fake_aws.server import PLAN, FakeAws
from tests.fakes.collector import Collector, Launch, configuration, output
from tests.fakes.faultproxy import FaultProxy
from tests.fakes.process import wait_until

REGION = "us-east-1"
LOGS, METRICS = "cloud.aws.cloudwatch.logs", "cloud.aws.cloudwatch.metrics"
_TIMEOUT = 60.0


@pytest.fixture
def proxy() -> Iterator[FaultProxy]:
    fake_aws.reset()
    with FakeAws() as aws, FaultProxy(aws.url) as running:
        yield running
    fake_aws.reset()


def put_logs(count: int, now: int) -> set[str]:
    """Write events of the last hour to 40 groups and 300 streams, in bursts; return their ids."""
    rng, ids = random.Random(count), []
    while len(ids) < count:
        stream = rng.randrange(300)
        at = now - rng.randrange(600_000, 3_600_000)
        burst = [{"timestamp": at, "message": f"line {n}\n\ttail"} for n in range(rng.choice([1, 1, 3, 9]))]
        ids += fake_aws.put_log_events(f"/app/{stream % 40}", f"stream-{stream}", burst)
    return set(ids)


def put_metrics(count: int, now: int) -> Counter:
    """Publish a sample per metric for each of the last 12 whole periods that are old enough."""
    due: Counter = Counter()
    last = (now // 1000 - 200) // 300 * 300
    for n in range(count):
        samples = [{"timestamp": last - 300 * k, "value": n + k} for k in range(1, 13)]
        fake_aws.put_metric_samples("App", f"M{n}", samples, {"Host": "h"})
        due.update((f"M{n}", float(sample["value"])) for sample in samples)
    return due


def settings(receiver, certs, folder, now: int) -> dict:
    start = datetime.fromtimestamp(now // 1000 - 7200, UTC).isoformat()
    common = {"regions": [REGION], "start_time": start, "request_period_in_seconds": 1}
    services = {
        "my-logs": {"types": ["logs"], "log_group": "/", **common},
        "metrics-all": {"period": 300, "delay": 180, **common},
    }
    return configuration(services, output(receiver.port, certs), folder)


def arrived(receiver, tag: str) -> list[tuple[dict, int]]:
    """Return the events of a tag, and how often each has come."""
    return [(json.loads(text), times) for (its, text), times in receiver.events().items() if its == tag]


def counted(receiver) -> tuple[Counter, Counter]:
    logs, points = Counter(), Counter()
    for event, times in arrived(receiver, LOGS):
        logs[event["eventId"]] += times
    for event, times in arrived(receiver, METRICS):
        points[event["metricName"], event["sum"]] += times
    return logs, points


@pytest.mark.parametrize(
    ("count", "metrics", "kills"),
    [
        pytest.param(6_000, 150, 0, id="no kill"),
        pytest.param(6_000, 150, 3, id="3 kills"),
        pytest.param(100_000, 300, 10, id="10 kills", marks=[pytest.mark.full, pytest.mark.timeout(900)]),
    ],
)
def test_h15_h16_h22_logs_and_metrics_arrive_through_kills_and_faults(
    rsyslog, certs, tmp_path, proxy, capsys, count, metrics, kills
):
    """Nothing is lost; without a kill nothing comes twice, with kills what one snapshot interval held."""
    now = int(time.time() * 1000)
    ids, due = put_logs(count, now), put_metrics(metrics, now)
    PLAN.page_size["FilterLogEvents"] = max(100, count // 300)
    for do, share in (("short", 0.01), ("reset", 0.01), ("lost", 0.01), ("latency", 0.3)):
        proxy.add(do, probability=share, seconds=0.02)
    aws = SimpleNamespace(url=proxy.url)
    collector = Collector(
        aws, tmp_path / "collector", settings(rsyslog, certs, tmp_path, now), Launch("flows")
    )
    rng = random.Random(kills)
    try:
        for _ in range(kills):
            before = rsyslog.size()
            collector.start()
            wait_until(
                lambda before=before: rsyslog.size() > before or not collector.alive, _TIMEOUT, "lines"
            )
            time.sleep(rng.uniform(0, 2))
            collector.kill()
        collector.start()
        total = len(ids) + due.total()
        wait_until(lambda: rsyslog.size() >= total or not collector.alive, _TIMEOUT, f"{total} lines")
        wait_until(lambda: whole(rsyslog, ids, due), _TIMEOUT, "every event")
        collector.drain()
    finally:
        collector.kill()
    logs, points = counted(rsyslog)
    repeated = (logs - Counter(ids)).total() + (points - due).total()
    with capsys.disabled():
        print(  # noqa: T201 - figures of the run
            f"\n{len(ids)} log events and {due.total()} points, {kills} kills: {repeated} came twice, 0 lost"
        )
    assert set(logs) == ids
    assert set(points) == set(due)
    assert kills or repeated == 0


def whole(receiver, ids: set[str], due: Counter) -> bool:
    """Tell whether everything has arrived; the last line may be torn for a moment."""
    try:
        logs, points = counted(receiver)
    except ValueError:
        return False
    return ids <= set(logs) and not due - points


def test_log_events_are_delivered_byte_for_byte(rsyslog, certs, tmp_path, proxy):
    """What PutLogEvents took is in `message`, newlines and all, with where and when it came from."""
    now = int(time.time() * 1000)
    messages = ["plain", "two\nlines", "tab\t and \x00 nul", "ünïcode ☃ 𝄞", '{"json": "in \\"json\\""}', " "]
    sent = [{"timestamp": now - 900_000 + n, "message": text} for n, text in enumerate(messages)]
    ids = fake_aws.put_log_events("/app/bytes", "s", sent)
    aws = SimpleNamespace(url=proxy.url)
    collector = Collector(
        aws, tmp_path / "collector", settings(rsyslog, certs, tmp_path, now), Launch("flows")
    )
    try:
        collector.start()
        wait_until(lambda: rsyslog.size() >= len(ids) or not collector.alive, _TIMEOUT, "the events")
        collector.drain()
    finally:
        collector.kill()
    found = sorted((event for event, _ in arrived(rsyslog, LOGS)), key=lambda event: event["timestamp"])
    assert [(event["eventId"], event["message"]) for event in found] == list(zip(ids, messages, strict=True))
    places = {(event["logGroup"], event["logStream"], event["account"], event["region"]) for event in found}
    assert places == {("/app/bytes", "s", "123456789012", REGION)}
