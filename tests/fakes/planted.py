"""Secrets that are planted, and the look for them in everything that comes out, however it is spelt there."""

import base64
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import quote, quote_plus

from flows.config.errors import is_secret

_SHORTEST = 8


def spellings(secret: str) -> set[bytes]:
    """Return how a secret may stand in a text: plain, escaped, URL-encoded, hexadecimal, in base64."""
    raw = secret.encode()
    texts = {secret, repr(secret)[1:-1], json.dumps(secret)[1:-1], raw.hex()}
    texts |= {quote(secret, safe=""), quote(secret), quote_plus(secret)}
    return {text.encode() for text in texts} | {_core(raw, shift) for shift in range(3)}


def _core(raw: bytes, shift: int) -> bytes:
    """Return base64 of a text that stands so many bytes behind a border of three, less its blurred ends."""
    packed = base64.b64encode(bytes(shift) + raw)
    return packed[-(-shift * 8 // 6) : len(packed) - 4]


def leaks(text: bytes, secrets: Mapping[str, str]) -> list[str]:
    """Return the names of the secrets that a text gives away."""
    return [name for name, secret in secrets.items() if any(spelt in text for spelt in spellings(secret))]


def leaking_files(folder: Path, secrets: Mapping[str, str], but: Iterable[Path] = ()) -> dict[str, list[str]]:
    """Return file → names of secrets in it, for all files below a folder but those meant to hold them."""
    files = [path for path in folder.rglob("*") if path.is_file() and path not in set(but)]
    found = {str(path): leaks(path.read_bytes(), secrets) for path in files}
    return {path: names for path, names in found.items() if names}


def in_configuration(value: object, path: str = "") -> dict[str, str]:
    """Return the secrets of a configuration by path: texts of some length under keys that name one."""
    found: dict[str, str] = {}
    if isinstance(value, Mapping):
        for key, inner in value.items():
            found |= in_configuration(inner, f"{path}.{key}")
    elif isinstance(value, str) and is_secret(path.rpartition(".")[2]) and not path.endswith("access_key"):
        return {path: value} if len(value) >= _SHORTEST and not value.startswith("${") else {}
    return found
