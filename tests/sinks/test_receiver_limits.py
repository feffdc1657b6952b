"""Real receivers that cut long lines, as they do by default: no event of an attacker's own making arrives."""

import re

import pytest

from sinks import probe
from sinks.devo import DevoSink, Process
from sinks.outputs import event_limit, opener
from sinks.settings import parse_output
from tests.fakes.receivers import Receiver, configuration, need
from transforms.block import Block, Origin, Poison

TAG, FORGED = "cloud.aws.cloudtrail", "auth.unix.forged"
CUTS = {"rsyslog": 8096, "syslog-ng": 65536}


class Launch:
    """A process of its own."""

    process, workers = Process(), 1


@pytest.fixture
def cutting(tmp_path):
    """Return what starts a receiver that cuts where it does when nobody tells it otherwise."""
    started = []

    def start(kind, *, counted=False):
        receiver = Receiver(need(kind), tmp_path / kind, None)
        text = configuration(kind, receiver.folder, None, receiver.port)
        text = re.sub(
            r'maxMessageSize="2m" oversizemsg.input.mode="accept"|log-msg-size\(2097152\);', "", text
        )
        if counted:
            text = text.replace('supportOctetCountedFraming="off"', "").replace("network(", "syslog(")
        receiver._configuration.write_text(text)
        started.append(receiver)
        return receiver.start()

    yield start
    for receiver in started:
        receiver.kill()


def settings(receiver, **options):
    config = {"address": "127.0.0.1", "port": receiver.port, "host": "host-1", **options}
    return parse_output("relay", {"type": "syslog", "config": config})


def hostile(cut, head):
    """Return an event whose rest, when it is cut there, is a whole line under another tag."""
    rest = f"<14>Jan  1 00:00:00 bank {FORGED}: Accepted password for root"
    return b'{"userAgent":"'.ljust(cut - head, b"x") + rest.encode() + b'"}'


def sent(output, events):
    """Send events as the dataflow does; return what went to quarantine instead."""
    sink = DevoSink([output], Launch())
    items = sink.fit(Block(b"\n".join([*events, b""]), len(events), Origin("s"), TAG))
    link = opener(output)()
    for item in items:
        if isinstance(item, Block):
            link.write(item)
    link.begin()
    link.finish()
    link.close()
    return [item for item in items if isinstance(item, Poison)]


def arrived(receiver, count):
    receiver.wait_for(count, 10)
    receiver.stop()
    return receiver.lines()


@pytest.mark.parametrize("kind", CUTS)
def test_a8_without_the_setting_a_receiver_that_cuts_makes_an_event_of_the_rest(kind, cutting):
    """What the setting is for: the receivers do this, so this is why nothing longer may be sent."""
    receiver = cutting(kind)
    head = len(b"<14>Jan  1 00:00:00 host-1 cloud.aws.cloudtrail: ")
    assert sent(settings(receiver), [hostile(CUTS[kind] + (kind == "rsyslog"), head)]) == []
    assert FORGED in arrived(receiver, 2)


@pytest.mark.parametrize("kind", CUTS)
@pytest.mark.parametrize("framing", ["newline", "octet_counting"])
def test_a8_what_would_be_cut_is_not_sent(kind, framing, cutting):
    """Longer events go to quarantine with their reason; one of just the length arrives whole."""
    receiver = cutting(kind, counted=framing == "octet_counting")
    output = settings(receiver, receiver_max_event_bytes=CUTS[kind], framing=framing)
    limit = event_limit([output], TAG)
    head = CUTS[kind] - limit
    (poison,) = sent(output, [b"a", hostile(CUTS[kind], head), b"y" * limit, b"b"])
    assert (poison.reason, str(limit) in poison.detail) == ("event_too_large", True)
    lines = arrived(receiver, 3)
    assert {tag: [len(line) - head for line in found] for tag, found in lines.items()} == {TAG: [1, limit, 1]}


@pytest.mark.parametrize("end", [b"\r", b"\0", b"\r\n\0"])
def test_a8_what_ends_an_event_for_devos_relay_is_not_sent(end, cutting):
    r"""Devo's relay ends an event at \r and NUL too: both become a blank, so that the event stays one."""
    receiver = cutting("rsyslog")
    event = b"a" + end.replace(b"\n", b"") + f"<14>Jan  1 00:00:00 bank {FORGED}: x".encode()
    assert sent(settings(receiver), [event]) == []
    ((line,),) = arrived(receiver, 1).values()
    assert line.endswith(event.translate(bytes.maketrans(b"\r\0", b"  ")))


def test_a8_100_kib_of_cloudtrail_pass_by_default(cutting):
    """An event of 100 KiB is sent by default: Devo's relay takes it."""
    output = parse_output("relay", {"type": "in_house_relay", "config": {"address": "x", "port": 13000}})
    assert event_limit([output], TAG) > 100 << 10


@pytest.mark.parametrize("kind", CUTS)
def test_a8_a_probe_shows_where_a_receiver_cuts(kind, cutting):
    """Events of a probe are whole where the receiver takes them; others tell where they were cut."""
    receiver = cutting(kind)
    probe.send(settings(receiver), "r1")
    receiver.wait_quiet(0.5)
    receiver.stop()
    lines = [line for line in receiver.lines()[probe.TAG] if b": probe r1 of " in line]
    whole = {len(line): int(line[-9:]) for line in lines if line[-16:].startswith(b" whole=")}
    assert max(whole.values()) == CUTS[kind]
    assert all(arrived == told for arrived, told in whole.items())
    assert {len(line) - CUTS[kind] for line in lines if len(line) not in whole} <= {0, 1}
