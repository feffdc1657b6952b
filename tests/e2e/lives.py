"""What arrived in which life of a collector, in which of its intervals, and what came again after its end.

Lines carry the time of their sending (`timestamp: iso8601`), so each belongs to the life that sent it.
Receipts are logged with their number of events, so each line belongs to the interval whose receipt counts it.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import accumulate
from operator import itemgetter

from tests.fakes.collector import Collector
from tests.fakes.receivers import Line, Receiver


@dataclass(frozen=True, slots=True)
class Life:
    """One life of the collector.

    sent: lines. receipts: taken. at_risk: lines of the last interval, the one whose receipt was not taken or
    not kept. seconds: between the first and the last one of these. again: lines that a later life sent again.
    intervals: those that they belong to, counted from the end: 0 was open, 1 had its receipt.
    """

    number: int
    end: str
    sent: int
    receipts: int
    at_risk: int
    seconds: float
    again: int
    intervals: frozenset[int]


class Record:
    """Reads what arrives. name: line → id; it raises ValueError for a line that was cut short.

    ids: what has arrived so far.
    """

    def __init__(self, receiver: Receiver, name: Callable[[Line], str]) -> None:
        self._tail, self._name = receiver.tail(), name
        self.times: Counter[str] = Counter()
        self.torn = 0
        self._sent: list[tuple[str, str]] = []
        self._ends: list[tuple[str, str, list[int]]] = []

    def look(self) -> int:
        """Read what is new; returns how many lines have arrived in all."""
        for line in self._tail.lines():
            try:
                name = self._name(line)
            except ValueError:
                self.torn += 1
            else:
                self.times[name] += 1
                self._sent.append((line.date, name))
        return len(self._sent)

    def end(self, collector: Collector, how: str) -> None:
        """Note that a life has just ended, and the receipts that it had taken."""
        receipts = [receipt["events"] for receipt in collector.told("receipt_taken")]
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        self._ends.append((now, how, receipts))

    def lives(self) -> list[Life]:
        """Return every life that has ended, once everything has been read."""
        ends = [moment for moment, _, _ in self._ends]
        sent: list[list[tuple[str, str]]] = [[] for _ in ends]
        for line in sorted(self._sent, key=itemgetter(0)):
            sent[bisect_right(ends, line[0])].append(line)
        later: set[str] = set()
        found = []
        for number, (_, how, receipts) in reversed(list(enumerate(self._ends))):
            found.append(_life(number + 1, how, sent[number], receipts, later))
            later.update(name for _, name in sent[number])
        return found[::-1]


def _life(number: int, how: str, lines: list[tuple[str, str]], receipts: list[int], later: set[str]) -> Life:
    """Return what became of a life's lines (date, id), in order of sending."""
    borders = list(accumulate(receipts))
    interval = [len(borders) - bisect_right(borders, place) for place in range(len(lines))]
    again = [interval[place] for place, (_, name) in enumerate(lines) if name in later]
    last = max(again, default=0)
    at_risk = [date for (date, _), its in zip(lines, interval, strict=True) if its == last]
    return Life(
        number, how, len(lines), len(receipts), len(at_risk), _span(at_risk), len(again), frozenset(again)
    )


def _span(dates: list[str]) -> float:
    if not dates:
        return 0.0
    return (datetime.fromisoformat(dates[-1]) - datetime.fromisoformat(dates[0])).total_seconds()


def table(lives: list[Life]) -> str:
    """Return a line per life."""
    rows = ["life  end      sent  receipts  last interval: events  seconds  came again"]
    rows += [
        f"{one.number:4}  {one.end:5} {one.sent:7} {one.receipts:9} "
        f"{one.at_risk:22} {one.seconds:8.2f} {one.again:11}"
        for one in lives
    ]
    return "\n".join(rows)
