"""`python -m flows plan`: what a configuration will ask of AWS each day, and what that costs each month.

Calls follow from the configuration (regions, queues, periods) and from what it cannot tell (objects, metrics,
events), which are options with defaults. They are upper bounds of a quiet run: no retries, no throttling, no
catching up. Prices are AWS's list prices of us-east-1 without free tiers; other regions differ by up to
a half. What AWS charges for otherwise (storage, log ingestion, traffic out of AWS) is not in it, except, on
request, traffic.
"""

from collections.abc import Iterator

from msgspec import Struct
from msgspec.structs import asdict

from flows.catalogue.calls import DAY, OBJECT_RESOURCE, ApiCall, PlanScope
from flows.catalogue.guess import Guess
from flows.catalogue.prices import PRICES_OF, TRAFFIC, usd_of
from flows.catalogue.service import Unit, calls_of, identities_of
from flows.catalogue.services import units
from flows.config.base import ServiceSettings
from flows.config.load import Settings

DAYS_A_MONTH = 30.4
_ROLE_RENEWED_SECONDS = 2_700
"""A session of an hour is renewed a quarter before its end."""

DECRYPT: ApiCall[object] = ApiCall("kms:Decrypt", lambda at: at.guess.objects, OBJECT_RESOURCE)
_SYNC_SECONDS = 3
"""At least between two writes of a process's journal: the default interval."""


class Row(Struct, frozen=True):
    """One action of one service in one region. calls: a day. usd: a month. queue: its name, "" for APIs."""

    input: str
    service: str
    region: str
    action: str
    calls: float
    usd: float
    queue: str = ""


def plan(settings: Settings, guess: Guess) -> list[Row]:
    """Return what each action will be called and cost, service by service and region by region."""
    running = units(settings)
    rows = [row for unit in running for row in _rows(unit, guess)]
    for account in {one.key: one for unit in running for one in identities_of(unit)}.values():
        assumed = len(account.hops) * guess.processes * DAY / _ROLE_RENEWED_SECONDS
        rows += [Row(account.name, account.setting, "", "sts:AssumeRole", assumed, 0)] if account.hops else []
    asked = {one.account.name: _accounts(one, guess) for one in running if one.organization}
    for name, accounts in asked.items():
        assumed = accounts * guess.processes * DAY / _ROLE_RENEWED_SECONDS
        rows.append(Row(name, "organization", "", "sts:AssumeRole", assumed, 0))
    if settings.journal and settings.journal.bucket and rows:
        puts = guess.processes * DAY / _SYNC_SECONDS
        rows.append(
            Row("", "journal", "", "s3:PutObject", puts, puts * DAYS_A_MONTH * usd_of("s3:PutObject"))
        )
    if guess.traffic_gb:
        rows.append(Row("", "all", "", "traffic", 0, guess.traffic_gb * DAYS_A_MONTH * TRAFFIC.each))
    return rows


def _accounts(unit: Unit, guess: Guess) -> float:
    """Return in how many accounts a unit asks: those that its `include` names one by one, else a guess."""
    if unit.organization is None:
        return 1
    chosen = unit.organization.directory.scope.selection
    named = {*chosen.include} - {*chosen.exclude}
    return len(named) if named and all(one.isdigit() for one in named) else guess.accounts


def _rows(unit: Unit, guess: Guess) -> Iterator[Row]:
    accounts = _accounts(unit, guess)
    for place in _places(unit, guess):
        for call in _calls(unit, guess):
            calls = call.a_day(place) * accounts
            counted = call.charged(place) * accounts if call.charged else calls
            usd = counted * DAYS_A_MONTH * usd_of(call.action, fifo=place.queue.endswith(".fifo"))
            yield Row(
                unit.account.name, unit.service.name, place.region, call.action, calls, usd, place.queue
            )


def _places(unit: Unit, guess: Guess) -> list[PlanScope[ServiceSettings]]:
    messages = guess.objects if unit.service.layout else guess.messages
    queues = unit.options.queues(unit.service.name)
    if queues:
        return [PlanScope(unit.options, region, guess, queue, messages) for region, queue in queues]
    listing = unit.options.listing(unit.service.name)
    return [PlanScope(unit.options, region, guess, listing=listing) for region in unit.options.regions]


def _calls(unit: Unit, guess: Guess) -> list[ApiCall[ServiceSettings]]:
    found = calls_of(unit)
    encrypted = guess.encrypted and any(call.resource == OBJECT_RESOURCE for call in found)
    return [*found, DECRYPT] if encrypted else [*found]


def totals(rows: list[Row]) -> dict[tuple[str, str, str], tuple[float, float]]:
    """Return (input, service, region) → calls a day, USD a month; in the rows' order."""
    found: dict[tuple[str, str, str], tuple[float, float]] = {}
    for row in rows:
        key = (row.input, row.service, row.region)
        calls, usd = found.get(key, (0.0, 0.0))
        found[key] = (calls + row.calls, usd + row.usd)
    return found


def report(rows: list[Row], guess: Guess) -> dict[str, object]:
    """Return everything for machines. calls: a day. usd: a month."""
    return {
        "prices": PRICES_OF,
        "assumed": asdict(guess),
        "rows": [{**asdict(row), "calls": round(row.calls), "usd": round(row.usd, 4)} for row in rows],
        "calls_per_day": round(sum(row.calls for row in rows)),
        "usd_per_month": round(sum(row.usd for row in rows), 2),
    }
