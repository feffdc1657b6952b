"""A proof on a terminal, and for machines."""

from collections.abc import Iterator
from typing import Any

from msgspec.structs import asdict

from flows.proof.judge import HARMLESS, Fate
from flows.proof.proof import Proof

_SHOWN = 50


def lines(proof: Proof) -> Iterator[str]:
    """Yield what a person reads first: the answer, the figures, then gap by gap."""
    yield f"{proof.service}, {proof.start:%Y-%m-%d %H:%M} to {proof.end:%Y-%m-%d %H:%M} UTC: {answer(proof)}"
    for verdict in Fate:
        if proof.verdicts[verdict]:
            yield f"{proof.verdicts[verdict]:>12,}  {words(verdict)}"
    yield f"{proof.events:>12,}  events delivered, of {proof.size:,} stored bytes"
    for chain in proof.chains:
        yield (
            f"digests of {chain.account} {chain.region} {chain.trail}, {chain.start} to {chain.end}: "
            f"{chain.valid} valid, {chain.invalid} not; {chain.logs} log files intact"
        )
    if proof.sampled:
        yield f"sample: {proof.sampled} read again, {proof.same} as they were delivered"
    if proof.backfilled:
        yield f"backfill: {proof.backfilled} objects collected"
    for gap in proof.gaps[:_SHOWN]:
        detail = f" ({gap.detail})" if gap.detail else ""
        yield f"{words(gap.verdict)}: {gap.name}{detail}: {gap.cure}"
    if (rest := not_shown(proof, _SHOWN)) > 0:
        yield f"… and {rest:,} more: --json has up to {len(proof.gaps):,} of them"
    yield from (f"not proved: {note}" for note in proof.notes)


def answer(proof: Proof) -> str:
    """Return the proof's answer in one phrase."""
    if not proof.objects:
        return "nothing was there to be delivered" if proof.complete else "not complete"
    if proof.complete:
        return f"complete: all {proof.objects:,} objects"
    wrong = sum(count for verdict, count in proof.verdicts.items() if verdict not in HARMLESS)
    return f"not complete: {wrong:,} of {proof.objects:,} objects and digests"


def not_shown(proof: Proof, shown: int) -> int:
    """Return how many gaps stand beyond the first ones."""
    return sum(count for verdict, count in proof.verdicts.items() if verdict not in HARMLESS) - shown


def words(verdict: Fate) -> str:
    """Return a verdict as a person says it."""
    if verdict is Fate.EXPIRED:
        return "delivered, no longer in the bucket"
    if verdict is Fate.QUARANTINED:
        return "in quarantine"
    if verdict is Fate.CHANGED:
        return "changed since"
    return verdict.replace("_", " ")


def report(proof: Proof) -> dict[str, Any]:
    """Return all of it for machines. `gaps` has up to MOST_GAPS, `verdicts` counts them all."""
    return {
        "complete": proof.complete,
        "service": proof.service,
        "from": proof.start.isoformat(),
        "to": proof.end.isoformat(),
        "looked": proof.looked.isoformat(timespec="seconds"),
        "locations": list(proof.locations),
        "journals": list(proof.journals),
        "objects": proof.objects,
        "events": proof.events,
        "bytes": proof.size,
        "verdicts": {str(verdict): proof.verdicts[verdict] for verdict in Fate},
        "days": [
            {"day": day, "account": account, **{str(verdict): count for verdict, count in found.items()}}
            for (day, account), found in sorted(proof.squares.items())
        ],
        "digests": [asdict(chain) for chain in proof.chains],
        "sampled": proof.sampled,
        "same": proof.same,
        "backfilled": proof.backfilled,
        "gaps": [{**asdict(one), "cure": one.cure} for one in proof.gaps],
        "notes": proof.notes,
    }
