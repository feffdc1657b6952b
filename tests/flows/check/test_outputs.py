"""Outputs, for real: connect, shake hands, close."""

import pytest

from sinks import probe
from tests.fakes.certs import make_certs
from tests.fakes.process import free_port
from tests.fakes.tls_sink import TlsSink
from tests.flows.check.conftest import config


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
