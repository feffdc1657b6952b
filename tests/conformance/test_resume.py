"""A row that is ended, or dies, goes on where it was: nothing lost, nothing twice."""

from collections import Counter

from tests.conformance.rig import TIGHT, Rig, Waits
from tests.conformance.waivers import over_rows


def resume(rig: Rig) -> Waits:
    wanted = rig.site.put(range(rig.row.few))
    if rig.site.put_large:
        wanted += rig.site.put_large(rig.row.few)
    first = rig.start(ahead=TIGHT)
    yield "the first events", lambda: first.lines
    snapshot, before = first.sealed(), list(first.lines)
    assert len(before) < len(wanted)
    yield "events after the snapshot", lambda: len(first.lines) > len(before)
    first.run.close()
    yield from rig.finish(rig.start(snapshot), wanted, before)


@over_rows("resume_from_a_snapshot")
def test_resume_from_a_snapshot(played, row):
    """A row built anew from a snapshot taken in the middle emits what was missing there, each event once.

    What it emitted after the snapshot died with it. Messages (lease family) that the snapshot's epoch had
    emitted are not emitted again though they come again; all others come again when their leases end.
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
