"""A limit of memory around a child process: a cgroup where one can be made, else a watch that kills."""

import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

GIB = 1 << 30
_ROOTS = (
    (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes"),
    (Path("/sys/fs/cgroup"), "memory.max"),
)


class Limit:
    """`most` bytes for the processes whose command line it prefixes. how: what holds it, for people."""

    def __init__(self, most: int = GIB) -> None:
        self.most = most
        self.group = self._group()
        self.how = f"cgroup {self.group}" if self.group else "resident size, watched (no cgroup can be made)"

    def _group(self) -> Path | None:
        for root, name in _ROOTS:
            group = root / f"devo-attack-{os.getpid()}"
            try:
                group.mkdir()
                (group / name).write_text(str(self.most))
            except OSError:
                with suppress(OSError):
                    group.rmdir()
                continue
            return group
        return None

    def prefix(self) -> list[str]:
        """Return what stands before a command: without a cgroup at least no address space beyond reason."""
        if self.group:
            return ["sh", "-c", f'echo $$ > {self.group}/cgroup.procs && exec "$@"', "sh"]
        return ["prlimit", f"--data={8 * self.most}", "--"] if shutil.which("prlimit") else []

    def exceeded(self, pid: int) -> bool:
        """Tell whether a process is over the limit that no cgroup holds."""
        return self.group is None and peak(pid, "VmRSS") > self.most

    def remove(self) -> None:
        """Take the cgroup away; its processes have ended."""
        if self.group:
            with suppress(OSError):
                self.group.rmdir()


def peak(pid: int, field: str = "VmHWM") -> int:
    """Return the largest resident size of a process since `forget`, in bytes; 0 when it has ended."""
    with suppress(OSError, IndexError):
        status = Path(f"/proc/{pid}/status").read_text()
        return int(status.partition(f"{field}:")[2].split()[0]) << 10
    return 0


def forget(pid: int) -> None:
    """Let the largest resident size begin anew."""
    with suppress(OSError):
        Path(f"/proc/{pid}/clear_refs").write_text("5")


def limited(command: Sequence[str], limit: Limit) -> list[str]:
    """Return a command line under a limit."""
    return [*limit.prefix(), *command]
