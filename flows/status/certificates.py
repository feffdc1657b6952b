"""How many days the outputs' certificates have left: a metric, a line of the status page, a warning a day."""

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

from flows.check.certificates import certificates_in
from sinks import telemetry
from sinks.settings import DevoHttp, DevoPlatform, OutputSettings

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

LOOK_SECONDS = 300.0
WARN_DAYS = 30
_DAY = 86_400.0


def days_left(outputs: Iterable[OutputSettings], now: float) -> Iterator[tuple[str, str, float]]:
    """Yield output, `cert` or `chain`, and days until that ends; of a chain until its first one does.

    now: epoch seconds. A file that cannot be read is left out: the output itself tells of it.
    """
    for output in outputs:
        for name, ends in _ends(output):
            yield output.name, name, (ends - now) / _DAY


def _ends(output: OutputSettings) -> Iterator[tuple[str, float]]:
    with suppress(OSError, ValueError):
        if isinstance(output, DevoPlatform):
            yield "cert", _end(certificates_in(output.config.cert)[:1])
        if isinstance(output, DevoPlatform | DevoHttp) and output.config.chain:
            yield "chain", _end(certificates_in(output.config.chain))


def _end(certificates: "Iterable[Certificate]") -> float:
    return min(one.not_valid_after_utc.timestamp() for one in certificates)


def watch(outputs: Iterable[OutputSettings], drain: threading.Event) -> None:
    """Show the days that are left until told to end; files that change are seen at the next look."""
    told: dict[tuple[str, str], int] = {}
    known = list(outputs)
    while True:
        for output, name, days in days_left(known, time.time()):
            telemetry.certificate_days(output, name, days)
            if days < WARN_DAYS and told.get((output, name)) != int(days):
                told[output, name] = int(days)
                telemetry.certificate_ends(output, name, days)
        if drain.wait(LOOK_SECONDS):
            return
