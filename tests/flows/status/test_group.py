"""Several processes shown as one."""

import threading
from contextlib import contextmanager, suppress
from socketserver import StreamRequestHandler, ThreadingTCPServer

import orjson
import pytest

from flows.status.group import Asked, GroupWatch, merged
from flows.status.server import Server
from flows.status.view import view
from tests.fakes.process import HOST, free_port
from tests.flows.status.acting import trouble, watch


def state(made):
    """Return a state as it comes over HTTP."""
    return orjson.loads(orjson.dumps(made.state()))


def test_figures_are_added_and_the_worst_is_shown():
    """Events of the same place add up; the longest lag, the latest error and the weakest receipt remain."""
    one, other = state(watch()), state(trouble(watch()))
    both = merged("mine", [(Asked("a", HOST, 1), one), (Asked("b", HOST, 2), other)], [], 60.0)
    for place, first, second in zip(both["places"], one["places"], other["places"], strict=True):
        assert place["source_events"] == first["source_events"] + second["source_events"]
        assert place["lag_seconds"] in {first["lag_seconds"], second["lag_seconds"]}
    assert both["health"]["unready"] == other["health"]["unready"]
    assert both["not_read"]["ignored"] == one["not_read"]["ignored"]
    assert both["not_read"]["dropped"] == one["not_read"]["dropped"]
    assert both["quarantine"]["items"] == one["quarantine"]["items"] + other["quarantine"]["items"]
    assert both["collector"]["process"] == {"index": 0, "count": 2}
    assert view(both)["sum"].level == "bad"


def test_r14_a_shared_quarantine_is_counted_once():
    """Files that two processes found in one folder at their start are the same files."""
    one, other = state(watch()), state(watch())
    for each in (one, other):
        each["quarantine"]["before"] = {"object_broken": 5}
    both = merged("mine", [(Asked("a", HOST, 1), one), (Asked("b", HOST, 2), other)], [], 60.0)
    assert (both["quarantine"]["items"], both["quarantine"]["before"]) == (9, {"object_broken": 5})


def test_one_that_does_not_answer_is_named(monkeypatch):
    """A process that is silent makes the whole not well; the others are shown all the same."""
    server = Server(HOST, 0, watch())
    server.start()
    asked = [
        Asked("queues-0", HOST, server.server_address[1]),
        Asked("queues-1", HOST, free_port()),
    ]
    group = GroupWatch("mine", lambda: asked)
    try:
        shown = group.state()
        assert shown["health"]["illness"] == "queues-1: it does not answer"
        assert shown["places"]
        assert not group.unhealthy_reason()  # it may have just begun
        monkeypatch.setattr("flows.status.group._BEGIN_SECONDS", 0)
        assert group.unhealthy_reason() == "queues-1: it does not answer"
        assert b'process="queues-0"' in group.metrics()
    finally:
        server.shutdown()
        server.server_close()


def test_nobody_answers():
    """Before the first process is up there is a page already, and it says who is missing."""
    group = GroupWatch("mine", lambda: [Asked("apis", HOST, free_port())])
    assert view(group.state())["sum"] == ("Not well: apis: it does not answer.", "bad")


@contextmanager
def answering(*parts, pause=0.0):
    """Run a peer that answers each request with these bytes, one after the other; yields where it is."""

    class Peer(StreamRequestHandler):
        def handle(self):
            self.rfile.readline()
            with suppress(OSError):
                for part in parts:
                    self.wfile.write(part)
                    ended.wait(pause)

    ended = threading.Event()
    with ThreadingTCPServer((HOST, 0), Peer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield Asked("other", *server.server_address)
        finally:
            ended.set()
            server.shutdown()


def with_places(**more):
    """Return a state whose first place is changed."""
    found = state(watch())
    found["places"][0] |= more
    return found


@pytest.mark.parametrize(
    "said",
    [
        b"no JSON",
        b"\xff",
        b"null",
        b"[]",
        b'{"collector": {}}',
        orjson.dumps({**state(watch()), "health": None}),
        orjson.dumps({**state(watch()), "tags": {"x": "many"}, "money": []}),
        orjson.dumps(with_places(source_events="many")),
        orjson.dumps(with_places(service=7)),
    ],
)
def test_what_is_no_state_of_ours_counts_as_silent(said):
    """Another program, or release, at a peer's port: it is named, and the others are shown."""
    server = Server(HOST, 0, watch())
    server.start()
    try:
        with answering(b"HTTP/1.0 200 OK\r\n\r\n", said) as other:
            group = GroupWatch("mine", lambda: [Asked("ours", HOST, server.server_address[1]), other])
            shown = group.state()
            assert "other: it does not answer" in shown["health"]["illness"]
            assert [one["name"] for one in shown["processes"]] == ["other", "ours"]
            assert view(shown)["sum"].level == "bad"
            assert isinstance(group.tap(""), list)
            assert b'process="ours"' in group.metrics()
    finally:
        server.shutdown()
        server.server_close()


def test_a_peer_that_drips_is_silent(monkeypatch):
    """A byte now and then is no answer: a reply has one time for all of it, its head included."""
    monkeypatch.setattr("flows.status.group._REPLY_SECONDS", 0.2)
    with answering(*[b"HTTP/1.0 200 OK\r\n\r\n"] * 2, *[b"x"] * 6000, pause=0.02) as other:
        assert other.get("/status.json") == (0, b"")
    with answering(*[bytes([one]) for one in b"HTTP/1.0 200 OK\r\n" * 500], pause=0.02) as other:
        assert other.get("/healthz") == (0, b"")
