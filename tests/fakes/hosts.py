"""Hosts of one test as network namespaces behind a switch of their own: links to cut, nodes to lose.

    with Network() as network:
        network.publish(aws.port)                 # in every host it is SERVERS:port from now on
        host = network.host()
        Child([*host.prefix, "curl", f"http://{SERVERS}:{aws.port}"], …)
        host.cut(), host.mend(), host.mute()      # both directions, again, all that it says

Nothing of it is seen by the machine's own network, and all of it is gone with the process that made it. What
listens on the machine's loopback is reached through doors in the switch (`python -m tests.fakes.hosts`).
"""

import asyncio
import ctypes
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self, TypeVar

import pytest

from tests.fakes.process import HOST, Child, wait_until

SERVERS = "198.18.0.1"
"""Of the range for tests between networks (RFC 2544)."""

_NOBODY = "02:00:00:00:00:ff"
_CLONE_NEWNET = 0x40000000
_TIMEOUT = 20.0
T = TypeVar("T")


def need_hosts() -> None:
    """Skip the test, and say why, where namespaces cannot be made."""
    programs = [name for name in ("ip", "nsenter", "unshare") if not shutil.which(name)]
    if programs:
        pytest.skip(f"no network namespaces here: {', '.join(programs)} missing")
    made = subprocess.run(
        ["unshare", "-n", "ip", "link", "add", "t0", "type", "bridge"], capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip(f"no network namespaces here: {made.stderr.decode(errors='replace').strip()}")


class Namespace:
    """A network namespace that lives as long as a process that sleeps in it."""

    def __init__(self, folder: Path) -> None:
        self._child = Child(["unshare", "-n", "sleep", "infinity"], folder / "namespace", os.environ)
        wait_until(self._made, _TIMEOUT, "a network namespace")
        self.run("ip", "link", "set", "lo", "up")

    @property
    def path(self) -> str:
        return f"/proc/{self._child.pid}/ns/net"

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def prefix(self) -> list[str]:
        """What a command begins with that is to run in here."""
        return ["nsenter", f"--net={self.path}", "--"]

    def run(self, *command: str) -> None:
        """Run a command in here."""
        subprocess.run([*self.prefix, *command], check=True)

    def close(self) -> None:
        """End it, and with it its links."""
        self._child.kill()

    def _made(self) -> bool:
        """Tell that the child has left this process's namespace: it is `sleep` by then."""
        with suppress(OSError):
            return Path(f"/proc/{self.pid}/comm").read_text().strip() == "sleep"
        return False


def inside(path: str, make: Callable[[], T]) -> T:
    """Return what `make` returns in a namespace: a socket stays where it was made."""
    found: list[T | OSError] = []

    def run() -> None:
        try:
            _enter(path)
            found.append(make())
        except OSError as error:
            found.append(error)

    thread = threading.Thread(target=run)  # which ends in there
    thread.start()
    thread.join()
    if isinstance(found[0], OSError):
        raise found[0]
    return found[0]


def _enter(path: str) -> None:
    """Move this thread into a namespace."""
    with Path(path).open() as namespace:
        if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")


class Host:
    """One host: its namespace, its address, and its link to the switch."""

    def __init__(self, number: int, switch: Namespace, folder: Path) -> None:
        self.number, self.address = number, f"198.18.0.{10 + number}"
        self.up = True
        self._switch, self._link = switch, f"h{number}"
        self.space = Namespace(folder)
        self.prefix = self.space.prefix
        switch.run(
            *("ip", "link", "add", self._link, "type", "veth"),
            *("peer", "name", "eth0", "netns", str(self.space.pid)),
        )
        switch.run("ip", "link", "set", self._link, "master", "br0", "up")
        self.space.run("ip", "address", "add", f"{self.address}/24", "dev", "eth0")
        self.space.run("ip", "link", "set", "eth0", "up")

    def cut(self) -> None:
        """Let nothing through, in either direction; nobody is told."""
        self._switch.run("ip", "link", "set", self._link, "nomaster")
        self.up = False

    def mend(self) -> None:
        """Let everything through again."""
        self._switch.run("ip", "link", "set", self._link, "master", "br0")
        for neighbour in self._neighbours():
            self.space.run("ip", "neigh", "del", neighbour, "dev", "eth0")
        self.up = True

    def mute(self, others: Sequence[str]) -> None:
        """Let nothing that it says arrive there, while it hears all: addresses lead to nobody."""
        for other in others:
            self.space.run(
                "ip", "neigh", "replace", other, "lladdr", _NOBODY, "dev", "eth0", "nud", "permanent"
            )

    def _neighbours(self) -> list[str]:
        asked = [*self.prefix, "ip", "neigh", "show", "nud", "permanent"]
        shown = subprocess.run(asked, check=True, capture_output=True, text=True).stdout
        return [line.split()[0] for line in shown.splitlines() if _NOBODY in line]


class Network:
    """The switch and its hosts, while the block runs."""

    def __init__(self) -> None:
        self.hosts: list[Host] = []
        self._doors: Child | None = None
        self._ports: list[int] = []

    def __enter__(self) -> Self:
        self._folder = Path(tempfile.mkdtemp(prefix="hosts-"))
        self._switch = Namespace(self._folder)
        self._switch.run("ip", "link", "add", "br0", "type", "bridge")
        self._switch.run("ip", "address", "add", f"{SERVERS}/24", "dev", "br0")
        self._switch.run("ip", "link", "set", "br0", "up")
        return self

    def __exit__(self, *_: object) -> None:
        for host in self.hosts:
            host.space.close()
        if self._doors:
            self._doors.kill()
        self._switch.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def host(self) -> Host:
        """Add a host."""
        self.hosts.append(Host(len(self.hosts), self._switch, self._folder))
        return self.hosts[-1]

    def publish(self, *ports: int) -> None:
        """Make ports of this machine's loopback the same ports of SERVERS; once, for all of them."""
        command = [sys.executable, "-m", "tests.fakes.hosts", self._switch.path, *map(str, ports)]
        self._doors = Child(command, self._folder / "doors", os.environ, Path(__file__).parents[2])
        for port in ports:
            wait_until(lambda port=port: self._open(port), _TIMEOUT, f"port {port} in the switch")

    def connect(self, address: str, port: int, timeout: float = 2.0) -> socket.socket:
        """Connect from the switch to a host."""
        return inside(self._switch.path, lambda: socket.create_connection((address, port), timeout))

    def get(self, address: str, port: int, path: str, timeout: float = 5.0) -> tuple[int, str]:
        """Ask a host by HTTP; (0, "") when nobody answers."""
        try:
            with self.connect(address, port, timeout) as sock:
                sock.settimeout(timeout)
                sock.sendall(f"GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n".encode())
                told = b"".join(iter(lambda: sock.recv(1 << 16), b"")).decode()
        except OSError:
            return 0, ""
        return int(told.split(maxsplit=2)[1]), told.partition("\r\n\r\n")[2]

    def _open(self, port: int) -> bool:
        assert self._doors
        assert self._doors.alive, self._doors.tail()
        with suppress(OSError):
            self.connect(SERVERS, port).close()
            return True
        return False


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Carry one direction: its end as an end, its reset as a reset."""
    try:
        while data := await reader.read(1 << 18):
            writer.write(data)
            await writer.drain()
        writer.write_eof()
    except OSError:
        writer.transport.abort()


async def _join(port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        there, back = await asyncio.open_connection(HOST, port)
    except OSError:
        writer.transport.abort()
        return
    await asyncio.gather(_carry(reader, back), _carry(there, writer))
    for one in (writer, back):
        one.close()


async def _doors(path: str, ports: Sequence[int]) -> None:
    for port in ports:
        door = inside(path, lambda port=port: socket.create_server((SERVERS, port), backlog=512))

        def joined(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int = port) -> object:
            return _join(port, reader, writer)

        await asyncio.start_server(joined, sock=door)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_doors(sys.argv[1], [int(port) for port in sys.argv[2:]]))
