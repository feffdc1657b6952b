"""Whatever AWS or the way to it does to a call: everything arrives, each event once.

Once, not just at least once, is asserted for the lease family too: within one process a message that comes
again (its deletion or the reply that brought it was lost) is known by what it holds. Twice is allowed after a
crash only, to what the last snapshot does not know; `test_resume.py` has that.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any

import pytest

from tests.conformance.rig import Rig, Scenario, Waits
from tests.conformance.waivers import over_rows
from tests.fakes.faultproxy import Rule

FAULTS: Mapping[str, Mapping[str, Any]] = {
    "throttled": {"do": "error"},
    "status 429": {"do": "error", "status": 429, "code": "TooManyRequestsException"},
    "status 503": {"do": "error", "status": 503, "code": "ServiceUnavailable"},
    "reset before": {"do": "reset"},
    "reset after": {"do": "lost"},
    "truncated": {"do": "truncate"},
    "half a reply": {"do": "short"},
    "a proxy's page": {"do": "junk"},
}
"""The last two come out of boto3 as an empty reply, without an exception."""

ATTEMPTS = 5
"""Of botocore: what fails more often than this in a row is left to us."""

_HALF, _PAGE = FAULTS["half a reply"], FAULTS["a proxy's page"]


def strike(rig: Rig, operation: str, fault: Mapping[str, Any], **when: Any) -> list[Rule]:
    """Plan a fault of an operation, less often where giving in is right.

    An object that is torn twice at the same place counts as torn at its origin, and goes to quarantine: half
    a reply goes to two objects, once each. An account's number is asked for five times, then events go
    without it: fewer hollow replies tell none.
    """
    if operation == "s3.GetObject" and fault is _HALF:
        return [rig.proxy.add(**fault, op=operation, path=f"{n:06}.", times=1) for n in (1, 2)]
    if operation == "sts.GetCallerIdentity" and fault is _PAGE:
        when = {**when, "times": min(when["times"], 4)}
    return [rig.proxy.add(**fault, op=operation, **when)]


def through(planned: list[Rule], rig: Rig) -> Waits:
    """Collect everything through planned faults, each of which must strike."""
    wanted = rig.site.put(range(rig.row.few))
    started = rig.start()
    yield from rig.finish(started, wanted)
    yield "every fault struck", lambda: all(rule.fired == rule.times for rule in planned)
    yield from rig.finish(started, wanted)


def all_faults(rig: Rig) -> Waits:
    """Let every operation fail in every way, one after the other; then again, in mid-page."""
    planned = [
        rule
        for operation in rig.row.operations
        for fault in FAULTS.values()
        for rule in strike(rig, operation, fault, times=1)
    ]
    later = FAULTS.values() if rig.row.repeats else ()
    for after, fault in enumerate(later, 1):
        planned += strike(rig, rig.row.operations[-1], fault, after=after, times=1)
    yield from through(planned, rig)


@over_rows("survive_every_fault_in_turn")
def test_h19_survive_every_fault_in_turn(played, row):
    """Each operation fails in each way, more often in a row than boto3 retries: every event comes once."""
    played(all_faults, row)


@cache
def one_fault(name: str) -> Scenario:
    """Return the scenario of one fault: of each operation beyond botocore's retries, then in mid-page."""

    def scenario(rig: Rig) -> Waits:
        first = [
            rule
            for operation in rig.row.operations
            for rule in strike(rig, operation, FAULTS[name], times=ATTEMPTS + 2)
        ]
        later = strike(rig, rig.row.operations[-1], FAULTS[name], after=2, times=2) if rig.row.repeats else []
        yield from through(first + later, rig)

    return scenario


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
@over_rows("survive_a_fault")
def test_h19_survive_a_fault(played, row, fault):
    """One fault, more often in a row than boto3 retries, and again in mid-page: every event comes once."""
    played(one_fault(fault), row)
