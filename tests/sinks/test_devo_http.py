"""The HTTP output against a receiver on a real socket."""

import threading

import pytest

from sinks.connection import ReceiptStrength
from sinks.errors import CertificateRejected, OutageTooLong
from sinks.outputs import opener, probe
from tests.fakes.certs import make_certs
from tests.fakes.http_devo import (
    DOMAIN,
    TOKEN,
    HttpDevo,
    answering,
    drip,
    early,
    hang_up,
    lose_answer,
    raw,
    reset_in_body,
    silent,
    take_and_close,
)
from tests.sinks.lines import TAG, block_of, deliver, http, receipt
from tests.sinks.lines import events_of as expected


@pytest.fixture
def no_pause(monkeypatch):
    """Receivers' wishes for time are noted, and take none."""
    waited = []
    monkeypatch.setattr("sinks.retry_budget.Clock.pause", lambda _clock, seconds: waited.append(seconds))
    return waited


@pytest.mark.parametrize("gzip", [True, False])
def test_devo_gets_each_event_once(gzip):
    """In stream mode every event arrives once, in order, as a line of the body, compressed when asked for."""
    with HttpDevo() as devo:
        assert deliver(opener(http(devo, gzip=gzip))()) is ReceiptStrength.RECEIPT
        assert devo.lines == {TAG: expected(range(4000))}
        assert {one.headers.get("Content-Encoding") for one in devo.requests} == {"gzip" if gzip else None}
        assert {one.path for one in devo.requests} == {f"/stream/{DOMAIN}/token!{TOKEN}/host-1/{TAG}"}


def test_connections_are_kept(certs):
    """Requests follow each other on few connections, over TLS, with the server's name checked."""
    with HttpDevo(certs) as devo:
        settings = http(devo, chain=str(certs.ca), concurrent_connections=2)
        assert deliver(opener(settings)()) is ReceiptStrength.RECEIPT
        assert devo.lines == {TAG: expected(range(4000))}
        assert devo.connections == 2
        assert len(devo.requests) == 4


def test_one_tag_per_request_and_one_request_per_tag():
    """Blocks of many tags are gathered: each epoch has one request for each tag, whatever their order."""
    with HttpDevo() as devo:
        output = opener(http(devo))()
        for number in range(60):
            output.write(block_of([number], f"my.app.t{number % 20}"))
        receipt(output)
        output.close()
        assert sorted(one.tag for one in devo.requests) == sorted(f"my.app.t{n}" for n in range(20))
        assert devo.lines["my.app.t3"] == expected([3, 23, 43])


def test_large_blocks_become_requests_of_bounded_size(monkeypatch):
    """Bodies stay far below Devo's limit: a large block is cut between two events."""
    monkeypatch.setattr("sinks.devo_http.REQUEST_BYTES", 1 << 14)
    with HttpDevo() as devo:
        output = opener(http(devo, gzip=False))()
        output.write(block_of(range(20_000)))
        receipt(output)
        output.close()
        assert len(devo.requests) == 16
        assert max(one.size for one in devo.requests) <= 1 << 14
        assert sorted(devo.lines[TAG]) == expected(range(20_000))


@pytest.mark.parametrize("gzip", [True, False])
def test_request_found_too_large_is_split(gzip, caplog):
    """413 halves the request until it is taken, remembers the size, and drops nothing."""
    with HttpDevo(limit=20_000) as devo:
        output = opener(http(devo, gzip=gzip, concurrent_connections=1))()
        for start in (0, 20_000):
            output.write(block_of(range(start, start + 20_000)))
            output.begin()
            with caplog.at_level("WARNING", "collector"):
                assert output.finish() is ReceiptStrength.RECEIPT
        output.close()
        assert sorted(devo.lines[TAG]) == expected(range(40_000))
        assert "request_split" in caplog.text
        half = len(devo.requests) // 2
        assert 413 not in [one.status for one in devo.requests[half:]]


BAD_MANNERS = {
    "server_error": [answering(500), answering(502, body=b"<html>" * 100)],
    "overload": [answering(503, retry_after="0")],
    "too_many": [answering(429)],
    "timeout": [answering(408)],
    "no_answer": [hang_up, hang_up],
    "reset_in_body": [reset_in_body],
    "lost_answer": [lose_answer],
    "early_answer": [early(503)],
    "junk": [raw(b"SSH-2.0-OpenSSH\r\n\r\n"), raw(b"\x00\xff" * 100)],
    "half_a_status": [raw(b"HTTP/1.1 20")],
    "endless_header": [raw(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000)],
    "every_way": [reset_in_body, answering(503), hang_up, early(500), lose_answer, answering(429)],
}


@pytest.mark.parametrize("plan", BAD_MANNERS.values(), ids=BAD_MANNERS)
@pytest.mark.usefixtures("no_pause")
def test_h20_whatever_goes_wrong_every_event_is_taken(plan):
    """After the receipt every event was taken, repeats allowed, whatever the receiver did meanwhile."""
    with HttpDevo(plan=plan) as devo:
        assert deliver(opener(http(devo))()) is ReceiptStrength.RECEIPT
        assert set(expected(range(4000))) == set(devo.lines[TAG])
        assert not devo.plan


@pytest.mark.usefixtures("no_pause")
def test_h20_only_what_has_no_answer_is_sent_again():
    """A request that failed is repeated alone: those with their 2xx are not."""
    with HttpDevo(plan=[answering(503)]) as devo:
        output = opener(http(devo))()
        for number in range(8):
            output.write(block_of([number], f"my.app.t{number}"))
        receipt(output)
        output.close()
        assert len(devo.requests) == 9
        assert sorted(devo.all_lines) == expected(range(8))


@pytest.mark.parametrize("manner", [silent, drip])
@pytest.mark.usefixtures("no_pause")
def test_h20_no_answer_in_time_is_none(manner):
    """A receiver that answers nothing, or byte by byte, is left after the time for an answer."""
    with HttpDevo(plan=[manner]) as devo:
        assert deliver(opener(http(devo, receipt_timeout_seconds=1))()) is ReceiptStrength.RECEIPT
        assert set(expected(range(4000))) == set(devo.lines[TAG])


@pytest.mark.usefixtures("no_pause")
def test_h20_success_before_the_whole_body_is_no_receipt(monkeypatch):
    """A 200 that comes before the receiver has everything proves nothing: the request is sent again."""
    monkeypatch.setattr("sinks.devo_http.REQUEST_BYTES", 16 << 20)
    with HttpDevo(plan=[early(200)]) as devo:
        output = opener(http(devo, gzip=False))()
        output.write(block_of(range(1_000_000)))
        receipt(output)
        output.close()
        assert devo.lines[TAG] == expected(range(1_000_000))


def test_h20_connection_closed_while_idle_is_no_failure(caplog):
    """A keep-alive connection that the balancer closed between two epochs is replaced without a pause."""
    with HttpDevo(behaves=take_and_close) as devo:
        output = opener(http(devo, concurrent_connections=1))()
        with caplog.at_level("WARNING", "collector"):
            for number in range(3):
                output.write(block_of([number]))
                receipt(output)
                wait_for_end(output)
        output.close()
        assert devo.connections == 3
        assert devo.lines[TAG] == expected(range(3))
        assert "delivery_retried" not in caplog.text


def wait_for_end(output):
    line = output._lanes[0].exchange._line
    assert line.wait(1, 60.0)


def test_h20_outage_is_waited_out():
    """While nothing listens the output waits; when Devo is back it gets everything."""
    with HttpDevo() as devo:
        output = opener(http(devo))()
        output.write(block_of(range(100)))
        receipt(output)
        devo.stop_listening()
        threading.Timer(0.3, devo.listen_again).start()
        output.write(block_of(range(100, 200)))
        assert receipt(output) is ReceiptStrength.RECEIPT
        output.close()
        assert set(devo.lines[TAG]) == set(expected(range(200)))


@pytest.mark.parametrize(
    ("header", "least"), [("7", 7), ("0", 0), ("86400", 300), ("nonsense", 0), ("-5", 0), (None, 0)]
)
@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_honoured_within_bounds(no_pause, status, header, least):
    """The next attempt waits as long as the receiver asks, at most five minutes, and a random part more."""
    with HttpDevo(plan=[answering(status, retry_after=header)]) as devo:
        assert deliver(opener(http(devo))(), total=500) is ReceiptStrength.RECEIPT
    assert len(no_pause) == 1
    assert least <= no_pause[0] <= least + 0.2


@pytest.mark.parametrize(
    ("status", "hint"),
    [(400, "tag"), (401, "token"), (403, "token"), (404, "endpoint"), (301, "endpoint"), (418, "domain")],
)
def test_refusals_are_told_once_and_held_back(no_pause, caplog, status, hint):
    """A 4xx is one clear error; its events are held back, asked about each minute, and never dropped."""
    with HttpDevo(plan=[answering(status)] * 5) as devo:
        output = opener(http(devo))()
        with caplog.at_level("WARNING", "collector"):
            assert deliver(output, total=500) is ReceiptStrength.RECEIPT
        assert devo.lines[TAG] == expected(range(500))
    (told,) = [one for one in caplog.records if one.levelname == "ERROR"]
    assert f"({status})" in told.getMessage() or f"answers {status}" in told.getMessage()
    assert hint in told.getMessage()
    assert "delivery_retried" not in caplog.text
    assert all(60 <= waited <= 90 for waited in no_pause)


def test_refusal_ends_the_process_after_the_limit():
    """With a wrong token nothing is acknowledged: after the outage limit the output ends with the reason."""
    with HttpDevo() as devo:
        output = opener(http(devo, token="wrong-token", outage_limit_seconds=0))()
        output.write(block_of(range(3)))
        output.begin()
        with pytest.raises(OutageTooLong, match=r"\(401\).*token.*nothing was acknowledged") as caught:
            output.finish()
        output.close()
        assert "wrong-token" not in str(caught.value)
        assert devo.all_lines == []


def test_window_bounds_what_is_held():
    """What has no answer never exceeds the window: a full one is emptied before more is taken."""
    with HttpDevo() as devo:
        output = opener(http(devo), window_bytes=20_000)()
        most = 0
        for start in range(0, 20_000, 100):
            output.write(block_of(range(start, start + 100), f"my.app.t{start % 7}"))
            most = max(most, output._held)
        assert 15_000 < most <= 20_000
        assert len(devo.all_lines) > 15_000
        receipt(output)
        output.close()
        assert sorted(devo.all_lines) == expected(range(20_000))
        assert output._held == 0


def test_drain_gives_up_on_a_silent_receiver():
    """Told to end while the receiver does not answer, the output ends after the grace."""
    drain = threading.Event()
    with HttpDevo(behaves=silent) as devo:
        output = opener(http(devo, drain_grace_seconds=0.1), drain=drain)()
        output.write(block_of(range(3)))
        output.begin()
        threading.Timer(0.2, drain.set).start()
        with pytest.raises(OutageTooLong, match="nothing was acknowledged"):
            output.finish()
        output.close()


@pytest.mark.parametrize("trouble", ["authority", "name", "expired"])
def test_certificates_are_checked(certs, tmp_path, trouble):
    """A server of another authority, another name, or with an expired certificate gets no token."""
    names = ("elsewhere.test",) if trouble == "name" else ("127.0.0.1",)
    theirs = make_certs(tmp_path, server_names=names, server_expired=trouble == "expired")
    trusted = certs if trouble == "authority" else theirs
    with HttpDevo(theirs) as devo:
        with pytest.raises(CertificateRejected):
            probe(http(devo, chain=str(trusted.ca)))
        assert devo.requests == []


def test_system_authorities_are_the_default(certs):
    """Without `chain` the system's authorities count, which do not know ours."""
    with HttpDevo(certs) as devo, pytest.raises(CertificateRejected, match="chain"):
        probe(http(devo))


def test_probe_sends_nothing(certs):
    """Probing opens a connection and asks nothing: domain and token show with the first event."""
    with HttpDevo(certs) as devo:
        assert probe(http(devo, chain=str(certs.ca))) is ReceiptStrength.RECEIPT
        assert devo.requests == []


def test_best_effort_misses_and_counts(caplog):
    """With `required: false` a refusing receiver holds nothing up, and what it misses is told."""
    with HttpDevo(behaves=answering(403)) as devo:
        output = opener(http(devo, required=False))()
        with caplog.at_level("WARNING", "collector"):
            assert deliver(output) is ReceiptStrength.NONE
        assert "best_effort_missed output=http events=1000" in caplog.text


@pytest.mark.usefixtures("no_pause")
def test_token_never_shows(certs, caplog, capfd):
    """The token is in no log line, metric, error, exception chain or representation, whatever goes wrong."""
    import traceback  # noqa: PLC0415 - this test alone looks at chains

    from prometheus_client import generate_latest  # noqa: PLC0415 - as above

    plan = [*BAD_MANNERS["every_way"], *BAD_MANNERS["junk"], answering(401), answering(413), drip]
    with HttpDevo(certs, plan=plan) as devo, caplog.at_level("DEBUG"):
        settings = http(devo, chain=str(certs.ca), receipt_timeout_seconds=1)
        output = opener(settings)()
        assert deliver(output) is ReceiptStrength.RECEIPT
        failing = opener(http(devo, chain=str(certs.ca), outage_limit_seconds=0))()
        devo.behaves = early(400)
        failing.write(block_of(range(3)))
        failing.begin()
        with pytest.raises(OutageTooLong) as caught:
            failing.finish()
        failing.close()
    chain = "".join(traceback.format_exception(caught.value))
    shown = [
        caplog.text,
        chain,
        repr(settings),
        str(settings),
        settings.model_dump_json(),
        repr(output._place),
    ]
    shown += [repr(vars(output)), generate_latest().decode(), *capfd.readouterr()]
    assert caplog.text
    assert TOKEN not in "\n".join(shown)
