"""What the AWS APIs have to tell in the demo: the last minutes of CloudTrail, Logs, metrics and GuardDuty.

Everything is put in before the collector starts, and lies in the past: so it is complete, and collected from
`start_time` on like any history. Each function puts its samples in and returns what shall arrive of them.
"""

import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import orjson

from flows.demo.sample_audits import audits
from flows.demo.samples import ACCOUNT, HISTORY_SECONDS, REGION, spread
from flows.demo.tally import Expected

Control = Callable[..., Any]
"""`control(function, **arguments)`: a control function of the fake."""


def put_history(control: Control, detector: str, count: int, now: float) -> list[Expected]:
    """Put samples of all four APIs in; now: epoch seconds, no sample is younger."""
    rng = random.Random(7)  # noqa: S311 - sample data, not cryptography
    return [
        *_put_audits(control, rng, count, now),
        *_put_logs(control, rng, count, now),
        *_put_metrics(control, rng, count, now),
        *_put_findings(control, detector, count, now),
    ]


def _put_audits(control: Control, rng: random.Random, count: int, now: float) -> Iterator[Expected]:
    made = list(audits(rng, count, now))
    control("put_cloudtrail_events", events=[one.given() for one in made])
    return (one.event for one in made)


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


def _put_logs(control: Control, rng: random.Random, count: int, now: float) -> Iterator[Expected]:
    for group, messages in _GROUPS.items():
        for stream in _STREAMS:
            events = [
                {
                    "timestamp": int(moment * 1000),
                    "ingestionTime": int(moment * 1000),
                    "message": messages[number % len(messages)].format(
                        id=f"{rng.getrandbits(64):016x}", n=rng.randrange(1, 9999)
                    ),
                }
                for number, moment in enumerate(spread(5 * count, now))
            ]
            ids = control("put_log_events", group=group, stream=stream, events=events)
            for key, event in zip(ids, events, strict=True):
                yield Expected("logs", "cloud.aws.cloudwatch.logs", _logged(group, stream, key, event))


def _logged(group: str, stream: str, key: str, event: dict[str, Any]) -> bytes:
    return orjson.dumps(
        {
            "logGroup": group,
            "logStream": stream,
            "timestamp": event["timestamp"],
            "ingestionTime": event["ingestionTime"],
            "eventId": key,
            "message": event["message"],
            "account": ACCOUNT,
            "region": REGION,
        }
    )


PERIOD = 60
_METRICS = (
    ("AWS/EC2", "CPUUtilization", "InstanceId"),
    ("AWS/SQS", "NumberOfMessagesSent", "QueueName"),
    ("AWS/Lambda", "Errors", "FunctionName"),
    ("Shop", "Latency", "Path"),
)


def _put_metrics(control: Control, rng: random.Random, count: int, now: float) -> Iterator[Expected]:
    """Put `count` metrics in, with one to three values in each whole minute of the history."""
    edges = range(int(now) // PERIOD * PERIOD - HISTORY_SECONDS + PERIOD, int(now) + 1, PERIOD)
    for number in range(count):
        namespace, name, dimension = _METRICS[number % len(_METRICS)]
        metric = {"namespace": namespace, "name": name, "dimensions": {dimension: f"demo-{number}"}}
        minutes = [(start, end, _values(rng)) for start, end in pairwise(edges)]
        samples = [
            {"timestamp": start + at, "value": value}
            for start, _, values in minutes
            for at, value in enumerate(values)
        ]
        control("put_metric_samples", **metric, samples=samples)
        for start, _, values in minutes:
            yield Expected("metrics-all", "cloud.aws.cloudwatch.metrics", _point(metric, start, values))


def _values(rng: random.Random) -> list[float]:
    return [rng.randrange(400) / 4 for _ in range(rng.randrange(1, 4))]


def _point(metric: dict[str, Any], start: int, values: list[float]) -> bytes:
    return orjson.dumps(
        {
            "namespace": metric["namespace"],
            "metricName": metric["name"],
            "dimensions": metric["dimensions"],
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


def _put_findings(control: Control, detector: str, count: int, now: float) -> Iterator[Expected]:
    """Put findings in, more than a page of 50 by default, three in each millisecond."""
    moments = [moment for moment in spread(2 * count, now) for _ in _FINDINGS]
    made = [_finding(number, detector, moment) for number, moment in enumerate(moments)]
    control("put_findings", detector_id=detector, findings=made)
    return (Expected("aws-guardduty", "cloud.aws.guardduty.findings", wire(finding)) for finding in made)


def _finding(number: int, detector: str, moment: float) -> dict[str, Any]:
    """Return a finding in boto3's names, every field that the fake would fill in."""
    kind, title, severity = _FINDINGS[number % len(_FINDINGS)]
    key = f"{number:032x}"
    told = datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {
        "AccountId": ACCOUNT,
        "Arn": f"arn:aws:guardduty:{REGION}:{ACCOUNT}:detector/{detector}/finding/{key}",
        "CreatedAt": told,
        "Description": title,
        "Id": key,
        "Partition": "aws",
        "Region": REGION,
        "Resource": {"InstanceDetails": {"InstanceId": f"i-{number:017x}"}, "ResourceType": "Instance"},
        "SchemaVersion": "2.0",
        "Service": {
            "Archived": False,
            "Count": 1 + number,
            "DetectorId": detector,
            "EventFirstSeen": told,
            "EventLastSeen": told,
            "ResourceRole": "TARGET",
            "ServiceName": "guardduty",
        },
        "Severity": severity,
        "Title": title,
        "Type": kind,
        "UpdatedAt": told,
    }


def wire(finding: dict[str, Any]) -> bytes:
    """Return a finding as GuardDuty's API spells it, which is what goes to Devo."""
    return orjson.dumps(_lowered(finding), option=orjson.OPT_SORT_KEYS)


def _lowered(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {name[0].lower() + name[1:]: _lowered(one) for name, one in value.items()}
