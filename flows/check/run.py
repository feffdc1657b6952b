"""`python -m flows check`: every check in its order, one line each, exit code 0 or 1."""

import logging
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypedDict, Unpack

import orjson

from flows.catalogue.services import units
from flows.check import (
    apis,
    budgets,
    certificates,
    identities,
    listings,
    objects,
    organizations,
    outputs,
    permissions,
    proofs,
    queues,
    settings,
)
from flows.check.finding import Check, CheckContext, Finding, Level, of_error
from flows.config.load import SettingsError, find, load
from transforms.errors import CollectorError
from transforms.telemetry import LOG

CHECKS: tuple[Check, ...] = (
    Check("settings", settings.loaded),
    Check("cluster_port", settings.cluster),
    Check("queue_shared", settings.shared_queues),
    Check("queue_region", settings.queue_regions),
    Check("budget", budgets.budgets),
    Check("visibility", settings.visibility),
    Check("filters", settings.filters),
    Check("folder", settings.folders),
    Check("status_port", settings.status_port),
    Check("silent", settings.silences),
    Check("certificate", certificates.certificates),
    Check("external_id", identities.external_ids),
    Check("clock", identities.clock, live=True),
    Check("identity", identities.identities, live=True),
    Check("queue", queues.queues, live=True),
    Check("bucket", objects.buckets, live=True),
    Check("listing", listings.listings, live=True),
    Check("object", objects.objects, live=True),
    Check("api", apis.apis, live=True),
    Check("organization", organizations.organizations, live=True),
    Check("permission", permissions.permissions, live=True),
    Check("journal", proofs.journals, live=True),
    Check("proof", proofs.proofs, live=True),
    Check("output", outputs.outputs, live=True),
    Check("probe", outputs.probes, live=True),
)
"""Later ones build on what earlier ones have learned (`CheckContext.known`)."""


class CheckOptions(TypedDict, total=False):
    """Options of the command, as in `CheckContext`."""

    interval: float
    objects: tuple[str, ...]
    probe: bool
    prove: bool


def check(config: Path | None, *, offline: bool, as_json: bool, **asked: Unpack[CheckOptions]) -> int:
    """Check a configuration and print what is found; 1 when anything fails.

    Raises SettingsError when there is no configuration at all.
    """
    LOG.addHandler(logging.NullHandler())  # findings tell it all; events would go to stderr besides
    path = find(config)
    found: list[Finding] = []
    for finding in findings(path, offline=offline, **asked):
        found.append(finding)
        if not as_json:
            sys.stdout.write(f"{finding}\n")
            sys.stdout.flush()
    failed = sum(one.level is Level.FAIL for one in found)
    if as_json:
        sys.stdout.buffer.write(orjson.dumps(report(found), option=orjson.OPT_INDENT_2) + b"\n")
    else:
        sys.stdout.write(f"{summary(found)}\n")
    return 1 if failed else 0


def findings(path: Path, *, offline: bool = False, **asked: Unpack[CheckOptions]) -> Iterator[Finding]:
    """Yield what every check finds; only those of the configuration when it cannot be loaded."""
    try:
        loaded = load(path)
    except SettingsError as error:
        yield from settings.refused(error)
        return
    yield from run(CheckContext(loaded, tuple(units(loaded)), **asked), offline=offline)


def run(context: CheckContext, *, offline: bool = False) -> Iterator[Finding]:
    """Yield what every check finds in a context; a check that breaks is a finding too."""
    for one in CHECKS:
        if one.live and offline:
            continue
        try:
            yield from one.run(context)
        except CollectorError as error:
            yield of_error(one.code, error)


def summary(found: Iterable[Finding]) -> str:
    """Return the last line: how many of each level."""
    levels = [one.level for one in found]
    return ", ".join(f"{levels.count(level)} {level}" for level in Level)


def report(found: list[Finding]) -> dict[str, object]:
    """Return all findings for machines."""
    return {
        "ok": not any(one.level is Level.FAIL for one in found),
        "checks": [
            {"level": one.level, "code": one.code, "what": one.what, "where": one.where, "hint": one.hint}
            for one in found
        ],
    }
