"""A whole AWS on loopback for tests: moto's server, and what moto lacks or does not do as AWS does.

    with FakeAws() as aws:                        # in this process, in threads
        put_log_events("/group", "stream", [{"timestamp": 1_700_000_000_000, "message": "hello"}])
        boto3.client("logs", endpoint_url=aws.url, …).filter_log_events(logGroupName="/group")

    python -m tests.fakes.fake_aws.server --port 5566    # a process of its own: for load and tests that kill
    control(url, "put_log_events", group="/group", stream="stream", events=[…])

State belongs to the process, not to a server. Every control function works in both ways; over HTTP its
arguments are JSON. An access key of 12 digits is that account's; any other belongs to `ACCOUNT`.
README.md says where this is not AWS.
"""

import argparse
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from email.utils import formatdate
from functools import cache
from typing import Any, Self

from msgspec import Struct

from flows.demo.wire import Reply, caller, operation
from tests.fakes.fake_aws import cloudtrail, core, guardduty, logs, metrics, sts
from tests.fakes.fake_aws.cloudtrail import put_cloudtrail_events
from tests.fakes.fake_aws.control import CONTROL, control, error_reply, throttled
from tests.fakes.fake_aws.core import ACCOUNT, CLOCK, LOCK, PLAN, REGION
from tests.fakes.fake_aws.guardduty import put_findings
from tests.fakes.fake_aws.logs import put_log_events, put_log_group
from tests.fakes.fake_aws.metrics import put_metric_samples
from tests.fakes.fake_aws.sts import expire_sessions

__all__ = [
    "ACCOUNT",
    "CLOCK",
    "PLAN",
    "REGION",
    "FakeAws",
    "Served",
    "control",
    "empty_pages",
    "expire_sessions",
    "put_cloudtrail_events",
    "put_findings",
    "put_log_events",
    "put_log_group",
    "put_metric_samples",
    "reset",
    "served",
]

_RESET = "/moto-api/reset"
_BODY_LIMIT = 64 << 20
_ACCOUNT_DIGITS = 12

Environ = dict[str, Any]
StartResponse = Callable[..., Any]


class Served(Struct, frozen=True):
    """One request: when (fake's clock), which `service.Operation`, with which key, for which region."""

    at: float
    op: str
    key: str
    region: str


_SERVED: list[Served] = []
_RATES: dict[str, tuple[float, float]] = {}
_BUCKETS: dict[tuple[str, str, str], tuple[float, float]] = {}


def served(op: str = "") -> list[Served]:
    """Return the requests so far, of one operation or all."""
    return [one for one in list(_SERVED) if op in {"", one.op}]


def served_counts() -> dict[str, int]:
    """Return how many requests of each operation there were."""
    return dict(Counter(one.op for one in list(_SERVED)))


def limit_rate(op: str, per_second: float, burst: float = 1) -> None:
    """Refuse an operation above a rate, per key and region, as AWS does; counted by machine time."""
    _RATES[op] = (per_second, burst)


def empty_pages(op: str, times: int) -> None:
    """Let the next pages of an operation (`FilterLogEvents`) come empty, but with a token."""
    PLAN.empty_pages[op] += times


def page_size(op: str, most: int) -> None:
    """Let pages of an operation hold at most so many items."""
    PLAN.page_size[op] = most


def shuffle(op: str) -> None:
    """Let pages of an operation come out of order."""
    PLAN.shuffled.add(op)


def result_statuses(metric: str, statuses: Iterable[str]) -> None:
    """Give the next results of a metric in GetMetricData these status codes."""
    PLAN.statuses.setdefault(metric, []).extend(statuses)


def advance_clock(seconds: float) -> float:
    """Let the fake's clock jump ahead; returns its time."""
    CLOCK.advance(seconds)
    return CLOCK.now()


def reset() -> None:
    """Forget everything: moto's state, the extensions', plan, clock, and what was served."""
    from moto.moto_api._internal.models import moto_api_backend  # noqa: PLC0415 - moto is slow to import

    with LOCK:
        moto_api_backend.reset()
    _forget()


def _forget() -> None:
    core.reset()
    _SERVED.clear()
    _RATES.clear()
    _BUCKETS.clear()


CONTROLS: dict[str, Callable[..., Any]] = {
    function.__name__: function
    for function in (
        put_cloudtrail_events,
        put_findings,
        put_log_group,
        put_log_events,
        put_metric_samples,
        expire_sessions,
        served_counts,
        limit_rate,
        empty_pages,
        page_size,
        shuffle,
        result_statuses,
        advance_clock,
    )
}


@cache
def extend() -> None:
    """Install all extensions in moto, once per process."""
    cloudtrail.extend()
    guardduty.extend()
    logs.extend()
    metrics.extend()
    sts.extend()


class _Front:
    """What stands before moto: control functions, the check of each call's session, rates, the record."""

    def __init__(self, app: Callable[..., Any]) -> None:
        self._app = app

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path.startswith(CONTROL):
            return _send(_controlled(path, _body(environ)), start_response)
        if path == _RESET:
            _forget()
        who = caller(environ.get("HTTP_AUTHORIZATION", ""))
        if who is not None:
            refusal = _admit(environ)
            if refusal is not None:
                _body(environ)
                return _send(refusal, start_response)
            if len(who.key) == _ACCOUNT_DIGITS and who.key.isdigit():
                environ["HTTP_X_MOTO_ACCOUNT_ID"] = who.key
        found: Iterable[bytes] = self._app(environ, start_response)
        return found


def _admit(environ: Environ) -> Reply | None:
    """Note a signed request; return its refusal when its session is over or it comes too fast."""
    names = {"authorization": "HTTP_AUTHORIZATION", "x-amz-security-token": "HTTP_X_AMZ_SECURITY_TOKEN"}
    headers = {name: environ.get(key, "") for name, key in names.items()}
    if "HTTP_X_AMZ_TARGET" in environ:
        headers["x-amz-target"] = environ["HTTP_X_AMZ_TARGET"]
    who = caller(headers["authorization"])
    if who is None:
        return None
    target = f"{environ.get('PATH_INFO', '/')}?{environ.get('QUERY_STRING', '')}"
    op = operation(environ["REQUEST_METHOD"], target, headers, _peek(environ))
    _SERVED.append(Served(CLOCK.now(), op, who.key, who.region))
    with LOCK:
        fast = op in _RATES and not _take(op, who.key, who.region)
    if fast:
        return error_reply(who.service, *throttled(who.service))
    return sts.check(headers)


def _take(op: str, key: str, region: str) -> bool:
    """Take a token of a bucket; False when it is empty."""
    rate, burst = _RATES[op]
    now = time.monotonic()
    tokens, filled = _BUCKETS.get((op, key, region), (burst, now))
    tokens = min(burst, tokens + (now - filled) * rate)
    _BUCKETS[op, key, region] = (tokens - 1 if tokens >= 1 else tokens, now)
    return tokens >= 1


def _controlled(path: str, body: bytes) -> Reply:
    function = CONTROLS.get(path.removeprefix(CONTROL))
    if function is None:
        return Reply(404, (), b"")
    result = function(**json.loads(body or b"{}"))
    return Reply(200, (("Content-Type", "application/json"),), json.dumps(result).encode())


def _body(environ: Environ) -> bytes:
    read: bytes = environ["wsgi.input"].read(min(int(environ.get("CONTENT_LENGTH") or 0), _BODY_LIMIT))
    return read


def _peek(environ: Environ) -> bytes:
    """Return the body of a form (the operation of the query protocol is in it), and leave it to be read."""
    if "x-www-form-urlencoded" not in environ.get("CONTENT_TYPE", ""):
        return b""
    from io import BytesIO  # noqa: PLC0415

    body = _body(environ)
    environ["wsgi.input"] = BytesIO(body)
    return body


def _send(reply: Reply, start_response: StartResponse) -> Iterable[bytes]:
    headers = [*reply.headers, ("Content-Length", str(len(reply.body)))]
    start_response(f"{reply.status} .", headers)
    return [reply.body]


def make_app() -> Callable[..., Any]:
    """Return the fake as a WSGI application."""
    from moto.moto_server.werkzeug_app import (  # noqa: PLC0415 - moto is slow to import
        DomainDispatcherApplication,
        create_backend_app,
    )

    extend()
    return _Front(DomainDispatcherApplication(create_backend_app))


class FakeAws:
    """The fake as a server in threads of this process; `url` is for `AWS_ENDPOINT_URL`."""

    def __init__(self, port: int = 0) -> None:
        from moto.moto_server.werkzeug_app import MotoRequestHandler  # noqa: PLC0415 - moto is slow to import
        from werkzeug.serving import make_server  # noqa: PLC0415

        own = {
            "protocol_version": "HTTP/1.1",
            "log_request": lambda *_, **__: None,
            "date_time_string": lambda *_: formatdate(CLOCK.now(), usegmt=True),
        }
        handler = type("Handler", (MotoRequestHandler,), own)
        self._server = make_server("127.0.0.1", port, make_app(), threaded=True, request_handler=handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def start(self) -> Self:
        """Begin to serve."""
        self._thread.start()
        return self

    def serve_forever(self) -> None:
        """Serve in the calling thread, until the process ends."""
        self._server.serve_forever()

    def stop(self) -> None:
        """Stop serving; the state stays."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


def environment(url: str, account: str = ACCOUNT) -> Mapping[str, str]:
    """Return the variables that point boto3, here or in another process, at a fake."""
    return {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": account,
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def main() -> None:
    """Serve until the process is ended."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--port", type=int, default=5566)
    FakeAws(parser.parse_args().port).serve_forever()


if __name__ == "__main__":
    main()
