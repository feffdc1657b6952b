"""What was not collected, and certificates, as lines of the page. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from flows.status.words import Cell, View, age, error, number

FEW_DAYS, LAST_DAYS = 30.0, 7.0
"""Of a certificate: below them the page is yellow, and red."""


def notes(state: Mapping[str, Any], since: str) -> View:
    """Return the lines. since: when the process began, ISO 8601."""
    not_read, since = state["not_read"], _since(since)
    return {
        "quarantine": _quarantine(state["quarantine"]),
        **{name: _line(not_read[name], since, rule) for name, rule in _LINES.items()},
        "schema": _schema(not_read["schema"]),
        "silent": _silent(not_read["silent"]),
        "certificates": _certificates(state["certificates"]),
        "money": _money(state["money"]),
        "refused": _refused(state["refused"]),
        "open": _open(not_read["open_queues"]),
    }


def _quarantine(found: Mapping[str, Any]) -> Cell:
    if not found["items"]:
        return Cell("Quarantine is empty.", "mute")
    before = {f"{reason} (before the start)": count for reason, count in found["before"].items()}
    reasons = _reasons({**found["by_reason"], **before})
    told = f"Quarantine took {number(found['items'])}: {reasons}. See {found['where']}."
    if found["full"]:
        return Cell(f"{told} It is full: messages of what cannot be read stay in their queues.", "bad")
    return Cell(told, "warn")


def _since(started: str) -> str:
    """Return since when counts are; what was before, a journal knows."""
    return f" since the start, {started.replace('T', ' ').replace('Z', ' UTC')}" if started else ""


_LINES: Mapping[str, tuple[str, str, str]] = {
    "missing": (
        "warn",
        "Gone before they were read{since}: {reasons}. See what deletes them so early.",
        "No object was gone before it was read{since}.",
    ),
    "ignored": (
        "mute",
        "Notices settled unread, as they announce nothing to collect{since}: {reasons}.",
        "No notice was settled unread{since}.",
    ),
    "dropped": ("mute", "Events left out by the configuration: {reasons}.", ""),
    "untabled": (
        "mute",
        (
            "In CloudTrail's table events, as there is no other: {reasons}. "
            "Tables that Devo has added are named in globals.tables."
        ),
        "",
    ),
    "unsigned": ("bad", "Not as CloudTrail signed it: {reasons}. python -m flows prove tells which.", ""),
}
"""What was not read → level, what is told of it, and what when there is nothing."""


def _line(found: Mapping[str, int], since: str, rule: tuple[str, str, str]) -> Cell:
    level, told, nothing = rule
    if not found:
        return Cell(nothing.format(since=since), "mute" if nothing else "")
    return Cell(told.format(since=since, reasons=_reasons(found)), level)


def _schema(found: Mapping[str, str]) -> Cell:
    told = " ".join(f"{service}: {what}." for service, what in found.items())
    return Cell(f"Events look otherwise than they did. {told}" if told else "", "mute")


def _silent(found: Mapping[str, float]) -> Cell:
    if not found:
        return Cell("")
    first = [f"{what} for {age(seconds)}" for what, seconds in sorted(found.items(), key=lambda one: -one[1])]
    listed = ", ".join(first[:5]) + (", …" if len(first) > 5 else "")  # noqa: PLR2004
    return Cell(f"Silent, though something used to come ({number(len(found))}): {listed}.", "warn")


def _certificates(found: Mapping[str, float]) -> Cell:
    """Return the days that certificates have left, the shortest first."""
    if not found:
        return Cell("")
    told = [
        f"{name} {f'has ended {age(-days * 86_400)} ago' if days < 0 else f'lasts {int(days)} days'}"
        for name, days in sorted(found.items(), key=lambda one: one[1])
    ]
    least = min(found.values())
    level = "bad" if least < LAST_DAYS else "warn" if least < FEW_DAYS else "mute"
    cure = (
        " Download a new one: files that change are read again without a restart." if least < FEW_DAYS else ""
    )
    return Cell(f"Certificates: {', '.join(told)}.{cure}", level)


def _money(found: Mapping[str, Any]) -> Cell:
    if not found.get("spent"):
        return Cell("")
    figures = (
        "; {name} is {state}: {spent_usd:,.2f} of {usd_per_month:,.2f} USD, {forecast_usd:,.2f} expected"
    )
    told = "".join(figures.format(**one) for one in found["budgets"])
    spent = f"AWS calls of {found['month']}: {sum(found['spent'].values()):,.2f} USD by list price"
    return Cell(f"{spent}{told}.", "warn" if over_budget(found) else "mute")


def over_budget(money: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the budgets that are exceeded, or let work wait."""
    return [one for one in money.get("budgets", ()) if one["state"] != "kept"]


def _refused(told: Mapping[str, Any] | None) -> Cell:
    if told is None:
        return Cell("")
    what = error(told, bad=True)
    return Cell(f"The configuration file was refused, what was in force before goes on: {what.text}", "bad")


def _open(queues: Sequence[str]) -> Cell:
    if not queues:
        return Cell("")
    listed = ", ".join(queues[:3]) + (", …" if len(queues) > 3 else "")  # noqa: PLR2004
    return Cell(
        f"Objects of any bucket are read that a message of {number(len(queues))} queues names ({listed}): "
        "name the services' buckets.",
        "warn",
    )


def _reasons(found: Mapping[str, int]) -> str:
    return ", ".join(f"{number(count)} {reason}" for reason, count in sorted(found.items()))
