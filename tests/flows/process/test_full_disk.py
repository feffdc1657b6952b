"""A disk that fills up in mid-run: state, journal, quarantine; each is one line, and nothing is lost."""

import subprocess
from contextlib import contextmanager
from functools import partial

import pytest
import yaml

from flows.demo.configuration import EVENT_QUEUES
from flows.demo.embedded import embedded_aws
from tests.fakes.process import wait_until
from tests.fakes.tls_sink import TlsSink
from tests.flows.status.world import PATIENCE, World

pytestmark = [
    pytest.mark.timeout(400),
    pytest.mark.skipif(
        subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False).returncode != 0,
        reason="no user namespaces here",
    ),
]

SMALL_DISK = """
mount -t tmpfs -o size=4m,mode=700 small "$0" || exit 9
(while [ ! -e "$1" ]; do sleep 0.1; done; cat /dev/zero > "$0/filler"; touch "$1.done") 2>/dev/null &
shift
exec "$@"
"""
"""$0: where 4 MiB are mounted; $1: the file that, once it is there, fills them; then the command."""


@contextmanager
def on_a_small_disk(tmp_path, certs, **top):
    """Run a collector whose folder `small` is a disk of its own; yields it and what fills the disk."""
    small = tmp_path / "small"
    small.mkdir()
    with embedded_aws(tmp_path) as aws, TlsSink(certs) as sink:
        world = World(aws, sink, tmp_path, certs, quiet=True)
        content = yaml.safe_load(world.config.read_text())
        content["globals"] |= top
        world.config.write_text(yaml.safe_dump(content))
        world.prefix = ["unshare", "-rm", "sh", "-c", SMALL_DISK, str(small), str(tmp_path / "fill")]
        try:
            world.start()
            world.put()
            world.await_delivered()
            yield world, partial(fill, tmp_path / "fill")
        finally:
            if world.child is not None:
                world.child.kill()


def fill(trigger):
    """Fill the disk, and wait until it is full."""
    trigger.touch()
    wait_until(trigger.with_name("fill.done").exists, PATIENCE, "the disk is full")


def clean(text):
    """Assert that nothing in a log is a dump."""
    for word in ("panicked", "Traceback", "stack backtrace", "RUST_BACKTRACE"):
        assert word not in text, text


def test_state_without_room(tmp_path, certs):
    """The process ends with 1, and its last line says what has no room, where, and what to do."""
    state = {"type": "filesystem", "config": {"directory_name": str(tmp_path / "small/state")}}
    with on_a_small_disk(tmp_path, certs, persistence=state, journal="off") as (world, fill_up):
        fill_up()
        wait_until(lambda: world.put() or not world.child.alive, PATIENCE, "the collector ends", 0.5)
        assert world.child.wait(1) == 1
        text = world.child.tail()
        clean(text)
        last = text.splitlines()[-1]
        assert last.startswith("no room for the recovery directory (No space left on device): "), text
        assert "make room" in last


def test_journal_without_room(tmp_path, certs):
    """It runs on, deletes nothing and says so once; with the state elsewhere nothing else is told."""
    with on_a_small_disk(tmp_path, certs, journal=str(tmp_path / "small/journal")) as (world, fill_up):
        fill_up()
        world.put()
        wait_until(lambda: world.get("/readyz")[0] == 503, PATIENCE, "it is not ready", 0.2)
        assert "journal at " in world.get("/readyz")[2]
        text = world.child.tail()
        clean(text)
        told = [line for line in text.splitlines() if "journal_failed" in line]
        assert len(told) == 1, text
        assert all("No space left on device" in line for line in told), told
        assert world.child.alive


def test_quarantine_without_room(tmp_path, certs):
    """The process ends with 1 and one line that names file and cure; the message stays in its queue."""
    with on_a_small_disk(tmp_path, certs, quarantine=str(tmp_path / "small/quarantine")) as (world, fill_up):
        fill_up()
        world.put_nonsense()
        wait_until(lambda: not world.child.alive, PATIENCE, "the collector ends")
        assert world.child.wait(1) == 1
        text = world.child.tail()
        clean(text)
        last = text.splitlines()[-1]
        assert last.startswith("cannot write (No space left on device): "), text
        assert "make room on the disk" in last
        assert "small/quarantine" in last
        assert world.aws.waiting(EVENT_QUEUES["service-events-all"]) >= 1
