"""CloudWatch logs and metrics through the whole collector to a receiver, through kills and faults.

`make e2e` runs the acceptance: 100,000 events over 300 streams in 40 groups, kill -9 ten times.
"""

import json
import random
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from tests.e2e.lives import Record, table
from tests.e2e.logworld import GROUPS, Scale, World
from tests.fakes.collector import Collector, Launch, configuration, output, wait_while_moving
from tests.fakes.fake_aws import server as fake_aws
from tests.fakes.fake_aws.server import REGION, FakeAws
from tests.fakes.faultproxy import FaultProxy
from tests.fakes.process import wait_until

LOGS = "cloud.aws.cloudwatch.logs"
_STALL = 120.0
QUICK = Scale(backlog=3_000, live=1_500, seconds=8, late=4, settle=1, overlap=6, births=0.5)
WHOLE = Scale(backlog=60_000, live=40_000, seconds=160, late=90, settle=30, overlap=90, births=4)
LONG = [pytest.mark.full, pytest.mark.timeout(1800)]


@pytest.fixture
def proxy() -> Iterator[FaultProxy]:
    fake_aws.reset()
    with FakeAws() as aws, FaultProxy(aws.url) as running:
        yield running


def put_metrics(count: int, now: int) -> Counter:
    """Publish a sample per metric for each of the last 12 whole periods that are old enough."""
    due: Counter = Counter()
    last = (now - 200) // 300 * 300
    for n in range(count):
        samples = [{"timestamp": last - 300 * k, "value": n + k} for k in range(1, 13)]
        fake_aws.put_metric_samples("App", f"M{n}", samples, {"Host": "h"})
        due.update(f"M{n} {float(sample['value'])}" for sample in samples)
    return due


def settings(receiver, certs, folder, scale: Scale, now: int) -> dict:
    start = datetime.fromtimestamp(now - 7200, UTC).isoformat()
    unbounded = {"requests_per_second": 1000}  # AWS's own rates would make minutes of this
    common = {"regions": [REGION], "start_time": start, "request_period_in_seconds": 1, **unbounded}
    reach = {"settle_seconds": scale.settle, "overlap_seconds": scale.overlap}
    services = {
        "my-logs": {"types": ["logs"], "log_group": "/", **common, **reach},
        "metrics-all": {"period": 300, "delay": 180, **common},
    }
    outputs = output(receiver.port, certs)
    outputs["devo"]["config"]["timestamp"] = "iso8601"
    return configuration(services, outputs, folder, debug=True)


def name_of(line) -> str:
    """Return what tells an event from others."""
    event = json.loads(line.message)
    return event["eventId"] if line.tag == LOGS else f"{event['metricName']} {event['sum']}"


def faulty(proxy: FaultProxy) -> SimpleNamespace:
    """Return the AWS behind the proxy, which now and then fails."""
    for do, share in (("short", 0.01), ("reset", 0.01), ("lost", 0.01), ("latency", 0.3)):
        proxy.add(do, probability=share, seconds=0.02)
    return SimpleNamespace(url=proxy.url)


@pytest.mark.parametrize(
    ("scale", "metrics", "ends"),
    [
        pytest.param(
            replace(QUICK, patient=True), 50, ["drain"], id="no kill", marks=pytest.mark.timeout(600)
        ),
        pytest.param(QUICK, 50, ["kill"] * 3, id="3 kills", marks=pytest.mark.timeout(600)),
        pytest.param(
            replace(WHOLE, patient=True), 300, ["drain"] * 2, id="100,000 events, no kill", marks=LONG
        ),
        pytest.param(WHOLE, 300, ["kill"] * 10, id="100,000 events, 10 kills", marks=LONG),
    ],
)
def test_h15_h16_h22_logs_and_metrics_arrive_through_kills_and_faults(
    rsyslog, certs, tmp_path, proxy, figures, scale, metrics, ends
):
    """Nothing is lost; nothing comes twice but, after a kill, what one snapshot interval held."""
    now = int(time.time())
    record = Record(rsyslog, name_of)
    points = put_metrics(metrics, now)
    chosen = settings(rsyslog, certs, tmp_path, scale, now)
    collector = Collector(faulty(proxy), tmp_path / "collector", chosen, Launch("flows"))
    collector.environment = {"COLLECTOR_LOG": "json"}
    rng = random.Random(len(ends))
    with World(scale, record.times) as world:
        try:
            for number, end in enumerate(ends, 1):
                live(collector, record, world, number / (len(ends) + 1))
                time.sleep(rng.uniform(0, 1.5))  # any moment
                collector.kill() if end == "kill" else collector.drain()
                record.end(collector, end)
            world.settle_down()
            live(collector, record, world, 1)
            wait(collector, record, lambda: arrived(record, world, points))
            asked = proxy.count("logs.FilterLogEvents")
            wait_until(lambda: proxy.count("logs.FilterLogEvents") > asked + 3 * GROUPS, _STALL, "polls", 0.2)
            collector.drain()
        finally:
            collector.kill()
    rsyslog.stop()
    record.look()
    record.end(collector, "drain")
    figures(summary(record, world, points))
    judge(record, world, points)


def live(collector: Collector, record: Record, world: World, share: float) -> None:
    """Start a life; it has sent something, and so much of the live events is written, when this returns."""
    before = record.look()
    collector.start()
    wait(collector, record, lambda: record.look() > before and world.share >= share)


def wait(collector: Collector, record: Record, done) -> None:
    wait_while_moving(collector, done, lambda: f"{record.look()} lines have arrived", _STALL)


def arrived(record: Record, world: World, points: Counter) -> bool:
    record.look()
    return world.must <= record.times.keys() and points.keys() <= record.times.keys()


def summary(record: Record, world: World, points: Counter) -> str:
    lost = len((world.must | points.keys()) - record.times.keys())
    return (
        f"{len(world.must)} log events that must arrive, {len(world.may)} that may (deleted, too late), "
        f"{len(points)} points; {3 * world.born} groups and streams came, {world.deleted} went\n"
        f"{table(record.lives())}\n"
        f"{lost} lost, {record.times.total() - len(record.times)} came twice, {record.torn} cut by kills"
    )


def judge(record: Record, world: World, points: Counter) -> None:
    due = world.must | points.keys()
    assert due <= record.times.keys(), "lost"
    assert record.times.keys() <= due | world.may, "never written"
    lives = record.lives()
    for life in lives:
        # what comes again is of one interval: the one open at the kill, or the one receipted and not yet kept
        assert life.intervals in ({0}, {1}, set()), life
        assert life.again <= life.at_risk, life
        assert life.end == "kill" or life.again == 0, life
    assert sum(life.again for life in lives) == record.times.total() - len(record.times), "twice in one life"
    assert record.torn <= sum(life.end == "kill" for life in lives)
