"""Other shippers on the same VPC files to the same receiver: what each needs, how it is run, what it cost.

Only Tenzir and the devo-sdk loop read gzip: the others get the inflated file, and gunzip's CPU time is
counted as theirs. A peer that cannot be had is skipped with the reason. Where they are looked for:

    rsyslog, syslog-ng   where `.ci/receivers` unpacks them, or on PATH
    fluent-bit           on PATH, or in FLUENT_BIT
    tenzir               beside this Python, on PATH, or in TENZIR (PyPI: `pip install tenzir`, 1 GB)
"""

import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from tests.bench.bench import PYTHON, Bench, Cost, Failed, Made, Program, Rate, paired
from tests.bench.replays import collector, files, replay
from tests.bench.table import Measured, Target
from tests.fakes import receivers

TEMPLATES = Path(__file__).parent / "peers"


@dataclass(frozen=True, slots=True)
class Peer:
    """find: returns the executable or "". missing: why there may be none. share: of the full files."""

    work: str
    find: Callable[[], str]
    run: Callable[[Bench, str, Made], Cost]
    missing: str
    share: float = 1.0


def filled(bench: Bench, template: str, corpus: Made, file: Path) -> Path:
    """Write a peer's configuration and return its path."""
    folder = bench.folder / f"peer-{template}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    values = {"DIR": folder, "CERTS": bench.certs, "PORT": bench.port, "FILE": file, "FOLDER": corpus.folder}
    text = (TEMPLATES / template).read_text()
    for name, value in values.items():
        text = text.replace(f"@{name}@", str(value))
    path = folder / template
    path.write_text(text)
    return path


def inflated(bench: Bench, corpus: Made) -> tuple[Path, Cost]:
    """Inflate a corpus to one file without its headers; returns it with what gunzip cost."""
    target = bench.folder / f"inflated-{corpus.folder.name}.log"
    command = f'find "{corpus.folder}" -name "*.gz" -print0 | xargs -0 gunzip -c > "{target}.all"'
    cost = bench.run(["sh", "-c", command])
    with Path(f"{target}.all").open("rb") as whole, target.open("wb") as out:
        out.writelines(line for line in whole if not line.startswith(b"version "))
    Path(f"{target}.all").unlink()
    return target, cost


def devo_sdk(bench: Bench, _executable: str, corpus: Made) -> Cost:
    where = (str(corpus.folder), str(bench.certs), str(bench.port))
    return bench.run([PYTHON, "-m", "tests.bench.peers.devo_sdk", *where])


def tenzir(bench: Bench, executable: str, corpus: Made) -> Cost:
    aim = bench.count() + corpus.events
    cost = bench.run([executable, "-f", str(filled(bench, "tenzir.tql", corpus, corpus.folder))])
    await_lines(bench, aim)
    return cost


def fluent_bit(bench: Bench, executable: str, corpus: Made) -> Cost:
    file, gunzip = inflated(bench, corpus)
    config = filled(bench, "fluent-bit.conf", corpus, file)
    return gunzip + bench.run_until([executable, "-c", str(config)], corpus.events)


def syslog(kind: str, bench: Bench, _executable: str, corpus: Made) -> Cost:
    """Run rsyslog or syslog-ng until all has arrived."""
    file, gunzip = inflated(bench, corpus)
    program = receivers.find(kind)
    if program is None:
        raise Failed(kind)
    config = filled(bench, f"{kind}.conf", corpus, file)
    command = receivers.command(program, config.parent, config)
    return gunzip + bench.run_until(command, corpus.events, program.environment)


def await_lines(bench: Bench, aim: int) -> None:
    """Wait for what is under way; a peer that ended before the receiver has everything has lost it."""
    deadline = time.monotonic() + 10
    while bench.count() < aim:
        if time.monotonic() > deadline:
            raise Failed(f"{aim - bench.count()} lines have not arrived")
        time.sleep(0.01)


def beside_python(name: str) -> str:
    here = Path(PYTHON).parent / name
    return os.environ.get(name.upper(), "") or (str(here) if here.exists() else shutil.which(name) or "")


def unpacked(kind: str) -> str:
    program = receivers.find(kind)
    return str(program.executable) if program else ""


PROGRAMS: tuple[Peer, ...] = (
    Peer("devo-sdk", lambda: PYTHON if find_spec("devo") else "", devo_sdk, "pip install devo-sdk", 0.05),
    Peer(
        "fluent-bit",
        lambda: os.environ.get("FLUENT_BIT", "") or shutil.which("fluent-bit") or "",
        fluent_bit,
        "not in Debian 12, PyPI or npm; set FLUENT_BIT to an executable",
    ),
    Peer("rsyslog", partial(unpacked, "rsyslog"), partial(syslog, "rsyslog"), "run .ci/receivers", 0.5),
    Peer("syslog-ng", partial(unpacked, "syslog-ng"), partial(syslog, "syslog-ng"), "run .ci/receivers", 0.5),
    Peer("tenzir", partial(beside_python, "tenzir"), tenzir, "pip install tenzir, or set TENZIR"),
)


def measure(bench: Bench, target: Target) -> Measured:
    """Return ours beside a peer's, in turns, each on as many files as it can bear."""
    peer = next(one for one in PROGRAMS if one.work == target.work)
    executable = peer.find()
    if not executable:
        return Measured(target.work, skipped=f"not on this machine: {peer.missing}")
    small = bench.corpus("vpc", 1)
    full = files(bench, 60)
    large = {"ours": bench.corpus("vpc", full), "peer": bench.corpus("vpc", max(3, int(full * peer.share)))}
    ours = collector(bench, replay("vpc"))
    programs: dict[str, Program] = {"ours": ours, "peer": partial(peer.run, bench, executable)}
    try:
        rates: dict[str, Rate] = paired(programs, large, small, bench.rounds)
    except Failed as error:
        return Measured(target.work, skipped=f"failed: {str(error).splitlines()[-1][:120]}")
    return Measured(target.work, rates["ours"].cpu, rates["peer"].cpu, rates["peer"].peak)
