"""Checks of the configuration itself: no network, no AWS."""

import os
import re
import shutil
import socket
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from socket import AF_INET, AF_INET6
from urllib.parse import urlsplit

from msgspec import Struct

from flows.catalogue.filters import filters_of
from flows.catalogue.service import Unit, queued
from flows.check.finding import CheckContext, Finding, fail, of_error, ok, warn
from flows.config.base import ObjectsSettings, QueuedSettings, region_of
from flows.config.load import SettingsError, SettingsErrors
from flows.process.hardening import cluster_port
from flows.process.runtime import launch
from flows.silence.watch import silent_in
from flows.status.start import VARIABLE, address
from sinks.settings import File

SAFE_INTERVALS = 3
"""A shorter lease may end before its epoch is receipted."""

_CODES = (
    ("unknown key", "unknown_key"),
    ("belongs ", "misplaced"),
    ("unknown service", "unknown_service"),
    ("unknown type", "unknown_type"),
    ("regular expression", "regex"),
    ("no file", "file_missing"),
    ("environment variable", "reference"),
    ("cannot be read", "reference"),
)
"""Part of what an error says → its code; everything else is `settings`."""


def refused(error: SettingsError) -> Iterator[Finding]:
    """Yield what is wrong with a configuration that could not be loaded, one line each."""
    errors = error.errors if isinstance(error, SettingsErrors) else (error,)
    for one in errors:
        code = next((code for part, code in _CODES if part in one.what), "settings")
        yield fail(code, one.what, one.where, one.hint)


def loaded(context: CheckContext) -> Iterator[Finding]:
    """Tell that the configuration is right in itself, and what in it has no effect or is risky."""
    settings = context.settings
    services, inputs = len(context.units), len({unit.account.name for unit in context.units})
    told = f"{services} service{'s'[: services != 1]} of {inputs} input{'s'[: inputs != 1]}"
    yield ok("settings", told, str(settings.path), empty_columns(context))
    for line in settings.warnings:
        place, _, text = line.partition(": ")
        yield warn("settings_warning", text, place, "see python -m flows reference settings")


def cluster(context: CheckContext) -> Iterator[Finding]:
    """Tell who may reach the ports of the cluster that this environment describes, if it does."""
    del context
    try:
        told = cluster_port(launch([]).addresses)
    except SettingsError as error:
        yield of_error("cluster_port", error)
        return
    if told:
        what, where, hint = told.split(": ", 2)
        yield warn("cluster_port", what, where, hint)


def empty_columns(context: CheckContext) -> str:
    """Return whose events tell Devo no account and region, as with its own collector; "" when all do."""
    bare = dict.fromkeys(
        unit.name
        for unit in context.units
        if unit.service.placed and unit.options.tag is None and unit.options.tag_suffix == "none"
    )
    if not bare:
        return ""
    cure = "tag_suffix: account_region fills Devo's columns of account and region, now empty, of"
    return f"{cure} {', '.join(bare)}"


def filters(context: CheckContext) -> Iterator[Finding]:
    """Tell what the configuration leaves out of each service's events, or hides in them."""
    for unit in context.units:
        options = unit.options
        rules = [*filters_of(unit).rules]
        if isinstance(options, ObjectsSettings) and options.filename_filter_rules:
            rules.append("filename_filter_rules")
        told = [f"events are left out by {', '.join(rules)}"] if rules else []
        told += [f"masked: {', '.join(options.mask.keys)}"] if options.mask else []
        if told:
            yield ok("filters", "; ".join(told), place_of(unit))


class _Reading(Struct):
    """A queue that is read. owners: whose it may be; readers: the places that name it."""

    region: str
    short: str
    owners: set[tuple[str, str]]
    readers: list[str]


def shared_queues(context: CheckContext) -> Iterator[Finding]:
    """Find services that read one queue: each would take, and delete, messages that the other waits for."""
    known: list[_Reading] = []
    for unit, region, name in queues_of(context):
        new = _reading(unit, region, name)
        for one in known:
            if (one.region, one.short) == (new.region, new.short) and one.owners & new.owners:
                one.readers += new.readers
                break
        else:
            known.append(new)
    for one in known:
        if len(one.readers) > 1:
            yield fail(
                "queue_shared",
                f"queue {one.short} in {one.region} is read by {' and '.join(one.readers)}",
                one.readers[1],
                "give each service a queue of its own: a message goes to one of them only",
            )


def _reading(unit: Unit, region: str, name: str) -> _Reading:
    """Return a queue with all that it may be known by: a bare name is one of the input's own account."""
    hops = unit.queue_account.hops
    own = hops[-1].account if hops else ""
    owner, short = own, name
    if "://" in name:
        owner, _, short = urlsplit(name).path.strip("/").rpartition("/")
    owners = {("account", owner)} if owner else set()
    if owner == own or not own:
        owners.add(("input", unit.account.name))
    return _Reading(region, short, owners, [place_of(unit)])


def queues_of(context: CheckContext) -> Iterator[tuple[Unit, str, str]]:
    """Yield unit, region and name or URL of every queue that would be read."""
    for unit in context.units:
        yield from ((unit, *place) for place in unit.options.queues(unit.service.name))


def place_of(unit: Unit) -> str:
    """Return where in the configuration a unit stands."""
    place = f"inputs.{unit.account.name}.services.{unit.service_key}"
    return place if unit.service_key == unit.service.name else f"{place} ({unit.service.name})"


def queue_regions(context: CheckContext) -> Iterator[Finding]:
    """Find queues whose URL has another region than `regions`, or a placeholder for the account."""
    for unit, _, name in queues_of(context):
        told = region_of(name) if "://" in name else ""
        account = urlsplit(name).path.strip("/").partition("/")[0]
        if told and not re.fullmatch(r"\d{12}", account):
            yield warn(
                "queue_account",
                f"the queue's URL has {account or 'nothing'} where the account's 12 digits belong",
                place_of(unit),
                "copy the queue's URL from AWS: is it a template's?",
            )
        if told and unit.options.regions and told not in unit.options.regions:
            named = ", ".join(unit.options.regions)
            yield warn(
                "queue_region",
                f"the queue's URL is of {told}, regions names {named}",
                place_of(unit),
                f"the URL decides; write regions: [{told}], or correct the URL",
            )


def visibility(context: CheckContext) -> Iterator[Finding]:
    """Find leases too short to be receipted: their messages come again while they are being delivered."""
    least = SAFE_INTERVALS * context.interval
    for unit in context.units:
        if not queued(unit) or not isinstance(unit.options, QueuedSettings):
            continue
        seconds = unit.options.visibility_timeout_seconds
        if seconds < least:
            yield warn(
                "visibility",
                f"visibility_timeout_seconds is {seconds}, under three intervals of {context.interval:g} s",
                place_of(unit),
                f"write {max(round(least), 30)} or more, or run with a shorter --interval",
            )


def folders(context: CheckContext) -> Iterator[Finding]:
    """Find folders that the collector writes to and cannot."""
    settings = context.settings
    wanted = [
        ("globals.persistence.config.directory_name", settings.state_directory),
        ("globals.quarantine", settings.globals.quarantine),
    ]
    wanted += [
        (f"outputs.{name}.config.path", output.config.path.parent)
        for name, output in settings.outputs.items()
        if isinstance(output, File)
    ]
    for place, name in wanted:
        if name and not str(name).startswith("s3://") and (reason := unwritable(Path(name))):
            yield fail("folder", f"{name} cannot be written ({reason})", place, "name another, or allow it")
    temporary, wanted_bytes = tempfile.gettempdir(), settings.globals.spool_max_bytes
    if (free := shutil.disk_usage(temporary).free) < wanted_bytes:
        told = f"{temporary} has room for {free} bytes, less than {wanted_bytes}"
        hint = "Parquet and zip objects wait when it is full: lower it, make room, or set TMPDIR"
        yield warn("spool", told, "globals.spool_max_bytes", hint)


def status_port(context: CheckContext) -> Iterator[Finding]:
    """Find a status address that cannot be listened on: no page, no probes, no metrics then."""
    given = os.environ.get(VARIABLE)
    if not (found := given or context.settings.globals.status):
        return
    try:
        host, port = address(found, launch([]))
        with socket.socket(AF_INET6 if ":" in host else AF_INET) as tried:  # as `Server` does it
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind((host, port))
            tried.listen(1)
    except SettingsError as error:
        yield of_error("status_port", error)
    except OSError as error:
        reason = os.strerror(error.errno or 0).lower()
        yield warn(
            "status_port",
            f"cannot listen on {found} for status, probes and metrics ({reason})",
            VARIABLE if given else "globals.status",
            "choose a free port of this machine, unless it is this collector that runs there already",
        )


def silences(context: CheckContext) -> Iterator[Finding]:
    """Tell of whom nothing came any more when the collector looked last."""
    state = context.settings.state_directory
    found = silent_in(state) if state else {}
    for scope, last in sorted(found.items()):
        since = datetime.fromtimestamp(last, UTC).isoformat(timespec="minutes")
        where = " ".join(part for part in scope[1:] if part) + f" of input {scope.input}"
        hint = "see whether its trail, flow log or subscription is on, or set expect_every_seconds"
        yield warn("silent", f"nothing has come since {since}", where, hint)


def unwritable(folder: Path) -> str:
    """Return why a folder, or the nearest one above it that exists, cannot be written; "" if it can."""
    nearest = next(place for place in (folder, *folder.parents) if place.exists())
    if not nearest.is_dir():
        return f"{nearest} is no folder"
    return "" if os.access(nearest, os.W_OK | os.X_OK) else f"no right to write in {nearest}"
