"""A row declares the IAM actions that it asks for, and no others."""

from tests.conformance.rig import TIGHT, Rig, Waits
from tests.conformance.waivers import over_rows
from tests.fakes.strict import STRICT

UNSEEN: dict[tuple[str, str], str] = {}
"""(row, declared action) → why no test here sees it asked for."""


def seldom(rig: Rig) -> Waits:
    """Let a row do all that it does: also what it does when it ends early, and where an answer is missing."""
    rig.site.seldom()
    rig.site.put(range(rig.row.many))
    first = rig.start(ahead=TIGHT)
    yield "the first events", lambda: first.lines
    first.drain.set()
    yield "every lane ends", lambda: not first.run.lanes
    rig.start(first.sealed())
    wanted = {action for action in rig.declared if (rig.row.name, action) not in UNSEEN}
    if STRICT:  # every bucket keeps versions there
        wanted -= {"s3:GetObject"}
    yield f"it asks for {', '.join(sorted(wanted))}", lambda: wanted <= rig.asked
    assert rig.undeclared == set()
    assert rig.asked & rig.declared == wanted


@over_rows("ask_for_what_is_declared")
def test_ask_for_what_is_declared(played, row):
    """What a row asks AWS is what it declares, and each action that it declares is asked for."""
    played(seldom, row)
