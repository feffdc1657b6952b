"""The ten rows of the catalogue as data: how each is configured, fed, and what its events must become.

What is expected is written here, never told by the collector's own code.
"""

import gzip
import json
import urllib.request
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any
from zlib import crc32

import boto3

from tests.fakes.fake_aws import server as fake_aws
from tests.fakes.ministack import REGION, Depth, Ministack, Queue

_MINUTE = 60
_PADDING = 40_000
"""Bytes that lengthen a line of a large object, so that few lines make it several pieces."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a row's events are put. aws: queues and objects. apis: URL of the served APIs.

    account: of the served APIs, this test's own. now: epoch seconds of the newest event.
    """

    aws: Ministack
    apis: str
    account: str
    unique: Callable[[str], str]
    now: int

    def client(self, service: str) -> Any:
        """Return a boto3 client of the served APIs, as the account; to be closed."""
        keys = {"aws_access_key_id": self.account, "aws_secret_access_key": "x"}
        return boto3.client(service, REGION, endpoint_url=self.apis, **keys)


@dataclass(frozen=True, slots=True)
class Site:
    """One row's own corner of a place. services: its section of the configuration.

    put: numbers → the lines that these events must become. put_large: the same for few events in several
    pieces; None where a message is one piece. empty: nothing waits there any more.
    seldom: makes the row do what it does seldom. arns: of what it reads.
    """

    services: dict[str, Any]
    put: Callable[[Iterable[int]], list[bytes]]
    put_large: Callable[[int], list[bytes]] | None = None
    empty: Callable[[], bool] = lambda: True
    seldom: Callable[[], object] = lambda: None
    arns: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One row. name: in the catalogue. open: makes its site.

    operations: what it asks AWS in the normal course of things, as the proxy names it; the last one is
    repeated as long as it runs, or there is none such (`repeats`). pages: operation → items of a page.
    few, many: how many events to put for a test of some pages, and of more than is fetched ahead.
    """

    name: str
    open: Callable[[Place], Site]
    operations: tuple[str, ...]
    repeats: bool = True
    pages: Mapping[str, int] | None = None
    few: int = 40
    many: int = 80

    @property
    def leases(self) -> bool:
        """Tell the family: leases on messages, or positions in an API."""
        return self.operations[-1].startswith(("sqs.", "s3."))


def compact(value: Any) -> bytes:
    """Return compact JSON in UTF-8."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


# messages


def _queue_site(
    setting: str, key: str, place: Place, queue: Queue, put: Callable[..., list[bytes]], **more: Any
) -> Site:
    options = {
        "regions": [REGION],
        key: queue.name,
        "visibility_timeout_seconds": 2,
        **more.pop("options", {}),
    }
    return Site({setting: options}, put, empty=lambda: place.aws.depth(queue) == Depth(0, 0), **more)


def _send(place: Place, queue: Queue, bodies: Sequence[str]) -> None:
    """Send messages, in lots of ten; in a FIFO queue each is of a group of its own."""
    fifo = queue.name.endswith(".fifo")
    entries = [
        {
            "Id": str(n),
            "MessageBody": body,
            **({"MessageGroupId": f"g{crc32(body.encode())}"} if fifo else {}),
        }
        for n, body in enumerate(bodies)
    ]
    sqs = place.aws.client("sqs")
    for begin in range(0, len(entries), 10):
        sqs.send_message_batch(QueueUrl=queue.url, Entries=entries[begin : begin + 10])


def _envelope(source: str, detail: Any) -> str:
    told = {"version": "0", "source": source, "detail-type": "Ünusual", "account": "123456789012"}
    return compact({**told, "region": REGION, "detail": detail}).decode()


def _events(place: Place) -> Site:
    queue = place.aws.queue(place.unique("conformance"), fifo=True)

    def put(numbers: Iterable[int]) -> list[bytes]:
        bodies = [_envelope("aws.ec2", {"number": number}) for number in numbers]
        _send(place, queue, bodies)
        return [body.encode() for body in bodies]

    return _queue_site(
        "service-events-all", "cloudwatch_sqs_queue_name", place, queue, put, arns={"queue": queue.arn}
    )


def _findings(place: Place) -> Site:
    queue = place.aws.queue(place.unique("conformance"))

    def put(numbers: Iterable[int]) -> list[bytes]:
        pairs = [[{"Id": f"{number}{half}", "Ü": 1} for half in "ab"] for number in numbers]
        _send(place, queue, [_envelope("aws.securityhub", {"findings": pair}) for pair in pairs])
        return [compact(finding) for pair in pairs for finding in pair]

    return _queue_site(
        "sqs-cloudwatch-consumer", "cloudwatch_sqs_queue_name", place, queue, put, arns={"queue": queue.arn}
    )


# objects


@dataclass(frozen=True, slots=True)
class Objects:
    """A kind of objects. key: of the n-th, ends in `000012.…`. line: an event, padded. whole: the object."""

    setting: str
    queue: str
    type: str
    key: Callable[[int], str]
    line: Callable[[str, str], str]
    whole: Callable[[Sequence[bytes]], bytes]


def _text(head: bytes, lines: Sequence[bytes]) -> bytes:
    return head + b"".join(line + b"\n" for line in lines)


_DAY = "2026/01/02"
_TRAIL = f"AWSLogs/123456789012/CloudTrail/{REGION}/{_DAY}/123456789012_CloudTrail_{REGION}_20260102T0304Z_"
_FLOW_HEAD = (
    b"version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end "
    b"action log-status\n"
)
_WEB_HEAD = b"#Version: 1.0\n#Fields: date time x-edge-location sc-bytes cs-uri-stem\n"

TRAIL = Objects(
    "audit-events-all",
    "audit_sqs_queue_name",
    "audits_s3",
    lambda n: f"{_TRAIL}{n:06}.json.gz",
    lambda name, pad: (
        f'{{"eventVersion":"1.10","eventSource":"ec2.amazonaws.com","eventID":"{name}","é":"{pad}"}}'
    ),
    lambda lines: b'{"Records":[' + b",".join(lines) + b"]}",
)
FLOW = Objects(
    "non-cloudwatch-logs",
    "vpcflowlogs_sqs_queue_name",
    "flowlogs",
    lambda n: f"AWSLogs/123456789012/vpcflowlogs/{REGION}/{_DAY}/123456789012_vpcflowlogs_{n:06}.log.gz",
    lambda name, pad: f"2 123456789012 eni-{name}{pad} 10.0.0.1 10.0.0.2 1 2 6 1 40 1 2 ACCEPT OK",
    partial(_text, _FLOW_HEAD),
)
WEB = Objects(
    "non-cloudwatch-logs",
    "cloudfrontlogs_sqs_queue_name",
    "cloudfrontlogs",
    lambda n: f"cf/E2EXAMPLE.2026-01-02-03.{n:06}.gz",
    lambda name, pad: f"2026-01-02\t03:04:05\tFRA60-P1\t1\t/{name}{pad}",
    partial(_text, _WEB_HEAD),
)
UMBRELLA = Objects(
    "cisco-umbrella",
    "cisco_umbrella_sqs_queue_name",
    "cisco-umbrella",
    lambda n: f"org/dnslogs/2026-01-02/2026-01-02-03-04-{n:06}.csv.gz",
    lambda name, pad: f'"2026-01-02 03:04:05","{name}","a, ""b"" {pad}"',
    partial(_text, b""),
)


def _objects(kind: Objects, place: Place) -> Site:
    queue, bucket = place.aws.queue(place.unique("conformance")), place.aws.bucket(place.unique("bucket"))
    place.aws.announce_by_sqs(bucket, queue)

    def put_one(number: int, count: int, padding: str) -> list[bytes]:
        lines = [kind.line(f"{number}-{n}", padding).encode() for n in range(count)]
        place.aws.put(bucket, kind.key(number), gzip.compress(kind.whole(lines), 1))
        return lines

    def keep_versions() -> None:
        put_one(900_000, 1, "")
        place.aws.keep_versions(bucket)

    return _queue_site(
        kind.setting,
        kind.queue,
        place,
        queue,
        lambda numbers: [line for number in numbers for line in put_one(number, 2, "")],
        options={"types": [kind.type]} if kind.type != "cisco-umbrella" else {},
        put_large=lambda number: put_one(number, 60, "x" * _PADDING),
        arns={"queue": queue.arn, "bucket": f"arn:aws:s3:::{bucket}"},
        seldom=keep_versions,
    )


# APIs


def _polled(place: Place, seconds: int) -> dict[str, Any]:
    """Return the common keys of a service that asks an API, from some seconds ago on."""
    start = datetime.fromtimestamp(place.now - seconds, UTC).isoformat()
    return {"regions": [REGION], "start_time": start, "request_period_in_seconds": 0.2}


def _lookup(place: Place) -> Site:
    def put(numbers: Iterable[int]) -> list[bytes]:
        texts = {
            n: f'{{"eventVersion": "1.11","eventSource":"ec2.amazonaws.com","ø": {n}.50}}' for n in numbers
        }
        events = (
            {"EventName": "Op", "EventTime": place.now - 600 + n, "CloudTrailEvent": text}
            for n, text in texts.items()
        )
        fake_aws.put_cloudtrail_events(events, account=place.account)
        return [text.encode() for text in texts.values()]

    options = {**_polled(place, 650), "types": ["audits_api"], "settle_seconds": 0, "overlap_seconds": 5}
    return Site({"audit-events-all": options}, put)


def _metrics(place: Place) -> Site:
    """Begin half a day ago: a window of 720 periods takes a request per 28 metrics."""
    begin = (place.now - 45_000) // _MINUTE * _MINUTE
    told = {"dimensions": {"Höst": "a b"}, "period": _MINUTE}

    def put(numbers: Iterable[int]) -> list[bytes]:
        return [put_one(f"M{number:04}", begin + number % 600 * _MINUTE) for number in numbers]

    def put_one(name: str, at: int) -> bytes:
        samples = [{"timestamp": at, "value": 1}, {"timestamp": at + 30, "value": 2.5}]
        fake_aws.put_metric_samples("App", name, samples, told["dimensions"], account=place.account)
        moment = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        values = {"sampleCount": 2.0, "average": 1.75, "sum": 3.5, "minimum": 1.0, "maximum": 2.5}
        where = {"unit": None, "account": place.account, "region": REGION}
        return compact(
            {"namespace": "App", "metricName": name, **told, "timestamp": moment, **values, **where}
        )

    def unanswered() -> None:
        """Put a metric that GetMetricData does not answer."""
        name = f"S{place.account}"
        put_one(name, begin)
        fake_aws.result_statuses(name, ["InternalError"] * 1000)

    options = {**_polled(place, 46_000), "period": _MINUTE, "delay": 0}
    return Site(
        {"metrics-all": options},
        put,
        seldom=unanswered,
    )


def _logs(place: Place) -> Site:
    group = f"/app/{place.account}"
    fake_aws.put_log_group(group, account=place.account)

    def put(numbers: Iterable[int]) -> list[bytes]:
        begin = (place.now - 590) * 1000
        told = {
            n: {"timestamp": begin + n, "ingestionTime": begin + n + 7, "message": f"ünruly\n{n}"}
            for n in numbers
        }
        ids = fake_aws.put_log_events(group, "s/[1]", told.values(), account=place.account)
        return [put_line(name, event) for name, event in zip(ids, told.values(), strict=True)]

    def put_line(name: str, event: Mapping[str, Any]) -> bytes:
        times = {key: event[key] for key in ("timestamp", "ingestionTime")}
        what = {"eventId": name, "message": event["message"], "account": place.account, "region": REGION}
        return compact({"logGroup": group, "logStream": "s/[1]", **times, **what})

    def rare() -> None:
        fake_aws.put_log_group("/rare", account=place.account, kind="INFREQUENT_ACCESS")

    options = {**_polled(place, 600), "types": ["logs"], "log_group": "/", "infrequent_access": True}
    return Site({"my-logs": {**options, "settle_seconds": 0, "overlap_seconds": 5}}, put, seldom=rare)


def _guardduty(place: Place) -> Site:
    with closing(place.client("guardduty")) as client:
        detector = client.create_detector(Enable=True)["DetectorId"]

    def put(numbers: Iterable[int]) -> list[bytes]:
        moments = {n: datetime.fromtimestamp(place.now - 600 + n, UTC) for n in numbers}
        findings = [
            {"Id": f"f{n}", "UpdatedAt": moment.strftime("%Y-%m-%dT%H:%M:%S.000Z"), "Title": "Zoë's"}
            for n, moment in moments.items()
        ]
        ids = fake_aws.put_findings(detector, findings, account=place.account)
        lots = (ids[begin : begin + 50] for begin in range(0, len(ids), 50))
        return [compact(one) for lot in lots for one in _on_the_wire(place, detector, lot)]

    return Site({"aws-guardduty": {**_polled(place, 650), "overlap_seconds": 5}}, put)


def _on_the_wire(place: Place, detector: str, ids: Sequence[str]) -> list[dict[str, Any]]:
    """Return findings as GuardDuty writes them, asked for without boto3."""
    scope = f"{place.account}/20260102/{REGION}/guardduty/aws4_request"
    signed = f"AWS4-HMAC-SHA256 Credential={scope}, Signature=s"
    headers = {"Authorization": signed, "Content-Type": "application/json"}
    url = f"{place.apis}/detector/{detector}/findings/get"
    request = urllib.request.Request(url, compact({"findingIds": list(ids)}), headers)  # noqa: S310 - loopback
    with urllib.request.urlopen(request, timeout=60) as reply:  # noqa: S310 - loopback
        return json.loads(reply.read())["findings"]


_SQS = ("sqs.GetQueueUrl", "sqs.DeleteMessageBatch", "sqs.ReceiveMessage")
_S3 = ("s3.GetObject", *_SQS)
_STS = "sts.GetCallerIdentity"

ROWS = (
    Row("audits_s3", partial(_objects, TRAIL), _S3),
    Row("flowlogs", partial(_objects, FLOW), _S3),
    Row("cloudfrontlogs", partial(_objects, WEB), _S3),
    Row("cisco-umbrella", partial(_objects, UMBRELLA), _S3),
    Row("service-events-all", _events, _SQS),
    Row("sqs-cloudwatch-consumer", _findings, _SQS),
    Row("audits_api", _lookup, (_STS, "cloudtrail.LookupEvents"), pages={"LookupEvents": 10}),
    Row(
        "metrics-all",
        _metrics,
        (_STS, "cloudwatch.ListMetrics", "cloudwatch.GetMetricData"),
        repeats=False,
        few=80,
    ),
    Row("logs", _logs, ("logs.DescribeLogGroups", "logs.FilterLogEvents"), pages={"FilterLogEvents": 10}),
    Row(
        "aws-guardduty",
        _guardduty,
        (_STS, "guardduty.ListDetectors", "guardduty.GetFindings", "guardduty.ListFindings"),
        pages={"ListFindings": 10},
    ),
)
