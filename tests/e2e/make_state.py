"""Makes the state of an older release, kept for `test_old_state.py`.

    python -m tests.e2e.make_state

The release is checked out into a temporary folder and collects three objects and four APIs in two processes;
both are killed while every object is half emitted. Its recovery files are packed into `states/`.
"""

import json
import logging
import pickle
import sqlite3
import subprocess
import sys
import tarfile
import tempfile
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.e2e.oldworld import (
    COMMIT,
    FACTS,
    OBJECTS,
    PERIOD,
    STORED,
    api_name,
    large,
    put_api_events,
    slow,
    world,
)
from tests.fakes.certs import make_certs
from tests.fakes.collector import ROOT
from tests.fakes.corpus import Sample
from tests.fakes.ministack import Ministack
from tests.fakes.process import wait_until
from tests.fakes.receivers import Receiver, need

_PATIENCE_SECONDS = 120.0


def main() -> None:
    """Run the older release until every object is half emitted, kill it, and pack its state."""
    with tempfile.TemporaryDirectory() as name, Ministack() as aws, world(aws) as old:
        folder = Path(name)
        certs = make_certs(folder)
        receiver = Receiver(need("rsyslog"), folder / "receiver", certs).start()
        base = int(time.time()) - PERIOD
        collector = old.collector(folder, receiver.port, certs, base)
        collector.environment["PYTHONPATH"] = str(checked_out(COMMIT, folder / "release"))
        try:
            due = put_api_events("old", base)
            tail, arrived = receiver.tail(), set[str]()
            collector.start()

            def whole() -> bool:
                arrived.update(map(api_name, tail.lines()))
                return due <= arrived

            wait_until(whole, _PATIENCE_SECONDS, "all events of the APIs")
            time.sleep(3 * collector.launch.interval)  # seconds: their positions are in a snapshot
            slow(old.proxy)
            objects = {service: large(service) for service in OBJECTS}
            old.site.put(objects.values())
            keys = {sample.key for sample in objects.values()}
            wait_until(lambda: keys <= set(partial(collector.state)), _PATIENCE_SECONDS, "half objects", 0.1)
            collector.kill()
            facts = {"base": base, "partial": partial(collector.state)}
            receiver.stop()
            require_prefixes(receiver, objects, facts["partial"])
        finally:
            collector.kill()
            receiver.kill()
        pack(collector.state, facts)
        logging.getLogger(__name__).warning("%s: %s, %d bytes", STORED.name, facts, STORED.stat().st_size)


def checked_out(commit: str, folder: Path) -> Path:
    """Return a folder with the files of a commit."""
    folder.mkdir()
    archive = folder.with_suffix(".tar")
    subprocess.run(["git", "archive", "--output", archive, commit], cwd=ROOT, check=True)
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    return folder


def partial(state: Path) -> dict[str, int]:
    """Return key → records of the objects that a state has as half emitted, as a resume will see it."""
    found: dict[str, int] = {}
    for lane in lanes(state):
        for name, records in lane.get("partial", {}).items():
            key = name.partition("/")[2].rpartition("@")[0]  # bucket/key@etag
            found[key] = max(found.get(key, 0), records)
    return found


def lanes(state: Path) -> list[dict[str, Any]]:
    """Return the snapshots with which each partition would resume: before the slowest worker's epoch."""
    found: dict[tuple[str, str, int], bytes] = {}
    fronts: list[tuple[int, int]] = []
    for file in sorted(state.glob("part-*.sqlite3")):
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=5)) as database:
            fronts += database.execute("SELECT ex_num, worker_frontier FROM fronts")
            for *key, epoch, change in database.execute(
                "SELECT step_id, state_key, snap_epoch, ser_change FROM snaps ORDER BY snap_epoch"
            ):
                found.setdefault((*key, epoch), change)
    last = max((execution for execution, _ in fronts), default=0)
    resumed = min((epoch for execution, epoch in fronts if execution == last), default=0)
    newest = {key[:2]: change for key, change in sorted(found.items(), key=_epoch) if key[2] < resumed}
    states = [pickle.loads(change) for change in newest.values() if change]  # noqa: S301 - made a moment ago
    return [one for one in states if isinstance(one, dict)]


def _epoch(found: tuple[tuple[str, str, int], bytes]) -> int:
    return found[0][2]


def require_prefixes(receiver: Receiver, objects: dict[str, Sample], emitted: dict[str, int]) -> None:
    """See that what the state has as emitted has arrived: nobody sends it again."""
    arrived = Counter(receiver.events())
    for sample in objects.values():
        records = emitted[sample.key]
        assert 0 < records < len(sample.expected), f"{sample.key}: {records} of {len(sample.expected)}"
        missing = Counter((one.tag_on, one.line) for one in sample.expected[:records]) - arrived
        assert not missing, f"{sample.key}: {missing.total()} of {records} have not arrived"


def pack(state: Path, facts: dict[str, Any]) -> None:
    """Write the archive."""
    (state / FACTS).write_text(json.dumps(facts, indent=1, sort_keys=True))
    STORED.parent.mkdir(exist_ok=True)
    with tarfile.open(STORED, "w:xz") as packed:
        for file in sorted(state.iterdir()):
            packed.add(file, file.name)


if __name__ == "__main__":
    sys.exit(main())
