"""The page: one HTML document from the cells of a view. Everything that comes from elsewhere is escaped."""

import base64
import hashlib
from collections.abc import Mapping
from functools import cache
from html import escape

from flows.status.assets import SCRIPT, STYLE
from flows.status.view import CURVES, HEIGHT, OUTPUT_COLUMNS, PLACE_COLUMNS, WIDTH, Cell, View

_SHORT = frozenset({"region", "rate", "lag", "lanes", "state"})


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
<style>{STYLE}</style>
</head>
<body>
<header>
<h1>{_span("title", view)}</h1>
{_cell("p", "about", view)}
<p id="lost" class="bad" role="alert"></p>
{_cell("p", "sum", view, ' id="sum" role="status"')}
</header>
<main>
{_cell("p", "refused", view)}
<h2>Outputs</h2>
{_table("o", OUTPUT_COLUMNS, view)}
{_cell("p", "certificates", view)}
<h2>Sources</h2>
{_table("p", PLACE_COLUMNS, view)}
<h2>Not collected</h2>
{_cell("p", "quarantine", view)}
{_cell("p", "missing", view)}
{_cell("p", "ignored", view)}
{_cell("p", "dropped", view)}
{_cell("p", "unsigned", view)}
{_cell("p", "untabled", view)}
{_cell("p", "schema", view)}
{_cell("p", "silent", view)}
{_cell("p", "open", view)}
</main>
<script>{SCRIPT}</script>
</body>
</html>
"""


@cache
def policy() -> str:
    """Return the Content-Security-Policy: nothing from anywhere, but this style, this script and our JSON."""
    return (
        f"default-src 'none'; style-src '{csp_hash(STYLE)}'; script-src '{csp_hash(SCRIPT)}'; "
        "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def csp_hash(text: str) -> str:
    """Return what a Content-Security-Policy lets this very style or script in by."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _table(kind: str, columns: Mapping[str, str], view: View) -> str:
    head = "".join(f'<th scope="col">{title}</th>' for title in columns.values())
    rows = (_row(f"{kind}{number}", columns, view) for number in range(_rows(kind, view)))
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _rows(kind: str, view: View) -> int:
    return sum(key.startswith(kind) and key.endswith(".name") for key in view)


def _row(row: str, columns: Mapping[str, str], view: View) -> str:
    cells = []
    for name, title in columns.items():
        key = f"{row}.{name}"
        inner = _curve(key, view[key]) if name in CURVES else _span(key, view)
        kind = f' class="{"short" if name in _SHORT else name}"'
        cells.append(
            f'<th scope="row">{inner}{_cell("small", f"{row}.unit", view)}</th>'
            if name == "name"
            else f'<td data-label="{title}"{kind}>{inner}</td>'
        )
    return f"<tr>{''.join(cells)}</tr>"


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
