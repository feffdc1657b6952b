"""From an output's settings to what writes to it."""

from collections.abc import Callable, Sequence
from functools import partial
from threading import Event
from typing import Protocol, TypeAlias, assert_never

from sinks import telemetry
from sinks.connection import Buffer, Connection, Endpoint, Strength, Tick, connect
from sinks.console import ConsoleOutput, FileOutput
from sinks.errors import DeliveryError
from sinks.frame import Framer, gzipped
from sinks.link import Answers, Encode, Link
from sinks.patience import Clock, Limits, Patience
from sinks.settings import (
    Console,
    DevoConfig,
    DevoHttp,
    DevoPlatform,
    File,
    Network,
    OutputSettings,
    Syslog,
    SyslogConfig,
)
from sinks.tls import Credentials, connect_tls
from transforms.block import Block

WINDOW_BYTES = 64 << 20
"""What may be without receipt in one process, by default."""

_BEST_EFFORT_SECONDS = 5.0
_BEST_EFFORT_REST_SECONDS = 30.0


class Output(Protocol):
    """Where blocks go. All methods raise DeliveryError, and then nothing may be acknowledged."""

    name: str

    def write(self, block: Block) -> None:
        """Hand over a block; it is not delivered before `finish` says so."""

    def begin(self) -> None:
        """Ask for the receipt of everything written."""

    def finish(self) -> Strength:
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
            raise DeliveryError("not built yet", f"output {settings.name}", "use `devo_platform` meanwhile")
        case _:
            assert_never(settings)
    if settings.config.required:
        return make
    return lambda: BestEffort(make, clock)


def probe(settings: OutputSettings) -> Strength:
    """Open an output, send nothing, and see how it answers the close. Raises DeliveryError.

    For commands that check a configuration; it waits 5 seconds for an answer at most.
    """
    if not isinstance(settings, DevoPlatform | Syslog):
        return Strength.WRITTEN
    connection = _connector(settings)(lambda: None)
    try:
        connection.begin_close()
        return connection.await_close(min(settings.config.receipt_timeout_seconds, _BEST_EFFORT_SECONDS))
    finally:
        connection.abandon()


def event_limit(outputs: Sequence[OutputSettings]) -> int:
    """Return the size of the largest event that every output takes, in bytes."""
    return min((output.config.max_event_bytes for output in outputs), default=1 << 20)


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

    def finish(self) -> Strength:
        """Wait for the receipt when the output is well, and tell what was missed since the last."""
        if not self.resting and self._attempt(self._output.finish):
            self._pending = 0
        if self._missed and self._error:
            telemetry.best_effort_missed(self.name, self._missed, self._error)
            self._missed = 0
        return Strength.WRITTEN

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
    seconds = config.receipt_timeout_seconds
    limits = Limits(config.outage_limit_seconds, config.drain_grace_seconds)
    if not config.required:
        seconds, limits = min(seconds, _BEST_EFFORT_SECONDS), Limits(0.0, 0.0)
    connector, encode = _connector(settings), encoder(config)
    answers = Answers(settings.name, seconds, fallback=config.receipt_fallback)
    return lambda: Link(
        settings.name,
        connector,
        encode,
        window_bytes=window_bytes,
        answers=answers,
        patience=Patience(settings.name, limits, clock),
        clock=clock,
    )


def _connector(settings: DevoPlatform | Syslog) -> Callable[[Tick], Connection]:
    config = settings.config
    wait = config.sending_timeout if config.required else min(config.sending_timeout, _BEST_EFFORT_SECONDS)
    endpoint = Endpoint(config.address, config.port, config.connect_timeout_seconds, wait)
    match config:
        case DevoConfig():
            files = Credentials(config.chain, config.cert, config.key, config.verify_server_name)
            return partial(connect_tls, endpoint, files)
        case SyslogConfig():
            return partial(connect, endpoint)
        case _:
            assert_never(config)


def encoder(config: Network) -> Encode:
    """Return what makes wire bytes of a block: lines, or a gzip member when the settings ask for it."""
    framer, threshold = Framer.of(config), config.threshold_for_using_gzip_in_transport_layer

    def encode(block: Block, fullness: float) -> tuple[Buffer, ...]:
        lines = framer(block)
        return (gzipped(lines, config.compression_level),) if fullness >= threshold else lines

    return encode
