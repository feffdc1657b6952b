"""CloudTrail objects: records of many services, Insights, digests, an empty and a large one."""

import gzip
import json
import random
from typing import Any

from tests.fakes.corpus.common import ACCOUNT, REGION, Event, Sample, hex_digits, ip, moment

_CALLS = (
    ("ec2.amazonaws.com", "DescribeInstances", "ec2"),
    ("s3.amazonaws.com", "PutObject", "s3"),
    ("sts.amazonaws.com", "AssumeRole", "sts"),
    ("iam.amazonaws.com", "CreateUser", "iam"),
    ("kms.amazonaws.com", "Decrypt", "kms"),
    ("signin.amazonaws.com", "ConsoleLogin", "signin"),
    ("elasticloadbalancing.amazonaws.com", "DescribeTargetHealth", "elasticloadbalancing"),
    ("resource-groups.amazonaws.com", "ListGroups", "resource_groups"),
    ("access-analyzer.amazonaws.com", "ListFindings", "access_analyzer"),
    ("compute-optimizer.amazonaws.com", "GetEnrollmentStatus", "optimizer"),
    ("cognito-identity.amazonaws.com", "GetId", "cognito_identify"),
    ("identitystore.amazonaws.com", "ListUsers", "identifystore"),
    ("sso-directory.amazonaws.com", "SearchUsers", "soo_directory"),
    ("servicequotas.amazonaws.com", "ListServices", "servicesquotas"),
    ("quicksight.amazonaws.com", "DescribeUser", "events"),
    ("bedrock.amazonaws.com", "InvokeModel", "events"),
)
_TEXTS = (
    "plain",
    "Zoë, naïve café",
    "日本語のテスト",
    'quote " and \\ back',
    "tab\tnewline\nin json",
    "🚀",
    "</script>",
)
_LARGE_BYTES = 300_000


def _record(rng: random.Random, source: str, name: str) -> dict[str, Any]:
    record = {
        "eventVersion": "1.10",
        "userIdentity": {
            "type": "AssumedRole",
            "principalId": f"AROA{hex_digits(rng, 16).upper()}:session",
            "arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/audit/session",
            "accountId": ACCOUNT,
            "sessionContext": {"attributes": {"mfaAuthenticated": "false"}},
        },
        "eventTime": f"2026-01-02T03:{rng.randint(0, 59):02}:{rng.randint(0, 59):02}Z",
        "eventSource": source,
        "eventName": name,
        "awsRegion": REGION,
        "sourceIPAddress": ip(rng),
        "userAgent": rng.choice(_TEXTS),
        "requestParameters": {
            "filterSet": {
                "items": [{"name": "tag:Name", "valueSet": [rng.choice(_TEXTS), 1, 2.50, None, True]}]
            },
            "Records": [[], {}, [{"Records": []}]],
        },
        "responseElements": None,
        "requestID": hex_digits(rng, 32),
        "eventID": hex_digits(rng, 32),
        "readOnly": rng.random() < 0.5,
        "eventType": "AwsApiCall",
        "managementEvent": True,
        "recipientAccountId": ACCOUNT,
        "eventCategory": "Management",
    }
    if rng.random() < 0.3:  # eventSource is not always near the front, nor always alone
        record = {"additionalEventData": {"eventSource": "decoy.amazonaws.com"}, **record}
    return record


def _compact(value: Any, *, ascii_only: bool = False) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=ascii_only).encode()


def cloudtrail(rng: random.Random, number: int) -> Sample:
    """Return a CloudTrail object; now and then an Insight, a digest, an empty or a large one."""
    kind = {3: "Insight", 4: "Digest"}.get(number % 50, "")
    year, month, day, time = moment(number)
    folder = f"CloudTrail-{kind}" if kind else "CloudTrail"
    prefix = ("", "audit logs/", "o-ab1c=2+3/", "prüfung/")[number % 4]
    name = f"{ACCOUNT}_{folder}_{REGION}_{year}{month}{day}T{time}Z_{hex_digits(rng, 16)}.json.gz"
    key = f"{prefix}AWSLogs/{ACCOUNT}/{folder}/{REGION}/{year}/{month}/{day}/{name}"
    if kind == "Digest":
        digest = {
            "awsAccountId": ACCOUNT,
            "digestS3Bucket": "b",
            "logFiles": [{"s3Object": "x", "hashValue": "y"}],
        }
        return Sample("audits_s3", key, gzip.compress(_compact(digest)), ())
    if kind == "Insight":
        records = [_insight(rng) for _ in range(3)]
        events = [Event(_CT + "events", _CT + "insights", _compact(record)) for record in records]
    else:
        count = 0 if number % 50 == 5 else rng.randint(5, 40)
        events = [_cloudtrail_event(rng, large=number % 50 == 6 and row == 2) for row in range(count)]
    body = b'{"Records":[' + b",".join(event.line for event in events) + b"]}"
    return Sample("audits_s3", key, gzip.compress(body, 6, mtime=0), tuple(events))


_CT = "cloud.aws.cloudtrail."


def _cloudtrail_event(rng: random.Random, *, large: bool) -> Event:
    source, name, table = rng.choice(_CALLS)
    record = _record(rng, source, name)
    if large:
        record["requestParameters"]["policy"] = hex_digits(rng, _LARGE_BYTES)
    return Event(_CT + "events", _CT + table, _compact(record, ascii_only=rng.random() < 0.3))


def _insight(rng: random.Random) -> dict[str, Any]:
    return {
        "eventVersion": "1.08",
        "eventTime": "2026-01-02T03:04:00Z",
        "awsRegion": REGION,
        "eventID": hex_digits(rng, 32),
        "eventType": "AwsCloudTrailInsight",
        "recipientAccountId": ACCOUNT,
        "sharedEventID": hex_digits(rng, 32),
        "insightDetails": {
            "state": rng.choice(["Start", "End"]),
            "eventSource": "iam.amazonaws.com",
            "eventName": "CreateUser",
            "insightType": "ApiCallRateInsight",
        },
        "eventCategory": "Insight",
    }
