"""`python -m flows run`: the main job ready for production, in one process or as a local cluster.

A cluster is N processes of `flows.aws`; bytewax cannot go on without one of them, so when one ends the
others are ended too and all start again from the last common snapshot.
"""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path

from bytewax.recovery import RecoveryConfig
from bytewax.run import cli_main

from flows.config.load import Settings, load
from flows.process.memory import unswept
from flows.process.recovery_store import check, failure, hold, prepare
from flows.process.runtime import drain_on_signals, launch
from sinks.errors import DeliveryError
from transforms.errors import CollectorError

_SUPERVISOR = "COLLECTOR_SUPERVISOR"
_WATCH_SECONDS = 0.5
_RESTART_SECONDS = (1.0, 60.0)


def run(config: Path | None, processes: int, workers: int, interval: float, state: Path | None) -> int:
    """Collect until SIGTERM; 0 when all that was taken is delivered and acknowledged."""
    settings = load(config)
    recovery = recovery_directory(settings, state)
    os.environ["BYTEWAX_WORKERS_PER_PROCESS"] = str(workers)
    os.environ["BYTEWAX_SNAPSHOT_INTERVAL"] = str(interval)
    if recovery:
        os.environ["BYTEWAX_RECOVERY_DIRECTORY"] = str(recovery)
    if processes > 1 and "BYTEWAX_PROCESS_ID" not in os.environ:
        check(recovery, alone=True)  # its processes would find it out one after the other, again and again
        return supervise(processes)
    return collect(settings, workers, interval, recovery)


def recovery_directory(settings: Settings, state: Path | None) -> Path | None:
    """Return the recovery directory, made when missing; None when the configuration keeps no state.

    In a cluster whose processes share no disk all state lies with process 0: then any number of processes
    can go on from it. The directories of the others stay empty.
    """
    directory = state or settings.state_directory
    if directory is None:
        return None
    prepare(directory, first=launch().process.index == 0)
    if _SUPERVISOR not in os.environ:  # a member works in what its supervisor holds
        hold(directory)
    return directory


def collect(settings: Settings, workers: int, interval: float, recovery: Path | None) -> int:
    """Run the dataflow in this process until it has drained."""
    end_with_supervisor()
    here = launch()
    try:
        with unswept():
            from flows.aws import flow  # noqa: PLC0415 - the supervisor of a cluster does not need it

            dataflow = flow(str(settings.path) if settings.path else None)
        cli_main(
            dataflow,
            workers_per_process=workers,
            process_id=here.process.index if here.addresses else None,
            addresses=list(here.addresses) or None,
            epoch_interval=timedelta(seconds=interval),
            recovery_config=RecoveryConfig(recovery, timedelta(0)) if recovery else None,
        )
    except Exception as error:
        raise failure(error, recovery) or root_cause(error) from error
    return 0


def root_cause(error: BaseException) -> BaseException:
    """Return our own error from inside bytewax's wrapping, or a delivery error that tells what it was."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, CollectorError):
            return cause
        cause = cause.__cause__ or cause.__context__
    return DeliveryError(
        f"the dataflow failed ({error})",
        "bytewax",
        "start again; nothing was acknowledged; --debug shows where",
    )


def supervise(count: int) -> int:
    """Run `count` processes as one cluster, all again when one ends before its time."""
    drain = drain_on_signals()
    pause, most = _RESTART_SECONDS
    while True:
        started = time.monotonic()
        codes = cluster(count, drain)
        if drain.is_set():
            return 0 if not any(codes) else 1
        if time.monotonic() - started > most:
            pause = _RESTART_SECONDS[0]
        sys.stderr.write(f"cluster ended: exit codes {codes}: starting it again in {pause:.0f} s\n")
        drain.wait(pause)
        if drain.is_set():
            return 1
        pause = min(pause * 2, most)


def cluster(count: int, drain: threading.Event) -> list[int]:
    """Run one life of the cluster and return its exit codes."""
    addresses = ";".join(f"127.0.0.1:{port}" for port in free_ports(count))
    command = [sys.executable, "-m", "flows", *sys.argv[1:]]
    shared = {**os.environ, "BYTEWAX_ADDRESSES": addresses, _SUPERVISOR: str(os.getpid())}
    children = [
        subprocess.Popen(  # noqa: S603 - our own command line again
            command, env={**shared, "BYTEWAX_PROCESS_ID": str(index)}
        )
        for index in range(count)
    ]
    while all(child.poll() is None for child in children) and not drain.wait(0.2):
        pass
    for child in children:
        if child.poll() is None:
            child.send_signal(signal.SIGTERM if drain.is_set() else signal.SIGKILL)
    return [child.wait() for child in children]


def end_with_supervisor() -> None:
    """End this member of a cluster at once when its supervisor is gone: the next one starts it anew.

    Left behind, it would write to the same state as its successor. Nothing is lost by a hard end.
    """
    supervisor = os.environ.get(_SUPERVISOR)
    if supervisor is None:
        return

    def watch() -> None:
        while os.getppid() == int(supervisor):
            time.sleep(_WATCH_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, name="supervisor-watch", daemon=True).start()


def free_ports(count: int) -> list[int]:
    """Return loopback ports that were free a moment ago."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports
