"""Outputs, for real: connect, shake hands, close."""

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from sinks import probe
from tests.fakes.certs import make_certs
from tests.fakes.process import free_port
from tests.fakes.tls_sink import TlsSink
from tests.flows.check.conftest import config, flow_logs


@pytest.fixture
def devo(look):
    """Return what checks an output with these certificates; no input is collected from."""

    def check(port, certs, chain=None):
        files = {"chain": chain or certs.ca, "cert": certs.client_cert, "key": certs.client_key}
        about = {"address": "127.0.0.1", "port": port, **{name: str(path) for name, path in files.items()}}
        idle = {"aws-guardduty": {"regions": ["us-east-1"], "enabled": False}}
        return look({**config(idle), "outputs": {"devo": {"type": "devo_platform", "config": about}}})

    return check


def test_a_receiver_that_answers(devo, certs):
    """A receiver that answers the close is ok."""
    with TlsSink(certs) as sink:
        assert "(receipt): outputs.devo" in devo(sink.port, certs).line("output")


def test_nothing_is_sent(devo, certs):
    """The receiver gets no byte."""
    with TlsSink(certs) as sink:
        devo(sink.port, certs)
        assert not sink.lines


def test_devo_unreachable(devo, certs):
    """Nobody listening is one failure that names address and port."""
    port = free_port()
    line = devo(port, certs).only("fail", "output_unreachable")
    assert "connection refused" in line
    assert f"127.0.0.1:{port}" in line


def test_the_chain_of_another_authority(devo, certs, tmp_path):
    """A receiver whose authority is not in the chain is one failure, which says to download it again."""
    other = make_certs(tmp_path / "other")
    with TlsSink(certs) as sink:
        line = devo(sink.port, certs, chain=other.ca).only("fail", "output_certificate")
    assert "their authority is not in `chain`: download the chain again" in line


def test_a_receiver_of_another_domain(devo, certs, tmp_path):
    """A receiver that does not accept our certificate is one failure."""
    other = make_certs(tmp_path / "other")
    files = make_certs(tmp_path / "mixed")
    files.client_cert.write_bytes(other.client_cert.read_bytes())
    files.client_key.write_bytes(other.client_key.read_bytes())
    with TlsSink(certs) as sink:
        line = devo(sink.port, files, chain=certs.ca).of("fail")
    assert len(line) == 1
    assert line[0].code == "output_certificate"


def relayed(port, **options):
    """Return a configuration whose events go to a relay, and that collects nothing."""
    idle = {"aws-guardduty": {"regions": ["us-east-1"], "enabled": False}}
    about = {"address": "127.0.0.1", "port": port, **options}
    return {**config(idle), "outputs": {"relay": {"type": "syslog", "config": about}}}


def test_a8_a_receiver_of_unknown_length_is_a_warning(look):
    """A syslog output that does not say how long a line its receiver takes is warned about."""
    told = [str(one) for one in look(relayed(9), offline=True).of("warn")]
    assert any("outputs.relay.config.receiver_max_event_bytes" in one and "cuts" in one for one in told)
    assert not any(
        "receiver_max" in str(one) for one in look(relayed(9, receiver_max_event_bytes=8096)).found
    )


def test_a8_a_probe_is_sent_when_asked_for(look):
    """`--probe` sends a syslog output events of known lengths and says how to read them; else none."""
    with TlsSink(None) as sink:
        look(relayed(sink.port))
        assert not sink.lines
        line = look(relayed(sink.port), probe=True).line("probe")
        assert "tag my.app.collector.probe" in line
        assert sorted(map(len, sink.lines)) == list(probe.SIZES)


def test_a8_a_probe_that_cannot_be_sent_is_a_failure(look):
    """A receiver that is not there is told at once, not after the time that an outage may take."""
    found = look(relayed(free_port()), probe=True).of("fail")
    assert [one.code for one in found] == ["output_unreachable", "probe"]


def test_plain_tcp_where_tls_is_spoken(look, certs):
    """A plain output on a TLS port is one failure, though it connects: nothing is sent to find it."""
    with TlsSink(certs) as sink:
        line = look(relayed(sink.port, receiver_max_event_bytes=8096)).only("fail", "output_unreachable")
        assert f"TLS is spoken there, and this output is plain TCP: 127.0.0.1:{sink.port}: " in line
        assert "make it `type: devo_platform` with chain, cert and key, or give the" in line


def test_tls_where_plain_tcp_is_spoken(look, certs):
    """A TLS output on a plain port that waits for lines is told as that, not as lost packets."""
    with TlsSink(None) as sink:
        files = {"chain": str(certs.ca), "cert": str(certs.client_cert), "key": str(certs.client_key)}
        about = {"address": "127.0.0.1", "port": sink.port, "connect_timeout_seconds": 1, **files}
        idle = {"aws-guardduty": {"regions": ["us-east-1"], "enabled": False}}
        found = look({**config(idle), "outputs": {"devo": {"type": "devo_platform", "config": about}}})
        line = found.only("fail", "output_unreachable")
    assert (
        f"connected, but no TLS handshake was answered: 127.0.0.1:{sink.port}: is `port` one of TLS?" in line
    )


@pytest.fixture
def web():
    """Return a web server's port that speaks no TLS."""
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        server.RequestHandlerClass.log_message = lambda *_: None
        Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def test_a_web_server_without_tls(look, web):
    """An HTTP endpoint written with https that speaks plain HTTP is told as that."""
    about = {"endpoint": f"https://127.0.0.1:{web}", "domain": "acme", "token": "a-token"}
    idle = {"aws-guardduty": {"regions": ["us-east-1"], "enabled": False}}
    found = look({**config(idle), "outputs": {"devo": {"type": "devo_http", "config": about}}})
    assert "no TLS is spoken there: give the port of TLS" in found.only("fail", "output_certificate")


def test_an_endpoint_of_aws_without_tls(look, web, monkeypatch):
    """AWS_ENDPOINT_URL with https where plain HTTP is spoken is told as that."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"https://127.0.0.1:{web}")
    keys = {"access_key": "AKIAIOSFODNN7EXAMPLE", "access_secret": "a-secret-of-nobody"}
    told = [str(one) for one in look(config(flow_logs("flow"), keys)).of("fail")]
    assert len(told) == 1, told
    assert "no TLS is spoken there: write http:// in AWS_ENDPOINT_URL" in told[0]
    assert "\n" not in told[0]


def test_an_endpoint_of_aws_with_tls(look, certs, monkeypatch):
    """AWS_ENDPOINT_URL with http where TLS is spoken asks for https."""
    keys = {"access_key": "AKIAIOSFODNN7EXAMPLE", "access_secret": "a-secret-of-nobody"}
    with TlsSink(certs) as sink:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{sink.port}")
        told = [str(one) for one in look(config(flow_logs("flow"), keys)).of("fail")]
    assert len(told) == 1, told
    assert "is TLS spoken there? Then write https:// in AWS_ENDPOINT_URL" in told[0]
