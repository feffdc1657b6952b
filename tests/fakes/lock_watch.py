"""Enforces the tables of `transforms/locks.py`: a touch of a guarded field without its lock raises.

Every touch by the collector's own code counts, in a thread that does not hold the lock; it also stays in
`UNGUARDED`, in case somebody catches what it raises. The first write of a field is its making, and free.
"""

import threading
from functools import cache
from inspect import currentframe
from operator import attrgetter
from typing import Any

from transforms import locks
from transforms.locks import Guard

_OURS = frozenset({"flows", "sinks", "sources", "transforms"})


class UnguardedError(AssertionError):
    """A field was touched without the lock that guards it."""


UNGUARDED: list[str] = []
"""What was touched without its lock, since `watch`."""


@cache
def watch() -> None:
    """Enforce all tables from now on, in this process."""
    locks.each(_enforce)


def _enforce(cls: type, table: tuple[Guard, ...]) -> None:
    for guard in table:
        for name in guard.fields:
            setattr(cls, name, _Watched(f"{cls.__name__}.{name}", guard, cls.__dict__.get(name)))


class _Watched:
    """Stands for a field. slot: what stood there, of a class with slots; else values are in `__dict__`."""

    def __init__(self, name: str, guard: Guard, slot: Any) -> None:
        self._name, self._field, self._slot = name, name.rpartition(".")[2], slot
        self._guard, self._lock = guard, attrgetter(guard.lock)

    def __get__(self, thing: Any, owner: type | None = None) -> Any:
        if thing is None:
            return self
        if not self._guard.read_freely:
            self._check(thing)
        return self._read(thing)

    def __set__(self, thing: Any, value: Any) -> None:
        try:
            self._read(thing)
        except AttributeError:  # it is being made
            pass
        else:
            self._check(thing)
        if self._slot is not None:
            self._slot.__set__(thing, value)
        else:
            thing.__dict__[self._field] = value

    def _read(self, thing: Any) -> Any:
        if self._slot is not None:
            return self._slot.__get__(thing)
        try:
            return thing.__dict__[self._field]
        except KeyError:
            raise AttributeError(self._field) from None

    def _check(self, thing: Any) -> None:
        module, line = _caller()
        if module.partition(".")[0] in _OURS and not _held(self._lock(thing)):
            what = f"{self._name} without {self._guard.lock}: {module}, line {line}"
            UNGUARDED.append(what)
            raise UnguardedError(what)


def _caller() -> tuple[str, int]:
    """Return the module and line that touches a field: three calls up, through check and descriptor."""
    frame = currentframe()
    try:
        for _ in range(3):
            frame = frame and frame.f_back
        return (str(frame.f_globals.get("__name__", "")), frame.f_lineno) if frame else ("", 0)
    finally:
        del frame  # a frame that knows itself would keep alive whatever its callers hold


def _held(lock: Any) -> bool:
    """Tell whether this thread holds a lock: only then may it notify, be it nobody."""
    try:
        (lock if isinstance(lock, threading.Condition) else threading.Condition(lock)).notify(0)
    except RuntimeError:
        return False
    return True
