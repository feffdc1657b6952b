"""What the extensions of the fake share: its clock, state, plan, tokens, and the way into moto's dispatch.

An extension is a pure-looking function from a request to a reply, both in the shapes of botocore's models:

    def list_things(request: Request) -> dict[str, Any]: …      # may `raise refuse(code, message)`

`install(responses_class, service, list_things)` registers it; moto parses requests and serialises replies
and errors by botocore's own models, so a reply that a real client could not parse cannot be made.
"""

import base64
import hashlib
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from moto.core.exceptions import ServiceException
from moto.core.responses import ActionResult
from msgspec import Struct, field

ACCOUNT = "123456789012"
REGION = "us-east-1"
LOCK = threading.RLock()
"""Held by every extension and every control function: moto's own backends know no locks."""

T = TypeVar("T")


class FakeClock:
    """The fake's time, epoch seconds; it may run ahead of, or stand still against, the machine's."""

    def __init__(self) -> None:
        self._offset = 0.0
        self._frozen: float | None = None

    def now(self) -> float:
        """Return the time that every extension lives in."""
        return time.time() + self._offset if self._frozen is None else self._frozen

    def advance(self, seconds: float) -> None:
        """Jump ahead."""
        if self._frozen is None:
            self._offset += seconds
        else:
            self._frozen += seconds

    def freeze(self, at: float) -> None:
        """Stand still at a time, until `advance` or `release`."""
        self._frozen = at

    def release(self) -> None:
        """Run with the machine's clock again."""
        self._offset, self._frozen = 0.0, None


class Plan(Struct):
    """What the fake does on purpose, as AWS sometimes does.

    empty_pages: operation → how many pages come empty, but with a token. page_size: operation → largest
    page, below what was asked for. shuffled: operations whose pages are out of order.
    statuses: metric name → status codes of its next results in GetMetricData, then Complete again.
    """

    empty_pages: Counter[str] = field(default_factory=Counter)
    page_size: dict[str, int] = field(default_factory=dict)
    shuffled: set[str] = field(default_factory=set)
    statuses: dict[str, list[str]] = field(default_factory=dict)

    def page(self, operation: str, asked: int) -> int | None:
        """Return how many items the next page may hold; None when it shall be empty."""
        if self.empty_pages[operation] > 0:
            self.empty_pages[operation] -= 1
            return None
        return min(asked, self.page_size.get(operation, asked))


CLOCK = FakeClock()
PLAN = Plan()
_STATE: dict[tuple[str, str, str], Any] = {}


def state(kind: str, account: str, region: str, factory: Callable[[], T]) -> T:
    """Return what the fake keeps of a kind in one account and region, made on first use."""
    found: T = _STATE.setdefault((kind, account, region), factory())
    return found


def attached(owner: Any, factory: Callable[[], T]) -> T:
    """Return what the fake keeps with one of moto's own objects (a log group): it ends with the object."""
    found: T = owner.__dict__.setdefault("fake_aws", factory())
    return found


def reset() -> None:
    """Forget state, plan and clock (moto's own state is reset by moto)."""
    with LOCK:
        _STATE.clear()
        CLOCK.release()
        PLAN.empty_pages.clear()
        PLAN.page_size.clear()
        PLAN.shuffled.clear()
        PLAN.statuses.clear()


class Request(Struct, frozen=True):
    """A parsed call: who, where, and its parameters in botocore's names (URI parameters included)."""

    account: str
    region: str
    params: dict[str, Any]

    def get(self, name: str, default: Any = None) -> Any:
        """Return a parameter; a null one counts as absent."""
        value = self.params.get(name)
        return default if value is None else value


class Refusal(Exception):
    """An error of the service's model, raised by an extension."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message)
        self.code, self.message = code, message


def refuse(code: str, message: str) -> Refusal:
    """Return the error that an extension shall raise."""
    return Refusal(code, message)


Extension = Callable[[Request], Mapping[str, Any]]


def install(responses: type, service: str, *extensions: Extension) -> None:
    """Register extensions in moto's dispatch, each under its own name, e.g. `lookup_events`."""
    for extension in extensions:
        setattr(responses, extension.__name__, _action(service, extension))


def _action(service: str, extension: Extension) -> Callable[[Any], ActionResult]:
    error = error_class(service)

    def action(response: Any) -> ActionResult:
        try:
            with LOCK:
                return ActionResult(dict(extension(_request(response))))
        except Refusal as refusal:
            raise error(refusal.code, refusal.message) from None

    return action


def error_class(service: str) -> type[ServiceException]:
    """Return an exception class that moto finds in the service's model: it looks at the module's name."""
    module = f"moto.{service}.exceptions"
    return type("ExtensionError", (ServiceException,), {"__module__": module})


def replace_method(owner: type, name: str, function: Callable[..., Any]) -> None:
    """Put a function in the place of a method of moto."""
    setattr(owner, name, function)


def _request(response: Any) -> Request:
    response.parse_parameters(response.normalized_request)
    params = {**response.params, **(response.uri_match or {})}
    return Request(response.current_account, response.region, params)


def signature(request: Request, *names: str) -> str:
    """Return what a token is bound to: AWS refuses a token together with other parameters."""
    values = json.dumps([str(request.params.get(name)) for name in names])
    return hashlib.sha1(values.encode(), usedforsecurity=False).hexdigest()[:12]


def make_token(position: Any, bound: str) -> str:
    """Return an opaque token for a position (JSON types) within the results of one query."""
    return base64.urlsafe_b64encode(json.dumps([position, bound, time.monotonic_ns()]).encode()).decode()


def read_token(token: str, bound: str, code: str) -> Any:
    """Return a token's position; refuses one that is torn or was given for other parameters."""
    try:
        position, its, _ = json.loads(base64.urlsafe_b64decode(token.encode()))
    except ValueError:
        raise refuse(code, "The specified token is invalid.") from None
    if its != bound:
        raise refuse(code, "The token was issued for other parameters.")
    return position


def epoch_seconds(moment: Any) -> float:
    """Return epoch seconds of a parsed timestamp, which moto gives as datetime, number or ISO text."""
    if isinstance(moment, int | float):
        return float(moment)
    found = moment if isinstance(moment, datetime) else datetime.fromisoformat(moment)
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def page_of(
    operation: str, items: Sequence[T], size: int, token: str | None, bound: str, code: str
) -> tuple[Sequence[T], str | None]:
    """Return one page by offset, and the token of the next one (None at the end)."""
    start = read_token(token, bound, code) if token else 0
    size_now = PLAN.page(operation, size)
    end = start if size_now is None else start + size_now
    more = end < len(items) or size_now is None
    return items[start:end], make_token(end, bound) if more else None
