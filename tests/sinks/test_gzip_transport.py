"""The gzip form on the wire: members of concatenated lines, switched as Devo's collector does, and faults."""

import ssl
import zlib

import pytest

from sinks.connection import ReceiptStrength
from sinks.outputs import opener
from tests.fakes.tls_sink import TlsSink, reset
from tests.sinks.lines import deliver, devo, framed

MAGIC = b"\x1f\x8b"


class Inflater:
    """A receiver that takes lines and gzip members, as they come, each connection anew."""

    def __init__(self, break_after=()):
        self.lines, self.members, self.plain = [], 0, 0
        self.break_after = list(break_after)

    def __call__(self, _sink, sock):
        most = self.break_after.pop(0) if self.break_after else None
        held = bytearray()
        while data := sock.recv(1 << 16):
            held += data
            if most is not None and len(held) >= most:
                self.take(bytes(held[:most]))
                reset(sock)
                return
        self.take(bytes(held))
        if isinstance(sock, ssl.SSLSocket):
            sock.unwrap()

    def take(self, stream):
        """Take whole lines only, from members that may have broken off."""
        while stream:
            if stream.startswith(MAGIC):
                packer = zlib.decompressobj(zlib.MAX_WBITS | 16)
                text, stream = packer.decompress(stream), packer.unused_data
                self.members += packer.eof
            else:
                text, _, stream = stream.partition(MAGIC)
                stream = MAGIC + stream if stream else b""
                self.plain += text.count(b"\n")
            self.lines += text.split(b"\n")[:-1]


@pytest.mark.parametrize("level", [-1, 0, 1, 3, 6, 9])
def test_always(certs, level):
    """Below 0 each block is one gzip member of whole lines, at any level, and receipts are as for lines."""
    inflater = Inflater()
    with TlsSink(certs, behaves=inflater) as sink:
        settings = devo(sink, certs, threshold_for_using_gzip_in_transport_layer=-1, compression_level=level)
        assert deliver(opener(settings)()) is ReceiptStrength.RECEIPT
    assert (inflater.lines, inflater.members, inflater.plain) == (framed(range(4000)), 8, 0)


def test_never_by_default(certs):
    """Without the keys nothing is compressed."""
    inflater = Inflater()
    with TlsSink(certs, behaves=inflater) as sink:
        assert deliver(opener(devo(sink, certs))()) is ReceiptStrength.RECEIPT
    assert (inflater.members, inflater.plain) == (0, 4000)


def test_when_the_window_fills(certs):
    """From 0 to 1: once the window is so full, members follow lines on the same connection."""
    inflater = Inflater()
    with TlsSink(certs, behaves=inflater) as sink:
        settings = devo(sink, certs, threshold_for_using_gzip_in_transport_layer=0.5)
        window = 4000 * len("event 000000\n")
        assert deliver(opener(settings, window_bytes=window)(), every=1000) is ReceiptStrength.RECEIPT
    assert inflater.lines == framed(range(4000))
    assert (inflater.plain, inflater.members) == (1500, 5)


@pytest.mark.parametrize("sizes", [[1], [9], [500], [3000, 1, 5000], [10_000, 17]])
def test_h20_broken_members_are_sent_again_whole(certs, sizes):
    """A reset in the middle of a member loses nothing: what has no receipt goes out again, from its start."""
    inflater = Inflater(break_after=sizes)
    with TlsSink(certs, behaves=inflater) as sink:
        settings = devo(sink, certs, threshold_for_using_gzip_in_transport_layer=-1)
        assert deliver(opener(settings)()) is ReceiptStrength.RECEIPT
        assert not inflater.break_after
    assert set(framed(range(4000))) <= set(inflater.lines)
    assert inflater.lines[-4000:] == framed(range(4000))
