"""Who may ask the status port, and for how long: no client can keep the probes out.

- A connection has one deadline for its whole request and answer, however its bytes trickle in.
- When all places are taken, a new connection takes the place of the oldest one that has not yet asked.
- Places are kept for probes: pages, which are larger, never fill them.
- The name in the header Host must be one that nobody else can own in public DNS, or be listed: so a web page
  whose name is made to lead here (DNS rebinding) reads nothing.
"""

import hmac
import io
import ipaddress
import os
import socket
import threading
import time
from collections.abc import Collection, Mapping
from contextlib import suppress

from transforms.locks import Guard, guarded

_LOCKS = (Guard("_lock", ("_silent", "_taken")),)

HOSTS_VARIABLE = "COLLECTOR_STATUS_HOSTS"
"""Further names under which the port may be asked, separated by commas."""

TAP_VARIABLE = "COLLECTOR_STATUS_TAP"
"""Who may see events as they go out: `loopback`, or a token of 16 characters at least; unset = nobody."""

_SHORTEST_TOKEN = 16
_PRIVATE_SUFFIXES = (".localhost", ".local", ".internal", ".svc", ".svc.cluster.local")


@guarded(_LOCKS)
class Places:
    """Places for connections: `most` in all, of which pages take `most` - `kept` at once."""

    def __init__(self, most: int, kept: int) -> None:
        self._lock = threading.RLock()
        self._most, self._taken = most, 0
        self._silent: dict[socket.socket, None] = {}
        self._pages = threading.BoundedSemaphore(most - kept)

    def enter(self, connection: socket.socket) -> bool:
        """Take a place, that of the oldest connection that has not asked when all are taken; False = none."""
        with self._lock:
            if self._taken >= self._most:
                oldest = next(iter(self._silent), None)
                if oldest is None:
                    return False
                self._leave(oldest)
                with suppress(OSError):
                    oldest.shutdown(socket.SHUT_RDWR)  # its thread reads the end, and ends
            self._taken += 1
            self._silent[connection] = None
            return True

    def asked(self, connection: socket.socket) -> bool:
        """Note that its request is whole; False = it has lost its place."""
        with self._lock:
            if connection not in self._silent:
                return False
            del self._silent[connection]
            return True

    def leave(self, connection: socket.socket, *, has_asked: bool) -> None:
        """Give the place back, unless another connection has taken it."""
        with self._lock:
            if has_asked:
                self._taken -= 1
            else:
                self._leave(connection)

    def _leave(self, connection: socket.socket) -> None:
        if connection in self._silent:
            del self._silent[connection]
            self._taken -= 1

    @property
    def taken(self) -> int:
        """Return how many are served now."""
        with self._lock:
            return self._taken

    def begin_page(self) -> bool:
        """Take a place for a page; False = as many as may are being made."""
        return self._pages.acquire(blocking=False)

    def end_page(self) -> None:
        """Give it back."""
        self._pages.release()


class DeadlineReader(io.RawIOBase):
    """Reads a connection until a moment (`time.monotonic`); TimeoutError after it."""

    def __init__(self, connection: socket.socket, deadline: float) -> None:
        self._connection, self._deadline = connection, deadline

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def readinto(self, buffer: "memoryview") -> int:  # type: ignore[override]
        """Read what has come."""
        set_time_left(self._connection, self._deadline)
        return self._connection.recv_into(buffer)


def set_time_left(connection: socket.socket, deadline: float) -> None:
    """Let the next call on a connection take until the deadline; raises TimeoutError after it."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    connection.settimeout(left)


def hosts_of(env: Mapping[str, str]) -> frozenset[str]:
    """Return the names of `COLLECTOR_STATUS_HOSTS`."""
    return frozenset(name.strip().lower() for name in env.get(HOSTS_VARIABLE, "").split(",") if name.strip())


def is_known_host(header: str | None, names: Collection[str]) -> bool:
    """Tell whether a Host header is an address, a name that public DNS does not have, or one of `names`."""
    if header is None:  # no browser leaves it out
        return True
    name = _host(header.strip().lower())
    return (
        _is_address(name)
        or "." not in name
        or name.endswith(_PRIVATE_SUFFIXES)
        or name in names
        or name == socket.gethostname().lower()
    )


def _host(header: str) -> str:
    """Return the host of `host:port`, `[address]:port` or either alone."""
    if header.startswith("["):
        return header[1:].partition("]")[0]
    return header.partition(":")[0].removesuffix(".")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def may_tap(client: str, authorization: str | None, env: Mapping[str, str] = os.environ) -> bool:
    """Tell whether a client may see events. authorization: the header, `Bearer TOKEN`."""
    allowed = env.get(TAP_VARIABLE, "")
    if allowed == "loopback":
        return ipaddress.ip_address(client.partition("%")[0]).is_loopback
    given = (authorization or "").removeprefix("Bearer ")
    return len(allowed) >= _SHORTEST_TOKEN and hmac.compare_digest(given.encode(), allowed.encode())
