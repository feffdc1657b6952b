"""Devo over HTTP: blocks are gathered by tag, each request is receipted by its own answer.

    write(block)   gathered; goes out when its tag has enough for a request
    begin()        everything gathered goes out
    finish()       every request has its 2xx; a request without one is sent again, and it alone

Requests go over several keep-alive connections, each with one request under way, so that the way to the
receiver and back costs little without threads. What is not answered yet is bounded by the window.
"""

from collections.abc import Callable
from datetime import UTC, datetime

from sinks import telemetry
from sinks.connection import ReceiptStrength
from sinks.errors import Interrupted
from sinks.http_connection import HttpConnection
from sinks.request import TOO_LARGE, HttpEndpoint, Parcel, accept
from sinks.retry_budget import Clock, RetryBudget
from transforms.block import Block

REQUEST_BYTES = 4 << 20
"""A tag that has so much waiting gets its request at once. Before compression."""


class _HttpLane:
    """One connection, and what is under way on it."""

    def __init__(self, exchange: HttpConnection) -> None:
        self.exchange = exchange
        self.parcels: list[Parcel] = []  # the first one is under way
        self.failure: Interrupted | None = None


class HttpOutput:
    """Devo's HTTP endpoint. level: of gzip, 0 for none. window_bytes: what may be without its answer."""

    strength = ReceiptStrength.RECEIPT

    def __init__(  # noqa: PLR0913 - the parts of an output, each brought by the builder
        self,
        name: str,
        place: HttpEndpoint,
        level: int,
        exchange: Callable[[], HttpConnection],
        *,
        lanes: int,
        window_bytes: int,
        retry_budget: RetryBudget,
        clock: Clock,
    ) -> None:
        self.name = name
        self._place, self._level = place, level
        self._lanes = [_HttpLane(exchange()) for _ in range(lanes)]
        self._turn = 0
        self._retry_budget, self._clock = retry_budget, clock
        self._limit = window_bytes
        self._most = min(REQUEST_BYTES, window_bytes)
        self._gathered: dict[str, Parcel] = {}
        self._held = self._events = 0
        self._began = clock.now()
        telemetry.window_opened(name, window_bytes)

    def write(self, block: Block) -> None:
        """Gather a block. Raises OutageTooLong."""
        if self._held and self._held + len(block.payload) > self._limit:
            telemetry.window_full(self.name, self._held)
            self.begin()
            self.finish()
        self._gather(block)
        self._events += block.count
        telemetry.block_written(self.name, block.count, len(block.payload))

    def begin(self) -> None:
        """Send everything gathered; the last requests' answers are not waited for. Raises OutageTooLong."""
        self._began = self._clock.now()
        while self._gathered:
            self._post(self._gathered.pop(next(iter(self._gathered))))

    def finish(self) -> ReceiptStrength:
        """Wait until every request is answered. Raises OutageTooLong."""
        while self._gathered:
            self._post(self._gathered.pop(next(iter(self._gathered))))
        for lane in self._lanes:
            self._settle(lane)
        if self._events:
            seconds = self._clock.now() - self._began
            telemetry.receipt_taken(self.name, self.strength, self._events, seconds)
        self._events = 0
        return self.strength

    def close(self) -> None:
        """Drop the connections, without any promise; the end of this output."""
        for lane in self._lanes:
            lane.exchange.drop()
        self._hold(-self._held)
        telemetry.window_opened(self.name, -self._limit)

    def _hold(self, size: int) -> None:
        self._held += size
        telemetry.window_changed(self.name, size)

    def _gather(self, block: Block) -> None:
        parcel = self._gathered.get(block.tag)
        if parcel is not None and parcel.size + len(block.payload) > self._most:
            self._post(self._gathered.pop(block.tag))
        self._gathered.setdefault(block.tag, Parcel(block.tag)).add(block.payload, block.count)
        self._hold(len(block.payload))

    def _post(self, parcel: Parcel) -> None:
        """Send events over the connection whose turn it is, once those before have their answer."""
        lane = self._lanes[self._turn]
        self._turn = (self._turn + 1) % len(self._lanes)
        self._settle(lane)
        lane.parcels = parcel.cut(self._most)
        self._send(lane)

    def _send(self, lane: _HttpLane) -> None:
        parcel = lane.parcels[0]
        body = parcel.body(self._level)
        head = self._place.head(parcel.tag, sum(len(part) for part in body), gzip=self._level > 0)
        try:
            lane.exchange.post(head, body)
        except Interrupted as error:
            lane.failure = error
        else:
            lane.failure = None

    def _settle(self, lane: _HttpLane) -> None:
        """Return when the lane's parcels are answered with 2xx, however often they must be sent."""
        while lane.parcels:
            try:
                self._answered(lane)
            except Interrupted as error:
                self._retry_budget.failed(error, lane.parcels[0].events)
                self._send(lane)

    def _answered(self, lane: _HttpLane) -> None:
        """Read the answer to the lane's first parcel, and send the next if there is one."""
        if lane.failure is not None:
            raise lane.failure
        parcel = lane.parcels[0]
        where = f"output {self.name} at {self._place.address}:{self._place.port}, tag {parcel.tag}"
        answer = lane.exchange.answer()
        if answer.status == TOO_LARGE and parcel.events > 1:
            self._most = min(self._most, parcel.size // 2)
            telemetry.request_split(self.name, self._most)
            lane.parcels = [part for each in lane.parcels for part in each.cut(self._most)]
        else:
            accept(answer, where, datetime.now(UTC))
            del lane.parcels[0]
            self._hold(-parcel.size)
            self._retry_budget.delivered()
        if lane.parcels:
            self._send(lane)
