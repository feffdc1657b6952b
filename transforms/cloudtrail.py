"""CloudTrail records: one JSON object a line, byte for byte as AWS wrote it, with the tag of its service.

Nothing is parsed unless the settings need it: without `auto_event_type` and place in the tag, a block
passes as it came.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from io import BytesIO

import msgspec
from msgspec import Struct, field
from msgspec.structs import replace

from transforms.block import Block, Item, Transform, divide
from transforms.tagged import NO_STAMP, Stamp
from transforms.tags import DEVO_TABLES, FALLBACK, CloudTrailTables, TagRule, place

TEMPLATE = "cloud.aws.cloudtrail.{event_type}"
INSIGHTS, DIGEST = "insights", "digest_meta"
EVENT_NAME = ("eventName",)
_INSIGHT = "AwsCloudTrailInsight"


class CloudTrailOptions(Struct, frozen=True):
    """Settings of the transform.

    place_of_event: account and region in tags are the event's own. unknown: is told each eventSource that
    has no table, and how many events of a block went to `events` for it.
    """

    tag: TagRule = field(default_factory=lambda: TagRule(TEMPLATE))
    auto_event_type: bool = False
    place_of_event: bool = True
    stamp: Stamp = NO_STAMP
    tables: CloudTrailTables = DEVO_TABLES
    unknown: Callable[[str, int], None] = lambda _source, _count: None

    @property
    def asks_for_place(self) -> bool:
        """Tell whether the tag holds the event's own account or region."""
        return self.tag.by_place and self.place_of_event


class Head(msgspec.Struct, gc=False):
    """What a tag needs of a record; all else is skipped, not decoded."""

    event_source: str | None = msgspec.field(default="", name="eventSource")
    event_type: str | None = msgspec.field(default="", name="eventType")
    region: str | None = msgspec.field(default="", name="awsRegion")
    account: str | None = msgspec.field(default="", name="recipientAccountId")
    digest_start: str | None = msgspec.field(default="", name="digestStartTime")


_NAME, _BEFORE = b'"eventSource"', b'Z","eventSource":"'
_HEAD = msgspec.json.Decoder(Head)


def transform(options: CloudTrailOptions) -> Transform:
    """Return the transform of CloudTrail records. Within a tag, events keep their order."""
    parses = options.auto_event_type or options.asks_for_place

    def run(block: Block) -> Iterator[Item]:
        for made in _grouped(block, options) if parses else _whole(block, options):
            yield options.stamp.on(made)

    return run


def _whole(block: Block, options: CloudTrailOptions) -> Iterator[Block]:
    origin = block.origin
    yield replace(block, tag=options.tag.tag(FALLBACK, origin.account, origin.region))


def _grouped(block: Block, options: CloudTrailOptions) -> Iterator[Block]:
    fallen = Counter[str]()
    tags = _tags_by_source(block, options, fallen) or _tags(heads_of(block), block, options, fallen)
    for tag, part in divide(block, tags).items():
        yield replace(part, tag=tag)
    for source, count in fallen.items():
        options.unknown(source, count)


def _tags_by_source(block: Block, options: CloudTrailOptions, fallen: Counter[str]) -> list[str]:
    """Return the tag of each record when it depends on nothing but its eventSource, else [].

    fallen: takes the eventSources that have no table, with their numbers.
    """
    if not options.auto_event_type or options.asks_for_place:
        return []
    sources = sources_of(block)
    origin = block.origin
    made = {
        one: options.tag.tag(options.tables.of(one.decode()), origin.account, origin.region)
        for one in set(sources)
    }
    fallen.update(
        {one.decode(): sources.count(one) for one in made if not options.tables.known(one.decode())}
    )
    return [made[one] for one in sources]


def sources_of(block: Block) -> list[bytes]:
    """Return the eventSource of each record where a search finds it for certain, else [].

    It is cheaper than a parser. The key may also stand below another one (`additionalEventData`,
    `insightDetails`), so it must stand just once in each record, and behind eventTime as AWS writes it.
    """
    if block.payload.count(_NAME) != block.count:
        return []
    lines = BytesIO(block.payload)
    sources = [line.partition(_BEFORE)[2].partition(b'"')[0] for line in lines]  # half of what `find` takes
    return [] if any(not one or b"\\" in one for one in set(sources)) else sources


def heads_of(block: Block) -> Sequence[Head]:
    """Return the head of each record, an empty one where a field is spelled in an unexpected type."""
    try:
        heads = _HEAD.decode_lines(block.payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        heads = []
    return heads if len(heads) == block.count else [_head(line) for line in BytesIO(block.payload)]


def _head(line: bytes) -> Head:
    """Read one line, with a parser that allows half surrogate pairs and control characters if need be."""
    try:
        return _HEAD.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        try:
            return msgspec.convert(json.loads(line, strict=False), Head)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return Head()


def _tags(
    heads: Iterable[Head], block: Block, options: CloudTrailOptions, fallen: Counter[str]
) -> Iterator[str]:
    """Yield the tag of each record."""
    of_event = options.asks_for_place
    asked = (block.origin.account, block.origin.region)
    told = place(block.origin.object, *asked) if of_event else asked
    known: dict[tuple[str, str, str], str] = {}
    for head in heads:
        account, region = (head.account or told[0], head.region or told[1]) if of_event else told
        source = head.event_source
        key = (source or _kind(head), account, region)
        tag = known.get(key)
        if tag is None:
            table = _table(head, options.tables) if options.auto_event_type else FALLBACK
            tag = known[key] = options.tag.tag(table, account, region)
            if source and options.auto_event_type and not options.tables.known(source):
                fallen[source] += 0
        if source and source in fallen:
            fallen[source] += 1
        yield tag


def _table(head: Head, tables: CloudTrailTables) -> str:
    """Return the table of a record; Insights and digests have no eventSource of their own."""
    return tables.of(head.event_source) if head.event_source else _kind(head)


def _kind(head: Head) -> str:
    if head.event_type == _INSIGHT:
        return INSIGHTS
    return DIGEST if head.digest_start else FALLBACK


_RECORD_KEYS = (b'"eventSource"', b'"eventName"', b'"eventID"')
_INSIGHT_KEYS = (b'"AwsCloudTrailInsight"', b'"insightDetails"')
_OTHERS_KEYS = (b'"detail-type"', b'"s3SchemaVersion"', b'"logEvents"')


def detect(key: str, head: bytes) -> bool:
    """Tell whether an object is a CloudTrail one: records, a digest, or no record under a name of its kind.

    head: first decoded bytes, as from `sources.objects.decode.head`.
    """
    start = head.lstrip(b"\xef\xbb\xbf \r\n\t")
    if not start.startswith((b"{", b"[")) or any(name in head for name in _OTHERS_KEYS):
        return False
    named = b'"Records"' in head and "CloudTrail" in key
    records = any(all(name in head for name in known) for known in (_RECORD_KEYS, _INSIGHT_KEYS))
    return named or b'"digestS3Bucket"' in head or records
