"""Delivered objects, read again: are their bytes and their records those of the journal? One GET each."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from flows.catalogue.build import object_opener
from flows.catalogue.service import ConfiguredService
from flows.config.base import ObjectsSettings
from flows.proof.judge import Fate, Judged
from flows.proof.proof import Gap, place_of_object
from sources.objects.object_ref import ObjectRef
from sources.queues.s3 import S3Opener

_THREADS = 8


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
