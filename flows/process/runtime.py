"""What a process of the collector knows about itself: its place in the cluster, its drain flag, its log.

bytewax keeps process id and addresses in its options and environment variables and tells sources and sinks
nothing of them, so they are read again here, by the same rules as `bytewax.run` reads them.
"""

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from queue import SimpleQueue
from types import FrameType

import orjson
from msgspec import Struct

from flows.process.service_manager import STOPPING, notify
from sinks.devo import Process
from transforms.telemetry import say

_SAME_MOMENT_SECONDS = 1.0


class Launch(Struct, frozen=True):
    """How this process was started. workers: per process. recovery: the recovery directory, if any.

    addresses: `host:port` of every process, in their order; none when there is only this one.
    interval: seconds of an epoch.
    """

    process: Process
    workers: int
    recovery: Path | None
    addresses: tuple[str, ...] = ()
    interval: float = 10.0


def launch(argv: Sequence[str] | None = None, env: Mapping[str, str] = os.environ) -> Launch:
    """Read process id, process count, workers, recovery directory and interval as `bytewax.run` does."""
    args = list(sys.argv[1:] if argv is None else argv)
    given = _option(args, "-a", "--addresses") or env.get("BYTEWAX_ADDRESSES") or _host_file(env)
    addresses = tuple(given.split(";")) if ";" in given else ()
    index = _option(args, "-i", "--process-id") or env.get("BYTEWAX_PROCESS_ID") or _pod_index(env) or "0"
    workers = _option(args, "-w", "--workers-per-process") or env.get("BYTEWAX_WORKERS_PER_PROCESS") or "1"
    recovery = _option(args, "-r", "--recovery-directory") or env.get("BYTEWAX_RECOVERY_DIRECTORY")
    interval = _option(args, "-s", "--snapshot-interval") or env.get("BYTEWAX_SNAPSHOT_INTERVAL") or "10"
    process = Process(int(index) if addresses else 0, len(addresses) or 1)
    return Launch(process, int(workers), Path(recovery) if recovery else None, addresses, float(interval))


def _option(args: Sequence[str], short: str, long: str) -> str:
    """Return the value of an option in any of argparse's spellings: `-w 2`, `-w2`, `--long 2`, `--long=2`."""
    for position, arg in enumerate(args):
        if arg in (short, long):
            return args[position + 1] if position + 1 < len(args) else ""
        if arg.startswith(f"{long}="):
            return arg.partition("=")[2]
        if arg.startswith(short) and not arg.startswith("--"):
            return arg[len(short) :].removeprefix("=")
    return ""


def _host_file(env: Mapping[str, str]) -> str:
    path = env.get("BYTEWAX_HOSTFILE_PATH")
    if not path:
        return ""
    return ";".join(line.strip() for line in Path(path).read_text().splitlines() if line.strip())


def _pod_index(env: Mapping[str, str]) -> str:
    pod, stateful_set = env.get("BYTEWAX_POD_NAME"), env.get("BYTEWAX_STATEFULSET_NAME")
    return pod.removeprefix(f"{stateful_set}-") if pod and stateful_set else ""


class Drain(threading.Event):
    """Set when the process shall end, or begin anew. asked: somebody wants it to end."""

    asked = False


def drain_on_signals(alone: float | None = None, done: threading.Event | None = None) -> Drain:
    """Return the flag that SIGTERM and SIGINT set: sources stop, what is in hand is receipted, exit 0.

    bytewax ends a process only when all of its cluster are done. One that was asked alone (a pod that is
    replaced) ends when it is `done`: when it has delivered what it held and the others go on; at the latest
    after `alone` seconds. Its absence makes the others begin again, with its share. None: there never are
    others.

    A later signal ends the process at once, as an impatient operator expects; nothing is lost by it. One of
    the same moment does not: terminals and systemd signal the whole group, and so does our supervisor.
    """
    drain = Drain()
    asked: SimpleQueue[int] = SimpleQueue()
    asked_at: float | None = None

    def on_signal(number: int, _frame: FrameType | None) -> None:
        """Ask a thread: a second signal may come inside of this, and would wait for any lock held here.

        Nothing of `threading` is safe for that; SimpleQueue.put is made for it.
        """
        nonlocal asked_at
        if asked_at is None:
            asked_at = time.monotonic()
            drain.asked = True
            asked.put(number)
        elif time.monotonic() - asked_at > _SAME_MOMENT_SECONDS:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    def act() -> None:
        asked.get()
        notify(STOPPING)  # before anything can end: a process that has ended tells nothing more
        drain.set()
        if alone is not None and launch().process.count > 1:
            drained = (done or threading.Event()).wait(alone)
            say(logging.WARNING, "drained_alone", hint="the others of the cluster begin again without it")
            os._exit(0 if drained else 1)

    if threading.current_thread() is threading.main_thread():
        threading.Thread(target=act, name="drain-on-signal", daemon=True).start()
        signal.signal(signal.SIGTERM, on_signal)
        signal.signal(signal.SIGINT, on_signal)
    return drain


class _JsonLines(logging.Formatter):
    """One JSON object per record: time, level, event, in a cluster the process, its fields."""

    def __init__(self, here: Process) -> None:
        super().__init__()
        self.process = {"process": here.index} if here.count > 1 else {}

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line of JSON."""
        fields = record.__dict__.get("fields", {})
        line = {
            "time": _stamp(record.created),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **self.process,
        }
        if fields:
            line["event"] = record.__dict__.get("event", line["event"])
        return orjson.dumps({**line, **fields}, default=str).decode()


class _TextLines(logging.Formatter):
    """`2026-01-02T03:04:05Z INFO event key=value`, for people; in a cluster `[1]` names the process."""

    def __init__(self, here: Process) -> None:
        super().__init__()
        self.process = f"[{here.index}] " if here.count > 1 else ""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line of text."""
        return f"{_stamp(record.created)} {record.levelname:7} {self.process}{record.getMessage()}"


def _stamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def log_to_stderr(*, debug: bool = False, as_json: bool | None = None, ends: bool = False) -> None:
    """Send the collector's named events to stderr, as text or (`COLLECTOR_LOG=json`) as JSON lines.

    debug: debug events too, as `COLLECTOR_DEBUG=1` asks for (the commands' `--debug`). ends: of a command
    that ends with an error when it has no identity, which the log then leaves out.
    """
    debug = debug or os.environ.get("COLLECTOR_DEBUG") == "1"
    here = launch().process
    as_json = os.environ.get("COLLECTOR_LOG") == "json" if as_json is None else as_json
    handler = logging.StreamHandler()
    handler.setFormatter(_JsonLines(here) if as_json else _TextLines(here))
    if ends:
        handler.addFilter(lambda record: record.__dict__.get("event") != "identity_failed")
    for library in ("botocore", "urllib3"):  # without a handler their tracebacks go to stderr
        logging.getLogger(library).addHandler(logging.NullHandler())
    logger = logging.getLogger("collector")
    logger.handlers[:] = [handler]
    logger.setLevel(logging.DEBUG if debug else logging.INFO)
    logger.propagate = False


def settings_warning(line: str) -> None:
    """Log one line about a configuration that is right but says something without effect, or risky."""
    say(logging.WARNING, "settings_warning", text=line)
