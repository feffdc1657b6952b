"""CloudFront logs: the raw tab-separated line, or its fields as JSON by the names in `#Fields`.

Standard logs (v1) are lines with `#Version` and `#Fields`; v2 delivers the same as text, as one JSON object a
line, or as Parquet, whose rows come out as the tab-separated line.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from transforms.block import Block, Item, Poison, Transform
from transforms.columns import to_json
from transforms.jsonline import with_fields
from transforms.tags import TagRule

TEMPLATE = "cloud.aws.cloudfront.{event_type}"
UNKNOWN, WEB, RTMP = "unknown", "web_1", "rmtp_1"
"""`rmtp_1` is Devo's spelling."""

_NUMBERS = """
    sc-bytes sc-status cs-bytes time-taken c-port time-to-first-byte
    sc-content-len sc-range-start sc-range-end
"""
NUMBERS = frozenset(_NUMBERS.split())
_TELLING = frozenset(
    (b"x-edge-location", b"x-edge-request-id", b"x_edge_location", b"x-event", b"cs-uri-stem")
)


@dataclass(frozen=True, slots=True)
class Options:
    """Settings of the transform. event_type: the configuration's word for an object's key, "" = none."""

    tag: TagRule = field(default_factory=lambda: TagRule(TEMPLATE))
    auto_event_type: bool = False
    event_type: Callable[[str], str] = lambda _key: ""
    json: bool = False
    environment: str = ""


def transform(options: Options) -> Transform:
    """Return the transform of CloudFront log lines."""
    fields = {"@devo_environment": options.environment} if options.environment else {}

    def run(block: Block) -> Iterator[Item]:
        kind = options.event_type(block.origin.object) or (
            _kind(block) if options.auto_event_type else UNKNOWN
        )
        tagged = replace(block, tag=options.tag.tag(kind, block.origin.account, block.origin.region))
        if block.payload.startswith(b"{"):
            yield with_fields(tagged, fields)
        elif not options.json:
            yield tagged
        elif not block.header:
            detail = f"CloudFront log without #Fields: {block.origin.object}: use format: raw"
            yield Poison("header_unknown", detail, block.origin, block.payload)
        else:
            for item in to_json(tagged, block.header.decode().replace(" ", "\t").split("\t"), NUMBERS, "\t"):
                yield with_fields(item, fields)

    return run


def _kind(block: Block) -> str:
    return RTMP if b"x-event" in block.header else WEB


def detect(_key: str, head: bytes) -> bool:
    """Tell whether an object is a CloudFront log, by its `#Fields`, JSON keys or Parquet columns."""
    start = head.partition(b"\n")[0] if head.startswith((b"{", b"PAR1")) else head
    return head.startswith((b"#Version", b"#Fields", b"{", b"PAR1")) and any(
        name in start for name in _TELLING
    )
