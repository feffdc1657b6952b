"""VPC flow logs: the raw line, or its fields as JSON by the names in the object's header."""

import re
from collections.abc import Iterator
from functools import cache, partial
from typing import Any

from transforms import line_logs
from transforms.columns import Columns
from transforms.line_logs import LineLog

TEMPLATE = "cloud.aws.vpc.{event_type}"
UNKNOWN, FLOW = "unknown", "flow"

_DEFAULT_FIELDS = """
    version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action
    log-status
"""
DEFAULT_FIELDS = " ".join(_DEFAULT_FIELDS.split()).encode()
"""Fields of version 2: what an object without a header holds."""

COLUMNS = Columns(" ", quoted=False, default=tuple(DEFAULT_FIELDS.decode().split()))
_NUMBERS = """
    version srcport dstport protocol packets bytes start end tcp-flags traffic-path
    packets-lost-no-route packets-lost-blackhole packets-lost-mtu-exceeded packets-lost-ttl-expired
"""
NUMBERS = frozenset(_NUMBERS.split())
"""Fields that are numbers in AWS's documentation; account ids are not, they have leading zeros."""

_NAME = re.compile(rb"[a-z][a-z0-9-]*")
_OTHER_FIELDS = b"vpc-id subnet-id instance-id flow-direction resource-type tgw-id pkt-srcaddr pkt-dstaddr"
_KNOWN = frozenset((DEFAULT_FIELDS + b" " + _OTHER_FIELDS).split())
_UNLETTERED = _KNOWN - {b"subnet-id", b"flow-direction", b"resource-type", b"tgw-id"} | {
    b"tcp-flags",
    b"type",
}
"""Fields of whose values none has an r or a t."""
_FURTHER = re.compile(
    rb"region|type|(?:tcp|flow|ecs|tgw|az|pkt|sublocation|traffic|reject|resource|encryption|packets)-.+"
)
_SHORT = 64 << 10
_ROW = re.compile(rb"(?:[2-9]|10) (?:\d{11,12}|TransitGateway) (?:eni-|tgw-|\d{12} tgw-)\S+ ")

_INTERFACE = re.compile(rb"(?:^| )eni-[0-9a-f]{8,17}(?: |$)")
_NETWORK = re.compile(rb"(?:^| )(?:(?:vpc|subnet)-[0-9a-f]{8,17}|\d{12})(?: |$)")
"""What rows of any fields have: an interface, and its network or account."""


LOG = LineLog(
    "flow log", lambda _block, told: FLOW if told else UNKNOWN, " ", NUMBERS, default=DEFAULT_FIELDS
)
transform = partial(line_logs.transform, LOG)


def is_header(line: bytes) -> bool:
    """Tell a line of field names from a row: a row has digits, dashes or capitals where no name has any."""
    names = line.split()
    return all(map(_NAME.fullmatch, names)) and not _KNOWN.isdisjoint(names)


def other_headers(text: bytes, header: bytes) -> Iterator[tuple[int, int]]:
    """Yield where other headers stand in mid-file; as `transforms.layout.OtherHeaders`.

    Nearly every header has an r or a t, and no row of the common fields has: as a rule nothing is looked for.
    One that is glued to a whole row costs as much as all the rest, so it is looked for where that is seldom.
    """
    if b"t" not in text and b"r" not in text:
        return
    whole, glued = _headers()
    common = _UNLETTERED.issuperset((header or DEFAULT_FIELDS).split())
    form = glued if common or len(text) < _SHORT else whole
    begin, end = 0, text.find(b"\n") + 1
    at = end - 1 if is_header(text[:end]) else 0  # of a row, the end may be one
    while end:
        line = text[begin : end - 1]
        row = text[text.rfind(b"\n", 0, begin) + 1 : begin]
        complete = row.count(b" ") == (header or DEFAULT_FIELDS).count(b" ")
        if line != header and (complete or not row) and is_header(line) and _is_certain(line.split()):
            yield begin, end
            header = line
        found = form.search(text, at)
        begin, end = (found.start() + 1, found.end()) if found else (0, 0)
        at = end - 1


def _is_certain(names: list[bytes]) -> bool:
    """Tell a header from a row of words: most of its names are those that AWS documents."""
    return 2 * sum(name in _KNOWN or _FURTHER.fullmatch(name) is not None for name in names) > len(names)


@cache
def _headers() -> tuple[Any, Any]:
    """Return what finds a line of names, and one behind a row too; RE2 leaps from newline to newline."""
    import re2  # noqa: PLC0415 - needed by few objects

    name, others = rb"[a-z][a-z0-9-]*", rb"(?: [a-z][a-z0-9-]*)"
    line = rb"\n%b%b*\n" % (name, others)
    return re2.compile(line), re2.compile(rb"%b|[A-Z0-9-]%b%b+\n" % (line, name, others))


def column(name: str) -> str:
    """Spell a Parquet column as the text form does: `account_id` → `account-id`."""
    return name.replace("_", "-")


def detect(key: str, head: bytes) -> bool:
    """Tell whether an object is a flow log: by its header, its Parquet columns, or a row of the default form.

    head: first decoded bytes, as from `sources.objects.decode.head`.
    """
    first = head.partition(b"\n")[0].removeprefix(b"\xef\xbb\xbf").rstrip(b"\r")
    if head.startswith(b"PAR1 "):
        return is_header(first.removeprefix(b"PAR1 ").replace(b"_", b"-"))
    named = _INTERFACE.search(first) and _NETWORK.search(first) and not first.startswith((b"{", b"["))
    by_row = named or _ROW.match(first)
    return is_header(first) or bool(by_row) or ("vpcflowlogs" in key and first.count(b" ") > 1)
