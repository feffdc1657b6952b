"""Which of the three files of a Devo domain stands where another belongs: told by what is in them."""

import re
import ssl
from pathlib import Path

from sinks.errors import CertificateRejected

_BEGIN = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----")
_LARGEST = 4 << 20
_KEY, _CERTIFICATE = "private key", "certificate"


def mixed_up(chain: Path | None, cert: Path | None, key: Path | None) -> CertificateRejected | None:
    """Return what is wrong with files that cannot be used together; None when their content does not tell."""
    if cert and key:
        if not has(cert, _CERTIFICATE) and has(cert, _KEY) and has(key, _CERTIFICATE):
            hint = f"exchange `cert` and `key`: {key} is the certificate"
            return CertificateRejected("certificate and key are swapped", str(cert), hint)
        if chain and not _fit(cert, key) and _fit(chain, key):
            hint = f"exchange `chain` and `cert`: {chain} is the certificate of {key}"
            return CertificateRejected("certificate and chain are swapped", str(cert), hint)
    for name, path, wanted in (
        ("chain", chain, _CERTIFICATE),
        ("cert", cert, _CERTIFICATE),
        ("key", key, _KEY),
    ):
        if path and not has(path, wanted) and (there := held(path)):
            what = f"a {there} is where `{name}` names a {wanted}"
            return CertificateRejected(what, str(path), f"name the file with the {wanted} in `{name}`")
    if cert and key and has(cert, _CERTIFICATE) and has(key, _KEY) and _mismatch(cert, key):
        what = "key and certificate do not belong together"
        return CertificateRejected(what, str(cert), "download both again, as one pair")
    return None


def has(path: Path, wanted: str) -> bool:
    """Tell whether there is something of a kind in a file."""
    return wanted in _kinds(path)


def held(path: Path) -> str:
    """Return what the first thing in a file is, for people; "" when it is no PEM file."""
    return next(iter(_kinds(path)), "")


def _kinds(path: Path) -> list[str]:
    try:
        with path.open("rb") as file:
            begun = _BEGIN.findall(file.read(_LARGEST))
    except OSError:
        return []
    return [_kind(label.decode()) for label in begun]


def _kind(label: str) -> str:
    if label.endswith("PRIVATE KEY"):
        return _KEY
    return _CERTIFICATE if label in {"CERTIFICATE", "X509 CERTIFICATE"} else label.lower()


def _fit(cert: Path, key: Path) -> bool:
    return _loading(cert, key) is None


def _mismatch(cert: Path, key: Path) -> bool:
    error = _loading(cert, key)
    return error is not None and "KEY_VALUES_MISMATCH" in str(error.reason)


def _loading(cert: Path, key: Path) -> ssl.SSLError | None:
    """Return what OpenSSL says of a pair; None when it fits. A passphrase is never asked for."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(cert, key, password=lambda: "")
    except ssl.SSLError as error:
        return error
    except OSError as error:
        return ssl.SSLError(0, str(error))
    return None
