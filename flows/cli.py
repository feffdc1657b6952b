"""The commands of `python -m flows`, their options and exit codes.

0 done · 1 a check or a delivery failed · 2 wrong usage or configuration. An error is one line,
`what: where: hint`; a traceback only with `--debug`.

A command is a row of COMMANDS (commands/table.py): its module is imported when it runs, so that `--help`
imports no SDK.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

from flows.commands.table import COMMANDS
from flows.process.hardening import ignore_key_log
from flows.process.memory import unswept
from transforms.errors import CollectorError

FAILED, USAGE = 1, 2
_OURS = ("flows", "sources", "sinks", "transforms")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code."""
    args = parser().parse_args(argv)
    if args.command is None:
        parser().print_help()
        return USAGE
    if args.debug:
        os.environ["COLLECTOR_DEBUG"] = "1"  # the processes of a cluster inherit it
    else:
        os.environ["RUST_BACKTRACE"] = "0"  # bytewax would print one before our line
    if ignored := ignore_key_log():
        sys.stderr.write(f"{ignored}\n")
    try:
        return _run(args)
    except CollectorError as error:
        if args.debug:
            raise
        sys.stderr.write(f"{error}\n")
        return exit_code(error)
    except ModuleNotFoundError as error:
        if args.debug or (error.name or "").startswith(_OURS):
            raise
        packages = "'.[demo]'" if args.command.name == "demo" else "."
        hint = f"install it, in the environment that this Python belongs to: pip install {packages}"
        sys.stderr.write(f"the collector is not installed (no {error.name}): {sys.executable}: {hint}\n")
        return USAGE
    except KeyboardInterrupt:
        return FAILED


def _run(args: argparse.Namespace) -> int:
    command = args.command
    try:
        with unswept():
            module = import_module(command.module)
        code = int(command.run(module, args) or 0)
        sys.stdout.flush()
    except BrokenPipeError:  # `… | head` has read enough; at exit Python would flush, and complain, once more
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    else:
        return code


def exit_code(error: CollectorError) -> int:
    """Return 2 for what the user wrote wrong, 1 for what failed outside."""
    from flows.config.load import SettingsError  # noqa: PLC0415 - a plain `--help` should not import the SDKs

    return USAGE if isinstance(error, SettingsError) else FAILED


class _Version(argparse.Action):
    """Prints the installed version; looked up only when asked for."""

    def __init__(self, **about: Any) -> None:
        super().__init__(**about, nargs=0, help="print the version")

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        """Print and end."""
        sys.stdout.write(f"{version('devo-aws-collector')}\n")
        parser.exit()


def parser() -> argparse.ArgumentParser:
    """Build the argument parser of all commands."""
    top = argparse.ArgumentParser(prog="python -m flows", description="Brings AWS into Devo, receipted.")
    top.add_argument("--version", action=_Version)
    top.set_defaults(command=None)
    commands = top.add_subparsers(metavar="COMMAND")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--debug", action="store_true", help="show tracebacks and debug events")
    for command in COMMANDS:
        made = commands.add_parser(command.name, parents=[common], help=command.help)
        if command.configured:
            made.add_argument("--config", type=Path, help="configuration file (YAML or JSON)")
        for one in command.options:
            made.add_argument(*one.names, **one.about)
        made.set_defaults(command=command)
    return top
