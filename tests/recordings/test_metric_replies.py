"""What AWS has answered about metrics, through the poll: every value of every reply is an event."""

import json
import threading
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

from sources.apis.cloudwatch_metrics import CloudWatchMetrics, MetricsOptions
from sources.apis.metric_data import STATISTICS
from sources.apis.poll import Target
from sources.aws.limiter import Bucket, Limiters

RECORDED = Path(__file__).parents[3] / "shared/recordings/metric_replies.jsonl"
NOW = 1_790_000_100
LINES = [json.loads(line) for line in RECORDED.read_text().splitlines()] if RECORDED.exists() else []
pytestmark = pytest.mark.skipif(not LINES, reason="no recordings here")


def plain(value):
    """Return a recorded value without the query protocol's `member`."""
    if isinstance(value, dict) and set(value) == {"member"}:
        value = value["member"]
        return [plain(one) for one in value] if isinstance(value, list) else [plain(value)]
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    return [plain(one) for one in value] if isinstance(value, list) else value


def moments(count):
    return [datetime.fromtimestamp(NOW - 300 * (n + 1), UTC) for n in range(count)]


class Recorded:
    """CloudWatch that answers what was recorded, for one metric per result."""

    def __init__(self, reply):
        self.reply, self.asked = plain(reply), Counter()
        self.results = self.reply.get("MetricDataResults") or []
        self.points = self.reply.get("Datapoints") or []

    def list_metrics(self, **asked):
        self.asked["ListMetrics"] += 1
        assert asked
        count = len(self.results) or 1
        return {"Metrics": [{"Namespace": "N", "MetricName": f"m{n}"} for n in range(count)]}

    def get_metric_data(self, MetricDataQueries, **_):  # noqa: N803
        self.asked["GetMetricData"] += 1
        if "Datapoints" in self.reply:  # GetMetricStatistics was recorded: let it be asked
            return {"MetricDataResults": [], "Messages": self.reply.get("Messages") or []}
        found = []
        for query in MetricDataQueries:
            number = int(query["MetricStat"]["Metric"]["MetricName"][1:])
            result = self.results[number]
            values = [float(one) for one in result["Values"] or ()]
            found.append({**result, "Id": query["Id"], "Values": values, "Timestamps": moments(len(values))})
        return {**self.reply, "MetricDataResults": found, "Messages": self.reply.get("Messages") or []}

    def get_metric_statistics(self, **_):
        self.asked["GetMetricStatistics"] += 1
        known = {**dict.fromkeys(STATISTICS, 1.0), "Timestamp": moments(1)[0]}
        if self.points:  # they were recorded with fewer statistics than are asked for here
            return {"Datapoints": [{**known, **one, "Timestamp": known["Timestamp"]} for one in self.points]}
        return {"Datapoints": [{**known, "Unit": unit} for unit in self.units]}

    @property
    def units(self):
        said = [one["Value"] for result in self.results for one in result.get("Messages") or ()]
        return [unit.strip() for unit in said[0].split("[")[1].split("]")[0].split(",")] if said else []


@pytest.mark.parametrize("recorded", LINES, ids=[line["from"] for line in LINES])
def test_r26_a_recorded_reply_gives_all_its_points(recorded):
    """Values become events; of a metric of several units there is one event for each unit."""
    aws = Recorded(recorded["reply"])
    account = SimpleNamespace(
        name="main", where="input main", account_id="111111111111", client=lambda *_: aws
    )
    options = MetricsOptions(("eu-west-1",), (NOW - 3000) * 1000, delay_seconds=0)
    limiters = Limiters(lambda *_: Bucket(0))
    poll = CloudWatchMetrics(account, options, limiters, threading.Event(), lambda: NOW * 1000)
    target = Target("eu-west-1", "111111111111", "eu-west-1")
    events = [
        json.loads(line)
        for page in poll.pages(target, {})
        for block in page.items
        for line in block.payload.splitlines()
    ]
    if aws.units:
        assert sorted(one["unit"] for one in events) == sorted(aws.units)
    elif "Datapoints" in aws.reply:
        assert len(events) == len(aws.points)
    else:
        assert len(events) == sum(len(one["Values"] or ()) for one in aws.results)
        assert aws.asked["GetMetricStatistics"] == 0
