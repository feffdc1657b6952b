"""The web server: a few paths, GET and HEAD, a few connections at a time, each for some seconds at most.

Who may ask, and what keeps slow clients from crowding out the probes, is `admission.py`.

/status       the page                    /status.json  the same as data
/healthz      200 while it is well, 503   /readyz       200 once every output was reached and none is down
/metrics      for Prometheus                  /all          this process and its peers, as one page
"""

import io
import threading
import time
from collections.abc import Callable, Collection, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import AF_INET6, socket
from typing import Any, Protocol
from urllib.parse import parse_qs

import orjson
from msgspec import Struct, field
from prometheus_client import CONTENT_TYPE_LATEST

from flows.config.held import handed_on, listens
from flows.process import telemetry
from flows.status.admission import (
    HOSTS_VARIABLE,
    TAP_VARIABLE,
    DeadlineReader,
    Places,
    is_known_host,
    may_tap,
    set_time_left,
)
from flows.status.event_status import DRAINING, IDENTITY, JOURNAL
from flows.status.page import page, policy
from flows.status.view import view, worst_first

_CONNECTIONS, _KEPT_FOR_PROBES = 16, 4
_BACKLOG = 128
"""Connections that the kernel holds while this process is busy: who comes when it is full is heard when his
own kernel asks again, a second or three later, and most probes have given up by then."""

_CONNECTION_SECONDS, _FINISH_SECONDS = 10.0, 2.0
"""For the whole of a request and its answer."""

_MOST_NAME = 200
"""Characters of a source's name that are shown of what is asked."""

_PROBES = frozenset({"/healthz", "/readyz"})

_HEADERS: Mapping[str, str] = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class HttpResponse(Struct, frozen=True):
    """An HTTP answer."""

    body: bytes
    type: str = "text/plain; charset=utf-8"
    status: HTTPStatus = HTTPStatus.OK
    headers: Mapping[str, str] = field(default_factory=dict)


class Watched(Protocol):
    """What the pages show: of one process (`Watch`), or of several (`GroupWatch`)."""

    def state(self, of: str = "") -> dict[str, Any]: ...  # noqa: D102 - see Watch
    def unhealthy_reason(self) -> str: ...  # noqa: D102
    def unready(self) -> list[str]: ...  # noqa: D102
    def metrics(self) -> bytes: ...  # noqa: D102
    def tap(self, source: str) -> list[str]: ...  # noqa: D102


class PageQuery(Struct, frozen=True):
    """What is asked besides. tap: the source whose events are shown, None = none. of: that charts are of."""

    tap: str | None = None
    of: str = ""


Route = Callable[[Watched, PageQuery], HttpResponse]
"""Answers for what is watched."""


def _page(watch: Watched, query: PageQuery) -> HttpResponse:
    html = page(view(_state(watch, query))).encode()
    return HttpResponse(html, "text/html; charset=utf-8", headers={"Content-Security-Policy": policy()})


def _json(watch: Watched, query: PageQuery) -> HttpResponse:
    state = _state(watch, query)
    cells = {key: list(cell) for key, cell in view(state).items()}
    return HttpResponse(orjson.dumps({**state, "view": cells}), "application/json")


def _state(watch: Watched, query: PageQuery) -> dict[str, Any]:
    state, tap = worst_first(watch.state(query.of)), query.tap
    return (
        state
        if tap is None
        else {**state, "tap": watch.tap(tap) or [f"waiting for events of {tap or 'all'}"]}
    )


def _health(watch: Watched, _query: PageQuery) -> HttpResponse:
    reason = watch.unhealthy_reason()
    return _verdict(f"not well: {reason}" if reason else "")


def _ready(watch: Watched, _query: PageQuery) -> HttpResponse:
    unready = watch.unready()
    others = [one for one in unready if one.startswith((IDENTITY, JOURNAL, DRAINING))]
    outputs = ", ".join(one for one in unready if one not in others)
    told = "; ".join([f"output {outputs}"] * bool(outputs) + others)
    return _verdict(f"not ready: {told}" if told else "")


def _verdict(trouble: str) -> HttpResponse:
    status = HTTPStatus.SERVICE_UNAVAILABLE if trouble else HTTPStatus.OK
    return HttpResponse(f"{trouble or 'ok'}\n".encode(), status=status)


def _metrics(watch: Watched, _query: PageQuery) -> HttpResponse:
    return HttpResponse(watch.metrics(), CONTENT_TYPE_LATEST)


def _home(_watch: Watched, _query: PageQuery) -> HttpResponse:
    return HttpResponse(b"see /status\n", status=HTTPStatus.FOUND, headers={"Location": "/status"})


ROUTES: Mapping[str, Route] = {
    "/": _home,
    "/status": _page,
    "/status.json": _json,
    "/healthz": _health,
    "/readyz": _ready,
    "/metrics": _metrics,
    "/all": _page,
    "/all.json": _json,
}
_ALL = frozenset({"/all", "/all.json"})

_NOT_FOUND = HttpResponse(b"no such page\n", status=HTTPStatus.NOT_FOUND)
_BUSY = HttpResponse(b"too many ask at once\n", status=HTTPStatus.SERVICE_UNAVAILABLE)
_WRONG_HOST = HttpResponse(
    f"asked under a name that is not known: ask by address, or add the name to {HOSTS_VARIABLE}\n".encode(),
    status=HTTPStatus.MISDIRECTED_REQUEST,
)
_DEFECT = HttpResponse(b"the status cannot be told, see the log\n", status=HTTPStatus.INTERNAL_SERVER_ERROR)


_NO_TAP = HttpResponse(
    f"events are shown to nobody here, see {TAP_VARIABLE}\n".encode(), status=HTTPStatus.FORBIDDEN
)


def answer(target: str, watch: Watched | None, *, may_tap: bool = False) -> HttpResponse:
    """Return the answer for a request's target. watch: None = there is nothing of that kind."""
    path, _, text = target.partition("?")
    route, asked = ROUTES.get(path), parse_qs(text, keep_blank_values=True)
    query = PageQuery(asked.get("tap", [None])[0], asked.get("of", [""])[0][:_MOST_NAME])
    if route is None or watch is None:
        return _NOT_FOUND
    if query.tap is not None and not may_tap:
        return _NO_TAP
    try:
        return route(watch, query)
    except Exception as error:  # noqa: BLE001 - told; a defect of the page must not reach the dataflow
        telemetry.status_defect(error)
        return _DEFECT


class _Handler(BaseHTTPRequestHandler):
    """Answers one request and closes (HTTP/1.0): nobody keeps a connection."""

    server: "Server"
    seconds = _CONNECTION_SECONDS
    has_asked = False

    def setup(self) -> None:
        """Give the connection its deadline."""
        super().setup()
        self._deadline = time.monotonic() + self.seconds
        self.rfile = io.BufferedReader(DeadlineReader(self.connection, self._deadline))

    def finish(self) -> None:
        """Give its place back."""
        try:
            super().finish()
        finally:
            self.server.places.leave(self.connection, has_asked=self.has_asked)

    def do_GET(self) -> None:
        """Answer with a body."""
        self._answer(body=True)

    def do_HEAD(self) -> None:
        """Answer without its body."""
        self._answer(body=False)

    def _answer(self, *, body: bool) -> None:
        places = self.server.places
        self.has_asked = places.asked(self.connection)
        if not self.has_asked:
            return
        if not is_known_host(self.headers["Host"], self.server.hosts):
            self._send(_WRONG_HOST, body=body)
        elif self.path.partition("?")[0] in _PROBES:
            self._send(answer(self.path, self.server.watch), body=body)
        elif places.begin_page():
            watch = self.server.everybody if self.path.partition("?")[0] in _ALL else self.server.watch
            allowed = may_tap(self.client_address[0], self.headers["Authorization"])
            try:
                self._send(answer(self.path, watch, may_tap=allowed), body=body)
            finally:
                places.end_page()
        else:
            self._send(_BUSY, body=body)

    def _send(self, told: HttpResponse, *, body: bool) -> None:
        self.send_response(told.status)
        headers = {**_HEADERS, **told.headers, "Content-Type": told.type}
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(told.body)))
        set_time_left(self.connection, self._deadline)
        self.end_headers()
        if body:
            self.wfile.write(told.body)

    def version_string(self) -> str:
        """Return what stands in the header Server."""
        return "devo-aws-collector"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it so
        """Keep quiet: probes come every few seconds."""


class Server(ThreadingHTTPServer):
    """The server of one process; it listens once it is made. Raises OSError.

    hosts: names under which it may be asked, beside those that `is_known_host` knows. everybody: this
    process and others together, at /all.
    """

    daemon_threads = True
    block_on_close = False
    request_queue_size = _BACKLOG

    def __init__(
        self,
        host: str,
        port: int,
        watch: Watched,
        hosts: Collection[str] = (),
        everybody: Watched | None = None,
    ) -> None:
        if ":" in host:
            self.address_family = AF_INET6
        self.watch, self.hosts, self.everybody = watch, hosts, everybody
        self.places = Places(_CONNECTIONS, _KEPT_FOR_PROBES)
        address = f"{host}:{port}"
        before = handed_on(address)
        super().__init__((host, port), _Handler, bind_and_activate=before is None)
        if before is not None:
            self.socket.close()
            self.socket = socket(fileno=before)
            self.server_address = self.socket.getsockname()
        listens(address, self.socket.fileno(), self.finish)

    def finish(self) -> None:
        """Take no more connections, and let those end that are there: who comes now waits to be answered."""
        self.shutdown()
        ends = time.monotonic() + _FINISH_SECONDS
        while self.places.taken and time.monotonic() < ends:
            time.sleep(0.01)

    def start(self) -> None:
        """Serve from a thread of its own."""
        threading.Thread(target=self.serve_forever, name="status-server", daemon=True).start()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a connection if there is a place for it; else close it at once."""
        if self.places.enter(request):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Keep quiet: who asks has gone, or was too slow."""
