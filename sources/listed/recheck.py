"""A second look at what an API has shown: finished ranges are read once more, and what came later is sent.

What was collected is known by its ids (`sources/collected.py`); an id that is not among them belongs to an
event that became visible after its time was final. It is sent, and its id kept: the next look finds nothing.
"""

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial

from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from msgspec.structs import replace

from sources.apis.poll import SECOND_LOOK, Page, Poll, Rest, State, Target
from sources.apis.poll_scheduler import PageInbox
from sources.apis.window import Window, now_ms
from sources.collected import KEPT_DAYS, CollectedIds
from sources.errors import SourceError, translate
from sources.journal import Journal, JournalRow
from sources.journal_windows import WindowRows
from sources.listed import telemetry
from transforms.block import Block, Flowing, Item

CHUNK = 6 * 3_600_000
"""Longest stretch that is read and compared at once, in ms."""

_DAY = 86_400_000
_BATCH_BYTES, _INBOX_BYTES = 1 << 20, 4 << 20
_PAUSE = timedelta(milliseconds=20)


def late_pages(poll: Poll, ids: CollectedIds, target: Target, window: Window) -> Iterator[Page]:
    """Yield what a range holds that was not collected. Raises SourceError when it cannot look."""
    for start in range(window.start, window.end, CHUNK):
        chunk = Window(start, min(start + CHUNK, window.end))
        for page in poll.recheck(target, chunk, ids.known(target.key, chunk.start, chunk.end)):
            if page.items:
                yield replace(page, late=None, again=False)


class DailyRecheck:
    """A `Poll` that reads each day of each target once more, a day after it has become final."""

    def __init__(self, poll: Poll, ids: CollectedIds, clock: Callable[[], int] = now_ms) -> None:
        self._poll, self._ids, self._clock = poll, ids, clock
        self._inner: dict[str, Target] = {}

    @property
    def name(self) -> str:
        """The service's."""
        return self._poll.name

    @property
    def period_seconds(self) -> float:
        """The service's: a second look is looked for as often."""
        return self._poll.period_seconds

    def targets(self) -> Iterable[Target | Rest | SourceError]:
        """Return the targets, each once more for its second look."""
        for one in self._poll.targets():
            yield one
            if isinstance(one, Target):
                key = f"{one.key}{SECOND_LOOK}"
                self._inner[key] = one
                yield replace(one, key=key, former=one.former and f"{one.former}{SECOND_LOOK}")

    def recheck(self, target: Target, window: Window, ids: dict[str, int]) -> Iterator[Page]:
        """Read a range once more."""
        return self._poll.recheck(target, window, ids)

    def pages(self, target: Target, state: State) -> Iterator[Page]:
        """Poll a target; or read the day that has become final since the last look."""
        inner = self._inner.get(target.key)
        if inner is None:
            yield from self._poll.pages(target, state)
            return
        found = self._ids.range(inner.key)
        if found is None:
            return
        if not state:
            yield Page((), {"v": 1, "from": found.final, "done": found.final})
            return
        oldest = found.final - (KEPT_DAYS - 1) * _DAY  # one day less: it moves on while a day is read
        start = max(state["done"], found.start, oldest)  # of what was read under a former key no ids are here
        end = start + _DAY
        if found.final < end:
            return
        left_out = partial(telemetry.recheck_left_out, self.name, inner.key)
        if start > state["done"]:
            left_out(state["done"], start, "what was collected is not known so far back")
        if lack := self._ids.lack(inner.key, start, end):  # however often it is tried
            left_out(start, end, lack)
        else:
            for page in late_pages(self._poll, self._ids, inner, Window(start, end)):
                yield replace(page, state=state, upto=0)
        yield Page((), {**state, "done": end}, again=found.final >= end + _DAY)


class LateSource(FixedPartitionedSource[Flowing, dict[str, int]]):
    """What a range of several targets holds that was not collected; one lane, read ahead by one thread.

    counts: events that were emitted, by target. failed: targets that could not be looked at, and why. Once
    their epoch is receipted, the last ones by `keep`, rows are written (journal, owner: the input) and ids
    kept: a killed look repeats an epoch at most.
    """

    journal: Journal | None = None
    owner = ""

    def __init__(
        self, poll: Poll, ids: CollectedIds, targets: Sequence[Target], window: Window, drain: threading.Event
    ) -> None:
        self._look, self._ids = partial(late_pages, poll, ids, window=window), ids
        self.targets, self.drain, self._reach = targets, drain, (window.start, window.end)
        self._windows, self._rows = WindowRows(poll.name, {}), list[JournalRow]()
        self.counts: Counter[str] = Counter()
        self._emitted: list[tuple[str, Mapping[str, int]]] = []
        self._sealed = 0
        self.failed: dict[str, SourceError] = {}

    @property
    def events(self) -> int:
        """How many were emitted."""
        return self.counts.total()

    def list_parts(self) -> list[str]:
        """Return the one lane."""
        return ["lane-0"]

    def build_part(self, _step_id: str, _for_part: str, _resume_state: dict[str, int] | None) -> "_LateLane":
        """Build the lane; a second look is never resumed, it is made again."""
        return _LateLane(self)

    def emit(self, pages: Sequence[tuple[str, Page]]) -> list[Item]:
        """Return the items of pages, and remember their ids."""
        for key, page in pages:
            self.counts[key] += sum(item.count for item in page.items if isinstance(item, Block))
            self._emitted.append((key, page.ids))
            self._windows.note(f"{key}{SECOND_LOOK}", self._reach, page.items, ())
        return [item for _, page in pages for item in page.items]

    def seal(self) -> None:
        """Note that an epoch ends."""
        self._sealed = len(self._emitted)
        self._rows += [replace(row, input=self.owner) for row in self._windows.ended(())]

    def keep(self, *, sealed: bool = False) -> None:
        """Keep the ids of all that was emitted, or of epochs that had ended and are receipted now.

        Raises SourceError for a journal that does not take their rows: then the next look finds them again.
        """
        if not sealed:
            self.seal()
        if self.journal is not None and self._rows:
            self.journal.write(self._rows)
        self._rows = []
        upto = self._sealed if sealed else len(self._emitted)
        for key, ids in self._emitted[:upto]:
            self._ids.add(key, ids)
        del self._emitted[:upto]
        self._sealed = 0

    def read(self, inbox: PageInbox, stopped: Callable[[], bool]) -> None:
        """Read every target; one that fails is noted, the others go on."""
        for target in self.targets:
            try:
                for page in self._look(target=target):
                    if not inbox.put(target.key, page, stopped):
                        return
            except Exception as error:  # noqa: BLE001 - told with the target; the others are looked at
                self.failed[target.key] = translate(error, target.key)


class _LateLane(StatefulSourcePartition[Flowing, dict[str, int]]):
    def __init__(self, source: LateSource) -> None:
        self._source, self._inbox = source, PageInbox(_INBOX_BYTES)
        self._closed = threading.Event()
        self._thread = threading.Thread(
            target=source.read, args=(self._inbox, self._closed.is_set), name="recheck", daemon=True
        )
        self._thread.start()

    def next_batch(self) -> list[Item]:
        """Return what has been read; the end when all is emitted, or when the process drains."""
        if self._source.drain.is_set():
            raise StopIteration
        self._source.keep(sealed=True)
        over = not self._thread.is_alive()  # before taking: what it has put is then all there
        taken = self._inbox.take(_BATCH_BYTES)
        if not taken and over and not len(self._inbox):
            raise StopIteration
        return self._source.emit(taken)

    def next_awake(self) -> datetime | None:
        """Return a moment soon when nothing waits."""
        return None if len(self._inbox) else datetime.now(UTC) + _PAUSE

    def snapshot(self) -> dict[str, int]:
        """Return nothing that would be gone on from."""
        self._source.seal()
        return {}

    def close(self) -> None:
        """Let the thread end."""
        self._closed.set()
