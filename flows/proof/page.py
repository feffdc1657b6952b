"""A proof as one page for an auditor: no script, nothing from elsewhere, the same on paper and on a screen.

Whatever comes from the bucket or the journal is escaped. A square says by sign as well as by colour how a day
of an account is; months stand below each other, so that they fit on paper.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from importlib.metadata import version
from itertools import groupby
from operator import attrgetter

from flows.proof.judge import CURES, GOOD, HARMLESS, Fate
from flows.proof.proof import DigestChain, Gap, Proof, days
from flows.proof.text import answer, words
from flows.status.page import csp_hash, style
from sources.listed.listing import Stretch

MOST_ROWS = 500
"""Findings of a kind, and accounts of a month, that are told one by one; the others are counted."""

_POLICY = "default-src 'none'; style-src '{}'; img-src data:; base-uri 'none'; form-action 'none'"

_PROVES = """\
Delivered means: the receiver has confirmed that it read all events of the object, and the collector wrote
that down, with the hash of the object's bytes, before it deleted the message that announced it.

Complete means: each object that the bucket has of these days was delivered, or is left out by the
configuration; where digests are there, CloudTrail's signature covers its log files as they are.

Not proved: that AWS wrote down all that happened, what Devo does with events after it has read them, and that
nobody changed the journal itself; keep it where only the collector writes.
"""


def page(proof: Proof) -> str:
    """Return the document."""
    title = f"Proof of delivery: {proof.service}, {proof.start:%Y-%m-%d} to {proof.end:%Y-%m-%d}"
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_POLICY.format(csp_hash(style("flows.proof")))}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escape(title)}</title>
<link rel="icon" href="data:,">
<style>{style("flows.proof")}</style>
</head>
<body>
<header>
<h1>{escape(title)}</h1>
<p class="answer {"good" if proof.complete else "bad"}">{escape(answer(proof).capitalize())}</p>
</header>
<main>
{"".join(_parts(proof))}
</main>
</body>
</html>
"""


def _parts(proof: Proof) -> Iterator[str]:
    yield _figures(proof)
    yield "<h2>Day by day</h2>" + "".join(_months(proof))
    if proof.chains:
        yield "<h2>Signatures of CloudTrail</h2>" + _chains(proof.chains)
    if proof.gaps:
        yield "<h2>What is missing, altered or not yet there</h2>" + "".join(_gaps(proof))
    yield "<h2>What was looked at</h2>" + _looked(proof)
    yield "<h2>What this proves</h2>" + _paragraphs(_PROVES)
    yield "".join(f"<p><b>Not proved:</b> {escape(note)}</p>" for note in proof.notes)


def _paragraphs(text: str) -> str:
    """Return what stands between empty lines as paragraphs."""
    return "".join(f"<p>{escape(one)}</p>" for one in text.strip().split("\n\n"))


def _figures(proof: Proof) -> str:
    figures = [("objects", proof.objects, ""), ("events delivered", proof.events, "")]
    figures += [
        (words(verdict), proof.verdicts[verdict], _level([verdict]))
        for verdict in Fate
        if proof.verdicts[verdict]
    ]
    if proof.sampled:
        level = "good" if proof.same == proof.sampled else "bad"
        figures.append((f"of {proof.sampled} read again are the same", proof.same, level))
    if proof.backfilled:
        figures.append(("collected by this proof", proof.backfilled, ""))
    cells = (
        f'<div class="{level}"><dd>{count:,}</dd><dt>{escape(name)}</dt></div>'
        for name, count, level in figures
    )
    return f"<dl>{''.join(cells)}</dl>"


def _level(verdicts: Iterable[Fate]) -> str:
    found = set(verdicts)
    if found <= GOOD:
        return "good"
    return "warn" if found <= HARMLESS | {Fate.IN_FLIGHT} else "bad"


_LONG = frozenset({"object", "what is known"})
"""Columns whose words may be cut anywhere."""

_SIGNS = {"good": "✓", "warn": "…", "bad": "!", "none": "·"}


def _months(proof: Proof) -> Iterator[str]:
    """Yield a table of each month: accounts below each other, days beside each other."""
    found: Mapping[str, dict[str, Counter[Fate]]] = defaultdict(dict)
    for (day, account), counts in proof.squares.items():
        found[account][day] = counts
    accounts = sorted(found, key=lambda account: (_worst(found[account].values()), account))
    every = [day.isoformat() for day in days(Stretch(proof.start, proof.end))]
    every = sorted({*every, *(day for day, _ in proof.squares)})
    for month, dates in groupby(every, lambda day: day[:7]):
        yield _month(month, list(dates), {account: found[account] for account in accounts[:MOST_ROWS]})
    if len(accounts) > MOST_ROWS:
        yield f"<p>… and {len(accounts) - MOST_ROWS:,} more accounts, all like the last or better.</p>"


def _worst(squares: Iterable[Counter[Fate]]) -> int:
    levels = {_level(+counts) for counts in squares}
    return 0 if "bad" in levels else 1 if "warn" in levels else 2


def _month(month: str, dates: Sequence[str], found: Mapping[str, Mapping[str, Counter[Fate]]]) -> str:
    head = "".join(f'<th scope="col">{day[8:]}</th>' for day in dates)
    rows = "".join(
        f'<tr><th scope="row">{escape(account or "no account")}</th>'
        + "".join(_square(day, squares.get(day, Counter())) for day in dates)
        + "</tr>"
        for account, squares in found.items()
    )
    return (
        f'<div class="wide"><table class="squares"><caption>{month}</caption>'
        f'<thead><tr><th scope="col">account</th>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
    )


def _square(day: str, counts: Counter[Fate]) -> str:
    level = _level(+counts) if counts else "none"
    told = (
        ", ".join(f"{count:,} {words(verdict)}" for verdict, count in sorted(counts.items())) or "no object"
    )
    return f'<td class="{level}" title="{day}: {escape(told)}">{_SIGNS[level]}</td>'


def _chains(chains: Sequence[DigestChain]) -> str:
    names = ("account", "region", "trail", "from", "to", "digests valid", "not valid", "log files intact")
    rows = (
        (one.account, one.region, one.trail, one.start, one.end, one.valid, one.invalid, one.logs)
        for one in chains[:MOST_ROWS]
    )
    return _table(names, rows)


def _gaps(proof: Proof) -> Iterator[str]:
    """Yield each kind of gap with its cure, and below it where."""
    for verdict, group in groupby(sorted(proof.gaps, key=attrgetter("verdict", "name")), _verdict):
        found = list(group)
        title = f"{words(verdict).capitalize()}: {proof.verdicts[verdict]:,}"
        yield f'<h3 class="{_level([verdict])}">{escape(title)}</h3>'
        yield f"<p><b>What to do:</b> {escape(CURES[verdict])}.</p>"
        rows = ((one.name, one.day, one.account, one.region, one.detail) for one in found[:MOST_ROWS])
        yield _table(("object", "day", "account", "region", "what is known"), rows)
        if (more := proof.verdicts[verdict] - MOST_ROWS) > 0:
            yield f"<p>… and {more:,} more.</p>"


def _verdict(gap: Gap) -> Fate:
    return gap.verdict


def _looked(proof: Proof) -> str:
    told = (
        ("from", f"{proof.start:%Y-%m-%d %H:%M} UTC, by the time in the objects' keys"),
        ("to", f"{proof.end:%Y-%m-%d %H:%M} UTC, exclusive"),
        ("looked at", f"{proof.looked:%Y-%m-%d %H:%M:%S} UTC"),
        *(("bucket", location) for location in proof.locations),
        *(("journal", folder) for folder in proof.journals),
        ("collector", f"devo-aws-collector {version('devo-aws-collector')}"),
    )
    rows = "".join(f'<tr><th scope="row">{name}</th><td>{escape(text)}</td></tr>' for name, text in told)
    return f'<table class="about"><tbody>{rows}</tbody></table>'


def _cell(name: str, value: object) -> str:
    kind = ' class="long"' if name in _LONG else ""
    return f'<td data-label="{name}"{kind}>{escape(str(value))}</td>'


def _table(names: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    head = "".join(f'<th scope="col">{name}</th>' for name in names)
    body = "".join(f"<tr>{''.join(map(_cell, names, row))}</tr>" for row in rows)
    return f'<table class="list"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
