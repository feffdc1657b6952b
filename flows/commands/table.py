"""The commands of `python -m flows`, one row each: options, and how their module is called."""

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from flows.catalogue.guess import ASSUMPTIONS, Guess
from flows.commands.command import FROM, JSON, TO, Command, Option, option


def _run(module: Any, args: argparse.Namespace) -> int:
    names = ("processes", "cluster", "workers", "interval", "state", "only")
    return int(module.run(args.config, module.RunRequest(**{name: vars(args)[name] for name in names})))


def _top(module: Any, args: argparse.Namespace) -> int:
    at = os.environ.get("COLLECTOR_STATUS", "")
    return int(module.top(args.addresses, at, once=args.once, every=args.every))


def _backfill(module: Any, args: argparse.Namespace) -> int:
    wanted = module.BackfillRequest(args.service, args.location, args.start, args.end, args.rate)
    return int(
        module.backfill(args.config, wanted, dry_run=args.dry_run, as_json=args.json, quiet=args.quiet)
    )


def _journal(module: Any, args: argparse.Namespace) -> int:
    names = ("service", "account", "region", "key", "tag", "outcome")
    query = module.query_of(args.start, args.end, {name: vars(args)[name] for name in names})
    return int(module.show(args.config, query, by=args.sum, as_format=args.format))


def _prove(module: Any, args: argparse.Namespace) -> int:
    names = ("service", "start", "end", "location", "journal", "sample", "grace", "backfill")
    wanted = module.ProofRequest(**{name: vars(args)[name] for name in names})
    return int(module.prove(args.config, wanted, as_json=args.json, html=args.html))


def _policy(module: Any, args: argparse.Namespace) -> int:
    from flows.commands.iam_policy import Known  # noqa: PLC0415 - see the module

    known = Known(
        args.account, tuple(args.bucket), tuple(args.kms_key), checks=not args.no_check, proves=args.prove
    )
    return int(module.policy(args.config, args.format, known))


def _plan(module: Any, args: argparse.Namespace) -> int:
    numbers = {one.name: float(vars(args)[one.name]) for one in ASSUMPTIONS}
    guess = Guess(
        **numbers,
        traffic_gb=args.traffic_gb_per_day,
        processes=args.processes,
        encrypted=args.encrypted,
    )
    return int(module.show_plan(args.config, guess, as_json=args.json))


def _number(name: str, default: float, text: str, **more: str) -> Option:
    return option(name, type=float, default=default, metavar="N", help=f"{text} ({default:g})", **more)


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
        _run,
        (
            option(
                "--processes",
                type=int,
                default=1,
                metavar="N",
                help="independent processes that share the queues, and one for the APIs (1)",
            ),
            option(
                "--cluster", type=int, default=1, metavar="N", help="processes of a local bytewax cluster (1)"
            ),
            option("--only", default="", metavar="NAMES", help="queues, apis, or services by name (all)"),
            option("--workers", type=int, default=1, metavar="N", help="worker threads per process (1)"),
            option("--interval", type=float, default=3.0, metavar="SECONDS", help="between two receipts (3)"),
            option("--state", type=Path, help="recovery directory (default: the configuration's)"),
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
            option("--once", action="store_true", help="print one screen; exit code 0 when all are ready"),
            option("--every", type=float, default=2.0, metavar="SECONDS", help="between two looks (2)"),
        ),
        configured=False,
    ),
    Command(
        "demo",
        "the main job on an embedded AWS and Devo",
        "flows.demo.demo",
        lambda demo, args: demo.demo(
            demo.DemoRequest(args.objects, args.timeout, args.json, args.strict, args.keep)
        ),
        (
            option("--objects", type=int, default=12, metavar="N", help="sample objects of each type (12)"),
            option("--timeout", type=float, default=120.0, metavar="SECONDS", help="give up after (120)"),
            option("--keep", action="store_true", help="stay up with the status page, until Ctrl-C"),
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
        lambda replay, args: replay.replay(
            replay.ReplayRequest(args.paths, args.service, args.output),
            args.config,
            as_json=args.json,
            quiet=args.quiet,
        ),
        (
            option("paths", nargs="+", metavar="PATH", help="files, folders or s3:// URIs"),
            option("--service", default="", help="type of the objects (default: detected for each object)"),
            option(
                "--output",
                default="",
                help="stdout, devo (of the configuration), or a file (default: stdout; with --json nowhere)",
            ),
            option("--quiet", action="store_true", help="no progress bar"),
            option("--json", action="store_true", help="for machines: what was done, instead of the events"),
        ),
    ),
    Command(
        "preview",
        "show the bytes that would go to Devo, and hand the messages back",
        "flows.commands.preview",
        lambda preview, args: preview.preview(args.config, args.service, args.number),
        (
            option("--service", required=True, help="its name or its key under `services`"),
            option("-n", dest="number", type=int, default=20, metavar="N", help="events to show (20)"),
        ),
    ),
    Command(
        "backfill",
        "collect the objects of past days, listed in their bucket; stopped, it goes on",
        "flows.commands.backfill",
        _backfill,
        (
            option("--service", required=True, help="one that is read from S3"),
            option("--location", required=True, metavar="s3://BUCKET/PREFIX", help="where the objects are"),
            FROM,
            TO,
            option("--dry-run", action="store_true", help="objects, bytes, cost and time; collects nothing"),
            option("--rate", type=float, default=20.0, metavar="MB/S", help="for the time of --dry-run (20)"),
            option("--quiet", action="store_true", help="no progress bar"),
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
        _prove,
        (
            option("--service", required=True, help="one that is read from S3"),
            FROM,
            TO,
            option(
                "--location",
                action="append",
                default=[],
                metavar="s3://BUCKET/PREFIX",
                help="where the objects are (default: `buckets` of the service, else those of the journal)",
            ),
            option(
                "--journal",
                action="append",
                default=[],
                type=Path,
                metavar="FOLDER",
                help="of another machine that shares the queue, beside the configuration's (may be repeated)",
            ),
            option("--sample", type=int, default=0, metavar="N", help="read N delivered objects again (0)"),
            option("--backfill", action="store_true", help="collect what is missing, and prove again"),
            option(
                "--grace",
                type=float,
                default=900.0,
                metavar="SECONDS",
                help="after which what was written must have been announced (900)",
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
            args.config,
            module.RecheckRequest(args.service, args.start, args.end, args.state),
            as_json=args.json,
        ),
        (
            option("--service", required=True, help="one that asks an API, or INPUT.SERVICE"),
            FROM,
            TO,
            option("--state", type=Path, help="recovery directory (default: the configuration's)"),
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
            option(
                "--probe", action="store_true", help="send syslog outputs events that show where they are cut"
            ),
            option("--offline", action="store_true", help="configuration and certificate files only"),
            option("--prove", action="store_true", help="ask whether prove could look as well"),
            option(
                "--object",
                action="append",
                default=[],
                metavar="s3://BUCKET/KEY",
                help="prove with one byte of it that objects can be read, KMS included (may be repeated)",
            ),
            option(
                "--interval", type=float, default=3.0, metavar="SECONDS", help="that run will be given (3)"
            ),
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
                "--bucket",
                action="append",
                default=[],
                metavar="NAME[/PREFIX]",
                help="of S3 objects; default: every bucket (may be repeated)",
            ),
            option(
                "--kms-key",
                action="append",
                default=[],
                metavar="ARN",
                help="of encrypted queues and buckets (may be repeated)",
            ),
            option("--no-check", action="store_true", help="leave out what only check needs"),
            option("--prove", action="store_true", help="add what prove and backfill need"),
        ),
    ),
    Command(
        "plan",
        "API calls a day and money a month, before it starts",
        "flows.commands.plan_show",
        _plan,
        (
            *(_number(one.option, one.of(Guess()), one.text, dest=one.name) for one in ASSUMPTIONS),
            _number("--traffic-gb-per-day", 0, "out of AWS, if the collector runs elsewhere"),
            option("--processes", type=int, default=1, metavar="N", help="as run --processes (1)"),
            option("--encrypted", action="store_true", help="objects use a KMS key without bucket keys"),
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
