"""Seeded inputs with realistic compression: many files of one type, and how many events they hold."""

import gzip
import io
import json
import random
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from flows.demo import samples

LINES_PER_FILE = 50_000
RECORDS_PER_FILE = 4_000


@dataclass(frozen=True)
class Corpus:
    """A folder of objects. size: bytes as stored. raw: bytes of the events inflated."""

    folder: Path
    files: int
    events: int
    raw: int


def _ip(rng: random.Random) -> str:
    return f"{rng.choice((10, 172, 52, 34))}.{rng.randrange(32)}.{rng.randrange(64)}.{rng.randrange(1, 255)}"


def vpc_row(rng: random.Random) -> str:
    start = 1767322800 + rng.randrange(600)
    return (
        f"2 123456789012 eni-0a1b2c3d4e5f{rng.randrange(4096):05x} "
        f"{_ip(rng)} {_ip(rng)} {rng.randrange(1024, 65536)} "
        f"{rng.choice((443, 443, 80, 22, 53))} {rng.choice((6, 6, 17))} {rng.randrange(1, 60)} "
        f"{rng.randrange(40, 90_000)} {start} {start + 60} {rng.choice(('ACCEPT', 'ACCEPT', 'REJECT'))} OK"
    )


def vpc_text(rng: random.Random) -> tuple[str, bytes, int, int]:
    rows = [vpc_row(rng) for _ in range(LINES_PER_FILE)]
    body = ("\n".join([samples._VPC_FIELDS, *rows]) + "\n").encode()
    return (
        "AWSLogs/123456789012/vpcflowlogs/us-east-1/{n}.log.gz",
        gzip.compress(body, 6),
        len(rows),
        len(body),
    )


def vpc_parquet(rng: random.Random) -> tuple[str, bytes, int, int]:
    names = [name.replace("-", "_") for name in samples._VPC_FIELDS.split()]
    rows = [vpc_row(rng).split(" ") for _ in range(LINES_PER_FILE)]
    numbers = {"version", "srcport", "dstport", "protocol", "packets", "bytes", "start", "end"}
    table = pa.table(
        {
            name: pa.array([int(row[i]) for row in rows], pa.int64())
            if name in numbers
            else pa.array([row[i] for row in rows])
            for i, name in enumerate(names)
        }
    )
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="gzip")
    raw = sum(len(value) + 1 for row in rows for value in row)
    return "AWSLogs/123456789012/vpcflowlogs/us-east-1/{n}.log.parquet", buffer.getvalue(), len(rows), raw


_CALLS = (
    ("ec2.amazonaws.com", "DescribeInstances", "ec2"),
    ("s3.amazonaws.com", "GetBucketAcl", "s3"),
    ("sts.amazonaws.com", "AssumeRole", "sts"),
    ("iam.amazonaws.com", "ListUsers", "iam"),
    ("kms.amazonaws.com", "Decrypt", "kms"),
    ("signin.amazonaws.com", "ConsoleLogin", "signin"),
)


def _record(rng: random.Random, source: str, name: str) -> dict[str, Any]:
    return {
        "eventVersion": "1.10",
        "userIdentity": {
            "type": "IAMUser",
            "accountId": "123456789012",
            "userName": rng.choice(("alice", "bob", "søren")),
        },
        "eventTime": f"2026-01-02T03:{rng.randrange(60):02}:{rng.randrange(60):02}Z",
        "eventSource": source,
        "eventName": name,
        "awsRegion": "us-east-1",
        "sourceIPAddress": samples._address(rng),
        "requestParameters": {"filterSet": {"items": [{"name": "state"}, {"name": "vpc-id"}]}},
        "responseElements": None,
        "eventID": f"{rng.getrandbits(128):032x}",
        "eventType": "AwsApiCall",
        "recipientAccountId": "123456789012",
    }


def cloudtrail(rng: random.Random) -> tuple[str, bytes, int, int]:
    records = []
    for _ in range(RECORDS_PER_FILE):
        source, name, _table = rng.choice(_CALLS)
        record = _record(rng, source, name)
        record["userAgent"] = "aws-sdk-go/1.44.122 (go1.19.3; linux; amd64) S3Manager"
        record["requestID"] = f"{rng.getrandbits(64):016X}"
        record["resources"] = [
            {"accountId": "123456789012", "ARN": f"arn:aws:s3:::bucket-{rng.randrange(50)}"},
            {"accountId": "123456789012", "ARN": f"arn:aws:s3:::bucket-{rng.randrange(50)}/key"},
        ]
        record["additionalEventData"] = {
            "SignatureVersion": "SigV4",
            "CipherSuite": "ECDHE-RSA-AES128-GCM-SHA256",
        }
        records.append(record)
    body = orjson.dumps({"Records": records})
    return (
        "AWSLogs/123456789012/CloudTrail/us-east-1/{n}.json.gz",
        gzip.compress(body, 6),
        len(records),
        len(body),
    )


def cloudfront(rng: random.Random) -> tuple[str, bytes, int, int]:
    rows = [samples._request(rng) for _ in range(LINES_PER_FILE // 4)]
    body = ("\n".join(["#Version: 1.0", f"#Fields: {samples._CLOUDFRONT_FIELDS}", *rows]) + "\n").encode()
    return "cdn/E2EXAMPLE.2026-01-02-{n}.gz", gzip.compress(body, 6), len(rows), len(body)


def umbrella(rng: random.Random) -> tuple[str, bytes, int, int]:
    line = samples._UMBRELLA[0][1]
    rows = [line.format(n=rng.randrange(250), ip=_ip(rng)) for _ in range(LINES_PER_FILE // 2)]
    body = ("\n".join(rows) + "\n").encode()
    return "1_a/dnslogs/2026-01-02/2026-01-02-03-{n}.csv.gz", gzip.compress(body, 6), len(rows), len(body)


MAKERS: dict[str, Callable[[random.Random], tuple[str, bytes, int, int]]] = {
    "vpc": vpc_text,
    "vpc-parquet": vpc_parquet,
    "cloudtrail": cloudtrail,
    "cloudfront": cloudfront,
    "umbrella": umbrella,
}
_DISTINCT = 4
"""Different bodies per type; the rest are links to them, which costs the collector the same."""


def make(kind: str, files: int, folder: Path) -> Corpus:
    """Write `files` objects of a kind into `folder`."""
    rng = random.Random(f"{kind}-7")
    return written([MAKERS[kind](rng) for _ in range(min(files, _DISTINCT))], files, folder)


def sized(lines: int, files: int, folder: Path) -> Corpus:
    """Write `files` VPC objects of so many lines each, about 114 bytes a line, a third of that stored."""
    rng = random.Random(f"sized-{lines}")
    template = "AWSLogs/123456789012/vpcflowlogs/us-east-1/{n}.log.gz"
    part = [vpc_row(rng) for _ in range(min(lines, LINES_PER_FILE))]
    whole, rest = divmod(lines, len(part))
    members = [f"{samples._VPC_FIELDS}\n", *["\n".join(part) + "\n"] * whole]
    members += ["\n".join(part[:rest]) + "\n"] if rest else []
    packed = {text: gzip.compress(text.encode(), 6, mtime=0) for text in set(members)}
    body = (
        b"".join(packed[text] for text in members) if whole > 1 else gzip.compress("".join(members).encode())
    )
    return written([(template, body, lines, sum(map(len, members)))], files, folder)


def written(distinct: list[tuple[str, bytes, int, int]], files: int, folder: Path) -> Corpus:
    events = raw = 0
    first: dict[int, Path] = {}
    for number in range(files):
        which = number % len(distinct)
        template, body, count, size = distinct[which]
        path = folder / template.format(n=f"{number:06}")
        path.parent.mkdir(parents=True, exist_ok=True)
        if which in first and number % _LINKS:
            path.hardlink_to(first[which])
        else:
            path.write_bytes(body)
            first[which] = path
        events, raw = events + count, raw + size
    return Corpus(folder, files, events, raw)


_LINKS = 10_000
"""A file system allows only so many links to one file."""


def main() -> None:
    """Python -m tests.bench.corpus FOLDER FILES KIND, or LINES in place of KIND: prints what was made."""
    folder, files, what = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    made = sized(int(what), files, folder) if what.isdigit() else make(what, files, folder)
    print(json.dumps([made.files, made.events, made.raw]))


if __name__ == "__main__":
    main()
