"""From the state to words: what stands in each cell of the page, and how bad it is. Pure.

The page is built of these cells once; afterwards its script only puts new words into them. A key says where a
cell is: `p3.lag` is the lag in the third row of places.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from flows.status.event_status import DRAINING, IDENTITY, JOURNAL
from sources.telemetry import NEAR

WIDTH, HEIGHT = 120, 24
"""Of the curves, in their own units."""

_LATE_SECONDS, _VERY_LATE_SECONDS = 900.0, 3600.0
_FULL = 0.8
_FEW_DAYS, _LAST_DAYS = 30.0, 7.0


class Cell(NamedTuple):
    """text: as it is read. level: "" (as it should be), "mute", "warn" or "bad"."""

    text: str
    level: str = ""


View: TypeAlias = dict[str, Cell]

PLACE_COLUMNS: Mapping[str, str] = {
    "name": "Source",
    "region": "Region",
    "rate": "Events/s",
    "curve": "Last hour",
    "events": "Events",
    "lag": "Lag",
    "hand": "In hand",
    "lanes": "Lanes",
    "error": "Last error",
}
OUTPUT_COLUMNS: Mapping[str, str] = {
    "name": "Output",
    "state": "State",
    "strength": "Strength",
    "rate": "Events/s",
    "curve": "Last hour",
    "events": "Delivered",
    "receipt": "Last receipt",
    "window": "Resend window",
    "error": "Last error",
}
CURVES = ("curve",)

STRENGTHS: Mapping[str, str] = {
    "receipt": "receipt: the receiver has read everything",
    "closed": "closed: the connection ended in order",
    "kernel": "kernel: acknowledged by the receiver's kernel only",
    "written": "written",
    "none": "none: events are missed",
}


def view(state: Mapping[str, Any]) -> View:
    """Return every cell of the page."""
    cells = {"title": Cell(state["collector"]["name"]), "sum": summary(state), "about": _about(state)}
    for row, place in enumerate(state["places"]):
        cells |= {f"p{row}.{name}": cell for name, cell in _place(place).items()}
    for row, output in enumerate(state["outputs"]):
        cells |= {f"o{row}.{name}": cell for name, cell in _output(output).items()}
    not_read, since = state["not_read"], _since(state["collector"]["started"])
    return cells | {
        "quarantine": _quarantine(state["quarantine"]),
        "missing": _missing(not_read["missing"], since),
        "ignored": _ignored(not_read["ignored"], since),
        "dropped": _dropped(not_read["dropped"]),
        "untabled": _untabled(not_read["untabled"]),
        "unsigned": _unsigned(not_read["unsigned"]),
        "schema": _schema(not_read["schema"]),
        "silent": _silent(not_read["silent"]),
        "refused": _refused(state["refused"]),
        "open": _open(not_read["open_queues"]),
        "certificates": _certificates(state["certificates"]),
    }


def summary(state: Mapping[str, Any]) -> Cell:
    """Return the one sentence that a person wants to read first."""
    health, places = state["health"], state["places"]
    if not health["alive"]:
        return Cell(f"Not well: {health['illness']}.", "bad")
    down = [one["name"] for one in state["outputs"] if one["name"] in health["unready"] and one["connected"]]
    if down:
        return Cell(
            f"Output {' and '.join(down)} takes nothing at the moment. Nothing is lost: "
            "events stay in AWS until it does.",
            "bad",
        )
    if health["unready"]:
        return _unready(health["unready"])
    if state["refused"]:
        return Cell("Collecting; the configuration file is wrong and not in force, see below.", "warn")
    failing = sum(one["targets_failing"] > 0 for one in places)
    if failing:
        return Cell(f"{failing} of {len(places)} sources cannot be read at the moment, see below.", "warn")
    return _punctual(state)


def _punctual(state: Mapping[str, Any]) -> Cell:
    places = state["places"]
    late = sum((one["lag_seconds"] or 0) > _LATE_SECONDS for one in places)
    if late:
        return Cell(f"Collecting; {late} of {len(places)} sources lag{'s' * (late == 1)} behind.", "warn")
    near = sum(_near(one) for one in places)
    if near:
        what = "Collecting; {} of {} sources show events almost later than is looked for, see below."
        return Cell(what.format(near, len(places)), "warn")
    return _collecting(state)


def _collecting(state: Mapping[str, Any]) -> Cell:
    """Return that all is well, or what of it has not become events; what held none is named in passing."""
    kept, missing = state["quarantine"]["items"], sum(state["not_read"]["missing"].values())
    parts = [
        f"{number(missing)} objects were gone before they were read" if missing else "",
        f"{number(kept)} items are in quarantine" if kept else "",
    ]
    ending = sum(days < _FEW_DAYS for days in state["certificates"].values())
    last = f"{number(ending)} certificate{'s' * (ending != 1)} within {_FEW_DAYS:g} days of the end"
    parts.append(last if ending else "")
    silent = len(state["not_read"]["silent"])
    parts.append(f"{number(silent)} accounts or regions have fallen silent" if silent else "")
    if any(parts):
        return Cell(f"Collecting; {', '.join(part for part in parts if part)}, see below.", "warn")
    ignored = sum(state["not_read"]["ignored"].values())
    beside = f" {number(ignored)} notices were settled unread, see below." if ignored else ""
    return Cell(f"All is well: {len(state['places'])} sources are collected and delivered.{beside}")


def _unready(told: Sequence[str]) -> Cell:
    journal = [one for one in told if one.startswith(JOURNAL)]
    if journal:
        what = "Nothing is lost, and nothing is deleted from AWS until it can."
        return Cell(f"The {' and the '.join(journal)} cannot be written. {what}", "bad")
    if DRAINING in told:
        return Cell("What is in hand is delivered, then the process ends or begins anew.", "warn")
    lost = [one for one in told if one.startswith(IDENTITY)]
    if lost:
        return Cell(f"Absent or refused: the {' and the '.join(lost)}. Nothing is lost meanwhile.", "bad")
    return Cell(f"Output {' and '.join(told)} has not been reached yet.", "warn")


def _about(state: Mapping[str, Any]) -> Cell:
    about = state["collector"]
    index, count = about["process"]["index"], about["process"]["count"]
    parts = [
        f"version {about['version']}",
        f"process {index} of {count}" if count > 1 else "",
        f"up {age(about['uptime_seconds'])}",
        f"as of {about['now']}",
    ]
    return Cell(" · ".join(part for part in parts if part), "mute")


def _place(place: Mapping[str, Any]) -> View:
    setting = place["setting"]
    unit = f"{place['input']} / {setting}" if setting else place["input"]
    repeats = f" (+{number(place['events_repeated'])} repeats left out)" if place["events_repeated"] else ""
    hand = f"{place['leases_held']} messages" if place["leases_held"] else ""
    waiting = size(place["prefetched_bytes"]) if place["prefetched_bytes"] else ""
    return {
        "name": Cell(place["service"]),
        "unit": Cell(unit, "mute"),
        "region": Cell(place["region"] or "all"),
        "rate": Cell(rate(place["events_per_second"])),
        "curve": Cell(points(place["curve"])),
        "events": Cell(number(place["source_events"]) + repeats),
        "lag": _late(lag(place["lag_seconds"]), place),
        "hand": Cell(", ".join(part for part in (hand, waiting) if part) or "-"),
        "lanes": Cell(str(place["lanes"] or "-")),
        "error": error(place["last_error"], bad=place["targets_failing"] > 0),
    }


def _near(place: Mapping[str, Any]) -> bool:
    """Tell whether events of an API become visible almost later than is looked for."""
    return bool(place["lateness_seconds"] > NEAR * place["reach_seconds"] > 0)


def _late(shown: Cell, place: Mapping[str, Any]) -> Cell:
    """Return how far behind a source is, with how late its events become visible where that is told."""
    if not place["lateness_seconds"]:
        return shown
    late = f"events up to {age(place['lateness_seconds'])} late, found up to {age(place['reach_seconds'])}"
    return Cell(f"{shown.text}; {late}", "warn" if _near(place) and not shown.level else shown.level)


def _output(output: Mapping[str, Any]) -> View:
    window = output["window"]
    fill = f"{window['fill']:.0%} full, {size(window['bytes'])} of {size(window['limit_bytes'])}"
    receipt = "none yet"
    if output["receipt_seconds_ago"] is not None:
        receipt = f"{age(output['receipt_seconds_ago'])} ago, {number(output['receipts'])} so far"
    missed = f", {number(output['events_missed'])} missed" if output["events_missed"] else ""
    weak = output["strength"] in {"kernel", "none"}
    return {
        "name": Cell(output["name"]),
        "unit": Cell(output["type"] + ("" if output["required"] else ", best effort"), "mute"),
        "state": _up(output),
        "strength": Cell(STRENGTHS.get(output["strength"], output["strength"]), "warn" if weak else ""),
        "rate": Cell(rate(output["events_per_second"])),
        "curve": Cell(points(output["curve"])),
        "events": Cell(number(output["events_delivered"]) + missed, "warn" if missed else ""),
        "receipt": Cell(receipt),
        "window": Cell(fill if window["limit_bytes"] else "-", "warn" if window["fill"] > _FULL else ""),
        "error": error(output["last_error"], bad=not output["ready"]),
    }


def _up(output: Mapping[str, Any]) -> Cell:
    if output["ready"]:
        return Cell("up")
    return Cell("down", "bad") if output["connected"] else Cell("not reached yet", "warn")


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


def _missing(found: Mapping[str, int], since: str) -> Cell:
    if not found:
        return Cell(f"No object was gone before it was read{since}.", "mute")
    return Cell(
        f"Gone before they were read{since}: {_reasons(found)}. See what deletes them so early.", "warn"
    )


def _ignored(found: Mapping[str, int], since: str) -> Cell:
    if not found:
        return Cell(f"No notice was settled unread{since}.", "mute")
    what = "Notices settled unread, as they announce nothing to collect"
    return Cell(f"{what}{since}: {_reasons(found)}.", "mute")


def _dropped(found: Mapping[str, int]) -> Cell:
    if not found:
        return Cell("")
    return Cell(f"Events left out by the configuration: {_reasons(found)}.", "mute")


def _untabled(found: Mapping[str, int]) -> Cell:
    if not found:
        return Cell("")
    told = f"In CloudTrail's table events, as there is no other: {_reasons(found)}."
    return Cell(f"{told} Tables that Devo has added are named in globals.tables.", "mute")


def _unsigned(found: Mapping[str, int]) -> Cell:
    if not found:
        return Cell("")
    return Cell(f"Not as CloudTrail signed it: {_reasons(found)}. python -m flows prove tells which.", "bad")


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
    level = "bad" if least < _LAST_DAYS else "warn" if least < _FEW_DAYS else "mute"
    cure = (
        " Download a new one: files that change are read again without a restart."
        if least < _FEW_DAYS
        else ""
    )
    return Cell(f"Certificates: {', '.join(told)}.{cure}", level)


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


def error(told: Mapping[str, Any] | None, *, bad: bool) -> Cell:
    """Return an error as one line: when, what, where, hint."""
    if told is None:
        return Cell("")
    line = ": ".join(part for part in (told["what"], told["where"], told["hint"]) if part)
    over = ", over by now" if told["over"] else ""
    code = f" [{told['code']}]" if told["code"] else ""
    level = "mute" if told["over"] else "bad" if bad else "warn"
    return Cell(f"{age(told['seconds_ago'])} ago{over}: {line}{code}", level)


def lag(seconds: float | None) -> Cell:
    """Return how far a source is behind."""
    if seconds is None:
        return Cell("not known yet", "mute")
    level = "bad" if seconds > _VERY_LATE_SECONDS else "warn" if seconds > _LATE_SECONDS else ""
    return Cell(age(seconds), level)


def age(seconds: float) -> str:
    """Return a time in the unit that fits: `8 s`, `12 min`, `3.5 h`, `4 d`."""
    for limit, unit, name in ((120, 1, "s"), (7200, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / unit:.0f} {name}" if unit < 3600 else f"{seconds / unit:.1f} {name}"  # noqa: PLR2004
    return f"{seconds / 86_400:.0f} d"


def rate(per_second: float) -> str:
    """Return a rate: `0`, `0.3`, `42`, `3.4 k`."""
    return number(per_second) if per_second >= 10 else f"{per_second:.1f}".removesuffix(".0")  # noqa: PLR2004


def number(value: float) -> str:
    """Return a count of at most four digits: `950`, `3.4 k`, `12 M`."""
    return _scaled(value, 1000, ("", " k", " M", " G", " T"))


def size(value: float) -> str:
    """Return bytes: `12 MiB`."""
    return _scaled(value, 1024, (" B", " KiB", " MiB", " GiB", " TiB"))


def _scaled(value: float, base: int, units: Sequence[str]) -> str:
    step = 0
    while value >= base * 0.9995 and step < len(units) - 1:
        value, step = value / base, step + 1
    return f"{value:.1f}{units[step]}" if step and value < 10 else f"{value:.0f}{units[step]}"  # noqa: PLR2004


def points(curve: Sequence[float]) -> str:
    """Return a curve as the points of an SVG polyline, the present at the right edge."""
    most = max(curve, default=0.0) or 1.0
    step, last = WIDTH / 59, len(curve) - 1
    return " ".join(
        f"{WIDTH - (last - place) * step:.1f},{HEIGHT - 1 - (HEIGHT - 2) * value / most:.1f}"
        for place, value in enumerate(curve)
    )
