"""CloudTrail records: one JSON object a line, byte for byte as AWS wrote it, with the tag of its service.

Nothing is parsed unless the settings need it: without `auto_event_type`, filters and place in the tag, a
block passes as it came.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import msgspec

from transforms.block import Block, Item, Transform
from transforms.jsonline import add_fields
from transforms.tags import TagRule, cloudtrail_table

TEMPLATE = "cloud.aws.cloudtrail.{event_type}"
_INSIGHT = "AwsCloudTrailInsight"


@dataclass(frozen=True, slots=True)
class Options:
    """Settings of the transform.

    place_of_event: account and region in tags are the event's own. environment: "" adds nothing.
    """

    tag: TagRule = field(default_factory=lambda: TagRule(TEMPLATE))
    auto_event_type: bool = False
    drop_event_names: frozenset[str] = frozenset()
    place_of_event: bool = True
    environment: str = ""


class _Head(msgspec.Struct):
    """What a tag and the filters need of a record."""

    event_source: str | None = msgspec.field(default="", name="eventSource")
    event_name: str | None = msgspec.field(default="", name="eventName")
    event_type: str | None = msgspec.field(default="", name="eventType")
    aws_region: str | None = msgspec.field(default="", name="awsRegion")
    account: str | None = msgspec.field(default="", name="recipientAccountId")
    digest_start: str | None = msgspec.field(default="", name="digestStartTime")


def transform(options: Options) -> Transform:
    """Return the transform of CloudTrail records."""
    head = msgspec.json.Decoder(_Head).decode
    fields = {"@devo_environment": options.environment} if options.environment else {}
    placed = options.tag.by_place and options.place_of_event
    looks = options.auto_event_type or bool(options.drop_event_names) or placed
    simple = options.auto_event_type and not options.drop_event_names and not placed
    split: _Splitter = _by_source if simple else _by_head if looks else _whole

    def run(block: Block) -> Iterator[Item]:
        for tag, lines, count in split(block, options, head):
            yield replace(block, payload=add_fields(lines, fields), count=count, tag=tag)

    return run


_Split = Iterator[tuple[str, bytes, int]]
_Decode = Callable[[bytes], _Head]
_Splitter = Callable[[Block, Options, _Decode], _Split]


def _whole(block: Block, options: Options, _head: _Decode) -> _Split:
    yield options.tag.tag("events", block.origin.account, block.origin.region), block.payload, block.count


def _by_source(block: Block, options: Options, head: _Decode) -> _Split:
    """Group by eventSource, found without parsing where it is certain."""
    groups: dict[bytes, list[bytes]] = {}
    for line in block.payload[:-1].split(b"\n"):
        groups.setdefault(_source(line, head), []).append(line)
    tables: dict[str, list[bytes]] = {}
    for source, lines in groups.items():
        tables.setdefault(cloudtrail_table(source.decode("utf-8", "replace")), []).extend(lines)
    for table, lines in tables.items():
        tag = options.tag.tag(table, block.origin.account, block.origin.region)
        yield tag, b"\n".join(lines) + b"\n", len(lines)


_KEY = b'"eventSource":"'


def _source(line: bytes, head: _Decode) -> bytes:
    """Return a record's eventSource, or what stands for its kind.

    A record that spells the key once, and is no Insight, spells it at its top level: a quote inside a JSON
    string is escaped, so these bytes are a key, and AWS writes that key into every API record.
    """
    _before, found, rest = line.partition(_KEY)
    if found and _KEY not in rest and b"insightDetails" not in line:
        return rest.partition(b'"')[0]
    return _kind(_read(line, head)).encode()


def _read(line: bytes, head: _Decode) -> _Head:
    """Parse what a tag needs; a record that spells it in another type keeps the fallback's tag."""
    try:
        return head(line)
    except msgspec.MsgspecError:
        return _Head()


def _kind(record: _Head) -> str:
    if record.event_type == _INSIGHT:
        return "insights"
    return "digest_meta" if record.digest_start else record.event_source or ""


def _by_head(block: Block, options: Options, head: _Decode) -> _Split:
    groups: dict[str, list[bytes]] = {}
    for line in block.payload[:-1].split(b"\n"):
        record = _read(line, head)
        if record.event_name in options.drop_event_names:
            continue
        table = cloudtrail_table(_kind(record)) if options.auto_event_type else "events"
        own = options.place_of_event
        account = (own and record.account) or block.origin.account
        region = (own and record.aws_region) or block.origin.region
        groups.setdefault(options.tag.tag(table, account, region), []).append(line)
    for tag, lines in groups.items():
        yield tag, b"\n".join(lines) + b"\n", len(lines)


def detect(key: str, head: bytes) -> bool:
    """Tell whether an object is a CloudTrail one, by its content, or by its name when that is short."""
    start = head.lstrip(b"\xef\xbb\xbf \r\n\t")
    if not start.startswith(b"{"):
        return False
    record = b'"eventSource"' in head and b'"eventName"' in head
    return record or (b'"Records"' in head and "CloudTrail" in key)
