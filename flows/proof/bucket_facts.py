"""What a bucket holds of a stretch of time, as facts. IAM: s3:ListBucket."""

from collections.abc import Callable, Iterator
from typing import Any

from flows.proof.facts import Fact, Witness
from flows.proof.judge import LEFT_OUT
from sources.listed.listing import ListingCalls, Stretch, entries


def bucket_facts(
    client: Any, location: str, stretch: Stretch, wanted: Callable[[str, str], bool], asked: ListingCalls
) -> Iterator[Fact]:
    """Yield a fact for each object below `s3://bucket/prefix`. Raises SourceError.

    wanted: tells of bucket and key whether the configuration has them collected.
    """
    bucket, _, prefix = location.removeprefix("s3://").partition("/")
    for entry in entries(client, bucket, prefix, stretch, asked):
        yield Fact(
            f"s3://{bucket}/{entry['Key']}",
            Witness.LISTED,
            entry["ETag"].strip('"'),
            "" if wanted(bucket, entry["Key"]) else LEFT_OUT,
            at=int(entry["LastModified"].timestamp() * 1000),
            size=entry["Size"],
        )
