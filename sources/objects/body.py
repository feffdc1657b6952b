"""The stored bytes of one S3 object, read forward; a lost connection is taken up again where it broke.

botocore retries calls, never bodies: a GetObject body that is cut, truncated or stalled raises in the middle
of a read. Then the rest is asked for by range, of the same version (If-Match), so no byte comes twice.
"""

import hashlib
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from botocore.exceptions import BotoCoreError, ClientError, FlexibleChecksumError
from msgspec import Struct
from urllib3.exceptions import HTTPError

from sources.bulkheads import bytes_came
from sources.errors import ObjectBroken, ObjectChanged, SlowBody, SourceError, Transient, translate
from sources.objects.object_ref import ObjectRef

OBJECT_ACTION, VERSION_ACTION = "s3:GetObject", "s3:GetObjectVersion"
"""What GetObject needs without and with VersionId."""

ATTEMPTS = 5
"""Connections in a row that may break without a byte of progress."""

SLOW_WINDOWS = 2
"""Windows of one object under its least throughput after which it is left for later."""

_LOST = (BotoCoreError, HTTPError, OSError)


class ObjectGetter(Protocol):
    """boto3's client of S3, as far as it is used."""

    def get_object(self, **asked: str) -> dict[str, Any]:
        """`Body`, `ContentLength`, `ETag`, `VersionId`, `ContentRange`."""


class BodyOptions(Struct, frozen=True):
    """by_version: ask for the version that is announced; else for the current one, which must be it.

    more: parameters of every GetObject. floor: least bytes per second, over `window` seconds of waiting for
    them; a body below it is opened anew behind what came, then given up for now. clock: of seconds.
    """

    by_version: bool = True
    more: Mapping[str, str] = {}
    floor: int = 1024
    window: float = 10.0
    clock: Callable[[], float] = time.monotonic


_PLAIN = BodyOptions()


class Body:
    """An open object. etag, version: of the bytes that are read, version "" = unknown; size: of all of them.

    Opening and reading raise SourceError, named `where`; ObjectChanged where the current version is not the
    announced one. pause: waits between attempts, seconds.
    """

    def __init__(
        self,
        client: ObjectGetter,
        ref: ObjectRef,
        where: str,
        pause: Callable[[float], None] = time.sleep,
        options: BodyOptions = _PLAIN,
    ) -> None:
        self._client, self._where, self._pause = client, where, pause
        self._asked = {"Bucket": ref.bucket, "Key": ref.key, **options.more}
        self._by_version = options.by_version and bool(ref.version_id)
        if self._by_version:
            self._asked["VersionId"] = ref.version_id
        self._failures = self._slow = 0
        self._options = options
        self._waited, self._came = 0.0, 0
        self.offset = 0
        self._hash: Any = None
        reply = self._whole(ref)
        self.size: int = reply["ContentLength"]
        self.etag: str = reply["ETag"]
        self.version: str = reply.get("VersionId", "")
        self._stream: Any = reply["Body"]

    def read(self, n: int) -> bytes:
        """Return the next bytes, at most n and at least one; b"" at the end."""
        while True:
            self._hurry()
            began = self._options.clock()
            try:
                data: bytes = self._stream.read(n)
            except FlexibleChecksumError as error:
                raise ObjectBroken(f"the checksum differs ({error})", self._where, "read again") from error
            except _LOST as error:
                if self.offset >= self.size:
                    return b""
                self._waited += self._options.clock() - began
                self._resume(error)
                continue
            self._waited += self._options.clock() - began
            if data:
                self.offset += len(data)
                self._came += len(data)
                bytes_came()
                if self._hash:
                    self._hash.update(data)
                self._failures = 0
            elif self.offset < self.size:
                self._resume(EOFError(f"{self.size - self.offset} bytes are missing"))
                continue
            return data

    def _hurry(self) -> None:
        """Open the rest anew when too little came while it was waited for; raises when that is in vain."""
        if self._waited < self._options.window or self.offset >= self.size:
            return
        came, waited = self._came, self._waited
        self._waited, self._came = 0.0, 0
        if came >= self._options.floor * waited:
            return
        self._slow += 1
        what = f"{came} bytes came in {waited:.0f} s, at least {self._options.floor} a second are expected"
        if self._slow >= SLOW_WINDOWS:
            raise SlowBody(what, self._where, "check the network and proxies; it is tried again later")
        self._resume(TimeoutError(what))

    def hashed(self) -> "Body":
        """Have what is read from now on hashed; returns itself."""
        self._hash = hashlib.sha256()
        return self

    @property
    def sha256(self) -> bytes:
        """Return the hash of all stored bytes; b"" until they are read, and where none was wanted."""
        return self._hash.digest() if self._hash and self.offset >= self.size else b""

    def close(self) -> None:
        """Give the connection back, or drop it when not all was read."""
        self._stream.close()

    def _whole(self, ref: ObjectRef) -> dict[str, Any]:
        """Open the object; a part of it that passes for the whole would look like a damaged object."""
        current = bool(ref.version_id) and not self._by_version
        reply = self._get(**({"IfMatch": f'"{ref.etag}"'} if current and ref.etag else {}))
        if current and not ref.etag and reply.get("VersionId") != ref.version_id:
            reply["Body"].close()
            raise ObjectChanged(
                "the current version is another one", self._where, "it is asked for by version"
            )
        same = bool(ref.version_id) or reply["ETag"].strip('"') == ref.etag
        wrong = same and ref.size >= 0 and reply["ContentLength"] != ref.size
        if wrong and not self._is_all(reply):
            reply["Body"].close()
            what = f"the reply has {reply['ContentLength']} of {ref.size} bytes"
            raise Transient(what, self._where, "check proxies in between; tried again")
        return reply

    def _is_all(self, reply: dict[str, Any]) -> bool:
        """Tell whether a reply has the size that S3 tells with a single byte: then the notice is wrong."""
        try:
            one = self._get(Range="bytes=0-0", IfMatch=reply["ETag"])
        except ObjectChanged:  # of an empty object there is no first byte
            return bool(reply["ContentLength"] == 0)
        one["Body"].close()
        return str(one.get("ContentRange", "")).endswith(f"/{reply['ContentLength']}")

    def _get(self, **more: str) -> dict[str, Any]:
        try:
            reply = self._client.get_object(**self._asked, **more)
        except Exception as error:
            action = VERSION_ACTION if self._by_version else OBJECT_ACTION
            raise translate(error, self._where, action) from error
        if "ETag" not in reply or "ContentLength" not in reply:
            reply["Body"].close()
            raise Transient("the reply is not S3's", self._where, "check proxies in between; tried again")
        return reply

    def _resume(self, error: Exception) -> None:
        """Open the rest; raises when that fails too often, or when there is no such rest any more."""
        self.close()
        while True:
            self._failures += 1
            if self._failures >= ATTEMPTS:
                raise Transient(
                    f"reading broke {ATTEMPTS} times at byte {self.offset} ({error})",
                    self._where,
                    "it is tried again later",
                ) from error
            self._pause(0.1 * 2.0**self._failures)
            try:
                self._stream = self._rest()["Body"]
            except Transient:
                continue
            return

    def _rest(self) -> dict[str, Any]:
        reply = self._get(Range=f"bytes={self.offset}-", IfMatch=self.etag)
        if reply["ETag"] != self.etag:
            reply["Body"].close()
            raise ObjectChanged("it was overwritten while it was read", self._where, "it is read again")
        if reply["ContentLength"] != self.size - self.offset:
            reply["Body"].close()
            raise Transient("the reply is not the range asked for", self._where, "it is tried again")
        return reply


def told_region(error: SourceError) -> str:
    """Return the region that S3 says a bucket is in, when that is what it answers; else ""."""
    cause = error.__cause__
    if not isinstance(cause, ClientError):
        return ""
    told: Any = cause.response
    headers = told.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    redirects = (
        "PermanentRedirect",
        "AuthorizationHeaderMalformed",
        "IllegalLocationConstraintException",
        "301",
    )
    if told.get("Error", {}).get("Code") not in redirects:
        return ""
    return str(headers.get("x-amz-bucket-region") or told["Error"].get("Region") or "")
