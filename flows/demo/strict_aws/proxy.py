"""The strict AWS on the wire: a loopback proxy that lets through what AWS would, and answers the rest itself.

Requests pass unchanged, Host included, so the embedded AWS behind it still checks their signatures.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from flows.demo.fake_aws.wire import Reply
from flows.demo.strict_aws import rules
from flows.demo.strict_aws.state import StrictState

_SECONDS = 60.0
_OURS = frozenset({"connection", "content-length", "transfer-encoding", "keep-alive"})


@contextmanager
def strict_proxy(upstream: str, state: StrictState) -> Iterator[str]:
    """Serve until the block ends; yields the URL to ask instead of `upstream`."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(upstream, state))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="strict-aws", daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def _handler(upstream: str, state: StrictState) -> type[BaseHTTPRequestHandler]:
    host = urlsplit(upstream).netloc

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = rules.asked(self.command, self.path, headers, body)
            reply = rules.before(state, request) if request else None
            if reply is None:
                reply = self._forwarded(body)
                told = {name.lower(): value for name, value in reply.headers}
                reply = (rules.after(state, request, reply.status, told) if request else None) or reply
            self._send(reply)

        def _forwarded(self, body: bytes) -> Reply:
            connection = HTTPConnection(host, timeout=_SECONDS)
            try:
                connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
                for name, value in self.headers.items():
                    connection.putheader(name, value)
                connection.endheaders(body)
                found = connection.getresponse()
                return Reply(found.status, tuple(found.getheaders()), found.read())
            finally:
                connection.close()

        def _send(self, reply: Reply) -> None:
            kept = [(name, value) for name, value in reply.headers if name.lower() not in _OURS]
            length = next((v for n, v in reply.headers if n.lower() == "content-length"), len(reply.body))
            self.send_response_only(reply.status)
            for name, value in kept:
                self.send_header(name, value)
            self.send_header("Content-Length", str(length if self.command == "HEAD" else len(reply.body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(reply.body)

        do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815 - http.server's names

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    return Handler
