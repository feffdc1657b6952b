"""VPC flow logs: the raw line, or its fields as JSON by the names in the object's header."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from transforms.block import Block, Item, Poison, Transform
from transforms.columns import to_json
from transforms.jsonline import with_fields
from transforms.tags import TagRule

TEMPLATE = "cloud.aws.vpc.{event_type}"
UNKNOWN, FLOW = "unknown", "flow"
DEFAULT_FIELDS = (
    b"version account-id interface-id srcaddr dstaddr srcport dstport "
    b"protocol packets bytes start end action log-status"
)
"""Fields of version 2: what an object without a header holds."""

_NUMBERS = """
    version srcport dstport protocol packets bytes start end tcp-flags traffic-path encryption-status
    packets-lost-no-route packets-lost-blackhole packets-lost-mtu-exceeded packets-lost-ttl-expired
"""
NUMBERS = frozenset(_NUMBERS.split())
_NAME = re.compile(rb"[a-z][a-z0-9-]*")
_TELLING = frozenset(DEFAULT_FIELDS.split()) | {
    b"vpc-id",
    b"subnet-id",
    b"flow-direction",
    b"resource-type",
    b"tgw-id",
}


@dataclass(frozen=True, slots=True)
class Options:
    """Settings of the transform. event_type: the configuration's word for an object's key, "" = none."""

    tag: TagRule = field(default_factory=lambda: TagRule(TEMPLATE))
    auto_event_type: bool = False
    event_type: Callable[[str], str] = lambda _key: ""
    json: bool = False
    environment: str = ""


def transform(options: Options) -> Transform:
    """Return the transform of VPC flow log lines."""
    fallback = FLOW if options.auto_event_type else UNKNOWN
    fields = {"@devo_environment": options.environment} if options.environment else {}

    def run(block: Block) -> Iterator[Item]:
        kind = options.event_type(block.origin.object) or fallback
        tagged = replace(block, tag=options.tag.tag(kind, block.origin.account, block.origin.region))
        if not options.json:
            yield tagged
            return
        for item in _as_json(tagged):
            yield with_fields(item, fields)

    return run


def _as_json(block: Block) -> Iterator[Item]:
    header = block.header
    if not header:
        columns = block.payload.partition(b"\n")[0].count(b" ") + 1
        if columns != DEFAULT_FIELDS.count(b" ") + 1:
            detail = (
                f"flow log without header and with {columns} columns: {block.origin.object}: use format: raw"
            )
            yield Poison("header_unknown", detail, block.origin, block.payload)
            return
        header = DEFAULT_FIELDS
    yield from to_json(block, header.decode().split(" "), NUMBERS, " ")


def is_header(line: bytes) -> bool:
    """Tell a line of field names from a line of values, which has numbers, dashes or capitals."""
    names = line.split()
    return len(names) > 1 and all(map(_NAME.fullmatch, names)) and bool(_TELLING & set(names))


def column(name: str) -> str:
    """Spell a Parquet column as the text form does: `account_id` → `account-id`."""
    return name.replace("_", "-")


def detect(key: str, head: bytes) -> bool:
    """Tell whether an object is a flow log: by header, by Parquet columns, or by lines of version 2 to 10."""
    if head.startswith(b"PAR1"):
        return is_header(head[4:].replace(b"_", b"-").strip())
    first = head.partition(b"\n")[0].rstrip(b"\r")
    return is_header(first) or bool(_LINE.match(first)) or ("vpcflowlogs" in key and first.count(b" ") > 1)


_LINE = re.compile(rb"([2-9]|10) (\d{12}|\S+) (eni-|tgw-|\S*TransitGateway)\S* ")
