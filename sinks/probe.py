"""Events that show where a receiver cuts: it cannot be asked, so who looks at what arrived must see it.

Each is a line of a known length, filled with the offsets of its bytes: one that arrived whole says so at its
end, one that was cut ends with the offset at which it was. What a receiver makes of the rest is harmless.
"""

from collections.abc import Iterator

from sinks.frame import Framer
from sinks.outputs import opener
from sinks.settings import Syslog
from transforms.block import Block, Origin

TAG = "my.app.collector.probe"
SIZES = (4096, 8096, *(1 << power for power in range(13, 21)))
"""Lengths of the lines, header included; rsyslog by default takes 8096. Unit: bytes."""

_CELL = 16


def lines(head_bytes: int, run: str) -> Iterator[bytes]:
    """Yield a message for each size. head_bytes: what is put before it; run: tells runs apart, ASCII."""
    for size in SIZES:
        start = f"probe {run} of {size} bytes".encode().ljust(
            -(-(head_bytes + 40) // _CELL) * _CELL - head_bytes
        )
        begun = head_bytes + len(start)
        cells = b"".join(b" byte=%010d" % at for at in range(begun, size - _CELL, _CELL))
        yield start + cells + b" whole=%09d" % size


def send(settings: Syslog, run: str) -> None:
    """Send all sizes and wait for the receipt. Raises DeliveryError."""
    messages = list(lines(len(Framer.of(settings.config).head(TAG)), run))
    now_or_never = {"outage_limit_seconds": 0.0, "drain_grace_seconds": 0.0}
    config = settings.config.model_copy(update=now_or_never)
    output = opener(settings.model_copy(update={"config": config}))()
    output.write(Block(b"\n".join([*messages, b""]), len(messages), Origin("probe"), TAG))
    output.begin()
    output.finish()
    output.close()
