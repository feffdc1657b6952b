"""A loopback HTTP/1.1 proxy between boto3 and any AWS emulator that injects faults on plan.

    with FaultProxy("http://127.0.0.1:5566") as proxy:
        client = boto3.client("sqs", endpoint_url=proxy.url, …)
        proxy.add(op="sqs.DeleteMessage*", do="error", code="ThrottlingException", times=3)
        …
        proxy.log   # [Call(op="sqs.ReceiveMessage", outcome="200", size=312), …]

What a rule does (`do`; numbers in brackets are its fields):

    error     answer an error in the service's wire form (code, status, message); upstream is not called
    rate      a token bucket (rate per second, burst): the error, as above, when it is empty
    reset     RST before upstream sees the request
    hang      never answer, until the client gives up
    junk      status 200 with an HTML page of `size` bytes, as a proxy in between would answer
    call      run the function `then` first (delete a group, end a session), then pass on
    latency   wait `seconds`, then pass on
    lost      upstream carries the request out, its reply is lost (RST)
    truncate  Content-Length in full but only `size` bytes of body (default half), then FIN
    short     `size` bytes of body with a Content-Length that fits: half a JSON text in a whole reply
    cut       as truncate, then RST
    stall     as truncate, then silence
    drip      the reply in pieces of `size` bytes, `seconds` apart
    corrupt   one bit of byte `size` flipped

A rule applies to `op` (fnmatch on `service.Operation`) and `path` (substring of the request path, an S3 key),
skips its first `after` matches, fires `times` times (None: for ever), each time with `probability`. The
first rule that fires decides.
"""

import asyncio
import contextlib
import random
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Literal, Self
from urllib.parse import urlsplit

from flows.demo.wire import Reply, operation
from tests.fakes.fake_aws.control import error_reply, throttled

Fault = Literal[
    "error",
    "rate",
    "reset",
    "hang",
    "junk",
    "call",
    "latency",
    "lost",
    "truncate",
    "short",
    "cut",
    "stall",
    "drip",
    "corrupt",
]
_BUFFER = 1 << 20
_HOP_BY_HOP = frozenset({"connection", "expect", "transfer-encoding", "content-length"})


@dataclass(slots=True)
class Rule:
    """One planned fault; `seen` and `fired` count what it met. Not shared between proxies."""

    do: Fault
    op: str = "*"
    path: str = ""
    after: int = 0
    times: int | None = None
    probability: float = 1.0
    code: str = ""
    status: int = 0
    message: str = ""
    seconds: float = 1.0
    size: int | None = None
    rate: float = 1.0
    burst: float = 1.0
    then: Callable[[], object] = lambda: None
    seen: int = 0
    fired: int = 0
    _tokens: float = field(default=-1.0, repr=False)
    _filled: float = field(default=0.0, repr=False)

    def fires(self, op: str, path: str, chance: random.Random, now: float) -> bool:
        """Tell whether the fault befalls this request, and count it."""
        if not fnmatchcase(op, self.op) or self.path not in path:
            return False
        self.seen += 1
        spent = self.seen <= self.after or (self.times is not None and self.fired >= self.times)
        if spent or chance.random() >= self.probability or (self.do == "rate" and self._take(now)):
            return False
        self.fired += 1
        return True

    def _take(self, now: float) -> bool:
        if self._tokens < 0:
            self._tokens, self._filled = self.burst, now
        self._tokens = min(self.burst, self._tokens + (now - self._filled) * self.rate)
        self._filled = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


@dataclass(frozen=True, slots=True)
class Call:
    """One request as the proxy saw it. outcome: HTTP status or the fault; size: bytes of body answered.

    target: path and query.
    """

    at: float
    op: str
    outcome: str
    size: int
    target: str = ""


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes
    op: str = ""


class FaultProxy:
    """The proxy, in a thread of its own; a context manager. `rules` and `log` may be read at any time."""

    def __init__(self, upstream: str, port: int = 0, seed: int = 0) -> None:
        parts = urlsplit(upstream)
        self._upstream = (parts.hostname or "127.0.0.1", parts.port or 80)
        self._port, self._chance = port, random.Random(seed)
        self.rules: list[Rule] = []
        self.log: list[Call] = []
        self._tasks: set[object] = set()
        self.url = ""
        self._loop: asyncio.AbstractEventLoop
        self._stopping: asyncio.Event
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="faultproxy", daemon=True)

    def add(self, do: Fault, **fields: object) -> Rule:
        """Plan a fault, see `Rule` for its fields; return it, to watch how often it fired."""
        rule = Rule(do, **fields)  # type: ignore[arg-type]
        self.rules.append(rule)
        return rule

    def clear(self) -> None:
        """Forget all rules and the log."""
        self.rules.clear()
        self.log.clear()

    def count(self, op: str = "*", outcome: str = "*") -> int:
        """Return how many logged requests match (fnmatch)."""
        return sum(fnmatchcase(call.op, op) and fnmatchcase(call.outcome, outcome) for call in list(self.log))

    def start(self) -> Self:
        """Listen on 127.0.0.1; `url` is known afterwards."""
        self._thread.start()
        self._ready.wait()
        return self

    def stop(self) -> None:
        """Close every connection and end the thread."""
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._connection, "127.0.0.1", self._port, limit=_BUFFER)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self._ready.set()
        await self._stopping.wait()
        for listening in server.sockets:  # a server that is closed cannot take what it has just accepted
            self._loop.remove_reader(listening.fileno())
        while others := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.sleep(0)  # asyncio complains of a task that is cancelled before it began
            for task in others:
                if "_connection()" in repr(task):  # not one of asyncio's own, which accept
                    task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
            await asyncio.sleep(0)  # what was just accepted gets its task now
        server.close()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        self._tasks.add(task)  # the loop itself does not hold a task whose client has gone
        try:
            while await self._exchange(reader, writer):
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client went away
        except asyncio.CancelledError:
            writer.transport.abort()  # the proxy stops: nothing waits for a client that does not read
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                await writer.wait_closed()
            self._tasks.discard(task)

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Serve one request; False ends the connection."""
        request = await _read_request(reader, writer)
        rule = self._befallen(request)
        if rule and rule.do in {"error", "rate", "reset", "hang", "junk"}:
            return await self._instead(rule, request, reader, writer)
        if rule and rule.do == "call":
            await asyncio.to_thread(rule.then)
        if rule and rule.do == "latency":
            await asyncio.sleep(rule.seconds)
        reply = await self._forward(request)
        self._note(request, rule.do if rule else str(reply.status), reply.body)
        if rule:
            return await _spoil(rule, reply, writer)
        _send(writer, reply)
        return True

    def _befallen(self, request: _Request) -> Rule | None:
        now = time.monotonic()
        fired = (r for r in list(self.rules) if r.fires(request.op, request.target, self._chance, now))
        return next(fired, None)

    def _note(self, request: _Request, outcome: str, body: bytes) -> None:
        self.log.append(Call(time.time(), request.op, outcome, len(body), request.target))

    async def _instead(
        self, rule: Rule, request: _Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Answer, or not, without calling upstream."""
        if rule.do in {"reset", "hang"}:
            self._note(request, rule.do, b"")
            if rule.do == "hang":
                await reader.read()
            _reset(writer)
            return False
        if rule.do == "junk":
            page = b"<html>proxy</html>".ljust(rule.size or 20)
            reply = Reply(200, (("Content-Type", "text/html"),), page)
        else:
            service = request.op.split(".")[0]
            status, code, message = throttled(service)
            reply = error_reply(
                service, rule.status or status, rule.code or code, rule.message or rule.code or message
            )
        if request.method == "HEAD":
            reply = Reply(reply.status, reply.headers, b"")
        self._note(request, rule.do, reply.body)
        _send(writer, reply)
        return True

    async def _forward(self, request: _Request) -> Reply:
        try:
            reader, writer = await asyncio.open_connection(*self._upstream, limit=_BUFFER)
        except OSError as error:
            return Reply(502, (("Content-Type", "text/plain"),), str(error).encode())
        try:
            writer.write(_head_bytes(request) + request.body)
            await writer.drain()
            start, headers = await _read_head(reader)
            status = int(start.split()[1])
            bodiless = request.method == "HEAD" or status in {204, 304}
            body = b"" if bodiless else await _read_body(reader, _lower(headers), until_end=True)
        finally:
            writer.close()
        length = _lower(headers).get("content-length")
        kept = [(name, value) for name, value in headers if name.lower() not in _HOP_BY_HOP]
        if request.method == "HEAD" and length:
            kept.append(("Content-Length", length))
        return Reply(status, tuple(kept), body)


async def _spoil(rule: Rule, reply: Reply, writer: asyncio.StreamWriter) -> bool:
    """Send upstream's reply damaged as the rule says; False ends the connection."""
    size = len(reply.body) // 2 if rule.size is None else rule.size
    match rule.do:
        case "lost":
            _reset(writer)
            return False
        case "truncate" | "cut" | "stall":
            _send(writer, reply, reply.body[:size])
            await writer.drain()
            await asyncio.sleep(3600 if rule.do == "stall" else 0.02)
            if rule.do == "cut":
                _reset(writer)
            return False
        case "drip":
            _send(writer, reply, b"")
            for at in range(0, len(reply.body), max(size, 1)):
                writer.write(reply.body[at : at + max(size, 1)])
                await writer.drain()
                await asyncio.sleep(rule.seconds)
        case "short":
            _send(writer, Reply(reply.status, reply.headers, reply.body[:size]))
        case "corrupt" if reply.body:
            body = bytearray(reply.body)
            body[min(size, len(body) - 1)] ^= 1
            _send(writer, Reply(reply.status, reply.headers, bytes(body)))
        case _:
            _send(writer, reply)
    return True


def _send(writer: asyncio.StreamWriter, reply: Reply, part: bytes | None = None) -> None:
    """Write a reply; `part` = what really follows a head that promises the whole body."""
    lines = [f"HTTP/1.1 {reply.status} .", *(f"{name}: {value}" for name, value in reply.headers)]
    if not any(name.lower() == "content-length" for name, _ in reply.headers):
        lines.append(f"Content-Length: {len(reply.body)}")
    writer.write("\r\n".join([*lines, "", ""]).encode("latin-1") + (reply.body if part is None else part))


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST instead of FIN."""
    linger = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()


def _lower(headers: list[tuple[str, str]]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers}


def _head_bytes(request: _Request) -> bytes:
    kept = [f"{name}: {value}" for name, value in request.headers if name.lower() not in _HOP_BY_HOP]
    own = ["Connection: close", f"Content-Length: {len(request.body)}"]
    lines = [f"{request.method} {request.target} HTTP/1.1", *kept, *own, "", ""]
    return "\r\n".join(lines).encode("latin-1")


async def _read_request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> _Request:
    start, headers = await _read_head(reader)
    method, target, _ = start.split(" ", 2)
    lower = _lower(headers)
    if lower.get("expect", "").lower() == "100-continue":
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    body = await _read_body(reader, lower)
    return _Request(method, target, headers, body, operation(method, target, lower, body))


async def _read_head(reader: asyncio.StreamReader) -> tuple[str, list[tuple[str, str]]]:
    raw = await reader.readuntil(b"\r\n\r\n")
    start, *lines = raw.decode("latin-1").split("\r\n")
    pairs = (line.partition(":") for line in lines if ":" in line)
    return start, [(name, value.strip()) for name, _, value in pairs]


async def _read_body(
    reader: asyncio.StreamReader, headers: dict[str, str], *, until_end: bool = False
) -> bytes:
    if "chunked" in headers.get("transfer-encoding", "").lower():
        chunks = []
        while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
            chunks.append(await reader.readexactly(size))
            await reader.readexactly(2)
        while await reader.readuntil(b"\r\n") != b"\r\n":
            pass  # trailers
        return b"".join(chunks)
    if "content-length" in headers:
        return await reader.readexactly(int(headers["content-length"]))
    return await reader.read() if until_end else b""
