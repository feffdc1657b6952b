"""`python -m flows state`: what is kept between two lives, shown, copied, put back, or given another name.

A copy is a tar archive with a manifest of checksums. It may be made while the collector runs: SQLite gives a
recovery file as of one moment; the log, copied before it, is of this file or already in it; and the ids
beside it, copied later, only tell of more that was delivered. The format is told in docs/state.md.
"""

import hashlib
import io
import os
import pickle
import shutil
import sqlite3
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import ExitStack, closing, contextmanager, suppress
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from flows.catalogue.build import COLLECTED
from flows.catalogue.service import Unit
from flows.catalogue.services import every, units
from flows.config.load import SettingsError, load
from flows.positions.checkpoint import Place, changed, settle
from flows.positions.log import LOG
from flows.process.own_messages import STEP
from flows.process.private_folder import private_umask
from flows.process.recovery_store import FORMAT, StateError, check, hold, prepare
from flows.process.sealed_state import SealBrokenError, opened, seal

_MANIFEST, _ARCHIVE_FORMAT = "manifest.json", 1
_NOT_COPIED = frozenset({"journal", "quarantine"})
"""Folders beside the state that are records, not positions: copied as any files, if they shall be kept."""

_FLOW = "aws."
"""What bytewax puts before the name of a step: the dataflow's. It is not shown, nor written in `move`."""

_SINKS = frozenset({"devo", "quarantine", STEP})
"""Steps that keep no position; none of them is a service's."""

_NEWEST = """SELECT step_id, state_key, max(snap_epoch), ser_change, created_at FROM snaps
    WHERE ser_change IS NOT NULL GROUP BY step_id, state_key ORDER BY step_id, state_key"""


class Manifest(Struct, frozen=True):
    """What an archive holds. files: name → SHA-256. release: its maker. state_format: of recovery files."""

    files: dict[str, str]
    release: str
    state_format: int
    made: str
    format: int = _ARCHIVE_FORMAT


def state(config: Path | None, folder: Path | None, action: str, names: Sequence[str]) -> int:
    """Do what is asked for; raises SettingsError, StateError."""
    wanted = {"show": 0, "backup": 1, "restore": 1, "move": 2}[action]
    if len(names) != wanted:
        usage = {"backup": "FILE", "restore": "FILE", "move": "FROM TO"}.get(action, "")
        raise SettingsError(
            f"{action} takes {wanted} names", "state", f"write: state {action} {usage}".rstrip()
        )
    settings = None if folder else load(config, need_inputs=False)
    place = folder or (settings.state_directory if settings else None)
    if place is None:
        raise SettingsError(
            "this configuration keeps no state", "globals.persistence", "name one with --state"
        )
    if action != "restore" and not list(place.rglob("part-*.sqlite3")):
        raise SettingsError("there is no state", str(place), "name its directory with --state")
    if action == "show":
        _show(place, {unit.step_id for unit in units(settings)} if settings else None)
    elif action == "backup":
        backup(place, Path(names[0]))
    elif action == "restore":
        restore(Path(names[0]), place)
    else:
        move(place, names[0], names[1], units(settings) if settings else None)
    return 0


def _show(folder: Path, known: set[str] | None) -> None:
    """Print each position: step, lane, when it was kept, version, size. known: steps that are read."""
    for file in sorted(folder.rglob("part-*.sqlite3")):
        _print(f"{file}: format {_format(file)}")
        for (step, key), (found, when, size) in sorted(_positions(file).items()):
            told = f"version {found['v']}" if isinstance(found, dict) and "v" in found else "no version"
            name = step.removeprefix(_FLOW)
            unread = known is not None and name not in known | _SINKS
            left = "   no service of the configuration has this name: state move" if unread else ""
            _print(f"  {name}  {key}  {when}  {told}  {size} bytes{left}")


def _positions(file: Path) -> dict[Place, tuple[Any, str, int]]:
    """Return the position of each lane, since when it is kept, and its size; by file or log."""
    found = {
        (step, key): (opened(step, key, pickle.loads(kept)), f"epoch {epoch} of {at} UTC", len(kept))  # noqa: S301 - this user's alone, and looked at
        for step, key, epoch, kept, at in _snapshots(file)
    }
    later = changed(file.parent)
    return found | {place: (state, f"of {LOG}", len(pickle.dumps(state))) for place, state in later.items()}


def _snapshots(file: Path) -> Iterator[tuple[str, str, int, bytes, str]]:
    with _open(file) as database:
        yield from database.execute(_NEWEST).fetchall()


def _open(file: Path) -> closing[sqlite3.Connection]:
    return closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=rw", uri=True, timeout=10))


def _format(file: Path) -> int:
    with _open(file) as database:
        return int(database.execute("PRAGMA user_version").fetchone()[0])


def backup(folder: Path, archive: Path) -> Manifest:
    """Copy a state, running or not, into a new archive. Raises SettingsError, StateError."""
    files = sorted(_files(folder), key=lambda file: (file.name != LOG, not file.match("part-*.sqlite3")))
    parts = [file for file in files if file.match("part-*.sqlite3")]
    if any(len([one for one in parts if one.parent == part.parent]) > 1 for part in parts):
        hold(folder)  # files of one moment each are not of one moment together
    made = datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="seconds")
    try:
        with private_umask(), tarfile.open(archive, "x:gz") as packed, _whole(archive):
            sums = _pack(folder, files, packed)
            manifest = Manifest(sums, version("devo-aws-collector"), max(map(_format, parts)), made)
            text = msgspec.json.encode(manifest)
            about = tarfile.TarInfo(_MANIFEST)
            about.size, about.mode = len(text), 0o600
            packed.addfile(about, io.BytesIO(text))
    except OSError as error:
        raise SettingsError(
            f"cannot be written ({error.strerror})", str(archive), "name a new file"
        ) from error
    _print(f"{archive}: {len(sums)} files of {folder}; journal and quarantine are not among them")
    return manifest


@contextmanager
def _whole(archive: Path) -> Iterator[None]:
    """Take an archive away that has not become whole."""
    try:
        yield
    except BaseException:
        archive.unlink(missing_ok=True)
        raise


def _pack(folder: Path, files: Iterable[Path], packed: tarfile.TarFile) -> dict[str, str]:
    """Copy files into an archive and return their SHA-256; what has gone meanwhile was no longer needed."""
    sums: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as aside:
        copy = Path(aside) / "copy"
        for file in files:
            name = str(file.relative_to(folder))
            try:
                _copy(file, copy)
            except FileNotFoundError:
                continue
            sums[name] = hashlib.sha256(copy.read_bytes()).hexdigest()
            packed.add(copy, name)
            copy.unlink()
    return sums


def _files(folder: Path) -> Iterator[Path]:
    """Yield what is copied: no records, nothing that is just being written, nothing of SQLite's own."""
    for place, inner, names in os.walk(folder):
        unwanted = _NOT_COPIED if Path(place) == folder else frozenset()
        inner[:] = [one for one in inner if not one.startswith(".") and one not in unwanted]
        beside = (".new", "-wal", "-shm")
        wanted = [one for one in names if not one.startswith(".") and not one.endswith(beside)]
        yield from (file for one in wanted if (file := Path(place, one)).is_file())


def _copy(file: Path, copy: Path) -> None:
    if not file.match("part-*.sqlite3"):
        shutil.copyfile(file, copy)
        return
    with _open(file) as running, closing(sqlite3.connect(copy)) as to:
        running.backup(to)


def restore(archive: Path, folder: Path) -> None:
    """Put a copy into an empty or absent directory, if all of it is what was copied."""
    if folder.exists() and any(not one.name.startswith(".") for one in folder.iterdir()):
        raise SettingsError("there is a state already", str(folder), "move it away, or name another --state")
    prepare(folder, first=False)
    hold(folder)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".") as name:
        aside = Path(name)
        try:
            with private_umask(), tarfile.open(archive) as packed:
                packed.extractall(aside, filter="data")
            manifest = msgspec.json.decode((aside / _MANIFEST).read_bytes(), type=Manifest)
        except (OSError, tarfile.TarError, msgspec.MsgspecError, EOFError) as error:
            raise StateError(
                f"the archive is damaged ({error})", str(archive), "take another copy"
            ) from error
        if manifest.format > _ARCHIVE_FORMAT or manifest.state_format > FORMAT:
            hint = f"restore it with release {manifest.release}, or a later one"
            raise StateError("a newer release made this archive", str(archive), hint)
        for file, expected in manifest.files.items():
            found = aside / file
            if not found.is_file() or hashlib.sha256(found.read_bytes()).hexdigest() != expected:
                raise StateError(f"the archive is damaged ({file})", str(archive), "take another copy")
        check(aside, alone=True)
        for file in manifest.files:
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (aside / file).rename(folder / file)
    _print(f"{folder}: {len(manifest.files)} files as of {manifest.made}, made by {manifest.release}")


def move(folder: Path, before: str, after: str, configured: Sequence[Unit] | None = None) -> None:
    """Give the positions of an input (by its id), or of one of its services, another name; all or none.

    configured: what the configuration collects, by the old name or the new one; None = it is not known.
    """
    hold(folder)
    before, after = _step(before), _step(after)
    with ExitStack() as opening:
        places = {file.parent for name in (LOG, "part-*.sqlite3") for file in folder.rglob(name)}
        for place in places - {folder}:
            hold(place)
        for place in places:
            settle(place)
        files = {file: opening.enter_context(_open(file)) for file in sorted(folder.rglob("part-*.sqlite3"))}
        steps = {file: _steps(database) for file, database in files.items()}
        like = {one for names in steps.values() for one in names if f"{one}-".startswith(f"{before}-")}
        moved = _moved(like, before, after, configured)
        for file, names in steps.items():
            if taken := sorted(names & {moved[step] for step in names & moved.keys()}):
                raise StateError(f"{taken[0]} has positions already", str(file), "choose another name")
        if configured is None:
            _of_one_input(before, sorted(moved))
        if not moved:
            raise SettingsError(f"nothing is called {before}", str(folder), "state show tells the names")
        _rename_all(files, moved)
    for step in sorted(like - moved.keys()):
        _print(f"{step} stays: the configuration has no such service of {before}; move it by its whole name")


def _moved(
    like: AbstractSet[str], before: str, after: str, configured: Sequence[Unit] | None
) -> dict[str, str]:
    """Return step → its new name, of steps whose names begin like the old one."""
    if before in like:
        return {before: after}
    if configured is None:
        return {step: after + step.removeprefix(before) for step in like}
    return {step: new for step, new in _configured(configured, before, after).items() if step in like}


def _step(name: str) -> str:
    """Return a name as steps have it."""
    return name.replace(".", "_")


def _steps(database: sqlite3.Connection) -> set[str]:
    found = database.execute("SELECT DISTINCT step_id FROM snaps")
    return {str(step).removeprefix(_FLOW) for (step,) in found}


def _configured(known: Sequence[Unit], before: str, after: str) -> dict[str, str]:
    """Return step → its new name, by the inputs and services that are called so before or afterwards."""
    found = {}
    for name in (before, after):
        inputs = set()
        for unit in known:
            if name in {_step(unit.input_id), _step(f"{unit.input_id}-{unit.service_key}")}:
                rest = unit.step_id.removeprefix(name)
                found[before + rest] = after + rest
                inputs.add(unit.input_id)
        if len(inputs) > 1:
            hint = "write the whole name of each step, as state show tells it"
            raise SettingsError(f"{name} is an input, and a service of another", "state move", hint)
    return found


def _of_one_input(before: str, steps: Sequence[str]) -> None:
    """Refuse steps that may be of several inputs, as ids and keys may hold `-`. Raises SettingsError."""
    dashes = {_key(step.removeprefix(before)).count("-") for step in steps}
    if len(steps) > 1 and dashes not in ({0}, {1}):
        hint = "name the configuration instead of --state, or write the whole name of each step"
        raise SettingsError(f"these may be of several inputs: {', '.join(steps)}", before, hint)


def _key(rest: str) -> str:
    """Return `-KEY` of what follows an input's id; a key that is a service's own counts as without dashes."""
    service = next((name for name in every() if rest.endswith(f"-{name}")), "")
    key = rest.removesuffix(f"-{service}")
    return "-key" if key in {f"-{one.service_key}" for one in every().values() if one.service_key} else key


def _rename_all(files: Mapping[Path, sqlite3.Connection], moved: Mapping[str, str]) -> None:
    """Rename steps in all recovery files, and what lies beside them; all or nothing."""
    for database in files.values():
        for step, new in moved.items():
            _rename(database, step, new)
    for database in files.values():
        database.commit()
    for step, new in sorted(moved.items()):
        for beside in {file.parent / COLLECTED for file in files}:
            with suppress(FileNotFoundError):
                (beside / step).rename(beside / new)
        _print(f"{step} → {new}")


def _rename(database: sqlite3.Connection, step: str, new: str) -> None:
    """Write the rows of a step under its new name, which their checksums name too."""
    step, new = _FLOW + step, _FLOW + new
    rows = database.execute("SELECT rowid, state_key, ser_change FROM snaps WHERE step_id = ?", (step,))
    for row, key, kept in rows.fetchall():
        try:
            found: Any = None if kept is None else opened(step, key, pickle.loads(kept))  # noqa: S301 - see _show
        except SealBrokenError as error:
            raise StateError(f"a position is damaged ({error})", f"{step} {key}", "restore a copy") from error
        sealed = None if kept is None else pickle.dumps(seal(new, key, found))
        database.execute("UPDATE snaps SET step_id = ?, ser_change = ? WHERE rowid = ?", (new, sealed, row))


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")
