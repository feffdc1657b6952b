"""How many days the outputs' certificates have left: a metric, a line of the status page, a warning a day."""

import re
import ssl
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime

from sinks import telemetry
from sinks.settings import DevoHttp, DevoPlatform, OutputSettings

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
            yield "cert", ends_in(output.config.cert.read_text())[0]
        if isinstance(output, DevoPlatform | DevoHttp) and output.config.chain:
            yield "chain", min(ends_in(output.config.chain.read_text()))


_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_VERSION, _LONG = 0xA0, 0x80
_TIMES = {0x17: "%y%m%d%H%M%SZ", 0x18: "%Y%m%d%H%M%SZ"}
"""Tags of DER's two forms of a time."""


def ends_in(text: str) -> list[float]:
    """Return when each certificate in PEM ends, epoch seconds. Raises ValueError; never returns none.

    Read from its DER by the places that RFC 5280 gives: the library for it takes ten mebibytes for this one
    date.
    """
    found = [_end(ssl.PEM_cert_to_DER_cert(pem)) for pem in _PEM.findall(text)]
    if not found:
        raise ValueError("there is no certificate")
    return found


def _end(der: bytes) -> float:
    """Return the end of a certificate's validity: behind its version, serial, algorithm and issuer."""
    at = _opened(der, _opened(der, 0)[1])[1]
    for _ in range(4 if _opened(der, at)[0] == _VERSION else 3):
        at = _opened(der, at)[2]
    start = _opened(der, _opened(der, at)[1])[2]
    tag, begin, end = _opened(der, start)
    if tag not in _TIMES:
        raise ValueError("a certificate without an end")
    return datetime.strptime(der[begin:end].decode(), _TIMES[tag]).replace(tzinfo=UTC).timestamp()


def _opened(der: bytes, at: int) -> tuple[int, int, int]:
    """Return the tag of a DER element, and where its content begins and ends. Raises ValueError."""
    try:
        tag, size, begin = der[at], der[at + 1], at + 2
    except IndexError as error:
        raise ValueError("a certificate is cut short") from error
    if size & _LONG:
        begin += size - _LONG
        size = int.from_bytes(der[at + 2 : begin], "big")
    if begin + size > len(der):
        raise ValueError("a certificate is cut short")
    return tag, begin, begin + size


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
