"""Sample events as EventBridge puts them into queues: service events, alarms, Security Hub findings."""

import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import orjson
from msgspec import Struct

from flows.demo.sample_audits import ACCOUNT, REGION
from flows.demo.tally import Expected

_EVENTS, _FINDINGS = "service-events-all", "sqs-cloudwatch-consumer"
_TAG = "cloud.aws.cloudwatch"
_FINDINGS_TAG = "cloud.aws.securityhub.findings"


class SampleMessage(Struct, frozen=True):
    """One message of a queue. service: whose queue. events: what shall arrive of it."""

    service: str
    body: str
    events: tuple[Expected, ...]


def messages(count: int = 5) -> Iterator[SampleMessage]:
    """Yield `count` each of service events, alarms, and Security Hub findings (two a message)."""
    for number in range(count):
        started = {"instance-id": f"i-{number:017x}", "state": "running"}
        yield _whole("events", "aws.ec2", "EC2 Instance State-change Notification", started)
        alarm = {"alarmName": f"cpu-{number}", "state": {"value": "ALARM"}}
        yield _whole("alarm", "aws.cloudwatch", "CloudWatch Alarm State Change", alarm)
        yield _imported([{"Id": f"finding-{number}-{half}", "Severity": {"Label": "HIGH"}} for half in "ab"])


def _whole(table: str, source: str, kind: str, detail: dict[str, Any]) -> SampleMessage:
    """Return an envelope that is one event as it is."""
    body = _envelope(source, kind, detail)
    return SampleMessage(_EVENTS, body.decode(), (Expected(_EVENTS, f"{_TAG}.{table}", body),))


def _imported(findings: Sequence[dict[str, Any]]) -> SampleMessage:
    """Return an envelope whose findings are one event each."""
    body = _envelope("aws.securityhub", "Security Hub Findings - Imported", {"findings": findings})
    events = (Expected(_FINDINGS, _FINDINGS_TAG, orjson.dumps(finding)) for finding in findings)
    return SampleMessage(_FINDINGS, body.decode(), tuple(events))


def _envelope(source: str, kind: str, detail: dict[str, Any]) -> bytes:
    """Return an event as EventBridge wraps it."""
    told = {"version": "0", "id": f"{zlib.crc32(orjson.dumps(detail)):08x}", "source": source}
    place = {"account": ACCOUNT, "time": "2026-01-02T03:04:05Z", "region": REGION, "resources": []}
    return orjson.dumps({**told, "detail-type": kind, **place, "detail": detail})
