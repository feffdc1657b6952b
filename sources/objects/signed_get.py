"""GetObject at well under half of boto3's cost a call, for the many small objects that AWS writes.

The first object of a bucket is asked for by the client. From the request that it sent, host, path style and
signing region are learnt; the next ones are signed by botocore's signer with the client's credentials and go
over the client's connections (proxy, CA, timeouts and all). Left out is what boto3 does anew for each call:
endpoint rules, validation, user agent, parsing thirty headers. Whatever does not end in a plain success is
asked again through the client, which knows retries, renewal, redirects and errors.
"""

import re
import threading
from typing import Any
from urllib.parse import quote, urlsplit

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.exceptions import BotoCoreError
from botocore.response import StreamingBody
from msgspec import Struct

from sources.aws.botocore_internals import OneReceive, http_session, receive_at_once, signing_credentials
from sources.aws.replies import sent_headers

_SIGNED = re.compile(r"AWS4-HMAC-SHA256 Credential=[^/]+/\d+/(?P<region>[^/]+)/s3/aws4_request,")
"""The plain way; access points of other services and directory buckets are signed in other ways."""

_DOTS = re.compile(r"(^|/)\.{0,2}(/|$)")
"""Path segments that HTTP libraries between here and S3 like to tidy up."""

_FOUND = frozenset({200, 206})
_HEADERS = {
    "Range": "Range",
    "IfMatch": "If-Match",
    "ExpectedBucketOwner": "x-amz-expected-bucket-owner",
    "RequestPayer": "x-amz-request-payer",
}
_TOLD = {"VersionId": "x-amz-version-id", "ContentRange": "Content-Range"}
_BUCKETS = 1000


class _Way(Struct, frozen=True):
    """How a bucket is asked. base: the URL before the key."""

    base: str
    region: str
    agent: str


class SignedGet:
    """Stands for an S3 client where only `get_object` is called. Thread-safe, as the client is."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._ways: dict[str, _Way] = {}
        self._sent = threading.local()
        self._session: Any = None  # None: another botocore than this was written for, the client does it all
        try:
            self._credentials = signing_credentials(client)
            self._session = http_session(client)
            client.meta.events.register("before-send.s3.GetObject", self._see)
        except AttributeError:
            self._session = None

    def get_object(self, **asked: str) -> Any:
        """Return boto3's reply: Body, ContentLength, ETag, what is told of `_TOLD`."""
        bucket = asked["Bucket"]
        way = self._ways.get(bucket)
        if way and not _DOTS.search(asked["Key"]):
            found = self._ask(way, asked)
            if found is not None:
                return found
            self._ways.pop(bucket, None)  # learnt anew by the next success
        self._sent.request = None
        reply = self._client.get_object(**asked)
        receive_at_once(reply.get("Body"))
        if self._session is not None and len(self._ways) < _BUCKETS:
            learnt = _learnt(self._sent.request, asked["Key"])
            self._ways |= {bucket: learnt} if learnt else {}
        return reply

    def _see(self, request: Any, **_: Any) -> None:
        self._sent.request = request

    def _ask(self, way: _Way, asked: dict[str, str]) -> dict[str, Any] | None:
        """Return the reply, or None when the client should ask."""
        version = asked.get("VersionId")
        request = AWSRequest(
            method="GET",
            url=way.base + quote(asked["Key"], safe="/~"),
            params={"versionId": version} if version else None,
            headers={name: asked[key] for key, name in _HEADERS.items() if key in asked},
            stream_output=True,
        )
        try:
            S3SigV4Auth(self._credentials.get_frozen_credentials(), "s3", way.region).add_auth(request)
            request.headers["User-Agent"] = way.agent
            reply = self._session.send(request.prepare())
        except BotoCoreError:
            return None
        found, size = reply.headers, reply.headers.get("Content-Length")
        if reply.status_code not in _FOUND or size is None or "ETag" not in found:
            reply.raw.close()
            return None
        told = {name: found[header] for name, header in _TOLD.items() if header in found}
        body = StreamingBody(OneReceive(reply.raw), size)
        return {"Body": body, "ContentLength": int(size), "ETag": found["ETag"], **told}


def _learnt(request: Any, key: str) -> _Way | None:
    """Return how botocore asked, when it did so in the plain way."""
    if request is None:
        return None
    headers = sent_headers(request)
    signed = _SIGNED.match(headers.get("authorization", ""))
    url, path = urlsplit(request.url), quote(key, safe="/~")
    if not signed or not url.path.endswith(f"/{path}"):
        return None
    base = f"{url.scheme}://{url.netloc}{url.path.removesuffix(path)}"
    return _Way(base, signed["region"], headers.get("user-agent", ""))
