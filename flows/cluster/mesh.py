"""The processes of a cluster find each other, and begin when all stand at the same generation.

Each listens on its address, and dials those before it. Who has a link to every other one tells process 0;
when all have told, process 0 lets all go: only then does bytewax connect, to ports of ours on loopback. From
there on a link that is lost ends the process with one line; all others lose theirs to it, end too, and gather
again. A start waits as long as it must, so that no supervisor's back-off drives the processes apart.
"""

import os
import random
import socket
import sys
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from flows.cluster.handshake import Frames, StrangerError, accept, dial
from flows.cluster.link import GO, READY, STATE, PeerLink, prepared
from flows.process import telemetry
from transforms.locks import Guard, guarded

_JITTER = random.SystemRandom()  # leaves the shared generator to those who seed it
_LOCKS = (Guard("_changed", ("_links", "_going", "_doors", "_told", "_met"), read_freely=True),)

_HANDSHAKE_SECONDS, _HANDSHAKES = 5.0, 16
_DIAL_SECONDS = 3.0
_AGAIN_SECONDS = (0.2, 1.0)
_TELL_SECONDS = 30.0
_STATE_SECONDS = 2.0
_LAST_SECONDS = 10.0
_BEGINNING = (0xC2F1FB770118ADD9).to_bytes(8, sys.byteorder)  # of what a worker of bytewax says (timely's)
LOOPBACK = "127.0.0.1"


def end(cause: str) -> None:
    """End the process with one line: bytewax would answer a lost peer with a panic. Nothing is lost by it."""
    telemetry.cluster_broken(cause)
    os._exit(1)


@guarded(_LOCKS)
class Mesh:
    """This process's links to its peers. addresses: `host:port` of all processes. index: this one's.

    lost: called with the cause when a peer is lost after the start.
    """

    def __init__(
        self, addresses: Sequence[str], index: int, secret: bytes, lost: Callable[[str], None] = end
    ) -> None:
        self._addresses, self._index, self._secret, self._lost = addresses, index, secret, lost
        self._boot = uuid.uuid4().hex
        self._loopback = _own_loopback()
        self._changed = threading.Condition()
        self._links: dict[int, PeerLink] = {}
        self._going = self._over = False
        self._told: dict[str, float] = {}
        self._met: deque[socket.socket] = deque()
        self._doors: dict[int, socket.socket] = {}
        self.report: Callable[[], dict[str, Any]] = dict

    @property
    def links(self) -> list[PeerLink]:
        """Return the links that there are, by the peers' numbers."""
        return [link for _, link in sorted(self._links.copy().items())]

    def gather(self) -> list[str]:
        """Wait until all peers are there, and return the addresses to give to bytewax. Raises OSError."""
        host, _, port = self._addresses[self._index].rpartition(":")
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((_any(host), int(port)), family=family, backlog=_HANDSHAKES)
        self._spawn("peers-accept", partial(self._accept, listener))
        for peer in range(self._index):
            self._spawn(f"peer-{peer}-dial", partial(self._dial, peer))
        self._spawn("peers-tell", self._tell)
        with self._changed:
            while not self._going:
                self._changed.wait(1.0)
        return self._open_doors()

    def finish(self) -> None:
        """Wait until all that bytewax has said is on its way and the peers have said their last."""
        self._over = True
        until = time.monotonic() + _LAST_SECONDS
        for link in self.links:
            for ended in (link.write_ended, link.read_ended):
                ended.wait(max(until - time.monotonic(), 0))
            link.close()

    # before the start

    def _accept(self, listener: socket.socket) -> None:
        while True:
            sock, where = listener.accept()
            with self._changed:
                self._met.append(sock)
                late = self._met.popleft() if len(self._met) > _HANDSHAKES else None
            if late:  # a peer needs no second to prove itself
                _shut(late)
            self._spawn("peer-accept", partial(self._welcome, sock, str(where[0])))

    def _welcome(self, sock: socket.socket, where: str) -> None:
        """Let a peer prove itself; a stranger is closed before anything else reads a byte of it."""
        frames = None
        try:
            sock.settimeout(_HANDSHAKE_SECONDS)
            frames = accept(sock, self._secret)
            self._introduce(frames)
            link = self._introduced(frames)
        except OSError as error:
            sock.close()
            self._refused(where, error)
            return
        finally:
            with self._changed, suppress(ValueError):
                self._met.remove(sock)
        self._run(link, sock)

    def _dial(self, peer: int) -> None:
        """Keep a link to a peer, until all have begun."""
        host, _, port = self._addresses[peer].rpartition(":")
        while not self._over:
            try:
                sock = socket.create_connection((host.strip("[]"), int(port)), _DIAL_SECONDS)
            except OSError:  # it is not there yet; who is missing is told
                time.sleep(_JITTER.uniform(*_AGAIN_SECONDS))
                continue
            with sock:
                self._greet(sock, self._addresses[peer])
            time.sleep(_JITTER.uniform(*_AGAIN_SECONDS))

    def _greet(self, sock: socket.socket, where: str) -> None:
        try:
            sock.settimeout(_HANDSHAKE_SECONDS)
            frames = dial(sock, self._secret)
            link = self._introduced(frames)
            self._introduce(frames)
        except StrangerError as error:
            self._refused(where, error)
        except OSError:
            return  # it went away while we met
        else:
            self._run(link, sock)

    def _refused(self, where: str, error: Exception) -> None:
        """Tell of a stranger, each now and then."""
        now = time.monotonic()
        with self._changed:
            often = now - self._told.get(where, -_TELL_SECONDS) < _TELL_SECONDS
            if not often:
                self._told = {**dict(list(self._told.items())[-_HANDSHAKES:]), where: now}
        if not often:
            telemetry.stranger_refused(where, error)

    def _introduce(self, frames: Frames) -> None:
        frames.send(STATE, f"{self._index} {len(self._addresses)} {self._boot}".encode())

    def _introduced(self, frames: Frames) -> PeerLink:
        _, told = frames.receive()
        index, count, boot = told.decode().split(" ")
        if int(count) != len(self._addresses) or int(index) == self._index:
            raise StrangerError(
                f"it is process {index} of {count}, this is {self._index} of {len(self._addresses)}"
            )
        return PeerLink(int(index), boot, self._addresses[int(index)], frames)

    def _run(self, link: PeerLink, sock: socket.socket) -> None:
        """Use a link until it ends. A peer that comes anew has lost its last life, and ours with it."""
        sock.settimeout(None)
        prepared(sock)
        with self._changed:
            before = self._links.get(link.index)
            if self._going and not self._over:
                self._lost(f"{link} has begun again")
            self._links[link.index] = link
        if before:
            before.close()
        self._step()
        cause = "it has ended"
        try:
            link.listen(self._hear)
        except (OSError, ValueError) as error:
            cause = _why(error)
        with self._changed:
            current = self._links.get(link.index) is link
            if current and not self._going:
                del self._links[link.index]
        if (
            current
            and self._going
            and not (self._over or (link.read_ended.is_set() and link.write_ended.is_set()))
        ):
            self._lost(f"lost {link} ({cause})")
        link.close()  # not before: bytewax would panic
        self._step()

    def _hear(self, link: PeerLink, kind: bytes, told: Any) -> None:
        if kind == READY:
            link.ready = told == self._boot
            self._step()
        elif kind == GO and link.index == 0:
            if told != self._generation():
                self._lost(f"{link} began with others than those that are here")
            self._go()

    def _generation(self) -> dict[str, str]:
        """Return which life of each process is here."""
        known = {str(link.index): link.boot for link in self.links}
        return dict(sorted({**known, str(self._index): self._boot}.items()))

    def _step(self) -> None:
        """Tell process 0 whether all are here; as process 0, let all go when all have told so."""
        with self._changed:
            if self._going:
                return
            links = self.links
            whole = len(links) == len(self._addresses) - 1
        if self._index == 0:
            if whole and all(link.ready for link in links):
                generation = self._generation()
                for link in links:
                    _try(partial(link.tell, GO, generation))
                self._go()
        elif first := self._links.get(0):
            _try(partial(first.tell, READY, first.boot if whole else ""))

    def _go(self) -> None:
        with self._changed:
            self._going = True
            self._changed.notify_all()

    # after it

    def _open_doors(self) -> list[str]:
        """Return addresses on loopback: of peers before us, ours that lead to them; else bytewax's own."""
        with self._changed:
            for peer in range(self._index):
                self._doors[peer] = socket.create_server((self._loopback, 0), backlog=_HANDSHAKES)
            with socket.create_server((self._loopback, 0)) as probe:
                own = probe.getsockname()
        links = self.links
        for link in links:
            self._spawn(f"peer-{link.index}-carry", partial(self._carry, link, own))
        ports = [*(door.getsockname()[1] for door in self._doors.values()), own[1]]
        behind = len(self._addresses) - self._index - 1
        return [f"{self._loopback}:{port}" for port in (*ports, *[9] * behind)]

    def _carry(self, link: PeerLink, own: tuple[str, int]) -> None:
        try:
            link.join(self._through_door(link.index) if link.index < self._index else _dialled(own))
        except OSError as error:
            if not self._over:
                self._lost(f"lost {link} ({_why(error)})")

    def _through_door(self, peer: int) -> socket.socket:
        """Return the connection of our own bytewax; whoever else comes to the door is sent away."""
        with self._doors[peer] as door:
            while not _is_bytewax(sock := door.accept()[0]):
                sock.close()
        return sock

    def _tell(self) -> None:
        """Tell the peers how this process is; and the log, who is still missing."""
        began = told = time.monotonic()
        while not self._over:
            if self._going:
                for link in self.links:
                    _try(partial(link.tell_state, self.report()))
            elif time.monotonic() - told > _TELL_SECONDS:
                told = time.monotonic()
                here = {link.index for link in self.links} | {self._index}
                missing = [one for number, one in enumerate(self._addresses) if number not in here]
                telemetry.peers_awaited(missing, told - began)
            time.sleep(_STATE_SECONDS)

    @staticmethod
    def _spawn(name: str, job: Callable[[], None]) -> None:
        threading.Thread(target=job, name=name, daemon=True).start()


def _any(host: str) -> str:
    """Return where to listen for a peer's name: names of pods resolve to addresses that come later."""
    try:
        socket.inet_pton(socket.AF_INET6 if ":" in host else socket.AF_INET, host.strip("[]"))
    except OSError:
        return LOOPBACK if host == "localhost" else "0.0.0.0"  # noqa: S104 - who is no peer is refused
    return host.strip("[]")


def _shut(sock: socket.socket) -> None:
    """End a connection that another thread reads from, and closes."""
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)


def _own_loopback() -> str:
    """Return an address of loopback that nobody else is likely to use.

    bytewax binds its port after us and takes the first connection that comes: on 127.0.0.1 a port that was
    just free may be another's by then, and what once listened there may still be dialled.
    """
    address = f"127.{_JITTER.randint(1, 254)}.{_JITTER.randint(0, 255)}.{_JITTER.randint(1, 254)}"
    try:
        socket.create_server((address, 0)).close()
    except OSError:  # only Linux has the whole network on loopback
        return LOOPBACK
    return address


def _is_bytewax(sock: socket.socket) -> bool:
    """Return whether a worker of bytewax begins to speak, which it does at once; nothing of it is taken."""
    sock.settimeout(_HANDSHAKE_SECONDS)
    with suppress(OSError):
        return sock.recv(len(_BEGINNING), socket.MSG_PEEK) == _BEGINNING
    return False


def _dialled(own: tuple[str, int]) -> socket.socket:
    """Return a connection to our own bytewax, as soon as it listens."""
    while True:
        try:
            return socket.create_connection(own, _DIAL_SECONDS)
        except OSError:
            time.sleep(0.02)


def _try(job: Callable[[], None]) -> None:
    """Send what a peer may no longer take: whoever reads from it learns that, and why."""
    with suppress(OSError):
        job()


def _why(error: Exception) -> str:
    told = error.strerror if isinstance(error, OSError) else None
    return told or str(error) or type(error).__name__
