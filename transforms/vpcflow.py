"""VPC flow logs: the raw line, or its fields as JSON by the names in the object's header."""

import re
from functools import partial

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
