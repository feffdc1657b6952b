"""What a start imports: milliseconds of each package's own modules, by `python -X importtime`."""

import re
import subprocess
from collections import Counter

from tests.bench.bench import PYTHON, environment

_STATEMENT = "import gc; gc.disable(); import flows.commands.run, flows.aws"
_LINE = re.compile(r"import time:\s+(\d+) \|\s+\d+ \|\s+(\S+)")
_LEAST_MS = 1.0


def packages(told: str) -> dict[str, float]:
    """Return package → milliseconds of its own modules, of what `-X importtime` has told."""
    found: Counter[str] = Counter()
    for micro, module in _LINE.findall(told):
        found[module.partition(".")[0]] += int(micro)
    return {name: micro / 1000 for name, micro in found.items()}


def measured(rounds: int) -> dict[str, float]:
    """Return the least that each package took in so many starts, the longest first; small ones together."""
    runs = [_run() for _ in range(rounds)]
    least = {name: min(run.get(name, 0.0) for run in runs) for name in runs[0]}
    large = {name: ms for name, ms in least.items() if ms >= _LEAST_MS}
    rest = sum(least.values()) - sum(large.values())
    return {**dict(sorted(large.items(), key=lambda one: -one[1])), "others": rest}


def _run() -> dict[str, float]:
    command = [PYTHON, "-X", "importtime", "-c", _STATEMENT]
    return packages(
        subprocess.run(command, env=environment({}), check=True, capture_output=True, text=True).stderr
    )
