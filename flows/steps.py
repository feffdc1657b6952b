"""The steps between a source and the sinks, the same for every dataflow; all of them stateless.

A step that holds items would let a message be settled before its events are delivered (see `sources`).
"""

from collections.abc import Callable
from itertools import count
from typing import Any

from bytewax import operators as op
from bytewax.dataflow import Dataflow, Stream

from flows.catalogue.service import Source
from flows.status.liveness import Liveness
from sinks.devo import DevoSink
from sinks.quarantine import QuarantineSink
from transforms.block import TARGET_BYTES, Block, Item, Poison, Transform, coalesce, made_of, of_origin


def collect(
    dataflow: Dataflow, step: str, source: Source, transform: Transform, largest: int
) -> Stream[Item]:
    """Read one source and make events of what it holds. largest: see `apply`."""
    return op.flat_map_batch(f"{step}-events", op.input(step, dataflow, source), apply(transform, largest))


def deliver(
    streams: list[Stream[Item]], devo: DevoSink, quarantine: QuarantineSink, liveness: Liveness | None = None
) -> None:
    """Send events to every output, and poison to quarantine; both are receipted at each epoch's end."""
    fitting = op.flat_map("fit", op.merge("all", *streams), devo.fit)
    sides = op.branch("readable", fitting, is_block)
    liveness = liveness or Liveness()
    events, poison = liveness.sink("output", devo), liveness.sink("quarantine", quarantine)
    op.output("devo", op.map("connection", sides.trues, spread(devo.keys())), events)
    op.output("quarantine", op.map("folder", sides.falses, spread(quarantine.keys())), poison)


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


def is_block(item: Item) -> bool:
    """Tell events from poison."""
    return isinstance(item, Block)


def spread(keys: list[str]) -> Callable[[object], tuple[str, Any]]:
    """Deal items over the sink partitions of this process, so that none crosses to another one."""
    numbers = count()
    return lambda item: (keys[next(numbers) % len(keys)], item)
