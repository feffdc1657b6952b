"""The demo's configuration, in Devo's own shape: every service of the catalogue, with short delays."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from flows.demo.embedded import KEYS
from flows.demo.receiver import Certificates
from flows.demo.sample_apis import PERIOD
from flows.demo.sample_audits import HISTORY_SECONDS, REGION

OBJECT_QUEUES = {
    "audits_s3": "demo-cloudtrail",
    "flowlogs": "demo-vpcflow",
    "cloudfrontlogs": "demo-cloudfront",
    "cisco-umbrella": "demo-umbrella",
}
"""Service → queue, and the bucket of the same name whose objects it announces."""

EVENT_QUEUES = {"service-events-all": "demo-events.fifo", "sqs-cloudwatch-consumer": "demo-findings.fifo"}
"""Service → FIFO queue that EventBridge fills."""

QUEUES = {**OBJECT_QUEUES, **EVENT_QUEUES}


def configuration(
    port: int, certificates: Certificates, now: float, keys: Mapping[str, str] = KEYS
) -> dict[str, Any]:
    """Return the configuration. port: Devo's, on loopback. now: epoch seconds of the newest API sample."""
    return {
        "globals": {
            "name": "demo",
            "persistence": {"type": "filesystem", "config": {"directory_name": "state"}},
        },
        "outputs": {"devo": {"type": "devo_platform", "config": _output(port, certificates)}},
        "inputs": {
            "aws": {"id": "10001", "enabled": True, "credentials": dict(keys), "services": _services(now)}
        },
    }


def _output(port: int, certificates: Certificates) -> dict[str, Any]:
    files = {
        "chain": str(certificates.chain),
        "cert": str(certificates.cert),
        "key": str(certificates.key),
    }
    return {"address": "127.0.0.1", "port": port, "type": "SSL", **files}


def _services(now: float) -> dict[str, Any]:
    """Return the services; those that ask an API begin in the past, and wait for late events only briefly.

    Lines of logs are all put in, hence ingested, when the newest one is: the oldest are late.
    """
    start = datetime.fromtimestamp(now - HISTORY_SECONDS - PERIOD, UTC).isoformat(timespec="seconds")
    common = {"regions": [REGION]}
    polled = {**common, "start_time": start, "request_period_in_seconds": 2}
    patient = {"settle_seconds": 1, "overlap_seconds": 5}
    return {
        "audit-events-all": {
            **polled,
            **patient,
            "types": ["audits_s3", "audits_api"],
            "auto_event_type": True,
            "collect_insights": True,
            "audit_sqs_queue_name": QUEUES["audits_s3"],
            "buckets": [QUEUES["audits_s3"]],
        },
        "non-cloudwatch-logs": {
            **common,
            "types": ["flowlogs", "cloudfrontlogs"],
            "auto_event_type": True,
            "vpcflowlogs_sqs_queue_name": QUEUES["flowlogs"],
            "cloudfrontlogs_sqs_queue_name": QUEUES["cloudfrontlogs"],
            "buckets": [QUEUES["flowlogs"], QUEUES["cloudfrontlogs"]],
        },
        "cisco-umbrella": {
            **common,
            "cisco_umbrella_sqs_queue_name": QUEUES["cisco-umbrella"],
            "buckets": [QUEUES["cisco-umbrella"]],
        },
        "service-events-all": {
            **common,
            "auto_event_type": True,
            "cloudwatch_sqs_queue_name": QUEUES["service-events-all"],
        },
        "sqs-cloudwatch-consumer": {
            **common,
            "cloudwatch_sqs_queue_name": QUEUES["sqs-cloudwatch-consumer"],
        },
        "metrics-all": {**polled, "period": PERIOD, "delay": 0},
        "application-logs": {
            **polled,
            **patient,
            "overlap_seconds": 2 * HISTORY_SECONDS,
            "types": ["logs"],
            "log_group": "/",
        },
        "aws-guardduty": {**polled, "overlap_seconds": 5},
    }
