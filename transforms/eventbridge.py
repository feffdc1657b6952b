"""EventBridge envelopes: whole, one a line; with `auto_event_type` the last level tells their type.

The type is, in this order:

1. what `event_type_processor_mapping` says for the envelope's `detail-type`, then for its `source`: the
   detail-type is the narrower of the two. Devo documents the key but not its meaning; from a name of
   EventBridge's to a table is what it can be used for.
2. `alarm` for state changes of CloudWatch alarms, metric and composite ones alike.
3. `events`, which is also the type of everything without `auto_event_type`.
"""

from collections.abc import Iterator, Mapping
from io import BytesIO

import msgspec
from msgspec import Struct, field
from msgspec.structs import replace

from transforms.block import Block, Item, Transform, divide
from transforms.tagged import NO_STAMP, Stamp
from transforms.tags import FALLBACK, TagRule

TEMPLATE = "cloud.aws.cloudwatch.{event_type}"
ALARM = "alarm"
_ALARM_SOURCE, _ALARM_CHANGE = "aws.cloudwatch", "CloudWatch Alarm State Change"


class EventBridgeOptions(Struct, frozen=True):
    """Settings of the transform. mapping: detail-type or source → event type, for `auto_event_type`."""

    tag: TagRule = field(default_factory=lambda: TagRule(TEMPLATE))
    auto_event_type: bool = False
    mapping: Mapping[str, str] = field(default_factory=dict)
    stamp: Stamp = NO_STAMP


class _Head(msgspec.Struct):
    source: str = ""
    detail_type: str = msgspec.field(default="", name="detail-type")


_HEAD = msgspec.json.Decoder(_Head)


def transform(options: EventBridgeOptions) -> Transform:
    """Return the transform of EventBridge envelopes."""

    def run(block: Block) -> Iterator[Item]:
        for event_type, part in _parts(block, options).items():
            tag = options.tag.tag(event_type, block.origin.account, block.origin.region)
            yield options.stamp.on(replace(part, tag=tag))

    return run


def _parts(block: Block, options: EventBridgeOptions) -> dict[str, Block]:
    if not options.auto_event_type:
        return {FALLBACK: block}
    return divide(block, (event_type_of(line, options.mapping) for line in BytesIO(block.payload)))


def event_type_of(envelope: bytes, mapping: Mapping[str, str]) -> str:
    """Return the event type of an envelope; one that cannot be read is an event like any other."""
    try:
        head = _HEAD.decode(envelope)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return FALLBACK
    for name in (head.detail_type, head.source):
        if name in mapping:
            return mapping[name]
    alarm = head.source == _ALARM_SOURCE and head.detail_type == _ALARM_CHANGE
    return ALARM if alarm else FALLBACK
