"""Objects of the types of Devo's SQS collector: seeded, each line unique, awkward characters in some."""

import random
from collections.abc import Callable, Iterable

from tests.fakes.corpus.access import alb, elb, s3_access
from tests.fakes.corpus.cloudfront import cloudfront
from tests.fakes.corpus.cloudtrail import cloudtrail
from tests.fakes.corpus.common import (
    ACCOUNT,
    REGION,
    Event,
    Sample,
    aws_key,
    compact,
    hex_digits,
    ip,
    sample,
    terminated,
    zipped,
)
from tests.fakes.corpus.firehose import (
    cloudtrail_kinesis,
    cloudwatch,
    cloudwatch_vpc,
    guard_duty,
    guard_duty_kinesis,
)
from tests.fakes.corpus.umbrella import umbrella
from tests.fakes.corpus.vpcflow import vpc

Maker = Callable[[random.Random, int], Sample]


def _waf(rng: random.Random, number: int) -> Sample:
    lines = [
        compact(
            {
                "timestamp": 1767323045000 + rng.randint(0, 99_999),
                "formatVersion": 1,
                "webaclId": f"arn:aws:wafv2:{REGION}:{ACCOUNT}:regional/webacl/front/{hex_digits(rng, 8)}",
                "terminatingRuleId": "Default_Action",
                "action": rng.choice(["ALLOW", "BLOCK"]),
                "httpRequest": {
                    "clientIp": ip(rng),
                    "uri": "/\u00fc}{",
                    "args": "a=%22",
                    "requestId": hex_digits(rng, 8),
                },
            }
        )
        for _ in range(rng.randint(2, 30))
    ]
    key = aws_key(
        number,
        "WAFLogs",
        f"front/{ACCOUNT}_waflogs_{REGION}_front_20260102T0305Z_{hex_digits(rng, 8)}.log.gz",
    )
    body = zipped(terminated(lines))
    return sample("aws_sqs_waf", key, body, "cloud.aws.waf.logs", lines)


def _route53(rng: random.Random, number: int) -> Sample:
    lines = [
        compact(
            {
                "version": "1.100000",
                "account_id": ACCOUNT,
                "region": REGION,
                "vpc_id": "vpc-1",
                "query_timestamp": f"2026-01-02T03:04:{rng.randint(0, 59):02}Z",
                "query_name": f"{hex_digits(rng, 8)}.example.com.",
                "query_type": rng.choice(["A", "AAAA", "TXT"]),
                "query_class": "IN",
                "rcode": "NOERROR",
                "answers": [{"Rdata": 'a "quoted" text', "Type": "TXT", "Class": "IN"}],
                "srcaddr": ip(rng),
                "srcport": str(rng.randint(1024, 65535)),
                "transport": "UDP",
                "srcids": {"instance": "i-1"},
            }
        )
        for _ in range(rng.randint(2, 30))
    ]
    key = aws_key(
        number, "vpcdnsquerylogs", f"vpc-1/vpc-1_vpcdnsquerylogs_{ACCOUNT}_{hex_digits(rng, 8)}.log.gz"
    )
    return sample("aws_sqs_route53", key, zipped(terminated(lines)), "dns.aws.route53", lines)


def _config(rng: random.Random, number: int) -> Sample:
    items = [
        {
            "configurationItemVersion": "1.3",
            "configurationItemCaptureTime": "2026-01-02T03:04:05.678Z",
            "configurationStateId": rng.randint(1, 1 << 40),
            "awsAccountId": ACCOUNT,
            "configurationItemStatus": rng.choice(["OK", "ResourceDeleted"]),
            "resourceType": "AWS::S3::Bucket",
            "resourceId": f"bucket-{hex_digits(rng, 6)}",
            "supplementaryConfiguration": {"BucketPolicy": {"policyText": '{"a":[{"b":"}{"}]}'}},
            "tags": {"a b": "\u00e9"},
        }
        for _ in range(rng.randint(0 if number % 5 == 4 else 1, 12))
    ]
    kind = ("ConfigHistory", "ConfigSnapshot")[number % 2]
    document = {"fileVersion": "1.0", "configSnapshotId": hex_digits(rng, 8), "configurationItems": items}
    name = f"{kind}/{ACCOUNT}_Config_{REGION}_{kind}_20260102T030405Z_{hex_digits(rng, 8)}.json.gz"
    body = zipped(compact(document))
    return sample(
        "aws_sqs_config",
        aws_key(number, "Config", name),
        body,
        "cloud.aws.configlogs.events",
        map(compact, items),
    )


def _falcon(service: str) -> Maker:
    def make(rng: random.Random, number: int) -> Sample:
        names = ["ProcessRollup2", "DnsRequest", "NetworkConnectIP4", "EndOfProcess"]
        events = [
            {
                "event_simpleName": rng.choice(names),
                "aid": hex_digits(rng, 32),
                "timestamp": str(rng.randint(1, 1 << 40)),
                "CommandLine": 'C:\\x "y"',
            }
            for _ in range(rng.randint(1, 30))
        ]
        table = "edr.crowdstrike.cannon"
        told = tuple(
            Event(*2 * (f"{table}.{str(one['event_simpleName']).lower()}",), compact(one)) for one in events
        )
        body = zipped(terminated(one.line for one in told))
        return Sample(service, f"data/{hex_digits(rng, 8)}-0001/part-{number:05}.gz", body, told)

    return make


def _cloudflare_http(rng: random.Random, number: int) -> Sample:
    lines = [
        compact(
            {
                "ClientIP": ip(rng),
                "ClientRequestURI": "/\u00e9?a=}{",
                "EdgeStartTimestamp": "2026-01-02T03:04:05Z",
                "EdgeResponseStatus": 200,
                "RayID": hex_digits(rng, 16),
            }
        )
        for _ in range(rng.randint(1, 40))
    ]
    key = f"http/20260102/20260102T0304{number % 60:02}Z_20260102T030505Z_{hex_digits(rng, 8)}.log.gz"
    body = zipped(terminated(lines))
    return sample("aws_sqs_cloudflare_logpush", key, body, "cloud.cloudflare.logpush.http", lines)


def _cloudflare_audit(rng: random.Random, number: int) -> Sample:
    lines = [
        compact(
            {
                "ActionType": "login",
                "ActorID": hex_digits(rng, 8),
                "ActorEmail": "a@example.com",
                "ID": hex_digits(rng, 8),
            }
        )
        for _ in range(rng.randint(1, 9))
    ]
    key = f"audit/20260102/20260102T0304{number % 60:02}Z_{hex_digits(rng, 8)}.log.gz"
    return sample(
        "aws_sqs_cloudflare_audit", key, zipped(terminated(lines)), "cloud.aws.cloudflare.audit", lines
    )


def _known(service: str, maker: Maker) -> Maker:
    """Make objects of a type that the AWS collector also has; here the tags name the table."""

    def make(rng: random.Random, number: int) -> Sample:
        made = maker(rng, number)
        told = tuple(Event(event.tag_on, event.tag_on, event.line) for event in made.expected)
        return Sample(service, made.key, made.body, told)

    return make


def _control_tower(rng: random.Random, number: int) -> Sample:
    makers = (_known("", cloudtrail), _known("", vpc), _known("", cloudfront), _config)
    made = makers[number % len(makers)](rng, number)
    key = made.key if made.key.startswith(("E", "cdn")) else f"o-abc123/{made.key}"
    return Sample("aws_sqs_control_tower", key, made.body, made.expected)


MAKERS: dict[str, Maker] = {
    "aws_sqs_alb": alb,
    "aws_sqs_elb": elb,
    "aws_sqs_s3_access": s3_access,
    "aws_sqs_waf": _waf,
    "aws_sqs_route53": _route53,
    "aws_sqs_config": _config,
    "aws_sqs_guard_duty": guard_duty,
    "aws_sqs_guard_duty_kinesis": guard_duty_kinesis,
    "aws_sqs_cloudwatch": cloudwatch,
    "aws_sqs_cloudwatch_vpc": cloudwatch_vpc,
    "aws_sqs_cloudtrail": _known("aws_sqs_cloudtrail", cloudtrail),
    "aws_sqs_cloudtrail_kinesis": cloudtrail_kinesis,
    "aws_sqs_vpc": _known("aws_sqs_vpc", vpc),
    "aws_sqs_cisco_umbrella": _known("aws_sqs_cisco_umbrella", umbrella),
    "aws_sqs_fdr": _falcon("aws_sqs_fdr"),
    "aws_sqs_fdr_large": _falcon("aws_sqs_fdr_large"),
    "aws_sqs_cloudflare_logpush": _cloudflare_http,
    "aws_sqs_cloudflare_audit": _cloudflare_audit,
    "aws_sqs_control_tower": _control_tower,
}


def sqs_corpus(counts: int = 6, seed: int = 1, only: Iterable[str] = MAKERS) -> list[Sample]:
    """Return so many objects of each type, the same ones for the same seed."""
    return [
        MAKERS[name](random.Random(f"{seed}/{name}/{number}"), number)
        for name in only
        for number in range(counts)
    ]
