"""The image's file system without a container engine: the Dockerfile's own lines, this machine as base image.

Each stage is an overlay over the root file system and each RUN happens in a chroot of it, so what is tested
is the Dockerfile itself; only what `FROM` names is put in place of (a Python of the same name on the path).
Needs root and overlayfs.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from tests.fakes.process import Child

ROOT = Path(__file__).parents[2]
_CHROOT = shutil.which("chroot") or "/usr/sbin/chroot"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_BASE_ENV = {"PATH": _PATH, "HOME": "/tmp", "LD_LIBRARY_PATH": "/usr/local/lib"}  # noqa: S108 - inside the image
_PASSED_ON = ("PIP_", "SSL_", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


def instructions(text: str) -> list[tuple[str, str]]:
    """Return the (INSTRUCTION, argument) pairs of a Dockerfile; comments go, continued lines are joined."""
    lines = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    joined = re.sub(r"\\\n\s*", " ", lines)
    pairs = (line.strip().partition(" ") for line in joined.splitlines() if line.strip())
    return [(name.upper(), rest.strip()) for name, _, rest in pairs]


@dataclass
class Stage:
    """One stage of a build: where its file system is mounted, and what its lines have set."""

    root: Path
    workdir: str = "/"
    user: str = ""
    entrypoint: str = "[]"
    healthcheck: str = ""
    env: dict[str, str] = field(default_factory=lambda: dict(_BASE_ENV))

    def path(self, name: str) -> Path:
        """Return where a path of the image lies on this machine; relative ones start at WORKDIR."""
        return self.root / os.path.normpath(f"{self.workdir}/{name}" if name[:1] != "/" else name).lstrip("/")


class Image:
    """Builds a Dockerfile in `folder`; a context manager, whose end unmounts everything."""

    def __init__(self, dockerfile: Path, folder: Path, context: Path = ROOT) -> None:
        self.folder, self.context = folder, context
        self._lines = instructions(dockerfile.read_text())
        self._stages: dict[str, Stage] = {}
        self._mounts = ExitStack()
        self.stage: Stage

    def __enter__(self) -> Self:
        try:
            self.mount("-t", "tmpfs", "tmpfs", at=self.folder)
            for name, rest in self._lines:
                self._apply(name, rest)
        except BaseException:
            self._mounts.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._mounts.close()

    def mount(self, *what: str, at: Path) -> Path:
        """Mount something until the end of this image."""
        at.mkdir(parents=True, exist_ok=True)
        subprocess.run(["mount", *what, str(at)], check=True)
        self._mounts.callback(subprocess.run, ["umount", "-l", str(at)], check=True)
        return at

    def bind(self, source: Path, name: str, *, writable: bool = False) -> None:
        """Mount a folder of this machine at a path of the image, as `docker run -v` does."""
        at = self.mount("--bind", str(source), at=self.stage.path(name))
        if not writable:
            subprocess.run(["mount", "-o", "remount,bind,ro", str(at)], check=True)

    def freeze(self) -> None:
        """Make the root file system read-only but for /tmp: `docker run --read-only --tmpfs /tmp`."""
        self.mount("-t", "tmpfs", "tmpfs", at=self.stage.root / "tmp")
        subprocess.run(["mount", "-o", "remount,ro", str(self.stage.root)], check=True)

    def command(self, command: tuple[str, ...], env: Mapping[str, str] | None = None) -> list[str]:
        """Return the command line that runs something in the image as its user, without any privilege."""
        owner = self.user_id
        drop = ["setpriv", f"--reuid={owner}", f"--regid={owner}", "--clear-groups", "--no-new-privs"]
        variables = [f"{name}={value}" for name, value in {**self.stage.env, **(env or {})}.items()]
        inside = [*drop, "--bounding-set=-all", "--inh-caps=-all", "env", "-i", *variables]
        enter = ["sh", "-c", f'cd {shlex.quote(self.stage.workdir)} && exec "$@"', "sh"]
        return [_CHROOT, str(self.stage.root), *inside, *enter, *command]

    def start(self, log: Path, *arguments: str, env: Mapping[str, str] | None = None) -> Child:
        """Start the entry point."""
        line = self.command((*json.loads(self.stage.entrypoint), *arguments), env)
        return Child(line, log, dict(os.environ), self.folder)

    @property
    def user_id(self) -> int:
        """The number of the image's user."""
        users = (self.stage.root / "etc/passwd").read_text().splitlines()
        return next(int(line.split(":")[2]) for line in users if line.split(":")[0] == self.stage.user)

    def _apply(self, name: str, rest: str) -> None:
        steps = {"FROM": self._from, "RUN": self._run, "COPY": self._copy, "WORKDIR": self._workdir}
        words = {"USER": "user", "ENTRYPOINT": "entrypoint", "HEALTHCHECK": "healthcheck"}
        if name in steps:
            steps[name](rest)
        elif name in words:
            setattr(self.stage, words[name], rest)
        elif name == "ENV":
            for key, _, value in (pair.partition("=") for pair in shlex.split(rest)):
                self.stage.env[key] = value.replace("$PATH", self.stage.env["PATH"])
        elif name not in {"ARG", "VOLUME", "STOPSIGNAL", "LABEL", "EXPOSE"}:
            raise ValueError(f"Dockerfile instruction {name}: not known here")

    def _workdir(self, rest: str) -> None:
        self.stage.workdir = rest
        self.stage.path("").mkdir(parents=True, exist_ok=True)

    def _from(self, rest: str) -> None:
        name = rest.partition(" AS ")[2] or "final"
        upper, work = self.folder / name / "upper", self.folder / name / "work"
        upper.mkdir(parents=True)
        work.mkdir()
        layers = f"lowerdir=/,upperdir={upper},workdir={work}"
        self.stage = self._stages[name] = Stage(
            self.mount("-t", "overlay", "overlay", "-o", layers, at=self.folder / name / "root")
        )
        for special in ("proc", "dev"):
            self.mount("--rbind", f"/{special}", at=self.stage.root / special)
        shutil.copy("/etc/resolv.conf", self.stage.root / "etc/resolv.conf")
        self.mount(
            "--bind", sys.base_prefix, at=self.stage.root / "usr/local"
        )  # where the Python image has it

    def _run(self, command: str) -> None:
        env = {name: value for name, value in os.environ.items() if name.upper().startswith(_PASSED_ON)}
        inside = [_CHROOT, str(self.stage.root), "sh", "-ec", f"cd {self.stage.workdir}; {command}"]
        subprocess.run(inside, env={**env, **self.stage.env}, check=True)

    def _copy(self, rest: str) -> None:
        words = shlex.split(rest)
        origin = self.context
        if words[0].startswith("--from="):
            origin = self._stages[words.pop(0).removeprefix("--from=")].root
        *sources, target = words
        for source in sources:
            here = origin / source.lstrip("/")
            there = self.stage.path(target)
            if here.is_dir():
                ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
                shutil.copytree(here, there, symlinks=True, dirs_exist_ok=True, ignore=ignored)
            else:
                shutil.copy(here, there / here.name if len(sources) > 1 or target.endswith("/") else there)
