"""Numbered events for outputs, and the settings that most tests of outputs need."""

from sinks.outputs import Output
from sinks.settings import OutputSettings, parse_output
from tests.fakes.http_devo import DOMAIN, TOKEN
from transforms.block import Block, Origin

TAG = "my.app.test"
HEAD = b"<14>Jan  1 00:00:00 host-1 my.app.test: "


def block_of(numbers, tag=TAG) -> Block:
    """Return a block with an event for each number."""
    lines = events_of(numbers)
    return Block(b"\n".join([*lines, b""]), len(lines), Origin("t"), tag)


def events_of(numbers) -> list[bytes]:
    """Return the events of a block of these numbers."""
    return [b"event %06d" % number for number in numbers]


def framed(numbers) -> list[bytes]:
    """Return the lines that these events are on the wire."""
    return [HEAD + event for event in events_of(numbers)]


def devo(sink, certs, **options) -> OutputSettings:
    """Return the settings of an output to a `TlsSink` with mutual TLS."""
    files = {"chain": str(certs.ca), "cert": str(certs.client_cert), "key": str(certs.client_key)}
    config = {"address": "127.0.0.1", "port": sink.port, "host": "host-1", **files, **options}
    return parse_output("devo", {"type": "devo_platform", "config": config})


def relay(sink, **options) -> OutputSettings:
    """Return the settings of an output to a `TlsSink` on plain TCP."""
    config = {"address": "127.0.0.1", "port": sink.port, "host": "host-1", **options}
    return parse_output("relay", {"type": "syslog", "config": config})


def http(receiver, **options) -> OutputSettings:
    """Return the settings of an output to an `HttpDevo`."""
    config = {"endpoint": receiver.url, "domain": DOMAIN, "token": TOKEN, "host": "host-1", **options}
    return parse_output("http", {"type": "devo_http", "config": config})


def deliver(output: Output, total=4000, step=500, every=2):
    """Write numbered events, with a receipt after every second block and at the end; return its strength."""
    for number, start in enumerate(range(0, total, step)):
        output.write(block_of(range(start, start + step)))
        if number % every == every - 1:
            receipt(output)
    strength = receipt(output)
    output.close()
    return strength


def receipt(output: Output):
    """Take the receipt of everything written."""
    output.begin()
    return output.finish()
