"""The systemd unit: how much it forbids, and that the collector runs under it all the same."""

import ctypes.util
import json
import os
import re
import shutil
import subprocess
import sys

import pytest

from tests.deploy.confined import UNIT, calls, profile, settings
from tests.fakes.collector import ROOT

needs_systemd = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd-analyze here")
needs_seccomp = pytest.mark.skipif(not ctypes.util.find_library("seccomp"), reason="no libseccomp here")


@needs_systemd
def test_exposure_is_small():
    """`systemd-analyze security` rates the unit at 2.0 of 10 at most."""
    shown = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=20", str(UNIT)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert shown.returncode == 0, shown.stdout[-200:]


def test_no_core_holds_secrets():
    """A core file would have the keys; what is made is the unit's own user's alone."""
    assert settings("LimitCORE") == ["0"]
    assert settings("UMask") == ["0077"]
    assert settings("StateDirectoryMode") == ["0700"]


@needs_systemd
def test_the_container_profile_has_the_units_rules():
    """Kubernetes and Docker are given what systemd is given; another release of it may know further calls."""
    stored = json.loads((ROOT / "deploy/seccomp/devo-aws-collector.json").read_text())
    made = profile()
    assert {**stored, "syscalls": stored["syscalls"][1:]} == {**made, "syscalls": made["syscalls"][1:]}
    known = set(stored["syscalls"][0]["names"])
    for forbidden in ("@mount", "@module", "@raw-io", "@reboot", "@swap", "@privileged", "@debug"):
        assert not known & calls(forbidden) - calls("@default"), forbidden


CONFINED = [sys.executable, "-m", "tests.deploy.confined"]


@needs_systemd
@needs_seccomp
def test_what_is_forbidden_is_refused():
    """Under the rules a mount, memory both written and run, and a core file are refused."""
    code = (
        "import ctypes, mmap, resource\n"
        "c = ctypes.CDLL(None, use_errno=True)\n"
        "print(c.mount(b'none', b'/mnt', b'tmpfs', 0, None), ctypes.get_errno())\n"
        "print(resource.getrlimit(resource.RLIMIT_CORE))\n"
        "try: mmap.mmap(-1, 4096, prot=mmap.PROT_WRITE | mmap.PROT_EXEC)\n"
        "except OSError as error: print(error.errno)\n"
    )
    shown = subprocess.run(
        [*CONFINED, sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert shown.stdout.splitlines() == ["-1 1", "(0, 0)", "1"]


@pytest.mark.slow
@pytest.mark.timeout(300)
@needs_systemd
@needs_seccomp
def test_the_demo_runs_under_the_units_rules(tmp_path):
    """All ten services, over mutual TLS, with the unit's system calls, no capability and no writable code."""
    shown = subprocess.run(
        [
            *CONFINED,
            "env",
            "PATH=/nowhere",
            sys.executable,
            "-m",
            "flows",
            "demo",
        ],  # no setpriv: it calls capset
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert shown.returncode == 0, shown.stderr[-3000:]
    assert re.search(r"^total +\d+ +identical", shown.stdout, re.MULTILINE)


def test_the_unit_for_queues_is_as_strict():
    """Any number of them differ from the unit for everything in what they read and where their state lies."""

    def lines(name):
        text = (ROOT / "deploy/systemd" / name).read_text()
        return {line for line in text.splitlines() if line and not line.startswith("#")}

    alone, one_of_many = lines("devo-aws-collector.service"), lines("devo-aws-collector@.service")
    changed = {line.partition("=")[0] for line in alone ^ one_of_many}
    assert changed == {"Description", "StateDirectory", "WorkingDirectory", "ExecStart"}
    assert any(" --only queues " in line for line in one_of_many)
    assert not any("%i" in line for line in alone)
