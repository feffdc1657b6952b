"""Fuzz targets of what comes as text: notices, events in messages, settings, patterns, replies, tags."""

import json
import re
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from flows.config import patterns
from flows.config.load import SettingsError, SettingsErrors, load
from sinks.errors import Interrupted
from sinks.frame import guard, header
from sinks.http_connection import HttpConnection
from sinks.request import accept
from sinks.retry_budget import Clock
from sources.queues import s3_notification
from sources.queues.events import NotAnEventError, eventbridge, securityhub
from tests.fakes.framed import framed as in_one
from tests.fuzz.target import Target, knobs
from transforms import cloudtrail
from transforms import eventbridge as bridge
from transforms.block import Block, Origin
from transforms.tags import TagRule

SECRET = "Sq7fragment'Wx\"9\\Kd\nPv3fragment"
"""Of the environment: its parts are in no error, whatever a configuration does with it."""
_FRAGMENTS = ("Sq7fragment", "Pv3fragment")
_NOW = datetime(2026, 1, 2, tzinfo=UTC)


def notices(data: bytes) -> None:
    """Notices: they announce objects, or it is told why not; nothing is settled in silence."""
    text = data.decode("utf-8", "replace").replace("\N{REPLACEMENT CHARACTER}", "\ud800")
    found = s3_notification.parse(text)
    assert found.objects or found.ignored or found.unknown
    assert len({one.id for one in found.objects}) == len(found.objects)
    for one in found.objects:
        assert one.bucket
        assert one.key
        assert all(isinstance(text, str) for text in (one.region, one.version_id, one.etag, one.account))
    assert len(found.unknown) < 1000


def messages(data: bytes) -> None:
    """Events in messages: each stays what it is, on one line; other bodies are told."""
    (how,), body = knobs(data, 1)
    try:
        found = (eventbridge, securityhub)[how % 2](body)
    except NotAnEventError:
        return
    for event in found.events:
        assert b"\n" not in event
        assert b"\r" not in event or b"\n" not in body
        bridge.event_type_of(event, {"aws.health": "events"})


def configuration(data: bytes) -> None:
    """Load anything: it is right, or wrong with what, where and hint."""
    (how,), body = knobs(data, 1)
    with tempfile.TemporaryDirectory(dir=_memory()) as folder:
        path = Path(folder) / ("config.yaml", "config.json")[how % 2]
        path.write_bytes(body)
        (Path(folder) / "secret").write_text(SECRET)
        try:
            shown = repr(load(path, {"FUZZ": SECRET, "AWS_REGION": "eu-west-1"}))
        except SettingsError as error:
            found = error.errors if isinstance(error, SettingsErrors) else [error]
            assert all(one.what and one.where and one.hint for one in found)
            assert all("\n" not in str(one) for one in found)
            shown = str(error) + repr(error)
    assert not [part for part in _FRAGMENTS if part in shown]


def _memory() -> str | None:
    return "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - a folder of its own within


def user_patterns(data: bytes) -> None:
    """Patterns: refused, or at their end soon on a hostile key (the engine's time limit tells)."""
    (how,), body = knobs(data, 1)
    text = body.decode("utf-8", "replace")
    try:
        compiled = patterns.compiled(text)
    except ValueError as error:
        assert str(error)
        return
    letters = sorted({*re.findall(r"\w", text)[:4], "a", "/", "0"})
    compiled.fits(letters[how % len(letters)] * (1023 - how % 8) + "!\n")


class _Reply:
    """A connection that holds a reply. Reads are as long as the first byte says."""

    where = "receiver:443"

    def __init__(self, data: bytes) -> None:
        (size,), self._data = knobs(data, 1)
        self._step = 1 + size

    def send(self, *_buffers: object) -> None:
        pass

    def receive(self, _timeout: float) -> bytes:
        found, self._data = self._data[: self._step], self._data[self._step :]
        return found

    def wait(self, _direction: int, _seconds: float) -> bool:
        return False

    def quiet(self) -> bool:
        return True

    def unsent(self) -> int:
        return 0

    def abandon(self) -> None:
        self._data = b""


def replies(data: bytes) -> None:
    """HTTP: a reply is a receipt only if it says 2xx, else an error of ours."""
    exchange = HttpConnection(lambda _tick: _Reply(data), lambda: None, 60.0, Clock())
    exchange.post(b"POST", ())
    try:
        answer = exchange.answer()
        accept(answer, "receiver", _NOW)
    except Interrupted as error:
        assert error.hint
        assert error.wait >= 0
        return
    assert 200 <= answer.status < 300


def tagged(data: bytes) -> None:
    """CloudTrail's transform: every record comes out once, with a tag that Devo takes."""
    (how,), body = knobs(data, 1)
    lines = [
        line for line in body.replace(b"\0", b"").decode("utf-8", "replace").encode().split(b"\n") if line
    ]
    if not lines:
        return
    block = Block(
        b"\n".join([*lines, b""]), len(lines), Origin("audits_s3", "1", "eu-west-1", object="s3://b/k")
    )
    options = cloudtrail.CloudTrailOptions(
        tag=TagRule(cloudtrail.TEMPLATE, suffix=("none", "account_region")[how % 2]), auto_event_type=True
    )
    out = list(cloudtrail.transform(options)(block))
    assert sorted(line for one in out for line in one.payload.split(b"\n")[:-1]) == sorted(lines)
    for one in out:
        assert one.count == one.payload.count(b"\n")
        assert 2 <= len(one.tag.split(".")) <= 6
        assert re.fullmatch(r"[\w.-]+", one.tag, re.ASCII), one.tag


def framed(data: bytes) -> None:
    """Wire: every line is there once, CR and NUL as blanks, larger ones in quarantine."""
    (size,), body = knobs(data, 1)
    lines = [line for line in body.split(b"\n") if line]
    sent = [line.translate(bytes.maketrans(b"\r\0", b"  ")) for line in lines]
    payload = b"".join(line + b"\n" for line in lines)
    block = Block(payload, payload.count(b"\n"), Origin("x"), "my.app")
    limit = 64 + size
    head = header("my.app", "h", 14)
    wire, large = b"", []
    for item in guard(block, limit):
        if isinstance(item, Block):
            assert item.count == item.payload.count(b"\n")
            wire += in_one(item.payload, head)
        else:
            large.append(item.body)
    assert wire == b"".join(head + line + b"\n" for line in sent if len(line) <= limit)
    assert large == [line for line in sent if len(line) > limit]


_S3 = {
    "s3": {"bucket": {"name": "b"}, "object": {"key": "a+b%3D", "size": 3}},
    "eventName": "ObjectCreated:Put",
}
_NOTICES = (
    {"Records": [{**_S3, "awsRegion": "eu-west-1"}]},
    {"Type": "Notification", "Message": json.dumps({"Records": [_S3]})},
    {
        "source": "aws.s3",
        "detail-type": "Object Created",
        "detail": {"bucket": {"name": "b"}, "object": {"key": "k"}},
    },
    {"s3Bucket": "b", "s3ObjectKey": ["k"]},
    {"bucket": "b", "files": [{"path": "p", "size": 1, "checksum": "c"}]},
    {"Event": "s3:TestEvent"},
    {"Records": [{"Sns": {"Message": json.dumps({"Records": []})}}]},
    {"messageType": "ConfigurationItemChangeNotification"},
)
_CONFIG = b"""
globals: {name: a, persistence: {type: filesystem, config: {directory_name: state}}, quarantine: q}
outputs:
  http: {type: devo_http, config: {endpoint: "https://x", domain: d, token: "${FUZZ}"}}
  file: {type: file, config: {path: f}}
inputs:
  one:
    id: 10001
    credentials: {access_key: AK, access_secret: {file: secret}, assume_role_external_id: "${FUZZ}"}
    services:
      audit-events-all: {types: [audits_api], regions: [eu-west-1], start_time: 2026-01-02T03:04:05Z}
      non-cloudwatch-logs:
        types: [flowlogs]
        vpcflowlogs_sqs_queue_name: q
        s3_file_type_filter: "\\\\.gz$"
        event_type_file_regex_patterns: {flow: /vpc/}
      custom:
        file_format: {type: line_split, config: {json: true}}
        routing_template: my.app.[file-log_type]
        sqs_queue_name: q
        key_pattern: ^(?P<log_type>[^/]+)/
        line_filter_rules: [[{pattern: "^#"}]]
"""
_LEAK = b"\0inputs: {one: {id: '${FUZZ}', services: {'a': {regions: ['${FUZZ}'], tag: '${FUZZ}'}}}}\n"

TARGETS = (
    Target("notice", notices, tuple(json.dumps(one).encode() for one in _NOTICES)),
    Target(
        "messages",
        messages,
        (
            b'\0{"source":"aws.health",\n"account":"1","detail-type":"x","detail":{}}',
            b'\1{"source":"aws.securityhub","detail":{"findings":[{"a":1},{}]}}',
            b'\0{"Type":"Notification","TopicArn":"x","Message":"{\\"source\\":\\"a\\"}"}',
        ),
    ),
    Target(
        "configuration",
        configuration,
        (b"\0" + _CONFIG, _LEAK, b'\1{"inputs":{"a":{"id":1,"services":{"aws-guardduty":{}}}}}'),
    ),
    Target(
        "patterns",
        user_patterns,
        (
            b"\0^([^/]+/)*dns.*\\.gz$",
            b"\0(a+)+$",
            b"\0(?i)(?P<x>a|b)*c{2,9}?[^\\w-z]",
            b"\0(?>a)(?=b)(?<!c)\\b",
        ),
        128,
    ),
    Target(
        "replies",
        replies,
        (
            b"\xffHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            b"\x07HTTP/1.1 429 x\r\nRetry-After: Fri, 02 Jan 2026 00:00:09 +0100\r\n\r\n",
            b"\x07HTTP/1.1 200 x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
            b"\xffHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 503 x\r\nConnection: close\r\nRetry-After: 9\r\n\r\n",
        ),
    ),
    Target(
        "tagged", tagged, (b'\0{"eventSource":"ec2.amazonaws.com","awsRegion":"x"}\n{"eventSource":1}\nx',)
    ),
    Target("framed", framed, (b"\0a\n\n\nb", b"\0" + b"x" * 99 + b"\ny")),
)
