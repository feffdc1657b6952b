"""What polls of AWS APIs have in common: asking at a pace, page by page; ids; events as blocks."""

import json
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from hashlib import blake2b
from typing import Any, Generic, TypeVar

import orjson
from botocore.exceptions import BotoCoreError, ClientError
from msgspec import Struct

from sources import telemetry
from sources.apis.window import now_ms, to_datetime
from sources.aws.account import Account, required
from sources.aws.limiter import Limiters, Paced, throttled
from sources.aws.replies import PageTokens
from sources.aws.telemetry import clock_ahead
from sources.errors import Throttled, translate
from sources.refusals import clock_skew
from transforms.block import TARGET_BYTES, Block, Origin

_AHEAD_SECONDS, _WRONG_SECONDS = 10.0, 60.0
"""A clock that is ahead by less than the first may be a reply that took a while; services wait longer for
their events. From the second on it is told."""

_DIGEST_BYTES = 12
"""Two of a billion ids are the same with a probability of 10⁻¹¹: an event id of AWS is five times as long."""


Client = TypeVar("Client")


class Operation(Struct, Generic[Client], frozen=True):
    """An operation, as AWS and IAM name it. mandatory: a key that each of its replies has.

    of: its method of a client.
    """

    name: str
    mandatory: str
    of: Callable[[Client], Callable[..., Mapping[str, Any]]]


class Api(Generic[Client]):
    """One AWS API of an account, asked at its pace. Thread-safe.

    service: as boto3 and IAM name it, e.g. `logs`. clock: this machine's, in epoch ms. each_request: boto3's
    retries wait for their turn too.
    """

    def __init__(  # noqa: PLR0913 - a value each
        self,
        account: Account,
        service: str,
        limiters: Limiters,
        drain: threading.Event,
        clock: Callable[[], int] = now_ms,
        *,
        each_request: bool = False,
    ) -> None:
        self.account, self._each_request = account, each_request
        self._number, self._clock = "", clock
        self.told, self._ahead = False, 0
        self._service, self._limiters, self._drain = service, limiters, drain

    def ask(self, region: str, call: Operation[Client], place: str, **asked: Any) -> Mapping[str, Any]:
        """Make a call and return its reply, which surely has the mandatory key.

        place: for messages, what is asked about. Raises SourceError, also when the process drains instead.
        """
        where = f"{call.name} of {place}, {self.account.where}"
        self._number = self._number or self.account.account_id or self.account.name  # whose rates they are
        limiter = self._limiters.of(self._number, region, call.name)
        paced, client = Paced(limiter, self._drain, where), self.account.client(self._service, region)
        if self._each_request:
            event = f"before-send.{self._service}.{call.name}"
            client.meta.events.register(event, Paced.hook, unique_id="collector-pace")
        else:
            paced.before()
        try:
            reply = paced.call(call.of(client), **asked)
        except (ClientError, BotoCoreError) as error:
            translated = translate(error, where, f"{self._service}:{call.name}")
            if isinstance(translated, Throttled):
                throttled(limiter)
            raise translated from error
        required(reply, call.mandatory, where)
        skew = clock_skew(reply, to_datetime(self._clock())) or 0
        self.told, self._ahead = True, int(skew * 1000) if skew >= _AHEAD_SECONDS else 0
        if skew >= _WRONG_SECONDS:
            clock_ahead(skew)
        return reply

    def by_aws(self, ms: int) -> int:
        """Return a moment of this machine's clock by that of AWS, where that is behind, as far as `told`.

        Of a clock that is ahead, what has not happened yet would count as read. One that is behind is late.
        """
        return ms - self._ahead

    def pages(
        self, region: str, call: Operation[Client], place: str, token: str, **asked: Any
    ) -> Iterator[Mapping[str, Any]]:
        """Yield the reply of every page; an empty one that carries a token is not the end.

        token: the key of the token in replies and requests.
        """
        value, tokens = "", PageTokens(f"{call.name} of {place}, {self.account.where}")
        while True:
            reply = self.ask(region, call, place, **asked, **({token: value} if value else {}))
            value = tokens.following(reply.get(token) or "")
            yield reply
            if not value:
                return


class Forgotten:
    """Tells once of each target that its service has forgotten what is wanted, and where reading goes on."""

    def __init__(self, service: str) -> None:
        self._service, self._told = service, set[str]()

    def clamped(self, key: str, asked: int, oldest: int, reason: str) -> int:
        """Return where to go on (epoch ms), `oldest` at the earliest."""
        if asked >= oldest:
            self._told.discard(key)
        elif key not in self._told:
            self._told.add(key)
            times = to_datetime(asked).isoformat(), to_datetime(oldest).isoformat()
            telemetry.start_clamped(self._service, key, *times, reason)
        return max(asked, oldest)


def fingerprint(*parts: object) -> str:
    """Return a short id for a tuple of plain values, the same in every process."""
    return blake2b(
        "\0".join(map(str, parts)).encode(errors="surrogatepass"), digest_size=_DIGEST_BYTES
    ).hexdigest()


def line(event: dict[str, Any]) -> bytes:
    """Return an event as one line of compact JSON, keys in their order."""
    try:
        return orjson.dumps(event, option=orjson.OPT_APPEND_NEWLINE)
    except TypeError:  # half a surrogate pair, which JSON can say (\ud83d) and UTF-8 cannot
        return json.dumps(event, separators=(",", ":")).encode() + b"\n"


def blocks(lines: Iterable[bytes], origin: Origin) -> Iterator[Block]:
    """Yield lines as blocks of about `TARGET_BYTES`."""
    waiting: list[bytes] = []
    size = 0
    for one in lines:
        if waiting and size + len(one) > TARGET_BYTES:
            yield Block(b"".join(waiting), len(waiting), origin)
            waiting, size = [], 0
        waiting.append(one)
        size += len(one)
    if waiting:
        yield Block(b"".join(waiting), len(waiting), origin)
