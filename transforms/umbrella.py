"""Cisco Umbrella logs: the raw CSV line, routed by the folder that it came from.

Columns grow with the schema version, so nothing here counts on them.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from transforms.block import Block, Item, Transform
from transforms.tags import TagRule

TEMPLATE = "sig.cisco.umbrella.{event_type}"
UNKNOWN = "unknown"
"""A folder that Devo has no table for."""

_FOLDERS = re.compile(
    r"(?:^|[/_-])(dns|ip|proxy|firewall|cdfw|audit|dlp|intrusion|ips)(?:_?logs?)(?:[/_.-]|$)", re.IGNORECASE
)
_SPELT = {"cdfw": "firewall", "ips": "intrusion"}
_PLAIN = re.compile(r"(?:^|/)(dns|ip|proxy|firewall|audit|dlp|intrusion)(?:[/.]|$)", re.IGNORECASE)
_DATE = re.compile(rb"\d{4}-\d\d-\d\d|\d{10}")
_FIRST = re.compile(rb'\s*"?\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d')
_FEWEST_COMMAS = 2
_WORDS = re.compile(rb'"?[A-Za-z][A-Za-z _-]*"?\s*,')


@dataclass(frozen=True, slots=True)
class Options:
    """Settings of the transform. event_type: the configuration's word for an object's key, "" = none."""

    tag: TagRule = field(default_factory=lambda: TagRule(TEMPLATE))
    event_type: Callable[[str], str] = lambda _key: ""


def transform(options: Options) -> Transform:
    """Return the transform of Umbrella lines."""

    def run(block: Block) -> Iterator[Item]:
        kind = options.event_type(block.origin.object) or folder(block.origin.object)
        if kind:
            tag = options.tag.tag(kind, block.origin.account, block.origin.region)
        else:
            tag = options.tag.tag("{}", block.origin.account, block.origin.region).replace(
                "unknown", UNKNOWN, 1
            )
        yield replace(block, tag=tag)

    return run


def folder(key: str) -> str:
    """Return the table that a key's folder (or, without one, its file name) tells, "" for none."""
    found = _FOLDERS.search(key) or _PLAIN.search(key)
    name = found[1].lower() if found else ""
    return _SPELT.get(name, name)


def is_header(line: bytes) -> bool:
    """Tell a row of column names: words from the start on, and no date in it."""
    return bool(_WORDS.match(line)) and not _DATE.search(line)


def detect(key: str, head: bytes) -> bool:
    """Tell whether an object is an Umbrella log: CSV whose first row begins with a date, in such a folder."""
    lines = head.split(b"\n", 2)
    row = lines[1] if len(lines) > 1 and is_header(lines[0]) else lines[0]
    placed = bool(folder(key)) or "umbrella" in key.lower()
    return placed and bool(_FIRST.match(row)) and row.count(b",") > _FEWEST_COMMAS
