"""How figures and errors are read: numbers of at most four digits, ages in the unit that fits. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

LATE_SECONDS, VERY_LATE_SECONDS = 900.0, 3600.0


class Cell(NamedTuple):
    """text: as it is read. level: "" (as it should be), "mute", "warn" or "bad"."""

    text: str
    level: str = ""


View: TypeAlias = dict[str, Cell]


def source_name(service: str, input: str, setting: str, region: str) -> str:  # noqa: A002 - as figures do
    """Return what a source is called on the page: its service, region, input and the input's setting."""
    return f"{service} {region or 'all'} {unit_name(input, setting)}"


def unit_name(input: str, setting: str) -> str:  # noqa: A002 - as figures do
    """Return whose source it is: an input and its setting."""
    return f"{input} / {setting}" if setting else input


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
    level = "bad" if seconds > VERY_LATE_SECONDS else "warn" if seconds > LATE_SECONDS else ""
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
