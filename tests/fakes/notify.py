"""What systemd is told: the socket of a service manager, and what came there."""

import secrets
import socket
from pathlib import Path

from tests.fakes.process import Background, wait_until

PATIENCE = 60.0


class NotifySocket(Background):
    """Listens at `NOTIFY_SOCKET`: an abstract name, or a file in a folder. heard: a text for each message."""

    def __init__(self, folder: Path | None = None) -> None:
        super().__init__()
        name = f"notify-{secrets.token_hex(8)}"
        self.address = str(folder / name) if folder else f"@{name}"
        self.heard: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.address if folder else f"\0{name}")
        self._socket.settimeout(0.1)

    def _run(self) -> None:
        with self._socket:
            while not self._ended.is_set():
                try:
                    self.heard.append(self._socket.recv(4096).decode())
                except TimeoutError:
                    continue

    @property
    def told(self) -> list[str]:
        """The first assignments, without those of the watchdog."""
        return [one.splitlines()[0] for one in self.heard if not one.startswith("WATCHDOG=1")]

    def await_told(self, *assignments: str) -> None:
        """Wait until just this was told since the beginning."""
        wait_until(lambda: len(self.told) >= len(assignments), PATIENCE, f"{assignments} told")
        assert self.told == list(assignments)

    def await_beats(self, more: int = 2) -> None:
        """Wait until it beats on."""
        wanted = self.heard.count("WATCHDOG=1") + more
        wait_until(lambda: self.heard.count("WATCHDOG=1") >= wanted, PATIENCE, "the watchdog hears of it")
