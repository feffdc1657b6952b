"""A state is shown, copied, put back and renamed; a copy that is not what was made is refused."""

import json
import pickle
import shutil
import sqlite3
import subprocess
import sys
import tarfile
from contextlib import closing

import pytest

from flows.commands.state import state
from flows.config.load import SettingsError
from flows.positions.checkpoint import positions as log_positions
from flows.positions.store import Positions
from flows.process.recovery_store import StateError, check, prepare
from flows.process.sealed_state import opened, seal
from tests.fakes.collector import ROOT

STORED = ROOT / "tests/e2e/states/a2298a1.tar.xz"
AUDITS = {"audit-events-all": {"types": ["audits_api"], "regions": ["eu-west-1"]}}
STEPS = ("10001-audit-events-all-audits_api", "10001-my-logs-logs", "10002-my-logs-logs")
POSITION = {"v": 2, "targets": {"eu-west-1": 17}}


@pytest.fixture
def folder(tmp_path):
    """Return the state of three API services, one with ids beside it, and a journal."""
    made = tmp_path / "state"
    prepare(made, first=True)
    with closing(sqlite3.connect(made / "part-0.sqlite3")) as database, database:
        database.execute("INSERT INTO exs (ex_num, worker_count, resume_epoch) VALUES (1, 1, 3)")
        for step in STEPS:
            for epoch in (1, 2):
                kept = pickle.dumps(seal(f"aws.{step}", "0", {**POSITION, "epoch": epoch}))
                row = (f"aws.{step}", "0", epoch, kept)
                database.execute(
                    "INSERT INTO snaps (step_id, state_key, snap_epoch, ser_change) VALUES (?, ?, ?, ?)", row
                )
    (made / "collected" / STEPS[0]).mkdir(parents=True)
    (made / "collected" / STEPS[0] / "1.ids").write_bytes(b"ids")
    (made / "journal").mkdir()
    (made / "journal" / "1.log").write_bytes(b"rows")
    return made


def positions(folder):
    """Return step → newest position, opened under the step's own name, as bytewax qualifies it."""
    with closing(sqlite3.connect(folder / "part-0.sqlite3")) as database:
        rows = database.execute("SELECT step_id, state_key, ser_change FROM snaps ORDER BY snap_epoch")
        found = {step: opened(step, key, pickle.loads(kept)) for step, key, kept in rows}  # noqa: S301 - ours
        return {step.removeprefix("aws."): position for step, position in found.items()}


def test_a_state_is_shown(folder, capsys):
    """Each position has its step, lane, epoch and version."""
    assert state(None, folder, "show", []) == 0
    shown = capsys.readouterr().out
    assert "format 5" in shown
    for step in STEPS:
        assert f"{step}  0  epoch 2 of" in shown
    assert shown.count("version 2") == 3


def test_a_state_that_bytewax_wrote(tmp_path, capsys):
    """Its steps have the dataflow's name before them: they are known all the same, and can be renamed."""
    folder, config = tmp_path / "state", tmp_path / "config.yaml"
    with tarfile.open(STORED) as packed:
        packed.extractall(folder, filter="data")
    folder.chmod(0o700)
    kept = {"type": "filesystem", "config": {"directory_name": str(folder)}}
    inputs = {"old": {"id": "20001", "services": AUDITS}}
    config.write_text(
        json.dumps(
            {"globals": {"persistence": kept}, "inputs": inputs, "outputs": {"c": {"type": "console"}}}
        )
    )
    state(config, None, "move", ["10001", "20001"])
    capsys.readouterr()
    state(config, None, "show", [])
    steps = {line.split()[0]: "no service" in line for line in capsys.readouterr().out.splitlines()}
    assert {step: unread for step, unread in steps.items() if "audits_api" in step or step == "devo"} == {
        "20001-audit-events-all-audits_api": False,
        "devo": False,
    }
    assert steps["10001-my-logs-logs"]


def test_s7_the_log_is_shown_copied_and_moved_too(folder, tmp_path, capsys):
    """What a running collector has written since its start is part of the state, for each of the commands."""
    kept, place = Positions(folder), (f"aws.{STEPS[0]}", "0")
    kept.seal(place, 0, {"v": 2, "targets": {"eu-west-1": 18}}, busy=True)
    kept.resumed(("aws.new-logs", "1"))
    kept.seal(("aws.new-logs", "1"), 0, {"v": 3}, busy=False)
    kept.receipted(1)
    state(None, folder, "show", [])
    shown = capsys.readouterr().out
    assert f"{STEPS[0]}  0  of positions.log  version 2" in shown
    assert "new-logs  1  of positions.log  version 3" in shown
    assert f"{STEPS[1]}  0  epoch 1 of" in shown
    state(None, folder, "backup", [str(tmp_path / "copy.tar.gz")])
    state(None, tmp_path / "other", "restore", [str(tmp_path / "copy.tar.gz")])
    known = log_positions(tmp_path / "other")
    assert known == log_positions(folder)
    assert known[place] == {"v": 2, "targets": {"eu-west-1": 18}}
    state(None, tmp_path / "other", "move", [STEPS[0], "20001-x-audits_api"])
    moved = log_positions(tmp_path / "other")
    assert moved["aws.20001-x-audits_api", "0"] == known[place]
    assert moved["aws.new-logs", "1"] == {"v": 3}
    assert len(moved) == len(known)


def test_s7_move_leaves_a_state_alone_that_a_process_of_several_holds(folder, tmp_path):
    """Each of `run --processes N` has a folder of its own below the base, and holds that."""
    base = tmp_path / "base"
    shutil.copytree(folder, base / "queues" / "0")
    script = "import sys; from pathlib import Path; from flows.process.recovery_store import hold; "
    script += "hold(Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", script, str(base / "queues" / "0")]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(StateError):
            state(None, base, "move", [STEPS[0], "20001-x-audits_api"])
        other.stdin.close()


def test_a_copy_is_put_back(folder, tmp_path, capsys):
    """What was copied, even while somebody writes, is put into an empty folder; records stay."""
    archive, other = tmp_path / "copy.tar.gz", tmp_path / "other"
    with closing(sqlite3.connect(folder / "part-0.sqlite3")) as running:
        running.execute("PRAGMA journal_mode = WAL")
        running.execute("BEGIN IMMEDIATE")
        running.execute("DELETE FROM snaps")  # not committed: not in the copy
        state(None, folder, "backup", [str(archive)])
        running.rollback()
    assert archive.stat().st_mode & 0o777 == 0o600
    state(None, other, "restore", [str(archive)])
    check(other, alone=True)
    assert positions(other) == positions(folder)
    assert (other / "collected" / STEPS[0] / "1.ids").read_bytes() == b"ids"
    assert not (other / "journal").exists()
    with pytest.raises(SettingsError, match="there is a state already"):
        state(None, other, "restore", [str(archive)])
    with pytest.raises(SettingsError, match="name a new file"):
        state(None, folder, "backup", [str(archive)])


def test_what_vanishes_meanwhile_is_left_out(folder, tmp_path, monkeypatch):
    """A file that is just being written, or that is gone when its turn comes, ends no copy."""
    ids = folder / "collected" / STEPS[0]
    (ids / "range.json.new").write_text("{")
    (ids / "0.ids").write_bytes(b"old")
    whole = shutil.copyfile

    def copyfile(file, copy):
        (ids / "0.ids").unlink(missing_ok=True)
        return whole(file, copy)

    monkeypatch.setattr(shutil, "copyfile", copyfile)
    archive, other = tmp_path / "copy.tar.gz", tmp_path / "other"
    state(None, folder, "backup", [str(archive)])
    state(None, other, "restore", [str(archive)])
    assert [one.name for one in (other / "collected" / STEPS[0]).iterdir()] == ["1.ids"]


def test_a_copy_that_fails_is_not_left(folder, tmp_path, monkeypatch):
    """A full disk ends the copy with an error, and half an archive is taken away; an older one stays."""
    archive = tmp_path / "copy.tar.gz"

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(SettingsError, match="No space left"):
        state(None, folder, "backup", [str(archive)])
    assert not archive.exists()
    archive.write_bytes(b"mine")
    with pytest.raises(SettingsError, match="name a new file"):
        state(None, folder, "backup", [str(archive)])
    assert archive.read_bytes() == b"mine"


def test_a_damaged_copy_is_refused(folder, tmp_path):
    """A changed or missing file, or no archive at all, leaves the folder empty."""
    archive, aside = tmp_path / "copy.tar.gz", tmp_path / "aside"
    state(None, folder, "backup", [str(archive)])
    with tarfile.open(archive) as packed:
        packed.extractall(aside, filter="data")
    for number, spoil in enumerate(
        (
            lambda: (aside / "collected" / STEPS[0] / "1.ids").write_bytes(b"idz"),
            (aside / "collected" / STEPS[0] / "1.ids").unlink,
            (aside / "manifest.json").unlink,
        )
    ):
        spoil()
        bad, other = tmp_path / f"bad-{number}.tar.gz", tmp_path / f"other-{number}"
        with tarfile.open(bad, "w:gz") as packed:
            packed.add(aside, ".")
        with pytest.raises(StateError, match="damaged"):
            state(None, other, "restore", [str(bad)])
        assert not [one for one in other.iterdir() if not one.name.startswith(".")]
    (tmp_path / "none.tar.gz").write_bytes(b"no archive")
    with pytest.raises(StateError, match="damaged"):
        state(None, tmp_path / "last", "restore", [str(tmp_path / "none.tar.gz")])


def test_positions_take_another_name(folder):
    """An input's id, or the key of a service, has changed: its positions and ids go along, readable."""
    before = positions(folder)
    state(None, folder, "move", ["10001-audit-events-all", "10001-audits"])
    state(None, folder, "move", ["10002", "20002"])
    assert positions(folder) == {
        "10001-audits-audits_api": before[STEPS[0]],
        STEPS[1]: before[STEPS[1]],
        "20002-my-logs-logs": before[STEPS[2]],
    }
    assert (folder / "collected" / "10001-audits-audits_api" / "1.ids").exists()
    check(folder, alone=True)
    with pytest.raises(SettingsError, match="nothing is called 10009"):
        state(None, folder, "move", ["10009", "1"])
    with pytest.raises(StateError, match="has positions already"):
        state(None, folder, "move", ["10001", "20002"])


def filled(file, *steps):
    """Add positions of steps to a recovery file, which is made if need be."""
    if not file.exists():
        file.write_bytes((file.parent / "part-0.sqlite3").read_bytes())
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("DELETE FROM snaps")
        for step in steps:
            row = (f"aws.{step}", "0", 1, pickle.dumps(seal(f"aws.{step}", "0", POSITION)))
            database.execute(
                "INSERT INTO snaps (step_id, state_key, snap_epoch, ser_change) VALUES (?, ?, ?, ?)", row
            )


@pytest.mark.parametrize("configured", [["prod", "prod-eu"], ["live", "prod-eu"]])
def test_an_id_that_begins_like_another_moves_alone(folder, tmp_path, configured, capsys):
    """`prod` is not `prod-eu`: the configuration tells them apart, by the old id or by the new one."""
    rest = "audit-events-all-audits_api"
    filled(folder / "part-0.sqlite3", f"prod-{rest}", f"prod-eu-{rest}", "prod-old-logs")
    config = tmp_path / "config.yaml"
    inputs = {name: {"id": name, "services": AUDITS} for name in configured}
    content = {"globals": {"persistence": {"type": "filesystem", "config": {"directory_name": str(folder)}}}}
    config.write_text(json.dumps({**content, "inputs": inputs, "outputs": {"c": {"type": "console"}}}))
    with pytest.raises(SettingsError, match="may be of several inputs"):
        state(None, folder, "move", ["prod", "live"])
    state(config, None, "move", ["prod", "live"])
    assert set(positions(folder)) == {f"live-{rest}", f"prod-eu-{rest}", "prod-old-logs"}
    assert "prod-old-logs stays" in capsys.readouterr().out
    state(None, folder, "move", ["prod-old-logs", "live-old-logs"])
    assert set(positions(folder)) == {f"live-{rest}", f"prod-eu-{rest}", "live-old-logs"}


def test_a_key_that_begins_like_another_moves_alone(folder):
    """`metrics` is not `metrics-all`: without a configuration that is refused, a whole name is not."""
    steps = {"1-metrics-metrics-all", "1-metrics-all-metrics-all"}
    filled(folder / "part-0.sqlite3", *steps)
    with pytest.raises(SettingsError, match="may be of several inputs"):
        state(None, folder, "move", ["1-metrics", "1-m"])
    assert set(positions(folder)) == steps
    state(None, folder, "move", ["1-metrics-metrics-all", "1-m-metrics-all"])
    assert set(positions(folder)) == {"1-m-metrics-all", "1-metrics-all-metrics-all"}


def test_all_files_are_renamed_or_none(folder):
    """A name that is taken in the second file, or damage there, leaves the first one as it was."""
    filled(folder / "part-1.sqlite3", STEPS[0], "20001-audit-events-all-audits_api")
    filled(folder / "part-0.sqlite3", STEPS[0])
    with pytest.raises(StateError, match="has positions already"):
        state(None, folder, "move", ["10001", "20001"])
    assert set(positions(folder)) == {STEPS[0]}
    filled(folder / "part-1.sqlite3", STEPS[0])
    with closing(sqlite3.connect(folder / "part-1.sqlite3")) as database, database:
        database.execute("UPDATE snaps SET ser_change = ?", (pickle.dumps({"sha256": "", "state": b""}),))
    with pytest.raises(StateError, match="damaged"):
        state(None, folder, "move", ["10001", "20001"])
    assert set(positions(folder)) == {STEPS[0]}


def test_a_state_in_use_is_not_renamed(folder):
    """Whoever works on it has its positions in hand; a copy can be made all the same."""
    code = (
        "from pathlib import Path; from flows.process.recovery_store import hold; "
        f"hold(Path({str(folder)!r})); print('held', flush=True); input()"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert owner.stdout.readline() == b"held\n"
        with pytest.raises(StateError, match="in use by process"):
            state(None, folder, "move", ["10001", "1"])
        state(None, folder, "backup", [str(folder.parent / "running.tar.gz")])
    finally:
        owner.communicate(b"\n")


@pytest.mark.parametrize(("action", "names"), [("show", ["x"]), ("backup", []), ("move", ["one"])])
def test_names_are_counted(folder, action, names):
    """Too few names, or too many, are told with the usage."""
    with pytest.raises(SettingsError, match=f"write: state {action}"):
        state(None, folder, action, names)


def test_no_state_is_told(tmp_path):
    """A folder without recovery files is none."""
    with pytest.raises(SettingsError, match="there is no state"):
        state(None, tmp_path, "show", [])
