"""How objects of further types are told apart: by their first decoded bytes, seldom by their key. Pure.

Each `is_…` takes a key and the head of an object, as from `sources.objects.decode.head`.
"""

import re
from collections.abc import Callable

import orjson
from msgspec.structs import replace

from transforms.block import Block

ACCESS, UNKNOWN = "access", "unknown"
_BOM = b"\xef\xbb\xbf"

_TIME = rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z"
_ALB = re.compile(rb"(?:https?|h2|grpcs|wss?) " + _TIME + rb" \S+ \S+:\d+ ")
_ELB = re.compile(_TIME + rb" \S+ [0-9a-fA-F.:]+:\d+ ")
_S3_ACCESS = re.compile(
    rb"(?:[0-9a-f]{64}|-) [a-z0-9.-]{3,63} \[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\] "
)
_OTHER_FILES = re.compile(r"(?:^|/)(?:conn|health_check)_log\.")
_FALCON_KEY = re.compile(r"(?:^|/)(?:fdrv2/\w+|data)/[^/]+/part-\d+")


def balancer_kind(key: str) -> str:
    """Return the table of a load balancer's file: connection and health logs have none in Devo."""
    return UNKNOWN if _OTHER_FILES.search(key) else ACCESS


def is_alb(_key: str, head: bytes) -> bool:
    """Tell an Application Load Balancer's access log: a kind of request, a time, the balancer, the client."""
    return bool(_ALB.match(_text(head)))


def is_elb(_key: str, head: bytes) -> bool:
    """Tell a Classic Load Balancer's access log: a time, the balancer, the client."""
    return bool(_ELB.match(_text(head)))


def is_s3_access(_key: str, head: bytes) -> bool:
    """Tell an S3 server access log: the bucket's owner, the bucket, a time in brackets."""
    return bool(_S3_ACCESS.match(_text(head)))


def json_with(*names: bytes) -> Callable[[str, bytes], bool]:
    """Return what tells a type by names, or other parts, that the first bytes of its JSON hold."""
    return lambda _key, head: _json_with(head, *names)


def is_finding(_key: str, head: bytes) -> bool:
    """Tell GuardDuty findings as they are exported to S3."""
    found = _json_with(head, b'"schemaVersion"', b":guardduty:", b":detector/")
    return found and b'"detail-type"' not in head and b'"eventSource"' not in head


def is_subscription(_key: str, head: bytes) -> bool:
    """Tell what CloudWatch Logs sends to a subscription."""
    return _json_with(head, b'"messageType"') and any(
        name in head for name in (b'"logEvents"', b'"CONTROL_MESSAGE"')
    )


def is_crowdstrike(key: str, head: bytes) -> bool:
    """Tell CrowdStrike FDR's events, and by the key its other files."""
    return _json_with(head, b'"event_simpleName"') or (
        _json_with(head) and b'"aid"' in head and bool(_FALCON_KEY.search(key))
    )


def is_cloudflare_http(_key: str, head: bytes) -> bool:
    """Tell Cloudflare's HTTP requests."""
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
