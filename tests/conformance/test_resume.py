"""A row that is ended, or dies, goes on where it was: nothing lost, nothing twice."""

from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from itertools import count
from typing import Any, TypeAlias

from tests.conformance.rig import TIGHT, Rig, Wait, Waits
from tests.conformance.waivers import over_rows

State: TypeAlias = Mapping[str, Any] | None


def resume(rig: Rig) -> Waits:
    wanted = rig.site.put(range(rig.row.few))
    if rig.site.put_large:
        wanted += rig.site.put_large(rig.row.few)
    snapshot, before = yield from life(rig, None, [])
    snapshot, before = yield from life(rig, snapshot, before, beyond=True)
    yield from rig.finish(rig.start(snapshot), wanted, before)


def life(
    rig: Rig, states: State, had: Sequence[bytes], *, beyond: bool = False
) -> Generator[Wait, None, tuple[State, list[bytes]]]:
    """Run from a snapshot, and die right after the next one; return it and all events up to there.

    beyond: die in the middle of the next epoch instead.
    """
    started = rig.start(states, ahead=TIGHT)
    yield "the first events", lambda: started.lines
    rig.running.remove(started)
    yield "more is fetched than was emitted", lambda: started.ahead
    snapshot, before = started.sealed(), [*had, *started.lines]
    if beyond:
        emitted, calls = len(started.lines), count()
        yield (
            "events of an epoch that never ends",
            lambda: started.call() or (next(calls) > 10 and len(started.lines) > emitted),
        )
    started.run.close()
    return snapshot, before


@over_rows("resume_from_a_snapshot")
def test_resume_from_a_snapshot(played, row):
    """A row built anew from a snapshot taken in the middle emits what was missing there, each event once.

    Twice: after dying right behind a snapshot, when messages of its epoch (lease family) come again and are
    not emitted again; and after dying later, when what was emitted since comes again and is emitted again.
    """
    played(resume, row)


def drain(rig: Rig) -> Waits:
    wanted = rig.site.put(range(rig.row.many))
    first = rig.start(ahead=TIGHT)
    yield "the first events", lambda: first.lines
    first.drain.set()
    yield "every lane ends", lambda: not first.run.lanes
    assert len(first.lines) < len(wanted)
    yield "no thread is left", lambda: not rig.threads
    assert Counter(first.lines) <= Counter(wanted)
    yield from rig.finish(rig.start(first.sealed()), wanted, first.lines)


@over_rows("drain")
def test_drain(played, row):
    """On the drain event a row ends without taking in the rest, and the next run gets exactly that."""
    played(drain, row)
