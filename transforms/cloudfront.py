"""CloudFront logs: the raw tab-separated line, or its fields as JSON by the names in `#Fields`.

Standard logs are lines below `#Version` and `#Fields`. Version 2 of their delivery writes the same, or one
JSON object a line (sent as it is), or Parquet (whose rows come out as the tab-separated line).
"""

import re
from functools import partial

from transforms import line_logs
from transforms.block import Block
from transforms.columns import Columns
from transforms.line_logs import LineLog

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


def _kind(block: Block, told: bool) -> str:  # noqa: FBT001 - of LineLog
    """Return the event type; only logs of RTMP distributions have the field x-event."""
    if not told:
        return UNKNOWN
    return RTMP if b"x-event" in block.header.split() else WEB


LOG = LineLog("CloudFront log", _kind, "\t", NUMBERS, json_lines=True)
transform = partial(line_logs.transform, LOG)


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
