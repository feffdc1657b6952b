"""Access logs: load balancers, S3."""

import random

from tests.fakes.corpus.common import (
    ACCOUNT,
    REGION,
    Sample,
    aws_key,
    hex_digits,
    ip,
    sample,
    terminated,
    zipped,
)


def _time(rng: random.Random) -> str:
    return f"2026-01-02T03:{rng.randint(0, 59):02}:{rng.randint(0, 59):02}.{rng.randint(0, 999_999):06}Z"


def _request(rng: random.Random) -> str:
    path = rng.choice(["/", "/caf%C3%A9", "/a?q=\\x22", "/x//y", '/"quoted"'])
    return f'"GET https://www.example.com:443{path}{hex_digits(rng, 6)} HTTP/1.1"'


def _alb_line(rng: random.Random) -> bytes:
    kind, when = rng.choice(["http", "https", "h2", "wss", "grpcs"]), _time(rng)
    target = "arn:aws:elasticloadbalancing:us-east-1:000123456789:targetgroup/web/" + hex_digits(rng, 16)
    return (
        f"{kind} {when} app/front/{hex_digits(rng, 16)} {ip(rng)}:{rng.randint(1024, 65535)} 10.0.0.1:80 "
        f"0.000 0.001 0.000 200 200 34 {rng.randint(1, 9999)} {_request(rng)} "
        f'"Mozilla/5.0 (X11; caf\u00e9)" ECDHE-RSA-AES128-GCM-SHA256 TLSv1.2 {target} '
        f'"Root=1-{hex_digits(rng, 8)}" '
        f'"www.example.com" "-" 0 {when} "forward" "-" "-" "10.0.0.1:80" "200" "-" "-"'
    ).encode()


def alb(rng: random.Random, number: int) -> Sample:
    lines = [_alb_line(rng) for _ in range(rng.randint(2, 40))]
    balancer = f"app.front.{hex_digits(rng, 16)}"
    name = f"{ACCOUNT}_elasticloadbalancing_{REGION}_{balancer}_20260102T0305Z_{ip(rng)}_x.log.gz"
    key = aws_key(number, "elasticloadbalancing", name, ("", "lb/")[number % 2])
    return sample("aws_sqs_alb", key, zipped(terminated(lines)), "web.aws.alb.access", lines)


def elb(rng: random.Random, number: int) -> Sample:
    lines = [
        (
            f"{_time(rng)} classic {ip(rng)}:{rng.randint(1024, 65535)} 10.0.0.1:80 0.000073 0.001048 "
            f'0.000057 200 200 0 {rng.randint(1, 9999)} {_request(rng)} "curl/7.38.0" - -'
        ).encode()
        for _ in range(rng.randint(2, 40))
    ]
    name = (
        f"{ACCOUNT}_elasticloadbalancing_{REGION}_classic_20260102T0305Z_{ip(rng)}_{hex_digits(rng, 8)}.log"
    )
    key = aws_key(number, "elasticloadbalancing", name)
    return sample("aws_sqs_elb", key, b"\n".join(lines), "web.aws.elb.access", lines)


def s3_access(rng: random.Random, number: int) -> Sample:
    owner = hex_digits(rng, 64)
    lines = [
        (
            f"{owner} my-bucket [02/Jan/2026:03:{rng.randint(0, 59):02}:05 +0000] {ip(rng)} - "
            f"{hex_digits(rng, 16).upper()} REST.GET.OBJECT a%2520b/{hex_digits(rng, 6)} "
            f'"GET /my-bucket/a%20b HTTP/1.1" 200 - 113 {rng.randint(1, 9999)} 7 6 "-" "S3Console/0.4" - x= '
            "SigV4 ECDHE-RSA-AES128-GCM-SHA256 AuthHeader my-bucket.s3.amazonaws.com TLSv1.2 - -"
        ).encode()
        for _ in range(rng.randint(1, 20))
    ]
    key = f"access/2026-01-02-03-{number % 60:02}-05-{hex_digits(rng, 16).upper()}"
    return sample("aws_sqs_s3_access", key, terminated(lines), "web.aws.s3.access", lines)
