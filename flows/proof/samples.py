"""Objects read again: are the bytes and records of delivered ones those of the journal? One GET each.

Who copies an object onto itself, to encrypt it or to change its class, gives it another etag and the same
bytes: what seems to be changed, and is as long as what was delivered, is read before that is said.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from msgspec.structs import replace

from flows.catalogue.build import object_opener
from flows.catalogue.service import ConfiguredService
from flows.config.base import ObjectsSettings
from flows.proof.judge import Fate, Judged, outcome
from flows.proof.proof import Gap, place_of_object
from sources.objects.object_ref import ObjectRef
from sources.queues.s3 import S3Opener

_THREADS = 8
MOST_COPIES = 10_000
"""Read because they seem to be changed; of further ones the etag decides."""


def differing(unit: ConfiguredService[ObjectsSettings], sample: Sequence[Judged]) -> Iterator[Gap]:
    """Yield a gap for each object that is not as it was delivered. Raises SourceError."""
    opener, _ = object_opener(unit)
    opener.journaled = True
    with ThreadPoolExecutor(_THREADS) as pool:
        for judged, why in zip(sample, pool.map(lambda one: _why(opener, one), sample), strict=True):
            if why:
                yield Gap(Fate.SAMPLE_DIFFERS, judged.name, *place_of_object(judged), why)


def _why(opener: S3Opener, judged: Judged) -> str:
    """Return how an object differs from its row, "" = it does not."""
    bucket, _, key = judged.name.removeprefix("s3://").partition("/")
    rows = [batch.row for batch in opener.one(ObjectRef(bucket, key)) if batch.row]
    if not rows or judged.row is None:
        return "it could not be read to its end"
    now, then = rows[-1], judged.row
    if then.sha256 and now.sha256 and now.sha256 != then.sha256:
        return f"SHA-256 {then.sha256.hex()} was delivered, it has {now.sha256.hex()}"
    if now.outcome != "delivered" or now.records != then.records:
        return f"{then.records} records were delivered, it has {now.records}"
    return ""


def is_suspect(judged: Judged) -> bool:
    """Tell whether an object that seems to be changed may be a copy of what was delivered."""
    row, listed = judged.row, judged.listed
    changed = judged.verdict is Fate.CHANGED and row is not None and listed is not None
    return bool(changed and row and listed and row.sha256 and row.size == listed.size)


def settled(unit: ConfiguredService[ObjectsSettings], suspects: Sequence[Judged]) -> Iterator[Judged]:
    """Yield each suspect, with the verdict that its bytes demand. Raises SourceError."""
    opener, _ = object_opener(unit)
    opener.journaled = True
    with ThreadPoolExecutor(_THREADS) as pool:
        same = pool.map(lambda one: _sha256(opener, one), suspects)
        for judged, found in zip(suspects, same, strict=True):
            row = judged.row
            if row and found == row.sha256:
                yield replace(judged, verdict=outcome(row), detail=f"copied: etag {row.etag} then")
            else:
                yield judged


def _sha256(opener: S3Opener, judged: Judged) -> bytes:
    bucket, _, key = judged.name.removeprefix("s3://").partition("/")
    rows = [batch.row for batch in opener.one(ObjectRef(bucket, key)) if batch.row]
    return rows[-1].sha256 if rows else b""
