"""Random hostile messages and objects from a grammar; the seed and the number make the same again."""

import bz2
import gzip
import json
import lzma
import random
import time
import urllib.parse
import zlib
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import zstandard
from botocore.exceptions import ClientError, ParamValidationError

from tests.security import bombs, hostile_parquet
from tests.security.attack.rows import FORGED, Attack
from tests.security.attack.world import Honest, World, event, notice, record

_TEXTS = (
    "", " ", "\0", "\r", "\n",
    "\r\n" + FORGED, "\x1b]0;x\x07", "\ud800", "\u2028", "\U0001f4a3" * 50, "../" * 50,
    "%", "%00", "%0a", "%zz", "%2525", "+", "a" * 5000, FORGED, "null", "NaN", "-0", "1e999", "${X}", "{{x}}",
    "'\"`;--", "arn:aws:s3:::x", "s3://finance-secrets/salaries.csv", "http://169.254.169.254/latest",
    "\N{RIGHT-TO-LEFT OVERRIDE}",
)  # fmt: skip
_KINDS = ("audits_s3", "flowlogs", "cisco-umbrella", "parquet", "json", "events")
_FITS, _SHORT = 250_000, 4000
_PACKERS = (gzip.compress, bz2.compress, lzma.compress, zlib.compress, zstandard.compress)


def text(rng: random.Random) -> str:
    """Return a text that somebody may not expect."""
    return "".join(rng.choice(_TEXTS) for _ in range(rng.choice((1, 1, 2, 3))))


def value(rng: random.Random, depth: int = 0) -> Any:
    """Return a JSON value of any type."""
    how = rng.randrange(9 if depth < 5 else 6)
    if how < 3:
        return text(rng)
    if how < 6:
        return rng.choice((None, True, False, 0, -1, 2**63, 2**200, -0.0, 1e308, 1.5))
    if how == 6:
        return [value(rng, depth + 1) for _ in range(rng.choice((0, 1, 3, 50)))]
    if how == 7:
        return {text(rng)[:200]: value(rng, depth + 1) for _ in range(rng.choice((0, 1, 3, 20)))}
    deep = rng.choice((50, 500, 2000))
    found: Any = 0
    for _ in range(min(deep, 400)):
        found = [found] if rng.random() < 0.5 else {"a": found}
    return found


def mutated(rng: random.Random, whole: Any, rate: float = 0.1) -> Any:
    """Return a document some of whose parts are something else, twice there, or not."""
    if rng.random() < rate:
        return value(rng)
    if isinstance(whole, dict):
        kept = {key: mutated(rng, one, rate) for key, one in whole.items() if rng.random() > rate / 3}
        return {**kept, text(rng)[:100]: value(rng)} if rng.random() < rate else kept
    if isinstance(whole, list):
        parts = [mutated(rng, one, rate) for one in whole]
        return parts * (rng.choice((1, 1, 1, 2, 20)) if len(str(parts)) < _SHORT else 1)
    return whole


def wrapped(rng: random.Random, body: Any) -> Any:
    """Return a message within envelopes: SNS, EventBridge, Lambda, itself."""
    for _ in range(rng.choice((0, 0, 1, 1, 2, 5, 40))):
        if len(str(body)) > _FITS // 8:
            break
        how = rng.randrange(5)
        inner = json.dumps(body) if rng.random() < 0.8 else body
        body = (
            {"Type": "Notification", "Message": inner, "MessageId": text(rng)},
            {"detail-type": rng.choice(("Object Created", text(rng))), "source": "aws.s3", "detail": body},
            {"requestPayload": body, "version": "1.0"},
            {"Records": [body, body] if len(str(body)) < _SHORT else [body]},
            {"default": inner},
        )[how]
    return body


def message(rng: random.Random, world: World, kind: str) -> str:
    """Return the body of a message for a service's queue."""
    bucket = rng.choice((world.buckets.get(kind, ""), "finance-secrets", text(rng)))
    key = rng.choice((text(rng), urllib.parse.quote(text(rng), errors="replace"), "AWSLogs/gone"))
    about = {"size": value(rng, 9), "eTag": text(rng), "versionId": text(rng), "sequencer": text(rng)}
    forms = (
        lambda: {
            "Records": [record(bucket, key, rng.choice(("us-east-1", text(rng))), **about)]
            * rng.choice((1, 3, 200))
        },
        lambda: {"s3Bucket": bucket, "s3ObjectKey": [key] * rng.choice((1, 5, 5000))},
        lambda: {"bucket": bucket, "files": [{"path": key, "size": value(rng, 9)}] * rng.choice((1, 900))},
        lambda: json.loads(event(bucket={"name": bucket}, object={"key": key, **about}, reason="PutObject")),
        lambda: {"messageType": text(rng), "logEvents": [{"message": text(rng)}], "owner": value(rng)},
        lambda: value(rng),
    )
    body = json.dumps(wrapped(rng, mutated(rng, rng.choice(forms)(), rng.choice((0.0, 0.05, 0.3)))))
    if rng.random() < 0.1:
        body = body[: rng.randrange(len(body) + 1)] + rng.choice(("", "}", "\ufeff", "[" * 5000))
    return body[:_FITS]


def content(rng: random.Random) -> bytes:
    """Return an object's content."""
    how = rng.randrange(8)
    if how == 0:
        return hostile_parquet.hostile(rng.randrange(1 << 30))
    if how == 1:
        return b"".join(rng.choice(list(bombs.BOMBS.values()))[2]())
    if how == 2:
        records = [
            mutated(rng, {"eventSource": text(rng), "awsRegion": "us-east-1", "a": value(rng)}, 0.2)
            for _ in range(200)
        ]
        body = json.dumps({rng.choice(("Records", "logs", text(rng))): records}).encode()
    elif how == 3:
        body = "\n".join(" ".join(text(rng) for _ in range(14)) for _ in range(500)).encode(errors="replace")
    elif how == 4:
        body = "\n".join(f'"{text(rng)}","{text(rng)}' for _ in range(500)).encode(errors="replace")
    elif how == 5:
        body = rng.randbytes(rng.choice((1, 100, 1 << 20)))
    elif how == 6:
        body = rng.choice((b"[", b'{"a":', b'"', b"{}", b"1,", b"\n", b"\r", b" ", b"\xff")) * rng.choice(
            (1, 5000, 2_000_000)
        )
    else:
        body = b"2 1 eni-1 " + b"x" * rng.choice((10, 8096, 70_000, 3_000_000)) + FORGED.encode() + b"\n"
    for _ in range(rng.choice((0, 0, 1, 1, 2, 3))):
        body = rng.choice(_PACKERS)(body)
        body *= rng.choice((1, 1, 2, 5)) if len(body) < 1 << 20 else 1
    if rng.random() < 0.3 and body:
        at = rng.randrange(len(body))
        body = body[:at] + rng.randbytes(rng.randrange(4)) + body[at + rng.randrange(40) :]
    return body


def thing(world: World, seed: int) -> str:
    """Send one random message, or put one random object; return what it was."""
    rng = random.Random(seed)
    kind = rng.choice(_KINDS)
    if kind == "events" or rng.random() < 0.5:
        body = message(rng, world, kind)
        more: dict[str, Any] = {}
        if rng.random() < 0.3:
            more["MessageAttributes"] = {
                f"a{n}": {"DataType": "String", "StringValue": text(rng) or "x"}
                for n in range(rng.randint(1, 10))
            }
        with suppress(ClientError, ParamValidationError, UnicodeEncodeError):  # what SQS itself refuses
            world.send(kind, body, **more)
        return f"{seed}: message to {kind}"
    name = urllib.parse.quote(text(rng), errors="replace") if rng.random() < 0.7 else text(rng)
    key = f"{rng.choice(('AWSLogs', 'dnslogs', 'x'))}/{seed}/{name}"[:900]
    with suppress(ClientError, ParamValidationError, UnicodeEncodeError):
        world.put(kind, key, content(rng))
    return f"{seed}: object of {kind}"


def attacks(number: int, seconds: float, seed: int) -> Iterator[tuple[str, Attack]]:
    """Yield attacks of ten things each, evenly over the time."""
    lots = -(-number // 10)
    began = time.monotonic()
    for lot in range(lots):
        first = lot * 10

        def attack(
            world: World,
            _honest: Honest,
            first: int = first,
            until: float = began + (lot + 1) * seconds / lots,
        ) -> str:
            sent = []
            for place in range(first, min(first + 10, number)):
                sent.append(thing(world, seed * 1_000_000 + place))
                time.sleep(
                    max(0.2, (until - 2 - time.monotonic()) / 10) if until - 2 > time.monotonic() else 0.2
                )
            return ", ".join(sent)

        yield f"random {first} to {min(first + 10, number) - 1}", attack


__all__ = ["attacks", "notice", "thing"]
