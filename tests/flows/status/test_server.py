"""The status port, asked over HTTP."""

import http.client
import json
import socket
from contextlib import suppress

import pytest
from prometheus_client.parser import text_string_to_metric_families

from flows.status import server as module
from flows.status.admission import HOSTS_VARIABLE, TAP_VARIABLE, hosts_of, may_tap
from flows.status.group import PEERS_VARIABLE
from flows.status.server import Server
from flows.status.start import everybody
from tests.fakes.process import HOST, free_port, wait_until
from tests.flows.status.acting import trouble, watch
from transforms.block import Block, Origin
from transforms.telemetry import add


@pytest.fixture
def server():
    """Return a function that serves a watch and returns the server; it ends with the test."""
    made = []

    def serve(shown):
        made.append(Server(HOST, 0, shown))
        made[-1].start()
        return made[-1]

    yield serve
    for one in made:
        one.shutdown()
        one.server_close()


def ask(server, path, method="GET", headers=None):
    """Return status, headers and body."""
    connection = http.client.HTTPConnection(HOST, server.server_address[1], timeout=30)
    try:
        connection.request(method, path, headers=headers or {})
        reply = connection.getresponse()
        return reply.status, reply.headers, reply.read()
    finally:
        connection.close()


ANSWERS = [
    ("/status", 200, "text/html; charset=utf-8"),
    ("/status?x=1", 200, "text/html; charset=utf-8"),
    ("/status.json", 200, "application/json"),
    ("/healthz", 200, "text/plain; charset=utf-8"),
    ("/readyz", 503, "text/plain; charset=utf-8"),
    ("/metrics", 200, "text/plain"),
    ("/", 302, "text/plain; charset=utf-8"),
    ("/config.yaml", 404, "text/plain; charset=utf-8"),
    ("/../../etc/passwd", 404, "text/plain; charset=utf-8"),
]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(("path", "status", "kind"), ANSWERS, ids=str)
def test_paths(server, path, status, kind, method):
    """Each path has its status and type, is never cached, and HEAD has the same headers and no body."""
    told, headers, body = ask(server(trouble(watch())), path, method)
    assert (told, headers["Content-Type"][: len(kind)]) == (status, kind)
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert bool(body) == (method == "GET")
    assert int(headers["Content-Length"]) > 0


def test_the_page_has_its_policy(server):
    """The page comes with a Content-Security-Policy that begins with nothing at all."""
    _, headers, _ = ask(server(watch()), "/status")
    assert headers["Content-Security-Policy"].startswith("default-src 'none';")


def test_outage_and_hang_are_different(server):
    """While Devo is down it is well and not ready; a hang is not well, and both say why."""
    shown = trouble(watch())
    listening = server(shown)
    assert ask(listening, "/healthz")[0] == 200
    assert ask(listening, "/readyz")[2] == b"not ready: output devo\n"
    shown.liveness.begun, shown.liveness._seen, shown.liveness._rest_until = True, -1e6, -1e6
    status, _, body = ask(listening, "/healthz")
    assert (status, body.startswith(b"not well: the dataflow has not turned for")) == (503, True)


def test_json_holds_what_the_page_shows(server):
    """The JSON has the state, and the words that the page's script puts into its cells."""
    told = json.loads(ask(server(watch()), "/status.json")[2])
    assert told["outputs"][0]["window"] == {"bytes": 1 << 20, "limit_bytes": 64 << 20, "fill": 0.0156}
    assert told["view"]["o0.state"] == ["up", ""]


def test_metrics_are_prometheus_text(server):
    """Prometheus' own parser reads what is served, and finds the collector's counters in it."""
    add("test_served", "For this test", 3, output="o")
    text = ask(server(watch()), "/metrics")[2].decode()
    families = {family.name for family in text_string_to_metric_families(text)}
    assert "collector_test_served" in families


def test_nothing_can_be_changed(server):
    """Only GET and HEAD are answered."""
    listening = server(watch())
    assert {ask(listening, "/status", method)[0] for method in ("POST", "PUT", "DELETE")} == {501}


def test_a_defect_is_told_and_stays_here(server, caplog):
    """What goes wrong in the page is one line in the log and a 500; the next answer comes all the same."""
    shown = watch()
    listening = server(shown)
    shown.read = lambda: 1 / 0
    assert ask(listening, "/status")[0] == 500
    assert "status_defect" in caplog.text
    assert ask(listening, "/healthz")[0] == 200


def connections(server, count):
    """Open connections on which nothing is asked."""
    return [socket.create_connection((HOST, server.server_address[1]), 60) for _ in range(count)]


def test_too_many_at_once_are_sent_away(server):
    """When all places are taken by who has asked, a connection is closed at once."""
    listening = server(watch())
    asking = [object() for _ in range(16)]
    for one in asking:
        assert listening.places.enter(one)
        assert listening.places.asked(one)
    with pytest.raises((http.client.HTTPException, OSError)):
        ask(listening, "/healthz")
    listening.places.leave(asking[0], has_asked=True)
    for _ in range(3):
        assert ask(listening, "/healthz")[0] == 200
        wait_until(lambda: listening.places._taken == 15, 60, "the place is given back")


def test_a11_silent_clients_do_not_keep_a_probe_out(server):
    """However many connections say nothing, or one byte at a time, probes are answered."""
    listening = server(watch())
    idle = connections(listening, 40)
    for number, one in enumerate(idle):
        with suppress(OSError):  # those whose place was taken are closed
            one.sendall(b"GET /healthz HTTP/1.1\r\n"[: number % 20])
    assert [ask(listening, path)[0] for path in ("/healthz", "/readyz", "/status")] == [200, 200, 200]
    wait_until(lambda: listening.places._taken <= 16, 60, "a bound")
    for one in idle:
        one.close()
    wait_until(lambda: listening.places._taken == 0, 60, "all places are given back")


def test_a11_a_request_has_one_deadline(server, monkeypatch):
    """A byte now and then does not prolong the time for a request."""
    monkeypatch.setattr(module._Handler, "seconds", 1.0)
    (slow,) = connections(server(watch()), 1)

    def ended():
        try:
            slow.sendall(b"x")
        except OSError:
            return True
        return False

    with slow:
        wait_until(ended, 60, "it is sent away", 0.05)


def test_a11_places_are_kept_for_probes(server):
    """As many pages as may be are being made: a further one is told so, a probe is answered."""
    listening = server(watch())
    while listening.places.begin_page():
        pass
    assert ask(listening, "/status")[0] == 503
    assert ask(listening, "/healthz")[0] == 200
    listening.places.end_page()
    assert ask(listening, "/status")[0] == 200


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:3030", 200),
        ("[::1]:3030", 200),
        ("10.0.0.7", 200),
        ("localhost:3030", 200),
        ("collector:3030", 200),
        ("collector.logs.svc.cluster.local:3030", 200),
        ("collector.logs.svc", 200),
        ("status.example.org", 200),
        ("STATUS.example.org.:3030", 200),
        ("attacker.example", 421),
        ("attacker.example:3030", 421),
        ("127.0.0.1.attacker.example:3030", 421),
        ("localhost.attacker.example", 421),
    ],
)
@pytest.mark.parametrize("path", ["/status", "/status.json", "/metrics", "/healthz"])
def test_a11_a_page_made_to_lead_here_reads_nothing(host, status, path):
    """A name that somebody may own in public DNS is refused, with the variable that allows it (rebinding)."""
    listening = Server(HOST, 0, watch(), hosts_of({HOSTS_VARIABLE: "a.b, Status.Example.org"}))
    listening.start()
    try:
        told, _, body = ask(listening, path, headers={"Host": host})
    finally:
        listening.shutdown()
        listening.server_close()
    assert told == status
    assert (HOSTS_VARIABLE.encode() in body) == (status == 421)


def test_who_says_nothing_is_sent_away(server, monkeypatch):
    """A connection on which nothing is asked ends by itself."""
    monkeypatch.setattr(module._Handler, "seconds", 0.1)
    with socket.create_connection((HOST, server(watch()).server_address[1]), 60) as idle:
        assert idle.recv(1) == b""


def test_a1_events_are_shown_to_whom_it_is_allowed(server, monkeypatch):
    """Nobody by default; this machine's users, or whoever has the token, when the operator says so."""
    one = server(watch())
    tapped = "/status.json?tap=flowlogs"
    assert ask(one, tapped)[0] == 403
    assert ask(one, "/status?tap=")[0] == 403
    monkeypatch.setenv(TAP_VARIABLE, "loopback")
    assert json.loads(ask(one, tapped)[2])["tap"] == ["waiting for events of flowlogs"]
    one.watch.liveness.outgoing.hear([Block(b"<b>x</b>\n", 1, Origin("flowlogs"), "t")])
    assert json.loads(ask(one, tapped)[2])["tap"] == ["t: <b>x</b>"]
    assert b"&lt;b&gt;x" in ask(one, "/status?tap=flowlogs")[2]
    assert b"<b>x" not in ask(one, "/status?tap=flowlogs")[2]
    monkeypatch.setenv(TAP_VARIABLE, "a-long-enough-token")
    assert ask(one, tapped)[0] == 403
    assert ask(one, tapped, headers={"Authorization": "Bearer another-long-token"})[0] == 403
    assert ask(one, tapped, headers={"Authorization": "Bearer a-long-enough-token"})[0] == 200
    monkeypatch.setenv(TAP_VARIABLE, "short")
    assert ask(one, tapped, headers={"Authorization": "Bearer short"})[0] == 403
    assert not may_tap("10.0.0.1", None, {TAP_VARIABLE: "loopback"})


def test_all_processes_are_on_one_page(server):
    """/all shows the peers that are named, each with its memory and processor, and who does not answer."""
    ports = [server(watch()).server_address[1], server(trouble(watch())).server_address[1], free_port()]
    named = ",".join(f"{HOST}:{port}" for port in ports)
    together = everybody("all of them", {PEERS_VARIABLE: named})
    port = free_port()
    shown = Server(HOST, port, watch(), (), together)
    shown.start()
    try:
        state = json.loads(ask(shown, "/all.json")[2])
        assert [one["url"] for one in state["processes"]] == [
            "",
            *(f"http://{HOST}:{one}/status" for one in ports[:2]),
        ]
        cells = state["view"]
        assert cells["m0.state"] == ["does not answer", "bad"]
        assert [cells[f"m{row}.state"][0] for row in (1, 2)] == ["up", "not ready"]
        assert cells["m1.memory"][0].endswith((" MiB", " GiB"))
        assert "it does not answer" in cells["a0.what"][0]
        assert state["places"][0]["targets_failing"] == 4
        assert ask(server(watch()), "/all")[0] == 404
    finally:
        shown.shutdown()
        shown.server_close()


def test_a11_a_process_that_is_busy_refuses_no_probe():
    """Whoever connects while nothing is accepted waits in the kernel, and is answered as soon as it is."""
    made, crowd = Server(HOST, 0, watch()), list[socket.socket]()
    try:
        crowd.extend(socket.create_connection(made.server_address[:2], timeout=0.9) for _ in range(60))
        crowd[-1].sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
    finally:
        made.start()
    try:
        crowd[-1].settimeout(30)
        assert crowd[-1].recv(12) == b"HTTP/1.0 200"
    finally:
        for one in crowd:
            one.close()
        made.shutdown()
        made.server_close()
