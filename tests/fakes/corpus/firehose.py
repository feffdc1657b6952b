"""GuardDuty, and what Firehose writes: JSON documents in a row, of CloudWatch Logs and EventBridge."""

import random

from tests.fakes.corpus.common import (
    ACCOUNT,
    REGION,
    Sample,
    aws_key,
    compact,
    hex_digits,
    ip,
    moment,
    sample,
    terminated,
    zipped,
)


def _finding(rng: random.Random) -> dict[str, object]:
    return {
        "schemaVersion": "2.0",
        "accountId": ACCOUNT,
        "region": REGION,
        "partition": "aws",
        "id": hex_digits(rng, 32),
        "arn": f"arn:aws:guardduty:{REGION}:{ACCOUNT}:detector/d1/finding/{hex_digits(rng, 32)}",
        "type": "Recon:EC2/PortProbeUnprotectedPort",
        "resource": {"resourceType": "Instance", "instanceDetails": {"tags": [{"key": "a", "value": "}{"}]}},
        "service": {"serviceName": "guardduty", "archived": False, "count": rng.randint(1, 9)},
        "severity": rng.choice([2, 5, 8]),
        "updatedAt": "2026-01-02T03:04:05.678Z",
        "title": "Unprotected port \u00e9",
    }


def guard_duty(rng: random.Random, number: int) -> Sample:
    lines = [compact(_finding(rng)) for _ in range(rng.randint(1, 12))]
    key = aws_key(number, "GuardDuty", f"{hex_digits(rng, 32)}.jsonl.gz")
    return sample("aws_sqs_guard_duty", key, zipped(terminated(lines)), "cloud.aws.guardduty.findings", lines)


def _firehose_key(rng: random.Random, number: int, name: str) -> str:
    year, month, day, time = moment(number)
    return (
        f"{name}/{year}/{month}/{day}/{time[:2]}/{name}-1-{year}-{month}-{day}-03-04-05-{hex_digits(rng, 32)}"
    )


def guard_duty_kinesis(rng: random.Random, number: int) -> Sample:
    findings = [_finding(rng) for _ in range(rng.randint(1, 12))]
    envelope = {
        "version": "0",
        "detail-type": "GuardDuty Finding",
        "source": "aws.guardduty",
        "region": REGION,
    }
    documents = [compact({**envelope, "id": hex_digits(rng, 8), "detail": one}) for one in findings]
    body = (b"", b"\n")[number % 2].join(documents)
    return sample(
        "aws_sqs_guard_duty_kinesis",
        _firehose_key(rng, number, "guardduty"),
        body,
        "cloud.aws.guardduty.findings",
        map(compact, findings),
    )


_CONTROL = compact(
    {
        "messageType": "CONTROL_MESSAGE",
        "owner": "CloudwatchLogs",
        "logGroup": "",
        "logStream": "",
        "subscriptionFilters": [],
        "logEvents": [
            {"id": "", "timestamp": 1767323045000, "message": "CWL CONTROL MESSAGE: Checking health"}
        ],
    }
)


def _subscription(
    rng: random.Random, group: str, messages: list[str]
) -> tuple[bytes, list[dict[str, object]]]:
    """Return the document and its events as the source spells them, without place."""
    events = [
        {"id": hex_digits(rng, 56), "timestamp": 1767323045000 + rng.randint(0, 999), "message": text}
        for text in messages
    ]
    stream = f"stream/{hex_digits(rng, 4)}"
    document = {
        "messageType": "DATA_MESSAGE",
        "owner": ACCOUNT,
        "logGroup": group,
        "logStream": stream,
        "subscriptionFilters": ["all"],
        "logEvents": events,
    }
    told = [
        {
            "logGroup": group,
            "logStream": stream,
            "timestamp": one["timestamp"],
            "eventId": one["id"],
            "message": one["message"],
            "account": ACCOUNT,
        }
        for one in events
    ]
    return compact(document), told


def _firehose(rng: random.Random, number: int, documents: list[bytes]) -> bytes:
    """Return a file of Firehose: each record in gzip, or also the file, or neither."""
    parts = [*documents[:1], _CONTROL, *documents[1:]]
    members = b"".join(map(zipped, parts))
    return (members, zipped(members), b"".join(parts))[number % 3]


def cloudwatch(rng: random.Random, number: int) -> Sample:
    texts = ['START "quoted" \\ \u00e9', "two\nlines\there", '{"level":"info","n":1}', "}{"]
    batches = [
        _subscription(
            rng,
            f"/aws/lambda/f{rng.randint(1, 3)}",
            [f"{hex_digits(rng, 8)} {rng.choice(texts)}" for _ in range(3)],
        )
        for _ in range(rng.randint(1, 8))
    ]
    body = _firehose(rng, number, [document for document, _ in batches])
    lines = [compact({**event, "region": REGION}) for _, events in batches for event in events]
    return sample(
        "aws_sqs_cloudwatch", _firehose_key(rng, number, "logs"), body, "cloud.aws.cloudwatch.logs", lines
    )


def cloudwatch_vpc(rng: random.Random, number: int) -> Sample:
    rows = [
        [
            f"2 {ACCOUNT} eni-{hex_digits(rng, 8)} {ip(rng)} {ip(rng)} 443 1 6 1 40 1 2 ACCEPT OK"
            for _ in range(4)
        ]
        for _ in range(rng.randint(1, 6))
    ]
    documents = [_subscription(rng, "flow", texts)[0] for texts in rows]
    lines = [text.encode() for texts in rows for text in texts]
    body = _firehose(rng, number, documents)
    return sample(
        "aws_sqs_cloudwatch_vpc", _firehose_key(rng, number, "vpc"), body, "cloud.aws.vpc.flow", lines
    )


def cloudtrail_kinesis(rng: random.Random, number: int) -> Sample:
    records = [
        {
            "eventVersion": "1.08",
            "eventSource": "s3.amazonaws.com",
            "eventName": "GetObject",
            "eventID": hex_digits(rng, 32),
        }
        for _ in range(rng.randint(1, 9))
    ]
    lines = [compact(one) for one in records]
    document, _ = _subscription(rng, "trail", [line.decode() for line in lines])
    body = _firehose(rng, number, [document])
    return sample(
        "aws_sqs_cloudtrail_kinesis",
        _firehose_key(rng, number, "trail"),
        body,
        "cloud.aws.cloudtrail.s3",
        lines,
    )
