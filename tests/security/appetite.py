"""What decoding a hostile object costs: it is read in a process of its own, whose memory is measured.

python -m tests.security.appetite PATH LAYOUT    → {"reason", "events", "bytes"} as JSON
"""

import json
import re
import resource
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from sources.errors import ObjectBroken
from sources.objects.decode import DecodeLimits, Layout, read
from transforms import documents, umbrella, vpcflow

ROOT = Path(__file__).parents[2]
_ADDRESS_SPACE = 8 << 30
"""So that a hole costs the test, not the machine."""

LAYOUTS = {
    "lines": Layout(is_header=vpcflow.is_header),
    "csv": Layout(quoted=True, is_header=umbrella.is_header),
    "records": Layout(records="Records"),
    "values": Layout(values=True),
    "carried": Layout(values=True, unwrap=documents.carried),
    "parquet": Layout(is_header=vpcflow.is_header, column=vpcflow.column),
}


@dataclass(frozen=True, slots=True)
class Appetite:
    """reason: of the quarantine, "" = none. events: that came out. bytes: memory beyond idle."""

    reason: str
    events: int
    bytes: int


def measured(path: Path, layout: str, seconds: float = 150) -> Appetite:
    """Decode an object in a child process; it must be done within so many seconds."""
    command = [sys.executable, "-m", "tests.security.appetite", str(path), layout]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=seconds, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return Appetite(**json.loads(done.stdout))


def peak() -> int:
    """Return the largest resident size of this program; getrusage's is that of its parent, too."""
    return int(re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[0]) << 10


def main(path: str, layout: str) -> None:
    """Decode a file and tell what it took."""
    resource.setrlimit(resource.RLIMIT_AS, (_ADDRESS_SPACE, _ADDRESS_SPACE))
    before, events, reason = peak(), 0, ""
    try:
        with Path(path).open("rb") as body:
            for piece in read(body, LAYOUTS[layout], DecodeLimits()):
                events += piece.count
    except ObjectBroken as error:
        reason = error.reason
    sys.stdout.write(json.dumps({"reason": reason, "events": events, "bytes": peak() - before}))


if __name__ == "__main__":
    main(*sys.argv[1:])
