"""The rows of the matrix: what receives, how the collector reaches it, and what its own losses are.

syslog-ng takes receipt for what it has read. As shipped it holds that in memory, and kill -9 loses it after
the receipt: its own loss, which no sender can see (1 to 5 % of 60,000 lines when killed right after each
receipt). With `disk-buffer(reliable(yes))` it loses nothing: what it has read is on its disk. So that is what
runs here. One more thing is its own: after a start it opens a tag's queue with the next event of that tag;
`wake` sends one.
"""

import os
import socket
import ssl
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.chaos.meter import Lines
from tests.fakes import http_devo
from tests.fakes.certs import Certs
from tests.fakes.collector import ROOT, output
from tests.fakes.process import HOST, Child, free_port
from tests.fakes.receivers import Receiver, need

NAME = "localhost"
"""The collector is told a name, not an address, so that there is something to resolve."""

_WAKE = b"wake up"
_DISK_BUFFER = 'template-escape(no) disk-buffer(reliable(yes) disk-buf-size(536870912) dir("{folder}"))'


@dataclass(frozen=True, slots=True)
class Patience:
    """How long the collector waits, in seconds; None = its defaults, as they are in production."""

    receipt: float | None = None
    sending: float | None = None
    connect: float | None = None

    @property
    def keys(self) -> dict[str, float]:
        """Return the settings that are not left at their defaults."""
        named = {
            "receipt_timeout_seconds": self.receipt,
            "sending_timeout": self.sending,
            "connect_timeout_seconds": self.connect,
        }
        return {key: value for key, value in named.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Target:
    """A receiver of syslog lines. remark: what has to be said about how its losses are counted."""

    name: str
    kind: str
    tls: bool = True
    remark: str = ""

    @property
    def mutual(self) -> bool:
        """Whether the receiver wants our certificate."""
        return self.tls

    @property
    def keeps(self) -> bool:
        """Whether a connection outlives a receipt."""
        return False

    @contextmanager
    def running(self, folder: Path, certs: Certs) -> Iterator[Receiver]:
        """Start it; it is killed at the end."""
        receiver = Receiver(need(self.kind), folder, certs if self.tls else None)
        if self.kind == "syslog-ng":
            file = folder / "syslog-ng.conf"
            text = file.read_text()
            file.write_text(text.replace("template-escape(no)", _DISK_BUFFER.format(folder=folder)))
        try:
            yield receiver.start()
        finally:
            receiver.kill()

    def output(self, port: int, certs: Certs, patience: Patience) -> dict[str, Any]:
        """Return the collector's output section for a port on this machine."""
        section = output(port, certs if self.tls else None)
        for one in section.values():
            one["config"] |= {"address": NAME, **patience.keys}
        return section

    def counter(self, receiver: Receiver) -> Callable[[], int]:
        """Return what tells how many lines have arrived."""
        return Lines(receiver.folder / "out")

    def wake(self, receiver: Receiver, tags: Iterable[str]) -> None:
        """Let syslog-ng open its queues, past the wire, by one line for each tag."""
        if self.kind != "syslog-ng":
            return
        lines = b"".join(b"<14>Jan  1 00:00:00 wake %s: %s\n" % (tag.encode(), _WAKE) for tag in tags)
        raw = socket.create_connection((HOST, receiver.port), 10)
        with _secured(raw, receiver.certs) if receiver.certs else raw as connection:
            connection.sendall(lines)
            if isinstance(connection, ssl.SSLSocket):
                connection.unwrap()

    def arrived(self, receiver: Receiver) -> Counter[tuple[str, bytes]]:
        """Return how often each (tag, message) has arrived, without those of `wake`."""
        return Counter({event: count for event, count in receiver.events().items() if event[1] != _WAKE})


def _secured(raw: socket.socket, certs: Certs) -> ssl.SSLSocket:
    context = ssl.create_default_context(cafile=certs.ca)
    context.load_cert_chain(certs.client_cert, certs.client_key)
    return context.wrap_socket(raw, server_hostname=HOST)


class HttpReceiver:
    """Devo's HTTP input as a process of its own: what it has answered is on disk."""

    def __init__(self, folder: Path, certs: Certs) -> None:
        self.folder, self.certs, self.port = folder, certs, free_port()
        self.child: Child | None = None
        (folder / "out").mkdir(parents=True, exist_ok=True)

    def start(self) -> "HttpReceiver":
        """Start it, with the certificate files as they are now, and wait until it listens."""
        files = [str(self.certs.server_cert), str(self.certs.server_key)]
        command = [sys.executable, "-m", http_devo.__name__, str(self.folder / "out"), str(self.port), *files]
        self.child = Child(command, self.folder / "log", {**os.environ, "PYTHONPATH": str(ROOT)})
        self.child.await_port(self.port)
        return self

    def kill(self) -> None:
        """SIGKILL."""
        if self.child:
            self.child.kill()

    stop = kill  # it holds nothing back

    def events(self) -> Counter[tuple[str, bytes]]:
        """Return how often each (tag, line) was taken."""
        files = (self.folder / "out").iterdir()
        return Counter((file.name, line) for file in files for line in file.read_bytes().splitlines())


@dataclass(frozen=True, slots=True)
class HttpTarget:
    """Devo's HTTP input over TLS, with a token; see Target."""

    name: str = "HTTP"
    remark: str = "gzip off, so that 1 MB/s is slow"
    mutual: bool = False
    keeps: bool = True

    @contextmanager
    def running(self, folder: Path, certs: Certs) -> Iterator[HttpReceiver]:
        """Start it; it is killed at the end."""
        receiver = HttpReceiver(folder, certs)
        try:
            yield receiver.start()
        finally:
            receiver.kill()

    def output(self, port: int, certs: Certs, patience: Patience) -> dict[str, Any]:
        """Return the collector's output section for a port on this machine."""
        place = {"endpoint": f"https://{NAME}:{port}", "chain": str(certs.ca)}
        account = {"domain": http_devo.DOMAIN, "token": http_devo.TOKEN}
        return {"devo": {"type": "devo_http", "config": {**place, **account, "gzip": False, **patience.keys}}}

    def counter(self, receiver: HttpReceiver) -> Callable[[], int]:
        """Return what tells how many lines have arrived."""
        return Lines(receiver.folder / "out")

    def wake(self, receiver: HttpReceiver, tags: Iterable[str]) -> None:
        """Do nothing: it holds nothing back."""

    def arrived(self, receiver: HttpReceiver) -> Counter[tuple[str, bytes]]:
        """Return how often each (tag, message) has arrived."""
        return receiver.events()


TARGETS = {
    "rsyslog": Target("rsyslog TLS", "rsyslog"),
    "syslog-ng": Target("syslog-ng TLS", "syslog-ng", remark="with a reliable disk-buffer"),
    "tcp": Target("plain TCP", "rsyslog", tls=False),
    "http": HttpTarget(),
}
"""The rows, by the names that `python -m tests.chaos` takes."""
