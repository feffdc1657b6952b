"""Sample objects of every S3 type, made here: keys, bytes and the events that they hold."""

import gzip
import io
import random
from collections.abc import Callable, Iterable, Iterator

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
from msgspec import Struct

from flows.demo.sample_audits import ACCOUNT, CALLS, REGION, record
from flows.demo.tally import Expected

_DAY = "2026/01/02"


class Sample(Struct, frozen=True):
    """One S3 object. service: type name in the catalogue. events: what shall arrive of it."""

    service: str
    key: str
    body: bytes
    events: tuple[Expected, ...]


def objects(per_type: int = 5, *, seed: int = 7) -> Iterator[Sample]:
    """Yield `per_type` objects of each type, the same ones for the same seed."""
    rng = random.Random(seed)  # noqa: S311 - sample data, not cryptography
    makers: tuple[Callable[[random.Random, int], Sample], ...] = (
        _cloudtrail, _vpc_text, _vpc_parquet, _cloudfront, _umbrella,
    )  # fmt: skip
    for make in makers:
        for number in range(per_type):
            yield make(rng, number)


def _cloudtrail(rng: random.Random, number: int) -> Sample:
    calls = [rng.choice(CALLS) for _ in range(rng.randrange(20, 60))]
    records = [record(rng, call, f"2026-01-02T03:{number % 60:02}:{at:02}Z") for at, call in enumerate(calls)]
    name = f"{ACCOUNT}_CloudTrail_{REGION}_20260102T03{number:02}Z_demo.json.gz"
    key = f"AWSLogs/{ACCOUNT}/CloudTrail/{REGION}/{_DAY}/{name}"
    events = (
        Expected("audits_s3", f"cloud.aws.cloudtrail.{call.table}", orjson.dumps(one))
        for call, one in zip(calls, records, strict=True)
    )
    return Sample("audits_s3", key, gzip.compress(orjson.dumps({"Records": records})), tuple(events))


def _lines(service: str, tag: str, lines: Iterable[str]) -> tuple[Expected, ...]:
    return tuple(Expected(service, tag, line.encode()) for line in lines)


_VPC_FIELDS = (
    "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action "
    "log-status"
)
_VPC_TAG = "cloud.aws.vpc.flow"


def _address(rng: random.Random) -> str:
    return f"198.51.100.{rng.randrange(1, 255)}"


def _flow(rng: random.Random) -> list[str]:
    if rng.random() < 0.05:  # noqa: PLR2004 - one row in twenty without data, as in real captures
        return ["2", ACCOUNT, "eni-0a1b2c3d", *["-"] * 7, "1767322800", "1767322860", "-", "NODATA"]
    ports = [str(rng.randrange(1024, 65536)), rng.choice(("22", "443", "53"))]
    volume = [str(rng.randrange(1, 90)), str(rng.randrange(40, 90_000))]
    times = ["1767322800", "1767322860"]
    return [
        "2",
        ACCOUNT,
        "eni-0a1b2c3d",
        _address(rng),
        "10.0.0.7",
        *ports,
        "6",
        *volume,
        *times,
        "ACCEPT",
        "OK",
    ]


def _flow_log_key(flow_log: int, number: int, ending: str) -> str:
    name = f"{ACCOUNT}_vpcflowlogs_{REGION}_fl-{flow_log}_20260102T03{number:02}Z_demo.{ending}"
    return f"AWSLogs/{ACCOUNT}/vpcflowlogs/{REGION}/{_DAY}/{name}"


def _vpc_text(rng: random.Random, number: int) -> Sample:
    lines = [" ".join(_flow(rng)) for _ in range(rng.randrange(200, 400))]
    body = "\n".join([_VPC_FIELDS, *lines]) + "\n"
    key = _flow_log_key(1, number, "log.gz")
    return Sample("flowlogs", key, gzip.compress(body.encode()), _lines("flowlogs", _VPC_TAG, lines))


def _vpc_parquet(rng: random.Random, number: int) -> Sample:
    rows = [_flow(rng) for _ in range(rng.randrange(200, 400))]
    names = [name.replace("-", "_") for name in _VPC_FIELDS.split()]
    columns = {name: [None if row[i] == "-" else row[i] for row in rows] for i, name in enumerate(names)}
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer)
    key = _flow_log_key(2, number, "log.parquet")
    return Sample("flowlogs", key, buffer.getvalue(), _lines("flowlogs", _VPC_TAG, map(" ".join, rows)))


_CLOUDFRONT_FIELDS = (
    "date time x-edge-location sc-bytes c-ip cs-method cs(Host) cs-uri-stem sc-status cs(Referer) "
    "cs(User-Agent) cs-uri-query cs(Cookie) x-edge-result-type x-edge-request-id x-host-header cs-protocol "
    "cs-bytes time-taken x-forwarded-for ssl-protocol ssl-cipher x-edge-response-result-type "
    "cs-protocol-version fle-status fle-encrypted-fields c-port time-to-first-byte "
    "x-edge-detailed-result-type sc-content-type sc-content-len sc-range-start sc-range-end"
)


def _request(rng: random.Random) -> str:
    path, status = rng.choice(("/", "/login", "/img/a%20b.png")), rng.choice(("200", "304", "404"))
    head = ["2026-01-02", "03:04:05", "FRA60-P1", str(rng.randrange(200, 9000)), _address(rng), "GET"]
    host = ["d111111abcdef8.cloudfront.net", path, status, "-", "Mozilla/5.0%20(X11)", "-", "-", "Hit"]
    tail = [f"{rng.getrandbits(64):x}", "www.example.org", "https", "320", "0.001", "-", "TLSv1.3"]
    end = [
        "TLS_AES_128_GCM_SHA256",
        "Hit",
        "HTTP/2.0",
        "-",
        "-",
        "40000",
        "0.001",
        "Hit",
        "text/html",
        "512",
        "-",
        "-",
    ]
    return "\t".join([*head, *host, *tail, *end])


def _cloudfront(rng: random.Random, number: int) -> Sample:
    lines = [_request(rng) for _ in range(rng.randrange(50, 150))]
    body = "\n".join(["#Version: 1.0", f"#Fields: {_CLOUDFRONT_FIELDS}", *lines]) + "\n"
    key = f"cdn/E2EXAMPLE.2026-01-02-{number:02}.demo.gz"
    events = _lines("cloudfrontlogs", "cloud.aws.cloudfront.web_1", lines)
    return Sample("cloudfrontlogs", key, gzip.compress(body.encode()), events)


_DNS = (
    '"2026-01-02 03:04:05","Laptop {n}","Laptop {n},Site","10.0.0.{n}","{ip}","Allowed","1 (A)",'
    '"NOERROR","example.org.","News, Media"'
)
_IP = '"2026-01-02 03:04:05","Laptop {n}","10.0.0.{n}","5{n}","{ip}","443","Botnet","Roaming Computers"'
_PROXY = (
    '"2026-01-02 03:04:05","Laptop {n}","10.0.0.{n}","{ip}","198.51.100.9","text/html","ALLOWED",'
    '"http://example.org/?q=1","","Mozilla/5.0","200","{n}","1234","",""'
)
_UMBRELLA = (("dns", _DNS), ("ip", _IP), ("proxy", _PROXY))


def _umbrella(rng: random.Random, number: int) -> Sample:
    kind, line = _UMBRELLA[number % len(_UMBRELLA)]
    lines = [line.format(n=rng.randrange(1, 250), ip=_address(rng)) for _ in range(rng.randrange(50, 150))]
    key = f"1234567_abcdef/{kind}logs/2026-01-02/2026-01-02-03-{number:02}-demo.csv.gz"
    events = _lines("cisco-umbrella", f"sig.cisco.umbrella.{kind}", lines)
    return Sample("cisco-umbrella", key, gzip.compress(("\n".join(lines) + "\n").encode()), events)
