"""Rows for the journal's tests."""

import hashlib
import random
from datetime import UTC, datetime

from sources.journal import JournalRow

MORNING = int(datetime(2026, 1, 2, 3, 30, tzinfo=UTC).timestamp() * 1000)


def row(number: int, at: int = MORNING, **more) -> JournalRow:
    """Return the n-th object of a service, with a key and sums as AWS has them."""
    seed = random.Random(number)
    digest = hashlib.sha256(str(number).encode())
    name = "".join(seed.choices("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789", k=16))
    account = f"{123456789012 + number % 40}"
    folder = f"AWSLogs/{account}/CloudTrail/eu-west-1/2026/01/02"
    key = f"{folder}/{account}_CloudTrail_eu-west-1_20260102T0330Z_{name}"
    events = seed.randrange(50, 400)
    values = {
        "kind": "object",
        "outcome": "delivered",
        "service": "audits_s3",
        "input": "production",
        "account": account,
        "region": "eu-west-1",
        "container": "audit-events",
        "object": f"s3://trail-of-the-organisation/{key}.json.gz",
        "etag": digest.hexdigest()[:32],
        "stored_bytes": seed.randrange(5_000, 20_000),
        "sha256": digest.digest(),
        "records": events,
        "events": events,
        "tags": {"cloud.aws.cloudtrail.s3": events - 20, "cloud.aws.cloudtrail.ec2": 20},
        "first": at - 400_000,
        "last": at - 100_000,
        "outputs": ("devo:receipt",),
        "process": "collector-0",
    }
    return JournalRow(at + number, **{**values, **more})
