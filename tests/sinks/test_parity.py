"""Byte parity: what our outputs write is what Devo's own SDK writes through `send`, for 10,000 events."""

import random
import select
import ssl
import zlib
from contextlib import suppress
from functools import partial
from itertools import groupby

import pytest
from devo.sender import Sender, SenderConfigSSL, SenderConfigTCP

from sinks.frame import guard, header
from sinks.outputs import opener
from sinks.settings import parse_output
from tests.fakes.framed import framed
from tests.fakes.tls_sink import TlsSink
from transforms.block import Block, Origin

EVENTS = 10_000
HOST = "host-1.example.test"
_NEWLINE = 10
_SURROGATES = range(0xD800, 0xE000)
_PLANES = (range(0x20, 0x7F), range(0xA0, 0x800), range(0x800, 0x10000), range(0x10000, 0x110000))
_ODD = (
    "",
    " ",
    "\t",
    "\r",
    "\x00",
    "\x7f",
    ": ",
    "<14>",
    "Jan  1 00:00:00 h t: ",
    "\\n",
    '"',
    "\u2028",
    "\ufeff",
)


def text(rng, length):
    """Return characters of one plane, mixed with what could confuse a parser of lines."""
    plane = rng.choice(_PLANES)
    drawn = rng.choices(plane, k=length)
    kept = "".join(chr(point) for point in drawn if point not in _SURROGATES and point != _NEWLINE)
    return rng.choice(_ODD) + kept + rng.choice(_ODD)


def corpus(seed, size=EVENTS):
    """Return (tag, message) pairs in runs of one tag: 400 tags, messages of 1 byte to more than 100 KB."""
    rng = random.Random(seed)
    tags = [
        ".".join(["my", "app", *(f"l{rng.randrange(40)}" for _ in range(rng.randrange(1, 5)))])
        for _ in range(400)
    ]
    events = []
    while len(events) < size:
        tag = rng.choice(tags)
        for _ in range(rng.randrange(1, 20)):
            length = 60_000 if rng.random() < 0.001 else rng.choice((0, 1, 20, 150, 150, 600))
            events.append((tag, text(rng, length) or "x"))
    return events[:size]


@pytest.fixture(scope="module")
def events():
    return corpus(20260101)


def blocks(events):
    for tag, run in groupby(events, key=lambda event: event[0]):
        messages = [message.encode() for _, message in run]
        yield Block(b"".join(message + b"\n" for message in messages), len(messages), Origin("t"), tag)


def recording(into):
    """Return a receiver's manner: keep every byte, answer the end."""

    def manner(_sink, sock):
        while data := sock.recv(1 << 16):
            into.extend(data)
        if isinstance(sock, ssl.SSLSocket):
            sock.unwrap()

    return manner


def ours(events, certs, **options):
    """Return the bytes that our output writes."""
    kept = bytearray()
    with TlsSink(certs, plan=[recording(kept)]) as sink:
        files = certs and {"chain": certs.ca, "cert": certs.client_cert, "key": certs.client_key}
        config = {"address": "127.0.0.1", "port": sink.port, "host": HOST, **(files or {}), **options}
        output = opener(parse_output("devo", {"type": "relay" if certs else "syslog", "config": config}))()
        for block in blocks(events):
            output.write(block)
        output.begin()
        output.finish()
        output.close()
    return bytes(kept)


def push(sock, content):
    """Send everything: the SDK's own loop repeats bytes on a full socket, which is not compared here."""
    view = memoryview(content)
    while view:
        with suppress(BlockingIOError, ssl.SSLWantWriteError):
            view = view[sock.send(view) :]
        select.select([], [sock], [], 60)


def theirs(events, certs, **options):
    """Return the bytes that devo-sdk's `send` writes; every second message is given to it as bytes."""
    kept = bytearray()
    with TlsSink(certs, plan=[recording(kept)]) as sink:
        address = ("127.0.0.1", sink.port)
        files = certs and {"chain": certs.ca, "cert": certs.client_cert, "key": certs.client_key}
        sender = Sender(SenderConfigSSL(address, **files) if certs else SenderConfigTCP(address))
        sender._Sender__sendall = partial(push, sender.socket)
        for number, (tag, message) in enumerate(events):
            if options.get("zip") or number % 2:
                sender.send(tag=tag.encode(), msg=message.encode(), hostname=HOST.encode(), **options)
            else:
                sender.send(tag=tag, msg=message, hostname=HOST, **options)
        sender.flush_buffer()
        sender.close()
    return bytes(kept)


def inflated(stream):
    """Return what a stream of gzip members holds, and how many those are."""
    out, members = [], 0
    while stream:
        packer = zlib.decompressobj(zlib.MAX_WBITS | 16)
        out.append(packer.decompress(stream))
        assert packer.eof
        stream, members = packer.unused_data, members + 1
    return b"".join(out), members


def test_the_corpus_has_what_is_claimed_of_it(events):
    """10,000 events, hundreds of tags, characters of every plane, lines over 100 KB."""
    assert len(events) == EVENTS
    assert len({tag for tag, _ in events}) > 200
    assert max(len(message.encode()) for _, message in events) > 100_000
    assert {len(message[len(message) // 2].encode()) for _, message in events} == {1, 2, 3, 4}
    assert not [message for _, message in events if "\n" in message]


@pytest.mark.parametrize("tls", [True, False])
def test_ten_thousand_lines_are_devos_own(events, certs, tls):
    """Every line on the wire is byte for byte what devo-sdk's `send` writes, over TLS and over TCP."""
    mine, reference = (write(events, certs if tls else None) for write in (ours, theirs))
    assert reference.count(b"\n") == EVENTS
    assert mine.split(b"\n") == reference.split(b"\n")


@pytest.mark.parametrize("level", [1, 6])
def test_gzip_form_inflates_to_devos_own(events, certs, level):
    """Our gzip members, of either compressor, and those of devo-sdk's zip mode hold the same bytes."""
    always = {"threshold_for_using_gzip_in_transport_layer": -1, "compression_level": level}
    mine, members = inflated(ours(events, certs, **always))
    reference, many = inflated(theirs(events, certs, zip=True))
    assert members == len(list(blocks(events)))
    assert many > 100
    assert reference.count(b"\n") == EVENTS
    assert mine.split(b"\n") == reference.split(b"\n")


def test_facility_severity_and_date_are_in_the_same_place(certs):
    """With other settings than the defaults the SDK's line, told the same values, is ours."""
    few = corpus(7, 10)
    mine = ours(few, certs, facility="local0", severity="notice", timestamp="iso8601")
    dates = [line.split(b" ", 1)[0].removeprefix(b"<133>").decode() for line in mine.splitlines() if line]
    for (tag, message), line, date in zip(few, mine.split(b"\n"), dates, strict=False):
        head = Sender.compose_mem(tag, facility=16, severity=5, date=date, hostname=HOST)
        assert line == f"{head}{message}".encode()


@pytest.mark.parametrize(
    ("tag", "message", "sdk", "mine"),
    [
        (
            "my.app.t",
            "a\nb",
            b"<14>Jan  1 00:00:00 host-1.example.test my.app.t: a\nb\n",
            b"<14>Jan  1 00:00:00 host-1.example.test my.app.t: %b\n"
            % b"a\n<14>Jan  1 00:00:00 host-1.example.test my.app.t: b",
        ),
        (
            "my app:t",
            "a",
            b"<14>Jan  1 00:00:00 host-1.example.test my app:t: a\n",
            b"<14>Jan  1 00:00:00 host-1.example.test my_app_t: a\n",
        ),
    ],
)
def test_where_our_bytes_differ(tag, message, sdk, mine):
    """A newline ends an event, no tag breaks the line; the SDK lets all that be."""
    assert theirs([(tag, message)], None) == sdk
    block = Block(f"{message}\n".encode(), 1, Origin("t"), tag)
    sent = [one for one in guard(block, 1 << 20) if isinstance(one, Block)]
    assert b"".join(framed(one.payload, header(one.tag, HOST, 14)) for one in sent) == mine
