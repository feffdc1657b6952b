"""Ctrl-C in a loop that is to end in order, wherever it came.

What is raised in a finalizer or a callback of weakref is dropped, KeyboardInterrupt too (Python language
reference, `object.__del__`).
"""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType


@contextmanager
def until_interrupted(*signals: signal.Signals) -> Iterator[Callable[[], bool]]:
    """Yield what says whether one of the signals has come; it also ends the block, where Python lets it."""
    interrupted = False

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        nonlocal interrupted
        interrupted = True
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in signals}
    try:
        with suppress(KeyboardInterrupt):
            yield lambda: interrupted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
