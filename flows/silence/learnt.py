"""What is learnt by a look each minute, and kept beside the state."""

import threading
from collections.abc import Callable
from pathlib import Path

import msgspec

from flows.process import telemetry
from flows.silence.rhythm import MINUTE


def look_each_minute(look: Callable[[], object], save: Callable[[], None], drain: threading.Event) -> None:
    """Look until the process drains, then save. One look that fails is told, and ends no other."""
    while not drain.wait(MINUTE):
        try:
            look()
        except Exception as error:  # noqa: BLE001 - told
            telemetry.silence_look_failed(error)
    save()


def keep(file: Path, learnt: object) -> None:
    """Write what is learnt, whole or not at all; a disk that does not take it is told."""
    aside = file.with_suffix(".new")
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        aside.write_bytes(msgspec.msgpack.encode(learnt))
        aside.replace(file)
    except OSError as error:
        telemetry.silence_not_kept(str(file), error)
