"""`python -m flows prove`: says of past days which objects were delivered, and proves that none is missing.

Exit code 0: all was delivered; 1: something was not, or not yet; 2: it could not look.
"""

import logging
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import orjson
from msgspec import Struct

from flows.catalogue.service import ConfiguredService
from flows.commands.backfill import BackfillTally, kept_list, run, unit_of
from flows.commands.journal import journal_of
from flows.commands.moments import between
from flows.commands.one_shot import bucket_and_prefix, state_of
from flows.config.base import ObjectsSettings
from flows.config.load import Settings, SettingsError, load
from flows.journal.reader import Journal
from flows.process.memory import reuse_blocks
from flows.process.runtime import log_to_stderr
from flows.proof import text
from flows.proof.bucket_facts import bucket_facts
from flows.proof.digests import DIGESTS, LOGS, place_of
from flows.proof.facts import Fact, FactTable
from flows.proof.journal_facts import begin_of, buckets, journal_facts
from flows.proof.judge import Judged, judge
from flows.proof.page import page
from flows.proof.proof import Proof, belongs
from flows.proof.queue_facts import look
from flows.proof.samples import MOST_COPIES, differing, is_suspect, settled
from flows.proof.signed_facts import Signatures, Signer, signatures
from sources.errors import SourceError
from sources.listed.listing import ListingCalls, Stretch
from sources.queues.bucket_trust import BucketTrust
from sources.queues.s3 import Access
from sources.queues.sqs import Queue
from transforms.telemetry import LOG

_COULD_NOT_LOOK = 2
Clock = Callable[[], float]


class ProofRequest(Struct, frozen=True):
    """What to prove. service: name or setting. location: `s3://bucket/prefix` of each, () = as configured.

    journal: folders beside the configuration's own. sample: delivered objects to read again. grace: seconds
    after which an object that was written must have been announced. backfill: collect what is missing.
    """

    service: str
    start: str
    end: str
    location: Sequence[str] = ()
    journal: Sequence[Path] = ()
    sample: int = 0
    grace: float = 900.0
    backfill: bool = False


class ProofScope(Struct, frozen=True):
    """A request that is right in itself, with what it is about."""

    unit: ConfiguredService[ObjectsSettings]
    stretch: Stretch
    locations: tuple[str, ...]
    journals: tuple[Journal, ...]
    sample: int
    grace: float


def prove(config: Path | None, wanted: ProofRequest, *, as_json: bool, html: Path | None = None) -> int:
    """Look, and say what was found; see the module for the exit code."""
    settings = load(config)
    LOG.addHandler(logging.NullHandler())  # the proof tells it all; events would go to stderr besides
    try:
        asked = _asked(settings, wanted)
        found = proof(asked)
        if wanted.backfill and found.collectable:
            collected = _collect(settings, asked, found)
            found = proof(asked)
            found.backfilled = collected
    except SourceError as error:
        sys.stderr.write(f"could not look: {error}\n")
        return _COULD_NOT_LOOK
    if not found.objects and not found.chains:
        raise SettingsError("no object of these dates", "--location, --from, --to", "correct them")
    if html:
        _write(html, page(found))
    _tell(found, as_json=as_json)
    return 0 if found.complete else 1


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text)
    except OSError as error:
        why = f"cannot be written ({error.strerror})"
        raise SettingsError(why, f"--html {path}", "name another file") from error


def _collect(settings: Settings, asked: ProofScope, found: Proof) -> int:
    """Bring what is missing on the path of a backfill; returns how many objects came.

    What was stopped before its end, or has rows that the journal did not take, is finished first: its list
    and its state are in the folder until then.
    """
    log_to_stderr(debug=settings.globals.debug)
    reuse_blocks()
    named = f"{asked.unit.step_id} {asked.stretch} {sorted(asked.locations)}"
    folder = state_of(settings, "prove-", named)
    objects, tally = kept_list(folder, lambda: found.collectable), BackfillTally()
    unwritten = run(settings, asked.unit, (objects, tally), folder)
    if tally.objects == len(objects) and not unwritten:
        shutil.rmtree(folder)
    return tally.objects


def proof(asked: ProofScope, clock: Clock = time.time) -> Proof:
    """Return what is found. Raises SourceError where AWS does not let itself be looked at."""
    began = clock()
    found = Proof(
        asked.unit.name,
        asked.stretch.start,
        asked.stretch.end,
        datetime.fromtimestamp(began, UTC),
        asked.locations,
        tuple(map(str, asked.journals)),
    )
    suspects: list[Judged] = []
    with tempfile.TemporaryDirectory(prefix="prove-") as folder, closing(FactTable(Path(folder))) as facts:
        signed, since = _gather(asked, facts, found)
        for name, known in facts.by_object():
            judged = judge(name, known, since)
            if judged and not belongs(judged, asked.stretch):
                continue
            if judged and is_suspect(judged) and len(suspects) < MOST_COPIES:
                suspects.append(judged)
            elif judged:
                _take(found, judged, asked, signed)
    for judged in settled(asked.unit, suspects):
        _take(found, judged, asked, signed)
    for gap in signed.gaps:
        found.find(gap)
    found.chains += signed.chains
    sample = [judged for _, _, judged in found.lottery]
    differs = list(differing(asked.unit, sample))
    found.sampled, found.same = len(sample), len(sample) - len(differs)
    for gap in differs:
        found.find(gap)
    return found


def _take(found: Proof, judged: Judged, asked: ProofScope, signed: Signatures) -> None:
    found.add(judged)
    found.draw(judged, asked.sample)
    found.compare(judged, signed.covered)


def _gather(asked: ProofScope, facts: FactTable, found: Proof) -> tuple[Signatures, int]:
    """Put down all that is known; returns what is signed, and since when (ms) things may be on their way.

    The journal comes after the bucket, and once more after the queue: what is settled meanwhile is seen.
    """
    unit, now = asked.unit, int(found.looked.timestamp() * 1000)
    client = unit.account.client("s3", unit.regions[0])
    digests: list[str] = []
    own = Access(BucketTrust(unit.service.name), kept=unit.kept).own

    def wanted(bucket: str, key: str) -> bool:
        return not f"{bucket}/{key}".startswith(own) and unit.options.key_filter(key)

    for location in asked.locations:
        listed = bucket_facts(client, location, asked.stretch, wanted, ListingCalls())
        facts.add(_without(listed, digests, signed=bool(unit.service.digests)))
        if unit.service.digests and LOGS in location:
            beside = location.replace(LOGS, DIGESTS)
            listed = bucket_facts(client, beside, asked.stretch, wanted, ListingCalls())
            digests += [fact.object for fact in listed]
    signed = _signed(asked, digests, facts, found)
    if (begins := begin_of(asked.journals)) and begins > asked.stretch.start.date():
        found.notes.append(f"what was delivered before {begins}: the journal has no older row")
    facts.add(_rows(asked))
    since = int(now - asked.grace * 1000)
    if facts.unexplained():
        named = unit.options.queues(unit.service.name)
        seen = look([Queue(unit.queue_account, region, queue) for region, queue in named], now)
        since = min(since, seen.since)
        facts.add(seen.facts)
        facts.add(_rows(asked, now))
    return signed, since


def _signed(asked: ProofScope, digests: Sequence[str], facts: FactTable, found: Proof) -> Signatures:
    """Verify what is signed, where objects of the service are."""
    unit = asked.unit
    if not unit.service.digests:
        return Signatures()
    if not digests:
        found.notes.append(
            "that nobody wrote, altered or deleted objects: no digests of these days are there"
        )
        return Signatures()
    most, region = unit.options.max_object_bytes, unit.regions[0]
    signer = Signer(unit.account.client, region, unit.service.digests, most, found.looked, asked.locations)
    return signatures(signer, digests, asked.stretch, facts.add)


def _without(listed: Iterable[Fact], digests: list[str], *, signed: bool) -> Iterator[Fact]:
    """Yield what holds events; digests are put aside."""
    for fact in listed:
        if signed and DIGESTS in fact.object and place_of(fact.object):
            digests.append(fact.object)
        else:
            yield fact


def _rows(asked: ProofScope, since: int = 0) -> Iterable[Fact]:
    rows = journal_facts(asked.journals, asked.unit.service.name, asked.stretch, since)
    inside = (row for row in rows if row.object.startswith(asked.locations))
    return _without(inside, [], signed=bool(asked.unit.service.digests))


def _asked(settings: Settings, wanted: ProofRequest) -> ProofScope:
    unit, stretch = unit_of(settings, wanted.service), Stretch(*between(wanted.start, wanted.end))
    journals = (journal_of(settings), *wanted.journal)
    for folder in journals:
        if isinstance(folder, Path) and not folder.is_dir():
            hint = "prove where the collector keeps its state, or name its journal in globals.journal"
            raise SettingsError("there is no journal", str(folder), hint)
    for location in wanted.location:
        bucket_and_prefix(location)
    found = tuple(wanted.location) or tuple(_configured(unit))
    if not found:
        found = tuple(f"s3://{name}/" for name in sorted(buckets(journals, unit.service.name, stretch)))
    if not found:
        hint = "name it: --location s3://BUCKET/PREFIX/"
        raise SettingsError(
            "neither configuration nor journal tells a bucket", f"--service {wanted.service}", hint
        )
    found = tuple(one if "/" in one.removeprefix("s3://") else f"{one}/" for one in found)
    return ProofScope(unit, stretch, found, journals, wanted.sample, wanted.grace)


def _configured(unit: ConfiguredService[ObjectsSettings]) -> Iterator[str]:
    """Yield where the configuration says that objects are."""
    if listing := unit.options.listing(unit.service.name):
        yield f"s3://{listing.bucket}/{listing.prefix}"
        return
    for one in unit.options.buckets:
        if "*" not in one.name + one.prefix:
            yield f"s3://{one.name}/{one.prefix}"


def _tell(found: Proof, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.buffer.write(orjson.dumps(text.report(found)) + b"\n")
    else:
        sys.stdout.writelines(f"{line}\n" for line in text.lines(found))
