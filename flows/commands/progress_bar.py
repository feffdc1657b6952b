"""A progress bar on a terminal; nothing elsewhere, where lines of it would be noise."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress

_REDRAW_SECONDS = 0.2


@contextmanager
def progress(what: str, total: int, done: Callable[[], int], *, quiet: bool) -> Iterator[None]:
    """Draw `done()` of `total` on stderr until the block ends."""
    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield
        return
    over = threading.Event()
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task(what, total=total)

        def draw() -> None:
            while not over.wait(_REDRAW_SECONDS):
                bar.update(task, completed=done())

        painter = threading.Thread(target=draw, name="progress", daemon=True)
        painter.start()
        try:
            yield
        finally:
            over.set()
            painter.join()
