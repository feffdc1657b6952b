"""One owner for a state and for a set of cursors: a second one would send every event of an API once more.

On one machine the kernel's locks tell, and let go when their owner ends, however it ends. A folder that
several machines mount may have locks that only one of them sees: so who has it writes there now and then,
and another machine that finds such a note looks for a while whether it goes on. Configurations of the same
cursors on different machines cannot be seen from here: there a StatefulSet of one, or `--only`, has to do
it.
"""

import atexit
import fcntl
import hashlib
import os
import socket
import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

import orjson
from msgspec import Struct

from flows.catalogue.service import Unit, queued
from flows.process import telemetry
from flows.process.private_folder import open_own
from sources.aws.limiter import own_folder
from sources.errors import SourceError
from transforms.errors import CollectorError

BEAT_SECONDS = 20.0
"""How often an owner writes that it is there: 4 KiB each time, 17 MB a day."""

LOOK_SECONDS = 45.0
"""How long another machine's note may stand still before its owner counts as gone."""

_HELD: dict[str, int] = {}


class OwnedError(CollectorError):
    """Another process has this state, or reads with these cursors. Exit 1."""


class OwnerNote(Struct, frozen=True):
    """What an owner writes. machine: differs from one boot of a machine to the next. beat: goes on."""

    pid: int
    host: str
    machine: str
    beat: int = 0

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


def hold(file: Path, what: str, hint: str, *, mounted: bool = True) -> None:
    """Take a lock file for this process until it ends. Raises OwnedError, OSError.

    what: for messages. mounted: other machines may have the folder, too.
    """
    key = str(file.absolute())
    if key in _HELD:
        return
    opened = open_own(file, os.O_RDWR)
    note = _read(opened)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(opened)
        raise OwnedError(f"{what} in use by {note or 'another process'}", str(file), hint) from None
    if mounted and note and note.machine != _machine() and _goes_on(opened, note):
        os.close(opened)
        raise OwnedError(f"{what} in use by {note}, another machine", str(file), hint)
    _HELD[key] = opened  # never closed: the kernel lets go at the end
    _write(opened, 0)
    atexit.register(os.ftruncate, opened, 0)
    if mounted:  # nobody looks at the others
        threading.Thread(target=_beat, args=(opened,), name="owner-beat", daemon=True).start()


def hold_cursors(units: Iterable[Unit], outputs: str = "", env: Mapping[str, str] = os.environ) -> None:
    """Take the cursors of all API services for this process, among those of this user and machine.

    outputs: where their events go; what goes elsewhere, too, is sent nowhere twice. Raises OwnedError.
    Where there is no folder for it, nothing is held: that is told.
    """
    for unit in units:
        if queued(unit):
            continue
        try:
            file = own_folder() / f"cursors-{_digest(unit, outputs, env)}"
            what = f"the cursors of {unit.service.name} of input {unit.account.name} are"
            hint = "let one process read the APIs, and start others with --only queues"
            hold(file, what, hint, mounted=False)
        except (OSError, SourceError) as error:
            telemetry.cursors_not_held(error)
            return


def _digest(unit: Unit, outputs: str, env: Mapping[str, str]) -> str:
    """Return what is the same for the same cursors: who asks, where, for what, and whom it is for."""
    asked = [outputs, unit.step_id, unit.account.fingerprint, unit.options.model_dump_json()]
    asked += [env.get(name, "") for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE", "AWS_ACCESS_KEY_ID")]
    return hashlib.sha256("\0".join(asked).encode()).hexdigest()[:32]


def _goes_on(opened: int, note: OwnerNote) -> bool:
    """Look for a while whether the owner on another machine still writes."""
    telemetry.owner_looked_for(str(note), LOOK_SECONDS)
    until = time.monotonic() + LOOK_SECONDS
    while time.monotonic() < until:
        time.sleep(min(1.0, LOOK_SECONDS / 10))
        if (now := _read(opened)) is not None and now != note:
            return True
    return False


def _beat(opened: int) -> None:
    number = 0
    while True:
        time.sleep(BEAT_SECONDS)
        number += 1
        try:
            _write(opened, number)
        except OSError:
            return  # the disk is full or gone, which the state itself will tell


def _read(opened: int) -> OwnerNote | None:
    try:
        told = orjson.loads(os.pread(opened, 1000, 0) or b"null")
        return OwnerNote(**told) if isinstance(told, dict) else None
    except (ValueError, TypeError):
        return None


def _write(opened: int, beat: int) -> None:
    told = {"pid": os.getpid(), "host": socket.gethostname(), "machine": _machine(), "beat": beat}
    text = orjson.dumps(told) + b"\n"
    os.pwrite(opened, text, 0)
    os.ftruncate(opened, len(text))


def _machine() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return socket.gethostname()
