"""The main job: every enabled service of the configuration, from AWS to Devo.

    python -m bytewax.run flows.aws
    python -m bytewax.run "flows.aws:flow('config.yaml')" -w 2 -r state -s 5 -b 0

Per service:  source → transform → good events | poison.  All good events meet at the Devo sink, all poison
in quarantine. Every step between is stateless, which the delivery contract needs (see `sources`).
"""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any

from bytewax.dataflow import Dataflow

from flows.catalogue.service import RunContext, Unit, prefetch_share
from flows.catalogue.services import units
from flows.cluster import watchdog
from flows.cluster.mesh import Mesh
from flows.config.load import Settings, SettingsError, load
from flows.journal import keeping
from flows.journal.book import JournalBook
from flows.positions.checkpoint import settle
from flows.positions.store import Positions
from flows.process import money, telemetry
from flows.process.epoch_alignment import EpochAlignment
from flows.process.hardening import cluster_port, ignore_key_log
from flows.process.memory import give_back, reuse_blocks
from flows.process.own_messages import STEP, own_messages
from flows.process.ownership import hold_cursors
from flows.process.recovery_store import check, hold
from flows.process.reload import Reload
from flows.process.runtime import Launch, drain_on_signals, launch, log_to_stderr, settings_warning
from flows.process.sealed_state import sealed
from flows.process.selection import VARIABLE, selected
from flows.process.supervisor import VARIABLE as SUPERVISED
from flows.proof import continuous
from flows.silence import drift
from flows.silence.watch import SilenceWatch
from flows.silence.watch import begin as watch_silence
from flows.status.start import begin
from flows.steps import collect, deliver
from sinks.devo import DevoSink
from sinks.outputs import WINDOW_BYTES
from sinks.quarantine import QuarantineSink
from sinks.settings import Remote
from sources.lanes import switch_seconds
from sources.objects.decoded_chunk import SpoolRoom
from transforms.block import Transform
from transforms.errors import CollectorError

_BEYOND_GRACE_SECONDS = 40.0
_BEGUN_SECONDS = 10.0


def flow(
    config: str | None = None,
    mesh: Mesh | None = None,
    reload: Reload | None = None,
    positions: Positions | None = None,
) -> Dataflow:
    """Build the dataflow of a configuration file; a function, so that importing this module does no work.

    mesh: stands between the processes of a cluster; None = bytewax connects by itself, or there is but one.
    reload: what SIGHUP does, None = it ends the process. positions: None = bytewax has them, or nobody.
    """
    with one_line():
        settings = load(Path(config) if config else None)
    reuse_blocks()
    log_to_stderr(debug=settings.globals.debug)
    started, done = launch(), Event()
    drain = drain_on_signals(alone_seconds(settings), done)
    level = settings.globals.collector_messages
    told = own_messages(settings.globals.name, level, drain) if level else None
    with one_line():
        warn(settings, started, mesh)
        check(started.recovery, alone=started.process.count == 1)
        running = selected(units(settings), os.environ.get(VARIABLE, ""))
        own(started, running, settings.outputs, positions)
    tell_of(running, drain)
    spending = money.begin(settings, running, started, drain)
    with one_line():
        liveness = begin(settings, started, running, drain, os.environ, spending.state)
    watchdog.begin(started.interval, liveness, mesh, drain, done)
    alone, services, given = started.process.count == 1, len(running), settings.globals.prefetch_bytes
    epochs = EpochAlignment(started.interval, alone=alone, receipted=lambda: liveness.receipted)
    sys.setswitchinterval(switch_seconds(services))
    book = keeping.begin(settings.journal, drain, s3_of(running)) if settings.journal else None
    silence = watch_silence(started, running, lambda: liveness.receipted, drain)
    heard = looked_at(silence, drift.begin(started, drain))
    kept, most = str(settings.globals.quarantine), settings.globals.quarantine_max_bytes
    quarantine = QuarantineSink(kept, started.process, s3_of(running), most)
    full, spool = quarantine.room.full, SpoolRoom(settings.globals.spool_max_bytes)
    watch = continuous.begin(keeping.opened(settings.journal, s3_of(running)), drain)
    lent = (drain, started.recovery, given or prefetch_share(services), services, book, full, spool)
    context = RunContext(*lent, early_receipts=True, watch=watch, budget=spending.gate)
    lasting = positions.source if positions else sealed
    outputs, dataflow = tuple(settings.outputs.values()), Dataflow("aws")
    devo = DevoSink(outputs, started, drain, given or WINDOW_BYTES)
    streams = [
        collect(
            dataflow,
            unit.step_id,
            lasting(liveness.source(epochs.source(unit.service.source(unit, context)))),
            liveness.transform(unit.step_id, heard(unit, counted(unit, book))),
            devo.limit,
        )
        for unit in running
    ]
    if told:
        source = liveness.source(epochs.source(told))
        streams.append(collect(dataflow, STEP, source, lambda block: [block], devo.limit))
    deliver(streams, devo, quarantine, liveness)
    if reload:
        reload.listen(drain, liveness.unhealthy_reason)
    return dataflow


def warn(settings: Settings, started: Launch, mesh: Mesh | None) -> None:
    """Log what is risky or without effect. Raises SettingsError for a port that others could reach."""
    risks = (*settings.warnings, ignore_key_log(), "" if mesh else cluster_port(started.addresses))
    for warning in filter(None, risks):
        settings_warning(warning)


def counted(unit: Unit, book: JournalBook | None) -> Transform:
    """Return a unit's transform; what it makes of events is counted for the journal, if one is kept."""
    made = unit.service.transform(unit)
    return book.counted(made, unit.account.name) if book else made


def looked_at(silence: SilenceWatch, schema: drift.SchemaWatch) -> Callable[[Unit, Transform], Transform]:
    """Return what lets both hear what comes through a unit's transform."""
    return lambda unit, transform: silence.listening(unit, schema.sampling(unit, transform))


def own(started: Launch, running: list[Unit], outputs: object, positions: Positions | None) -> None:
    """See that nobody else has this state or these cursors. Raises OwnedError, StateError.

    A supervisor has taken the state for its processes; of a cluster, the first one has both for all. What
    bytewax will open is made as it knows it.
    """
    if started.process.index == 0:
        if started.recovery and started.recovery.exists():
            if SUPERVISED not in os.environ:
                hold(started.recovery)
            if positions is None:
                settle(started.recovery)
        hold_cursors(running, repr(outputs))


def alone_seconds(settings: Settings) -> float:
    """Return how long a process of a cluster waits for the others: longer than a drain takes."""
    remote = [one.config for one in settings.outputs.values() if isinstance(one.config, Remote)]
    return _BEYOND_GRACE_SECONDS + max((config.drain_grace_seconds for config in remote), default=0.0)


def tell_of(running: list[Unit], drain: Event) -> None:
    """Log what is collected, and later the drain, from a thread: a signal handler must not.

    Once all have begun it gives back what that took.
    """
    for unit in running:
        telemetry.collecting(unit.service.name, unit.account.name, ",".join(unit.regions))

    def tell() -> None:
        if not drain.wait(_BEGUN_SECONDS):
            give_back()
        drain.wait()
        telemetry.draining()

    Thread(target=tell, name="drain", daemon=True).start()


@contextmanager
def one_line() -> Iterator[None]:
    """End `bytewax.run` with one line about what is wrong instead of a traceback, as the commands do."""
    try:
        yield
    except CollectorError as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(2 if isinstance(error, SettingsError) else 1) from None


def s3_of(running: list[Unit]) -> Callable[[], Any] | None:
    """Return what makes the S3 client of quarantine or journal in a bucket: the first input's identity's."""
    return (lambda: running[0].account.client("s3", "")) if running else None
