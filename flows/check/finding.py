"""What a check finds, and what it may look at."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial
from typing import TypeVar

from msgspec import Struct, field
from msgspec.structs import replace

from flows.catalogue.service import Unit, identities_of
from flows.config.load import Settings
from sources import refusals
from sources.aws.account import Account
from sources.errors import Denied, RegionDisabled, SourceError
from transforms.errors import CollectorError

_THREADS = 8
_now = partial(datetime.now, UTC)
_T = TypeVar("_T")


class Level(StrEnum):
    """How bad it is: only `fail` makes the command end with 1."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


class Finding(Struct, frozen=True):
    """One line. code: stable, for machines. hint: what to do, "" when nothing is to be done."""

    level: Level
    code: str
    what: str
    where: str
    hint: str = ""

    def __str__(self) -> str:
        told = ": ".join(part for part in (self.what, self.where, self.hint) if part)
        return f"{self.level:4}  {self.code:22}  {told}"


ok, warn, fail = (partial(Finding, level) for level in (Level.OK, Level.WARN, Level.FAIL))


def denied(error: Denied, action: str, who: str, resource: str) -> Finding:
    """Return the finding that a missing permission is: which action, for whom, on what.

    action, who, resource: what was asked, by whom; AWS's own words win, which do not always tell all three.
    """
    told = refusals.read(error.what) or refusals.AccessDenial()
    action, who = refusals.spelled(told.action, action), told.principal or who
    code = "kms" if "kms" in f"{action} {error.cause}".lower() else "permission"
    if isinstance(error, RegionDisabled):
        return of_error("region", error)
    if not told.action and (code == "kms" or not error.hint.startswith("allow ")):
        return of_error(code, error)
    on = resource if told.resource in {"", "*"} else told.resource  # some services check no resource
    if told.ordinary:
        hint = f"allow {action} on {on} for {who}; python -m flows policy prints all that is needed"
    else:
        hint = refusals.remedy(replace(told, resource=on), action, who, on)
    why = f" ({told.why})" if told.why else ""
    return fail(code, f"{action} is not allowed for {who} on {on}{why}", error.where, hint)


def refusal(error: SourceError, code: str, action: str, who: str, resource: str) -> Finding:
    """Return the finding that a refusal is: the permission that is missing, or the error under `code`."""
    return denied(error, action, who, resource) if isinstance(error, Denied) else of_error(code, error)


def of_error(code: str, error: CollectorError, level: Level = Level.FAIL) -> Finding:
    """Return the finding that an error of this project is."""
    return Finding(level, code, error.what, error.where, error.hint)


class CheckContext(Struct, frozen=True):
    """What checks look at.

    units: what would run. interval: seconds between two receipts, as `run --interval`. objects: s3:// names
    of existing objects of which one byte may be read. probe: send syslog outputs events. prove: ask
    whether a proof could look. now: this machine's time, aware.
    """

    settings: Settings
    units: tuple[Unit, ...]
    interval: float = 3.0
    objects: tuple[str, ...] = ()
    now: Callable[[], datetime] = _now
    probe: bool = False
    prove: bool = False
    known: dict[str, object] = field(default_factory=dict)
    """What one check has learned and others need, by a name of its own."""

    @property
    def accounts(self) -> tuple[Account, ...]:
        """The identities that the units work with, each once."""
        return tuple({one.key: one for unit in self.units for one in identities_of(unit)}.values())


class Check(Struct, frozen=True):
    """code: names it when it breaks itself. live: it needs a network."""

    code: str
    run: Callable[[CheckContext], Iterator[Finding]]
    live: bool = False


def spread(look: Callable[[_T], Iterable[Finding]], things: Iterable[_T]) -> Iterator[Finding]:
    """Look at several things at once and yield the findings in the things' order."""
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="check") as pool:
        for found in pool.map(lambda thing: list(look(thing)), things):
            yield from found
