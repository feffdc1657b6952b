"""CloudWatch Logs as AWS serves it: interleaved pages by position, event ids, late events, log classes.

moto keeps groups and streams (CreateLogGroup, DeleteLogStream, DescribeLogGroups, PutLogEvents …); its
reading of events is replaced: GetLogEvents includes endTime there, FilterLogEvents does not interleave,
ignores prefix and ARN, and sorts everything once more for each page.
"""

import random
from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import Any

from tests.fakes.fake_aws.core import (
    ACCOUNT,
    CLOCK,
    LOCK,
    PLAN,
    REGION,
    Request,
    attached,
    install,
    make_token,
    read_token,
    refuse,
    replace_method,
    signature,
    state,
)

_MOST = 10_000
_PAGE_BYTES = 1 << 20
_END = 1 << 62
_NUMBERS = count(1)
_BAD = "InvalidParameterException"
_MOST_ROWS, _MOST_QUERIES, _LOOKS = 100_000, 100, 3


@dataclass(frozen=True, slots=True, order=True)
class LogEvent:
    """One event, ordered as AWS orders: by its time, then by when and as what it was ingested (ms)."""

    timestamp: int
    ingestion: int
    number: int
    stream: str = field(compare=False)
    message: str = field(compare=False)
    visible: float = field(compare=False)

    @property
    def id(self) -> str:
        """Return the event id: 56 digits, as AWS has them."""
        return f"{self.timestamp:015d}{self.ingestion:015d}{self.number:026d}"

    @property
    def place(self) -> tuple[int, int, int]:
        """Return where the event stands in its group."""
        return self.timestamp, self.ingestion, self.number


@dataclass(slots=True)
class _Group:
    """What a group holds beside moto's own. kind: its log class."""

    events: list[LogEvent] = field(default_factory=list)
    kind: str = "STANDARD"
    created: int | None = None

    def add(
        self, stream: str, timestamp: int, message: str, late: float, ingestion: int | None = None
    ) -> LogEvent:
        now = CLOCK.now() + late
        told = int(now * 1000) if ingestion is None else ingestion
        event = LogEvent(timestamp, told, next(_NUMBERS), stream, message, now)
        insort(self.events, event)
        return event

    def after(self, place: tuple[int, int, int], end: int) -> Iterator[LogEvent]:
        """Yield visible events strictly after a place and before a time, oldest first."""
        now = CLOCK.now()
        first = bisect_left(self.events, (*place[:2], place[2] + 1), key=lambda event: event.place)
        last = bisect_left(self.events, (end, -1, -1), key=lambda event: event.place)
        return (self.events[at] for at in range(first, last) if self.events[at].visible <= now)


def put_log_group(
    name: str,
    account: str = ACCOUNT,
    region: str = REGION,
    kind: str = "STANDARD",
    created: int | None = None,
) -> None:
    """Make a log group if there is none. kind: log class; created: epoch milliseconds, now by default."""
    with LOCK:
        backend = _backend(account, region)
        backend.ensure_log_group(name)
        group = attached(backend.groups[name], _Group)
        group.kind = kind
        group.created = int(CLOCK.now() * 1000) if created is None else created


def put_log_events(
    group: str,
    stream: str,
    events: Iterable[Mapping[str, Any]],
    account: str = ACCOUNT,
    region: str = REGION,
) -> list[str]:
    """Add events to a stream, in any order; group and stream are made when missing. Returns event ids.

    timestamp: epoch milliseconds. message. late_s: how long after now the event is ingested and shown.
    ingestionTime: epoch milliseconds to show instead.
    """
    with LOCK:
        backend = _backend(account, region)
        if group not in backend.groups:
            put_log_group(group, account, region)
        backend.ensure_log_stream(group, stream)
        kept = attached(backend.groups[group], _Group)
        made = [
            kept.add(stream, one["timestamp"], one["message"], one.get("late_s", 0), one.get("ingestionTime"))
            for one in events
        ]
    return [event.id for event in made]


def filter_log_events(request: Request) -> dict[str, Any]:
    """Serve one page of a group, interleaved: startTime and endTime inclusive."""
    moto_group = _group_of(request)
    group = attached(moto_group, _Group)
    if group.kind != "STANDARD":
        raise refuse(
            "InvalidOperationException",
            f"The log group {moto_group.name} is of log-group-class {group.kind}. "
            "FilterLogEvents is not supported for this log class.",
        )
    names, prefix = request.get("logStreamNames"), request.get("logStreamNamePrefix")
    if names and prefix:
        raise refuse(_BAD, "logStreamNamePrefix and logStreamNames are mutually exclusive.")
    if request.get("filterPattern"):
        raise refuse(_BAD, "this fake knows no filter patterns")
    start, end = request.get("startTime", 0), request.get("endTime", _END - 1) + 1
    bound = signature(
        request, "logGroupName", "logStreamNames", "logStreamNamePrefix", "startTime", "endTime"
    )
    token = request.get("nextToken")
    place = tuple(read_token(token, bound, _BAD)) if token else (start, -1, -1)
    found = (
        event
        for event in group.after(place, end)
        if event.stream in moto_group.streams
        and (not names or event.stream in names)
        and event.stream.startswith(prefix or "")
    )
    page, last, more = _cut("FilterLogEvents", found, place, request.get("limit", _MOST))
    following = {"nextToken": make_token(last, bound)} if more else {}
    return {"events": [_shown(event) for event in page], "searchedLogStreams": [], **following}


def get_log_events(request: Request) -> dict[str, Any]:
    """Serve one page of a stream: startTime inclusive, endTime exclusive; tokens are never null."""
    moto_group = _group_of(request)
    stream = request.params["logStreamName"]
    if stream not in moto_group.streams:
        raise refuse("ResourceNotFoundException", "The specified log stream does not exist.")
    start, end = request.get("startTime", 0), request.get("endTime", _END)
    bound = signature(request, "logGroupName", "logStreamName", "startTime", "endTime")
    token = request.get("nextToken")
    if not token and not request.get("startFromHead"):
        raise refuse(_BAD, "this fake reads streams from their head only")
    place = tuple(read_token(token, bound, _BAD)) if token else (start, -1, -1)
    group = attached(moto_group, _Group)
    found = (event for event in group.after(place, end) if event.stream == stream)
    page, last, _ = _cut("GetLogEvents", found, place, request.get("limit", _MOST))
    same = last == place and token
    following = token if same else make_token(last, bound)
    shown = ("timestamp", "message", "ingestionTime")
    return {
        "events": [{name: _shown(event)[name] for name in shown} for event in page],
        "nextForwardToken": following,
        "nextBackwardToken": make_token(place, bound),
    }


def start_query(request: Request) -> dict[str, Any]:
    """Begin a query of one group; it is over when its results were asked for twice."""
    (identifier,) = request.params["logGroupIdentifiers"]
    moto_group = _group_of(Request(request.account, request.region, {"logGroupIdentifier": identifier}))
    group, queries = attached(moto_group, _Group), _queries(request)
    if sum(query.looks < _LOOKS for query in queries.values()) >= _MOST_QUERIES:
        raise refuse("LimitExceededException", "Account maximum query concurrency limit of 100 reached.")
    if group.kind == "DELIVERY":
        raise refuse(_BAD, "this log class has no Logs Insights")
    start, end = request.params["startTime"], request.params["endTime"]
    if group.created is not None and end * 1000 < group.created:
        raise refuse(
            "MalformedQueryException",
            "Query's end date and time is either before the log groups creation time or exceeds the log "
            "groups log retention settings ([1,2])",
        )
    most = int(request.get("limit", _MOST))
    if most > _MOST_ROWS or "sort @timestamp asc" not in request.params["queryString"]:
        raise refuse(_BAD, "this fake knows one query only")
    found = [*group.after((start * 1000, -1, -1), end * 1000 + 1)][: PLAN.page_size.get("StartQuery", most)]
    number = f"query-{next(_NUMBERS)}"
    queries[number] = _Query([_row(event) for event in found if event.stream in moto_group.streams])
    return {"queryId": number}


def get_query_results(request: Request) -> dict[str, Any]:
    """Serve a page of a query's rows; while it runs, some of them."""
    query = _queries(request).get(request.params["queryId"])
    if query is None:
        raise refuse("ResourceNotFoundException", "no such query")
    query.looks += 1
    if query.looks < _LOOKS:
        status = ("Scheduled", "Running")[query.looks - 1]
        return {"status": status, "results": query.rows[: query.looks - 1], "statistics": {}}
    if ended := PLAN.statuses.get("StartQuery"):
        return {"status": ended.pop(0), "results": [], "statistics": {}}
    first = int(request.get("nextToken", 0))
    end = first + min(int(request.get("maxItems", _MOST)), PLAN.page_size.get("GetQueryResults", _MOST))
    more = {"nextToken": str(end)} if end < len(query.rows) else {}
    size = sum(len(row[3]["value"].encode()) for row in query.rows)
    told = {"bytesScanned": float(size), "recordsMatched": len(query.rows), "recordsScanned": len(query.rows)}
    return {"status": "Complete", "results": query.rows[first:end], "statistics": told, **more}


@dataclass(slots=True)
class _Query:
    """A query: what it found, and how often it was looked at."""

    rows: list[list[dict[str, str]]]
    looks: int = 0


def _queries(request: Request) -> dict[str, _Query]:
    return state("queries", request.account, request.region, dict)


def _row(event: LogEvent) -> list[dict[str, str]]:
    """Return an event as a row of a query, whose times are texts."""
    times = {"@timestamp": event.timestamp, "@ingestionTime": event.ingestion}
    told = {
        name: f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d %H:%M:%S}.{ms % 1000:03}"
        for name, ms in times.items()
    }
    told |= {"@logStream": event.stream, "@message": event.message, "@ptr": f"ptr-{next(_NUMBERS)}"}
    return [{"field": name, "value": value} for name, value in told.items()]


def _cut(
    operation: str, found: Iterator[LogEvent], place: tuple[int, ...], limit: int
) -> tuple[list[LogEvent], tuple[int, ...], bool]:
    """Return a page within the limits of number and bytes, the place after it, and whether there is more."""
    if not 1 <= limit <= _MOST:
        raise refuse(
            _BAD, f"1 validation error detected: Value '{limit}' at 'limit' failed to satisfy constraint"
        )
    most = PLAN.page(operation, limit)
    if most is None:
        return [], place, True
    page: list[LogEvent] = []
    size = 0
    for event in found:
        size += len(event.message.encode(errors="surrogatepass")) + 26
        if len(page) == most or (page and size > _PAGE_BYTES):
            return _shuffled(operation, page), page[-1].place, True
        page.append(event)
    return _shuffled(operation, page), page[-1].place if page else place, False


def _shuffled(operation: str, page: list[LogEvent]) -> list[LogEvent]:
    """Return a page as it is, or, on plan, out of order: streams are interleaved at best effort only."""
    if operation not in PLAN.shuffled or not page:
        return page
    return random.Random(page[0].number).sample(page, len(page))


def _shown(event: LogEvent) -> dict[str, Any]:
    return {
        "logStreamName": event.stream,
        "timestamp": event.timestamp,
        "message": event.message,
        "ingestionTime": event.ingestion,
        "eventId": event.id,
    }


def _backend(account: str, region: str) -> Any:
    from moto.logs.models import logs_backends  # noqa: PLC0415 - moto is slow to import

    return logs_backends[account][region]


def _group_of(request: Request) -> Any:
    name = request.get("logGroupName") or request.params["logGroupIdentifier"]
    name = name.split(":log-group:")[-1].removesuffix(":*")
    group = _backend(request.account, request.region).groups.get(name)
    if group is None:
        raise refuse("ResourceNotFoundException", "The specified log group does not exist.")
    return group


def extend() -> None:
    """Install the extension in moto; what PutLogEvents and DescribeLogGroups of moto do is completed."""
    from moto.logs import models  # noqa: PLC0415 - moto is slow to import
    from moto.logs.responses import LogsResponse  # noqa: PLC0415

    install(LogsResponse, "logs", filter_log_events, get_log_events, start_query, get_query_results)
    put, describe = models.LogStream.put_log_events, models.LogGroup.to_describe_dict

    def put_and_keep(self: Any, log_events: list[dict[str, Any]]) -> str:
        group = attached(self.log_group, _Group)
        with LOCK:
            for event in log_events:
                group.add(self.log_stream_name, event["timestamp"], event["message"], 0)
        return str(put(self, log_events))

    def describe_with_class(self: Any) -> dict[str, Any]:
        group = attached(self, _Group)
        created = {} if group.created is None else {"creationTime": group.created}
        return {**describe(self), **created, "logGroupClass": group.kind}

    replace_method(models.LogStream, "put_log_events", put_and_keep)
    replace_method(models.LogGroup, "to_describe_dict", describe_with_class)
