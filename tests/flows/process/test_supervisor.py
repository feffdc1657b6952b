"""Independent processes under one supervisor: each is started again alone."""

import sys
import threading
from pathlib import Path

from flows.process import supervisor
from flows.process.supervisor import Member, Pause, independent
from tests.fakes.process import wait_until

RUNS = (
    "import sys, pathlib, time; pathlib.Path(sys.argv[1]).open('a').write('x'); "
    "time.sleep(float(sys.argv[2]))"
)
DRAINS = (
    "import sys, pathlib, signal, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(0)); "
    "pathlib.Path(sys.argv[1]).open('a').write('x'); time.sleep(600)"
)


def members(monkeypatch, *given):
    """Return members that run code of ours instead of the collector."""
    programs = {f"m{number}": [sys.executable, "-c", *words] for number, words in enumerate(given)}
    popen = supervisor.subprocess.Popen
    monkeypatch.setattr(
        supervisor.subprocess, "Popen", lambda command, **given: popen(programs[command[-1]], **given)
    )
    return [Member(name, [name], {}) for name in programs]


def test_a_pause_grows_until_a_life_was_long():
    """Short lives are followed by longer pauses, up to a minute and a part of it; a long one ends that."""
    pause = Pause()
    pauses = [pause.after(0.0) for _ in range(8)]
    assert all(
        least <= each <= 1.25 * least
        for least, each in zip([1, 2, 4, 8, 16, 32, 60, 60], pauses, strict=True)
    )
    assert pause.after(61.0) < 1.5 < pause.after(0.0)


def test_one_that_ends_is_started_again_alone(monkeypatch, tmp_path, capfd):
    """The one that ended runs again after its pause; the other one is the same process all the time."""
    pauses = iter([0.05, 0.05, 3600.0])
    monkeypatch.setattr(Pause, "after", lambda _self, _lived: next(pauses))
    short, steady = tmp_path / "short", tmp_path / "steady"
    group = members(monkeypatch, (RUNS, str(short), "0"), (DRAINS, str(steady)))
    drain = threading.Event()
    codes = []
    thread = threading.Thread(target=lambda: codes.append(independent(group, drain)))
    thread.start()
    wait_until(lambda: _runs(short) == 3 and _runs(steady) == 1, 60, "three starts of the one")
    wait_until(lambda: group[0].process is None, 60, "its last end is noticed")
    drain.set()
    thread.join(60)
    assert _runs(steady) == 1
    assert codes == [0]
    assert "process m0 ended: exit code 0: starting it again" in capfd.readouterr().err


def test_a_bad_end_in_the_drain_is_told_by_the_exit_code(monkeypatch, tmp_path):
    """One that does not drain makes the supervisor end with 1."""
    done = tmp_path / "done"
    group = members(monkeypatch, (RUNS, str(done), "600"))
    drain = threading.Event()
    codes = []
    thread = threading.Thread(target=lambda: codes.append(independent(group, drain)))
    thread.start()
    wait_until(lambda: _runs(done) == 1, 60, "it runs")
    drain.set()
    thread.join(60)
    assert codes == [1]


def _runs(path: Path) -> int:
    return len(path.read_text()) if path.exists() else 0
