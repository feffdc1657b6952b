"""Who has fallen silent, told once and until something comes again; what is learned lies beside the state.

    <recovery directory>/silence/<process>.state

Each process learns of what it has itself. While the outputs take nothing, pauses do not count.
"""

import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from flows.catalogue.service import Unit
from flows.process import telemetry
from flows.process.runtime import Launch
from flows.silence.learnt import keep, look_each_minute
from flows.silence.rhythm import MINUTE, MOST_SCOPES, Rhythms
from transforms.block import Block, Item, Transform

FOLDER = "silence"
_SAVE_MINUTES = 60
_STILL_MINUTES = 3
"""Without a receipt for so long nothing is known to come, whatever may be in AWS."""

_TOLD_AT_ONCE = 20
_SEPARATOR = "\t"
_LABEL_CHARACTERS = 64
"""Of an account and of a region; AWS's are shorter."""


class SilentScope(NamedTuple):
    """Whose events; account and region are "" where all of a service's are meant."""

    input: str
    service: str
    account: str = ""
    region: str = ""

    @property
    def key(self) -> str:
        """Return it as one text: whoever writes a notification chooses what is in it."""
        return _SEPARATOR.join(part.replace(_SEPARATOR, " ") for part in self)


def scope_of(key: str) -> SilentScope:
    """Return the scope of a text."""
    return SilentScope(*key.split(_SEPARATOR))


class SilenceWatch:
    """Hears blocks, and looks each minute who has not been heard. Thread-safe.

    file: where it learns, None = in memory. receipted: epoch seconds of the last receipt.
    expected: input and service → seconds after which it is silent, whatever was usual.
    """

    def __init__(
        self,
        file: Path | None,
        receipted: Callable[[], float],
        expected: Mapping[tuple[str, str], float],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._file, self._receipted, self._clock = file, receipted, clock
        self._heard: set[SilentScope] = set()
        now = self._minute()
        self._expected = {key: max(int(seconds // MINUTE), 1) for key, seconds in expected.items()}
        self._last = {SilentScope(*of): now for of in expected}
        self._overdue: set[SilentScope] = set()
        self._rhythms = _restored(file, now)
        self._saved = now

    def listening(self, unit: Unit, transform: Transform) -> Transform:
        """Return the same transform; what comes through it was heard."""
        owner, service = unit.account.name, unit.service.name

        def run(block: Block) -> Iterable[Item]:
            origin = block.origin
            account, region = origin.account[:_LABEL_CHARACTERS], origin.region[:_LABEL_CHARACTERS]
            self._heard.add(SilentScope(owner, service, account, region))
            return transform(block)

        return run

    def look(self) -> None:
        """Take a minute's hearing in, and tell who has fallen silent, and who is heard again."""
        minute, (heard, self._heard) = self._minute(), (self._heard, set())
        if minute - self._receipted() / MINUTE > _STILL_MINUTES:
            self._rhythms.skip(minute)
            self._last = dict.fromkeys(self._last, minute)
            return
        fixed = {scope for scope in heard if scope[:2] in self._expected}
        back = self._rhythms.hear({scope.key for scope in heard - fixed}, minute)
        _tell_heard([*map(scope_of, back), *self._note(fixed, minute)])
        late = [(scope_of(key), pause, self._rhythms.usual(key)) for key, pause in self._rhythms.look(minute)]
        _tell_silent([*late, *self._late(minute)])
        telemetry.silent_scopes(len(self._rhythms.silent) + len(self._overdue), self._rhythms.left_out)
        if minute - self._saved >= _SAVE_MINUTES:
            self.save()

    def save(self) -> None:
        """Keep what is learned, and who is silent."""
        self._saved = self._minute()
        if self._file is None:
            return
        silent = {**self._rhythms.silent, **{scope.key: self._last[scope] for scope in self._overdue}}
        keep(self._file, {"silent": silent, **self._rhythms.state()})

    def run(self, drain: threading.Event) -> None:
        """Look each minute until the process drains."""
        look_each_minute(self.look, self.save, drain)

    def _note(self, heard: Collection[SilentScope], minute: int) -> list[SilentScope]:
        """Note scopes with an expectation of the configuration, and the service as a whole with each."""
        scopes = {*heard, *(SilentScope(*scope[:2]) for scope in heard)}
        room = MOST_SCOPES - len(self._last)
        unknown = sorted(scopes - self._last.keys())[max(room, 0) :]
        self._last.update(dict.fromkeys(scopes.difference(unknown), minute))
        back = self._overdue & scopes
        self._overdue -= back
        return sorted(back)

    def _late(self, minute: int) -> list[tuple[SilentScope, int, int]]:
        found = []
        for scope, last in self._last.items():
            expected = self._expected[scope[:2]]
            if minute - last > expected and scope not in self._overdue:
                self._overdue.add(scope)
                found.append((scope, minute - last, expected))
        return found

    def _minute(self) -> int:
        return int(self._clock() // MINUTE)


def begin(
    started: Launch, units: Iterable[Unit], receipted: Callable[[], float], drain: threading.Event
) -> SilenceWatch:
    """Begin to watch what units bring. receipted: see `SilenceWatch`."""
    kept = started.recovery
    file = kept / FOLDER / f"{started.process.index}.state" if kept else None
    expected = {
        (unit.account.name, unit.service.name): unit.options.expect_every_seconds
        for unit in units
        if unit.options.expect_every_seconds
    }
    watch = SilenceWatch(file, receipted, expected)
    telemetry.silent_scopes(0, 0)
    threading.Thread(target=watch.run, args=(drain,), name="silence", daemon=True).start()
    return watch


def silent_in(state: Path) -> dict[SilentScope, float]:
    """Return who was silent when it was last kept → when it was heard last, in epoch seconds.

    state: the recovery directory; independent processes have theirs within it.
    """
    found: dict[SilentScope, float] = {}
    for path in sorted(one for place in ("", "*/") for one in state.glob(f"{place}{FOLDER}/*.state")):
        silent = _read(path).get("silent", {})
        found |= {scope_of(key): float(last * MINUTE) for key, last in silent.items()}
    return found


def _restored(file: Path | None, minute: int) -> Rhythms:
    state = _read(file) if file else {}
    try:
        return Rhythms.restored(state, minute) if state else Rhythms()
    except (ValueError, KeyError, TypeError):
        return Rhythms()  # of another release: what is usual is learned anew


def _read(path: Path) -> dict[str, Any]:
    try:
        return msgspec.msgpack.decode(path.read_bytes(), type=dict[str, Any])
    except (OSError, msgspec.DecodeError):
        return {}


def _tell_silent(late: list[tuple[SilentScope, int, int]]) -> None:
    for scope, pause, usual in late[:_TOLD_AT_ONCE]:
        telemetry.fell_silent(*scope, pause * MINUTE, usual * MINUTE)
    if len(late) > _TOLD_AT_ONCE:
        telemetry.more_silent(len(late) - _TOLD_AT_ONCE)


def _tell_heard(back: list[SilentScope]) -> None:
    for scope in back:
        telemetry.heard_again(*scope)
