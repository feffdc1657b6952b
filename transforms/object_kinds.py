"""How objects of further types are told apart: by their first decoded bytes, seldom by their key. Pure.

Each `is_…` takes a key and the head of an object, as from `sources.objects.decode.head`.
"""

import re
from collections.abc import Callable

import orjson
from msgspec.structs import replace

from transforms.block import Block

ACCESS, CONNECTION, UNKNOWN = "access", "connection", "unknown"
_BOM = b"\xef\xbb\xbf"

_TIME = rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z"
_ALB = re.compile(rb"[a-z][a-z0-9]* " + _TIME + rb" [^ /]+/[^ ]+ \S+:\d+ ")
_ALB_CONNECTION = re.compile(_TIME + rb" [0-9a-fA-F.:]+ \d+ \d+ (?:-|TLS\S*) ")
_ALB_HEALTH = re.compile(rb"[a-z][a-z0-9]* " + _TIME + rb" -?[\d.]+ \S+:\d+ \S+ (?:PASS|FAIL) ")
_NLB = re.compile(rb"tls \d+\.\d+ \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d \S+ \S+ \S+:\d+ ")
_ELB = re.compile(_TIME + rb" \S+ [0-9a-fA-F.:\[\]]+:\d+ (?:\S+:\d+|-) -?[\d.]+ ")
_S3_ACCESS = re.compile(
    rb"(?:[0-9a-f]{64}|-) [a-z0-9.-]{3,63} \[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\] "
)
_FALCON_KEY = re.compile(r"(?:^|/)(?:fdrv2/\w+|data)/[^/]+/part-\d+")


_CONNECTION_FILE, _HEALTH_FILE = (re.compile(rf"(?:^|/){name}_log[._]") for name in ("conn", "health_check"))
_NOT_OF_ALB, _NOT_OF_ELB = (_ALB_HEALTH, _NLB, _ELB), (_ALB, _ALB_CONNECTION, _ALB_HEALTH, _NLB)
"""Lines of other balancers, and of files that have no table."""


def alb_kind(key: str, line: bytes) -> str:
    """Return the table of an ALB's block, by its first line; health checks and other lines have none."""
    line = _text(line)
    if _ALB.match(line):
        return ACCESS
    if _ALB_CONNECTION.match(line) or _CONNECTION_FILE.search(key):
        return CONNECTION
    return UNKNOWN if _HEALTH_FILE.search(key) or any(form.match(line) for form in _NOT_OF_ALB) else ACCESS


def elb_kind(_key: str, line: bytes) -> str:
    """Return the table of a Classic Load Balancer's line; other balancers' lines have none there."""
    return UNKNOWN if any(form.match(_text(line)) for form in _NOT_OF_ELB) else ACCESS


def is_alb(_key: str, head: bytes) -> bool:
    """Tell an Application Load Balancer's logs, of accesses, of connections and of health checks."""
    return any(form.match(_text(head)) for form in (_ALB, _ALB_CONNECTION, _ALB_HEALTH))


def is_elb(_key: str, head: bytes) -> bool:
    """Tell a Classic Load Balancer's access log (a time, the balancer, the client), or a Network one's."""
    return any(form.match(_text(head)) for form in (_ELB, _NLB))


def is_s3_access(_key: str, head: bytes) -> bool:
    """Tell an S3 server access log: the bucket's owner, the bucket, a time in brackets."""
    return bool(_S3_ACCESS.match(_text(head)))


def json_with(*names: bytes) -> Callable[[str, bytes], bool]:
    """Return a test for a type by names, or other parts, that the first bytes of its JSON hold."""
    return lambda _key, head: _json_with(head, *names)


def text_like(form: bytes) -> Callable[[str, bytes], bool]:
    """Return a test for a type by how its first line begins, as a regular expression."""
    begins = re.compile(form)
    return lambda _key, head: bool(begins.match(_text(head)))


def is_config(_key: str, head: bytes) -> bool:
    """Tell AWS Config's history or snapshot, or items of it."""
    return _json_with(head, b'"configurationItems"') or _json_with(
        head, b'"configurationItemVersion"', b'"configurationItemStatus"'
    )


def is_finding(_key: str, head: bytes) -> bool:
    """Tell GuardDuty findings as they are exported to S3."""
    found = _json_with(head, b'"schemaVersion"', b":guardduty:", b":detector/")
    return found and b'"detail-type"' not in head and b'"eventSource"' not in head


KUBERNETES, CLIENT_VPN = b"audit.k8s.io/", b"connection-log-type"
"""What events hold that have tables of their own, also within a log subscription's messages."""


_FLOW_MESSAGE = re.compile(rb'"message": ?"\d+ \d{12} (?:eni|tgw)-')
_RECORD_MESSAGE = re.compile(rb'\\"eventSource\\".*\\"eventID\\"')


def is_subscription(_key: str, head: bytes) -> bool:
    """Tell what CloudWatch Logs sends to a subscription, of logs that are no type of their own."""
    others = KUBERNETES in head or CLIENT_VPN in head
    return _subscribed(head) and not (others or _FLOW_MESSAGE.search(head) or _RECORD_MESSAGE.search(head))


def is_flow_subscription(_key: str, head: bytes) -> bool:
    """Tell VPC flow log lines in what CloudWatch Logs sends."""
    return _subscribed(head) and bool(_FLOW_MESSAGE.search(head))


def is_trail_subscription(_key: str, head: bytes) -> bool:
    """Tell CloudTrail records in what CloudWatch Logs sends."""
    return _subscribed(head) and bool(_RECORD_MESSAGE.search(head))


def _subscribed(head: bytes) -> bool:
    return _json_with(head, b'"messageType"') and any(
        name in head for name in (b'"logEvents"', b'"CONTROL_MESSAGE"')
    )


def is_ocsf(_key: str, head: bytes) -> bool:
    """Tell a Parquet object of OCSF events by three of the attributes that OCSF requires of each."""
    return head.startswith(b"PAR1 ") and {b"class_uid", b"metadata", b"time"} <= {*head.split()}


def is_crowdstrike(key: str, head: bytes) -> bool:
    """Tell CrowdStrike FDR's events, and by the key its other files."""
    return _json_with(head, b'"event_simpleName"') or (
        _json_with(head) and b'"aid"' in head and bool(_FALCON_KEY.search(key))
    )


_CLOUDFLARE: tuple[tuple[str, tuple[bytes, ...]], ...] = (
    ("http", (b'"EdgeStartTimestamp"', b'"ClientRequestURI"', b'"EdgeEndTimestamp"', b'"CacheCacheStatus"')),
    ("access", (b'"AppUUID"', b'"AppDomain"', b'"UserUID"')),
    ("firewall", (b'"RuleID"', b'"MatchIndex"', b'"Action"')),
    (UNKNOWN, (b'"QueryName"', b'"QueryType"', b'"ConnectTimestamp"')),
)
"""Table → fields of Logpush that only its data set has, of those behind it in this list."""
_CLOUDFLARE_KEY = re.compile(r"(?:^|[/_.-])(http|firewall|access)_(?:requests|events)(?:[/_.-]|$)")


def cloudflare_kind(key: str, line: bytes) -> str:
    """Return which of Cloudflare's data sets a line is of: by its fields, else by the data set in the key."""
    for kind, fields in _CLOUDFLARE:
        if any(name in line for name in fields):
            return kind
    told = _CLOUDFLARE_KEY.search(key)
    return told[1] if told else "http"


def is_cloudflare_logpush(_key: str, head: bytes) -> bool:
    """Tell Cloudflare's HTTP requests, firewall events and Access requests."""
    return _json_with(head, b'"RayID"') or _json_with(head, b'"EdgeStartTimestamp"')


def is_cloudflare_audit(_key: str, head: bytes) -> bool:
    """Tell Cloudflare's audit log."""
    return _json_with(head, b'"ActionType"', b'"ActorID"') or _json_with(
        head, b'"ActorEmail"', b'"ActionType"'
    )


def with_region(block: Block) -> Block:
    """Put the origin's region at the end of each log event, where the API's events have it."""
    if not block.origin.region:
        return block
    end = b',"region":' + orjson.dumps(block.origin.region) + b"}\n"
    return replace(block, payload=block.payload.replace(b"}\n", end))


def _text(head: bytes) -> bytes:
    return head.removeprefix(_BOM)


def _json_with(head: bytes, *names: bytes) -> bool:
    return head.lstrip(_BOM + b" \r\n\t").startswith((b"{", b"[")) and all(name in head for name in names)
