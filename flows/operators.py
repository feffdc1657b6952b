"""bytewax's operators, each made when it is first used: to make all thirty takes a twentieth of a start.

bytewax builds a class for each of them from its signature, in a decorator, while their module is imported.
"""

from collections.abc import Callable
from functools import cache, wraps
from typing import Any

from bytewax import dataflow

_decorate: Any = dataflow.operator


def _later(builder: Callable[..., Any] | None = None, *, _core: bool = False) -> Any:
    if builder is None:
        return lambda builder: _later(builder, _core=_core)
    made = cache(lambda: _decorate(_core=_core)(builder))

    @wraps(builder)
    def call(*args: Any, **named: Any) -> Any:
        return made()(*args, **named)

    return call


dataflow.operator = _later
try:
    from bytewax import operators
finally:
    dataflow.operator = _decorate

__all__ = ("operators",)
