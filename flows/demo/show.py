"""What the demo shows: a live table on a terminal, plain lines elsewhere, and a summary at the end."""

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table

from flows.demo.tally import DemoProgress, Found

COMPLETE = "All that was put in has arrived, byte for byte, and every queue is empty."
_SAME = "identical"
_INCOMPLETE = "An event is missing, was changed, or still waits in a queue, or the collector failed."

Update = Callable[[Sequence[DemoProgress], int], None]
"""Takes how far each service has come, and how many messages wait in queues."""


def say(line: str) -> None:
    """Tell the reader what happens now."""
    sys.stderr.write(f"{line}\n")


@contextmanager
def show(console: Console | None = None) -> Iterator[Update]:
    """Yield a function that shows what has arrived."""
    console = console or Console(stderr=True)
    if not console.is_terminal or console.is_dumb_terminal:
        yield _plain(console)
        return
    with Live(console=console, refresh_per_second=8) as live:
        yield lambda progress, waiting: live.update(_table(progress, waiting))


def _plain(console: Console) -> Update:
    told = ""

    def update(progress: Sequence[DemoProgress], waiting: int) -> None:
        nonlocal told
        put_in, arrived = sum(one.put_in for one in progress), sum(one.arrived for one in progress)
        done = sum(one.arrived == one.put_in for one in progress)
        line = (
            f"{arrived} of {put_in} events arrived, {done} of {len(progress)} services complete, "
            f"{waiting} messages waiting"
        )
        if line != told:
            told = line
            console.file.write(f"{line}\n")

    return update


def _table(progress: Sequence[DemoProgress], waiting: int) -> Table:
    """Return one row per service: few enough for any terminal."""
    table = Table(
        "service",
        title="AWS → devo-aws-collector → Devo",
        caption=f"{waiting} messages waiting in queues",
    )
    table.add_column("put in", justify="right")
    table.add_column("arrived", justify="right")
    for one in progress:
        done = one.arrived == one.put_in
        table.add_row(one.service, str(one.put_in), str(one.arrived), style="green" if done else "")
    return table


def summary(found: Sequence[Found]) -> str:
    """Return `tag  events  content  collected by`, a line for each tag, and their sum."""
    services = {service for one in found for service in one.services}
    head = ("tag", "events", "content", "collected by")
    rows = [(one.tag, str(one.arrived), _content([one]), _collectors(one.services)) for one in found]
    total = (
        "total",
        str(sum(one.arrived for one in found)),
        _content(found),
        f"{len(services)} service{'s'[: len(services) != 1]}",
    )
    return _aligned([head, *rows, total])


def report(found: Sequence[Found], *, complete: bool) -> dict[str, Any]:
    """Return the summary for machines."""
    services: Counter[str] = sum((Counter(one.services) for one in found), Counter())
    return {
        "ok": complete,
        "meaning": COMPLETE if complete else _INCOMPLETE,
        "events": sum(one.arrived for one in found),
        "identical": _content(found) == _SAME,
        "services": dict(services),
        "tags": [
            {
                "tag": one.tag,
                "events": one.arrived,
                "identical": _content([one]) == _SAME,
                "missing": one.missing,
                "repeated": one.repeated,
                "unknown": one.unknown,
                "services": one.services,
            }
            for one in found
        ],
    }


def _content(found: Sequence[Found]) -> str:
    """Tell how what arrived compares with what was put in."""
    counts = {
        "missing": sum(one.missing for one in found),
        "repeated": sum(one.repeated for one in found),
        "unknown": sum(one.unknown for one in found),
    }
    return ", ".join(f"{count} {name}" for name, count in counts.items() if count) or _SAME


def _collectors(services: Mapping[str, int]) -> str:
    """Name who collected a tag, with shares when there are several."""
    if len(services) == 1:
        return next(iter(services))
    return ", ".join(f"{service} {count}" for service, count in services.items())


def _aligned(rows: Sequence[tuple[str, str, str, str]]) -> str:
    tag, events, content = (max(len(row[at]) for row in rows) for at in range(3))
    lines = (f"{a:{tag}}  {b:>{events}}  {c:{content}}  {d}".rstrip() for a, b, c, d in rows)
    return "".join(f"{line}\n" for line in lines)
