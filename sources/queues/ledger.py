"""The delivery contract as bookkeeping: emitted → sealed → settled. Pure; see `sources/__init__.py`.

bytewax calls a partition for the next epoch only when every output has finished the last one. So what was
emitted before a `snapshot` is delivered as soon as `next_batch` is called after it.
"""

from typing import Generic, TypeVar

T = TypeVar("T")


class Ledger(Generic[T]):
    """What one lane has emitted, and how far each of it has come. Not thread-safe: one worker owns it."""

    def __init__(self) -> None:
        self._open: list[T] = []
        self._sealed: list[T] = []

    def __len__(self) -> int:
        return len(self._open) + len(self._sealed)

    def emitted(self, thing: T) -> None:
        """Note that the last of a thing was handed to the dataflow, in the epoch that is running."""
        self._open.append(thing)

    def seal(self) -> None:
        """Note the end of the epoch (`snapshot`): nothing is known yet of what it holds."""
        self._sealed += self._open
        self._open = []

    def confirm(self) -> list[T]:
        """Note that `next_batch` was called; return what is delivered by that, each thing once."""
        delivered, self._sealed = self._sealed, []
        return delivered
