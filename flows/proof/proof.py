"""What a proof has found, added up: figures by day and account, and each gap with its cure."""

import heapq
import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta

from msgspec import Struct, field

from flows.proof.digests import LOGS
from flows.proof.judge import COLLECTABLE, CURES, GOOD, HARMLESS, Fate, Judged
from sources.listed.listing import Stretch, dated_folder, key_moment, told
from sources.objects.object_ref import ObjectRef, place_of

Covered = Mapping[tuple[str, str], Sequence[tuple[datetime, datetime]]]

_EDGE = timedelta(minutes=30)
"""At the edges of a chain another digest may name a log file."""

MOST_GAPS = 10_000
"""Told one by one; the others are counted."""


class Gap(Struct, frozen=True):
    """One thing that keeps a proof from being complete. name: `s3://bucket/key`, or what it is about."""

    verdict: Fate
    name: str
    day: str = ""
    account: str = ""
    region: str = ""
    detail: str = ""

    @property
    def cure(self) -> str:
        """What a person does."""
        return CURES.get(self.verdict, "")


class DigestChain(Struct, frozen=True):
    """The digests of one account, region and trail. valid: how many; logs: signed files that are intact."""

    account: str
    region: str
    trail: str
    start: str
    end: str
    valid: int
    invalid: int
    logs: int


class Proof(Struct):
    """What was asked, and what was found. Days are UTC.

    verdicts: objects of each. squares: day and account → objects of each verdict. events, bytes: delivered.
    collectable: what `--backfill` would collect, up to MOST_GAPS. notes: what was not looked at.
    sampled: delivered objects that were read again; of them the same.
    """

    service: str
    start: datetime
    end: datetime
    looked: datetime
    locations: tuple[str, ...]
    journals: tuple[str, ...]
    verdicts: Counter[Fate] = field(default_factory=Counter)
    squares: dict[tuple[str, str], Counter[Fate]] = field(default_factory=dict)
    events: int = 0
    size: int = 0
    gaps: list[Gap] = field(default_factory=list)
    collectable: list[ObjectRef] = field(default_factory=list)
    chains: list[DigestChain] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    sampled: int = 0
    same: int = 0
    backfilled: int = 0
    lottery: list[tuple[float, str, Judged]] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Whether all was delivered, and nothing that is signed is missing or altered."""
        return not any(count for verdict, count in self.verdicts.items() if verdict not in HARMLESS)

    @property
    def objects(self) -> int:
        """How many objects were looked at: in the bucket, or in the journal."""
        return sum(sum(one.values()) for one in self.squares.values())

    def add(self, judged: Judged) -> None:
        """Count an object."""
        day, account, region = place_of_object(judged)
        verdict = judged.verdict
        self.verdicts[verdict] += 1
        self.squares.setdefault((day, account), Counter())[verdict] += 1
        if judged.row and verdict in GOOD:
            self.events += judged.row.events
            self.size += judged.row.size
        if verdict not in GOOD:
            self._tell(Gap(verdict, judged.name, day, account, region, judged.detail))
        if _collected(judged) and judged.listed and len(self.collectable) < MOST_GAPS:
            bucket, _, key = judged.name.removeprefix("s3://").partition("/")
            self.collectable.append(ObjectRef(bucket, key, etag=judged.listed.etag, size=judged.listed.size))

    def find(self, gap: Gap) -> None:
        """Count something that is wrong beside whether objects were delivered."""
        self.verdicts[gap.verdict] += 1
        self._tell(gap)

    def draw(self, judged: Judged, most: int) -> None:
        """Keep a delivered object for the sample, each with the same chance."""
        if most and judged.verdict is Fate.DELIVERED and judged.listed and judged.row and judged.row.records:
            ticket = (random.random(), judged.name, judged)  # noqa: S311 - a sample, not a secret
            if len(self.lottery) < most:
                heapq.heappush(self.lottery, ticket)
            else:
                heapq.heappushpop(self.lottery, ticket)

    def compare(self, judged: Judged, covered: Covered) -> None:
        """Count what is wrong with an object's signature. covered: see `Signatures`."""
        signed = judged.signed
        if not signed and not covered:
            return
        day, account, region = place_of_object(judged)
        if signed and signed.state in {Fate.MODIFIED, Fate.DELETED}:
            delivered = "it was delivered before" if judged.row and judged.row.state == "delivered" else ""
            if signed.state == Fate.MODIFIED and judged.listed and judged.verdict in GOOD:
                delivered = "it was delivered as it is now"
            detail = "; ".join(filter(None, (signed.place, delivered)))
            self.find(Gap(Fate(signed.state), judged.name, day, account, region, detail))
        elif not signed and judged.listed and LOGS in judged.name:
            moment = key_moment(judged.name)
            spans = covered.get((account, region), ())
            if moment and any(start + _EDGE <= moment < end - _EDGE for start, end in spans):
                self.find(Gap(Fate.UNSIGNED, judged.name, day, account, region))

    def _tell(self, gap: Gap) -> None:
        if len(self.gaps) < MOST_GAPS:
            self.gaps.append(gap)


def belongs(judged: Judged, stretch: Stretch) -> bool:
    """Tell whether an object is of a stretch; one without a date, and gone, by when it was settled."""
    row = judged.row
    if judged.listed or row is None or told(judged.name.partition("//")[2].partition("/")[2], stretch):
        return True
    return datetime.fromtimestamp(row.at / 1000, UTC) in stretch


def _collected(judged: Judged) -> bool:
    """Tell whether `--backfill` collects it: nothing of it was delivered, and the bucket has it."""
    nothing = judged.verdict is Fate.QUARANTINED and judged.row is not None and not judged.row.events
    return judged.verdict in COLLECTABLE or nothing


def place_of_object(judged: Judged) -> tuple[str, str, str]:
    """Return the day, account and region that an object is of: as its key says, else as it is known."""
    key = judged.name.removeprefix("s3://").partition("/")[2]
    account, region = place_of(key)
    if judged.row and not (account and region):
        told = judged.row.place.partition(" ")
        account, region = account or told[0], region or told[2]
    moment = key_moment(key)
    folder = None if moment else dated_folder(key.rpartition("/")[0])
    known = judged.listed or judged.row or judged.signed
    if moment is None:
        moment = folder.start if folder else datetime.fromtimestamp(known.at / 1000 if known else 0, UTC)
    return moment.date().isoformat(), account, region


def days(stretch: Stretch) -> Iterable[date]:
    """Yield the UTC days of a stretch."""
    first, last = stretch.start.astimezone(UTC).toordinal(), stretch.end.astimezone(UTC)
    end = last.toordinal() + (last.time() != last.time().min)
    return map(date.fromordinal, range(first, end))
