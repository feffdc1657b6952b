"""What goes out: how many events of each tag, and, for whoever may see them, the next ones of a source."""

import time
from collections import Counter
from collections.abc import Iterable

from msgspec import Struct, field

from transforms.block import Block
from transforms.telemetry import printable

_MOST_TAGS, _MOST_EVENTS, _MOST_BYTES = 1_000, 20, 4_096
_KEPT_SECONDS = 30.0
OTHER = "other tags"


class Tap(Struct):
    """The next events of a source, as they are taken; closed when nobody has looked for half a minute."""

    source: str
    looked_at: float
    events: list[str] = field(default_factory=list)


class Outgoing:
    """Is shown each batch on its way to the outputs. Called by the dataflow's thread, read by others."""

    def __init__(self) -> None:
        self.tags: Counter[str] = Counter()
        self._tap: Tap | None = None

    def hear(self, items: Iterable[object]) -> None:
        """Count a batch, and show its events to whoever looks."""
        for item in items:
            if isinstance(item, Block):
                known = item.tag in self.tags or len(self.tags) < _MOST_TAGS
                self.tags[item.tag if known else OTHER] += item.count
                if self._tap:
                    self._show(self._tap, item)

    def tap(self, source: str) -> list[str]:
        """Return the events of a source since this was first asked, twenty at most; "" = of every source."""
        now = time.monotonic()
        if self._tap is None or self._tap.source != source or now - self._tap.looked_at > _KEPT_SECONDS:
            self._tap = Tap(source, now)
        self._tap.looked_at = now
        return list(self._tap.events)

    def _show(self, tap: Tap, block: Block) -> None:
        if time.monotonic() - tap.looked_at > _KEPT_SECONDS:
            self._tap = None
        elif tap.source in {"", block.origin.service} and len(tap.events) < _MOST_EVENTS:
            lines = block.payload[: _MOST_EVENTS * _MOST_BYTES].split(b"\n")[: min(block.count, _MOST_EVENTS)]
            room = _MOST_EVENTS - len(tap.events)
            shown = (line[:_MOST_BYTES].decode(errors="replace") for line in lines[:room])
            tap.events += [f"{block.tag}: {printable(line)}" for line in shown]
