"""Independent processes as one: their status pages, probes and metrics behind the supervisor's port.

Each process answers on a port of its own, the ones after the supervisor's. What cannot be asked counts as not
well, with its name; nothing here is needed for collecting.
"""

import http.client
import operator
import os
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import reduce
from importlib.metadata import version
from typing import Any, TypeVar
from urllib.parse import quote

import orjson
from msgspec import Struct
from prometheus_client import REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from flows.status.admission import TAP_VARIABLE
from flows.status.charts import aligned
from flows.status.charts import joined as joined_charts
from flows.status.event_status import DRAINING, EventStatus, told
from flows.status.history import History
from flows.status.view import view, worst_first
from sources.aws.spending.budget import BUDGET_STATES

_N = TypeVar("_N", int, float)

PEERS_VARIABLE = "COLLECTOR_STATUS_PEERS"
"""Status ports to show together at /all, separated by commas: `collector:3030`; a name stands for each of its
addresses."""

_THREADS = 32
_ASK_SECONDS, _REPLY_SECONDS, _BEGIN_SECONDS = 2.0, 5.0, 30.0
_MOST_BYTES, _MOST_SAID = 16 << 20, 500
_STRENGTHS = ("none", "written", "kernel", "closed", "receipt")
_SUMS = """
    events_per_second source_events events_repeated requests leases_held targets_failing lanes
    prefetched_bytes events_delivered events_missed receipts retries
"""


class Asked(Struct, frozen=True):
    """Where one process answers."""

    name: str
    host: str
    port: int

    def get(self, path: str) -> tuple[int, bytes]:
        """Return status and body, 0 and b"" when it does not answer, or not all of it in time."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=_ASK_SECONDS)
        late = threading.Event()
        limit = threading.Timer(_REPLY_SECONDS, _end)
        try:
            connection.connect()
            limit.args = (connection.sock, late)
            limit.start()
            token = os.environ.get(TAP_VARIABLE, "")
            headers = {"Authorization": f"Bearer {token}"} if "?tap=" in path else {}
            connection.request("GET", path, headers=headers)
            reply = connection.getresponse()
            body = reply.read(_MOST_BYTES)
            return (0, b"") if late.is_set() else (reply.status, body)
        except (OSError, http.client.HTTPException):
            return 0, b""
        finally:
            limit.cancel()
            connection.close()


def _end(connection: socket.socket, late: threading.Event) -> None:
    """End a connection whose reply takes too long: who reads of it goes on at once."""
    late.set()
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def peers(text: str) -> list[Asked]:
    """Return the status ports that COLLECTOR_STATUS_PEERS names now."""
    found = dict.fromkeys(each for one in text.split(",") if one.strip() for each in _addresses(one.strip()))
    return [
        Asked(f"[{host}]:{port}" if ":" in host else f"{host}:{port}", host, port) for host, port in found
    ]


def _addresses(one: str) -> list[tuple[str, int]]:
    host, _, port = one.rpartition(":")
    number = int(port) if port.isascii() and port.isdigit() else 0
    try:
        found = socket.getaddrinfo(host.strip("[]"), number, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return [(host, number)]  # it does not answer, as is told then
    return [(str(each[4][0]), number) for each in found]


class GroupWatch:
    """Several processes as `Watch` is one: each is asked anew for each answer."""

    def __init__(
        self, name: str, processes: Callable[[], Sequence[Asked]], drain: threading.Event | None = None
    ) -> None:
        self._name, self._processes, self._started = name, processes, time.time()
        self._drain, self.events = drain or threading.Event(), EventStatus()

    def state(self, of: str = "") -> dict[str, Any]:
        """Return the states of all processes as one. of: the source that the charts are of, "" = all."""
        answers = self._all(f"/status.json?of={quote(of)}" if of else "/status.json")
        known = _fitting([(one, state) for one, answer in answers if (state := _json(*answer)) is not None])
        silent = [one.name for one, _ in answers if one not in {each for each, _ in known}]
        return {
            **merged(self._name, known, silent, time.time() - self._started),
            "charted": of,
            **({"refused": told(refused, time.time())} if (refused := self.events.refused) else {}),
        }

    def unhealthy_reason(self) -> str:
        """Return which processes are not well, and why; "" = all are, or begin or end as they were told."""
        if self._drain.is_set():
            return ""
        return self._verdicts("/healthz", begin=time.time() - self._started < _BEGIN_SECONDS)

    def unready(self) -> list[str]:
        """Return which processes have outputs that were not reached, or are down."""
        reason = DRAINING if self._drain.is_set() else self._verdicts("/readyz")
        return [reason] if reason else []

    def metrics(self) -> bytes:
        """Return the metrics of all processes, each with the label `process`."""
        registry = CollectorRegistry(auto_describe=False)
        answers = [(one.name, *answer) for one, answer in self._all("/metrics")]
        answers.append(("supervisor", http.HTTPStatus.OK, generate_latest(REGISTRY)))
        texts = [(name, _families(body)) for name, status, body in answers if status == http.HTTPStatus.OK]
        registry.register(_Relay(texts))
        return generate_latest(registry)

    def _verdicts(self, path: str, *, begin: bool = False) -> str:
        """Return what is wrong. begin: who does not answer yet is not wrong."""
        found = []
        for one, (status, body) in self._all(path):
            if status != http.HTTPStatus.OK and (status or not begin):
                said = body[:_MOST_SAID].decode(errors="replace").strip() or "it does not answer"
                found.append(f"{one.name}: {said}")
        return "; ".join(found)

    def tap(self, source: str) -> list[str]:
        """Return the events of a source that go out, of all processes."""
        found = self._all(f"/status.json?tap={quote(source)}")
        said = [_json(*answer) for _, answer in found]
        taps = [state.get("tap") for state in said if isinstance(state, dict)]
        return [line for tap in taps if isinstance(tap, list) for line in tap if isinstance(line, str)]

    def _all(self, path: str) -> list[tuple[Asked, tuple[int, bytes]]]:
        processes = self._processes()
        with ThreadPoolExecutor(min(len(processes), _THREADS) or 1) as pool:
            return list(zip(processes, pool.map(lambda one: one.get(path), processes), strict=True))


def _json(status: int, body: bytes) -> Any:
    """Return what a process says of itself, None = nothing."""
    with suppress(orjson.JSONDecodeError):
        return orjson.loads(body) if status == http.HTTPStatus.OK else None
    return None


def _fitting(said: Sequence[tuple[Asked, Any]]) -> Sequence[tuple[Asked, Any]]:
    """Return the states that can be shown together: another release, or program, may answer at a port."""
    if _fit(said):
        return said
    known: list[tuple[Asked, Any]] = []
    for one in said:
        if _fit([*known, one]):
            known.append(one)
    return known


def _fit(known: Sequence[tuple[Asked, Any]]) -> bool:
    try:
        view(worst_first(merged("", known, [], 0.0)))
    except Exception:  # noqa: BLE001 - whatever it is, not all of them are states as ours
        return False
    return True


def _families(body: bytes) -> list[Metric]:
    """Return the metrics of an exposition, none of what is no such thing."""
    with suppress(ValueError):
        return list(text_string_to_metric_families(body.decode()))
    return []


class _Relay(Collector):
    """Yields the families of several processes' metrics, a sample with the name of its process."""

    def __init__(self, texts: Iterable[tuple[str, Iterable[Metric]]]) -> None:
        self._texts = texts

    def collect(self) -> Iterator[Metric]:
        """Join families of one name: an exposition may hold each only once."""
        families: dict[str, Metric] = {}
        for process, found in self._texts:
            for family in found:
                joined = families.setdefault(
                    family.name, Metric(family.name, family.documentation, family.type)
                )
                for sample in family.samples:
                    joined.add_sample(sample.name, {**sample.labels, "process": process}, sample.value)
        yield from families.values()


def merged(
    name: str, known: Sequence[tuple[Asked, Mapping[str, Any]]], silent: Sequence[str], seconds: float
) -> dict[str, Any]:
    """Return several states as one: what can be added is added, of the rest the worst is shown. Pure."""
    states = [state for _, state in known]
    ill = [f"{one.name}: {state['health']['illness']}" for one, state in known if state["health"]["illness"]]
    ill += [f"{one}: it does not answer" for one in silent]
    abouts = [state["collector"] for state in states]
    kept = _by_name((state["quarantine"]["by_reason"] for state in states), operator.add)
    before = _by_name((state["quarantine"]["before"] for state in states), max)
    return {
        "collector": {
            "name": name,
            "version": version("devo-aws-collector"),
            "process": {"index": 0, "count": len(known) + len(silent)},
            "started": min((about["started"] for about in abouts), default=""),
            "now": max((about["now"] for about in abouts), default=""),
            "uptime_seconds": round(seconds),
            "epoch_seconds_ago": _worst(about["epoch_seconds_ago"] for about in abouts),
            "memory_bytes": sum(about["memory_bytes"] for about in abouts),
            "cpu_share": sum(about["cpu_share"] for about in abouts),
        },
        "health": {
            "alive": not ill,
            "illness": "; ".join(ill),
            "ready": not silent and all(state["health"]["ready"] for state in states),
            "unready": sorted({output for state in states for output in state["health"]["unready"]}),
        },
        "places": _joined((state["places"] for state in states), ("service", "input", "setting", "region")),
        "outputs": _joined((state["outputs"] for state in states), ("name",)),
        "quarantine": {
            "where": states[0]["quarantine"]["where"] if states else "",
            "items": sum(before.values()) + sum(kept.values()),
            "before": before,
            "full": any(state["quarantine"]["full"] for state in states),
            "by_reason": kept,
        },
        "refused": _latest_of(state["refused"] for state in states),
        "stopped": {name: told for state in states for name, told in state["stopped"].items()},
        "charted": "",
        "charts": reduce(joined_charts, (state["charts"] for state in states))
        if states
        else History().charts(),
        "tags": _by_name((state["tags"] for state in states), operator.add),
        "recent": sorted(
            (
                {**line, "text": f"{one.name}: {line['text']}"}
                for one, state in known
                for line in state["recent"]
            ),
            key=lambda line: str(line["at"]),
        ),
        "certificates": _by_name((state["certificates"] for state in states), min),
        "money": _money([state["money"] for state in states]),
        "not_read": _not_read([state["not_read"] for state in states]),
        "processes": [{"name": one, "url": ""} for one in silent] + [_process(*one) for one in known],
    }


def _money(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Join what processes have spent: each knows what all of them have."""
    known = [one for one in parts if one]
    return {
        "month": max((one["month"] for one in known), default=""),
        "spent": _by_name((one["spent"] for one in known), max),
        "budgets": _joined((one["budgets"] for one in known), ("name",)),
    }


def _not_read(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    sums = ("missing", "ignored", "unsigned", "untabled", "dropped")
    return {
        **{name: _by_name((part[name] for part in parts), operator.add) for name in sums},
        "schema": _by_name((part["schema"] for part in parts), max),
        "silent": _by_name((part["silent"] for part in parts), max),
        "open_queues": sorted({queue for part in parts for queue in part["open_queues"]}),
    }


def _process(one: Asked, state: Mapping[str, Any]) -> dict[str, Any]:
    about, health = state["collector"], state["health"]
    names = ("memory_bytes", "cpu_share", "uptime_seconds", "version")
    return {
        "name": one.name,
        "url": f"http://{one.host}:{one.port}/status",
        "alive": health["alive"],
        "ready": health["ready"],
        **{name: about[name] for name in names},
    }


def _latest_of(told: Iterable[Mapping[str, Any] | None]) -> Mapping[str, Any] | None:
    return reduce(_latest, told, None)


def _joined(parts: Iterable[Sequence[Mapping[str, Any]]], key: Sequence[str]) -> list[dict[str, Any]]:
    """Join the rows of several processes that have the same key, in the order of the keys."""
    found: dict[tuple[str, ...], dict[str, Any]] = {}
    for row in (row for part in parts for row in part):
        identity = tuple(row[name] for name in key)
        before = found.get(identity)
        found[identity] = dict(row) if before is None else _row(before, row)
    return [found[identity] for identity in sorted(found)]


def _row(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _JOINS.get(name, _first)(value, other[name]) for name, value in one.items()}


def _first(one: Any, _other: Any) -> Any:
    return one


def _longest(one: float | None, other: float | None) -> float | None:
    return _worst((one, other))


def _latest_moment(one: float | None, other: float | None) -> float | None:
    return min((value for value in (one, other) if value is not None), default=None)


def _most_known(one: int | None, other: int | None) -> int | None:
    return other if one is None else one if other is None else max(one, other)


def _curve(one: Sequence[float], other: Sequence[float]) -> list[float]:
    return aligned(one, other, lambda first, second: round(first + second, 3))


def _window(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, Any]:
    held, limit = one["bytes"] + other["bytes"], one["limit_bytes"] + other["limit_bytes"]
    return {"bytes": held, "limit_bytes": limit, "fill": round(held / limit, 4) if limit else 0.0}


def _weakest(one: str, other: str) -> str:
    return min(one, other, key=lambda strength: (*_STRENGTHS, strength).index(strength))


def _latest(one: Mapping[str, Any] | None, other: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    return max((one, other), key=lambda error: error["at"] if error else "")


_JOINS: Mapping[str, Callable[[Any, Any], Any]] = {
    **dict.fromkeys(_SUMS.split(), operator.add),
    "lag_seconds": _longest,
    "lateness_seconds": _longest,
    "reach_seconds": _longest,
    "receipt_seconds_ago": _longest,
    "recovered_seconds_ago": _latest_moment,
    "receipt_took_seconds": _longest,
    "ready": operator.and_,
    "connected": operator.and_,
    "curve": _curve,
    "waiting": _most_known,
    "window": _window,
    "strength": _weakest,
    "last_error": _latest,
    "spent_usd": max,
    "forecast_usd": max,
    "state": lambda one, other: max(one, other, key=BUDGET_STATES.index),
}
"""How two processes' values of one figure become one; of the others the first is shown."""


def _worst(values: Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


def _by_name(parts: Iterable[Mapping[str, _N]], join: Callable[[_N, _N], _N]) -> dict[str, _N]:
    """Return one figure of each name: of sums all together, else the greatest or the least."""
    found: dict[str, _N] = {}
    for name, value in (pair for one in parts for pair in one.items()):
        found[name] = join(found[name], value) if name in found else value
    return found
