"""What is known from named events: the last errors with their hints, and how each output is."""

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct, field
from msgspec.structs import asdict, replace

from sources.metric_scopes import MetricScope
from transforms.errors import CollectorError

IDENTITY = "identity of "
"""What stands before an identity among that which is not ready."""

_MOST_ACCOUNTS = 100
"""Of an organization, that let nobody in: shown by name; the log has all."""

_MOST_SILENT = 1_000

JOURNAL = "journal at "
"""What stands before the journal's file while it cannot be written."""

DRAINING = "the process itself: it drains, to end or to begin anew"
"""What is not ready then."""


class Failure(Struct, frozen=True):
    """An error as it was logged. at: epoch seconds. code: see docs/errors.md. over: it works again.

    since: when the first of an unbroken row came. again_at: when it is tried again, 0 = not known.
    """

    at: float
    code: str
    what: str
    where: str
    hint: str
    over: bool = False
    since: float = 0.0
    again_at: float = 0.0


class OutputStatus(Struct):
    """An output. connected: at least once. blocked: it takes nothing now. strength: of its receipts.

    recovered_at: when it last took events again after an outage, epoch seconds, 0 = there was none.
    """

    type: str = ""
    strength: str = ""
    required: bool = True
    connected: bool = False
    blocked: bool = False
    refused: bool = False
    failure: Failure | None = None
    recovered_at: float = 0.0

    @property
    def ready(self) -> bool:
        """Whether it has been reached, and is not known to be down."""
        return self.connected and not (self.blocked or self.refused)


class EventStatus(Struct):
    """Hears every named event (see `transforms.telemetry.listen`). Bounded by places and outputs.

    beat: called with the seconds that an output will rest, for each sign of life of an output.
    """

    beat: Callable[[float], None] = lambda _rest: None
    clock: Callable[[], float] = time.time
    outputs: dict[str, OutputStatus] = field(default_factory=dict)
    failures: dict[MetricScope, Failure] = field(default_factory=dict)
    open_queues: dict[str, None] = field(default_factory=dict)
    identities: dict[str, Failure] = field(default_factory=dict)
    """Identities that are absent or refused at present, by where they stand in the configuration."""

    accounts: dict[str, Failure] = field(default_factory=dict)
    """Accounts of organizations that let nobody in at present: shown, and no reason not to be ready."""

    journal: Failure | None = None
    """Why the journal cannot be written at present: nothing is deleted from AWS meanwhile."""

    refused: Failure | None = None
    """Why the configuration file is not what is in force."""

    draining: bool = False
    silent: dict[str, float] = field(default_factory=dict)
    """Of what nothing comes any more, as it is shown → since when, epoch seconds."""

    schema: dict[str, str] = field(default_factory=dict)
    """Service → how its events look otherwise since a day or more."""

    def hear(self, event: str, fields: Mapping[str, Any]) -> None:
        """Take in one event; those that nobody shows pass."""
        heard = _HEARD.get(event)
        if heard:
            heard(self, fields)

    def fail(self, output: str, error: CollectorError, again: float = 0.0) -> None:
        """Note what an output answered. again: seconds until it is tried again, 0 = not known."""
        known = self.output(output)
        known.failure = self.failure_of(error, known.failure, again)

    def unready(self) -> list[str]:
        """Return what keeps events from flowing.

        The names of required outputs that have not been reached or are known to be down, the identities
        that are absent or refused (`identity of input prod, credentials`), and a journal that takes no rows.
        """
        journal = [f"{JOURNAL}{self.journal.where}"] if self.journal else []
        outputs = self.outputs.copy()
        down = [name for name, output in outputs.items() if output.required and not output.ready]
        own = [DRAINING] * self.draining
        return [*down, *own, *journal, *(f"{IDENTITY}{where}" for where in sorted(self.identities.copy()))]

    def output(self, name: str) -> OutputStatus:
        """Return what is known of an output."""
        return self.outputs.setdefault(name, OutputStatus())

    def failure_of(self, error: Exception, before: Failure | None = None, again: float = 0.0) -> Failure:
        """Return an error as it is shown. before: the last one of the same."""
        now = self.clock()
        since, again_at = before.since if before and not before.over else now, now + again if again else 0.0
        if isinstance(error, CollectorError):
            told = error.code(), error.what, error.where, error.hint
        else:
            told = "", f"{type(error).__name__} {error}", "", ""
        return Failure(now, *told, since=since, again_at=again_at)


def told(failure: Failure | None, now: float) -> dict[str, Any] | None:
    """Return an error as data; now: epoch seconds."""
    if failure is None:
        return None
    return {
        **asdict(failure),
        "at": iso(failure.at),
        "since": iso(failure.since),
        "seconds_ago": round(max(now - failure.at, 0.0), 1),
        "since_seconds": round(max(now - failure.since, 0.0), 1),
        "again_seconds": round(max(failure.again_at - now, 0.0), 1) if failure.again_at else None,
    }


def iso(seconds: float) -> str:
    """Return epoch seconds as `2026-01-02T03:04:05Z`."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


Heard = Callable[[EventStatus, Mapping[str, Any]], None]


def _declared(status: EventStatus, told: Mapping[str, Any]) -> None:
    known = status.output(told["output"])
    known.type, known.strength, known.required = told["type"], str(told["strength"]), told["required"]
    known.connected = known.connected or known.strength == "written"  # a file, the console: nothing to reach


def _set(*, connected: bool | None = None, blocked: bool | None = None, refused: bool | None = None) -> Heard:
    """Set what is given of the output that an event tells of, and the strength that it tells."""

    def heard(status: EventStatus, told: Mapping[str, Any]) -> None:
        output = status.output(told["output"])
        output.connected = output.connected if connected is None else connected
        output.blocked = output.blocked if blocked is None else blocked
        output.refused = output.refused if refused is None else refused
        output.strength = str(told.get("strength", output.strength))

    return heard


def _recovered(status: EventStatus, told: Mapping[str, Any]) -> None:
    _set(blocked=False)(status, told)
    status.output(told["output"]).recovered_at = status.clock()


def _delivered(status: EventStatus, told: Mapping[str, Any]) -> None:
    _set(connected=True, refused=False)(status, told)
    output = status.output(told["output"])
    if output.failure:
        output.failure = _over(output.failure)
    status.beat(0.0)


def _retried(status: EventStatus, told: Mapping[str, Any]) -> None:
    status.fail(told["output"], told["error"], told["pause"])
    status.beat(told["pause"])


def _missed(status: EventStatus, told: Mapping[str, Any]) -> None:
    status.fail(told["output"], told["error"])
    status.output(told["output"]).strength = "none"


def _place_failed(status: EventStatus, told: Mapping[str, Any]) -> None:
    place = told["place"]
    status.failures[place] = status.failure_of(
        told["error"], status.failures.get(place), told.get("again", 0.0)
    )


def _place_recovered(status: EventStatus, told: Mapping[str, Any]) -> None:
    failure = status.failures.get(told["place"])
    if failure:
        status.failures[told["place"]] = _over(failure)


def _identity_failed(status: EventStatus, told: Mapping[str, Any]) -> None:
    where = told["where"]
    status.identities[where] = status.failure_of(told["error"], status.identities.get(where))


def _account_refused(status: EventStatus, told: Mapping[str, Any]) -> None:
    if len(status.accounts) < _MOST_ACCOUNTS:
        status.accounts[told["place"]] = status.failure_of(told["error"], status.accounts.get(told["place"]))


def _account_admitted(status: EventStatus, told: Mapping[str, Any]) -> None:
    status.accounts.pop(told["place"], None)


def _identity_recovered(status: EventStatus, told: Mapping[str, Any]) -> None:
    status.identities.pop(told["where"], None)


def _journal_failed(status: EventStatus, told: Mapping[str, Any]) -> None:
    status.journal = status.failure_of(told["error"], status.journal)


def _journal_recovered(status: EventStatus, _told: Mapping[str, Any]) -> None:
    status.journal = None


def _refused(status: EventStatus, told: Mapping[str, Any]) -> None:
    status.refused = status.failure_of(told["error"])


def _draining(status: EventStatus, _told: Mapping[str, Any]) -> None:
    status.draining = True


def _schema_changed(status: EventStatus, told: Mapping[str, Any]) -> None:
    changes = (("field_new", "new fields"), ("field_gone", "fields gone"), ("event_new", "new events"))
    found = [f"{what} {told[change]}" for change, what in changes if change in told]
    status.schema[str(told["service"])] = "; ".join(found)


def _fell_silent(status: EventStatus, told: Mapping[str, Any]) -> None:
    if len(status.silent) < _MOST_SILENT:
        status.silent[_scope(told)] = status.clock() - told["seconds"]


def _heard_again(status: EventStatus, told: Mapping[str, Any]) -> None:
    status.silent.pop(_scope(told), None)


def _scope(told: Mapping[str, Any]) -> str:
    return " ".join(str(told[name]) for name in ("service", "account", "region") if told[name])


def _open(status: EventStatus, told: Mapping[str, Any]) -> None:
    status.open_queues[str(told["where"])] = None


def _over(failure: Failure) -> Failure:
    return replace(failure, over=True)


_HEARD: Mapping[str, Heard] = {
    "output_declared": _declared,
    "connection_opened": _set(connected=True),
    "output_blocked": _set(blocked=True),
    "output_recovered": _recovered,
    "delivery_refused": _set(refused=True),
    "delivery_retried": _retried,
    "delivery_waited": lambda status, _told: status.beat(0.0),
    "receipt_taken": _delivered,
    "receipt_fallback": _set(),
    "receipt_restored": _set(),
    "best_effort_missed": _missed,
    "best_effort_restored": _set(),
    "place_failed": _place_failed,
    "account_refused": _account_refused,
    "account_admitted": _account_admitted,
    "object_failed": _place_failed,
    "place_recovered": _place_recovered,
    "buckets_open": _open,
    "journal_failed": _journal_failed,
    "journal_recovered": _journal_recovered,
    "reload_refused": _refused,
    "draining": _draining,
    "schema_changed": _schema_changed,
    "fell_silent": _fell_silent,
    "heard_again": _heard_again,
    "identity_failed": _identity_failed,
    "identity_recovered": _identity_recovered,
}
"""Named event → what the status makes of it."""
