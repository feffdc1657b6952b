"""What this process takes of the machine: memory and processor."""

import os
import resource
import sys
import time
from pathlib import Path

_STATM = Path("/proc/self/statm")
_RECENT_SECONDS = 60.0


class Machine:
    """Knows how much CPU time was taken a minute ago."""

    def __init__(self) -> None:
        self._before = self._now = (time.monotonic(), _cpu_seconds())

    def look(self) -> dict[str, float]:
        """Return `memory_bytes` (resident) and `cpu_share` (1.0 = one processor) of about the last minute."""
        now = time.monotonic(), _cpu_seconds()
        if now[0] - self._now[0] > _RECENT_SECONDS:
            self._before, self._now = self._now, now
        lived = now[0] - self._before[0]
        share = (now[1] - self._before[1]) / lived if lived > 1 else 0.0
        return {"memory_bytes": _resident_bytes(), "cpu_share": round(share, 3)}


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _resident_bytes() -> int:
    try:
        return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGESIZE")
    except (OSError, ValueError):  # no /proc: the most that it was
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most << 10
