"""Seeded sample objects of every S3 type, with the events they must become.

What is expected comes from the generator's own data, never from our decoders. Every line is unique, so that a
line lost and a line repeated show. Keys follow the AWS layouts, with awkward characters in some.
"""

import random
from collections import Counter
from collections.abc import Callable, Iterable

from tests.fakes.corpus.cloudfront import cloudfront
from tests.fakes.corpus.cloudtrail import cloudtrail
from tests.fakes.corpus.common import ACCOUNT, REGION, Event, Sample
from tests.fakes.corpus.umbrella import umbrella
from tests.fakes.corpus.vpcflow import parquet, vpc

__all__ = ["ACCOUNT", "FULL", "REGION", "Event", "Sample", "corpus", "expected"]

FULL = {"cloudtrail": 100, "vpc": 100, "parquet": 40, "cloudfront": 60, "umbrella": 100}
"""The four hundred objects of the acceptance."""


_MAKERS: dict[str, Callable[[random.Random, int], Sample]] = {
    "cloudtrail": cloudtrail,
    "vpc": vpc,
    "parquet": parquet,
    "cloudfront": cloudfront,
    "umbrella": umbrella,
}


def corpus(counts: dict[str, int] | None = None, seed: int = 1) -> list[Sample]:
    """Return the objects: how many of each kind (`FULL` by default), the same ones for the same seed."""
    counts = FULL if counts is None else counts
    return [
        _MAKERS[kind](random.Random(f"{seed}/{kind}/{number}"), number)
        for kind, count in counts.items()
        for number in range(count)
    ]


def expected(samples: Iterable[Sample], *, auto: bool) -> Counter[tuple[str, bytes]]:
    """Return how often each (tag, line) must arrive. auto: `auto_event_type`."""
    return Counter(
        (event.tag_on if auto else event.tag_off, event.line)
        for sample in samples
        for event in sample.expected
    )
