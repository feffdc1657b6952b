"""Checks of certificate files without a network: how long they last, and whether the chain vouches for ours.

Whether a receiver would take them as they are is OpenSSL's word (`ClientCertificate`), times are our clock's.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from flows.check.finding import CheckContext, Finding, fail, of_error, ok, warn
from sinks.errors import DeliveryError
from sinks.settings import DevoPlatform
from sinks.tls import ClientCertificate

if TYPE_CHECKING:
    from cryptography.x509 import Certificate, Name

_SOON = timedelta(days=30)
_NAMES = frozenset({"CN", "OU"})
_CODES = (
    ("belong together", "certificate_key"),
    ("swapped", "certificate_swapped"),
    ("is where", "certificate_swapped"),
)
"""Part of what an error says → its code; everything else is `certificate`."""


def certificates(context: CheckContext) -> Iterator[Finding]:
    """Look at the files of every output that has some."""
    for name, output in context.settings.outputs.items():
        if isinstance(output, DevoPlatform):
            yield from _files(context.now(), name, output)


def _files(now: datetime, name: str, output: DevoPlatform) -> Iterator[Finding]:
    config, place = output.config, f"outputs.{name}.config"
    try:
        ClientCertificate(config.chain, config.cert, config.key).context()
    except DeliveryError as error:
        code = next((code for part, code in _CODES if part in error.what), "certificate")
        yield of_error(code, error)
        return
    if config.key.stat().st_mode & 0o077:
        what = f"the private key is readable by others (mode {config.key.stat().st_mode & 0o777:o})"
        yield warn("key_readable", what, str(config.key), f"chmod 600 {config.key}")
    try:
        (own, *between), chain = certificates_in(config.cert), certificates_in(config.chain)
    except ValueError as error:
        yield fail(
            "certificate", f"a certificate cannot be read ({error})", place, "download all three again"
        )
        return
    dated = [(f"{place}.cert", own), *((f"{place}.chain", one) for one in chain)]
    late = [finding for where, one in dated for finding in _time(now, one, where)]
    yield from late
    if not _vouched(own, [*chain, *between], chain):
        yield warn(
            "certificate_chain",
            f"chain does not hold the authority of cert ({_name(own.issuer)})",
            f"{place}.chain",
            "download all three again for one domain and region, unless the receiver has another authority",
        )
    elif not late:
        yield ok(
            "certificate",
            f"fits its key and chain, until {own.not_valid_after_utc:%Y-%m-%d}",
            f"{place}.cert",
        )


def _time(now: datetime, certificate: "Certificate", where: str) -> Iterator[Finding]:
    end, begin = certificate.not_valid_after_utc, certificate.not_valid_before_utc
    name = _name(certificate.subject)
    if end <= now:
        yield fail(
            "certificate_expired", f"{name} has expired on {end:%Y-%m-%d}", where, "download a new one"
        )
    elif begin > now:
        hint = "check this machine's clock"
        yield fail("certificate_expired", f"{name} begins on {begin:%Y-%m-%d} only", where, hint)
    elif end - now <= _SOON:
        days = (end - now).days
        yield warn(
            "certificate_expiring",
            f"{name} expires in {days} day{'s'[: days != 1]}, on {end:%Y-%m-%d}",
            where,
            "download a new one in time; files that change are read again without a restart",
        )


def _name(name: "Name") -> str:
    told = [str(part.value) for part in name if part.rfc4514_attribute_name in _NAMES]
    return told[-1] if told else "the certificate"


def certificates_in(file: Path) -> "list[Certificate]":
    """Return the certificates of a PEM file, one at least. Raises OSError, ValueError."""
    from cryptography.x509 import load_pem_x509_certificates  # noqa: PLC0415 - slow to import

    return load_pem_x509_certificates(file.read_bytes())


def _vouched(one: "Certificate", known: "Sequence[Certificate]", trusted: "Sequence[Certificate]") -> bool:
    """Tell whether certificates lead from one to an authority that is trusted and has signed itself."""
    if one in trusted and _is_signed(one, one):
        return True
    signers = [other for other in known if _is_signed(one, other)]
    return any(_vouched(by, [other for other in known if other != by], trusted) for by in signers)


def _is_signed(one: "Certificate", by: "Certificate") -> bool:
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415

    try:
        one.verify_directly_issued_by(by)
    except (
        InvalidSignature,
        ValueError,
        TypeError,
    ):  # of another name, or a key that signs nothing
        return False
    return True
