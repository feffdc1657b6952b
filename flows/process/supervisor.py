"""Processes under one supervisor: a bytewax cluster, or independent ones that share nothing but their queues.

A cluster lives and dies as a whole: bytewax cannot go on without one of its processes, so when one ends the
others are ended too and all start again from the last common snapshot.

Independent processes have no port between them. Each has a state of its own, and one that ends is started
again alone, after a pause that grows while it does not stay up.
"""

import os
import random
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress

from msgspec import Struct, field

from flows.cluster.handshake import SECRET
from flows.config.held import hand_down

VARIABLE = "COLLECTOR_SUPERVISOR"
_DICE = random.SystemRandom()  # leaves the shared generator to those who seed it
_WATCH_SECONDS = 0.5
_LOOK_SECONDS = 0.2
_RESTART_SECONDS = (1.0, 60.0)


class Pause(Struct):
    """How long to wait before the next start: each time twice as long, anew after a life of a minute."""

    seconds: float = _RESTART_SECONDS[0]

    def after(self, lived: float) -> float:
        """Return the pause after a life of so many seconds."""
        if lived > _RESTART_SECONDS[1]:
            self.seconds = _RESTART_SECONDS[0]
        pause, self.seconds = self.seconds, min(self.seconds * 2, _RESTART_SECONDS[1])
        return pause * (1 + _DICE.random() / 4)


class Member(Struct):
    """One independent process. arguments: of `python -m flows run`. environment: what it gets beside ours."""

    name: str
    arguments: Sequence[str]
    environment: dict[str, str]
    process: "subprocess.Popen[bytes] | None" = None
    pause: Pause = field(default_factory=Pause)
    started: float = 0.0
    due: float = 0.0

    def tend(self, now: float) -> None:
        """Start it when it is time to, and note when it has ended."""
        if self.process is None:
            if now >= self.due:
                self.process, self.started = _spawn(self.arguments, self.environment), now
        elif (code := self.process.poll()) is not None:
            pause = self.pause.after(now - self.started)
            self.process, self.due = None, now + pause
            sys.stderr.write(
                f"process {self.name} ended: exit code {code}: starting it again in {pause:.0f} s\n"
            )


def independent(members: Sequence[Member], drain: threading.Event) -> int:
    """Run independent processes until the drain; 0 when each of them has ended well."""
    while not drain.is_set():
        for member in members:
            member.tend(time.monotonic())
        drain.wait(_LOOK_SECONDS)
    running = [member.process for member in members if member.process]
    return 1 if any(_ended(running, signal.SIGTERM)) else 0


def cluster(count: int, arguments: Sequence[str], drain: threading.Event) -> int:
    """Run `count` processes as one cluster, all again when one ends before its time."""
    pause = Pause()
    while True:
        started = time.monotonic()
        codes = _life(count, arguments, drain)
        if drain.is_set():
            return 0 if not any(codes) else 1
        seconds = pause.after(time.monotonic() - started)
        sys.stderr.write(f"cluster ended: exit codes {codes}: starting it again in {seconds:.0f} s\n")
        drain.wait(seconds)
        if drain.is_set():
            return 1


def _life(count: int, arguments: Sequence[str], drain: threading.Event) -> list[int]:
    """Run one life of a cluster and return its exit codes."""
    addresses = ";".join(f"127.0.0.1:{port}" for port in free_ports(count))
    common = {"BYTEWAX_ADDRESSES": addresses, SECRET: secrets.token_hex()}
    children = [_spawn(arguments, {**common, "BYTEWAX_PROCESS_ID": str(index)}) for index in range(count)]
    while all(child.poll() is None for child in children) and not drain.wait(_LOOK_SECONDS):
        pass
    return _ended(children, signal.SIGTERM if drain.is_set() else signal.SIGKILL)


def _spawn(arguments: Sequence[str], environment: Mapping[str, str]) -> "subprocess.Popen[bytes]":
    safe = ["-P"] if sys.flags.safe_path else []
    command = [sys.executable, *safe, "-m", "flows", *arguments]
    configuration = hand_down()  # before the environment is copied
    return subprocess.Popen(  # noqa: S603 - our own command line again
        command, env={**os.environ, VARIABLE: str(os.getpid()), **environment}, pass_fds=configuration
    )


def _ended(children: "Sequence[subprocess.Popen[bytes]]", number: signal.Signals) -> list[int]:
    """Signal those that still run, wait for all, and return their exit codes."""
    for child in children:
        if child.poll() is None:
            child.send_signal(number)
    return [child.wait() for child in children]


def end_with_supervisor() -> None:
    """End this process at once when its supervisor is gone: the next one starts it anew.

    Left behind, it would write to the same state as its successor. Nothing is lost by a hard end.
    """
    supervisor = os.environ.get(VARIABLE)
    if supervisor is None:
        return

    def watch() -> None:
        while os.getppid() == int(supervisor):
            time.sleep(_WATCH_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, name="supervisor-watch", daemon=True).start()


def free_ports(count: int) -> list[int]:
    """Return loopback ports that were free a moment ago, below those that connections are given."""
    with ExitStack() as held:
        ports: list[int] = []
        while len(ports) < count:
            port = _DICE.randrange(10_000, 32_000)
            with suppress(OSError):
                held.enter_context(socket.create_server(("127.0.0.1", port)))
                ports.append(port)
    return ports
