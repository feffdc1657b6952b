"""Cisco Umbrella logs: the raw CSV line, routed by the folder that it came from.

Columns grow with the schema version, so nothing here counts on them.
"""

import re
from collections.abc import Callable, Iterator
from functools import lru_cache

from msgspec import Struct, field
from msgspec.structs import replace

from transforms.block import Block, Item, Transform
from transforms.columns import Columns
from transforms.tags import TagRule

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


class UmbrellaOptions(Struct, frozen=True):
    """Settings of the transform. event_type: the configuration's word for an object's key, "" = none."""

    tag: TagRule = field(default_factory=lambda: TagRule(TEMPLATE))
    event_type: Callable[[str], str] = lambda _key: ""


def transform(options: UmbrellaOptions) -> Transform:
    """Return the transform of Umbrella lines."""

    def run(block: Block) -> Iterator[Item]:
        key = block.origin.key
        kind = options.event_type(key) or folder(key) or _by_row(block.payload)
        yield replace(block, tag=options.tag.tag_of_object(kind, block.origin))

    return run


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
