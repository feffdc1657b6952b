"""Checks of the outputs: connect, shake hands, close; nothing is sent."""

from collections.abc import Iterator

from flows.check.finding import CheckContext, Finding, of_error, ok, spread, warn
from sinks.connection import ReceiptStrength
from sinks.errors import CertificateRejected, ConnectFailed, DeliveryError
from sinks.outputs import probe
from sinks.settings import Console, File, OutputSettings

_CODES: tuple[tuple[type[DeliveryError], str], ...] = (
    (CertificateRejected, "output_certificate"),
    (ConnectFailed, "output_unreachable"),
    (DeliveryError, "output"),
)


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
