"""Rate and lag of the last hour and day, as lines with axes. Pure."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from flows.status.history import SPANS
from flows.status.words import Cell, View, age, rate

CHART_WIDTH, CHART_HEIGHT = 600, 120
CHARTS: Mapping[str, tuple[str, str, tuple[str, ...]]] = {
    "hour.rate": ("Events a second, last hour", "rate", ("-60 min", "-45", "-30", "-15", "now")),
    "hour.lag": ("Longest lag, last hour", "lag", ("-60 min", "-45", "-30", "-15", "now")),
    "day.rate": ("Events a second, last day", "rate", ("-24 h", "-18", "-12", "-6", "now")),
    "day.lag": ("Longest lag, last day", "lag", ("-24 h", "-18", "-12", "-6", "now")),
}
"""Key → title, what it is, and marks of the axis of time."""

_STEPS = (1, 2, 3, 5, 10)
_AGES = (60, 120, 300, 600, 1800, 3600, 7200, 14_400, 28_800, 86_400, 172_800, 604_800)
"""Where an axis may end: so many times a power of ten, or so many seconds."""


def charts(found: Mapping[str, Mapping[str, Sequence[float]]]) -> View:
    """Return the lines, and where their axes end. found: as `History.charts` gives it."""
    cells: View = {}
    for key, (_, kind, _) in CHARTS.items():
        span, _, name = key.partition(".")
        values = found[span][name]
        top = _top(max(values, default=0.0), kind)
        shown = [value / top for value in values]
        line = curve(shown, CHART_WIDTH, CHART_HEIGHT, SPANS[span][2], top=1.0)
        show = age if kind == "lag" else rate
        cells |= {
            f"c.{key}": Cell(line),
            f"c.{key}.top": Cell(show(top), "mute"),
            f"c.{key}.half": Cell(show(top / 2), "mute"),
        }
    return cells


def curve(values: Sequence[float], width: int, height: int, points: int, *, top: float = 0.0) -> str:
    """Return values as the points of an SVG polyline, the present at the right edge. top: 0 = the largest."""
    most = top or max(values, default=0.0) or 1.0
    step, last = width / (points - 1), len(values) - 1
    return " ".join(
        f"{width - (last - place) * step:.1f},{height - 1 - (height - 2) * value / most:.1f}"
        for place, value in enumerate(values)
    )


def _top(most: float, kind: str) -> float:
    if kind == "lag":
        return next((float(end) for end in _AGES if most <= end), most)
    power = 1.0
    while power * 10 < most:
        power *= 10
    return next(step * power for step in _STEPS if most <= step * power)


def joined(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, dict[str, list[float]]]:
    """Return two processes' charts as one: rates are added, of lags the longer one remains."""
    return {
        span: {
            "rate": aligned(one[span]["rate"], other[span]["rate"], lambda a, b: round(a + b, 3)),
            "lag": aligned(one[span]["lag"], other[span]["lag"], max),
        }
        for span in SPANS
    }


def aligned(
    one: Sequence[float], other: Sequence[float], join: Callable[[float, float], float]
) -> list[float]:
    """Join two curves point by point, the present at the end of both."""
    count = max(len(one), len(other))
    pairs = zip(_padded(one, count), _padded(other, count), strict=True)
    return [join(*pair) for pair in pairs]


def _padded(values: Sequence[float], count: int) -> list[float]:
    return [0.0] * (count - len(values)) + list(values)
