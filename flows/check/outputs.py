"""Checks of the outputs: connect, shake hands, close; nothing is sent unless `--probe` is given."""

from collections.abc import Iterator
from functools import partial

from flows.check.finding import CheckContext, Finding, of_error, ok, spread, warn
from sinks import probe as receiver_probe
from sinks.connection import ReceiptStrength
from sinks.errors import CertificateRejected, ConnectFailed, DeliveryError
from sinks.outputs import probe
from sinks.settings import Console, File, OutputSettings, Syslog

_CODES: tuple[tuple[type[DeliveryError], str], ...] = (
    (CertificateRejected, "output_certificate"),
    (ConnectFailed, "output_unreachable"),
    (DeliveryError, "output"),
)
_HOW_TO_READ = (
    "look for them at the receiver: receiver_max_event_bytes is the largest N that ends in `whole=N`; one "
    "that was cut ends in `byte=` and about the length that is taken"
)


def probes(context: CheckContext) -> Iterator[Finding]:
    """Send events to each syslog output when asked to: what arrives shows how long a line is taken."""
    syslog = [one for one in context.settings.outputs.values() if isinstance(one, Syslog)]
    run = f"{context.now():%Y%m%dT%H%M%SZ}"
    return spread(partial(_probe, run), syslog if context.probe else [])


def _probe(run: str, settings: Syslog) -> Iterator[Finding]:
    where = f"outputs.{settings.name}"
    try:
        receiver_probe.send(settings, run)
    except DeliveryError as error:
        yield of_error("probe", error)
        return
    told = f"sent {len(receiver_probe.SIZES)} events, `probe {run} of N bytes`, tag {receiver_probe.TAG}"
    yield ok("probe", told, where, _HOW_TO_READ)


def outputs(context: CheckContext) -> Iterator[Finding]:
    """Open each output that is over a network."""
    remote = [one for one in context.settings.outputs.values() if not isinstance(one, Console | File)]
    return spread(_output, remote)


def _output(settings: OutputSettings) -> Iterator[Finding]:
    where = f"outputs.{settings.name}"
    try:
        strength = probe(settings)
    except DeliveryError as error:
        code = next(code for kind, code in _CODES if isinstance(error, kind))
        yield of_error(code, error)
        return
    if strength in (ReceiptStrength.RECEIPT, ReceiptStrength.CLOSED):
        yield ok("output", f"connects, and answers the close ({strength.name.lower()})", where)
    else:
        yield warn(
            "output_strength",
            f"connects, but does not answer the close ({strength.name.lower()})",
            where,
            "deliveries rest on its kernel's word then: ask its owner for close_notify",
        )
