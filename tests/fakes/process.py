"""Child processes of the tests: output in a file, ended with the test process whatever happens."""

import os
import random
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from itertools import cycle
from pathlib import Path
from typing import Self

HOST = "127.0.0.1"
_FIRST_PORT, _PORTS, _RANGES = 12_000, 2_500, 8
LEAST_SECONDS = 120.0  # what a wait for something that must come is given: a busy machine is no failure


def _own_ports() -> Iterator[int]:
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % _RANGES
    ports = [*range(_FIRST_PORT + worker * _PORTS, _FIRST_PORT + (worker + 1) * _PORTS)]
    random.SystemRandom().shuffle(ports)
    return cycle(ports)


_ports = _own_ports()


def free_port() -> int:
    """Return a loopback port that was free a moment ago, of those that connections are not given.

    Each worker of the suite has a range of its own, and gives none twice before all were given.
    """
    while True:
        port = next(_ports)
        with suppress(OSError), socket.create_server((HOST, port)):
            return port


def free_ports(count: int) -> int:
    """Return the first of so many loopback ports in a row that were free a moment ago."""
    while True:
        first = free_port()
        with ExitStack() as probes, suppress(OSError, OverflowError):
            for port in range(first, first + count):
                probes.enter_context(socket.create_server((HOST, port)))
            return first


def listening(port: int) -> bool:
    """Tell whether something accepts connections on a loopback port."""
    try:
        socket.create_connection((HOST, port), 0.5).close()
    except OSError:
        return False
    return True


def wait_until(true: Callable[[], object], timeout: float, what: str, every: float = 0.02) -> None:
    """Poll until `true()`; an AssertionError that names `what` when it does not come.

    timeout: seconds, and `LEAST_SECONDS` at least.
    """
    timeout = max(timeout, LEAST_SECONDS)
    deadline = time.monotonic() + timeout
    while not true():
        late = time.monotonic() > deadline
        time.sleep(every)
        assert not late or true(), f"not within {timeout:g} s: {what}"


class Background:
    """Runs `_run` in a thread while the block runs; `_ended` asks it to stop."""

    def __init__(self) -> None:
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        raise NotImplementedError


class Child:
    """A started program. The kernel kills it when the process that started it dies (setpriv)."""

    def __init__(
        self, argv: Sequence[str], log: Path, env: Mapping[str, str], cwd: Path | None = None
    ) -> None:
        guard = ["setpriv", "--pdeathsig", "KILL", "--"] if shutil.which("setpriv") else []
        self.log = log
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [*guard, *argv],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(env),
                cwd=cwd,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def signal(self, number: int) -> None:
        if self.alive:
            self.process.send_signal(number)

    def catches(self, number: int) -> bool:
        """Tell whether it has installed a handler for a signal; right after its start it has not."""
        try:
            status = Path(f"/proc/{self.pid}/status").read_text()
        except OSError:
            return False
        caught = status.partition("SigCgt:")[2].split(maxsplit=1)
        return bool(caught) and bool(int(caught[0], 16) >> (number - 1) & 1)

    def wait(self, timeout: float) -> int:
        """Return the exit code; an AssertionError with the end of the log when it does not end.

        timeout: seconds, and `LEAST_SECONDS` at least.
        """
        try:
            return self.process.wait(max(timeout, LEAST_SECONDS))
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.process.args!r} does not end:\n{self.tail()}") from None

    def kill(self) -> None:
        """SIGKILL it and the processes that it started, and wait for the end; harmless when it has ended."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)  # a session, and so a process group, of its own
        self.process.wait()

    def tail(self, size: int = 4000) -> str:
        """Return the end of what it has written."""
        return self.log.read_bytes()[-size:].decode(errors="replace")

    def await_port(self, port: int, timeout: float = 20.0) -> None:
        """Wait until it listens; an AssertionError with its log when it ends or stays silent."""
        wait_until(lambda: listening(port) or not self.alive, timeout, f"{self.process.args!r} listens")
        assert self.alive, f"{self.process.args!r} ended:\n{self.tail()}"
