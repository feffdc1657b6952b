"""What the demo shows: a live table on a terminal, plain lines elsewhere, and a summary at the end."""

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.table import Table

Update = Callable[[Counter[str], int], None]


@contextmanager
def show(expected: Counter[str]) -> Iterator[Update]:
    """Yield a function that shows what has arrived and how many messages still wait in queues."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _plain(expected)
        return
    with Live(console=console, refresh_per_second=8) as live:
        yield lambda arrived, waiting: live.update(_table(expected, arrived, waiting))


def _plain(expected: Counter[str]) -> Update:
    told = -1

    def update(arrived: Counter[str], waiting: int) -> None:
        nonlocal told
        if arrived.total() != told:
            told = arrived.total()
            sys.stderr.write(f"{told} of {expected.total()} events arrived, {waiting} messages waiting\n")

    return update


def _table(expected: Counter[str], arrived: Counter[str], waiting: int) -> Table:
    table = Table(
        "tag",
        "sent in",
        "arrived",
        title="AWS → devo-aws-collector → Devo",
        caption=f"{waiting} messages waiting in queues",
    )
    for tag in sorted(expected | arrived):
        done = arrived[tag] >= expected[tag]
        table.add_row(tag, str(expected[tag]), str(arrived[tag]), style="green" if done else "")
    return table


def summary(expected: Counter[str], arrived: Counter[str]) -> None:
    """Write `tag  events` for all that arrived to stdout, and what differs from what was put in."""
    width = max(len(tag) for tag in expected | arrived)
    for tag in sorted(expected | arrived):
        difference = "" if arrived[tag] == expected[tag] else f"  ({expected[tag]} were put in)"
        sys.stdout.write(f"{tag:{width}}  {arrived[tag]:8}{difference}\n")
    sys.stdout.write(f"{'total':{width}}  {arrived.total():8}\n")
