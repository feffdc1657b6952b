"""What a fuzz target is: a name, a function of bytes that checks what must hold, and where to begin."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import TypeAlias

One: TypeAlias = Callable[[bytes], None]
"""Runs the code on some bytes; raises AssertionError, or what should not have come out of it."""


@dataclass(frozen=True, slots=True)
class Target:
    """name: of the report. one: the function. seeds: inputs to begin with. longest: bytes of an input."""

    name: str
    one: One
    seeds: tuple[bytes, ...]
    longest: int = 4096


@contextmanager
def constants(*modules: ModuleType, **values: object) -> Iterator[None]:
    """Give modules other constants, so that what happens in megabytes happens in a few bytes."""
    before = [
        (module, name, getattr(module, name))
        for module in modules
        for name in values
        if hasattr(module, name)
    ]
    try:
        for module, name, _ in before:
            setattr(module, name, values[name])
        yield
    finally:
        for module, name, value in before:
            setattr(module, name, value)


def knobs(data: bytes, count: int) -> tuple[bytes, bytes]:
    """Return the first bytes, which choose how, and the rest, which is what."""
    return data[:count].ljust(count, b"\0"), data[count:]
