"""What a command of `python -m flows` is, and the options that several have."""

import argparse
from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct


class Option(Struct, frozen=True):
    """An option or argument. names: as written. about: argparse's own keywords."""

    names: tuple[str, ...]
    about: Mapping[str, Any]


class Command(Struct, frozen=True):
    """One command. module: imported when it runs. run: module and arguments → exit code.

    configured: it reads a configuration.
    """

    name: str
    help: str
    module: str
    run: Callable[[Any, argparse.Namespace], int | None]
    options: tuple[Option, ...] = ()
    configured: bool = True


def option(*names: str, **about: object) -> Option:
    """Return an option with argparse's own keywords."""
    return Option(names, about)


def flag(name: str, text: str) -> Option:
    """Return an option without a value."""
    return option(name, action="store_true", help=text)


def number(name: str, default: float, metavar: str, text: str, **more: str) -> Option:
    """Return an option for a number, whole where its default is."""
    return option(name, type=type(default), default=default, metavar=metavar, help=text, **more)


def several(name: str, metavar: str, text: str, **more: object) -> Option:
    """Return an option that may be given several times."""
    return option(name, action="append", default=[], metavar=metavar, help=text, **more)


JSON = flag("--json", "for machines")
FROM = option("--from", dest="start", required=True, metavar="TIME", help="ISO 8601, UTC, inclusive")
TO = option("--to", dest="end", required=True, metavar="TIME", help="ISO 8601, UTC, exclusive")
QUIET = flag("--quiet", "no progress bar")
OF_S3 = option("--service", required=True, help="one that is read from S3")
PLACE = "s3://BUCKET/PREFIX"
