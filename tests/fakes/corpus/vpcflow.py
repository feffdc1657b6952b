"""VPC flow logs: text with any fields, and Parquet."""

import gzip
import io
import random

import pyarrow as pa
import pyarrow.parquet as pq

from tests.fakes.corpus.common import ACCOUNT, REGION, Event, Sample, hex_digits, ip, moment

_V2_FIELDS = (
    "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action "
    "log-status"
)
_V2 = _V2_FIELDS.split()
_MORE_FIELDS = (
    "vpc-id subnet-id instance-id tcp-flags type pkt-srcaddr pkt-dstaddr region az-id sublocation-type "
    "pkt-src-aws-service flow-direction traffic-path"
)
_EXTENDED = _MORE_FIELDS.split()
_VPC = ("cloud.aws.vpc.unknown", "cloud.aws.vpc.flow")
_ALWAYS = {"version", "account-id", "interface-id", "start", "end", "log-status"}


def _flow(rng: random.Random, fields: list[str], number: int, row: int) -> list[str | int | None]:
    """Return a row's values: integers, strings, and None for `-`."""
    start = 1_700_000_000 + number * 100_000 + row
    values: dict[str, str | int | None] = {
        "version": 2 if fields == _V2 else 5,
        "account-id": ACCOUNT,
        "interface-id": f"eni-{hex_digits(rng, 17)}",
        "srcaddr": ip(rng),
        "dstaddr": ip(rng),
        "srcport": rng.randint(1, 65535),
        "dstport": rng.choice([22, 53, 443, 3389]),
        "protocol": rng.choice([6, 17]),
        "packets": rng.randint(1, 10_000),
        "bytes": rng.randint(40, 1 << 40),
        "start": start,
        "end": start + 60,
        "action": rng.choice(["ACCEPT", "REJECT"]),
        "log-status": rng.choices(["OK", "NODATA", "SKIPDATA"], [90, 7, 3])[0],
        "vpc-id": f"vpc-{hex_digits(rng, 17)}",
        "subnet-id": f"subnet-{hex_digits(rng, 17)}",
        "tcp-flags": rng.randint(0, 31),
        "type": "IPv4",
        "region": REGION,
        "az-id": "use1-az1",
        "flow-direction": rng.choice(["ingress", "egress"]),
        "traffic-path": rng.randint(1, 8),
    }
    if values["log-status"] != "OK":
        values = {name: value for name, value in values.items() if name in _ALWAYS}
    return [values.get(field) for field in fields]


def _flow_line(values: list[str | int | None]) -> bytes:
    return " ".join("-" if value is None else str(value) for value in values).encode()


def _name(rng: random.Random, number: int, suffix: str) -> str:
    stamp = "{}{}{}T{}Z".format(*moment(number))
    flow_log, unique = hex_digits(rng, 17), hex_digits(rng, 8)
    return f"{ACCOUNT}_vpcflowlogs_{REGION}_fl-{flow_log}_{stamp}_{unique}.{suffix}"


def vpc(rng: random.Random, number: int) -> Sample:
    """Return a text flow log: default or extended fields in any order; some in several gzip members."""
    fields = list(_V2)
    if number % 3 == 1:
        fields = [*_V2, *_EXTENDED]
    elif number % 3 == 2:
        fields = rng.sample([*_V2, *_EXTENDED], rng.randint(8, 20))
        fields = list(dict.fromkeys([*fields, "interface-id", "start"]))
    rows = [_flow(rng, fields, number, row) for row in range(0 if number % 50 == 7 else rng.randint(10, 120))]
    lines = [_flow_line(row) for row in rows]
    text = b"".join(line + b"\n" for line in [" ".join(fields).encode(), *lines])
    if number % 10 == 4:
        text = text.removesuffix(b"\n")
    half = len(text) // 2 if number % 5 == 3 else len(text)
    body = gzip.compress(text[:half], 6, mtime=0) + (
        gzip.compress(text[half:], 6) if half < len(text) else b""
    )
    year, month, day, time = moment(number)
    name = _name(rng, number, "log.gz")
    hour = f"{time[:2]}/" if number % 4 == 1 else ""
    prefix = ("", "flow logs/", "net+a=b/", "küche & co/")[number % 4]
    key = f"{prefix}AWSLogs/{ACCOUNT}/vpcflowlogs/{REGION}/{year}/{month}/{day}/{hour}{name}"
    return Sample("flowlogs", key, body, tuple(Event(*_VPC, line) for line in lines))


_INTEGERS = {"version", "srcport", "dstport", "protocol", "tcp-flags", "traffic-path"}
_LONGS = {"packets", "bytes", "start", "end"}


def _arrow_type(field: str) -> pa.DataType:
    return pa.int32() if field in _INTEGERS else pa.int64() if field in _LONGS else pa.string()


def parquet(rng: random.Random, number: int) -> Sample:
    """Return a Parquet flow log under Hive prefixes; column names have underscores, `-` is null."""
    fields = _V2 if number % 2 else [*_V2, *_EXTENDED]
    rows = [_flow(rng, fields, 5000 + number, row) for row in range(rng.randint(10, 200))]
    schema = pa.schema([(field.replace("-", "_"), _arrow_type(field)) for field in fields])
    columns = [
        pa.array(column, kind.type) for column, kind in zip(zip(*rows, strict=True), schema, strict=True)
    ]
    file = io.BytesIO()
    codec = ("gzip", "none", "snappy")[number % 3]
    pq.write_table(pa.table(columns, schema=schema), file, compression=codec, row_group_size=64)
    year, month, day, time = moment(number)
    folders = (
        f"AWSLogs/aws-account-id={ACCOUNT}/aws-service=vpcflowlogs/aws-region={REGION}/year={year}/month={month}/"
        f"day={day}/hour={time[:2]}/"
        if number % 4
        else f"AWSLogs/{ACCOUNT}/vpcflowlogs/{REGION}/{year}/{month}/{day}/"
    )
    name = _name(rng, number, "log.gz")
    events = tuple(Event(*_VPC, _flow_line(row)) for row in rows)
    return Sample("flowlogs", folders + name, file.getvalue(), events)
