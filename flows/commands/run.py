"""`python -m flows run`: the main job ready for production.

In one process; or, with `--processes N`, as N independent ones that share the queues and one that reads the
APIs; or, with `--cluster N`, as a bytewax cluster on this machine.
"""

import os
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path

from bytewax.recovery import RecoveryConfig
from bytewax.run import cli_main
from msgspec import Struct

from flows.catalogue.service import Unit, queued
from flows.catalogue.services import units
from flows.cluster.handshake import secret_of
from flows.cluster.mesh import Mesh
from flows.config.load import Settings, find, load
from flows.positions.checkpoint import settle
from flows.positions.store import Positions
from flows.process import money, selection, supervisor
from flows.process.memory import unswept
from flows.process.native_stderr import without_panics
from flows.process.recovery_store import check, failure, hold, prepare
from flows.process.reload import Reload
from flows.process.runtime import Launch, drain_on_signals, launch, log_to_stderr
from flows.status.start import VARIABLE as STATUS
from flows.status.start import address, begin_group
from sinks.errors import DeliveryError
from transforms.errors import CollectorError


class RunRequest(Struct, frozen=True):
    """What `run` was asked for.

    processes: independent ones for the queues. cluster: processes of a bytewax cluster. workers: threads of a
    process. interval: seconds between two receipts. state: the recovery directory, None = the
    configuration's. only: see `selection.selected`.
    """

    processes: int = 1
    cluster: int = 1
    workers: int = 1
    interval: float = 3.0
    state: Path | None = None
    only: str = ""


def run(config: Path | None, wanted: RunRequest) -> int:
    """Collect until SIGTERM; 0 when all that was taken is delivered and acknowledged."""
    if supervisor.VARIABLE in os.environ:  # it does that
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        return _run(config, wanted, None)
    reload = Reload(find(config), lambda: validate(config, wanted))
    return reload.life(lambda: _run(config, wanted, reload))


def validate(config: Path | None, wanted: RunRequest) -> tuple[Settings, list[Unit]]:
    """Return a configuration that `run` can begin with, and what of it runs here. Raises SettingsError."""
    settings = load(config)
    running = selection.selected(units(settings), wanted.only or os.environ.get(selection.VARIABLE, ""))
    if found := os.environ.get(STATUS) or settings.globals.status:
        address(found, launch())
    return settings, running


def _run(config: Path | None, wanted: RunRequest, reload: Reload | None) -> int:
    settings, running = validate(config, wanted)
    only = wanted.only or os.environ.get(selection.VARIABLE, "")
    os.environ[selection.VARIABLE] = only
    supervisor.end_with_supervisor()
    if wanted.processes > 1:
        return replicas(settings, running, wanted, reload)
    recovery = recovery_directory(settings, wanted.state)
    os.environ["BYTEWAX_WORKERS_PER_PROCESS"] = str(wanted.workers)
    os.environ["BYTEWAX_SNAPSHOT_INTERVAL"] = str(wanted.interval)
    if recovery:
        os.environ["BYTEWAX_RECOVERY_DIRECTORY"] = str(recovery)
    if wanted.cluster > 1 and not _is_cluster_member():
        check(recovery, alone=True)  # its processes would find it out one after the other, again and again
        if recovery:
            settle(recovery)
        log_to_stderr(debug=settings.globals.debug)
        drain = drain_on_signals()
        if reload:
            reload.listen(drain)
        return supervisor.cluster(wanted.cluster, sys.argv[1:], drain)
    return collect(settings, wanted, recovery, reload)


def replicas(
    settings: Settings, running: Sequence[Unit], wanted: RunRequest, reload: Reload | None = None
) -> int:
    """Run the queues in independent processes and the APIs in one of their own, or in a cluster."""
    base = wanted.state or settings.state_directory
    if base:
        prepare(base / selection.QUEUES, first=False)
        hold(base / selection.QUEUES)  # the base itself is the state of the APIs, held by their process
    members = members_of(settings, running, wanted, base)
    log_to_stderr(debug=settings.globals.debug)
    drain = drain_on_signals()
    begin_group(settings, members, os.environ, drain)
    if reload:
        reload.listen(drain)
    return supervisor.independent(members, drain)


def members_of(
    settings: Settings, running: Sequence[Unit], wanted: RunRequest, base: Path | None
) -> list[supervisor.Member]:
    """Return the processes that share a configuration: `queues-0`, `queues-1` … and `apis`.

    The state that a single process has made in `base` goes on as that of the APIs: queues need none.
    """
    queues = sorted({unit.name for unit in running if queued(unit)})
    apis = sorted({unit.name for unit in running if not queued(unit)})
    common = ["run", "--workers", str(wanted.workers), "--interval", str(wanted.interval)]
    if settings.path:
        common += ["--config", str(settings.path)]

    def member(name: str, names: list[str], state: Path | None, *more: str) -> supervisor.Member:
        where = ["--state", str(state)] if state else []
        environment = {money.VARIABLE: str(base / money.FOLDER / name)} if base else {}
        return supervisor.Member(name, [*common, "--only", ",".join(names), *where, *more], environment)

    found = [
        member(f"{selection.QUEUES}-{number}", queues, base and base / selection.QUEUES / str(number))
        for number in range(wanted.processes)
        if queues
    ]
    return [*found, member(selection.APIS, apis, base, "--cluster", str(wanted.cluster))] if apis else found


def recovery_directory(settings: Settings, state: Path | None) -> Path | None:
    """Return the recovery directory, made when missing; None when the configuration keeps no state.

    In a cluster whose processes share no disk all state lies with process 0: then any number of processes
    can go on from it. The directories of the others stay empty.
    """
    directory = state or settings.state_directory
    if directory is None:
        return None
    prepare(directory, first=launch().process.index == 0)
    if not _is_cluster_member():  # a member works in what its supervisor holds
        hold(directory)
    return directory


def _is_cluster_member() -> bool:
    return supervisor.VARIABLE in os.environ and "BYTEWAX_PROCESS_ID" in os.environ


def collect(settings: Settings, wanted: RunRequest, recovery: Path | None, reload: Reload | None) -> int:
    """Run the dataflow in this process until it has drained."""
    with nullcontext() if os.environ.get("COLLECTOR_DEBUG") else without_panics():
        return _collect(settings, wanted, recovery, reload)


def _collect(settings: Settings, wanted: RunRequest, recovery: Path | None, reload: Reload | None) -> int:
    here = launch()
    mesh = mesh_of(here, os.environ)
    log_to_stderr(debug=settings.globals.debug)
    try:
        addresses = mesh.gather() if mesh else list(here.addresses)
        positions = kept_here(here, recovery)
        with unswept():
            from flows.aws import flow  # noqa: PLC0415 - the supervisor does not need it

            dataflow = flow(str(settings.path) if settings.path else None, mesh, reload, positions)
        cli_main(
            dataflow,
            workers_per_process=wanted.workers,
            process_id=here.process.index if here.addresses else None,
            addresses=addresses or None,
            epoch_interval=timedelta(seconds=wanted.interval),
            recovery_config=RecoveryConfig(recovery, timedelta(0)) if recovery and not positions else None,
        )
        if positions:
            positions.finish()
        if mesh:
            mesh.finish()
    except Exception as error:
        raise failure(error, recovery) or root_cause(error) from error
    return 0


def kept_here(here: Launch, recovery: Path | None) -> Positions | None:
    """Return what keeps the positions of a process that is no cluster's; None = bytewax does, or nobody."""
    if recovery is None or here.addresses:
        return None
    check(recovery, alone=True)
    return Positions(recovery)


def mesh_of(here: Launch, env: Mapping[str, str]) -> Mesh | None:
    """Return what stands between the processes of a cluster that has a secret. Raises SettingsError."""
    secret = secret_of(env) if here.process.count > 1 else b""
    return Mesh(here.addresses, here.process.index, secret) if secret else None


def root_cause(error: BaseException) -> BaseException:
    """Return our own error from inside bytewax's wrapping, or a delivery error with its text."""
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
