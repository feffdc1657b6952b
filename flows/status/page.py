"""The page: one HTML document from the cells of a view. Everything that comes from elsewhere is escaped."""

import base64
import hashlib
from collections.abc import Mapping
from functools import cache
from html import escape
from importlib.resources import files
from urllib.parse import quote

from flows.status.attention import ROWS
from flows.status.charts import CHART_HEIGHT, CHART_WIDTH, CHARTS
from flows.status.view import (
    CURVES,
    HEIGHT,
    LINES,
    OUTPUT_COLUMNS,
    PLACE_COLUMNS,
    PROCESS_COLUMNS,
    TAGS,
    WIDTH,
)
from flows.status.words import Cell, View

_SHORT = frozenset({"region", "rate", "lanes", "state", "waiting", "memory", "cpu", "uptime"})
NOT_COLLECTED = [
    "quarantine",
    "missing",
    "ignored",
    "dropped",
    "unsigned",
    "untabled",
    "schema",
    "silent",
    "open",
]
_UNFOLDED = 25
"""Sources that are shown at once; the others are all right, or it is told how many more are not."""


def page(view: View) -> str:
    """Return the document."""
    title = escape(view["title"].text)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}: collector status</title>
<link rel="icon" href="data:,">
<style>{style()}</style>
</head>
<body data-cells={len(view)}>
<header>
<h1>{_span("title", view)}</h1>
{_cell("p", "about", view)}
<p id="lost" class="bad" role="alert"></p>
{_cell("p", "sum", view, ' id="sum" role="status"')}
{_cell("p", "refused", view)}
</header>
<main>
<section id="attention">
<h2>Needs attention</h2>
{_attention(view)}
</section>
<h2>Flow {_span("c.of", view)} <a href="?">show all sources</a></h2>
<div id="charts">{"".join(_chart(key, view) for key in CHARTS)}</div>
<section{"" if _rows("m", view) else " hidden"}>
<h2>Processes</h2>
{_table("m", PROCESS_COLUMNS, view)}
</section>
<h2>Outputs</h2>
{_table("o", OUTPUT_COLUMNS, view)}
{_cell("p", "certificates", view)}
{_cell("p", "money", view)}
<h2>Sources <input id="filter" type="search" placeholder="filter"
aria-label="show sources with this text only"></h2>
<p id="none" class="mute" hidden>No source has this text.</p>
{_sources(view)}
<h2>Not collected</h2>
{"".join(_cell("p", name, view) for name in NOT_COLLECTED)}
<details><summary>Events by tag</summary>
<table class="plain"><tbody>{"".join(_tag(row, view) for row in range(TAGS))}</tbody></table></details>
<h2>Last events and errors</h2>
<ol id="recent">{"".join(_cell("li", f"l{row}", view) for row in range(LINES))}</ol>
<section id="tap"><h2>Tap</h2>{_cell("pre", "tap", view)}</section>
</main>
<script>{script()}</script>
</body>
</html>
"""


@cache
def _asset(name: str, package: str = "flows.status") -> str:
    return files(package).joinpath(name).read_text()


def style(package: str = "flows.status") -> str:
    """Return the style of a page, `page.css` of its package, with what all pages have in common before it."""
    return _asset("base.css") + _asset("page.css", package)


def script() -> str:
    """Return the script that puts new words into the cells."""
    return _asset("page.js")


@cache
def policy() -> str:
    """Return the Content-Security-Policy: nothing from anywhere, but this style, this script and our JSON."""
    return (
        f"default-src 'none'; style-src '{csp_hash(style())}'; script-src '{csp_hash(script())}'; "
        "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def csp_hash(text: str) -> str:
    """Return what a Content-Security-Policy lets this very style or script in by."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _attention(view: View) -> str:
    rows = (
        f"""<div class="trouble">{_span(f"a{row}.what", view)} {_cell("small", f"a{row}.when", view)}"""
        f"""{_cell("p", f"a{row}.cure", view)}</div>"""
        for row in range(ROWS)
    )
    return "".join(rows) + _cell("p", "a.more", view)


def _chart(key: str, view: View) -> str:
    title, _, marks = CHARTS[key]
    lines = "".join(f"M0 {y}H{CHART_WIDTH}" for y in (0.5, CHART_HEIGHT / 2, CHART_HEIGHT - 0.5))
    return (
        f'<figure><figcaption>{title}</figcaption><div class="plot">'
        f'<div class="y">{_span(f"c.{key}.top", view)}{_span(f"c.{key}.half", view)}<span>0</span></div>'
        f'<svg viewBox="0 0 {CHART_WIDTH} {CHART_HEIGHT}" preserveAspectRatio="none" role="img" '
        f'aria-label="{title}"><path d="{lines}"/>'
        f'<polyline data-k="c.{key}" points="{escape(view[f"c.{key}"].text)}"/></svg>'
        f'<div class="x">{"".join(f"<span>{mark}</span>" for mark in marks)}</div></div></figure>'
    )


def _sources(view: View) -> str:
    count = _rows("p", view)
    first = _table("p", PLACE_COLUMNS, view, range(min(count, _UNFOLDED)))
    if count <= _UNFOLDED:
        return first
    rest = _table(
        "p", PLACE_COLUMNS, view, range(0)
    )  # the script makes rows of the first one when it unfolds
    made = f"<details id=rest data-first={_UNFOLDED} data-last={count}>"
    without = "<noscript>They are in /status.json; `python -m flows top` shows them.</noscript>"
    return f"{first}{made}<summary>{count - _UNFOLDED} more sources</summary>{without}{rest}</details>"


def _tag(row: int, view: View) -> str:
    return f"<tr><th>{_span(f't{row}.name', view)}</th><td>{_span(f't{row}.events', view)}</td></tr>"


def _table(kind: str, columns: Mapping[str, str], view: View, shown: range | None = None) -> str:
    head = "".join(f'<th scope="col">{title}</th>' for title in columns.values())
    numbers = range(_rows(kind, view)) if shown is None else shown
    rows = (_row(f"{kind}{number}", columns, view) for number in numbers)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _rows(kind: str, view: View) -> int:
    return sum(key[0] == kind and key[1].isdigit() and key.endswith(".name") for key in view)


def _row(row: str, columns: Mapping[str, str], view: View) -> str:
    cells = []
    for name, title in columns.items():
        key = f"{row}.{name}"
        inner = _curve(key, view[key]) if name in CURVES else _span(key, view)
        if name == "name" and row[0] == "p":
            of = quote(" ".join(view[f"{row}.{part}"].text for part in ("name", "region", "unit")))
            inner = _cell("a", key, view, f' href="?of={of}" title="its charts"')
        kind = f' class="{"short" if name in _SHORT else name}"'
        cells.append(
            f'<th scope="row">{inner}{_unit(row, view)}</th>'
            if name == "name"
            else f'<td data-label="{title}"{kind}>{inner}</td>'
        )
    return f"<tr>{''.join(cells)}</tr>"


def _unit(row: str, view: View) -> str:
    return _cell("small", f"{row}.unit", view) if f"{row}.unit" in view else ""


def _span(key: str, view: View) -> str:
    return _cell("span", key, view)


def _cell(element: str, key: str, view: View, more: str = "") -> str:
    text, level = view[key]
    return f'<{element} data-k="{key}" class="{level}"{more}>{escape(text)}</{element}>'


def _curve(key: str, cell: Cell) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none" role="img" '
        f'aria-label="events per second in the last hour">'
        f'<path d="M0 {HEIGHT - 0.5}H{WIDTH}"/>'
        f'<polyline data-k="{key}" points="{escape(cell.text)}"/></svg>'
    )
