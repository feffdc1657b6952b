"""Checks of certificate files without a network: a handshake in memory, of this process with itself.

The certificate is shown to a server in this process that trusts either the certificate alone (what is in
it?) or the chain (does it belong there?). Times are left out there and compared here, by our own clock.
"""

import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from flows.check.finding import CheckContext, Finding, fail, of_error, ok, warn
from sinks.errors import DeliveryError
from sinks.settings import DevoPlatform
from sinks.tls import ClientCertificate

_SOON = timedelta(days=30)
_NO_CHECK_TIME = 0x200000
"""OpenSSL's X509_V_FLAG_NO_CHECK_TIME, which Python has no name for."""

_ROUNDS = 10
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
    own = shown(config.cert, config.key, config.cert)
    dated = [(f"{place}.cert", own), *((f"{place}.chain", one) for one in authorities(config.chain))]
    late = [finding for where, one in dated for finding in _time(now, one, where)]
    yield from late
    if not shown(config.cert, config.key, config.chain):
        issuer = _name(own.get("issuer", ()))
        yield warn(
            "certificate_chain",
            f"chain does not hold the authority of cert ({issuer})",
            f"{place}.chain",
            "download all three again for one domain and region, unless the receiver has another authority",
        )
    elif not late:
        yield ok("certificate", f"fits its key and chain, until {_end(own):%Y-%m-%d}", f"{place}.cert")


def _time(now: datetime, certificate: dict[str, Any], where: str) -> Iterator[Finding]:
    end, begin = _end(certificate), _moment(certificate["notBefore"])
    name = _name(certificate.get("subject", ()))
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


def _end(certificate: dict[str, Any]) -> datetime:
    return _moment(certificate["notAfter"])


def _moment(text: str) -> datetime:
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(text), UTC)


def _name(parts: tuple[tuple[tuple[str, str], ...], ...]) -> str:
    told = [value for part in parts for key, value in part if key in {"commonName", "organizationalUnitName"}]
    return told[-1] if told else "the certificate"


def authorities(chain: Path) -> list[dict[str, Any]]:
    """Return what is in the certificates of a chain file."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(chain)
    return [dict(one) for one in context.get_ca_certs()]


def shown(cert: Path, key: Path, trusted: Path) -> dict[str, Any]:
    """Return what is in a certificate as a server sees it that trusts one file; {} when it does not trust it.

    Raises ssl.SSLError when the files are no usable pair.
    """
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    server.verify_mode, server.maximum_version = ssl.CERT_REQUIRED, ssl.TLSVersion.TLSv1_2
    server.load_verify_locations(trusted)
    server.verify_flags |= ssl.VerifyFlags(_NO_CHECK_TIME)
    if trusted == cert:
        server.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    for side in (server, client):
        side.load_cert_chain(cert, key)
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    receiving, sending = server.wrap_bio(there, back, server_side=True), client.wrap_bio(back, there)
    try:
        for _ in range(_ROUNDS):
            if all([_step(sending), _step(receiving)]):
                break
    except ssl.SSLCertVerificationError:
        return {}
    return dict(receiving.getpeercert() or {})


def _step(side: ssl.SSLObject) -> bool:
    try:
        side.do_handshake()
    except ssl.SSLWantReadError:
        return False
    return True
