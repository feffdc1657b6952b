"""The form of Devo's HTTP input, as pure functions: what is sent, and what an answer means.

POST /stream/<domain>/token!<token>/<host>/<tag>      body: events one per line, perhaps as gzip
2xx = received. One tag per request, a body of less than 32 MB.
"""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Self
from urllib.parse import quote, urlsplit

from msgspec import Struct, field
from pydantic import SecretStr

from sinks.connection import Buffer
from sinks.errors import Interrupted, OutputThrottled, Refused, ServerFailed
from sinks.frame import clean_host, clean_tag, squeezed
from sinks.settings import DevoHttpConfig

TOO_LARGE = 413
_TOO_MANY = 429
_OURS_TO_REPEAT = frozenset({408, 421, 425})
"""Client errors that say no more than: once more."""

_HINTS = {
    400: "look at `domain` and at the tag; what Devo does not take it refuses so",
    401: "the token is not valid: make one for this domain in Devo, and give it as `token`",
    403: "the token is not valid for this domain, or has no right to ingest: look at it in Devo",
    404: "nothing takes events there: check `endpoint` and `domain`",
    405: "nothing takes events there: check `endpoint`",
    407: "a proxy in between wants a password: let this machine through",
    TOO_LARGE: "the receiver does not take an event of this size: lower max_event_bytes",
}


class HttpEndpoint(Struct, frozen=True):
    """Where the requests of an output go. The token shows in nothing but the request itself."""

    address: str
    port: int
    tls: bool
    domain: str
    token: SecretStr
    host: str

    @classmethod
    def of(cls, config: DevoHttpConfig) -> Self:
        """Return the place that the settings name."""
        parts = urlsplit(config.endpoint)
        tls = parts.scheme == "https"
        port = parts.port or (443 if tls else 80)
        return cls(parts.hostname or "", port, tls, config.domain, config.token, clean_host(config.host))

    def head(self, tag: str, size: int, *, gzip: bool) -> bytes:
        """Return a request as far as its body of `size` bytes. Holds the token."""
        parts = (self.domain, "token!" + self.token.get_secret_value(), self.host, clean_tag(tag))
        path = "/".join(quote(part, safe="!") for part in parts)
        name = f"[{self.address}]" if ":" in self.address else self.address
        lines = (
            f"POST /stream/{path} HTTP/1.1",
            f"Host: {name}:{self.port}",
            "User-Agent: devo-aws-collector",
            "Content-Type: text/plain; charset=utf-8",
            *(["Content-Encoding: gzip"] if gzip else []),
            f"Content-Length: {size}",
        )
        return "".join(f"{line}\r\n" for line in (*lines, "")).encode("ascii")


class Parcel(Struct):
    """Events of one tag on their way: the body of one request."""

    tag: str
    payloads: list[bytes] = field(default_factory=list)
    size: int = 0
    events: int = 0

    def add(self, payload: bytes, events: int) -> None:
        """Put whole lines at the end."""
        self.payloads.append(payload)
        self.size += len(payload)
        self.events += events

    def body(self, level: int) -> tuple[Buffer, ...]:
        """Return the body: a gzip member of this level; level 0: the lines as they are."""
        return (squeezed(self.payloads, level),) if level else tuple(self.payloads)

    def cut(self, most: int) -> "list[Parcel]":
        """Return the same events in parcels of at most `most` bytes, as far as events allow."""
        if self.size <= most:
            return [self]
        return [_parcel(self.tag, piece) for piece in cut(b"".join(self.payloads), most)]


def _parcel(tag: str, payload: bytes) -> Parcel:
    return Parcel(tag, [payload], len(payload), payload.count(b"\n"))


def cut(payload: bytes, most: int) -> list[bytes]:
    """Return a payload in pieces of whole lines, of at most `most` bytes each where its lines allow that."""
    pieces, start = [], 0
    while len(payload) - start > most:
        end = payload.rfind(b"\n", start, start + most) + 1 or payload.find(b"\n", start) + 1
        pieces.append(payload[start:end])
        start = end
    return [*pieces, payload[start:]] if start < len(payload) else pieces


class HttpAnswer(Struct, frozen=True):
    """What an HTTP receiver answered. retry_after: its header of that name."""

    status: int
    retry_after: str | None = None


def accept(answer: HttpAnswer, where: str, now: datetime) -> None:
    """Return when an answer is the receipt. Raises OutputThrottled, ServerFailed, Refused. Pure."""
    status, wait = answer.status, waiting(answer.retry_after, now)
    if 200 <= status < 300:  # noqa: PLR2004 - as HTTP has it
        return
    if status == _TOO_MANY:
        raise _waiting(
            OutputThrottled("the receiver wants fewer requests (429)", where, _RETRIED_BY_ITSELF), wait
        )
    if status in _OURS_TO_REPEAT or not 200 <= status < 500:  # noqa: PLR2004 - as HTTP has it
        raise _waiting(ServerFailed(f"the receiver answers {status}", where, _RETRIED_BY_ITSELF), wait)
    if status < 400:  # noqa: PLR2004 - as HTTP has it
        hint = "it sends us elsewhere, where the token must not go: write the right `endpoint`"
        raise Refused(f"the receiver answers {status}", where, hint)
    hint = _HINTS.get(status, "check `endpoint`, `domain` and `token`")
    raise Refused(f"the receiver refuses our events ({status})", where, hint)


_RETRIED_BY_ITSELF = "it is tried again by itself; if that lasts, look at the receiver"


def waiting(header: str | None, now: datetime) -> float:
    """Return the seconds that a Retry-After header asks for, in either of its forms; 0 without sense."""
    text = (header or "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        until = parsedate_to_datetime(text)
    except (ValueError, OverflowError):  # of a year or zone beyond all numbers
        return 0.0
    until = until if until.tzinfo else until.replace(tzinfo=UTC)
    return max((until - now).total_seconds(), 0.0)


def _waiting(error: Interrupted, seconds: float) -> Interrupted:
    error.wait = seconds
    return error
