"""The commands of `python -m flows`, their options and exit codes.

0 done · 1 a check or a delivery failed · 2 wrong usage or configuration. An error is one line,
`what: where: hint`; a traceback only with `--debug`.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from transforms.errors import CollectorError

FAILED, USAGE = 1, 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code."""
    args = parser().parse_args(argv)
    if args.debug:
        os.environ["COLLECTOR_DEBUG"] = "1"  # the processes of a cluster inherit it
    try:
        return int(args.command(args) or 0)
    except CollectorError as error:
        if args.debug:
            raise
        sys.stderr.write(f"{error}\n")
        return exit_code(error)
    except KeyboardInterrupt:
        return FAILED


def exit_code(error: CollectorError) -> int:
    """Return 2 for what the user wrote wrong, 1 for what failed outside."""
    from flows.config import SettingsError  # noqa: PLC0415 - a plain `--help` should not import the SDKs

    return USAGE if isinstance(error, SettingsError) else FAILED


def parser() -> argparse.ArgumentParser:
    """Build the argument parser of all commands."""
    top = argparse.ArgumentParser(prog="python -m flows", description="Brings AWS into Devo, receipted.")
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--config", type=Path, help="configuration file (YAML or JSON)")
    common.add_argument("--debug", action="store_true", help="show tracebacks and debug events")

    run = commands.add_parser("run", parents=[common], help="collect every enabled service until SIGTERM")
    run.add_argument("--processes", type=int, default=1, metavar="N", help="size of the local cluster (1)")
    run.add_argument("--workers", type=int, default=1, metavar="N", help="worker threads per process (1)")
    run.add_argument(
        "--interval", type=float, default=3.0, metavar="SECONDS", help="between two receipts (3)"
    )
    run.add_argument("--state", type=Path, help="recovery directory (default: the configuration's)")
    run.set_defaults(command=_run)

    demo = commands.add_parser("demo", parents=[common], help="the main job on an embedded AWS and Devo")
    demo.add_argument("--objects", type=int, default=12, metavar="N", help="sample objects of each type (12)")
    demo.add_argument("--timeout", type=float, default=120.0, metavar="SECONDS", help="give up after (120)")
    demo.set_defaults(command=_demo)

    replay = commands.add_parser("replay", parents=[common], help="send captured S3 objects once more")
    replay.add_argument("paths", nargs="+", metavar="PATH", help="files, folders or s3:// URIs")
    replay.add_argument("--service", help="type of the objects (default: detected for each object)")
    replay.add_argument("--output", default="stdout", help="stdout, devo (of the configuration), or a file")
    replay.add_argument("--quiet", action="store_true", help="no progress bar")
    replay.set_defaults(command=_replay)

    schema = commands.add_parser("schema", parents=[common], help="print the configuration's JSON Schema")
    schema.set_defaults(command=_schema)
    return top


def _run(args: argparse.Namespace) -> int:
    from flows.run import run  # noqa: PLC0415

    return run(args.config, args.processes, args.workers, args.interval, args.state)


def _demo(args: argparse.Namespace) -> int:
    from flows.demo.demo import demo  # noqa: PLC0415

    return demo(args.objects, args.timeout)


def _replay(args: argparse.Namespace) -> int:
    from flows.replay import replay  # noqa: PLC0415

    return replay(args.paths, service=args.service, output=args.output, config=args.config, quiet=args.quiet)


def _schema(_args: argparse.Namespace) -> int:
    import orjson  # noqa: PLC0415

    from flows.settings import json_schema  # noqa: PLC0415

    sys.stdout.buffer.write(orjson.dumps(json_schema(), option=orjson.OPT_INDENT_2) + b"\n")
    return 0
