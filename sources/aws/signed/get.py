"""GetObject at a fraction of boto3's cost a call, for the many small objects that AWS writes.

The first object of a bucket is asked for by the client. From the request that it sent, host, path style and
signing region are learnt. Left out is what boto3 does anew for each call: endpoint rules, validation, user
agent, parsing thirty headers. Whatever does not end in a plain success is asked again through the client,
which knows retries, renewal, redirects and errors.
"""

import re
from functools import partial
from typing import Any
from urllib.parse import quote, urlsplit

from msgspec import Struct

from sources.aws.botocore_internals import receive_at_once, signing_credentials
from sources.aws.replies import sent_headers
from sources.aws.signed.hosts import Hosts
from sources.aws.signed.patience import Patience
from sources.aws.signed.sent import SentRequests
from sources.aws.signed.signature import Scope, SignedRequest, V4Signer, signed_by
from sources.aws.signed.wire import WireError
from sources.aws.spending.meter import Leaving

_DOTS = re.compile(r"(^|/)\.{0,2}(/|$)")
"""Path segments that proxies between here and S3 like to tidy up."""

_FOUND = frozenset({200, 206})
_HEADERS = {
    "Range": "range",
    "IfMatch": "if-match",
    "ExpectedBucketOwner": "x-amz-expected-bucket-owner",
    "RequestPayer": "x-amz-request-payer",
}
_TOLD = {"VersionId": b"x-amz-version-id", "ContentRange": b"content-range"}
_BUCKETS = 1000


class _BucketWay(Struct, frozen=True):
    """How a bucket is asked. base: scheme and host; path: before the key, encoded."""

    base: str
    host: str
    path: str
    scope: Scope
    agent: str


class SignedGet:
    """Stands for an S3 client where only `get_object` is called. Thread-safe, as the client is."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._ways: dict[str, _BucketWay] = {}
        self._patience = Patience()
        self._hosts: Hosts | None = None  # another botocore than this was written for: the client does it all
        try:
            self._signer = V4Signer(signing_credentials(client))
            self._hosts = Hosts(client)
            self._sent = SentRequests(client, "before-send.s3.GetObject")
        except AttributeError:
            self._hosts = None

    def get_object(self, **asked: str) -> Any:
        """Return boto3's reply: Body, ContentLength, ETag, what is told of `_TOLD`."""
        bucket = asked["Bucket"]
        way = self._ways.get(bucket)
        if way and self._hosts and not self._patience.rests and not _DOTS.search(asked["Key"]):
            found = self._ask(way, self._hosts, asked)
            if found is not None:
                return found
            self._ways.pop(bucket, None)  # learnt anew by the next success
        return self._by_client(asked)

    def _by_client(self, asked: dict[str, str]) -> Any:
        """Return the client's reply, and learn how it asked."""
        if self._hosts is None:
            reply, sent = self._client.get_object(**asked), None
        else:
            reply, sent = self._sent.during(partial(self._client.get_object, **asked))
        receive_at_once(reply.get("Body"))
        if len(self._ways) < _BUCKETS and (learnt := _learnt(sent, asked["Key"])):
            self._ways |= {asked["Bucket"]: learnt}
        return reply

    def _ask(self, way: _BucketWay, hosts: Hosts, asked: dict[str, str]) -> dict[str, Any] | None:
        """Return the reply, or None when the client should ask."""
        version = asked.get("VersionId")
        request = SignedRequest(
            "GET",
            way.host,
            way.path + quote(asked["Key"], safe="/~"),
            f"versionId={quote(version, safe='~')}" if version else "",
            {name: asked[key] for key, name in _HEADERS.items() if key in asked},
            agent=way.agent,
        )
        leaving = Leaving("s3", "GetObject", asked)
        try:
            body = hosts.wire(way.base).open(self._signer.signed(request, way.scope), leaving)
        except (WireError, ValueError):
            leaving.ended()
            self._patience.note(plain=False)
            return None
        self._patience.note(plain=True)
        if body.status not in _FOUND or b"etag" not in body.told:
            leaving.ended()
            body.close()
            return None
        said = {name: value.decode("latin-1") for name, value in body.told.items()}
        leaving.size = body.size
        leaving.ended({name.decode(): value.decode("latin-1") for name, value in body.told.items()})
        told = {name: said[header] for name, header in _TOLD.items() if header in said}
        return {"Body": body, "ContentLength": body.size, "ETag": said[b"etag"], **told}


def _learnt(request: Any, key: str) -> _BucketWay | None:
    """Return how botocore asked, when it did so in the plain way."""
    if request is None:
        return None
    headers = sent_headers(request)
    signed = signed_by(headers.get("authorization", ""))
    url, path = urlsplit(request.url), quote(key, safe="/~")
    if not signed or signed[0].service != "s3" or not url.path.endswith(f"/{path}"):
        return None
    base = f"{url.scheme}://{url.netloc}"
    return _BucketWay(base, url.netloc, url.path.removesuffix(path), signed[0], headers.get("user-agent", ""))
