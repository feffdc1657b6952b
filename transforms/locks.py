"""Which lock guards which fields: a table at the top of each threaded module, which the test suite enforces.

    _LOCKS = (Guard("_changed", ("_waiting",)), Guard("_changed", ("bytes",), read_freely=True))

    @guarded(_LOCKS)
    class Inbox: …

At work the table is data. In the suite every touch of such a field without the lock raises
(`tests/fakes/lock_watch.py`).
"""

from collections.abc import Callable
from typing import TypeAlias, TypeVar

from msgspec import Struct

_T = TypeVar("_T", bound=type)


class Guard(Struct, frozen=True):
    """Fields that one lock guards. lock: the attribute that holds it, also of another object: `manager.lock`.

    read_freely: single words that may be read without it, since whoever does so can live with the last
    value; a container never is one, changing it begins with a read. The lock is an RLock, or a Condition.
    """

    lock: str
    fields: tuple[str, ...]
    read_freely: bool = False


See: TypeAlias = Callable[[type, tuple[Guard, ...]], None]

_known: list[tuple[type, tuple[Guard, ...]]] = []
_seeing: list[See] = []


def guarded(table: tuple[Guard, ...]) -> Callable[[_T], _T]:
    """Say which locks guard the fields of a class."""

    def note(cls: _T) -> _T:
        _known.append((cls, table))
        for see in _seeing:
            see(cls, table)
        return cls

    return note


def each(see: See) -> None:
    """Call `see` for each class that has a table, also for those to come."""
    _seeing.append(see)
    for cls, table in _known:
        see(cls, table)
