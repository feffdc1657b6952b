"""The recovery directory: whole or not there, and one clear line when it cannot be used."""

import os
import pickle
import random
import re
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing, nullcontext

import pytest
import yaml

from flows.config.load import SettingsError
from flows.process.private_folder import ForeignFolderError
from flows.process.recovery_store import FORMAT, PARTITIONS, StateError, check, failure, hold, prepare
from flows.process.sealed_state import SealBrokenError, look, opened, seal
from tests.fakes.collector import ROOT, configuration

FULL = ["prlimit", "--fsize=100000"]
"""A disk that is full after 100 kB, for every file: what a user without root can have."""

POWERLESS = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
"""Root without its powers: file modes count again."""


@pytest.fixture
def state(tmp_path, monkeypatch):
    """Return a directory as former releases made it, of eight files."""
    monkeypatch.setattr("flows.process.recovery_store.PARTITIONS", 8)
    directory = tmp_path / "state"
    prepare(directory, first=True)
    return directory


def contents(directory):
    return {path.name: path.read_bytes() for path in sorted(directory.iterdir()) if path.name != ".lock"}


def sql(directory, statement, part="part-1.sqlite3"):
    with closing(sqlite3.connect(directory / part)) as database:
        database.execute(statement)
        database.commit()


def started(tmp_path, directory, prefix=(), by="flows"):
    """Start a collector that has no AWS; it must end before it misses one."""
    queue = {"cisco_umbrella_sqs_queue_name": "none", "regions": ["us-east-1"]}
    config = tmp_path / "config.yaml"
    config.write_text(
        yaml.safe_dump(configuration({"cisco-umbrella": queue}, {"c": {"type": "console"}}, tmp_path))
    )
    command = {
        "flows": ["-m", "flows", "run", "--state", str(directory)],
        "cluster": ["-m", "flows", "run", "--state", str(directory), "--cluster", "2"],
        "bytewax": ["-m", "bytewax.run", "flows.aws", "-r", str(directory), "-s", "1", "-b", "0"],
    }[by]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLLECTOR_CONFIG": str(config)}
    return subprocess.run(
        [*prefix, sys.executable, *command],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def the_line(ended):
    """Return the one line that it has said."""
    lines = [line for line in ended.stderr.splitlines() if " WARNING " not in line]
    assert len(lines) == 1, ended.stderr
    assert lines[0].count(": ") >= 2
    return lines[0]


def test_a_new_directory_is_whole(state):
    """All files are there and nothing else."""
    assert sorted(contents(state)) == sorted(f"part-{number}.sqlite3" for number in range(8))
    check(state, alone=True)


def test_s7_a_new_directory_has_one_file(tmp_path):
    """One process writes, to one file: each more is a sync more in an epoch."""
    prepare(tmp_path / "state", first=True)
    assert PARTITIONS == 1
    assert sorted(contents(tmp_path / "state")) == ["part-0.sqlite3"]
    check(tmp_path / "state", alone=True)


def kept(directory, state, key="lane-0", part="part-0.sqlite3"):
    """Put a lane's snapshot into a file, as bytewax does."""
    with closing(sqlite3.connect(directory / part)) as database:
        database.execute(
            "INSERT OR REPLACE INTO snaps (step_id, state_key, snap_epoch, ser_change) VALUES (?, ?, 1, ?)",
            ("aws.step", key, pickle.dumps(seal("aws.step", key, state))),
        )
        database.commit()


def test_s7_free_pages_are_given_back(tmp_path):
    """A file that is mostly free pages is compacted before it is used; what it holds stays."""
    prepare(directory := tmp_path / "state", first=True)
    for number in range(40):
        kept(directory, "x" * 100_000, key=f"lane-{number}")
    sql(directory, "DELETE FROM snaps WHERE state_key != 'lane-7'", part="part-0.sqlite3")
    before = (directory / "part-0.sqlite3").stat().st_size
    check(directory, alone=True)
    after = (directory / "part-0.sqlite3").stat().st_size
    assert after < before / 4
    with closing(sqlite3.connect(directory / "part-0.sqlite3")) as database:
        assert database.execute("SELECT state_key FROM snaps").fetchall() == [("lane-7",)]
        assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)


@pytest.mark.parametrize("seed", range(20))
def test_s7_a_flipped_byte_in_a_snapshot_is_noticed(tmp_path, seed):
    """Wherever in a snapshot a bit has changed: one line that names file and lane, and the cure."""
    prepare(directory := tmp_path / "state", first=True)
    ids = {f"id-{number}": number for number in range(2000)}
    kept(directory, {"v": 1, "targets": ids})
    check(directory, alone=True)
    with closing(sqlite3.connect(directory / "part-0.sqlite3")) as database:
        (blob,) = database.execute("SELECT ser_change FROM snaps").fetchone()
        place = random.Random(seed).randrange(2, len(blob) - 1)
        broken = blob[:place] + bytes([blob[place] ^ 0x11]) + blob[place + 1 :]
        database.execute("UPDATE snaps SET ser_change = ?", (broken,))
        database.commit()
    try:
        look("aws.step", "lane-0", broken)
    except SealBrokenError:
        with pytest.raises(StateError, match=r"snapshot of aws\.step lane-0: .*part-0\.sqlite3: restore it"):
            check(directory, alone=True)
    else:  # a length or a memo of pickle's that changes nothing of what is read
        assert opened("aws.step", "lane-0", pickle.loads(broken)) == {"v": 1, "targets": ids}  # noqa: S301 - made here


def test_s8_a_snapshot_that_cannot_be_unpickled_says_the_cure(state):
    """Not `start again`: what helps is a copy, or to begin anew."""
    sql(
        state,
        "INSERT INTO snaps (step_id, state_key, snap_epoch, ser_change) VALUES ('s', 'lane-1', 1, x'00ff00')",
    )
    with pytest.raises(
        StateError, match=r"lane-1: it cannot be unpickled.*: restore it from a copy, or remove"
    ):
        check(state, alone=True)


def test_s7_a_snapshot_of_another_lane_is_noticed(tmp_path):
    """A name that has changed in the file would let a lane begin anew, in silence."""
    prepare(directory := tmp_path / "state", first=True)
    kept(directory, {"v": 1})
    sql(directory, "UPDATE snaps SET state_key = 'lane-1'", part="part-0.sqlite3")
    with pytest.raises(StateError, match="its checksum is another one"):
        check(directory, alone=True)


def test_states_of_former_releases_are_read():
    """They have no checksum."""
    assert opened("s", "lane-0", {"v": 1, "targets": {}}) == {"v": 1, "targets": {}}
    assert opened("s", "lane-0", seal("s", "lane-0", {"v": 1})) == {"v": 1}


def test_the_format_is_that_of_this_bytewax(state):
    """What counts as newer follows bytewax: a release of it with another format is noticed here."""
    with closing(sqlite3.connect(state / "part-0.sqlite3")) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (FORMAT,)


def test_what_is_there_is_kept(state):
    """A start changes nothing in a directory that is in use."""
    sql(state, "INSERT INTO exs (ex_num, worker_count, resume_epoch) VALUES (1, 1, 1)")
    before = contents(state)
    prepare(state, first=True)
    assert contents(state) == before


def test_other_processes_of_a_cluster_keep_no_files(tmp_path):
    """Only the first process of a cluster makes files; the others see that they could write."""
    prepare(tmp_path / "state", first=False)
    assert contents(tmp_path / "state") == {}


@pytest.mark.parametrize("moved", [None, 0, 3, PARTITIONS])
def test_h22_making_it_may_be_cut_short_anywhere(tmp_path, moved):
    """Killed while it makes the files (None) or after it has moved so many, the next start finishes it."""
    whole, state = tmp_path / "whole", tmp_path / "state"
    prepare(whole, first=True)
    aside = state / ".new"
    aside.mkdir(parents=True)
    for number, file in enumerate(sorted(whole.iterdir())[: 2 if moved is None else None]):
        shutil.copy(file, aside if moved is None or number >= moved else state)
    if moved is not None:
        (aside / "whole").touch()
    prepare(state, first=True)
    assert len(contents(state)) == PARTITIONS
    check(state, alone=True)


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda file: file.write_bytes(b"no database" * 1000), "file is not a database"),
        (lambda file: file.write_bytes(b""), "empty"),
        (lambda file: os.truncate(file, 5000), "malformed"),
        (lambda file: file.write_bytes(file.read_bytes()[:4096] + b"\xff" * 28_672), "error code 11"),
        (lambda file: sql(file.parent, "DROP TABLE parts", file.name), "no such table"),
        (lambda file: sql(file.parent, "DELETE FROM parts", file.name), "which part it is"),
    ],
    ids=["garbage", "empty", "cut", "overwritten", "no table", "no row"],
)
def test_h22_a_damaged_file_is_named(state, damage, told):
    """It says which file and what SQLite thinks of it, and leaves it as it is."""
    file = state / "part-1.sqlite3"
    damage(file)
    before = contents(state)
    with pytest.raises(StateError, match=told) as error:
        check(state, alone=True)
    assert error.value.where == str(file)
    assert contents(state) == before


def test_h22_a_newer_state_is_refused(state):
    """A state that a newer release wrote is left alone."""
    sql(state, f"PRAGMA user_version = {FORMAT + 1}")
    with pytest.raises(StateError, match=f"newer release wrote this state .format {FORMAT + 1}"):
        check(state, alone=True)


def test_h22_a_missing_file_is_named(state):
    """One file of eight is missing: a single process says which; in a cluster another may have it."""
    (state / "part-3.sqlite3").unlink()
    check(state, alone=False)
    with pytest.raises(StateError, match="incomplete") as error:
        check(state, alone=True)
    assert error.value.where.endswith("part-3.sqlite3")


def test_a_file_in_use_is_no_damage(state):
    """A file that another process has locked is left to bytewax."""
    with closing(sqlite3.connect(state / "part-1.sqlite3")) as database:
        database.execute("PRAGMA locking_mode = EXCLUSIVE")
        database.execute("BEGIN EXCLUSIVE")
        check(state, alone=True)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('SqliteFailure(Error { code: DiskFull, extended_code: 13 }, Some("full"))', "no room"),
        (
            'SqliteFailure(Error { code: SystemIoFailure, extended_code: 778 }, Some("io"))',
            "cannot be written",
        ),
        ('SqliteFailure(Error { code: DatabaseCorrupt, extended_code: 11 }, Some("bad"))', "damaged"),
        ('SqliteFailure(Error { code: ReadOnly, extended_code: 8 }, Some("ro"))', "cannot be written"),
    ],
)
def test_what_bytewax_says_is_translated(tmp_path, text, told):
    """A failure of the recovery directory in mid-run is told as one."""
    found = failure(RuntimeError(f"(src/run.rs:167:13) called `Result::unwrap()` … {text}"), tmp_path)
    assert told in str(found)


def test_other_failures_are_not_about_the_directory(tmp_path):
    """What is not about SQLite, or happens without a directory, is somebody else's."""
    assert failure(RuntimeError("step failed"), tmp_path) is None
    assert failure(RuntimeError('SqliteFailure(Error { code: DiskFull }, Some("full"))'), None) is None


def test_h22_a_full_disk_leaves_nothing_half_done(tmp_path):
    """No room at the first start: exit 1, one line, an empty directory; with room the next start makes it."""
    state = tmp_path / "state"
    ended = started(tmp_path, state, FULL)
    assert (ended.returncode, contents(state)) == (1, {})
    assert the_line(ended).startswith("no room for the recovery directory")
    prepare(state, first=True)
    check(state, alone=True)


def test_h22_a_full_file_system_is_told(tmp_path):
    """The same on a file system of 512 KiB that is truly full, where this user may mount one."""
    if subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False).returncode:
        pytest.skip("no user namespaces here; the test before stands for this one")
    mount = 'mount -t tmpfs -o size=512k,mode=700 full "$0" && exec "$@"'
    state = tmp_path / "state"
    state.mkdir()
    ended = started(tmp_path, state, ["unshare", "-rm", "sh", "-c", mount, str(state)])
    assert ended.returncode == 1
    assert the_line(ended).startswith("no room for the recovery directory (No space left on device)")


def test_h22_a_full_disk_in_use_stays_as_it_is(tmp_path, state):
    """No room at a later start: exit 1, one line, the state untouched."""
    before = contents(state)
    ended = started(tmp_path, state, FULL)
    assert (ended.returncode, contents(state)) == (1, before)
    assert the_line(ended).startswith("no room for the recovery directory")


def test_h22_a_read_only_directory_is_told(tmp_path, state):
    """A directory that this user cannot write: exit 2, one line, the state untouched."""
    before = contents(state)
    state.chmod(0o500)
    ended = started(tmp_path, state, POWERLESS)
    state.chmod(0o700)
    assert (ended.returncode, contents(state)) == (2, before)
    assert the_line(ended).startswith("recovery directory cannot be used (Permission denied)")


def test_a_file_in_the_place_of_the_directory(tmp_path):
    """A path that is a file is a mistake of the configuration."""
    (tmp_path / "state").write_text("mine")
    with pytest.raises(SettingsError, match="recovery directory cannot be used"):
        prepare(tmp_path / "state", first=True)
    assert (tmp_path / "state").read_text() == "mine"


@pytest.mark.parametrize("by", ["flows", "cluster", "bytewax"])
def test_h22_every_way_to_start_says_one_line(tmp_path, state, by):
    """`flows run`, as a cluster too, and `bytewax.run` end with 1 and one line over a damaged state."""
    (state / "part-1.sqlite3").write_bytes(b"no database" * 1000)
    before = contents(state)
    ended = started(tmp_path, state, by=by)
    assert (ended.returncode, contents(state)) == (1, before)
    assert the_line(ended).startswith("a recovery file is damaged (file is not a database)")


def test_h22_two_collectors_never_share_a_state(state):
    """The second one is told who has it; when the first has ended it may begin."""
    code = "import sys; from pathlib import Path; from flows.process import recovery_store; "
    code += "recovery_store.hold(Path(sys.argv[1])); input()"
    command = [sys.executable, "-c", code, str(state)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE) as first:
        while not (state / ".lock").exists() or not (state / ".lock").read_bytes():
            assert first.poll() is None
        with pytest.raises(StateError, match=f"in use by process {first.pid} on .*: stop that one"):
            hold(state)
        first.communicate(b"\n")
    hold(state)


def refused(path):
    """Return the line with which a state is refused, by `prepare` and by the look before bytewax's own."""
    with pytest.raises(ForeignFolderError) as first:
        prepare(path, first=True)
    with pytest.raises(ForeignFolderError) as second:
        check(path, alone=True)
    assert str(first.value) == str(second.value)
    return str(first.value)


@pytest.mark.parametrize("mode", [0o770, 0o720, 0o707, 0o777, 0o1777])
def test_a13_a_folder_that_others_can_write_is_refused(state, mode):
    """Whoever may write the folder may put pickles there: refused, with the cure."""
    state.chmod(mode)
    assert re.search(rf"others can write the state \(mode {mode:04o}\): .*chmod 700", refused(state))


@pytest.mark.parametrize("name", ["part-0.sqlite3", "part-0.sqlite3-wal", ".lock"])
def test_a13_a_file_that_others_can_write_is_refused(state, name):
    """The same of its files, the journals and the lock included."""
    (state / name).touch()
    (state / name).chmod(0o666)
    assert re.search(rf"others can write the state .*{re.escape(name)}: .*chmod 600", refused(state))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
@pytest.mark.parametrize("name", ["", "part-3.sqlite3"])
def test_a13_what_belongs_to_another_user_is_refused(state, name):
    """A folder or a file of somebody else was written by somebody else."""
    os.chown(state / name, 12345, -1)
    assert "belongs to another user (uid 12345" in (line := refused(state))
    assert "chown" in line


def test_a13_a_link_in_the_place_of_the_folder_is_refused(tmp_path, state):
    """A symbolic link is not followed: whoever made it chooses where it leads."""
    (tmp_path / "link").symlink_to(state)
    assert "symbolic link" in refused(tmp_path / "link")
    (tmp_path / "nowhere").symlink_to(tmp_path / "not-there")
    with pytest.raises(ForeignFolderError):
        prepare(tmp_path / "nowhere", first=True)
    assert not (tmp_path / "not-there").exists()


@pytest.mark.parametrize("name", ["part-0.sqlite3", ".lock", ".probe", ".new"])
def test_a13_a_link_among_its_files_is_refused(tmp_path, state, name):
    """Nothing is written, truncated or read through a link in the folder."""
    (tmp_path / "precious").write_text("mine")
    (state / name).unlink(missing_ok=True)
    (state / name).symlink_to(tmp_path / "precious")
    assert "symbolic link" in refused(state)
    with pytest.raises((SettingsError, ForeignFolderError)) if name == ".lock" else nullcontext():
        hold(state)
    assert (tmp_path / "precious").read_text() == "mine"


def test_a13_what_is_made_is_closed_to_others(tmp_path):
    """Folder and files are this user's alone, whatever the mask; what others could read is closed to them."""
    before = os.umask(0)
    try:
        prepare(tmp_path / "a/state", first=True)
        hold(tmp_path / "a/state")
    finally:
        os.umask(before)
    made = tmp_path / "a/state"
    assert {path.stat().st_mode & 0o077 for path in [made, *made.iterdir()]} == {0}
    made.chmod(0o755)
    prepare(made, first=True)
    assert made.stat().st_mode & 0o777 == 0o700


def test_a13_a_volume_of_a_pod_is_accepted(state, monkeypatch):
    """Root's mount point that a group of the process may write is how Kubernetes gives a pod its volume."""
    if os.geteuid() != 0:
        pytest.skip("only root can make root's folder")
    state.chmod(0o2770)
    monkeypatch.setattr("pathlib.Path.is_mount", lambda path: path == state)
    prepare(state, first=True)
    state.chmod(0o2777)
    assert "others can write" in refused(state)


@pytest.mark.parametrize("by", ["flows", "cluster", "bytewax"])
def test_a13_every_way_to_start_refuses_it(tmp_path, state, by):
    """`flows run`, as a cluster too, and `bytewax.run` end with 1 and one line."""
    state.chmod(0o777)
    ended = started(tmp_path, state, by=by)
    assert ended.returncode == 1
    assert the_line(ended).startswith("others can write the state")


def test_a_large_state_is_kept_deflated_and_read_as_it_was():
    """What thousands of targets know takes a tenth in the store; a small one is kept as ever."""
    state = {
        "v": 1,
        "targets": {f"eu-west-1/{n:012d}": {"v": 2, "done": n, "seen": {}} for n in range(9_000)},
    }
    kept = seal("step", "lane-0", state)
    assert len(kept["state"]) < len(pickle.dumps(state)) / 5
    assert opened("step", "lane-0", kept) == state
    small = {"v": 1, "targets": {}}
    assert seal("step", "lane-0", small)["state"] == pickle.dumps(small)
