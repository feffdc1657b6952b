"""From the state to words: what stands in each cell of the page, and how bad it is. Pure.

The page is built of these cells once; afterwards its script only puts new words into them. A key says where a
cell is: `p3.lag` is the lag in the third row of places.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from flows.status.attention import attention, troubles
from flows.status.charts import charts, curve
from flows.status.event_status import DRAINING, IDENTITY, JOURNAL
from flows.status.history import SPANS
from flows.status.notes import FEW_DAYS, notes, over_budget
from flows.status.words import LATE_SECONDS, Cell, View, age, error, lag, number, rate, size, unit_name
from sources.telemetry import NEAR

WIDTH, HEIGHT = 120, 24
"""Of the small curves, in their own units."""

TAGS, LINES = 50, 20
"""Rows that there always are, so that the page's script finds them; those left over are empty."""

_FULL = 0.8
_TURN_SECONDS = 15.0
"""Beyond the lag that a source has anyway: of an epoch, and of what is just in hand."""

PLACE_COLUMNS: Mapping[str, str] = {
    "name": "Source",
    "region": "Region",
    "rate": "Events/s",
    "curve": "Last hour",
    "events": "Events",
    "lag": "Lag",
    "waiting": "In the queue",
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
PROCESS_COLUMNS: Mapping[str, str] = {
    "name": "Process",
    "state": "State",
    "memory": "Memory",
    "cpu": "CPU",
    "uptime": "Up",
    "version": "Version",
    "url": "Its own page",
}
CURVES = ("curve",)
_SILENT = Cell("does not answer", "bad")

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
    for row, process in enumerate(state["processes"]):
        cells |= {f"m{row}.{name}": cell for name, cell in _process(process).items()}
    return {
        **cells,
        **attention(state),
        "c.of": Cell(f"of {state['charted']}" if state["charted"] else ""),
        **charts(state["charts"]),
        **_tags(state["tags"]),
        **_recent(state["recent"]),
        **notes(state, state["collector"]["started"]),
        "tap": Cell("\n".join(state.get("tap", ()))),
    }


def worst_first(state: dict[str, Any]) -> dict[str, Any]:
    """Return a state whose sources stand in the order in which a person wants to see them."""

    def order(place: Mapping[str, Any]) -> tuple[object, ...]:
        told, late = place["last_error"], place["lag_seconds"] or 0.0
        lasts = told is not None and not told["over"]
        late = late if late > LATE_SECONDS else 0.0
        return (
            place["targets_failing"] == 0,
            not lasts,
            -late,
            place["service"],
            place["input"],
            place["region"],
        )

    return {**state, "places": sorted(state["places"], key=order)}


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
    told = [f"{failing} of {len(places)} sources cannot be read at the moment, see below."] if failing else []
    told += _recovering(state)
    return Cell(" ".join(told), "warn") if told else _punctual(state)


def _recovering(state: Mapping[str, Any]) -> list[str]:
    """Return how far an outage is made up for: while sources still read what came before its end."""
    back = {
        one["name"]: one["recovered_seconds_ago"]
        for one in state["outputs"]
        if one["recovered_seconds_ago"] is not None
    }
    if not back:
        return []
    since = min(back.values())
    behind = [
        one
        for one in state["places"]
        if (one["lag_seconds"] or 0) > since + max(one["reach_seconds"], _TURN_SECONDS)
    ]
    if not behind:
        return []
    name = min(back, key=lambda one: back[one])
    longest = max(one["lag_seconds"] for one in behind)
    left = sum(one["waiting"] or 0 for one in behind)
    waiting = f", {number(left)} messages wait" if left else ""
    what = "Recovering: output {} takes events again since {}; {} of {} sources still read what came before"
    head = what.format(name, age(since), len(behind), len(state["places"]))
    return [f"{head}, up to {age(longest)} back{waiting}."]


def _punctual(state: Mapping[str, Any]) -> Cell:
    places = state["places"]
    late = sum((one["lag_seconds"] or 0) > LATE_SECONDS for one in places)
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
    ending = sum(days < FEW_DAYS for days in state["certificates"].values())
    last = f"{number(ending)} certificate{'s' * (ending != 1)} within {FEW_DAYS:g} days of the end"
    parts.append(last if ending else "")
    silent = len(state["not_read"]["silent"])
    parts.append(f"{number(silent)} accounts or regions have fallen silent" if silent else "")
    unsigned = sum(state["not_read"]["unsigned"].values())
    parts.append(f"{number(unsigned)} files are not as CloudTrail signed them" if unsigned else "")
    over = [one["name"] for one in over_budget(state["money"])]
    parts.append(f"the budget of {' and '.join(over)} is not kept or slows work" if over else "")
    weak = [one["name"] for one in state["outputs"] if one["strength"] in {"kernel", "none"}]
    parts.append(f"receipts of {' and '.join(weak)} are weak" if weak else "")
    if not any(parts):
        more = sum(1 for _ in troubles(state))
        parts.append(f"{number(more)} thing{' needs' if more == 1 else 's need'} attention" if more else "")
    if any(parts):
        return Cell(f"Collecting; {', '.join(part for part in parts if part)}, see below.", "warn")
    ignored = sum(state["not_read"]["ignored"].values())
    notices = "notice was" if ignored == 1 else "notices were"
    beside = f" {number(ignored)} {notices} settled unread, see below." if ignored else ""
    count = len(state["places"])
    return Cell(
        f"All is well: {count} source{' is' if count == 1 else 's are'} collected and delivered.{beside}"
    )


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
        f"memory {size(about['memory_bytes'])}, CPU {about['cpu_share']:.0%}",
        f"as of {about['now']}",
    ]
    return Cell(" · ".join(part for part in parts if part), "mute")


def _process(process: Mapping[str, Any]) -> View:
    """Return one process of several, which is shown by itself under its address."""
    if not process["url"]:
        return {**dict.fromkeys(PROCESS_COLUMNS, Cell("-")), "name": Cell(process["name"]), "state": _SILENT}
    well, ready = process["alive"], process["ready"]
    up = Cell("up") if well and ready else Cell("not ready", "warn") if well else Cell("not well", "bad")
    return {
        "name": Cell(process["name"]),
        "state": up,
        "memory": Cell(size(process["memory_bytes"])),
        "cpu": Cell(f"{process['cpu_share']:.0%}"),
        "uptime": Cell(age(process["uptime_seconds"])),
        "version": Cell(process["version"]),
        "url": Cell(process["url"]),
    }


def _tags(found: Mapping[str, int]) -> View:
    rows = list(found.items())[:TAGS]
    return {
        f"t{row}.{name}": Cell(text)
        for row in range(TAGS)
        for name, text in zip(
            ("name", "events"),
            (rows[row][0], number(rows[row][1])) if row < len(rows) else ("", ""),
            strict=True,
        )
    }


def _recent(found: Sequence[Mapping[str, Any]]) -> View:
    """Return the last lines of the log, the newest first."""
    lines = [_line(one) for one in reversed(found[-LINES:])] or [Cell("None since the start.", "mute")]
    return {f"l{row}": lines[row] if row < len(lines) else Cell("") for row in range(LINES)}


def _line(one: Mapping[str, Any]) -> Cell:
    often = f" ({one['count']} times)" if one["count"] > 1 else ""
    text = f"{one['at'][:19].replace('T', ' ')}  {one['event']}{often}  {one['text']}"
    return Cell(text, {"error": "bad", "warning": "warn"}.get(one["level"], "mute"))


def _place(place: Mapping[str, Any]) -> View:
    unit = unit_name(place["input"], place["setting"])
    repeats = f" (+{number(place['events_repeated'])} repeats left out)" if place["events_repeated"] else ""
    hand = f"{place['leases_held']} messages" if place["leases_held"] else ""
    waiting = size(place["prefetched_bytes"]) if place["prefetched_bytes"] else ""
    return {
        "name": Cell(place["service"]),
        "unit": Cell(unit, "mute"),
        "region": Cell(place["region"] or "all"),
        "rate": Cell(rate(place["events_per_second"])),
        "curve": _curve(place["curve"]),
        "events": Cell(number(place["source_events"]) + repeats),
        "lag": _late(lag(place["lag_seconds"]), place),
        "hand": Cell(", ".join(part for part in (hand, waiting) if part) or "-"),
        "waiting": Cell("-" if place["waiting"] is None else number(place["waiting"])),
        "lanes": Cell(str(place["lanes"] or "-")),
        "error": error(place["last_error"], bad=place["targets_failing"] > 0),
    }


def _curve(values: Sequence[float]) -> Cell:
    return Cell(curve(values, WIDTH, HEIGHT, SPANS["hour"][2]))


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
        "curve": _curve(output["curve"]),
        "events": Cell(number(output["events_delivered"]) + missed, "warn" if missed else ""),
        "receipt": Cell(receipt),
        "window": Cell(fill if window["limit_bytes"] else "-", "warn" if window["fill"] > _FULL else ""),
        "error": error(output["last_error"], bad=not output["ready"]),
    }


def _up(output: Mapping[str, Any]) -> Cell:
    if output["ready"]:
        return Cell("up")
    return Cell("down", "bad") if output["connected"] else Cell("not reached yet", "warn")
