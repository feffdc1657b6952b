"""Opens objects the way their bucket lets itself be read; what an answer teaches is remembered, in bounds.

region    a notice may tell none or a wrong one: S3 tells the right one, and from then on that is asked
version   GET with VersionId needs s3:GetObjectVersion, GET without it s3:GetObject (Amazon S3 API
          Reference, GetObject). Under a policy of s3:GetObject alone the current version is asked for, and
          only if it is the announced one: `If-Match` with its etag, else by the version that the reply tells
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeVar

from botocore.exceptions import ClientError

from sources import telemetry
from sources.aws.account import Account
from sources.aws.signed.get import SignedGet
from sources.errors import Denied, ObjectChanged, ObjectGone, SourceError
from sources.objects.body import VERSION_ACTION, Body, BodyOptions, told_region
from sources.objects.object_ref import ObjectRef
from transforms.locks import Guard, guarded

_T = TypeVar("_T")

_BUCKETS, _REGIONS = 10_000, 64
"""Buckets of which something is remembered; the one longest unused is forgotten."""

_LOCKS = (Guard("_lock", ("_regions", "_versionless", "_getters")),)


@guarded(_LOCKS)
class BucketReader:
    """Opens objects for one service as one identity. Thread-safe.

    requester_pays: agree to be charged where a bucket asks for it. follows: tells whether S3's word for a
    bucket's region may lead there from the region that was asked.
    """

    def __init__(
        self,
        service: str,
        account: Account,
        *,
        requester_pays: bool = False,
        follows: Callable[[str, str], bool] = lambda _told, _asked: True,
    ) -> None:
        self._service, self._account, self._follows = service, account, follows
        self._agreed = {"RequestPayer": "requester"} if requester_pays else {}
        self._regions: OrderedDict[str, str] = OrderedDict()
        self._versionless: OrderedDict[str, None] = OrderedDict()
        self._getters: OrderedDict[str, tuple[object, SignedGet]] = OrderedDict()
        self._lock = threading.RLock()

    def open(self, ref: ObjectRef, region: str, owner: str = "") -> Body:
        """Return an object's bytes, from the region that its bucket is known to be in, else from `region`.

        owner: the account that the bucket must be of, "" = any. Raises SourceError that names bucket, key and
        who asked.
        """
        with self._lock:
            region = self._regions.get(ref.bucket) or region
        where = f"{ref.uri}{f', expected to be of account {owner}' * bool(owner)} ({self._account.where})"
        more = {**self._agreed, **({"ExpectedBucketOwner": owner} if owner else {})}
        try:
            return self._version(partial(Body, self._getter(region), ref, where), ref, more)
        except SourceError as error:
            told = told_region(error)
            if not told or told == region or not self._follows(told, region):
                raise
            with self._lock:
                _remember(self._regions, ref.bucket, told, _BUCKETS)
            return self._version(partial(Body, self._getter(told), ref, where), ref, more)

    def _version(self, opened: Callable[..., Body], ref: ObjectRef, more: Mapping[str, str]) -> Body:
        """Open the announced version, in whichever way the identity may ask for it."""
        announced, current = BodyOptions(more=more), BodyOptions(by_version=False, more=more)
        if not ref.version_id:
            return opened(options=announced)
        with self._lock:
            versionless = ref.bucket in self._versionless
        if versionless:
            try:
                return opened(options=current)
            except (ObjectGone, ObjectChanged):  # its version may well be there, behind a newer one
                return opened(options=announced)
        try:
            return opened(options=announced)
        except Denied as error:
            if not _of_version(error):
                raise
            try:
                body = opened(options=current)
            except (Denied, ObjectGone, ObjectChanged):
                raise error from error.__cause__
            with self._lock:
                _remember(self._versionless, ref.bucket, None, _BUCKETS)
            telemetry.versions_denied(self._service, error)
            return body

    def _getter(self, region: str) -> SignedGet:
        client = self._account.client("s3", region)
        with self._lock:
            made, getter = self._getters.get(region, (None, None))
            if getter is None or made is not client:  # an account forgets clients, and makes others anew
                getter = SignedGet(client)
                _remember(self._getters, region, (client, getter), _REGIONS)
            return getter


def _remember(learnt: "OrderedDict[str, _T]", name: str, what: _T, most: int) -> None:
    learnt[name] = what
    if len(learnt) > most:
        learnt.popitem(last=False)


def _of_version(error: Denied) -> bool:
    """Tell whether it may be the version that was refused: it is named so, or nothing is named."""
    cause = error.__cause__
    code = cause.response.get("Error", {}).get("Code") if isinstance(cause, ClientError) else ""
    return code == "AccessDenied" and error.cause.startswith(f"{VERSION_ACTION} ")
