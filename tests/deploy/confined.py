"""Runs a program under what the systemd unit forbids, where no systemd runs.

    python -m tests.deploy.confined PROGRAM…
    python -m tests.deploy.confined > deploy/seccomp/devo-aws-collector.json     # for containers

System calls by the unit's own SystemCallFilter (`systemd-analyze` is asked for its sets), NoNewPrivileges,
MemoryDenyWriteExecute, no capability, LimitCORE and UMask. What is refused is answered EPERM, as there.
"""

import ctypes
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

UNIT = Path(__file__).parents[2] / "deploy/systemd/devo-aws-collector.service"
_ALLOW, _ERRNO_EPERM = 0x7FFF0000, 0x00050000 | 1
_NO_NEW_PRIVS, _CAPBSET_DROP, _MOST_CAPABILITY = 38, 24, 40
_MASKED_EQUAL = 7
_WRITE_EXEC, _EXEC = 0x2 | 0x4, 0x4


class _Compare(ctypes.Structure):
    _fields_ = (
        ("arg", ctypes.c_uint),
        ("op", ctypes.c_int),
        ("a", ctypes.c_uint64),
        ("b", ctypes.c_uint64),
    )


def settings(name: str) -> list[str]:
    """Return the values of a setting of the unit, in order."""
    lines = UNIT.read_text().splitlines()
    return [line.partition("=")[2] for line in lines if line.startswith(f"{name}=")]


def calls(group: str) -> set[str]:
    """Return the system calls of a set such as `@system-service`, those of its sets included."""
    shown = subprocess.run(
        ["systemd-analyze", "syscall-filter", group], capture_output=True, text=True, check=True
    )
    found: set[str] = set()
    for word in (line.strip() for line in shown.stdout.splitlines()[1:]):
        if word.startswith("@"):
            found |= calls(word)
        elif word and not word.startswith("#"):
            found.add(word)
    return found


def allowed() -> set[str]:
    """Return the system calls that the unit allows."""
    found: set[str] = set()
    for value in settings("SystemCallFilter"):
        named = set().union(*map(calls, value.removeprefix("~").split()))
        found = found - named if value.startswith("~") else found | named
    return found | calls("@default")


def confine() -> None:
    """Forbid this process, and what it starts, what the unit forbids."""
    names = allowed()
    library = ctypes.CDLL("libseccomp.so.2")
    library.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(library.seccomp_init(ctypes.c_uint32(_ERRNO_EPERM)))
    for name in sorted(names - {"mmap", "mprotect", "pkey_mprotect"}):
        number = library.seccomp_syscall_resolve_name(name.encode())
        if number >= 0:
            assert library.seccomp_rule_add(context, ctypes.c_uint32(_ALLOW), number, 0) == 0, name
    for name, mask in (("mmap", 0x2), ("mmap", 0x4), ("mprotect", _EXEC)):  # not both written and run
        number = library.seccomp_syscall_resolve_name(name.encode())
        rule = (_Compare * 1)(_Compare(2, _MASKED_EQUAL, mask, 0))
        assert library.seccomp_rule_add_array(context, ctypes.c_uint32(_ALLOW), number, 1, rule) == 0, name
    os.umask(int(settings("UMask")[-1], 8))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    kernel = ctypes.CDLL(None, use_errno=True)
    for capability in range(_MOST_CAPABILITY + 1):
        kernel.prctl(_CAPBSET_DROP, capability, 0, 0, 0)
    assert kernel.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
    assert library.seccomp_load(context) == 0


def profile() -> dict[str, object]:
    """Return the rules as a seccomp profile of the Open Container Initiative, for Kubernetes and Docker."""
    free = {"action": "SCMP_ACT_ALLOW", "names": sorted(allowed() - {"mmap", "mprotect", "pkey_mprotect"})}
    bound = [
        {"action": "SCMP_ACT_ALLOW", "names": [name], "args": [_masked(mask)]}
        for name, mask in (("mmap", 0x2), ("mmap", 0x4), ("mprotect", _EXEC))
    ]
    architectures = ["SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"]
    head = {"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1, "architectures": architectures}
    return {**head, "syscalls": [free, *bound]}


def _masked(mask: int) -> dict[str, object]:
    return {"index": 2, "value": mask, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}


if __name__ == "__main__":
    if len(sys.argv) == 1:
        sys.stdout.write(json.dumps(profile(), indent=1) + "\n")
        sys.exit()
    confine()
    os.execvp(sys.argv[1], sys.argv[1:])  # noqa: S606 - what it is for
