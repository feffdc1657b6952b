"""Log groups of the class Infrequent Access, by queries of CloudWatch Logs Insights.

FilterLogEvents and GetLogEvents refuse this class ("FilterLogEvents is not supported for this log class");
queries read it (CloudWatch Logs User Guide, "Logs Insights QL commands supported in log classes"). A query
takes whole seconds and brings 100,000 rows at most: one that is full is followed by another from its last
second on.

Cost: what each query scans (0.005 USD per GB); of the 100 queries that an account may have at a time (API
reference of StartQuery) one for each thread.
IAM: logs:StartQuery of the group, logs:GetQueryResults.
"""

import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from math import ceil
from typing import Any, Protocol

from sources.apis.api import Api, Operation, fingerprint
from sources.apis.poll import Target
from sources.apis.window import Window, to_ms
from sources.aws.replies import PageTokens
from sources.aws.spending.meter import BOOK
from sources.errors import SourceError, Transient
from sources.threads import payer

RATES = {"StartQuery": 10.0, "GetQueryResults": 10.0}
"""Requests a second of an account in a region, whoever asks, as "CloudWatch Logs quotas" has them."""

_QUERY = "fields @timestamp, @ingestionTime, @logStream, @message | sort @timestamp asc"
_MOST_ROWS, _PAGE_ROWS = 100_000, 1_000
_RUNNING = frozenset({"Scheduled", "Running", "Unknown"})
_PAUSE, _LONGEST_PAUSE, _MOST_PAUSES = 0.5, 5.0, 720
_NOTHING_THERE = "MalformedQueryException"
"""Of a range that is over before the group's creation, or older than its retention: nothing else can be
malformed in a query that is always the same."""


class QueryClient(Protocol):
    """boto3's client of CloudWatch Logs, as far as it is used here."""

    def start_query(self, **asked: Any) -> Mapping[str, Any]:
        """`queryId`."""

    def get_query_results(self, **asked: Any) -> Mapping[str, Any]:
        """`status`, `results`, `nextToken`."""


_START: Operation[QueryClient] = Operation("StartQuery", "queryId", lambda client: client.start_query)
_RESULTS: Operation[QueryClient] = Operation(
    "GetQueryResults", "status", lambda client: client.get_query_results
)


class LogQueries:
    """Reads windows of log groups as FilterLogEvents would. stream_prefix: only streams that begin so."""

    def __init__(self, api: Api[Any], drain: threading.Event, stream_prefix: str = "") -> None:
        self._api: Api[QueryClient] = api
        self._drain, self._stream_prefix = drain, stream_prefix

    def events(self, target: Target, window: Window) -> Iterator[tuple[Sequence[Mapping[str, Any]], bool]]:
        """Yield each page's events, and whether it is the last one. Raises SourceError."""
        held: list[Mapping[str, Any]] = []
        start, more = window.start // 1000, True
        while more:
            rows, equal = 0, Counter[str]()
            last = start
            for page in self._rows(target, start, -(-window.end // 1000)):
                if rows:
                    yield held, False
                found = [event_of_row(row, equal) for row in page]
                rows, last = rows + len(found), max([last, *(one["timestamp"] // 1000 for one in found)])
                held = [one for one in found if self._is_of(one, window)]
            more = rows >= _MOST_ROWS
            if more and last == start:
                hint = "let its logs go to a group of class STANDARD, or to several groups"
                raise SourceError(f"more than {_MOST_ROWS:,} events in one second", target.key, hint)
            yield held, not more
            start = last

    def _is_of(self, event: Mapping[str, Any], window: Window) -> bool:
        wanted: bool = window.start <= event["timestamp"] < window.end
        return wanted and event["logStreamName"].startswith(self._stream_prefix)

    def _rows(self, target: Target, start: int, end: int) -> Iterator[list[Any]]:
        """Yield the rows of the seconds from `start` to `end`, both included, oldest first."""
        place = {"startTime": start, "endTime": end, "queryString": _QUERY, "limit": _MOST_ROWS}
        try:
            reply = self._api.ask(
                target.region, _START, target.key, logGroupIdentifiers=[target.detail], **place
            )
        except SourceError as error:
            if _NOTHING_THERE not in f"{error.cause} {error}":
                raise
            yield []
            return
        token, pauses = "", 0
        asked = {"queryId": reply["queryId"], "maxItems": _PAGE_ROWS}
        where = f"GetQueryResults of {target.key}, {self._api.account.where}"
        tokens = PageTokens(where)
        while True:
            following_page = {"nextToken": token} if token else {}
            reply = self._api.ask(target.region, _RESULTS, target.key, **asked, **following_page)
            if reply["status"] in _RUNNING and pauses < _MOST_PAUSES:
                pauses += 1
                if self._drain.wait(min(_PAUSE * pauses, _LONGEST_PAUSE)):
                    raise Transient("query not awaited", where, "the process drains")
                continue
            if not token:  # AWS charges for what was scanned, however it ended
                scanned(reply.get("statistics", {}).get("bytesScanned", 0))
            if reply["status"] != "Complete":
                raise Transient(f"query ended as {reply['status']}", where, "it is asked again")
            yield reply.get("results", [])
            token = tokens.following(reply.get("nextToken") or "")
            if not token:
                return


def scanned(size: float) -> None:
    """Count what a query has scanned, in bytes: AWS charges for it, here each begun megabyte."""
    BOOK.add(payer(), "logs:StartQuery", units=ceil(size / 1_000_000))


def event_of_row(row: Sequence[Mapping[str, str]], equal: Counter[str]) -> dict[str, Any]:
    """Return a row as FilterLogEvents shows an event. equal: how many equal ones the query has brought.

    Queries tell no event id: it is made of all that is told, and of the number among equal ones.
    """
    told = {cell["field"]: cell.get("value", "") for cell in row}
    key = fingerprint(
        *(told.get(name, "") for name in ("@timestamp", "@ingestionTime", "@logStream", "@message"))
    )
    equal[key] += 1
    return {
        "logStreamName": told.get("@logStream", ""),
        "eventId": f"{key}{equal[key]:08d}",
        "timestamp": _ms(told["@timestamp"]),
        "ingestionTime": _ms(told.get("@ingestionTime") or told["@timestamp"]),
        "message": told.get("@message", ""),
    }


def _ms(text: str) -> int:
    """Return a time as queries write it (2026-01-02 03:04:05.678, UTC) in epoch ms."""
    return to_ms(datetime.fromisoformat(text).replace(tzinfo=UTC))
