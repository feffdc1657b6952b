"""Arrow, imported when something of it is first used: `from transforms import arrow as pa`, `pa.csv.…`.

Its import takes as long as that of boto3, and a collector of plain lines never uses it.
"""

from importlib import import_module
from typing import Any

_MODULES = frozenset({"compute", "csv", "parquet"})


def __getattr__(name: str) -> Any:
    """Return what pyarrow has of this name, one of its modules above too; asked for once each."""
    if name.startswith("__"):
        raise AttributeError(name)
    found = import_module(f"pyarrow.{name}") if name in _MODULES else getattr(import_module("pyarrow"), name)
    globals()[name] = found
    return found
