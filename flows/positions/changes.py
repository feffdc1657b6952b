"""What differs between two states of a lane: plain data, never changed once it was handed over."""

from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

Change: TypeAlias = list[Any]
"""`[path, value]`: put it there; or `[path]`: remove what is there. path: keys of nested dicts, [] = all."""


def changes(before: Any, after: Any, path: tuple[Any, ...] = ()) -> Iterator[Change]:
    """Yield what makes the one of the other. What is the same object is not looked into."""
    if before is after:
        return
    if not (isinstance(before, dict) and isinstance(after, dict)):
        if before != after:
            yield [list(path), after]
        return
    for key in before.keys() - after.keys():
        yield [[*path, key]]
    for key, value in after.items():
        if key in before:
            yield from changes(before[key], value, (*path, key))
        else:
            yield [[*path, key], value]


def added(before: Any, change: Change) -> bool:
    """Tell that a change is of something that was not there: it cannot be done without at a restart."""
    path, *_ = change
    for key in path:
        if not isinstance(before, dict) or key not in before:
            return True
        before = before[key]
    return before is None


def applied(state: Any, made: Iterable[Change]) -> Any:
    """Return a state after changes; it is changed in place, as far as it can be."""
    for path, *value in made:
        if not path:
            state = value[0]
            continue
        inner = state
        for key in path[:-1]:
            inner = inner[key]
        if value:
            inner[path[-1]] = value[0]
        else:
            inner.pop(path[-1], None)
    return state
