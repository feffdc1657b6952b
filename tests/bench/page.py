"""Write docs/performance.md and its plots from the figures of the last runs: python -m tests.bench.page.

Figures are in docs/figures: bench.json (of `make bench`) and curves.json (of `make bench-curves`).
Nothing in the page is typed by hand but the explanations, which stand in `growth.py` and here.
"""

import json
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.bench.growth import CURVES, Curve, Point, growth
from tests.bench.plots import bars, histogram, plot
from tests.bench.table import PEERS, TARGETS, Measured, Target, cells, target

DOCS = Path(__file__).parents[2] / "docs"
FIGURES = DOCS / "figures"
_HEAD = """# Performance

Written by `python -m tests.bench.page` from the last `make bench` and `make bench-curves`; do not edit.
Ratios count, absolute figures are what one machine gave. Rates are events per CPU-second by the operating
system's accounting, net of start-up, medians of runs that took turns, unless the unit says otherwise.
"""
_IMPORTS = "What a start imports"
_LOADED = "**This run was made on a machine that did other work too: no figure of it counts.** "
_SMALL = "Inputs were small (`--quick`). "


def read(name: str) -> dict[str, Any]:
    path = FIGURES / name
    if not path.exists():
        return {}
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def where(machine: Mapping[str, Any]) -> str:
    """Say where and when a run was made, and whether it counts."""
    told = f"{machine['at']}, {machine['cores']} cores, Python {machine['python']}"
    warned = ("" if machine["quiet"] else _LOADED) + (_SMALL if machine["quick"] else "")
    return f"{warned}Run of {told}."


def row(target: Target, found: Mapping[str, Any]) -> str:
    """Return one line of a Markdown table."""
    kept = {name: found[name] for name in ("work", "note", "skipped", "peak_mib")}
    numbers = {name: math.nan if found[name] is None else found[name] for name in ("measured", "floor")}
    title, unit, *shown = cells(target, Measured(**kept, **numbers))
    return "| " + " | ".join([title, target.floor, unit, *shown]) + " |"


def table(targets: Sequence[Target], rows: Sequence[Mapping[str, Any]], against: str) -> str:
    by_work = {one["work"]: one for one in rows}
    head = f"| work | {against} | unit | measured | {against} | ratio | target | |"
    lines = [row(target, by_work[target.work]) for target in targets if target.work in by_work]
    return "\n".join([head, "| --- | --- | --- | ---: | ---: | ---: | ---: | --- |", *lines])


def benches(found: Mapping[str, Any]) -> str:
    if not found:
        return "No run of `make bench` yet.\n"
    peers = table(PEERS, found["peers"], "theirs")
    sampled = [one["work"] for one in found["rows"] if one.get("samples")]
    plots = "".join(f"![{target(work).title}](figures/{work}.png)\n\n" for work in sampled)
    return (
        f"## Targets\n\n{where(found['machine'])}\n\n{table(TARGETS, found['rows'], 'floor')}\n\n{plots}"
        f"{imported(found['machine'].get('imports', {}))}"
        "## Others\n\nThe same VPC files, tagged syslog lines over TLS with a client certificate, "
        "to the same receiver.\nrsyslog, syslog-ng and Fluent Bit get the inflated file; "
        "gunzip's CPU time is theirs."
        f"\n\n{peers}\n"
    )


def imported(packages: Mapping[str, float]) -> str:
    """Return the paragraph of what a start imports; "" when that was not measured."""
    if not packages:
        return ""
    told = f"A start imports {sum(packages.values()):,.0f} ms of modules, by package, their own time only:"
    return f"{told}\n\n![{_IMPORTS}](figures/imports.png)\n\n"


def points_of(found: Mapping[str, Any]) -> list[Point]:
    return [Point(**one) for one in found["points"]]


def section(curve: Curve, found: Mapping[str, Any]) -> str:
    """Return a curve's paragraph: what was measured, what its figures say, why."""
    points = points_of(found)
    rates = [one for one in points if math.isfinite(one.per_cpu)]
    best = max(rates, key=lambda one: one.per_cpu, default=None)
    most = f"{best.per_cpu:,.0f} events a CPU-second at {best.x:,}; " if best else ""
    peak = max(one.peak_mib for one in points)
    figures = f"{most}peak {peak:,.0f} MiB. {growth(curve, points)}. {where(found['machine'])}"
    return f"### {curve.title}\n\n{curve.why}\n\n{figures}\n\n![{curve.title}](figures/{curve.name}.png)\n"


def page(bench: Mapping[str, Any], curves: Mapping[str, Any]) -> str:
    """Return the whole page."""
    drawn = [one for one in CURVES if one.name in curves]
    grown = "\n".join(section(one, curves[one.name]) for one in drawn)
    return f"{_HEAD}\n{benches(bench)}\n## How cost grows\n\n{grown or 'No run of `make bench-curves` yet.'}"


def main() -> None:
    bench, curves = read("bench.json"), read("curves.json")
    for found in bench.get("rows", ()):
        if found.get("samples"):
            histogram(found["samples"], target(found["work"]).title, FIGURES / f"{found['work']}.png")
    if packages := bench.get("machine", {}).get("imports"):
        bars(packages, _IMPORTS, FIGURES / "imports.png")
    for one in CURVES:
        if one.name in curves:
            plot(one, points_of(curves[one.name]), FIGURES / f"{one.name}.png")
    (DOCS / "performance.md").write_text(page(bench, curves))
    sys.stdout.write(f"{DOCS / 'performance.md'}\n")


if __name__ == "__main__":
    main()
