"""The fake does what AWS does, seen through boto3."""

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.fakes.fake_aws import server as fake_aws
from tests.fakes.fake_aws.server import CLOCK, PLAN, FakeAws

NOW = 1_790_000_100
MS = NOW * 1000


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with FakeAws() as running:
        yield running.url


@pytest.fixture
def client(url) -> Iterator:
    fake_aws.reset()
    with ExitStack() as stack:

        def make(service, key="123456789012", secret="x", token=None, region="us-east-1"):  # noqa: S107 - a fake
            made = boto3.client(
                service,
                endpoint_url=url,
                region_name=region,
                aws_access_key_id=key,
                aws_secret_access_key=secret,
                aws_session_token=token,
                config=Config(retries={"total_max_attempts": 1}),
            )
            stack.callback(made.close)
            return made

        yield make


def at(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def code(call, **arguments) -> str:
    with pytest.raises(ClientError) as raised:
        call(**arguments)
    return raised.value.response["Error"]["Code"]


def walk(call, key, token="nextToken", **arguments):  # noqa: S107 - a page token
    """Return the pages' lists, following tokens as AWS asks to."""
    pages = []
    reply = call(**arguments)
    while True:
        pages.append(reply[key])
        if not reply.get(token):
            return pages
        reply = call(**arguments, **{token: reply[token]})


def test_lookup_events_serves_pages_newest_first_within_a_window(client):
    """Newest first, 50 a page, window ends inclusive, tokens bound to their query, 90 days."""
    CLOCK.freeze(NOW)
    fake_aws.put_cloudtrail_events(
        {"EventName": f"Op{n % 3}", "EventTime": NOW - 200 + n} for n in range(120)
    )
    fake_aws.put_cloudtrail_events([{"EventName": "Old", "EventTime": NOW - 91 * 86_400}])
    cloudtrail = client("cloudtrail")
    pages = walk(cloudtrail.lookup_events, "Events", "NextToken")
    events = [event for page in pages for event in page]
    assert [len(page) for page in pages] == [50, 50, 20]
    assert [event["EventTime"] for event in events] == [at(NOW - 81 - n) for n in range(120)]
    assert json.loads(events[0]["CloudTrailEvent"])["eventName"] == events[0]["EventName"]
    window = {"StartTime": at(NOW - 190), "EndTime": at(NOW - 180)}
    assert len(cloudtrail.lookup_events(**window)["Events"]) == 11
    named = [{"AttributeKey": "EventName", "AttributeValue": "Op1"}]
    assert len(cloudtrail.lookup_events(LookupAttributes=named)["Events"]) == 40
    token = cloudtrail.lookup_events()["NextToken"]
    assert code(cloudtrail.lookup_events, NextToken=token, **window) == "InvalidNextTokenException"
    backwards = {"StartTime": at(NOW), "EndTime": at(NOW - 9)}
    assert code(cloudtrail.lookup_events, **backwards) == "InvalidTimeRangeException"


def test_lookup_events_shows_late_events_late_and_empty_pages_on_plan(client):
    """An event is hidden until its delay is over; an empty page that has a token is not the end."""
    CLOCK.freeze(NOW)
    fake_aws.put_cloudtrail_events([{"EventName": "Late", "EventTime": NOW - 10, "delay_s": 60}])
    cloudtrail = client("cloudtrail")
    assert walk(cloudtrail.lookup_events, "Events", "NextToken") == [[]]
    fake_aws.advance_clock(61)
    fake_aws.empty_pages("LookupEvents", 2)
    assert [len(page) for page in walk(cloudtrail.lookup_events, "Events", "NextToken")] == [0, 0, 1]


def test_lookup_events_can_be_limited_to_a_rate(client):
    """Above the rate the service's own throttling comes, per region; every request is on record."""
    fake_aws.limit_rate("cloudtrail.LookupEvents", per_second=0.001, burst=2)
    cloudtrail = client("cloudtrail")
    cloudtrail.lookup_events()
    cloudtrail.lookup_events()
    assert code(cloudtrail.lookup_events) == "ThrottlingException"
    client("cloudtrail", region="eu-west-1").lookup_events()
    assert [one.region for one in fake_aws.served("cloudtrail.LookupEvents")] == ["us-east-1"] * 3 + [
        "eu-west-1"
    ]


def test_guardduty_sorts_pages_and_updates_findings_in_place(client):
    """Findings come in the order asked for; an update moves updatedAt and counts up."""
    guardduty = client("guardduty")
    detector = guardduty.create_detector(Enable=True)["DetectorId"]
    stamps = [at(NOW + n).strftime("%Y-%m-%dT%H:%M:%S.000Z") for n in range(600)]
    ids = fake_aws.put_findings(detector, [{"UpdatedAt": stamp} for stamp in stamps[:130]])

    def found(since: int) -> list[str]:
        pages = walk(
            guardduty.list_findings,
            "FindingIds",
            "NextToken",
            DetectorId=detector,
            FindingCriteria={"Criterion": {"updatedAt": {"GreaterThanOrEqual": since * 1000}}},
            SortCriteria={"AttributeName": "updatedAt", "OrderBy": "ASC"},
        )
        return [one for page in pages for one in page]

    assert guardduty.list_detectors()["DetectorIds"] == [detector]
    assert found(NOW + 10) == ids[10:]
    fake_aws.put_findings(detector, [{"Id": ids[0], "UpdatedAt": stamps[500]}])
    assert found(NOW + 130) == [ids[0]]
    (finding,) = guardduty.get_findings(DetectorId=detector, FindingIds=[ids[0]])["Findings"]
    assert (finding["Service"]["Count"], finding["UpdatedAt"]) == (2, stamps[500])
    assert code(guardduty.get_findings, DetectorId=detector, FindingIds=["x"] * 51) == "BadRequestException"
    assert code(guardduty.list_findings, DetectorId="none") == "BadRequestException"
    guardduty.create_sample_findings(DetectorId=detector, FindingTypes=["Backdoor:EC2/Spambot"])
    assert len(found(int(time.time()) - 60)) == 1


def test_filter_log_events_interleaves_streams_by_position(client):
    """Pages of any size give every event once, by time; both ends of the window are inclusive."""
    logs = client("logs")
    for stream in ("a", "b"):
        fake_aws.put_log_events(
            "/g", stream, [{"timestamp": MS + n // 3, "message": f"{n}"} for n in range(30)]
        )
    PLAN.page_size["FilterLogEvents"] = 7
    pages = walk(logs.filter_log_events, "events", logGroupName="/g", startTime=MS, endTime=MS + 9)
    events = [event for page in pages for event in page]
    assert {len(page) for page in pages} == {7, 4}
    assert [event["timestamp"] for event in events] == sorted(MS + n // 3 for n in range(30) for _ in "ab")
    assert len({event["eventId"] for event in events}) == 60
    assert len(logs.filter_log_events(logGroupName="/g", startTime=MS + 9, endTime=MS + 9)["events"]) == 6
    arn = "arn:aws:logs:us-east-1:123456789012:log-group:/g"
    by_prefix = walk(logs.filter_log_events, "events", logGroupIdentifier=arn, logStreamNamePrefix="b")
    assert {event["logStreamName"] for page in by_prefix for event in page} == {"b"}


def test_filter_log_events_may_page_empty_and_out_of_order(client):
    """An empty page may carry a token, and order is best effort."""
    logs = client("logs")
    fake_aws.put_log_events("/g", "s", [{"timestamp": MS + n, "message": f"{n}"} for n in range(50)])
    fake_aws.empty_pages("FilterLogEvents", 2)
    fake_aws.shuffle("FilterLogEvents")
    pages = walk(logs.filter_log_events, "events", logGroupName="/g")
    got = [event["timestamp"] for event in pages[2]]
    assert [len(page) for page in pages] == [0, 0, 50]
    assert got != sorted(got)


def test_logs_are_late_vanish_and_have_classes(client):
    """Late events show up late; deleted groups and streams are gone; Infrequent Access cannot be filtered."""
    CLOCK.freeze(NOW)
    logs = client("logs")
    fake_aws.put_log_events("/g", "s", [{"timestamp": MS, "message": "late", "late_s": 90}])
    assert logs.filter_log_events(logGroupName="/g")["events"] == []
    CLOCK.advance(91)
    (event,) = logs.filter_log_events(logGroupName="/g")["events"]
    assert event["ingestionTime"] - event["timestamp"] == 90_000
    logs.delete_log_stream(logGroupName="/g", logStreamName="s")
    assert logs.filter_log_events(logGroupName="/g")["events"] == []
    logs.delete_log_group(logGroupName="/g")
    assert code(logs.filter_log_events, logGroupName="/g") == "ResourceNotFoundException"
    fake_aws.put_log_group("/rare", kind="INFREQUENT_ACCESS")
    assert code(logs.filter_log_events, logGroupName="/rare") == "InvalidOperationException"
    assert logs.describe_log_groups()["logGroups"][0]["logGroupClass"] == "INFREQUENT_ACCESS"


def test_put_log_events_through_the_api_are_read_back(client):
    """What boto3 puts is what boto3 gets; GetLogEvents excludes the end and repeats its last token."""
    logs = client("logs")
    now = int(time.time() * 1000)
    logs.create_log_group(logGroupName="/g")
    logs.create_log_stream(logGroupName="/g", logStreamName="s")
    sent = [{"timestamp": now + n, "message": f"m{n}"} for n in range(5)]
    logs.put_log_events(logGroupName="/g", logStreamName="s", logEvents=sent)
    filtered = logs.filter_log_events(logGroupName="/g", endTime=now + 3)["events"]
    stream = {"logGroupName": "/g", "logStreamName": "s", "startFromHead": True, "endTime": now + 3}
    got = logs.get_log_events(**stream)
    assert [event["message"] for event in filtered] == ["m0", "m1", "m2", "m3"]
    assert [event["message"] for event in got["events"]] == ["m0", "m1", "m2"]
    last = logs.get_log_events(**stream, nextToken=got["nextForwardToken"])
    assert (last["events"], last["nextForwardToken"]) == ([], got["nextForwardToken"])


def query(number: int, stat: str = "Sum", name: str = "Calls", period: int = 300) -> dict:
    metric = {"Namespace": "App", "MetricName": name, "Dimensions": [{"Name": "Host", "Value": "a"}]}
    return {"Id": f"q{number}", "MetricStat": {"Metric": metric, "Period": period, "Stat": stat}}


def put_calls(seconds: list[int], name: str = "Calls", **more) -> None:
    samples = [{"timestamp": second, "value": second % 7, **more} for second in seconds]
    fake_aws.put_metric_samples("App", name, samples, {"Host": "a"})


def test_metric_data_is_aligned_aggregated_and_half_open(client):
    """Samples of one period are one point at its start; the window's end is not in it."""
    put_calls([NOW, NOW + 60, NOW + 299, NOW + 300])
    data = client("cloudwatch").get_metric_data(
        MetricDataQueries=[query(0), query(1, "SampleCount"), query(2, "Maximum")],
        StartTime=at(NOW),
        EndTime=at(NOW + 300),
    )["MetricDataResults"]
    values = [NOW % 7, (NOW + 60) % 7, (NOW + 299) % 7]
    assert [one["Values"] for one in data] == [[sum(values)], [3], [max(values)]]
    assert data[0]["Timestamps"] == [at(NOW)]
    assert {one["StatusCode"] for one in data} == {"Complete"}


def test_metric_data_pages_and_limits(client):
    """Points beyond the page's size follow by token; more than 500 queries are refused."""
    put_calls(list(range(NOW, NOW + 3000, 300)))
    window = {"StartTime": at(NOW), "EndTime": at(NOW + 3000), "ScanBy": "TimestampAscending"}
    cloudwatch = client("cloudwatch")
    asked = {"MetricDataQueries": [query(0), query(1, "Minimum")], "MaxDatapoints": 8, **window}
    pages = walk(cloudwatch.get_metric_data, "MetricDataResults", "NextToken", **asked)
    got = {"q0": [], "q1": []}
    for result in (result for page in pages for result in page):
        got[result["Id"]] += result["Timestamps"]
    assert len(pages) == 3
    assert got["q0"] == got["q1"] == [at(NOW + n * 300) for n in range(10)]
    assert pages[0][0]["StatusCode"] == "PartialData"
    too_many = [query(number) for number in range(501)]
    assert code(cloudwatch.get_metric_data, MetricDataQueries=too_many, **window) == "ValidationError"


def test_metric_points_are_late_revised_and_faulty_on_plan(client):
    """A late sample appears late and revises its period's point; a result may fail alone."""
    CLOCK.freeze(NOW + 600)
    put_calls([NOW])
    put_calls([NOW + 60], late_s=120)
    asked = {"MetricDataQueries": [query(0, "SampleCount")], "StartTime": at(NOW), "EndTime": at(NOW + 300)}
    cloudwatch = client("cloudwatch")

    def result():
        return cloudwatch.get_metric_data(**asked)["MetricDataResults"][0]

    assert result()["Values"] == [1]
    CLOCK.advance(121)
    assert result()["Values"] == [2]
    fake_aws.result_statuses("Calls", ["InternalError"])
    assert (result()["StatusCode"], result()["StatusCode"]) == ("InternalError", "Complete")


def test_list_metrics_pages_filters_and_knows_what_is_recent(client):
    """500 a page; by namespace, name, dimension; recently active ones only when asked."""
    CLOCK.freeze(NOW)
    for number in range(1200):
        names = {"Host": f"h{number}"}
        fake_aws.put_metric_samples("App", "Calls", [{"timestamp": NOW - 60, "value": 1}], names)
    fake_aws.put_metric_samples("Old", "Calls", [{"timestamp": NOW - 4 * 3600, "value": 1}])
    fake_aws.put_metric_samples("New", "Calls", [{"timestamp": NOW, "value": 1}], listed_late_s=900)
    cloudwatch = client("cloudwatch")
    pages = walk(cloudwatch.list_metrics, "Metrics", "NextToken")
    assert [len(page) for page in pages] == [500, 500, 201]
    recent = walk(cloudwatch.list_metrics, "Metrics", "NextToken", RecentlyActive="PT3H")
    assert sum(map(len, recent)) == 1200
    one = cloudwatch.list_metrics(Namespace="App", Dimensions=[{"Name": "Host", "Value": "h7"}])["Metrics"]
    assert one == [
        {"Namespace": "App", "MetricName": "Calls", "Dimensions": [{"Name": "Host", "Value": "h7"}]}
    ]


def test_metric_statistics_tell_the_unit(client):
    """GetMetricStatistics alone knows units; all forms of PutMetricData are understood."""
    cloudwatch = client("cloudwatch")
    data = [
        {"MetricName": "Size", "Timestamp": at(NOW), "Value": 5, "Unit": "Bytes"},
        {"MetricName": "Size", "Timestamp": at(NOW), "Values": [1, 9], "Counts": [2, 1], "Unit": "Bytes"},
        {
            "MetricName": "Size",
            "Timestamp": at(NOW),
            "StatisticValues": {"SampleCount": 2, "Sum": 4, "Minimum": 0, "Maximum": 4},
            "Unit": "Bytes",
        },
    ]
    cloudwatch.put_metric_data(Namespace="App", MetricData=data)
    (point,) = cloudwatch.get_metric_statistics(
        Namespace="App",
        MetricName="Size",
        StartTime=at(NOW),
        EndTime=at(NOW) + timedelta(seconds=300),
        Period=300,
        Statistics=["SampleCount", "Sum", "Minimum", "Maximum", "Average"],
    )["Datapoints"]
    expected = {"SampleCount": 6, "Sum": 20, "Minimum": 0, "Maximum": 9, "Average": 20 / 6, "Unit": "Bytes"}
    assert point == {"Timestamp": at(NOW), **expected}


def trust(**condition) -> str:
    statement = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole", **condition}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def test_h18_sessions_are_checked_on_every_call(client):
    """External id, missing role, chained hour, and an ended session: each service's own refusal."""
    iam, external = client("iam"), {"Condition": {"StringEquals": {"sts:ExternalId": "EXT"}}}
    hop = iam.create_role(RoleName="hop", AssumeRolePolicyDocument=trust())["Role"]["Arn"]
    leaf = iam.create_role(RoleName="leaf", AssumeRolePolicyDocument=trust(**external))["Role"]["Arn"]

    def session(given, service):
        return client(service, given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"])

    first = client("sts").assume_role(RoleArn=hop, RoleSessionName="one")["Credentials"]
    sts = session(first, "sts")
    name = {"RoleSessionName": "two"}
    assert code(sts.assume_role, RoleArn=leaf, **name) == "AccessDenied"
    assert code(sts.assume_role, RoleArn=leaf, ExternalId="no", **name) == "AccessDenied"
    assert code(sts.assume_role, RoleArn=leaf + "x", ExternalId="EXT", **name) == "AccessDenied"
    good = {"RoleArn": leaf, "ExternalId": "EXT", **name}
    assert code(sts.assume_role, DurationSeconds=7200, **good) == "ValidationError"
    second = sts.assume_role(**good)["Credentials"]
    assert ":assumed-role/leaf/two" in session(second, "sts").get_caller_identity()["Arn"]
    session(second, "logs").describe_log_groups()
    assert fake_aws.expire_sessions() == 2
    for service, call, expected in (
        ("sqs", "list_queues", "ExpiredToken"),
        ("s3", "list_buckets", "ExpiredToken"),
        ("cloudwatch", "list_metrics", "ExpiredToken"),
        ("logs", "describe_log_groups", "ExpiredTokenException"),
        ("guardduty", "list_detectors", "ExpiredTokenException"),
        ("cloudtrail", "lookup_events", "ExpiredTokenException"),
    ):
        assert code(getattr(session(second, service), call)) == expected


def test_accounts_are_apart_and_control_works_over_http(client, url):
    """A key of 12 digits is an account of its own; control functions can be called from another process."""
    other = "999999999999"
    ids = fake_aws.control(url, "put_cloudtrail_events", events=[{"EventName": "X"}], account=other)
    assert [event["EventId"] for event in client("cloudtrail", other).lookup_events()["Events"]] == ids
    assert client("cloudtrail").lookup_events()["Events"] == []
    assert fake_aws.control(url, "served_counts") == {"cloudtrail.LookupEvents": 2}
