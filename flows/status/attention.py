"""What stands first on the page: what fails, with its cure, since when, and when it is tried again. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from flows.status.event_status import IDENTITY
from flows.status.notes import over_budget
from flows.status.words import Cell, View, age

ROWS = 10
_COLUMNS = ("what", "cure", "when")
_ITSELF = "it is tried again by itself"


class Trouble(NamedTuple):
    """What fails. level: as a cell's. what: its name and error. cure: what to do. told: the error's data."""

    level: str
    what: str
    cure: str
    told: Mapping[str, Any] | None = None


def attention(state: Mapping[str, Any]) -> View:
    """Return the rows, the worst first; those left over are empty, and what has no row is counted."""
    found = sorted(troubles(state), key=lambda one: one.level != "bad")
    cells: View = {}
    for row in range(ROWS):
        cells |= _row(row, found[row] if row < len(found) else None)
    more = len(found) - ROWS
    return cells | {"a.more": Cell(f"and {more} more, see their rows below" if more > 0 else "", "warn")}


def _row(row: int, one: Trouble | None) -> View:
    if one is None:
        return {f"a{row}.{name}": Cell("") for name in _COLUMNS}
    return {
        f"a{row}.what": Cell(one.what, one.level),
        f"a{row}.cure": Cell(one.cure),
        f"a{row}.when": Cell(_when(one.told), "mute"),
    }


def _when(told: Mapping[str, Any] | None) -> str:
    if told is None:
        return ""
    again = told["again_seconds"]
    return f"since {age(told['since_seconds'])}; " + (
        _ITSELF if again is None else f"tried again in {age(again)}" if again else "tried again now"
    )


def troubles(state: Mapping[str, Any]) -> Iterator[Trouble]:
    """Yield all that fails, in the order in which the page has its causes."""
    illness = state["health"]["illness"]
    if illness:
        yield Trouble("bad", f"Not well: {illness}", "see the log; its supervisor starts it again if it ends")
    yield from of_the_whole(state)
    for output in state["outputs"]:
        yield from _output(output)
    if state["quarantine"]["full"]:
        what = "Quarantine is full: messages of what cannot be read stay in their queues"
        yield Trouble("bad", what, f"replay and delete what {state['quarantine']['where']} holds")
    for one in over_budget(state["money"]):
        cure = "docs/operate.md, BudgetNotKept, tells what costs less"
        yield Trouble("warn", f"The budget of {one['name']} is {one['state']}", cure)
    for place in state["places"]:
        if place["targets_failing"] and place["last_error"]:
            where = " ".join(part for part in (place["service"], place["region"]) if part)
            yield _failure("warn", f"{where} ({place['input']})", place["last_error"])


def of_the_whole(state: Mapping[str, Any]) -> Iterator[Trouble]:
    """Yield what fails that is no output's and no source's: identities, the journal, the configuration."""
    for name, told in state["stopped"].items():
        yield _failure("bad", name if name.startswith(IDENTITY) else f"The {name}", told)
    if state["refused"]:
        yield _failure(
            "bad", "The configuration file is wrong, what was before is in force", state["refused"]
        )


def _output(output: Mapping[str, Any]) -> Iterator[Trouble]:
    name, told = output["name"], output["last_error"]
    if not output["ready"]:
        if told:
            yield _failure("bad" if output["connected"] else "warn", f"Output {name}", told)
        else:
            yield Trouble(
                "warn", f"Output {name} has not been reached yet", "it is tried; check --probe looks"
            )
    elif output["strength"] in {"kernel", "none"}:
        cure = "docs/operate.md, ReceiptsAreWeak, tells what answers with a receipt"
        yield Trouble("warn", f"Output {name}: receipts are weak ({output['strength']})", cure)


def _failure(level: str, who: str, told: Mapping[str, Any]) -> Trouble:
    what = ": ".join(part for part in (who, told["what"], told["where"]) if part)
    code = f" [{told['code']}]" if told["code"] else ""
    return Trouble(level, what, f"{told['hint']}{code}", told)
