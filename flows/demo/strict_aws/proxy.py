"""The strict AWS on the wire: a loopback proxy that lets through what AWS would, and answers the rest itself.

Requests pass unchanged, Host included, so the embedded AWS behind it still checks their signatures.
"""

from contextlib import AbstractContextManager, closing
from http.client import HTTPConnection
from urllib.parse import urlsplit

from flows.demo.strict_aws import rules
from flows.demo.strict_aws.state import StrictState
from flows.demo.wire import Reply, WireRequest, serving

_SECONDS = 60.0


def strict_proxy(upstream: str, state: StrictState) -> AbstractContextManager[str]:
    """Serve until the block ends; yields the URL to ask instead of `upstream`."""
    host = urlsplit(upstream).netloc

    def answer(came: WireRequest) -> Reply:
        request = rules.asked(came)
        reply = rules.before(state, request) if request else None
        if reply is not None:
            return reply
        reply = _forwarded(host, came)
        told = {name.lower(): value for name, value in reply.headers}
        return (rules.after(state, request, reply.status, told) if request else None) or reply

    return serving(answer)


def _forwarded(host: str, came: WireRequest) -> Reply:
    with closing(HTTPConnection(host, timeout=_SECONDS)) as connection:
        connection.putrequest(came.method, came.target, skip_host=True, skip_accept_encoding=True)
        for name, value in came.headers:
            connection.putheader(name, value)
        connection.endheaders(came.body)
        found = connection.getresponse()
        return Reply(found.status, tuple(found.getheaders()), found.read())
