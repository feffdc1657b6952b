"""Real syslog receivers as child processes: Debian's rsyslog and syslog-ng, mutual TLS or plain TCP.

They are found where `.ci/receivers` unpacks them, or on PATH. Both keep a message's bytes as they came, but
for what the programs do themselves: rsyslog writes NUL as `#000`; syslog-ng drops a trailing CR and cuts at
NUL. Each tag has a file of its own.

rsyslog (with the direct queue that it has here) has written what it receipts: after kill -9 nothing is
missing. syslog-ng receipts what it has read and holds up to a thousand lines in memory: kill -9 right after a
receipt loses these, `stop` does not.
"""

import os
import re
import shutil
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.fakes.certs import Certs
from tests.fakes.process import Child, free_port, wait_until

KINDS = ("rsyslog", "syslog-ng")
_BINARIES = {"rsyslog": "rsyslogd", "syslog-ng": "syslog-ng"}
_CONFIGURATIONS = Path(__file__).parent
_LINE = re.compile(rb"<14>(Jan  1 00:00:00|[0-9T:.-]+Z) (\S+) (\S+): (.*)", re.DOTALL)


class Line(NamedTuple):
    """A line as it arrived; one that is no frame has the tag `torn`.

    date: the constant one, or the time of its sending in ISO 8601.
    """

    tag: str
    message: bytes
    date: str = ""
    host: str = ""


@dataclass(frozen=True, slots=True)
class Program:
    """An executable of one kind, its environment, and its modules' folder if not the standard one."""

    kind: str
    executable: Path
    environment: Mapping[str, str]
    modules: Path | None


def receivers_folder() -> Path:
    """Return where `.ci/receivers` unpacks them."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("RECEIVERS_DIR") or cache / "devo-aws-collector" / "receivers")


def find(kind: str) -> Program | None:
    """Return the unpacked program, else the installed one, else None."""
    root = receivers_folder() / kind
    unpacked = root / "usr/sbin" / _BINARIES[kind]
    if unpacked.exists():
        libraries = [str(path) for path in (*root.glob("usr/lib/*-linux-gnu"), *root.glob("lib/*-linux-gnu"))]
        libraries.append(str(root / "usr/lib/syslog-ng"))
        pattern = "usr/lib/*-linux-gnu/rsyslog" if kind == "rsyslog" else "usr/lib/syslog-ng/[0-9]*"
        modules = next(root.glob(pattern))
        return Program(kind, unpacked, {"LD_LIBRARY_PATH": ":".join(libraries)}, modules)
    installed = shutil.which(_BINARIES[kind], path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    return Program(kind, Path(installed), {}, None) if installed else None


def need(kind: str) -> Program:
    """Return the program; without it the test is skipped, but under CI that is an error."""
    program = find(kind)
    if program is None:
        reason = f"{kind} is not in {receivers_folder()} nor on PATH: run .ci/receivers"
        assert os.environ.get("CI") != "true", reason
        pytest.skip(reason)
    return program


class Receiver:
    """One receiver on a loopback port that stays the same over restarts.

    certs: for mutual TLS; None = plain TCP. folder: of its own, files stay there after `stop`.
    """

    def __init__(self, program: Program, folder: Path, certs: Certs | None, port: int = 0) -> None:
        self.program, self.folder, self.certs = program, folder, certs
        self.port = port or free_port()
        self.child: Child | None = None
        (folder / "out").mkdir(parents=True, exist_ok=True)
        self._seen, self._counted = Tail(folder / "out"), 0
        self._counting = threading.Lock()
        self._configuration = folder / f"{program.kind}.conf"
        self._configuration.write_text(configuration(program.kind, folder, certs, self.port))

    def start(self) -> "Receiver":
        """Start it and wait until it listens."""
        self.child = Child(
            command(self.program, self.folder, self._configuration),
            self.folder / "log",
            {**os.environ, **self.program.environment},
        )
        self.child.await_port(self.port)
        return self

    def stop(self) -> None:
        """End it as an operator would; all that it has read is in the files."""
        if self.child:
            self.child.signal(signal.SIGTERM)
            self.child.wait(20)

    def kill(self) -> None:
        """SIGKILL."""
        if self.child:
            self.child.kill()

    def restart(self) -> None:
        """Kill it and start it on the same port."""
        self.kill()
        self.start()

    def lines(self) -> dict[str, list[bytes]]:
        """Return the raw lines by the file's tag, in order of arrival; a torn last line is one as well."""
        return {path.stem: _split(path.read_bytes()) for path in sorted((self.folder / "out").glob("*.log"))}

    def events(self) -> Counter[tuple[str, bytes]]:
        """Return how often each (tag, message) arrived; a line that is no frame has the tag `torn`."""
        return Counter(parse(line) for lines in self.lines().values() for line in lines)

    def size(self) -> int:
        """Return how many lines have arrived."""
        with self._counting:
            self._counted += sum(chunk.count(b"\n") for chunk in self._seen.grown())
            return self._counted

    def tail(self) -> "Tail":
        """Return a reader of what arrives, from the first line on."""
        return Tail(self.folder / "out")

    def wait_for(self, count: int, timeout: float) -> None:
        """Wait until that many lines are in the files."""
        wait_until(lambda: self.size() >= count, timeout, f"{count} lines", every=0.05)

    def wait_quiet(self, seconds: float, timeout: float = 30.0) -> None:
        """Wait until nothing has arrived for so long."""
        seen, since = -1, time.monotonic()

        def quiet() -> bool:
            nonlocal seen, since
            if (now := self.size()) != seen:
                seen, since = now, time.monotonic()
            return time.monotonic() - since >= seconds

        wait_until(quiet, timeout, "the receiver is quiet")


def command(program: Program, folder: Path, configuration: Path) -> list[str]:
    """Return the command line that runs a program in the foreground, with what it keeps in `folder`."""
    modules, executable = program.modules, str(program.executable)
    if program.kind == "rsyslog":
        where = ["-M", str(modules)] if modules else []
        return [executable, "-n", "-i", str(folder / "pid"), "-f", str(configuration), *where]
    where = [f"--module-path={modules}"] if modules else []
    state = [f"--persist-file={folder}/persist", f"--control={folder}/ctl", f"--pidfile={folder}/pid"]
    return [executable, "-F", "--no-caps", "-f", str(configuration), *state, *where]


def configuration(kind: str, folder: Path, certs: Certs | None, port: int) -> str:
    """Return the configuration file's text."""
    values = {"DIR": folder, "PORT": port, "CA": "", "CERT": "", "KEY": "", "DRIVER": "ptcp", "MODE": ""}
    if certs:
        values |= {"CA": certs.ca, "CERT": certs.server_cert, "KEY": certs.server_key, "DRIVER": "ossl"}
    if kind == "rsyslog" and certs:
        values["MODE"] = (
            'streamDriver.name="ossl" streamDriver.mode="1" streamDriver.authMode="x509/certvalid"'
        )
    elif kind == "syslog-ng":
        values["MODE"] = (
            f'transport("tls") tls(key-file("{certs.server_key}") cert-file("{certs.server_cert}") '
            f'ca-file("{certs.ca}") peer-verify(required-trusted))'
            if certs
            else 'transport("tcp")'
        )
    text = (_CONFIGURATIONS / f"{kind}.conf").read_text()
    for name, value in values.items():
        text = text.replace(f"@{name}@", str(value))
    if not certs:  # rsyslog reads the files that these name even when it needs none
        text = re.sub(r"\n *defaultNetstreamDriver\w+File=\"\"", "", text)
    return text


def parse(line: bytes) -> tuple[str, bytes]:
    """Return tag and message of a raw line, or ("torn", line)."""
    return taken_apart(line)[:2]


def taken_apart(line: bytes) -> Line:
    """Return the fields of a raw line."""
    found = _LINE.fullmatch(line)
    return (
        Line(found[3].decode(), found[4], found[1].decode(), found[2].decode())
        if found
        else Line("torn", line)
    )


class Tail:
    """Reads what has been added to a folder's files since the last look, whole lines only.

    So a long run costs its lines once, however often it is looked at.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: dict[Path, int] = {}

    def grown(self) -> Iterator[bytes]:
        """Yield what each file has got, up to its last newline."""
        for path in sorted(self._folder.glob("*.log")):
            with path.open("rb") as file:
                file.seek(begin := self._read.get(path, 0))
                added = file.read()
            end = added.rfind(b"\n") + 1
            if end:
                self._read[path] = begin + end
                yield added[:end]

    def lines(self) -> Iterator[Line]:
        """Yield the lines that are new, file by file, in order of arrival."""
        return (taken_apart(line) for added in self.grown() for line in _split(added))


def _split(data: bytes) -> list[bytes]:
    lines = data.split(b"\n")
    return lines if lines.pop() == b"" else [*lines, data.rpartition(b"\n")[2]]


def running(kind: str, folder: Path, certs: Certs | None) -> Iterator[Receiver]:
    """Yield a started receiver, for fixtures; it is killed afterwards."""
    receiver = Receiver(need(kind), folder, certs)
    try:
        yield receiver.start()
    finally:
        receiver.kill()
