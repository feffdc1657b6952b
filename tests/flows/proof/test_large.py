"""A bucket and a journal longer than memory are proved object by object."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.flows.proof.large import MISSING

ROOT = Path(__file__).parents[3]


def proved(folder, rows):
    """Write a journal, serve a bucket, prove it; return what it took."""
    command = [sys.executable, "-m", "tests.flows.proof.large", str(folder), str(rows)]
    subprocess.run([*command, "journal"], cwd=ROOT, check=True)
    with subprocess.Popen([*command, "serve"], cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        try:
            url = server.stdout.readline().strip()
            ended = subprocess.run([*command, "prove", url], cwd=ROOT, check=True, capture_output=True)
        finally:
            server.kill()
    return json.loads(ended.stdout)


@pytest.mark.parametrize("rows", [20_000, pytest.param(1_000_000, marks=pytest.mark.full)])
@pytest.mark.timeout(900)
def test_a_large_bucket_is_proved_in_little_memory(tmp_path, figures, rows):
    """Each object is found once, those without a row are told; memory does not grow with their number."""
    found = proved(tmp_path, rows)
    took = f"{found['seconds']} s, {found['cpu']} s of CPU, {found['mb']} MB at most"
    figures(f"{rows:,} keys against {rows:,} rows: {took}")
    missing = len(range(0, rows, MISSING))
    assert (found["never_announced"], found["delivered"]) == (missing, rows - missing)
    assert found["mb"] < 300
