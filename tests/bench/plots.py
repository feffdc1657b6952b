"""The curves as small PNG files. Needs the extra `bench`: matplotlib."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.bench.growth import Curve, Point

_DOTS_PER_INCH = 72


def histogram(seconds: Sequence[float], title: str, path: Path) -> None:
    """Draw how many of the waits lasted how long, in milliseconds."""
    plt = _pyplot()
    figure, axes = plt.subplots(figsize=(6.4, 2.6))
    axes.hist([1000 * one for one in seconds], bins=60)
    axes.set(xlabel="ms", ylabel="objects", title=title)
    _save(figure, path)


def bars(of: Mapping[str, float], title: str, path: Path) -> None:
    """Draw a bar for each name, the first one on top; milliseconds."""
    plt = _pyplot()
    figure, axes = plt.subplots(figsize=(6.4, 1 + len(of) / 5))
    axes.barh(list(of)[::-1], list(of.values())[::-1])
    axes.set(xlabel="ms", title=title)
    _save(figure, path)


def plot(curve: Curve, points: Sequence[Point], path: Path) -> None:
    """Draw events a second and a CPU-second over x, both axes logarithmic."""
    plt = _pyplot()
    figure, axes = plt.subplots(figsize=(6.4, 3.4))
    for label, style, of in (
        ("a CPU-second", "o-", lambda one: one.per_cpu),
        ("a second", "s--", lambda one: one.per_second),
    ):
        drawn = [(one.x, of(one)) for one in points if math.isfinite(of(one))]
        axes.plot([x for x, _ in drawn], [y for _, y in drawn], style, label=label)
    axes.set(xscale="log", yscale="log", xlabel=curve.axis, ylabel="events", title=curve.title)
    axes.grid(visible=True, which="major", alpha=0.4)
    axes.legend()
    _save(figure, path)


def _pyplot() -> Any:
    import matplotlib as mpl  # noqa: PLC0415 - of the extra: the page's text needs none

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415 - after the choice of its backend

    return plt


def _save(figure: Any, path: Path) -> None:
    figure.tight_layout()
    figure.savefig(path, dpi=_DOTS_PER_INCH, metadata={"Software": None})
    _pyplot().close(figure)
