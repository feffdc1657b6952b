"""The commands of `python -m flows`, one row each: options, and how their module is called."""

import argparse
import os
import sys
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from flows.catalogue.guess import ASSUMPTIONS, Guess
from flows.commands.command import (
    FROM,
    JSON,
    OF_S3,
    PLACE,
    QUIET,
    TO,
    Command,
    Option,
    flag,
    number,
    option,
    several,
)

_T = TypeVar("_T")
_STATE = option("--state", type=Path, help="recovery directory (default: the configuration's)")


def _request(kind: type[_T], args: argparse.Namespace) -> _T:
    """Return what a command is asked for: its fields are the names of the options."""
    return msgspec.convert(vars(args), kind)


def _top(module: Any, args: argparse.Namespace) -> int:
    at = os.environ.get("COLLECTOR_STATUS", "")
    return int(module.top(args.addresses, at, once=args.once, every=args.every))


def _backfill(module: Any, args: argparse.Namespace) -> int:
    wanted, how = _request(module.BackfillRequest, args), {"as_json": args.json, "quiet": args.quiet}
    return int(module.backfill(args.config, wanted, dry_run=args.dry_run, **how))


def _journal(module: Any, args: argparse.Namespace) -> int:
    names = ("service", "account", "region", "key", "tag", "outcome")
    query = module.query_of(args.start, args.end, {name: vars(args)[name] for name in names})
    return int(module.show(args.config, query, by=args.sum, as_format=args.format))


def _policy(module: Any, args: argparse.Namespace) -> int:
    from flows.commands.iam_policy import Known  # noqa: PLC0415 - see the module

    return int(module.policy(args.config, args.format, _request(Known, args)))


def _plan(module: Any, args: argparse.Namespace) -> int:
    guess = _request(Guess, args)
    return int(module.show_plan(args.config, guess, as_json=args.json, beside=args.actual))


def _assumed(name: str, default: float, text: str, dest: str) -> Option:
    return number(name, float(default), "N", f"{text} ({default:g})", dest=dest)


def _schema() -> int:
    import orjson  # noqa: PLC0415

    from flows.config.settings import json_schema  # noqa: PLC0415

    sys.stdout.buffer.write(orjson.dumps(json_schema(), option=orjson.OPT_INDENT_2) + b"\n")
    return 0


COMMANDS: tuple[Command, ...] = (
    Command(
        "run",
        "collect every enabled service until SIGTERM",
        "flows.commands.run",
        lambda module, args: module.run(args.config, _request(module.RunRequest, args)),
        (
            number(
                "--processes", 1, "N", "independent processes that share the queues, and one for the APIs (1)"
            ),
            number("--cluster", 1, "N", "processes of a local bytewax cluster (1)"),
            option("--only", default="", metavar="NAMES", help="queues, apis, or services by name (all)"),
            number("--workers", 1, "N", "worker threads per process (1)"),
            number("--interval", 3.0, "SECONDS", "between two receipts (3)"),
            _STATE,
        ),
    ),
    Command(
        "top",
        "show the status of running collectors in the terminal, what fails first",
        "flows.commands.top",
        _top,
        (
            option(
                "addresses",
                nargs="*",
                metavar="HOST:PORT",
                help="of their status ports (COLLECTOR_STATUS, else 127.0.0.1:3030)",
            ),
            flag("--once", "print one screen; exit code 0 when all are ready"),
            number("--every", 2.0, "SECONDS", "between two looks (2)"),
        ),
        configured=False,
    ),
    Command(
        "state",
        "show, copy, put back or rename what is kept between two lives",
        "flows.commands.state",
        lambda module, args: module.state(args.config, args.state, args.action, args.names),
        (
            option("action", choices=("show", "backup", "restore", "move"), help="what to do"),
            option("names", nargs="*", metavar="NAME", help="backup FILE, restore FILE, move FROM TO"),
            _STATE,
        ),
    ),
    Command(
        "demo",
        "the main job on an embedded AWS and Devo",
        "flows.demo.demo",
        lambda demo, args: demo.demo(
            demo.DemoRequest(args.objects, args.timeout, args.json, args.strict, args.keep, args.processes)
        ),
        (
            number("--objects", 12, "N", "sample objects of each type (12)"),
            number("--timeout", 120.0, "SECONDS", "give up after (120)"),
            number("--processes", 1, "N", "processes of the collector for queues, as with run (1)"),
            flag("--keep", "stay up with the status page, until Ctrl-C"),
            option(
                "--strict",
                nargs="?",
                const="printed",
                default="",
                choices=("printed", "old"),
                metavar="POLICY",
                help="enforce IAM: the policy that `policy` prints, or `old`, without GetObjectVersion",
            ),
            JSON,
        ),
        configured=False,
    ),
    Command(
        "replay",
        "send captured S3 objects, or what is in quarantine, once more",
        "flows.replay",
        lambda module, args: module.replay(
            _request(module.ReplayRequest, args), args.config, as_json=args.json, quiet=args.quiet
        ),
        (
            option("paths", nargs="+", metavar="PATH", help="files, folders or s3:// URIs"),
            option("--service", default="", help="type of the objects (default: detected for each object)"),
            option(
                "--output",
                default="",
                help="stdout, devo (of the configuration), or a file (default: stdout; with --json nowhere)",
            ),
            QUIET,
            flag("--json", "for machines: what was done, instead of the events"),
        ),
    ),
    Command(
        "preview",
        "show the bytes that would go to Devo, and hand the messages back",
        "flows.commands.preview",
        lambda preview, args: preview.preview(args.config, args.service, args.number),
        (
            option("--service", required=True, help="its name or its key under `services`"),
            number("-n", 20, "N", "events to show (20)", dest="number"),
        ),
    ),
    Command(
        "backfill",
        "collect the objects of past days, listed in their bucket; stopped, it goes on",
        "flows.commands.backfill",
        _backfill,
        (
            OF_S3,
            option("--location", required=True, metavar=PLACE, help="where the objects are"),
            FROM,
            TO,
            flag("--dry-run", "objects, bytes, cost and time; collects nothing"),
            number("--rate", 20.0, "MB/S", "for the time of --dry-run (20)"),
            QUIET,
            JSON,
        ),
    ),
    Command(
        "journal",
        "show what was delivered: rows of objects, messages and API windows, or their sums",
        "flows.commands.journal",
        _journal,
        (
            option("--from", dest="start", default="", metavar="TIME", help="ISO 8601, UTC, inclusive"),
            option("--to", dest="end", default="", metavar="TIME", help="ISO 8601, UTC, exclusive"),
            *(
                option(f"--{name}", default="", metavar=name.upper())
                for name in ("service", "account", "region")
            ),
            option("--key", default="", metavar="PATTERN", help="of s3://bucket/key, as shells have it"),
            option("--tag", default="", help="rows with an event of this tag"),
            option("--outcome", default="", help="delivered, filtered, quarantined, missing or ignored"),
            option("--sum", default="", metavar="NAMES", help="add up: by day, service, account, tag …"),
            option("--format", choices=("table", "jsonl", "csv"), default="table"),
        ),
    ),
    Command(
        "prove",
        "say of past days which objects were delivered, and prove that none is missing",
        "flows.commands.prove",
        lambda module, args: module.prove(
            args.config, _request(module.ProofRequest, args), as_json=args.json, html=args.html
        ),
        (
            OF_S3,
            FROM,
            TO,
            several(
                "--location",
                PLACE,
                "where the objects are (default: `buckets` of the service, else those of the journal)",
            ),
            several(
                "--journal",
                "FOLDER",
                "of another machine that shares the queue, beside the configuration's (may be repeated)",
                type=Path,
            ),
            number("--sample", 0, "N", "read N delivered objects again (0)"),
            flag("--backfill", "collect what is missing, and prove again"),
            number(
                "--grace", 900.0, "SECONDS", "after which what was written must have been announced (900)"
            ),
            option("--html", type=Path, metavar="FILE", help="write one page for an auditor"),
            JSON,
        ),
    ),
    Command(
        "recheck",
        "read a finished range of an API service once more, and send what came later",
        "flows.commands.recheck",
        lambda module, args: module.recheck(
            args.config, _request(module.RecheckRequest, args), as_json=args.json
        ),
        (
            option("--service", required=True, help="one that asks an API, or INPUT.SERVICE"),
            FROM,
            TO,
            _STATE,
            JSON,
        ),
    ),
    Command(
        "check",
        "look for what would keep it from working; pulls nothing, deletes nothing",
        "flows.check.run",
        lambda check, args: check.check(
            args.config,
            offline=args.offline,
            as_json=args.json,
            interval=args.interval,
            objects=tuple(args.object),
            probe=args.probe,
            prove=args.prove,
        ),
        (
            flag("--probe", "send syslog outputs events that show where they are cut"),
            flag("--offline", "configuration and certificate files only"),
            flag("--prove", "ask whether prove could look as well"),
            several(
                "--object",
                "s3://BUCKET/KEY",
                "prove with one byte of it that objects can be read, KMS included (may be repeated)",
            ),
            number("--interval", 3.0, "SECONDS", "that run will be given (3)"),
            JSON,
        ),
    ),
    Command(
        "policy",
        "print the least that IAM must allow for this configuration",
        "flows.commands.iam_policy_formats",
        _policy,
        (
            option("--format", choices=("json", "cloudformation", "terraform", "trust"), default="json"),
            option("--account", default="", metavar="NUMBER", help="the account, when no role tells it"),
            option(
                "--organization",
                nargs="?",
                default="${ORGANIZATION}",
                const="${ORGANIZATION}",
                metavar="ID",
                help="of an input's organization, o-…, for the trust of its roles",
            ),
            several(
                "--bucket",
                "NAME[/PREFIX]",
                "of S3 objects; default: every bucket (may be repeated)",
                dest="buckets",
            ),
            several("--kms-key", "ARN", "of encrypted queues and buckets (may be repeated)", dest="keys"),
            option("--no-check", dest="checks", action="store_false", help="leave out what only check needs"),
            option("--prove", dest="proves", action="store_true", help="add what prove and backfill need"),
        ),
    ),
    Command(
        "plan",
        "API calls a day and money a month, before it starts",
        "flows.commands.plan_show",
        _plan,
        (
            *(_assumed(one.option, one.of(Guess()), one.text, one.name) for one in ASSUMPTIONS),
            _assumed("--traffic-gb-per-day", 0, "out of AWS, if the collector runs elsewhere", "traffic_gb"),
            number("--processes", 1, "N", "as run --processes (1)"),
            flag("--encrypted", "objects use a KMS key without bucket keys"),
            option(
                "--actual",
                type=Path,
                nargs="?",
                const=Path(),
                metavar="STATE",
                help="beside what was spent this month; by default in the configuration's state directory",
            ),
            JSON,
        ),
    ),
    Command(
        "migrate",
        "what Devo's configuration does here, key by key, and our additions",
        "flows.commands.migrate",
        lambda migrate, args: migrate.migrate(args.old, args.output),
        (
            option("old", type=Path, metavar="OLD", help="configuration of Devo's AWS or SQS collector"),
            option("--output", type=Path, metavar="NEW", help="write it there, secrets included"),
        ),
        configured=False,
    ),
    Command(
        "init",
        "ask what to collect, write configuration, policy and stack, then check",
        "flows.commands.init",
        lambda module, args: module.init(args.folder, _request(module.InitRequest, args)),
        (
            option("folder", nargs="?", type=Path, default=Path(), help="where to (here)"),
            option(
                "--service",
                action="append",
                default=[],
                metavar="NAME[=QUEUE]",
                help="what to collect (asked)",
            ),
            option("--region", default="", help="AWS region (asked)"),
            option("--account", default="", metavar="NUMBER", help="of the AWS account (asked)"),
            option(
                "--role", default="", metavar="ARN", help="to read with; none = this machine's own (asked)"
            ),
            option(
                "--devo", default="", metavar="ADDRESS", help="as collector-eu.devo.io, or console (asked)"
            ),
            option(
                "--bucket", action="append", default=[], metavar="NAME", help="that objects are read from"
            ),
            flag("--offline", "check configuration and certificates only"),
        ),
        configured=False,
    ),
    Command(
        "reference",
        "print the page of all settings, or of all errors",
        "flows.commands.reference",
        lambda reference, args: reference.show(args.page),
        (option("page", choices=("settings", "errors")),),
        configured=False,
    ),
    Command(
        "schema",
        "print the configuration's JSON Schema",
        "flows.config.settings",
        lambda *_: _schema(),
        configured=False,
    ),
)
