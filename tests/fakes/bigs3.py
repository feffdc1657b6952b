"""An S3 that serves a few huge objects made of one repeated part, so that nobody has to hold them."""

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

from tests.fakes.process import HOST


@dataclass(frozen=True, slots=True)
class Repeated:
    """The bytes head, unit as often as `times`, tail. lines: how many events that is."""

    head: bytes
    unit: bytes
    times: int
    tail: bytes
    lines: int = 0

    @property
    def size(self) -> int:
        return len(self.head) + len(self.unit) * self.times + len(self.tail)

    @property
    def etag(self) -> str:
        return hashlib.md5(b"%d" % self.size + self.unit, usedforsecurity=False).hexdigest()

    def read_from(self, offset: int) -> Iterator[bytes]:
        """Yield the bytes from `offset` on, a part at a time."""
        for part in (self.head, *(self.unit for _ in range(self.times)), self.tail):
            if offset < len(part):
                yield part[offset:]
            offset = max(0, offset - len(part))


class BigS3:
    """`with BigS3() as s3: s3.objects["bucket/key"] = …`; `s3.url` is for AWS_ENDPOINT_URL_S3."""

    def __init__(self) -> None:
        self.objects: dict[str, Repeated] = {}
        self._server = ThreadingHTTPServer((HOST, 0), _handler(self.objects))
        self._server.daemon_threads = True
        self.url = f"http://{HOST}:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def notice(bucket: str, key: str, size: int, etag: str) -> str:
    """Return the S3 notification of one new object."""
    item = {"bucket": {"name": bucket}, "object": {"key": key, "size": size, "eTag": etag, "sequencer": "1"}}
    record = {"eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "awsRegion": "us-east-1", "s3": item}
    return json.dumps({"Records": [{"eventVersion": "2.1", **record}]})


def _handler(objects: dict[str, Repeated]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            found = objects.get(self.path.partition("?")[0].lstrip("/"))
            if found is None:
                self.send_error(404)
                return
            asked = re.match(r"bytes=(\d+)-$", self.headers.get("Range", ""))
            offset = int(asked[1]) if asked else 0
            self.send_response(206 if asked else 200)
            self.send_header("Content-Length", str(found.size - offset))
            self.send_header("ETag", f'"{found.etag}"')
            if asked:
                self.send_header("Content-Range", f"bytes {offset}-{found.size - 1}/{found.size}")
            self.end_headers()
            try:
                for part in found.read_from(offset):
                    self.wfile.write(part)
            except OSError:
                self.close_connection = True  # the client has had enough

        def log_message(self, *_: object) -> None:
            """Stay silent."""

    return Handler
