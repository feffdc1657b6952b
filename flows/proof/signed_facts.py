"""What CloudTrail has signed, and what the bucket has of it: chains of digests, and the log files they name.

Every log file is read: a digest holds the hash of its content, inflated, and the journal that of its stored
bytes. IAM: s3:ListBucket, s3:GetObject, cloudtrail's ListPublicKeys.
"""

import hashlib
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from botocore.exceptions import ClientError
from msgspec import Struct, field

from flows.proof.digests import (
    MOST_BYTES,
    DigestStored,
    DigestVerdict,
    Keys,
    KeysFor,
    LogFile,
    end_of,
    generated,
    place_of,
    walk,
)
from flows.proof.facts import Fact, Witness
from flows.proof.judge import Fate
from flows.proof.proof import DigestChain, Gap
from sources.errors import translate
from sources.listed.listing import ListingCalls, Stretch, entries, told

_LATE, _KEYS_LATE, _AROUND = timedelta(hours=1), timedelta(hours=2), timedelta(hours=1)
"""As `aws cloudtrail validate-logs` has them: digests after the end, keys after it, keys around the
time when a backfill digest was made."""

_DUE = timedelta(hours=3)
"""A digest is of an hour and comes within the next: what ended longer ago must be signed."""

_THREADS, _CHUNK_BYTES = 16, 64 << 10
_STAMP = "%Y-%m-%dT%H:%M:%SZ"

INTACT = "intact"
"""State of a log file that is as it was signed."""

GetClient = Callable[[str, str], Any]
"""Service and region → boto3 client."""


class Signer(Struct, frozen=True):
    """Where digests and their keys are asked for.

    clients: of the service's identity. region: of the buckets. action: IAM's name of asking for public keys.
    most: bytes that a log file may inflate to. now: this machine's time. within: how names begin of what is
    proved: a chain may come from another bucket.
    """

    clients: GetClient
    region: str
    action: str
    most: int
    now: datetime
    within: tuple[str, ...] = ("",)

    def fetch(self, bucket: str, key: str) -> DigestStored | None:
        """Return a digest as it is stored, None when it is not there. Raises SourceError."""
        reply = self._object(bucket, key)
        if reply is None:
            return None
        with _reading(bucket, key):
            return DigestStored(reply["Body"].read(MOST_BYTES), reply["Metadata"])

    def keys(self, region: str, start: datetime, end: datetime) -> Keys:
        """Return CloudTrail's public keys of a region and time. Raises SourceError."""
        found: dict[str, bytes] = {}
        more: dict[str, str] = {}
        while True:
            try:
                client = self.clients(self.action.partition(":")[0], region)
                reply = client.list_public_keys(StartTime=start, EndTime=end, **more)
            except Exception as error:
                raise translate(error, f"public keys of {region}", self.action) from error
            found |= {key["Fingerprint"]: key["Value"] for key in reply["PublicKeyList"]}
            if not reply.get("NextToken"):
                return found
            more = {"NextToken": reply["NextToken"]}

    def check(self, log: LogFile) -> Fact:
        """Return what the bucket has of a log file: intact, modified or deleted. Raises SourceError."""
        name = f"s3://{log.bucket}/{log.key}"
        reply = self._object(log.bucket, log.key)
        if reply is None:
            return Fact(name, Witness.SIGNED, state=Fate.DELETED)
        stored, content = hashlib.sha256(), hashlib.sha256()
        with _reading(log.bucket, log.key):
            why = _hashed(reply["Body"], stored, content, self.most)
        if not why and content.hexdigest() != log.hash:
            why = "its content is not what was signed"
        state = Fate.MODIFIED if why else INTACT
        return Fact(name, Witness.SIGNED, reply["ETag"].strip('"'), state, sha256=stored.digest(), place=why)

    def _object(self, bucket: str, key: str) -> Any:
        with _reading(bucket, key):
            try:
                return self.clients("s3", self.region).get_object(Bucket=bucket, Key=key)
            except ClientError as error:
                if error.response["Error"]["Code"] == "NoSuchKey":
                    return None
                raise


@contextmanager
def _reading(bucket: str, key: str) -> Iterator[None]:
    """Translate what asking for an object raises, and what reading its body does: that is not asked again."""
    try:
        yield
    except Exception as error:
        raise translate(error, f"s3://{bucket}/{key}", "s3:GetObject") from error


class Signatures(Struct):
    """What has been found. covered: account and region → what valid digests cover."""

    chains: list[DigestChain] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    covered: dict[tuple[str, str], list[tuple[datetime, datetime]]] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)


def signatures(
    signer: Signer, listed: Iterable[str], stretch: Stretch, put: Callable[[Iterable[Fact]], object]
) -> Signatures:
    """Verify the chains of digests of a stretch.

    listed: `s3://bucket/key` of digests. put: takes a fact for each log file of the stretch. Log files that a
    digest names besides, from just before the stretch or of another bucket, are checked as well.
    """
    found = Signatures()
    for (bucket, place), keys in sorted(_chains(signer, set(listed), stretch).items()):
        _chain(signer, found, stretch, (bucket, dict(place), keys), put)
    return found


def _chain(
    signer: Signer,
    found: Signatures,
    stretch: Stretch,
    chain: tuple[str, Mapping[str, str], Sequence[str]],
    put: Callable[[Iterable[Fact]], object],
) -> None:
    bucket, place, listed = chain
    account, region = place["account"], place["region"]
    tally: Counter[str] = Counter()
    spans: list[tuple[datetime, datetime]] = []
    with ThreadPoolExecutor(_THREADS) as pool:
        for verdict in walk(listed, bucket, stretch.start, signer.fetch, _keys_of(signer, place, stretch)):
            if verdict.digest is None:
                tally["invalid"] += 1
                found.gaps.append(_digest_gap(verdict, account, region))
                continue
            if verdict.name in found.seen:
                continue
            found.seen.add(verdict.name)
            tally["valid"] += 1
            spans.append((verdict.digest.start, verdict.digest.end))
            if verdict.before:
                found.gaps.append(_chain_gap(verdict, account, region))
            checked = list(pool.map(signer.check, verdict.digest.logs or ()))
            tally["log files"] += sum(fact.state == INTACT for fact in checked)
            put(fact for fact in checked if _of(fact, stretch, signer.within))
            outside = [
                fact for fact in checked if not _of(fact, stretch, signer.within) and fact.state != INTACT
            ]
            found.gaps += [_log_gap(fact, account, region) for fact in outside]
    if place["backfill"]:
        region = f"{region} (backfill)"
    else:
        found.covered.setdefault((account, region), []).extend(_merged(spans))
        found.gaps += _ending(signer, stretch, chain)
    first = min((start for start, _ in spans), default=stretch.start)
    last = max((end for _, end in spans), default=stretch.start)
    counts = (tally["valid"], tally["invalid"], tally["log files"])
    found.chains.append(
        DigestChain(account, region, place["trail"], first.strftime(_STAMP), last.strftime(_STAMP), *counts)
    )


def _chains(
    signer: Signer, listed: set[str], stretch: Stretch
) -> dict[tuple[str, tuple[tuple[str, str], ...]], list[str]]:
    """Return the digests of each chain, oldest first: those that end in the stretch, or an hour later."""
    late = stretch.end + _LATE
    for root in {_root(name) for name in listed}:
        bucket, _, prefix = f"{root}{late:%Y/%m/%d}/".removeprefix("s3://").partition("/")
        client = signer.clients("s3", signer.region)
        after = Stretch(stretch.end, late + _LATE)
        more = entries(client, bucket, prefix, after, ListingCalls())
        listed |= {f"s3://{bucket}/{entry['Key']}" for entry in more}
    chains: dict[tuple[str, tuple[tuple[str, str], ...]], list[str]] = defaultdict(list)
    for name in listed:
        bucket, _, key = name.removeprefix("s3://").partition("/")
        place, ended = place_of(key), end_of(key)
        if place and ended and stretch.start <= ended <= late:
            chain = tuple((part, text) for part, text in place.items() if part != "end")
            chains[bucket, chain].append(key)
    return {chain: sorted(keys, key=lambda key: str(end_of(key))) for chain, keys in chains.items()}


def _root(name: str) -> str:
    """Return the folder of a digest's region, above the years."""
    return "/".join(name.split("/")[:-4]) + "/"


def _keys_of(signer: Signer, place: Mapping[str, str], stretch: Stretch) -> KeysFor:
    """Return what gives the public keys for a digest, by its metadata."""
    if not place["backfill"]:
        keys = signer.keys(place["region"], stretch.start, stretch.end + _KEYS_LATE)
        return lambda _metadata: keys

    def around(metadata: Mapping[str, str]) -> Keys:
        moment = generated(metadata)
        return signer.keys(place["region"], moment - _AROUND, moment + _AROUND)

    return around


def _merged(spans: Iterable[tuple[datetime, datetime]]) -> list[tuple[datetime, datetime]]:
    """Return spans with those made one that follow each other."""
    merged: list[tuple[datetime, datetime]] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((start, end))
    return merged


def _ending(
    signer: Signer,
    stretch: Stretch,
    chain: tuple[str, Mapping[str, str], Sequence[str]],
) -> Iterator[Gap]:
    """Tell when the last digests of a stretch are not there, which no later one names."""
    bucket, place, listed = chain
    ended = max((moment for moment in map(end_of, listed) if moment), default=stretch.start)
    due = min(stretch.end, signer.now - _DUE)
    if ended < due:
        detail = f"nothing is signed from {ended:{_STAMP}} to {due:{_STAMP}}"
        name = f"s3://{bucket}/{listed[-1]}"
        yield Gap(Fate.CHAIN_ENDS, name, f"{ended:%Y-%m-%d}", place["account"], place["region"], detail)


def _digest_gap(verdict: DigestVerdict, account: str, region: str) -> Gap:
    kind = Fate.DIGEST_DELETED if verdict.deleted else Fate.DIGEST_INVALID
    return Gap(kind, verdict.name, _day(verdict.key), account, region, verdict.problem)


def _chain_gap(verdict: DigestVerdict, account: str, region: str) -> Gap:
    digest = verdict.digest
    begins = digest.start.strftime(_STAMP) if digest else ""
    ended = end_of(verdict.before)
    detail = f"nothing was delivered from {ended:{_STAMP}} to {begins}" if ended else ""
    return Gap(Fate.CHAIN_GAP, verdict.name, _day(verdict.key), account, region, detail)


def _log_gap(fact: Fact, account: str, region: str) -> Gap:
    return Gap(Fate(fact.state), fact.object, "", account, region, fact.place)


def _day(key: str) -> str:
    ended = end_of(key)
    return f"{ended:%Y-%m-%d}" if ended else ""


def _of(fact: Fact, stretch: Stretch, within: tuple[str, ...]) -> bool:
    return (
        fact.object.startswith(within)
        and told(fact.object.removeprefix("s3://").partition("/")[2], stretch) is not False
    )


def _hashed(body: Any, stored: Any, content: Any, most: int) -> str:
    """Hash a gzip stream, as it is and inflated; return why it cannot be what was signed, "" = it may be."""
    inflate, size = zlib.decompressobj(zlib.MAX_WBITS | 16), 0
    try:
        for chunk in iter(partial(body.read, _CHUNK_BYTES), b""):
            stored.update(chunk)
            rest = chunk
            while rest and not inflate.eof:
                data = inflate.decompress(rest, _CHUNK_BYTES * 16)
                content.update(data)
                size += len(data)
                rest = inflate.unconsumed_tail
                if size > most:
                    return f"it inflates to more than {most} bytes"
            if inflate.unused_data or (inflate.eof and rest):
                return "there is more behind its end"
        content.update(inflate.flush())
    except zlib.error:
        return "it is not gzip"
    return ""
