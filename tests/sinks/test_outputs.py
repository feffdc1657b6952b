"""Outputs made from their settings, against real sockets."""

import threading
import zlib
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from sinks import outputs
from sinks.connection import ReceiptStrength
from sinks.errors import CertificateRejected, ConnectFailed, DeliveryError, OutageTooLong
from sinks.outputs import BestEffort, encoder, event_limit, opener, probe
from sinks.retry_budget import Clock
from sinks.settings import parse_output
from tests.fakes.certs import make_certs
from tests.fakes.tls_sink import (
    TlsSink,
    close_after,
    close_at_accept,
    close_in_handshake,
    hang_up,
    never_read,
    reset_after,
    silent,
)
from tests.sinks.lines import HEAD, block_of, deliver, devo, framed, relay


def test_devo_gets_the_framed_lines(certs):
    """Through a Devo output, exactly the framed lines arrive, in order, each once."""
    with TlsSink(certs) as sink:
        assert deliver(opener(devo(sink, certs))()) is ReceiptStrength.RECEIPT
        assert sink.lines == framed(range(4000))


def test_relay_gets_the_framed_lines():
    """Through a plain TCP output, exactly the framed lines arrive."""
    with TlsSink(None, behaves=hang_up) as sink:
        assert deliver(opener(relay(sink))()) is ReceiptStrength.RECEIPT
        assert sink.lines == framed(range(4000))


BAD_MANNERS = {
    "between_two_lines": [close_after(len(HEAD) + 13)],
    "in_mid_line": [close_after(1000)],
    "in_the_handshake": [close_in_handshake, close_in_handshake],
    "right_after_accept": [close_at_accept, close_at_accept, close_at_accept],
    "by_reset": [reset_after(5000), reset_after(1)],
    "in_every_way": [
        reset_after(10_000),
        close_at_accept,
        close_after(20_001),
        close_in_handshake,
    ],
}


@pytest.mark.parametrize("plan", BAD_MANNERS.values(), ids=BAD_MANNERS)
def test_h20_devo_closes(certs, plan):
    """Devo closes in the given way: after the receipt every line was read, repeats allowed."""
    with TlsSink(certs, plan=plan) as sink:
        assert deliver(opener(devo(sink, certs))()) is ReceiptStrength.RECEIPT
        assert set(framed(range(4000))) <= set(sink.lines)
        assert not sink.plan


def test_h20_devo_stalls_then_resets(certs):
    """What a stalled receiver's kernel had when it reset the connection is sent again."""
    with TlsSink(certs) as sink:
        output = opener(devo(sink, certs))()
        sink.stall()
        for start in range(0, 4000, 500):
            output.write(block_of(range(start, start + 500)))
        output.begin()
        sink.drop()
        sink.resume()
        assert output.finish() is ReceiptStrength.RECEIPT
        output.close()
        assert set(framed(range(4000))) <= set(sink.lines)


def test_h20_devo_accepts_and_never_reads(certs):
    """A receiver that never reads is left after the sending timeout; the next one gets everything."""
    with TlsSink(certs, plan=[never_read]) as sink:
        output = opener(devo(sink, certs, sending_timeout=1))()
        for start in range(0, 400_000, 20_000):
            output.write(block_of(range(start, start + 20_000)))
        output.begin()
        assert output.finish() is ReceiptStrength.RECEIPT
        output.close()
        assert set(framed(range(400_000))) <= set(sink.lines)


def test_h20_devo_is_down(certs):
    """While nothing listens, writing waits; when Devo is back it gets everything."""
    with TlsSink(certs) as sink:
        output = opener(devo(sink, certs))()
        output.write(block_of(range(100)))
        sink.stop_listening()
        sink.drop()
        threading.Timer(0.3, sink.listen_again).start()
        output.write(block_of(range(100, 200)))
        output.begin()
        assert output.finish() is ReceiptStrength.RECEIPT
        output.close()
        assert set(framed(range(200))) <= set(sink.lines)


def test_h20_renewed_certificates_end_an_outage(tmp_path):
    """Our expired certificate is an outage that ends when the files are replaced, without a restart."""
    expired = make_certs(tmp_path / "mine", client_expired=True)
    with TlsSink(expired) as sink:
        output = opener(devo(sink, expired))()

        def renew():
            sink.use(make_certs(tmp_path / "mine"))

        threading.Timer(0.3, renew).start()
        output.write(block_of(range(10)))
        output.begin()
        assert output.finish() is ReceiptStrength.RECEIPT
        output.close()
        assert set(framed(range(10))) <= set(sink.lines)


def test_drain_gives_up_on_a_stalled_receiver(certs):
    """Told to end while the receiver stalls, the output ends with an error after the grace."""
    drain = threading.Event()
    with TlsSink(certs, behaves=never_read) as sink:
        output = opener(devo(sink, certs, drain_grace_seconds=0.1), drain=drain)()
        threading.Timer(0.2, drain.set).start()
        with pytest.raises(OutageTooLong, match="nothing was acknowledged"):
            write_forever(output)
        output.close()


def write_forever(output):
    while True:
        output.write(block_of(range(20_000)))


@given(st.floats(0, 1), st.floats(0, 1))
def test_gzip_starts_at_its_threshold(threshold, fullness):
    """A block is a gzip member of its framed lines once the window is as full as the threshold says."""
    config = relay(Sink0, threshold_for_using_gzip_in_transport_layer=threshold).config
    block = block_of(range(3))
    sent = b"".join(encoder(config)(block, fullness))
    assert sent.startswith(b"\x1f\x8b") == (fullness >= threshold)
    plain = zlib.decompress(sent, zlib.MAX_WBITS | 16) if fullness >= threshold else sent
    assert plain == b"".join(line + b"\n" for line in framed(range(3)))


class Sink0:
    port = 1


@pytest.mark.parametrize(("threshold", "zipped"), [(-1, True), (1.1, False)])
def test_gzip_always_or_never(threshold, zipped):
    """Below 0 every block is compressed, above 1 none, as in Devo's collector."""
    config = relay(Sink0, threshold_for_using_gzip_in_transport_layer=threshold).config
    for fullness in (0.0, 1.0):
        sent = b"".join(encoder(config)(block_of(range(3)), fullness))
        assert sent.startswith(b"\x1f\x8b") == zipped


def test_iso_dates_and_priority():
    """Facility, severity and ISO 8601 time of sending are in each line when asked for."""
    config = relay(Sink0, timestamp="iso8601", facility="local0", severity="notice").config
    (first, *_) = b"".join(encoder(config)(block_of([1]), 0.0)).split(b" ")
    assert first.startswith(b"<133>20")
    assert first.endswith(b"Z")


def test_probe_tells_strength_or_reason(certs, tmp_path):
    """Probing sends nothing, and tells how the receiver answers or what is wrong."""
    with TlsSink(certs) as sink:
        assert probe(devo(sink, certs)) is ReceiptStrength.RECEIPT
        assert sink.lines == []
        with pytest.raises(CertificateRejected):
            probe(devo(sink, make_certs(tmp_path)))
    with pytest.raises(ConnectFailed, match="refused"):
        probe(devo(sink, certs))
    assert probe(parse_output("out", {"type": "console"})) is ReceiptStrength.WRITTEN


NOWHERE = {"address": "localhost", "port": 1}
FILES = {"chain": "chain.crt", "cert": "my.crt", "key": "my.key"}
HTTP = {"endpoint": "https://localhost:1", "domain": "acme", "token": "planted"}
DECLARED = [
    ("devo_platform", {**NOWHERE, **FILES}, ReceiptStrength.RECEIPT),
    ("syslog", NOWHERE, ReceiptStrength.RECEIPT),
    ("devo_http", HTTP, ReceiptStrength.RECEIPT),
    ("file", {"path": "events.log"}, ReceiptStrength.WRITTEN),
    ("console", {}, ReceiptStrength.WRITTEN),
]


@pytest.mark.parametrize(("kind", "config", "strength"), DECLARED)
@pytest.mark.parametrize("required", [True, False])
def test_each_output_declares_its_strength(kind, config, strength, required, caplog):
    """Before anything is sent each output says in log, metrics and interface how strong its delivery is."""
    settings = parse_output("declared", {"type": kind, "config": {**config, "required": required}})
    with caplog.at_level("INFO", "collector"):
        made = opener(settings)()
    assert made.strength is strength
    assert (
        f"output_declared output=declared type={kind} strength={strength} required={required}" in caplog.text
    )
    labels = {"output": "declared", "strength": strength}
    assert REGISTRY.get_sample_value("collector_output_strength", labels) == 1


def test_local_outputs_report_what_is_written(tmp_path):
    """A file's events are counted as delivered at strength written once they are on disk."""
    labels = {"output": "log", "strength": "written"}
    before = REGISTRY.get_sample_value("collector_events_delivered_total", labels) or 0
    settings = parse_output("log", {"type": "file", "config": {"path": str(tmp_path / "events")}})
    assert deliver(opener(settings)(), total=2000) is ReceiptStrength.WRITTEN
    assert REGISTRY.get_sample_value("collector_events_delivered_total", labels) == before + 2000


def test_silent_receiver_is_told_once_and_asked_again_later(certs, monkeypatch, caplog):
    """No close_notify in time: kernel strength, said once; asked again later, and an answer restores it."""
    patience = [0.2, 0.2, 60.0]
    monkeypatch.setattr("sinks.link.ASK_AGAIN_SECONDS", 0.0)
    monkeypatch.setattr("sinks.link.ReceiptPolicy.timeout", property(lambda _: patience[number]))
    with TlsSink(certs, plan=[silent] * 3) as sink, caplog.at_level("WARNING", "collector"):
        output = opener(devo(sink, certs))()
        seen = []
        for number in range(3):
            output.write(block_of([number]))
            output.begin()
            seen.append((output.finish(), output.strength))
        output.close()
        assert seen == [
            (ReceiptStrength.KERNEL,) * 2,
            (ReceiptStrength.KERNEL,) * 2,
            (ReceiptStrength.RECEIPT,) * 2,
        ]
        sink.wait_for(3)
        assert sorted(sink.lines) == framed(range(3))
    assert caplog.text.count("receipt_fallback output=devo") == 1
    assert "strength=kernel" in caplog.text
    assert caplog.text.count("receipt_restored output=devo strength=receipt") == 1


def test_smallest_event_limit_counts():
    """With several outputs the smallest limit of an event holds for all."""
    outputs = [
        parse_output("one", {"type": "console"}),
        parse_output("two", {"type": "console", "config": {"max_event_bytes": 4096}}),
    ]
    assert event_limit(outputs) == 4096
    assert event_limit([]) == 1 << 20


class Moody:
    """An output that fails while `broken`."""

    name = "moody"
    strength = ReceiptStrength.RECEIPT
    broken = False

    def __init__(self):
        self.written = []

    def write(self, block):
        if self.broken:
            raise DeliveryError("broken", "moody", "wait")
        self.written.append(block)

    def begin(self):
        pass

    def finish(self):
        if self.broken:
            raise DeliveryError("broken", "moody", "wait")
        return ReceiptStrength.RECEIPT

    def close(self):
        self.written = []


def test_best_effort_never_fails_and_counts_what_it_missed(caplog):
    """An output that is not required rests after a failure, is tried again, and its losses are told."""
    now = [0.0]
    made = []

    def make():
        made.append(Moody())
        return made[-1]

    output = BestEffort(make, Clock(now=lambda: now[0]))
    output.write(block_of(range(3)))
    Moody.broken = True
    with caplog.at_level("WARNING", "collector"):
        output.begin()
        output.finish()
        assert "best_effort_missed output=moody events=3" in caplog.text
        assert output.strength is ReceiptStrength.NONE
        output.write(block_of(range(5)))
        output.finish()
        assert "events=5" in caplog.text
        Moody.broken = False
        now[0] = 31.0
        caplog.clear()
        output.write(block_of(range(2)))
        assert output.finish() is ReceiptStrength.RECEIPT
        assert caplog.text == ""
    assert [block.count for block in made[-1].written] == [2]


@pytest.mark.parametrize(("required", "connecting"), [(True, 77.0), (False, 5.0)])
def test_best_effort_does_not_wait_for_a_connection(certs, monkeypatch, required, connecting):
    """Connecting to an output that is not required is bounded, whatever its settings say."""
    waited = []

    def refused(endpoint, *_):
        waited.append(endpoint.connect_timeout)
        raise OutageTooLong("refused", endpoint.address, "wait")

    monkeypatch.setattr(outputs, "connect_tls", refused)
    with TlsSink(certs) as sink, suppress(OutageTooLong):
        deliver(opener(devo(sink, certs, required=required, connect_timeout_seconds=77))())
    assert waited == [connecting]


def test_best_effort_does_not_wait_for_an_outage(certs):
    """An unreachable output that is not required holds nothing up."""
    with TlsSink(certs) as sink:
        settings = devo(sink, certs, required=False)
        sink.close()
        assert deliver(opener(settings)()) is ReceiptStrength.NONE
