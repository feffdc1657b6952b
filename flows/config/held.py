"""A configuration as it was found to be right: bytes that stay, however its file changes afterwards.

They lie in a file without a name, which a process hands on when it is executed anew (`flows.process.reload`),
and to the processes that it starts.
"""

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import msgspec
from msgspec import Struct, field

_VARIABLE = "COLLECTOR_HELD"
_LISTENING: dict[str, tuple[int, Callable[[], None]]] = {}


class Held(Struct, frozen=True):
    """What is handed on. path: of the configuration. now: descriptor of its bytes.

    owner: process id of who holds them. before: descriptor of what was in force until then, -1 = none.
    refused: what, where and hint of the error for which something newer was not taken. ports: address →
    descriptor of a socket that listens there.
    """

    path: str
    now: int
    owner: int = field(default_factory=os.getpid)
    before: int = -1
    refused: tuple[str, str, str] | None = None
    ports: dict[str, int] = {}


def held() -> Held | None:
    """Return what this process, or the one that started it, holds."""
    text = os.environ.get(_VARIABLE)
    found = msgspec.json.decode(text, type=Held) if text else None
    return found if found and found.owner in {os.getpid(), os.getppid()} else None


def hold(what: Held) -> None:
    """Hold it from now on, for this process and those that it starts."""
    os.environ[_VARIABLE] = msgspec.json.encode(what).decode()


def hand_down() -> list[int]:
    """Hold for processes to be started what was got from the one above; return the descriptors they need."""
    kept = held()
    if kept and kept.owner != os.getpid():  # of it only the bytes have come here
        hold(Held(kept.path, kept.now, refused=kept.refused))
    return [kept.now] if kept else []


def listens(address: str, descriptor: int, finish: Callable[[], None]) -> None:
    """Note a socket that listens: the next life goes on with it, and nobody is refused meanwhile.

    finish: lets those end who have been let in.
    """
    _LISTENING[address] = descriptor, finish


def listening(*, finish: bool = False) -> dict[str, int]:
    """Return address → descriptor of what listens. finish: nobody is let in any more."""
    for _, end in _LISTENING.values() if finish else ():
        end()
    return {address: descriptor for address, (descriptor, _) in _LISTENING.items()}


def handed_on(address: str) -> int | None:
    """Return the descriptor of a socket of the former life that listens at an address, if there is one."""
    found = held()
    return found.ports.get(address) if found and found.owner == os.getpid() else None


def bytes_held(path: Path, most: int) -> bytes | None:
    """Return the first `most` bytes of a configuration that is held, None = it is not. Raises OSError."""
    found = held()
    return os.pread(found.now, most, 0) if found and found.path == str(path) else None


def copied(path: Path) -> int:
    """Return a descriptor of a copy of a file, in memory where the system can. Raises OSError."""
    content = path.read_bytes()
    if sys.platform == "linux":
        copy = os.memfd_create("configuration")
    else:
        with tempfile.TemporaryFile() as file:
            copy = os.dup(file.fileno())
    os.write(copy, content)
    return copy
