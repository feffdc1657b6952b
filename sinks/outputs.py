"""From an output's settings to what writes to it."""

from collections.abc import Callable, Sequence
from functools import partial
from threading import Event
from time import monotonic
from typing import Protocol, TypeAlias, assert_never

from sinks import telemetry
from sinks.connection import Buffer, Connection, Endpoint, ReceiptStrength, Tick, connect
from sinks.console import ConsoleOutput, FileOutput
from sinks.devo_http import HttpOutput
from sinks.errors import DeliveryError
from sinks.frame import Framer, squeezed
from sinks.http_connection import Dial, HttpConnection
from sinks.link import Encode, Link, ReceiptPolicy
from sinks.request import HttpEndpoint
from sinks.retry_budget import Clock, RetryBudget, RetryLimits
from sinks.settings import (
    Console,
    Delivery,
    DevoConfig,
    DevoHttp,
    DevoPlatform,
    File,
    Network,
    OutputSettings,
    Remote,
    Syslog,
    SyslogConfig,
)
from sinks.tls import ClientCertificate, connect_tls
from transforms.block import Block

WINDOW_BYTES = 40 << 20
"""What may be without receipt in one process, by default."""

_BEST_EFFORT_SECONDS = 5.0
_BEST_EFFORT_REST_SECONDS = 30.0
_REFUSAL_SECONDS = 0.3


class Output(Protocol):
    """Where blocks go. All methods raise DeliveryError, and then nothing may be acknowledged."""

    name: str

    @property
    def strength(self) -> ReceiptStrength:
        """How much its receipts prove, as far as is known now."""

    def write(self, block: Block) -> None:
        """Hand over a block; it is not delivered before `finish` says so."""

    def begin(self) -> None:
        """Ask for the receipt of everything written."""

    def finish(self) -> ReceiptStrength:
        """Wait for that receipt."""

    def close(self) -> None:
        """Let go of sockets and files; promises nothing."""


Opener: TypeAlias = Callable[[], Output]
"""Makes one output for one sink partition; what all of them share, it holds. Opens nothing yet."""


def opener(settings: OutputSettings, window_bytes: int = WINDOW_BYTES, drain: Event | None = None) -> Opener:
    """Return the maker of an output. window_bytes: how much one output may hold without receipt."""
    clock = Clock(drain or Event())
    make: Opener
    match settings:
        case DevoPlatform() | Syslog():
            make = _link(settings, window_bytes, clock)
        case Console():
            make = partial(ConsoleOutput, settings.name, Framer.of(settings.config))
        case File():
            make = partial(FileOutput, settings.name, Framer.of(settings.config), settings.config.path)
        case DevoHttp():
            make = _http(settings, window_bytes, clock)
        case _:
            assert_never(settings)
    required = settings.config.required
    strength = ReceiptStrength.WRITTEN if isinstance(settings, Console | File) else ReceiptStrength.RECEIPT
    telemetry.output_declared(settings.name, settings.type, strength, required=required)
    return make if required else lambda: BestEffort(make, clock)


def probe(settings: OutputSettings) -> ReceiptStrength:
    """Open an output, send nothing, and see how it answers the close. Raises DeliveryError.

    For commands that check a configuration; it waits 5 seconds for an answer at most. Of an HTTP endpoint it
    proves name and certificate; domain and token show with the first event only.
    """
    if isinstance(settings, DevoHttp):
        _dial(settings)(lambda: None).abandon()
        return ReceiptStrength.RECEIPT
    if not isinstance(settings, DevoPlatform | Syslog):
        return ReceiptStrength.WRITTEN
    connection = _connector(settings)(lambda: None)
    try:
        connection.listen(_REFUSAL_SECONDS)
        connection.begin_close()
        return connection.await_close(min(settings.config.receipt_timeout_seconds, _BEST_EFFORT_SECONDS))
    finally:
        connection.abandon()


def event_limit(outputs: Sequence[OutputSettings], tag: str = "") -> int:
    """Return the size of the largest event of a tag that every output takes, in bytes."""
    return min((_largest(output.config, tag) for output in outputs), default=1 << 20)


def _largest(config: Delivery, tag: str) -> int:
    if not isinstance(config, SyslogConfig):
        return config.max_event_bytes
    room = config.receiver_max_event_bytes - len(Framer.of(config).head(tag))
    return min(config.max_event_bytes, max(room, 0))


class BestEffort:
    """An output that is not required: what it misses is counted, and nothing waits for it.

    After a failure it is left alone for half a minute: trying costs time that the required ones lack.
    """

    def __init__(self, make: Opener, clock: Clock) -> None:
        self._make, self._clock = make, clock
        self._output = make()
        self.name = self._output.name
        self._rest_until = clock.now()
        self._pending = self._missed = 0
        self._error: DeliveryError | None = None

    @property
    def resting(self) -> bool:
        """Whether the output is left alone after a failure."""
        return self._clock.now() < self._rest_until

    @property
    def strength(self) -> ReceiptStrength:
        """How much the output's receipts prove; nothing while it is left alone."""
        return ReceiptStrength.NONE if self.resting else self._output.strength

    def write(self, block: Block) -> None:
        """Write when the output is well, else count the block as missed."""
        if self.resting:
            self._missed += block.count
            return
        self._pending += block.count
        self._attempt(lambda: self._output.write(block))

    def begin(self) -> None:
        """Ask for the receipt when the output is well."""
        if not self.resting:
            self._attempt(self._output.begin)

    def finish(self) -> ReceiptStrength:
        """Wait for the receipt when the output is well, and log what was missed since the last."""
        if not self.resting and self._attempt(self._output.finish):
            self._pending = 0
        if self._missed and self._error:
            telemetry.best_effort_missed(self.name, self._missed, self._error)
            self._missed = 0
        elif self._error and not self.resting:
            telemetry.best_effort_restored(self.name, self.strength)
            self._error = None
        return self.strength

    def close(self) -> None:
        """Let go of the output."""
        self._output.close()

    def _attempt(self, step: Callable[[], object]) -> bool:
        try:
            step()
        except DeliveryError as error:
            self._error = error
            self._missed, self._pending = self._missed + self._pending, 0
            self._rest_until = self._clock.now() + _BEST_EFFORT_REST_SECONDS
            self._output.close()
            self._output = self._make()  # what the old one held is given up
            return False
        return True


def _link(settings: DevoPlatform | Syslog, window_bytes: int, clock: Clock) -> Opener:
    config = settings.config
    limits = _limits(config)
    connector, encode = _connector(settings), encoder(config)
    receipt_policy = ReceiptPolicy(
        settings.name, _bounded(config, config.receipt_timeout_seconds), fallback=config.receipt_fallback
    )
    return lambda: Link(
        settings.name,
        connector,
        encode,
        window_bytes=window_bytes,
        receipt_policy=receipt_policy,
        retry_budget=RetryBudget(settings.name, limits, clock),
        clock=clock,
    )


def _connector(settings: DevoPlatform | Syslog) -> Callable[[Tick], Connection]:
    config = settings.config
    endpoint = _endpoint(config, config.address, config.port)
    match config:
        case DevoConfig():
            files = ClientCertificate(config.chain, config.cert, config.key, config.verify_server_name)
            return partial(connect_tls, endpoint, files)
        case SyslogConfig():
            return partial(connect, endpoint)
        case _:
            assert_never(config)


def _http(settings: DevoHttp, window_bytes: int, clock: Clock) -> Opener:
    config = settings.config
    place, dial, limits = HttpEndpoint.of(config), _dial(settings), _limits(config)
    level = config.compression_level if config.gzip else 0
    timeout = _bounded(config, config.receipt_timeout_seconds)

    def make() -> HttpOutput:
        retry_budget = RetryBudget(settings.name, limits, clock)
        return HttpOutput(
            settings.name,
            place,
            level,
            lambda: HttpConnection(dial, retry_budget.tick, timeout, clock),
            lanes=config.concurrent_connections,
            window_bytes=window_bytes,
            retry_budget=retry_budget,
            clock=clock,
        )

    return make


def _dial(settings: DevoHttp) -> Dial:
    place = HttpEndpoint.of(settings.config)
    endpoint = _endpoint(settings.config, place.address, place.port)
    opened = partial(telemetry.connection_opened, settings.name)
    return partial(
        _dialled, endpoint, ClientCertificate(settings.config.chain) if place.tls else None, opened
    )


def _dialled(
    endpoint: Endpoint, files: ClientCertificate | None, opened: Callable[[str, float], None], tick: Tick
) -> Connection:
    started = monotonic()
    connection = connect_tls(endpoint, files, tick) if files else connect(endpoint, tick)
    opened(connection.where, monotonic() - started)
    return connection


def _endpoint(config: Remote, address: str, port: int) -> Endpoint:
    connecting, sending = (
        _bounded(config, seconds) for seconds in (config.connect_timeout_seconds, config.sending_timeout)
    )
    return Endpoint(address, port, connecting, sending)


def _limits(config: Remote) -> RetryLimits:
    return (
        RetryLimits(config.outage_limit_seconds, config.drain_grace_seconds)
        if config.required
        else RetryLimits(0.0, 0.0)
    )


def _bounded(config: Remote, seconds: float) -> float:
    """Return how long to wait: an output that is not required must not hold the others up."""
    return seconds if config.required else min(seconds, _BEST_EFFORT_SECONDS)


def encoder(config: Network) -> Encode:
    """Return what makes wire bytes of a block: lines, or a gzip member when the settings ask for it."""
    framer, threshold = Framer.of(config), config.threshold_for_using_gzip_in_transport_layer

    def encode(block: Block, fullness: float) -> tuple[Buffer, ...]:
        lines = framer(block)
        return (squeezed(lines, config.compression_level),) if fullness >= threshold else lines

    return encode
