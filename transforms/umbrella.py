"""Cisco Umbrella logs: the raw CSV line, routed by the folder that it came from.

Columns grow with the schema version, so nothing here counts on them.
"""

import re
from functools import lru_cache, partial

from transforms import line_logs
from transforms.block import Block
from transforms.columns import Columns
from transforms.line_logs import LineLog

TEMPLATE = "sig.cisco.umbrella.{event_type}"
COLUMNS = Columns()
UNKNOWN = "unknown"
"""A folder that Devo has no table for: as with VPC and CloudFront logs, the tag keeps what is certain."""

_KINDS = "dns|ip|proxy|firewall|cloud_?firewall|cdfw|audit|dlp|intrusion|ips"
_FOLDER = re.compile(rf"({_KINDS})(?:[_-]?logs?)?", re.IGNORECASE)
_FILE = re.compile(rf"(?:.*[_.-])?({_KINDS})[_-]?logs?(?:[_.-].*)?|({_KINDS})(?:[_.-].*)?", re.IGNORECASE)
_SPELT = {"cdfw": "firewall", "cloudfirewall": "firewall", "cloud_firewall": "firewall", "ips": "intrusion"}
_DNS_ROW = re.compile(rb'"(?:Allowed|Blocked|Proxied)",[^\n]{0,4}?"\d{1,5} \([A-Z0-9]+\)",')
"""What only a DNS row has: the action, then the type of the query."""

_DATE = re.compile(rb"\d{4}-\d\d-\d\d")
_ROW = re.compile(rb'\s*(?:"[^"\n]{0,64}", ?)?"?\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d')
_FEWEST_COMMAS = 3


def _kind(block: Block, _told: bool) -> str:  # noqa: FBT001 - of LineLog
    return folder(block.origin.key) or _by_row(block.payload)


transform = partial(line_logs.transform, LineLog("Umbrella log", _kind))


def _by_row(payload: bytes) -> str:
    """Return the table of a row, in an object whose key names none."""
    return "dns" if _DNS_ROW.search(payload.partition(b"\n")[0]) else UNKNOWN


@lru_cache(maxsize=4096)
def folder(key: str) -> str:
    """Return the table in a key: by its innermost folder with one, else by its file name; "" for none."""
    *folders, file = key.split("/")
    found = [match for match in map(_FOLDER.fullmatch, folders) if match]
    match = found[-1] if found else _FILE.fullmatch(file)
    name = (match[1] or match[match.lastindex or 1]).lower() if match else ""
    return _SPELT.get(name, name)


def is_header(line: bytes) -> bool:
    """Tell a row of column names: each begins with a letter, and there is no date, as every event has one."""
    names = [name.strip(b' "') for name in line.split(b",")]
    return (
        len(names) > _FEWEST_COMMAS and all(name[:1].isalpha() for name in names) and not _DATE.search(line)
    )


def detect(key: str, head: bytes) -> bool:
    """Tell whether an object is an Umbrella log: CSV with a date in the first columns, in a telling place.

    head: first decoded bytes, as from `sources.objects.decode.head`.
    """
    lines = head.removeprefix(b"\xef\xbb\xbf").split(b"\n", 2)
    row = lines[1] if len(lines) > 1 and is_header(lines[0].rstrip(b"\r")) else lines[0]
    dated = bool(_ROW.match(row)) and row.count(b",") >= _FEWEST_COMMAS
    return dated and bool(folder(key) or "umbrella" in key.lower() or _DNS_ROW.search(row))
