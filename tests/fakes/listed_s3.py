"""An S3 whose buckets announce nothing: ListObjectsV2 and GetObject over keys that appear by a timetable."""

import hashlib
import threading
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple, Self
from urllib.parse import parse_qs, quote, unquote, urlsplit
from xml.sax.saxutils import escape

from tests.fakes.process import HOST


class Stored(NamedTuple):
    """An object. written: what S3 says of it. appears: from when on it is there, `time.time()`."""

    key: str
    body: bytes
    written: datetime
    appears: float = 0.0

    @property
    def etag(self) -> str:
        return hashlib.md5(self.body, usedforsecurity=False).hexdigest()


class ListedBucket:
    """A bucket as `list_objects_v2` shows it. clock: seconds; what appears later is not there yet.

    listed: prefixes that were asked for, one for each request.
    """

    def __init__(self, clock=time.time, page: int = 1000) -> None:
        self.clock, self.page = clock, page
        self.stored: dict[str, Stored] = {}
        self.listed: list[str] = []
        self._order: list[str] = []
        self._lock = threading.Lock()

    def put(self, objects: Iterable[Stored]) -> None:
        with self._lock:
            self.stored |= {one.key: one for one in objects}
            self._order = sorted(self.stored)

    def there(self, key: str) -> Stored | None:
        found = self.stored.get(key)
        return found if found and found.appears <= self.clock() else None

    def list_objects_v2(
        self,
        *,
        Prefix: str = "",  # noqa: N803 - boto3's
        Delimiter: str = "",  # noqa: N803
        ContinuationToken: str = "",  # noqa: N803
        **_: Any,
    ) -> dict[str, Any]:
        """Answer as S3 does; the token is the last key or folder of the page before."""
        with self._lock:
            self.listed.append(Prefix)
            entries: dict[str, Stored | None] = {}
            at = bisect_left(self._order, max(Prefix, ContinuationToken))
            while at < len(self._order) and self._order[at].startswith(Prefix) and len(entries) <= self.page:
                key = self._order[at]
                folder, cut, _rest = key[len(Prefix) :].partition(Delimiter) if Delimiter else ("", "", "")
                name = f"{Prefix}{folder}{cut}" if cut else key
                if self.there(key) and name > ContinuationToken:
                    entries[name] = None if cut else self.stored[key]
                at = bisect_left(self._order, f"{name}\U0010ffff") if name in entries and cut else at + 1
        shown = list(entries.items())[: self.page]
        reply: dict[str, Any] = {
            "CommonPrefixes": [{"Prefix": name} for name, one in shown if one is None],
            "Contents": [
                {"Key": one.key, "ETag": f'"{one.etag}"', "Size": len(one.body), "LastModified": one.written}
                for _, one in shown
                if one
            ],
            "IsTruncated": len(entries) > self.page,
        }
        return {**reply, "NextContinuationToken": shown[-1][0]} if reply["IsTruncated"] else reply


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """Stay silent when a client is killed."""


class ListedS3:
    """`with ListedS3() as s3: s3.bucket("b").put(…)`; `s3.url` is for AWS_ENDPOINT_URL. Counts its calls."""

    def __init__(self) -> None:
        self.buckets: dict[str, ListedBucket] = {}
        self.calls: Counter[str] = Counter()
        self._server = _Server((HOST, 0), _handler(self))
        self._server.daemon_threads = True
        self.url = f"http://{HOST}:{self._server.server_address[1]}"

    def bucket(self, name: str) -> ListedBucket:
        return self.buckets.setdefault(name, ListedBucket())

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def _xml(bucket: str, asked: dict[str, str], reply: dict[str, Any]) -> bytes:
    rows = [
        f"<Contents><Key>{quote(one['Key'])}</Key><LastModified>{one['LastModified']:%Y-%m-%dT%H:%M:%S.000Z}"
        f"</LastModified><ETag>{escape(one['ETag'])}</ETag><Size>{one['Size']}</Size></Contents>"
        for one in reply["Contents"]
    ]
    rows += [
        f"<CommonPrefixes><Prefix>{quote(one['Prefix'])}</Prefix></CommonPrefixes>"
        for one in reply["CommonPrefixes"]
    ]
    token = reply.get("NextContinuationToken")
    more = f"<NextContinuationToken>{escape(token)}</NextContinuationToken>" if token else ""
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"<Name>{bucket}</Name><Prefix>{quote(asked.get('prefix', ''))}</Prefix>"
        f"<EncodingType>url</EncodingType><IsTruncated>{str(reply['IsTruncated']).lower()}</IsTruncated>"
        f"{more}{''.join(rows)}</ListBucketResult>"
    ).encode()


def _handler(s3: ListedS3) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            name, _, key = unquote(parts.path).lstrip("/").partition("/")
            asked = {one: values[-1] for one, values in parse_qs(parts.query).items()}
            bucket = s3.buckets.get(name)
            if bucket is None:
                self._answer(404, b"<Error><Code>NoSuchBucket</Code></Error>")
            elif "list-type" in asked:
                s3.calls["ListObjectsV2"] += 1
                reply = bucket.list_objects_v2(
                    Prefix=asked.get("prefix", ""),
                    Delimiter=asked.get("delimiter", ""),
                    ContinuationToken=asked.get("continuation-token", ""),
                )
                self._answer(200, _xml(name, asked, reply))
            else:
                s3.calls["GetObject"] += 1
                self._object(bucket.there(key))

        def _object(self, found: Stored | None) -> None:
            if found is None:
                self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
                return
            told = {"ETag": f'"{found.etag}"', "Last-Modified": format_datetime(found.written, usegmt=True)}
            self._answer(200, found.body, told)

        def do_POST(self) -> None:
            """Be no other service."""
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self._answer(403, b"<ErrorResponse><Error><Code>AccessDenied</Code></Error></ErrorResponse>")

        def _answer(self, status: int, body: bytes, told: dict[str, str] | None = None) -> None:
            self.send_response(status)
            for header, value in {**(told or {}), "Content-Length": str(len(body))}.items():
                self.send_header(header, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Stay silent."""

    return Handler


def day(*parts: int) -> datetime:
    """Return a moment in UTC."""
    return datetime(*parts, tzinfo=UTC)
