"""Outputs against real receivers: rsyslog and syslog-ng."""

import pytest

from sinks.connection import ReceiptStrength
from sinks.outputs import opener, probe
from sinks.settings import parse_output
from tests.fakes.receivers import KINDS, running
from transforms.block import Block, Origin

HEAD = b"<14>Jan  1 00:00:00 host-1 %s: "
TAGS = ("my.app.test.one", "my.app.test.two")
ORIGIN = Origin("t")


def devo(receiver, certs, **options):
    files = {"chain": str(certs.ca), "cert": str(certs.client_cert), "key": str(certs.client_key)}
    config = {"address": "127.0.0.1", "port": receiver.port, "host": "host-1", **files, **options}
    return parse_output("devo", {"type": "devo_platform", "config": config})


def relay(receiver):
    config = {"address": "127.0.0.1", "port": receiver.port, "host": "host-1"}
    return parse_output("relay", {"type": "syslog", "config": config})


def messages(start, count):
    return [b"event %06d of some length" % number for number in range(start, start + count)]


def block(tag, lines):
    return Block(b"\n".join([*lines, b""]), len(lines), ORIGIN, tag)


def receipt(output):
    output.begin()
    return output.finish()


def send(output, start, count):
    for tag in TAGS:
        output.write(block(tag, messages(start, count)))


def expected(count):
    return {tag: [HEAD % tag.encode() + line for line in messages(0, count)] for tag in TAGS}


def test_receipt_means_exactly_these_lines(receiver, certs):
    """20,000 lines and a receipt: exactly these lines are at the receiver, in order, each once."""
    output = opener(devo(receiver, certs))()
    for start in range(0, 10_000, 2000):
        send(output, start, 2000)
    assert receipt(output) is ReceiptStrength.RECEIPT
    output.close()
    receiver.wait_for(20_000, 10)
    receiver.stop()
    assert receiver.lines() == expected(10_000)


def test_receipts_of_many_epochs(receiver, certs):
    """Ten receipts one after the other, each over a connection of its own, lose and repeat nothing."""
    output = opener(devo(receiver, certs))()
    for start in range(0, 1000, 100):
        send(output, start, 100)
        assert receipt(output) is ReceiptStrength.RECEIPT
    output.close()
    receiver.wait_for(2000, 10)
    receiver.stop()
    assert {tag: sorted(lines) for tag, lines in receiver.lines().items()} == expected(1000)


@pytest.mark.parametrize("kind", KINDS)
def test_plain_relay(kind, tmp_path):
    """Over plain TCP the end of file is the receipt, and exactly the lines sent arrive."""
    for receiver in running(kind, tmp_path / "relay", None):
        output = opener(relay(receiver))()
        send(output, 0, 10_000)
        assert receipt(output) is ReceiptStrength.RECEIPT
        output.close()
        receiver.wait_for(20_000, 10)
        receiver.stop()
        assert receiver.lines() == expected(10_000)


def test_large_event_arrives_whole(receiver, certs):
    """An event just below the limit arrives byte for byte."""
    output = opener(devo(receiver, certs))()
    line = b"x" * ((1 << 20) - 1)
    output.write(block(TAGS[0], [line]))
    assert receipt(output) is ReceiptStrength.RECEIPT
    output.close()
    receiver.wait_for(1, 10)
    receiver.stop()
    assert receiver.lines() == {TAGS[0]: [HEAD % TAGS[0].encode() + line]}


def test_h20_killed_receiver_loses_nothing_without_receipt(rsyslog, certs):
    """A receiver that is killed between write and receipt has everything once it is back."""
    output = opener(devo(rsyslog, certs))()
    send(output, 0, 1000)
    assert receipt(output) is ReceiptStrength.RECEIPT
    send(output, 1000, 1000)
    rsyslog.restart()
    send(output, 2000, 1000)
    assert receipt(output) is ReceiptStrength.RECEIPT
    output.close()
    rsyslog.wait_for(6000, 10)
    rsyslog.stop()
    assert {tag: set(lines) >= set(expected(3000)[tag]) for tag, lines in rsyslog.lines().items()} == {
        TAGS[0]: True,
        TAGS[1]: True,
    }


def test_probe_of_a_real_receiver(receiver, certs):
    """Probing gets a receipt and leaves no line."""
    assert probe(devo(receiver, certs)) is ReceiptStrength.RECEIPT
    receiver.stop()
    assert receiver.lines() == {}
