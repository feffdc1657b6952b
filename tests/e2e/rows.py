"""The ten rows of the catalogue: how each is configured, what is put into AWS, and the events it must become.

What is expected is written here or told by what was put, never by the collector's own code.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import boto3

from tests.fakes.collector import Site, services
from tests.fakes.corpus import Event, corpus
from tests.fakes.fake_aws import server as fake_aws
from tests.fakes.ministack import REGION, Ministack, Queue

ACCOUNT = fake_aws.ACCOUNT
_OTHER = "eu-west-1"
_PERIOD = 300
_UNTIDY = ["plain", "two\nlines\r\n", "tab\t and \x00 nul", "ünïcode ☃ 𝄞", '{"json": "in \\"json\\""}', " "]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a row's events are put. apis: the URL of the served APIs; now: epoch seconds."""

    aws: Ministack
    apis: str
    site: Site
    queues: Mapping[str, Queue]
    now: int

    @property
    def polled(self) -> dict[str, Any]:
        """Return the common keys of the services that ask an API."""
        start = datetime.fromtimestamp(self.now - 7200, UTC).isoformat()
        return {"regions": [REGION], "start_time": start, "request_period_in_seconds": 1}


@dataclass(frozen=True, slots=True)
class Row:
    """One row. auto: whether `auto_event_type` changes its tags.

    settings: place and `auto_event_type` → `services` section. put: fills the place, returns the events.
    """

    name: str
    settings: Callable[[Place, bool], dict[str, Any]]
    put: Callable[[Place], list[Event]]
    auto: bool = False


def compact(value: Any) -> bytes:
    """Return compact JSON in UTF-8."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def envelope(source: str, kind: str, detail: str) -> str:
    """Return an EventBridge event, its detail as given."""
    told = {
        "version": "0",
        "id": "6a7e8feb-b491-4cf7-a9f1-bf3703467718",
        "detail-type": kind,
        "source": source,
    }
    place = {"account": ACCOUNT, "time": "2026-01-02T03:04:05Z", "region": REGION, "resources": []}
    return compact({**told, **place}).decode()[:-1] + f',"detail":{detail}}}'


# events in queues


def queued(setting: str, place: Place, auto: bool, **more: Any) -> dict[str, Any]:  # noqa: FBT001 - as Row has it
    queue = place.queues[setting].name
    return {
        setting: {
            "regions": [REGION],
            "cloudwatch_sqs_queue_name": queue,
            "auto_event_type": auto,
            **more,
        }
    }


def put_service_events(place: Place) -> list[Event]:
    """Put events as they are, pretty-printed, and wrapped by SNS; an alarm; one that the mapping names."""
    change = envelope("aws.ec2", "EC2 Instance State-change Notification", '{"state":"running","n":1.50}')
    untidy = envelope("my.app", "Crème brûlée", compact({"text": "a\nb\u2028"}).decode())
    alarm = envelope("aws.cloudwatch", "CloudWatch Alarm State Change", '{"state":{"value":"ALARM"}}')
    health = envelope("aws.health", "AWS Health Event", '{"service":"EC2"}')
    pretty = envelope("aws.s3", "Object Created", '{"size":0.10}')
    topic = {"Type": "Notification", "TopicArn": "arn:aws:sns:us-east-1:123456789012:t"}
    sent = [
        (change, change, "events"),
        (untidy, untidy, "events"),
        (alarm, alarm, "alarm"),
        (health, health, "logs"),
        ("{\n  " + pretty[1:-1].replace(',"', ',\n  "').replace('":', '": ') + "\r\n}\n", pretty, "events"),
        (json.dumps({**topic, "Message": alarm + " "}, indent=1), alarm, "alarm"),
    ]
    for body, _, _ in sent:
        place.aws.send(place.queues["service-events-all"], body)
    tag = "cloud.aws.cloudwatch"
    return [Event(f"{tag}.events", f"{tag}.{kind}", line.encode()) for _, line, kind in sent]


def put_findings_in_messages(place: Place) -> list[Event]:
    """Put several findings in one message, one in another."""
    findings = [f'{{"Id":"f{n}","Title":"ünïcode \\n {n}","Score":{n}.50}}' for n in range(5)]
    for some in (findings[:3], findings[3:4], findings[4:]):
        detail = f'{{"findings":[{",".join(some)}]}}'
        body = envelope("aws.securityhub", "Security Hub Findings - Imported", detail)
        place.aws.send(place.queues["sqs-cloudwatch-consumer"], body)
    tag = "cloud.aws.securityhub.findings"
    return [Event(tag, tag, one.encode()) for one in findings]


# objects


def objects(kind: str, place: Place, auto: bool) -> dict[str, Any]:  # noqa: FBT001 - as Row has it
    return services([place.site], auto=auto, only=[kind])


def put_objects(counts: dict[str, int], place: Place) -> list[Event]:
    samples = corpus(counts, seed=5)
    place.site.put(samples)
    return [event for sample in samples for event in sample.expected]


# APIs


def put_lookup_events(place: Place) -> list[Event]:
    """Put records of a spelling of their own; services with regular, irregular and no table."""
    tables = {
        "ec2": "ec2",
        "cognito-identity": "cognito_identify",
        "servicequotas": "servicesquotas",
        "sso-directory": "soo_directory",
        "brand-new": "events",
    }
    made = [
        (
            f'{{"n":  1,"eventSource":"{source}.amazonaws.com", "cost":1.50,"eventID":"søren-{n}"}}',
            table,
        )
        for n, (source, table) in enumerate(tables.items())
    ]
    for number, (text, _) in enumerate(made):
        event = {"EventName": "Op", "EventTime": place.now - 1200 + number, "CloudTrailEvent": text}
        fake_aws.put_cloudtrail_events([event])
    insight = '{"eventVersion":"1.11","eventType":"AwsCloudTrailInsight","insightDetails":{"state":"Start"}}'
    event = {"EventName": "RunInstances", "EventTime": place.now - 1200, "CloudTrailEvent": insight}
    fake_aws.put_cloudtrail_events([{**event, "category": "insight"}])
    tag = "cloud.aws.cloudtrail"
    found = [Event(f"{tag}.events", f"{tag}.{table}", text.encode()) for text, table in made]
    return [*found, Event(f"{tag}.events", f"{tag}.insights", insight.encode())]


def put_metrics(place: Place) -> list[Event]:
    """Put two metrics with dimensions and without, over several periods, two samples in each."""
    last = place.now // _PERIOD * _PERIOD - 2 * _PERIOD
    found = []
    for name, dimensions in (("Calls", {"Host": "a", "Ünit": "b c"}), ("Errors", {})):
        for at in range(last - 3 * _PERIOD, last + 1, _PERIOD):
            samples = [{"timestamp": at, "value": 1}, {"timestamp": at + 60, "value": 2.5}]
            fake_aws.put_metric_samples("App/Ü", name, samples, dimensions)
            moment = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            line = (
                f'{{"namespace":"App/Ü","metricName":"{name}","dimensions":{compact(dimensions).decode()},'
                f'"period":300,"timestamp":"{moment}","sampleCount":2.0,"average":1.75,"sum":3.5,'
                f'"minimum":1.0,"maximum":2.5,"unit":null,"account":"{ACCOUNT}","region":"{REGION}"}}'
            )
            found.append(line.encode())
    tag = "cloud.aws.cloudwatch.metrics"
    return [Event(tag, tag, line) for line in found]


def put_log_lines(place: Place) -> list[Event]:
    """Put messages of all kinds, in two streams of two groups."""
    tag = "cloud.aws.cloudwatch.logs"
    found = []
    for group, stream in (("/app/one", "a"), ("/app/one", "b/[1]"), ("two", "a")):
        sent = [
            {"timestamp": place.now * 1000 - 900_000 + n, "message": text} for n, text in enumerate(_UNTIDY)
        ]
        ids = fake_aws.put_log_events(group, stream, sent)
        for name, event in zip(ids, sent, strict=True):
            where = {"logGroup": group, "logStream": stream, "timestamp": event["timestamp"]}
            what = {"ingestionTime": int(name[15:30]), "eventId": name, "message": event["message"]}
            found.append(compact({**where, **what, "account": ACCOUNT, "region": REGION}))
    return [Event(tag, tag, line) for line in found]


def put_guardduty_findings(place: Place) -> list[Event]:
    """Put findings of two regions, several in one millisecond; a line is what the service itself writes."""
    tag, found = "cloud.aws.guardduty.findings", []
    for region in (REGION, _OTHER):
        client = boto3.client(
            "guardduty", region, endpoint_url=place.apis, aws_access_key_id="x", aws_secret_access_key="x"
        )
        detector = client.create_detector(Enable=True)["DetectorId"]
        client.close()
        moment = datetime.fromtimestamp(place.now - 1200, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        titles = {"Title": "Zoë's\nport", "Severity": 8.5}
        findings = [{"Id": f"{region}-{n}", "UpdatedAt": f"{moment}.00{n % 2}Z", **titles} for n in range(5)]
        ids = fake_aws.put_findings(detector, findings, region=region)
        written = _on_the_wire(place.apis, region, detector, ids)
        assert [one["title"] for one in written] == [titles["Title"]] * 5
        found += [Event(tag, tag, compact(one)) for one in written]
    return found


def _on_the_wire(url: str, region: str, detector: str, ids: list[str]) -> list[dict[str, Any]]:
    """Return findings as GuardDuty writes them, asked for without boto3."""
    signed = f"AWS4-HMAC-SHA256 Credential=x/20260102/{region}/guardduty/aws4_request, Signature=s"
    headers = {"Authorization": signed, "Content-Type": "application/json"}
    connection = HTTPConnection(urlsplit(url).netloc, timeout=20)
    connection.request("POST", f"/detector/{detector}/findings/get", json.dumps({"findingIds": ids}), headers)
    found = json.loads(connection.getresponse().read())
    connection.close()
    return found["findings"]


ROWS = (
    Row(
        "service-events-all",
        partial(queued, "service-events-all", event_type_processor_mapping={"aws.health": "logs"}),
        put_service_events,
        auto=True,
    ),
    Row("sqs-cloudwatch-consumer", partial(queued, "sqs-cloudwatch-consumer"), put_findings_in_messages),
    Row(
        "audit-events-all audits_api",
        lambda place, auto: {
            "audit-events-all": {
                **place.polled,
                "types": ["audits_api"],
                "auto_event_type": auto,
                "collect_insights": True,
            }
        },
        put_lookup_events,
        auto=True,
    ),
    Row(
        "audit-events-all audits_s3",
        partial(objects, "audits_s3"),
        partial(put_objects, {"cloudtrail": 4}),
        auto=True,
    ),
    Row("metrics-all", lambda place, _: {"metrics-all": place.polled}, put_metrics),
    Row(
        "logs",
        lambda place, _: {"my-logs": {**place.polled, "types": ["logs"], "log_group": "/"}},
        put_log_lines,
    ),
    Row(
        "non-cloudwatch-logs flowlogs",
        partial(objects, "flowlogs"),
        partial(put_objects, {"vpc": 3, "parquet": 2}),
        auto=True,
    ),
    Row(
        "non-cloudwatch-logs cloudfrontlogs",
        partial(objects, "cloudfrontlogs"),
        partial(put_objects, {"cloudfront": 3}),
        auto=True,
    ),
    Row("cisco-umbrella", partial(objects, "cisco-umbrella"), partial(put_objects, {"umbrella": 7})),
    Row(
        "aws-guardduty",
        lambda place, _: {"aws-guardduty": {**place.polled, "regions": [REGION, _OTHER]}},
        put_guardduty_findings,
    ),
)
