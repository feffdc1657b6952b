"""What the AWS APIs have to tell in the demo: the last minutes of CloudTrail, Logs, metrics and GuardDuty.

Everything is put in before the collector starts, and lies in the past: so it is complete, and collected from
`start_time` on like any history. Each function puts its samples in and returns what shall arrive of them.
"""

import random
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import orjson

from flows.demo.apis import DETECTOR
from flows.demo.embedded import EmbeddedAws
from flows.demo.sample_audits import ACCOUNT, HISTORY_SECONDS, REGION, audits, spread
from flows.demo.tally import Expected


def put_history(aws: EmbeddedAws, count: int, now: float) -> list[Expected]:
    """Put samples of all four APIs in; now: epoch seconds, no sample is younger."""
    rng = random.Random(7)  # noqa: S311 - sample data, not cryptography
    return [
        *_put_audits(aws, rng, count, now),
        *_put_logs(aws, rng, count, now),
        *_put_metrics(aws, rng, count, now),
        *_put_findings(aws, count, now),
    ]


def _put_audits(aws: EmbeddedAws, rng: random.Random, count: int, now: float) -> Iterator[Expected]:
    for one in audits(rng, count, now):
        aws.told.audits.setdefault(one.category, []).append(one.shown)
        yield one.event


_GROUPS = {
    "/aws/lambda/orders": (
        "START RequestId: {id} Version: $LATEST",
        '{{"level":"info","message":"order {n} für søren"}}',
        "REPORT RequestId: {id}\tDuration: {n}.02 ms\tBilled Duration: {n} ms\tMemory Size: 128 MB",
    ),
    "/ecs/shop": ("Traceback (most recent call last):\n  File app.py, line {n}\nKeyError: '{id}'",),
    "/var/log/secure": ("sshd[{n}]: Failed password for invalid user admin from 198.51.100.7 port {n} ssh2",),
}
_STREAMS = ("blue", "green")
_MOST_LINES = 10_000
"""Of one request of CloudWatch Logs."""


def _put_logs(aws: EmbeddedAws, rng: random.Random, count: int, now: float) -> Iterator[Expected]:
    """Put lines in; their ids and times of ingestion are known when they are."""
    logs = aws.client("logs")
    for group, messages in _GROUPS.items():
        logs.create_log_group(logGroupName=group)
        for stream in _STREAMS:
            logs.create_log_stream(logGroupName=group, logStreamName=stream)
            times = [int(moment * 1000) for moment in spread(min(5 * count, _MOST_LINES), now)]
            lines = [
                messages[number % len(messages)].format(
                    id=f"{rng.getrandbits(64):016x}", n=rng.randrange(1, 9999)
                )
                for number in range(len(times))
            ]
            put = [{"timestamp": at, "message": line} for at, line in zip(times, lines, strict=True)]
            logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=put)
            told = logs.filter_log_events(logGroupName=group, logStreamNames=[stream])["events"]
            for given, one in zip(put, told, strict=True):
                yield Expected("logs", "cloud.aws.cloudwatch.logs", _logged(group, stream, {**one, **given}))


def _logged(group: str, stream: str, event: dict[str, Any]) -> bytes:
    told = {name: event[name] for name in ("timestamp", "ingestionTime", "eventId", "message")}
    return orjson.dumps(
        {"logGroup": group, "logStream": stream, **told, "account": ACCOUNT, "region": REGION}
    )


PERIOD = 60
_METRICS = (
    ("AWS/EC2", "CPUUtilization", "InstanceId"),
    ("AWS/SQS", "NumberOfMessagesSent", "QueueName"),
    ("AWS/Lambda", "Errors", "FunctionName"),
    ("Shop", "Latency", "Path"),
)


def _put_metrics(aws: EmbeddedAws, rng: random.Random, count: int, now: float) -> Iterator[Expected]:
    """Put `count` metrics in, with one to three values in each whole minute of the history."""
    edges = range(int(now) // PERIOD * PERIOD - HISTORY_SECONDS + PERIOD, int(now) + 1, PERIOD)
    for number in range(count):
        namespace, name, dimension = _METRICS[number % len(_METRICS)]
        about = {"MetricName": name, "Dimensions": [{"Name": dimension, "Value": f"demo-{number}"}]}
        minutes = [(start, _values(rng)) for start, _ in pairwise(edges)]
        data = [
            {**about, "Timestamp": start + at, "Value": value}
            for start, values in minutes
            for at, value in enumerate(values)
        ]
        aws.client("cloudwatch").put_metric_data(Namespace=namespace, MetricData=data)
        metric = {"namespace": namespace, "metricName": name, "dimensions": {dimension: f"demo-{number}"}}
        for start, values in minutes:
            yield Expected("metrics-all", "cloud.aws.cloudwatch.metrics", _point(metric, start, values))


def _values(rng: random.Random) -> list[float]:
    return [rng.randrange(400) / 4 for _ in range(rng.randrange(1, 4))]


def _point(metric: dict[str, Any], start: int, values: list[float]) -> bytes:
    return orjson.dumps(
        {
            **metric,
            "period": PERIOD,
            "timestamp": datetime.fromtimestamp(start, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "sampleCount": float(len(values)),
            "average": sum(values) / len(values),
            "sum": sum(values),
            "minimum": min(values),
            "maximum": max(values),
            "unit": None,
            "account": ACCOUNT,
            "region": REGION,
        }
    )


_FINDINGS = (
    ("Recon:EC2/PortProbeUnprotectedPort", "Unprotected port on an EC2 instance is being probed.", 2.0),
    ("UnauthorizedAccess:IAMUser/ConsoleLoginSuccess.B", "Console login from several countries.", 5.0),
    ("CryptoCurrency:EC2/BitcoinTool.B!DNS", "Bitcoin-related domain name queried.", 8.0),
)


def _put_findings(aws: EmbeddedAws, count: int, now: float) -> Iterator[Expected]:
    """Put findings in, more than a page of 50 by default, three in each millisecond."""
    moments = [moment for moment in spread(2 * count, now) for _ in _FINDINGS]
    for number, moment in enumerate(moments):
        finding = _finding(number, moment)
        aws.told.findings.append(finding)
        yield Expected("aws-guardduty", "cloud.aws.guardduty.findings", orjson.dumps(finding))


def _finding(number: int, moment: float) -> dict[str, Any]:
    """Return a finding as GuardDuty's API spells it, which is what goes to Devo."""
    kind, title, severity = _FINDINGS[number % len(_FINDINGS)]
    key = f"{number:032x}"
    told = datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {
        "accountId": ACCOUNT,
        "arn": f"arn:aws:guardduty:{REGION}:{ACCOUNT}:detector/{DETECTOR}/finding/{key}",
        "createdAt": told,
        "description": title,
        "id": key,
        "partition": "aws",
        "region": REGION,
        "resource": {"instanceDetails": {"instanceId": f"i-{number:017x}"}, "resourceType": "Instance"},
        "schemaVersion": "2.0",
        "service": {
            "archived": False,
            "count": 1 + number,
            "detectorId": DETECTOR,
            "eventFirstSeen": told,
            "eventLastSeen": told,
            "resourceRole": "TARGET",
            "serviceName": "guardduty",
        },
        "severity": severity,
        "title": title,
        "type": kind,
        "updatedAt": told,
    }
