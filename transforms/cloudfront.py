"""CloudFront logs: the raw tab-separated line, or its fields as JSON by the names in `#Fields`.

Standard logs are lines below `#Version` and `#Fields`. Version 2 of their delivery writes the same, or one
JSON object a line (sent as it is), or Parquet (whose rows come out as the tab-separated line).
"""

import re
from collections.abc import Callable, Iterator

from msgspec import Struct, field
from msgspec.structs import replace

from transforms.block import Block, Item, Poison, Transform
from transforms.columns import Columns, to_json
from transforms.tagged import NO_STAMP, Stamp
from transforms.tags import TagRule

TEMPLATE = "cloud.aws.cloudfront.{event_type}"
UNKNOWN, WEB, RTMP = "unknown", "web_1", "rmtp_1"
"""`rmtp_1` is Devo's spelling."""

COLUMNS = Columns("\t", quoted=False)
_NUMBERS = """
    sc-bytes sc-status cs-bytes time-taken c-port time-to-first-byte sc-content-len
    sc-range-start sc-range-end
"""
NUMBERS = frozenset(_NUMBERS.split())
_HEADERS = {
    "cs_host": "cs(Host)",
    "cs_referer": "cs(Referer)",
    "cs_user_agent": "cs(User-Agent)",
    "cs_cookie": "cs(Cookie)",
}
_ROW = re.compile(
    rb"\d{4}-\d\d-\d\d\t\d\d:\d\d:\d\d\t[A-Z]{3}\d[\w-]*\t\d+\t[0-9a-fA-F.:]+\t[A-Z]+\t\S+\.cloudfront\.net\t"
)
"""A row of a standard log: date, time, edge location, bytes, client, method, distribution."""
_TELLING = (b"x-edge-location", b"x-edge-request-id", b"x_edge_location", b"x_edge_request_id", b"x-event")


class CloudFrontOptions(Struct, frozen=True):
    """Settings of the transform. event_type: the configuration's word for an object's key, "" = none."""

    tag: TagRule = field(default_factory=lambda: TagRule(TEMPLATE))
    auto_event_type: bool = False
    event_type: Callable[[str], str] = lambda _key: ""
    json: bool = False
    stamp: Stamp = NO_STAMP


def transform(options: CloudFrontOptions) -> Transform:
    """Return the transform of CloudFront log lines."""

    def run(block: Block) -> Iterator[Item]:
        kind = options.event_type(block.origin.key) or _kind(block, auto=options.auto_event_type)
        tagged = replace(block, tag=options.tag.tag_of_object(kind, block.origin))
        if block.payload.startswith(b"{"):
            yield options.stamp.on(tagged)
        elif options.json:
            for item in _as_json(tagged):
                yield options.stamp.on(item)
        else:
            yield tagged

    return run


def _kind(block: Block, *, auto: bool) -> str:
    """Return the event type; only logs of RTMP distributions have the field x-event."""
    if not auto:
        return UNKNOWN
    return RTMP if b"x-event" in block.header.split() else WEB


def _as_json(block: Block) -> Iterator[Item]:
    if not block.header:
        detail = f"CloudFront log without #Fields: {block.origin.object}: use format: raw"
        yield Poison("header_unknown", detail, block.origin, block.payload)
        return
    yield from to_json(block, block.header.decode().split(), NUMBERS, "\t")


def column(name: str) -> str:
    """Spell a Parquet column as `#Fields` does: `cs_uri_stem` → `cs-uri-stem`, `cs_host` → `cs(Host)`."""
    return _HEADERS.get(name, name.replace("_", "-"))


def detect(_key: str, head: bytes) -> bool:
    """Tell whether an object is a CloudFront log, by its `#Fields`, JSON keys or Parquet columns.

    head: first decoded bytes, as from `sources.objects.decode.head`.
    """
    head = head.removeprefix(b"\xef\xbb\xbf")
    if head.startswith((b"{", b"PAR1 ")):
        first = head.partition(b"\n")[0]
        return any(name in first for name in _TELLING)
    if _ROW.match(head):
        return True
    fields = head.partition(b"#Fields:")[2].partition(b"\n")[0]
    return head.startswith(b"#") and any(name in fields for name in _TELLING)
