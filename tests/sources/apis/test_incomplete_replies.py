"""Replies that say they are incomplete: every member that could say it has an outcome, and it holds."""

import json
import threading
from collections import Counter
from types import SimpleNamespace

import botocore.session
import pytest
from botocore.exceptions import ClientError

from sources.apis.cloudwatch_metrics import CloudWatchMetrics, MetricsOptions
from sources.apis.poll import Target
from sources.apis.window import to_datetime
from sources.aws.limiter import Bucket, Limiters

NOW = 1_790_000_100_000
REGION = Target("eu-west-1", "111111111111", "eu-west-1")

OUTCOMES = {
    "cloudtrail.LookupEvents.NextToken": "the next page",
    "cloudwatch.ListMetrics.NextToken": "the next page",
    "cloudwatch.GetMetricData.NextToken": "the next page",
    "cloudwatch.GetMetricData.Messages": "told once; metrics without an answer are asked for again",
    "cloudwatch.GetMetricData.Messages.Code": "as Messages",
    "cloudwatch.GetMetricData.Messages.Value": "as Messages",
    "cloudwatch.GetMetricData.MetricDataResults.StatusCode": "Complete counts; else told or asked again",
    "cloudwatch.GetMetricData.MetricDataResults.Messages": "MultipleUnits is read unit by unit",
    "cloudwatch.GetMetricData.MetricDataResults.Messages.Code": "as Messages",
    "cloudwatch.GetMetricData.MetricDataResults.Messages.Value": "as Messages",
    "guardduty.ListDetectors.NextToken": "the next page",
    "guardduty.ListFindings.NextToken": "the next page",
    "logs.DescribeLogGroups.nextToken": "the next page",
    "logs.FilterLogEvents.nextToken": "the next page, also of an empty one",
    "logs.FilterLogEvents.searchedLogStreams": "not filled in since 2019: pages follow the token",
    "logs.FilterLogEvents.searchedLogStreams.searchedCompletely": "as searchedLogStreams",
}
"""Member of a reply that may say that it is not all → what becomes of it."""

READ = {
    "cloudtrail": ("LookupEvents",),
    "cloudwatch": ("ListMetrics", "GetMetricData", "GetMetricStatistics"),
    "guardduty": ("ListDetectors", "ListFindings"),
    "logs": ("DescribeLogGroups", "FilterLogEvents"),
}
"""Service → operations whose replies are read; GetFindings' findings are the events and pass as they are."""

SAYING = ("message", "status", "partial", "complete", "warning", "error", "unprocessed", "failed", "token",
          "truncated", "ismore", "searched", "code", "value")  # fmt: skip
EVENTS = {"events", "Events", "Metrics", "Datapoints", "logGroups"}


def members(shape, path):
    for name, member in shape.members.items() if shape.type_name == "structure" else ():
        here = f"{path}.{name}"
        yield here
        if name not in EVENTS:
            inner = member.member if member.type_name == "list" else member
            yield from members(inner, here)


def test_r26_every_member_that_may_say_so_has_an_outcome():
    """Botocore's models hold just the members of this kind that are in the table."""
    session = botocore.session.get_session()
    found = set()
    for service, operations in READ.items():
        model = session.get_service_model(service)
        for operation in operations:
            every = members(model.operation_model(operation).output_shape, f"{service}.{operation}")
            found |= {one for one in every if any(word in one.rpartition(".")[2].lower() for word in SAYING)}
    found.discard("cloudwatch.GetMetricData.MetricDataResults.Values")
    assert found == set(OUTCOMES)


class Metrics:
    """CloudWatch with a sample of each metric in each period; `bad` ones make a request wrong."""

    def __init__(self, names, bad=(), messages=(), units=None):
        self.names, self.bad, self.messages, self.units = names, set(bad), list(messages), units or {}
        self.asked = Counter()

    def list_metrics(self, **_):
        return {"Metrics": [{"Namespace": "N", "MetricName": name} for name in self.names]}

    def get_metric_data(self, MetricDataQueries, StartTime, **_):  # noqa: N803
        self.asked["GetMetricData"] += 1
        names = [query["MetricStat"]["Metric"]["MetricName"] for query in MetricDataQueries]
        if self.bad.intersection(names):
            error = {"Code": "ValidationError", "Message": "The metric is malformed"}
            raise ClientError({"Error": error, "ResponseMetadata": {"HTTPStatusCode": 400}}, "GetMetricData")
        results = []
        for query, name in zip(MetricDataQueries, names, strict=True):
            several = {"Messages": [{"Code": "MultipleUnits", "Value": "x"}]} if name in self.units else {}
            results.append({"Id": query["Id"], "StatusCode": "Complete", "Timestamps": [StartTime],
                            "Values": [1.0], **several})  # fmt: skip
        return {"MetricDataResults": results, "Messages": self.messages}

    def get_metric_statistics(self, MetricName, StartTime, **_):  # noqa: N803
        self.asked["GetMetricStatistics"] += 1
        same = dict.fromkeys(("SampleCount", "Average", "Sum", "Minimum", "Maximum"), 1.0)
        return {
            "Datapoints": [{**same, "Timestamp": StartTime, "Unit": unit} for unit in self.units[MetricName]]
        }


class Collector:
    """One poll of a region with its state."""

    def __init__(self, aws, **options):
        account = SimpleNamespace(
            name="main", where="input main", account_id="111111111111", client=lambda *_: aws
        )
        chosen = MetricsOptions(("eu-west-1",), NOW - 600_000, delay_seconds=0, **options)
        self.now, self.state = NOW, {}
        limiters = Limiters(lambda *_: Bucket(0))
        self.poll = CloudWatchMetrics(account, chosen, limiters, threading.Event(), lambda: self.now)

    def round(self):
        events = []
        for page in self.poll.pages(REGION, json.loads(json.dumps(self.state))):
            self.state = page.state
            events += [json.loads(line) for block in page.items for line in block.payload.splitlines()]
        return events


def test_r26_a_bad_metric_costs_none_of_the_others(caplog):
    """The batch is halved until the one is found: told once, left out, asked for with the next listing."""
    aws = Metrics([f"m{n:03}" for n in range(100)], bad={"m042"})
    collector = Collector(aws)
    names = {event["metricName"] for event in collector.round()}
    assert names == {f"m{n:03}" for n in range(100)} - {"m042"}
    assert aws.asked["GetMetricData"] <= 2 * 7 + 1
    collector.now += 300_000
    before = aws.asked["GetMetricData"]
    collector.round()
    assert aws.asked["GetMetricData"] == before + 1
    assert [record.event for record in caplog.records] == ["target_unreadable"]
    aws.bad.clear()
    collector.now += 3_600_000
    assert "m042" in {event["metricName"] for event in collector.round()}


def test_r26_a_metric_of_several_units_is_read_unit_by_unit():
    """Equal values of two units are two events, and come once."""
    aws = Metrics(["one", "two"], units={"two": ["Seconds", "Milliseconds"]})
    collector = Collector(aws)
    found = Counter((event["metricName"], event["unit"]) for event in collector.round())
    assert found == {("one", None): 1, ("two", "Seconds"): 1, ("two", "Milliseconds"): 1}
    collector.now += 300_000
    aws.get_metric_data = lambda **_: {"MetricDataResults": []}
    aws.units["one"] = []
    collector.round()


def test_r26_what_a_reply_says_as_a_whole_is_told_once(caplog):
    """`Maximum number of allowed metrics exceeded` and the like."""
    aws = Metrics(["one"], messages=[{"Code": "ArgumentExceeded", "Value": "Maximum number exceeded"}])
    collector = Collector(aws)
    for _ in range(3):
        collector.round()
        collector.now += 300_000
    assert [record.fields["reason"] for record in caplog.records] == [
        "GetMetricData says Maximum number exceeded"
    ]


def test_r27_storage_metrics_of_s3_that_come_a_day_late_are_read(caplog):
    """Points of the day before that appear some time in the day are events, once, at four listings a day."""

    class Storage(Metrics):
        def list_metrics(self, **asked):
            self.asked["ListMetrics"] += 1
            if "RecentlyActive" in asked or asked.get("Namespace") not in {None, "AWS/S3"}:
                return {"Metrics": []}
            dimensions = [{"Name": "BucketName", "Value": "b"}, {"Name": "StorageType", "Value": "Standard"}]
            return {
                "Metrics": [
                    {"Namespace": "AWS/S3", "MetricName": "BucketSizeBytes", "Dimensions": dimensions}
                ]
            }

        def get_metric_data(self, MetricDataQueries, StartTime, EndTime, **_):  # noqa: N803
            days = [NOW // 86_400_000 * 86_400_000 + day * 86_400_000 for day in range(-1, 4)]
            shown = [to_datetime(day) for day in days if day + 26 * 3_600_000 <= collector.now]
            stamps = [one for one in shown if StartTime <= one < EndTime]
            results = [
                {
                    "Id": query["Id"],
                    "StatusCode": "Complete",
                    "Timestamps": stamps,
                    "Values": [5.0] * len(stamps),
                }
                for query in MetricDataQueries
            ]
            return {"MetricDataResults": results}

    aws = Storage([])
    collector = Collector(aws)
    days = Counter()
    for _ in range(3 * 288):
        days.update(event["timestamp"][:10] for event in collector.round())
        collector.now += 300_000
    assert len(days) >= 3
    assert set(days.values()) == {1}
    assert aws.asked["ListMetrics"] <= 3 * (24 + 3 * 4) + 4


def test_r27_a_point_half_an_hour_late_is_found():
    """The reach covers it at the calls of a poll that reads what is new."""
    aws = Metrics(["m"])
    shown = []
    aws.get_metric_data = lambda MetricDataQueries, StartTime, EndTime, **_: {  # noqa: N803
        "MetricDataResults": [
            {"Id": query["Id"], "StatusCode": "Complete", "Timestamps": stamps, "Values": [1.0] * len(stamps)}
            for stamps in [[one for one in shown if StartTime <= one < EndTime]]
            for query in MetricDataQueries
        ]
    }
    collector = Collector(aws)
    collector.round()
    late = to_datetime(NOW - 300_000)
    found = []
    for number in range(12):
        collector.now += 300_000
        if number == 4:
            shown.append(late)
        found += collector.round()
    assert len(found) == 1


def test_r24_metrics_of_linked_accounts_bear_their_owner():
    """A monitoring account asks for all, each query with its owner, and events name it."""

    class Linked(Metrics):
        def list_metrics(self, **asked):
            assert asked["IncludeLinkedAccounts"] is True
            listed = [{"Namespace": "N", "MetricName": "m"}] * 2
            return {"Metrics": listed, "OwningAccounts": ["111111111111", "222222222222"]}

        def get_metric_data(self, MetricDataQueries, **more):  # noqa: N803
            self.asked.update(query.get("AccountId", "own") for query in MetricDataQueries)
            return super().get_metric_data(MetricDataQueries, **more)

    aws = Linked([])
    accounts = sorted(event["account"] for event in Collector(aws, linked=True).round())
    assert accounts == ["111111111111", "222222222222"]
    assert aws.asked["own"] == aws.asked["222222222222"] == 5


@pytest.mark.parametrize("period", [1, 5, 10, 20, 30, 60, 120])
def test_r27_every_period_that_aws_has_is_one(period):
    """Settings take what GetMetricData takes."""
    from flows.catalogue.metrics import MetricsSettings  # noqa: PLC0415 - only here

    assert MetricsSettings(regions=("eu-west-1",), period=period).period == period
