"""The systemd unit: how much it forbids, and that the collector runs under it all the same."""

import ctypes.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys

import pytest
import yaml

from tests.deploy.confined import UNIT, calls, profile, settings
from tests.fakes.collector import ROOT
from tests.fakes.notify import NotifySocket
from tests.flows.status.world import running
from tests.security.attack.limit import Limit

needs_systemd = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd-analyze here")
needs_seccomp = pytest.mark.skipif(not ctypes.util.find_library("seccomp"), reason="no libseccomp here")


UNITS = ["devo-aws-collector.service", "devo-aws-collector@.service"]
NEWER = "Unknown key 'RefreshOnReload' in section [Service], ignoring."
"""What systemd before 260 says of a line that it does without."""


def analyzed(*asked: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["systemd-analyze", *asked], capture_output=True, text=True, check=False)


@needs_systemd
@pytest.mark.parametrize("unit", UNITS)
def test_exposure_is_small(unit):
    """`systemd-analyze security` rates the units at 2.0 of 10 at most."""
    shown = analyzed("security", "--offline=true", "--threshold=20", str(UNIT.with_name(unit)))
    assert shown.returncode == 0, shown.stdout[-200:]


@needs_systemd
@pytest.mark.parametrize("unit", UNITS)
def test_systemd_understands_every_line(unit, tmp_path):
    """`systemd-analyze verify` finds nothing but a line of a newer release; the program is none here."""
    text = re.sub(
        "^ExecStart=.*", "ExecStart=/bin/true", UNIT.with_name(unit).read_text(), flags=re.MULTILINE
    )
    (tmp_path / unit).write_text(text)
    shown = analyzed("verify", "--man=no", str(tmp_path / unit.replace("@", "@1")))
    said = [one for one in shown.stderr.splitlines() if not one.endswith(NEWER)]
    assert (shown.returncode, said) == (0, [])


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


@pytest.mark.timeout(300)
@needs_systemd
@needs_seccomp
def test_it_is_reloaded_under_the_units_rules(certs, tmp_path):
    """Under the unit's calls it tells systemd of start, reload and end, and delivers with the new file."""
    assert settings("Type") == ["notify"]
    assert settings("ExecReload") == ["/bin/kill -HUP $MAINPID"]
    watchdog = {"WATCHDOG_USEC": str(int(settings("WatchdogSec")[0]) * 1_000_000)}
    with NotifySocket() as manager, running(tmp_path, certs, quiet=True) as world:
        world.stop()
        world.prefix = CONFINED
        world.start(NOTIFY_SOCKET=manager.address, **watchdog)
        manager.await_told("READY=1")
        content = yaml.safe_load(world.config.read_text())
        content["globals"]["name"] = "another"
        world.config.write_text(yaml.safe_dump(content))
        world.child.signal(signal.SIGHUP)
        manager.await_told("READY=1", "RELOADING=1", "READY=1")
        assert world.state()["collector"]["name"] == "another"
        world.put(1)
        world.await_delivered()
        manager.await_beats(0)
        assert world.stop() == 0
        manager.await_told("READY=1", "RELOADING=1", "READY=1", "STOPPING=1")


READ_ONLY = [
    *("unshare", "--mount", "--propagation", "private", "sh", "-c"),
    'mount -o remount,bind,ro / && mount -t tmpfs tmpfs /tmp && exec "$@"',
    "sh",
]
"""ProtectSystem=strict and PrivateTmp, for what it stands before."""


@pytest.mark.slow
@pytest.mark.timeout(300)
@needs_systemd
@needs_seccomp
def test_the_demo_runs_under_the_units_rules():
    """All ten services with the unit's calls and memory, a read-only root and no capability."""
    if subprocess.run([*READ_ONLY, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no mounts can be made here")
    limit = Limit(1 << 30)  # MemoryMax
    inner = [*CONFINED, "env", "PATH=/nowhere", sys.executable, "-B", "-P", "-m", "flows", "demo"]
    shown = subprocess.run(  # without PATH no setpriv is found: it calls capset
        [*READ_ONLY, *limit.prefix(), *inner],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    limit.remove()
    assert shown.returncode == 0, shown.stderr[-3000:]
    assert re.search(r"^total +\d+ +identical", shown.stdout, re.MULTILINE)
