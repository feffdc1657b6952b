"""CloudTrail's own word of what it delivered: digest files, each signed, each naming the one before it.

A digest lists the log files of an hour with the hash of their content, inflated. It is signed (SHA-256 with
RSA, PKCS #1 v1.5) over its end time, its place, the hash of its own content and the signature of the digest
before; public keys come from CloudTrail's ListPublicKeys. So nothing can be altered, left out or deleted
without a break in the chain. Read in AWS's "Custom implementations of CloudTrail log file integrity
validation", and kept to what `aws cloudtrail validate-logs` does.
"""

import binascii
import hashlib
import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime

import msgspec
from msgspec import Struct
from msgspec.structs import replace

MOST_BYTES = 64 << 20
"""Of a digest, inflated; AWS's are some hundred kilobytes."""

LOGS, DIGESTS = "/CloudTrail/", "/CloudTrail-Digest/"
"""Are part of the key of every log file of events, and of every digest."""

_NAME = re.compile(
    r"(?:^|/)AWSLogs/(?:o-[a-z0-9]+/)?(?P<account>\d{12})/CloudTrail-Digest/(?P<region>[a-z0-9-]+)/"
    r"\d{4}/\d\d/\d\d/\d{12}_CloudTrail-Digest_[a-z0-9-]+_(?P<trail>.+)_(?P<home>[a-z0-9-]+)_"
    r"(?P<end>\d{8}T\d{6}Z)(?P<backfill>_backfill)?\.json\.gz$"
)


class LogFile(Struct, frozen=True):
    """One log file that a digest names. hash: hex SHA-256 of its content, inflated."""

    bucket: str = msgspec.field(name="s3Bucket")
    key: str = msgspec.field(name="s3Object")
    hash: str = msgspec.field(name="hashValue")


class Digest(Struct, frozen=True):
    """One digest file's content, as far as it is looked at."""

    bucket: str = msgspec.field(name="digestS3Bucket")
    key: str = msgspec.field(name="digestS3Object")
    start: datetime = msgspec.field(name="digestStartTime")
    end_text: str = msgspec.field(name="digestEndTime")
    fingerprint: str = msgspec.field(name="digestPublicKeyFingerprint")
    previous_signature: str | None = msgspec.field(name="previousDigestSignature")
    previous_bucket: str | None = msgspec.field(name="previousDigestS3Bucket", default=None)
    previous_key: str | None = msgspec.field(name="previousDigestS3Object", default=None)
    logs: tuple[LogFile, ...] | None = msgspec.field(name="logFiles", default=None)

    @property
    def end(self) -> datetime:
        """Return until when the log files were delivered that it names."""
        return datetime.fromisoformat(self.end_text)


class DigestStored(Struct, frozen=True):
    """A digest as S3 has it. body: stored bytes. metadata: the object's own."""

    body: bytes
    metadata: Mapping[str, str]


class DigestVerdict(Struct, frozen=True):
    """What is known of one digest. problem: "" = it is valid. deleted: another one names it, it is not there.

    before: key of the one that was found before it although it names none: nothing was delivered in between.
    """

    bucket: str
    key: str
    problem: str = ""
    digest: Digest | None = None
    deleted: bool = False
    before: str = ""

    @property
    def name(self) -> str:
        """Return `s3://bucket/key`."""
        return f"s3://{self.bucket}/{self.key}"


class DigestInvalidError(ValueError):
    """A digest is not what CloudTrail has signed; the text says why."""


Fetch = Callable[[str, str], DigestStored | None]
"""Bucket and key → a digest, None when it is not there."""

Keys = Mapping[str, bytes]
"""Fingerprint → public key (PKCS #1, DER), as ListPublicKeys gives them."""

KeysFor = Callable[[Mapping[str, str]], Keys]
"""Metadata of a digest → the keys that it may be signed with."""


def place_of(key: str) -> Mapping[str, str] | None:
    """Return account, region, trail, home and end of a digest's key; None when it is not one."""
    found = _NAME.search(key)
    return found.groupdict("") if found else None


def end_of(key: str) -> datetime | None:
    """Return the end time that a digest's key says."""
    found = place_of(key)
    return datetime.strptime(found["end"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC) if found else None


def generated(metadata: Mapping[str, str]) -> datetime:
    """Return when a backfill digest was made: its keys are those of then. Raises DigestInvalidError."""
    try:
        found = datetime.fromisoformat(metadata["backfill-generation-timestamp"])
    except (KeyError, ValueError) as error:
        raise DigestInvalidError("it does not say when it was made") from error
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def walk(
    listed: Sequence[str], bucket: str, start: datetime, fetch: Fetch, keys: KeysFor
) -> Iterator[DigestVerdict]:
    """Yield a verdict on every digest of a chain, from the last one listed back to `start`.

    listed: keys of the bucket's digests of one account, region and trail, in order.
    """
    left = list(listed)
    key = left.pop() if left else ""
    reached = end_of(key) if key else None
    while key and reached and reached >= start:
        verdict = _verdict(bucket, key, fetch, keys)
        digest = verdict.digest
        if digest:
            reached = digest.start
        if digest and digest.previous_bucket and digest.previous_key:
            yield verdict
            bucket, key = digest.previous_bucket, digest.previous_key
        else:
            key = _before(left, key)
            yield replace(verdict, before=key if digest else "")


def _verdict(bucket: str, key: str, fetch: Fetch, keys: KeysFor) -> DigestVerdict:
    stored = fetch(bucket, key)
    if stored is None:
        return DigestVerdict(bucket, key, "it has been deleted", deleted=True)
    try:
        return DigestVerdict(bucket, key, digest=verified(bucket, key, stored, keys(stored.metadata)))
    except DigestInvalidError as error:
        return DigestVerdict(bucket, key, str(error))


def _before(left: list[str], key: str) -> str:
    """Return the last listed digest that ended before this one, "" when there is none."""
    limit = end_of(key)
    while left:
        found = left.pop()
        ended = end_of(found)
        if ended and (limit is None or ended < limit):
            return found
    return ""


def verified(bucket: str, key: str, stored: DigestStored, keys: Keys) -> Digest:
    """Return a digest whose place, key and signature are right. Raises DigestInvalidError."""
    content = _inflated(stored.body)
    try:
        digest = msgspec.json.decode(content, type=Digest)
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError) as error:
        raise DigestInvalidError("it is no digest") from error
    if (digest.bucket, digest.key) != (bucket, key):
        raise DigestInvalidError(f"it has been moved from s3://{digest.bucket}/{digest.key}")
    signature = stored.metadata.get("signature", "")
    if not signature or "signature-algorithm" not in stored.metadata:
        raise DigestInvalidError("it has no signature")
    if digest.fingerprint not in keys:
        raise DigestInvalidError(f"CloudTrail has no public key {digest.fingerprint}")
    if not _is_signed(digest, content, signature, keys[digest.fingerprint]):
        raise DigestInvalidError("its signature is wrong")
    return digest


def signed_text(digest: Digest, content: bytes) -> bytes:
    """Return what the signature of a digest is over."""
    parts = (
        digest.end_text,
        f"{digest.bucket}/{digest.key}",
        hashlib.sha256(content).hexdigest(),
        digest.previous_signature or "null",
    )
    return "\n".join(parts).encode()


def _is_signed(digest: Digest, content: bytes, signature: str, key: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - only a proof needs it
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey  # noqa: PLC0415
    from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import load_der_public_key  # noqa: PLC0415

    try:
        public = load_der_public_key(key)  # of PKCS #1 form, as ListPublicKeys gives it
        if not isinstance(public, RSAPublicKey):
            return False
        public.verify(binascii.unhexlify(signature), signed_text(digest, content), PKCS1v15(), SHA256())
    except (InvalidSignature, ValueError):
        return False
    return True


def _inflated(body: bytes) -> bytes:
    inflate = zlib.decompressobj(zlib.MAX_WBITS | 16)
    try:
        content = inflate.decompress(body, MOST_BYTES)
    except zlib.error as error:
        raise DigestInvalidError("it is not gzip") from error
    if inflate.unconsumed_tail:
        raise DigestInvalidError(f"it is larger than {MOST_BYTES} bytes")
    if not inflate.eof:
        raise DigestInvalidError("it is cut short")
    return content
