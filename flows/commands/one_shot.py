"""A dataflow that a command runs to its end: delivered, quarantined and receipted as by `flows run`."""

import hashlib
from datetime import timedelta
from pathlib import Path
from threading import Event

from bytewax.dataflow import Dataflow
from bytewax.recovery import RecoveryConfig
from bytewax.run import cli_main

from flows.aws import s3_of
from flows.catalogue.service import Source, Unit
from flows.commands.run import root_cause
from flows.config.load import Settings, SettingsError
from flows.process.recovery_store import failure, hold, prepare
from flows.process.runtime import launch
from flows.steps import collect, deliver
from sinks.devo import DevoSink
from sinks.quarantine import QuarantineSink
from transforms.block import Transform


def state_of(settings: Settings, kind: str, named: str) -> Path:
    """Return the state folder of one such run, made and held. named: what it collects.

    Raises SettingsError, StateError.
    """
    if settings.state_directory is None:
        hint = "name a folder in globals.persistence"
        raise SettingsError("a backfill needs a state directory", "globals.persistence", hint)
    folder = (
        settings.state_directory / "backfill" / f"{kind}{hashlib.sha256(named.encode()).hexdigest()[:16]}"
    )
    prepare(folder, first=True)
    hold(folder)
    return folder


def bucket_and_prefix(location: str) -> tuple[str, str]:
    """Return what `--location` names. Raises SettingsError."""
    bucket, _, prefix = location.removeprefix("s3://").partition("/")
    if not location.startswith("s3://") or not bucket:
        hint = "write s3://BUCKET or s3://BUCKET/PREFIX/"
        raise SettingsError(f"no location: {location}", "--location", hint)
    return bucket, prefix


def deliver_all(
    settings: Settings, flow: tuple[Unit, Source, Transform], drain: Event, state: Path, seconds: float
) -> None:
    """Deliver what a source has. state: the recovery directory. seconds: between two receipts."""
    started, dataflow, (unit, source, transform) = launch(), Dataflow("once"), flow
    devo = DevoSink(tuple(settings.outputs.values()), started, drain)
    quarantine = QuarantineSink(str(settings.globals.quarantine), started.process, s3_of([unit]))
    deliver([collect(dataflow, unit.step_id, source, transform, devo.limit)], devo, quarantine)
    try:
        recovery = RecoveryConfig(state, timedelta(0))
        cli_main(dataflow, epoch_interval=timedelta(seconds=seconds), recovery_config=recovery)
    except Exception as error:
        raise failure(error, state) or root_cause(error) from error
