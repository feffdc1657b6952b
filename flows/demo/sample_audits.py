"""Sample records of CloudTrail: calls of several services, and Insight events."""

import random
import uuid
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

import orjson

from flows.demo.tally import Expected

ACCOUNT, REGION = "123456789012", "us-east-1"
HISTORY_SECONDS = 600
"""How far back the oldest sample of an API lies."""

_SERVICE, _TAG = "audits_api", "cloud.aws.cloudtrail"
_RECORDS_EACH = 8


class Call(NamedTuple):
    """One kind of API call. table: Devo's for its eventSource; `events` where Devo has none."""

    source: str
    name: str
    table: str
    asked: dict[str, Any] | None


CALLS = (
    Call("ec2.amazonaws.com", "DescribeInstances", "ec2", {"filterSet": {}, "instancesSet": {}}),
    Call("ec2.amazonaws.com", "RunInstances", "ec2", {"instanceType": "t3.micro", "minCount": 1}),
    Call("iam.amazonaws.com", "CreateAccessKey", "iam", {"userName": "bob"}),
    Call("signin.amazonaws.com", "ConsoleLogin", "signin", None),
    Call("kms.amazonaws.com", "Decrypt", "kms", {"encryptionAlgorithm": "SYMMETRIC_DEFAULT"}),
    Call("lambda.amazonaws.com", "GetFunction20150331v2", "lambda", {"functionName": "orders"}),
    Call("access-analyzer.amazonaws.com", "ListFindings", "access_analyzer", {"maxResults": 100}),
    Call("sso-directory.amazonaws.com", "SearchUsers", "soo_directory", {"identityStoreId": "d-1234567890"}),
    Call("bedrock.amazonaws.com", "InvokeModel", "events", {"modelId": "example-model"}),
)


_WRITES = {"RunInstances", "CreateAccessKey", "ConsoleLogin"}


def spread(count: int, now: float) -> Iterator[float]:
    """Yield `count` times (epoch seconds), oldest first, evenly over the history; the last one is `now`."""
    return (now - HISTORY_SECONDS * (count - 1 - number) / count for number in range(count))


class Audit(NamedTuple):
    """An event of LookupEvents, and what it shall become. category: `management` or `insight`."""

    category: str
    shown: dict[str, Any]
    event: Expected


def audits(rng: random.Random, count: int, now: float) -> Iterator[Audit]:
    """Yield `count` lots of records and `count` Insight events of the time up to now (epoch seconds)."""
    times = spread(count * (_RECORDS_EACH + 1), now)
    for number in range(count * _RECORDS_EACH):
        call = CALLS[number % len(CALLS)]
        yield _audit("management", call.table, record(rng, call, _iso(next(times))))
    for number in range(count):
        yield _audit(
            "insight", "insights", _insight(rng, _iso(next(times)), "End" if number % 2 else "Start")
        )


def _audit(category: str, table: str, made: Mapping[str, Any]) -> Audit:
    told, text = made.get("insightDetails", made), orjson.dumps(made)
    shown = {
        "EventId": made["eventID"],
        "EventName": told["eventName"],
        "EventSource": told["eventSource"],
        "EventTime": datetime.fromisoformat(made["eventTime"]).timestamp(),
        "Username": made.get("userIdentity", {}).get("userName", ""),
        "CloudTrailEvent": text.decode(),
    }
    return Audit(category, shown, Expected(_SERVICE, f"{_TAG}.{table}", text))


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _id(rng: random.Random) -> str:
    return str(uuid.UUID(int=rng.getrandbits(128), version=4))


def _identity(rng: random.Random) -> dict[str, Any]:
    if rng.random() < 0.5:  # noqa: PLR2004 - people and roles, half and half
        name = rng.choice(("alice", "bob", "søren"))
        arn = f"arn:aws:iam::{ACCOUNT}:user/{name}"
        who: Mapping[str, Any] = {"type": "IAMUser", "principalId": "AIDAEXAMPLE0000000001", "arn": arn}
        return {**who, "accountId": ACCOUNT, "accessKeyId": "AKIAEXAMPLE000000001", "userName": name}
    role = {"type": "Role", "arn": f"arn:aws:iam::{ACCOUNT}:role/deploy", "userName": "deploy"}
    return {
        "type": "AssumedRole",
        "principalId": "AROAEXAMPLE0000000001:ci",
        "arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/deploy/ci",
        "accountId": ACCOUNT,
        "accessKeyId": "ASIAEXAMPLE000000001",
        "sessionContext": {"sessionIssuer": role, "attributes": {"mfaAuthenticated": "false"}},
    }


def record(rng: random.Random, call: Call, time: str) -> dict[str, Any]:
    """Return a record as CloudTrail writes it, of an API call. time: ISO 8601."""
    return {
        "eventVersion": "1.11",
        "userIdentity": _identity(rng),
        "eventTime": time,
        "eventSource": call.source,
        "eventName": call.name,
        "awsRegion": REGION,
        "sourceIPAddress": f"198.51.100.{rng.randrange(1, 255)}",
        "userAgent": "aws-cli/2.27.0 md/prompt#off",
        "requestParameters": call.asked,
        "responseElements": {"ConsoleLogin": "Success"} if call.name == "ConsoleLogin" else None,
        "requestID": _id(rng),
        "eventID": _id(rng),
        "readOnly": call.name not in _WRITES,
        "eventType": "AwsConsoleSignIn" if call.name == "ConsoleLogin" else "AwsApiCall",
        "managementEvent": True,
        "recipientAccountId": ACCOUNT,
        "eventCategory": "Management",
        "tlsDetails": {"tlsVersion": "TLSv1.3", "cipherSuite": "TLS_AES_128_GCM_SHA256"},
    }


def _insight(rng: random.Random, time: str, state: str) -> dict[str, Any]:
    return {
        "eventVersion": "1.11",
        "eventTime": time,
        "awsRegion": REGION,
        "eventID": _id(rng),
        "eventType": "AwsCloudTrailInsight",
        "recipientAccountId": ACCOUNT,
        "sharedEventID": _id(rng),
        "insightDetails": {
            "state": state,
            "eventSource": "ec2.amazonaws.com",
            "eventName": "RunInstances",
            "insightType": "ApiCallRateInsight",
            "insightContext": {"statistics": {"baseline": {"average": 0.002}, "insight": {"average": 0.6}}},
        },
        "eventCategory": "Insight",
    }
