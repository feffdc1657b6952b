"""Fuzz every target for its share of FUZZ_MINUTES, and print what was seen. Exit code 1 when something broke.

    python -m tests.fuzz [TARGET …]

The corpus stays in .fuzz/ and is gone on with; an input that breaks a target lies in .fuzz/<target>/broken.
Copied to tests/fuzz/findings/<target>/ it is a test of the suite. An input may take 20 s and 1 GiB.
"""

import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.fuzz.target import Target
from tests.fuzz.targets import TARGETS

ROOT = Path(__file__).parents[2]
HOME = Path(os.environ.get("FUZZ_DIRECTORY") or ROOT / ".fuzz")
_STATUS = re.compile(r"#(\d+)\s.*?cov: (\d+) ft: (\d+) corp: (\d+)/\S+ .*?rss: (\d+)Mb")
_FEWEST_SECONDS = 10
_MOST_BROKEN = 5
_BOUNDS = (
    "-timeout=20",
    "-rss_limit_mb=1024",
    "-malloc_limit_mb=512",
    "-print_final_stats=0",
    "-detect_leaks=0",
)


@dataclass
class Seen:
    """What fuzzing a target has shown. seconds: of running. covered: code edges. peak: MiB."""

    name: str
    seconds: float = 0
    executions: int = 0
    covered: int = 0
    corpus: int = 0
    peak: int = 0
    broken: list[str] = field(default_factory=list)

    def row(self) -> str:
        """Return a line of the report."""
        figures = (
            f"{self.seconds:>8.0f} {self.executions:>11} {self.covered:>9} {self.corpus:>7} {self.peak:>6}"
        )
        return f"{self.name:<14} {figures} {len(self.broken):>7}"


HEAD = "target          seconds  executions  coverage  corpus    MiB crashes"


def fuzz(target: Target, seconds: float) -> Seen:
    """Run one target for so long; after a crash go on with what is left of its time."""
    seen, home = Seen(target.name), HOME / target.name
    corpus, broken = home / "corpus", home / "broken"
    for folder in (corpus, broken):
        folder.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.seeds):
        (corpus / f"seed-{number}").write_bytes(seed)
    began = time.monotonic()
    while (left := seconds - (time.monotonic() - began)) >= 1 and len(seen.broken) < _MOST_BROKEN:
        options = [f"-max_total_time={left:.0f}", f"-max_len={target.longest}", f"-artifact_prefix={broken}/"]
        command = [sys.executable, "-m", "tests.fuzz.engine", target.name, *_BOUNDS, *options, str(corpus)]
        ended = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, errors="replace", check=False
        )
        read(ended.stderr + ended.stdout, seen)
        if ended.returncode:
            seen.broken.append(told(ended.stderr + ended.stdout))
    seen.seconds = time.monotonic() - began
    return seen


def read(output: str, seen: Seen) -> None:
    """Add what libFuzzer's status lines tell of one run."""
    lines = [tuple(map(int, found)) for found in _STATUS.findall(output)]
    if lines:
        executions, covered, _, corpus, _ = lines[-1]
        seen.executions += executions
        seen.covered, seen.corpus = max(seen.covered, covered), corpus
        seen.peak = max(seen.peak, *(line[4] for line in lines))


def told(output: str) -> str:
    """Return the lines of a crash that tell what it was."""
    python = output.partition("=== Uncaught Python exception: ===")[2].partition("==")[0].strip()
    return python or "\n".join(output.strip().splitlines()[-12:])


def main(names: list[str]) -> int:
    """Fuzz, and print the report."""
    chosen = [TARGETS[name] for name in names or TARGETS]
    minutes = float(os.environ.get("FUZZ_MINUTES") or 60)
    share = max(minutes * 60 / len(chosen), _FEWEST_SECONDS)
    sys.stdout.write(f"{len(chosen)} targets, {share:.0f} s each\n{HEAD}\n")
    found = []
    for target in chosen:
        found.append(fuzz(target, share))
        sys.stdout.write(f"{found[-1].row()}\n")
        sys.stdout.flush()
    for seen in found:
        for crash in seen.broken:
            sys.stdout.write(f"\n== {seen.name}: inputs in {HOME / seen.name / 'broken'}\n{crash}\n")
    count = sum(len(seen.broken) for seen in found)
    total = sum(seen.executions for seen in found)
    sys.stdout.write(
        f"\n{total} executions in {sum(seen.seconds for seen in found):.0f} s, {count} crashes\n"
    )
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
