"""`python -m flows top`: the status of running collectors in a terminal, what fails first, with its cure.

It reads `/status.json` of each address and shows the words of its status page; nothing else is asked.
"""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from signal import SIGINT
from typing import Any
from urllib.parse import urlsplit

import orjson
from msgspec import Struct
from msgspec.structs import replace
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from flows.config.load import SettingsError
from flows.process.interrupt import until_interrupted
from flows.status.attention import of_the_whole
from flows.status.group import Asked

DEFAULT = "127.0.0.1:3030"
_PORT = 3030
_EVERYBODY = frozenset({"", "0.0.0.0", "::"})  # noqa: S104 - to ask at, not to listen on
_THREADS = 32
_LEAST_SECONDS = 0.2
_LEAST_WIDTH = 20
_STYLES = {"bad": "bold red", "warn": "yellow", "mute": "dim", "": ""}
_RANK = {"bad": 0, "warn": 1}
_WELL = 2
_FEWEST = 4
"""Lines of a screen that processes, and outputs, have at least."""

_NOTES = ("quarantine", "missing", "unsigned", "silent", "certificates", "money", "untabled", "open")
_INDENT = "    "


class ScreenRow(Struct, frozen=True):
    """One line of the screen. rank: 0 bad, 1 to be seen, 2 well. cure: what to do, below it; "" = nothing."""

    rank: int
    parts: tuple[tuple[str, str], ...]
    """Texts and their levels."""

    cure: str = ""
    cure_level: str = ""
    order: float = 0.0


class SeenProcess(Struct, frozen=True):
    """What a process tells, as rows. ready: it is alive, and every output is reached."""

    ready: bool
    head: ScreenRow
    outputs: tuple[ScreenRow, ...] = ()
    notes: tuple[ScreenRow, ...] = ()
    sources: tuple[ScreenRow, ...] = ()


def top(addresses: Sequence[str], environment: str, *, once: bool, every: float) -> int:
    """Show the status until Ctrl-C, or once; 0 when every process is ready, else 1.

    addresses: HOST:PORT. environment: COLLECTOR_STATUS, asked at when there are none. every: seconds.
    """
    processes = [asked(one) for one in addresses or [environment or DEFAULT]]
    console, found = Console(), list[SeenProcess]()
    if once or not console.is_terminal:
        found = ask(processes)
        console.print(screen(found, console))
        return 0 if all(one.ready for one in found) else 1
    with (
        until_interrupted(SIGINT) as interrupted,
        Live(console=console, screen=True, auto_refresh=False) as live,
    ):
        while not interrupted():
            found = ask(processes)
            live.update(screen(found, console), refresh=True)
            time.sleep(max(_LEAST_SECONDS, every))
    return 0 if all(one.ready for one in found) else 1


def asked(text: str) -> Asked:
    """Return where to ask: `3030`, `:3030`, `host`, `host:3030` or a URL. Raises SettingsError."""
    place = f":{text}" if text.isascii() and text.isdigit() else text
    try:
        parts = urlsplit(place if "://" in place else f"http://{place}")
        host, port = parts.hostname or "", parts.port or _PORT
    except ValueError:
        host, port = "", 0
    if not port or parts.username or (parts.scheme != "http"):
        raise SettingsError("status address is not usable", text, "write HOST:PORT, as in 127.0.0.1:3030")
    host = "127.0.0.1" if host in _EVERYBODY else host
    return Asked(f"{host}:{port}", host, port)


def ask(processes: Sequence[Asked]) -> list[SeenProcess]:
    """Return what each process tells."""
    with ThreadPoolExecutor(min(len(processes), _THREADS)) as pool:
        answers = pool.map(lambda one: one.get("/status.json"), processes)
        return [process(one.name, *answer) for one, answer in zip(processes, answers, strict=True)]


def process(name: str, status: int, body: bytes) -> SeenProcess:
    """Return an answer as rows; what is no collector's answer is a process that is not ready."""
    if status != HTTPStatus.OK:
        what = f"answers with status {status}" if status else "does not answer"
        cure = (
            "is the name in COLLECTOR_STATUS_HOSTS there? Or ask by address"
            if status == HTTPStatus.MISDIRECTED_REQUEST
            else "does it run, with COLLECTOR_STATUS or globals.status set to this address?"
        )
        return _silent(name, what, cure)
    try:
        return _process(name, orjson.loads(body))
    except (ValueError, LookupError, TypeError, AttributeError):
        return _silent(name, "is no collector of this release", "see what listens there")


def _silent(name: str, what: str, cure: str) -> SeenProcess:
    return SeenProcess(ready=False, head=ScreenRow(0, ((f"{name}  {what}", "bad"),), cure))


def _process(name: str, state: Mapping[str, Any]) -> SeenProcess:
    health, cells = state["health"], state["view"]
    text, level = cells["sum"]
    title, about = cells["title"][0], cells["about"][0].partition(" · as of ")[0]
    told = text.replace(", see below", "")  # the page's sections, which a screen has no room for
    head = ScreenRow(_rank(level), ((f"{name}  {title}  ", ""), (about, "mute")), told, level)
    notes = [
        ScreenRow(_rank(one.level), (), f"{name}: {one.what}: {one.cure}", one.level)
        for one in of_the_whole(state)
    ]
    notes += [ScreenRow(_rank(one[1]), (), *one) for note in _NOTES if _rank((one := cells[note])[1]) < _WELL]
    return SeenProcess(
        bool(health["alive"] and health["ready"]),
        head,
        tuple(_output(f"o{row}", cells, name) for row in range(len(state["outputs"]))),
        tuple(notes),
        tuple(_source(f"p{row}", cells, place, name) for row, place in enumerate(state["places"])),
    )


def _rank(level: str) -> int:
    return _RANK.get(level, _WELL)


def _output(key: str, cells: Mapping[str, Sequence[str]], process_name: str) -> ScreenRow:
    (name, _), (state, level), (strength, weak) = (
        cells[f"{key}.{column}"] for column in ("name", "state", "strength")
    )
    cure, cure_level = cells[f"{key}.error"]
    told = (
        _wide(name, 24, ""),
        _wide(state, 16, level),
        _wide(strength.partition(":")[0], 9, weak),
        _right(cells[f"{key}.rate"][0], 8),
        _wide(f"  {cells[f'{key}.receipt'][0].partition(',')[0]}", 18, ""),
    )
    worst = min(_rank(level), _rank(weak), _rank(cells[f"{key}.window"][1]))
    return ScreenRow(worst, told, f"{process_name}: {cure}" if cure else "", cure_level)


def _source(
    key: str, cells: Mapping[str, Sequence[str]], place: Mapping[str, Any], process_name: str
) -> ScreenRow:
    (name, _), (unit, _), (region, _), (lag, late) = (
        cells[f"{key}.{column}"] for column in ("name", "unit", "region", "lag")
    )
    error, level = cells[f"{key}.error"]
    is_failing = place["targets_failing"] > 0
    rank = 0 if is_failing else min(_rank(level), _rank(late))
    told = (
        _wide(name, 23, "bad" if is_failing else ""),
        _wide(unit, 18, "mute"),
        _wide(region, 15, ""),
        _right(cells[f"{key}.rate"][0], 8),
        _right(lag.partition(";")[0], 14, late),
    )
    cure = f"{process_name}: {error}" if error and rank < _WELL else ""
    return ScreenRow(rank, told, cure, level, -float(place["lag_seconds"] or 0))


def _wide(text: str, width: int, level: str) -> tuple[str, str]:
    short = text if len(text) < width else f"{text[: width - 2]}…"
    return f"{short:<{width}}", level


def _right(text: str, width: int, level: str = "") -> tuple[str, str]:
    return f"{text:>{width}}", level


def screen(processes: Sequence[SeenProcess], console: Console) -> Group:
    """Return what fits the console: what is not well first, and a count of what did not fit."""
    heads = _ranked(one.head for one in processes)
    if len(heads) > 1:
        heads = [replace(one, cure="") if one.rank == _WELL else one for one in heads]
    outputs = _ranked(row for one in processes for row in one.outputs)
    sources = _ranked(row for one in processes for row in one.sources)
    share = max(console.height // 3, _FEWEST)
    lines = _fitting(heads, console, share, "processes")
    lines += _fitting(_ranked(row for one in processes for row in one.notes), console, share, "notes")
    if outputs:
        head = f"{'Output':24}{'State':16}{'Receipt':9}{'Events/s':>8}  Last receipt"
        room = share if outputs[0].rank < _WELL else _FEWEST
        lines += [Text(), Text(head, "bold"), *_fitting(outputs, console, room, "outputs")]
    if sources:
        head = f"{'Source':23}{'Input':18}{'Region':15}{'Events/s':>8}{'Lag':>14}"
        room = console.height - len(lines) - 3  # a blank, the head, and the terminal's own last line
        lines += [Text(), Text(head, "bold"), *_fitting(sources, console, room, "sources")]
    for line in lines:
        line.truncate(console.width, overflow="ellipsis")
    return Group(*lines)


def _ranked(rows: Iterable[ScreenRow]) -> list[ScreenRow]:
    return sorted(rows, key=lambda row: (row.rank, row.order))


def _fitting(rows: Sequence[ScreenRow], console: Console, room: int, what: str) -> list[Text]:
    """Return the first rows that fit into so many lines, at least one, and how many more there are."""
    lines: list[Text] = []
    for shown, row in enumerate(rows):
        more = list(_lines(row, console))
        is_last = shown == len(rows) - 1
        if shown and len(lines) + len(more) + (not is_last) > room:
            bad = sum(one.rank < _WELL for one in rows[shown:])
            how = f"{bad} of them not well" if bad else "all well"
            return [*lines, _text(f"… and {len(rows) - shown} more {what}, {how}", "mute")]
        lines += more
    return lines


def _lines(row: ScreenRow, console: Console) -> Iterator[Text]:
    """Yield a row, and its cure below it, in lines of the console's width."""
    if row.parts:
        yield Text.assemble(*(_text(*part) for part in row.parts))
    if row.cure:
        cure = _text(row.cure, row.cure_level)
        for part in cure.wrap(console, max(console.width, _LEAST_WIDTH) - len(_INDENT)):
            yield Text(_INDENT) + part


def _text(text: str, level: str) -> Text:
    """Return a text that can do nothing to a terminal: what AWS or a stranger says may stand in it."""
    return Text("".join(one if one.isprintable() else " " for one in text), _STYLES.get(level, ""))
