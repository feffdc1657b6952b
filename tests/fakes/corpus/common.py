"""What the makers share: samples, names, numbers."""

import gzip
import json
import random
from collections.abc import Iterable
from dataclasses import dataclass

ACCOUNT = "000123456789"  # leading zeros are lost wherever an account id is taken for a number
REGION = "us-east-1"


@dataclass(frozen=True, slots=True)
class Event:
    """One event. tag_off, tag_on: its tag with `auto_event_type` false and true."""

    tag_off: str
    tag_on: str
    line: bytes


@dataclass(frozen=True, slots=True)
class Sample:
    """One S3 object. service: its name in the catalogue."""

    service: str
    key: str
    body: bytes
    expected: tuple[Event, ...]


def hex_digits(rng: random.Random, digits: int) -> str:
    return f"{rng.getrandbits(digits * 4):0{digits}x}"


def ip(rng: random.Random) -> str:
    return ".".join(str(rng.randint(1, 254)) for _ in range(4))


def moment(number: int) -> tuple[str, str, str, str]:
    """Return (yyyy, mm, dd, HHMM) of an object."""
    return "2026", f"{1 + number // 28 % 12:02}", f"{1 + number % 28:02}", f"{number % 24:02}{number % 60:02}"


def compact(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def zipped(data: bytes) -> bytes:
    return gzip.compress(data, 6, mtime=0)


def aws_key(number: int, kind: str, name: str, prefix: str = "") -> str:
    year, month, day, _ = moment(number)
    return f"{prefix}AWSLogs/{ACCOUNT}/{kind}/{REGION}/{year}/{month}/{day}/{name}"


def sample(service: str, key: str, body: bytes, tag: str, lines: Iterable[bytes]) -> Sample:
    return Sample(service, key, body, tuple(Event(tag, tag, line) for line in lines))


def terminated(lines: Iterable[bytes]) -> bytes:
    return b"".join(line + b"\n" for line in lines)
