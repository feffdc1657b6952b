"""What follows from all that is known of one object. Pure."""

from collections.abc import Sequence
from enum import StrEnum

from msgspec import Struct

from flows.proof.facts import Fact


class Fate(StrEnum):
    """What became of one object, or what is wrong with what CloudTrail has signed."""

    DELIVERED = "delivered"
    FILTERED = "filtered"
    EXPIRED = "expired"
    IN_FLIGHT = "in_flight"
    QUARANTINED = "quarantined"
    NEVER_ANNOUNCED = "never_announced"
    CHANGED = "changed"
    MISSING = "missing"
    MODIFIED = "modified"
    DELETED = "deleted"
    UNSIGNED = "unsigned"
    DIGEST_INVALID = "digest_invalid"
    DIGEST_DELETED = "digest_deleted"
    CHAIN_GAP = "chain_gap"
    CHAIN_ENDS = "chain_ends"
    SAMPLE_DIFFERS = "sample_differs"


GOOD = frozenset({Fate.DELIVERED, Fate.FILTERED, Fate.EXPIRED})
"""All that shall be delivered was."""

HARMLESS = GOOD | {Fate.UNSIGNED}
"""What leaves a proof complete: a trail without validation may write beside one that has it."""

COLLECTABLE = frozenset({Fate.NEVER_ANNOUNCED, Fate.CHANGED, Fate.MISSING})
"""The bucket has it, and `--backfill` brings it."""

CURES = {
    Fate.IN_FLIGHT: "prove again when the queue has been worked off",
    Fate.QUARANTINED: "mend what its reason in quarantine names, then python -m flows replay QUARANTINE",
    Fate.NEVER_ANNOUNCED: "prove it with --backfill; then see why the bucket does not announce it",
    Fate.CHANGED: "prove it with --backfill, which collects what it holds now",
    Fate.MISSING: "restore the object, or its older version, then prove it with --backfill",
    Fate.MODIFIED: "find out who wrote it; an older version of it may be the signed one",
    Fate.DELETED: "find out who deleted it, or which lifecycle rule; restore its older version",
    Fate.UNSIGNED: "find out who wrote it: another trail without validation, or somebody else",
    Fate.DIGEST_INVALID: "find out who wrote it; log files that only it names are not proved",
    Fate.DIGEST_DELETED: "find out who deleted it; restore its older version",
    Fate.CHAIN_GAP: "logging or its validation was off: find out by whom (StopLogging, UpdateTrail)",
    Fate.CHAIN_ENDS: "prove again when the digests have come; if they do not, find out who deleted them",
    Fate.SAMPLE_DIFFERS: "find out who wrote it: what the bucket has now is not what was delivered",
}
"""What a person does."""


LEFT_OUT = "left_out"
"""State of a listed object whose key the configuration leaves out."""

_RANKS = {"delivered": 4, "filtered": 3, "ignored": 3, "quarantined": 2, "repeated": 1}
"""Outcomes of rows. A repeat says that an object was done before, not how it ended."""


class Judged(Struct, frozen=True):
    """One object. listed: as the bucket has it, row: as the journal has it; None = it has it not.

    signed: None = no digest names it. detail: what a person wants to know besides, "" = nothing.
    """

    name: str
    verdict: Fate
    listed: Fact | None = None
    row: Fact | None = None
    signed: Fact | None = None
    detail: str = ""


def judge(name: str, facts: Sequence[Fact], since: int) -> Judged | None:
    """Return what follows; None when nothing is known that this proof is about.

    since: epoch milliseconds; what was written since then, and has no row, may be on its way.
    """
    found: tuple[list[Fact], ...] = ([], [], [], [])
    for fact in facts:
        found[fact.source].append(fact)
    there, rows, messages, signatures = found
    signed = signatures[0] if signatures else None
    if not there:
        return _gone(name, rows, signed)
    listed = there[-1]
    if listed.state == LEFT_OUT:
        return Judged(name, Fate.FILTERED, listed, rows[-1] if rows else None, signed)
    same = [row for row in rows if _about(row, listed)]
    row = max(same, key=_worth, default=None)
    if row and row.state != "missing":
        return Judged(name, outcome(row), listed, row, signed, _told(row))
    announced = any(not one.etag or one.etag == listed.etag for one in messages)
    copied = (row for row in reversed(rows) if row.sha256 and row.size == listed.size)
    row = row or next(copied, rows[-1] if rows else None)
    verdict, detail = _undelivered(listed, row, since, announced=announced)
    return Judged(name, verdict, listed, row, signed, detail)


def _about(row: Fact, listed: Fact) -> bool:
    """Tell whether a row is of the content that the bucket has; without an etag it is later than that one."""
    return row.etag == listed.etag if row.etag else row.at >= listed.at


def _undelivered(listed: Fact, row: Fact | None, since: int, *, announced: bool) -> tuple[Fate, str]:
    """Return why the bucket has a content that no row tells of, and what there is to say about it."""
    if announced or listed.at >= since:
        return Fate.IN_FLIGHT, "its message is in the queue" if announced else "it may still come"
    if row is None:
        return Fate.NEVER_ANNOUNCED, ""
    if row.state == "missing":
        return Fate.MISSING, "it was not there when its message came"
    return Fate.CHANGED, f"delivered with etag {row.etag}, it has {listed.etag} now"


def _gone(name: str, rows: Sequence[Fact], signed: Fact | None) -> Judged | None:
    """Judge what the bucket does not have any more."""
    row = max(rows, key=_worth, default=None)
    if row is None:
        if signed is None:
            return None  # only a queue names it
        there = signed.state != Fate.DELETED
        verdict = Fate.NEVER_ANNOUNCED if there else Fate.MISSING
        return Judged(name, verdict, None, None, signed, "a digest names it, the journal does not")
    if row.state == "missing":
        detail = "it was deleted before it was read"
        return Judged(name, Fate.MISSING, None, row, signed, detail)
    verdict = Fate.QUARANTINED if outcome(row) is Fate.QUARANTINED else Fate.EXPIRED
    return Judged(name, verdict, None, row, signed, _told(row))


def _worth(row: Fact) -> tuple[int, int, int]:
    """Of several rows the one that delivered most counts: an object may have been tried again."""
    return _RANKS.get(row.state, 0), -row.quarantined, row.events


def outcome(row: Fact) -> Fate:
    """Return what became of an object of which a row tells."""
    if row.state == "quarantined" or row.quarantined:
        return Fate.QUARANTINED
    if row.state in {"filtered", "ignored"} or (row.filtered and not row.events):
        return Fate.FILTERED
    return Fate.DELIVERED


def _told(row: Fact) -> str:
    if not row.quarantined:
        return ""
    return f"{row.quarantined} in quarantine, {row.events} events delivered"
