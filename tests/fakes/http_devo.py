"""Devo's HTTP input for tests: stream mode with token and domain, keep-alive, and bad manners by plan.

    with HttpDevo(plan=[answering(503, retry_after="1"), hang_up]) as devo:
        ...             # the first request gets 503, the second no answer, all others are taken
        devo.lines      # tag → lines that were taken
        devo.requests   # everything that was asked, with what it was answered

    python -m tests.fakes.http_devo FOLDER PORT [CERT KEY]     # a process of its own, lines in FOLDER/<tag>

What becomes of a request is a `Manner`: a function of the receiver and the request's handler. The real one is
known from its documentation only: which of 400, 401, 403 and 404 it answers to what is a guess.
"""

import contextlib
import socket
import ssl
import struct
import sys
import threading
import zlib
from collections import defaultdict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self, TypeAlias
from urllib.parse import unquote

from tests.fakes.certs import Certs

DOMAIN, TOKEN = "acme", "planted-http-token"
LIMIT_BYTES = 32_000_000

Manner: TypeAlias = Callable[["HttpDevo", "Handler"], None]
_RESET = struct.pack("ii", 1, 0)


@dataclass(slots=True)
class Request:
    """One request. connection: its number, from 1. size: bytes on the wire. status: 0 without an answer."""

    path: str
    connection: int
    headers: dict[str, str]
    size: int
    lines: list[bytes] = field(default_factory=list)
    status: int = 0

    @property
    def tag(self) -> str:
        return unquote(self.path.rpartition("/")[2])


class HttpDevo:
    """Listens on loopback until closed. certs None: plain HTTP. behaves: the manner after `plan`."""

    def __init__(
        self,
        certs: Certs | None = None,
        plan: Iterable[Manner] = (),
        behaves: Manner | None = None,
        *,
        limit: int = LIMIT_BYTES,
        port: int = 0,
        keep: Path | None = None,
    ) -> None:
        self.plan, self.behaves, self.limit, self.keep = deque(plan), behaves or take, limit, keep
        self.requests: list[Request] = []
        self.lines: defaultdict[str, list[bytes]] = defaultdict(list)
        self.connections = 0
        self.over = threading.Event()
        self.lock = threading.Lock()
        self._context = None if certs is None else _context(certs)
        self._server = _Server(("127.0.0.1", port), self._context, self)
        self.port: int = self._server.server_address[1]
        self.url = f"http{'s' if certs else ''}://127.0.0.1:{self.port}"
        self._spawn()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def all_lines(self) -> list[bytes]:
        """Lines of all tags."""
        return [line for lines in self.lines.values() for line in lines]

    def stop_listening(self) -> None:
        """Refuse new connections and reset the open ones."""
        self._server.shutdown()
        self._server.drop()
        self._server.server_close()

    def listen_again(self) -> None:
        """Listen on the same port as before."""
        self._server = _Server(("127.0.0.1", self.port), self._context, self)
        self._spawn()

    def close(self) -> None:
        """End everything."""
        self.over.set()
        self.stop_listening()

    def _spawn(self) -> None:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, address: tuple[str, int], context: ssl.SSLContext | None, devo: HttpDevo) -> None:
        self.devo, self.context = devo, context
        self._open: set[socket.socket] = set()
        super().__init__(address, Handler)

    def finish_request(self, request: Any, client_address: Any) -> None:
        with self.devo.lock:
            self.devo.connections += 1
            self._open.add(request)
        try:
            if self.context is not None:
                request.getpeername()  # of one that is reset already, `wrap_socket` would lose the descriptor
                request = self.context.wrap_socket(request, server_side=True)
            super().finish_request(request, client_address)
        except OSError:
            pass  # the peer broke off, or this receiver is closing
        finally:
            with contextlib.suppress(OSError):
                request.close()

    def drop(self) -> None:
        for sock in list(self._open):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)


class Handler(BaseHTTPRequestHandler):
    """One connection; `do_POST` is called for each request on it."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server
    request_now: Request

    def setup(self) -> None:
        super().setup()
        self.number = self.server.devo.connections

    def do_POST(self) -> None:
        devo = self.server.devo
        size = int(self.headers["Content-Length"])
        self.request_now = Request(self.path, self.number, dict(self.headers), size)
        with devo.lock:
            devo.requests.append(self.request_now)
            manner = devo.plan.popleft() if devo.plan else devo.behaves
        manner(devo, self)

    def read_body(self) -> list[bytes]:
        """Read the whole body and return its lines."""
        body = self.rfile.read(self.request_now.size)
        if len(body) < self.request_now.size:
            raise ConnectionError("the body broke off")
        if self.headers.get("Content-Encoding") == "gzip":
            body = zlib.decompress(body, zlib.MAX_WBITS | 16)
        assert body.endswith(b"\n")
        self.request_now.lines = body[:-1].split(b"\n")
        return self.request_now.lines

    def reply(self, status: int, retry_after: str | None = None, body: bytes = b"") -> None:
        """Answer."""
        self.request_now.status = status
        self.send_response(status)
        if retry_after is not None:
            self.send_header("Retry-After", retry_after)
        self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def break_off(self) -> None:
        """Reset the connection."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Say nothing: the log would hold the token."""


def take(devo: HttpDevo, handler: Handler) -> None:
    """Keep the events and answer 200, if token and domain are right: how Devo is."""
    if handler.request_now.size > devo.limit:
        early(413)(devo, handler)
        return
    lines = handler.read_body()
    parts = handler.path.split("/")
    if parts[1] != "stream" or len(parts) != 6:
        handler.reply(404)
    elif (parts[2], parts[3]) != (DOMAIN, f"token!{TOKEN}"):
        handler.reply(401)
    else:
        keep(devo, handler.request_now.tag, lines)
        handler.reply(200)


def keep(devo: HttpDevo, tag: str, lines: list[bytes]) -> None:
    """Take lines in; on disk before anyone is told, when there is a folder."""
    with devo.lock:
        devo.lines[tag] += lines
        if devo.keep is not None:
            with (devo.keep / tag).open("ab", buffering=0) as file:
                file.write(b"".join(line + b"\n" for line in lines))


def answering(status: int, retry_after: str | None = None, body: bytes = b"") -> Manner:
    """Return the manner: read the request, throw it away and answer so."""

    def manner(_devo: HttpDevo, handler: Handler) -> None:
        handler.read_body()
        handler.reply(status, retry_after, body)

    return manner


def early(status: int) -> Manner:
    """Return the manner: answer without reading the body, and close."""

    def manner(_devo: HttpDevo, handler: Handler) -> None:
        handler.close_connection = True
        handler.reply(status)

    return manner


def raw(answer: bytes) -> Manner:
    """Return the manner: take the events, write these bytes for an answer, and close."""

    def manner(devo: HttpDevo, handler: Handler) -> None:
        keep(devo, handler.request_now.tag, handler.read_body())
        handler.wfile.write(answer)
        handler.close_connection = True

    return manner


def drip(devo: HttpDevo, handler: Handler) -> None:
    """Answer one byte at a time, without an end."""
    handler.read_body()
    with contextlib.suppress(OSError):
        while not devo.over.wait(0.02):
            handler.wfile.write(b"H")
    handler.close_connection = True


def hang_up(_devo: HttpDevo, handler: Handler) -> None:
    """Read the request and close without an answer."""
    handler.read_body()
    handler.close_connection = True


def lose_answer(devo: HttpDevo, handler: Handler) -> None:
    """Take the events, then reset: the sender cannot know."""
    keep(devo, handler.request_now.tag, handler.read_body())
    handler.break_off()


def reset_in_body(_devo: HttpDevo, handler: Handler) -> None:
    """Reset in the middle of the body."""
    handler.rfile.read(min(100, handler.request_now.size))
    handler.break_off()


def silent(devo: HttpDevo, handler: Handler) -> None:
    """Read the request and never answer."""
    handler.read_body()
    devo.over.wait()
    handler.close_connection = True


def take_and_close(devo: HttpDevo, handler: Handler) -> None:
    """Take the events, answer, and close the connection without a word, as balancers do."""
    take(devo, handler)
    handler.close_connection = True


def _context(certs: Certs) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certs.server_cert, certs.server_key)
    return context


def main() -> None:
    folder, port, *files = sys.argv[1:]
    pair = [Path(file) for file in files]
    certs = Certs(pair[0], pair[0], pair[1], pair[0], pair[1]) if pair else None
    with HttpDevo(certs, port=int(port), keep=Path(folder)) as devo:
        devo.over.wait()


if __name__ == "__main__":
    main()
