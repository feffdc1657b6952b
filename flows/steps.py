"""The steps between a source and the sinks, the same for every dataflow; all of them stateless.

A step that holds items would let a message be settled before its events are delivered (see `sources`).
"""

from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

from bytewax import operators as op
from bytewax.dataflow import Dataflow, Stream

from flows.catalogue.service import Source
from flows.status.liveness import Liveness
from sinks.answering_sink import answering
from sinks.devo import DevoSink
from sinks.quarantine import QuarantineSink
from transforms.block import (
    TARGET_BYTES,
    Block,
    Flowing,
    Item,
    Poison,
    Transform,
    coalesce,
    made_of,
    of_origin,
)
from transforms.receipt_request import OfPoison, ReceiptRequest


def collect(
    dataflow: Dataflow, step: str, source: Source, transform: Transform, largest: int
) -> Stream[Flowing]:
    """Read one source and make events of what it holds. largest: see `apply`."""
    return op.flat_map_batch(
        f"{step}-events", op.input(step, dataflow, source), passing(apply(transform, largest))
    )


def deliver(
    streams: list[Stream[Flowing]],
    devo: DevoSink,
    quarantine: QuarantineSink,
    liveness: Liveness | None = None,
) -> None:
    """Send events to every output, and poison to quarantine; both are receipted at each epoch's end.

    And before, where a source asks for it.
    """
    answers = len(devo.keys()) + len(quarantine.keys())
    fitting = op.flat_map("fit", op.merge("all", *streams), fit(devo, answers))
    sides = op.branch("readable", fitting, is_block)
    liveness = liveness or Liveness()
    events = liveness.sink("output", answering(devo))
    poison = liveness.sink("quarantine", answering(quarantine))
    op.output("devo", op.flat_map("connection", sides.trues, spread(devo.keys())), events)
    op.output("quarantine", op.flat_map("folder", sides.falses, spread(quarantine.keys())), poison)


def fit(devo: DevoSink, answers: int) -> Callable[[Flowing], Sequence[Item | ReceiptRequest | OfPoison]]:
    """Return what makes items fit the outputs, and sends requests to both sides. answers: to expect."""

    def run(item: Flowing) -> Sequence[Item | ReceiptRequest | OfPoison]:
        if isinstance(item, ReceiptRequest):
            item.expect(answers)
            return item, OfPoison(item)
        return devo.fit(item)

    return run


def passing(apply: Callable[[list[Item]], list[Item]]) -> Callable[[list[Flowing]], list[Flowing]]:
    """Return the batch form of a transform that lets requests for receipts pass.

    They come last: they are about more then, never about less.
    """

    def run(flowing: list[Flowing]) -> list[Flowing]:
        asked = [item for item in flowing if isinstance(item, ReceiptRequest)]
        return [*apply([item for item in flowing if not isinstance(item, ReceiptRequest)]), *asked]

    return run


def apply(transform: Transform, largest: int = TARGET_BYTES) -> Callable[[list[Item]], list[Item]]:
    """Return the batch form of a transform: poison passes, small blocks become one, before and after it.

    largest: bytes of the largest event that outputs take. One that is over it, and comes alone, keeps its
    origin: there it is looked for when it is tried again.
    """

    def run(items: list[Item]) -> list[Item]:
        joined = coalesce(items, of_origin)
        made = (
            out
            for item in joined
            for out in ([item] if isinstance(item, Poison) else made_of(item, transform))
        )
        return list(coalesce(made, limit=min(largest, TARGET_BYTES)))

    return run


def is_block(item: Item | ReceiptRequest | OfPoison) -> bool:
    """Tell events from poison."""
    return isinstance(item, Block | ReceiptRequest)


def spread(keys: list[str]) -> Callable[[object], list[tuple[str, Any]]]:
    """Deal items over the sink partitions of this process, so that none crosses to another one.

    Requests go to all of them.
    """
    numbers = count()

    def run(item: object) -> list[tuple[str, Any]]:
        if isinstance(item, ReceiptRequest | OfPoison):
            return [(key, item) for key in keys]
        return [(keys[next(numbers) % len(keys)], item)]

    return run
