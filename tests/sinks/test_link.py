"""The resilient link, over connections that fail by plan."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sinks.connection import ReceiptStrength
from sinks.errors import CertificateRejected, ConnectFailed, ConnectionLost, NoReceipt, OutageTooLong
from sinks.link import ASK_AGAIN_SECONDS, IDLE_SECONDS, Link, ReceiptPolicy
from sinks.retry_budget import Clock, RetryBudget, RetryLimits
from transforms.block import Block, Origin

LOST = ConnectionLost("lost", "there", "wait")
REFUSED = ConnectFailed("refused", "there", "wait")
UNREAD = NoReceipt("unread", "there", "wait")


class Time:
    """A clock that jumps instead of waiting."""

    def __init__(self):
        self.drain = threading.Event()
        self.at = 1000.0
        self.pauses = []

    def now(self):
        return self.at

    def part(self):
        return 1.0

    def pause(self, seconds):
        self.pauses.append(seconds)
        self.at += seconds


class Receiver:
    """Hands out connections and keeps what was read on each; `script` lists what goes wrong, call by call.

    Each entry is (method, error or strength): it is used up by the next call of that method.
    """

    def __init__(self, *script):
        self.script = list(script)
        self.connections = []
        self.read = []
        self.default = ReceiptStrength.RECEIPT

    def next(self, method):
        for place, (name, what) in enumerate(self.script):
            if name == method:
                del self.script[place]
                if isinstance(what, Exception):
                    raise what
                return what
        return None

    def connect(self, tick):
        tick()
        self.next("connect")
        self.connections.append(Fake(self))
        return self.connections[-1]

    @property
    def open(self):
        return [connection for connection in self.connections if not connection.gone]


class Fake:
    where = "there"

    def __init__(self, receiver):
        self.receiver = receiver
        self.pending = []
        self.gone = self.ended = False

    def send(self, *buffers):
        assert not self.gone
        assert not self.ended
        self.receiver.next("send")
        self.pending += buffers

    def check_open(self):
        assert not self.gone
        self.receiver.next("check_open")

    def begin_close(self):
        self.check_open()
        self.receiver.next("begin_close")
        self.ended = True

    def await_close(self, _timeout):
        assert self.ended
        self.gone = True
        strength = self.receiver.next("await_close") or self.receiver.default
        self.receiver.read += self.pending
        return strength

    def await_kernel(self, _timeout):
        assert not self.ended
        self.receiver.next("await_kernel")
        self.receiver.read += self.pending
        self.pending = []
        return ReceiptStrength.KERNEL

    def abandon(self):
        self.gone = True


def block(number, size=1):
    return Block(b"%d\n" % number * size, size, Origin("t"), "my.app.test")


def link_to(receiver, time, *, window=1000, outage=3600.0, fallback=True):
    return Link(
        "devo",
        receiver.connect,
        lambda one, _fullness: (one.payload,),
        window_bytes=window,
        receipt_policy=ReceiptPolicy("devo", 30.0, fallback=fallback),
        retry_budget=RetryBudget("devo", RetryLimits(outage, 20.0), time),
        clock=time,
        start=lambda work: work(),
    )


@pytest.fixture
def time():
    return Time()


def test_a_refused_certificate_is_told_once(time, caplog):
    """Whoever is woken for refusals is woken for this one too, and what was held back arrives afterwards."""
    rejected = CertificateRejected("refused", "there", "download a new one")
    receiver = Receiver(*[("connect", rejected)] * 3)
    link = link_to(receiver, time)
    with caplog.at_level("WARNING", "collector"):
        link.write(block(1))
        assert link.receipt() is ReceiptStrength.RECEIPT
    assert caplog.text.count("delivery_refused") == 1
    assert "delivery_retried" not in caplog.text
    assert receiver.read == [block(1).payload]


def test_connects_with_the_first_block_only(time):
    """A link that nobody writes to opens nothing, and its receipt costs nothing."""
    receiver = Receiver()
    link = link_to(receiver, time)
    assert link.receipt() is ReceiptStrength.RECEIPT
    link.close()
    assert receiver.connections == []


def test_receipt_is_taken_of_everything_written(time):
    """Blocks go out at once; the receipt closes their connection, with the next one open already."""
    receiver = Receiver()
    link = link_to(receiver, time)
    link.write(block(1))
    link.write(block(2))
    assert receiver.connections[0].pending == [b"1\n", b"2\n"]
    assert link.receipt() is ReceiptStrength.RECEIPT
    assert receiver.read == [b"1\n", b"2\n"]
    assert receiver.connections[0].gone
    assert len(receiver.open) == 1


def test_next_connection_opens_before_the_old_one_closes(time):
    """With an epoch's first block the next connection is opened: its handshake costs the receipt nothing."""
    receiver = Receiver()
    link = link_to(receiver, time)
    link.write(block(1))
    assert [one.ended for one in receiver.connections] == [False, False]
    link.begin()
    assert [one.ended for one in receiver.connections] == [True, False]
    assert link.finish() is ReceiptStrength.RECEIPT
    link.write(block(2))
    assert receiver.connections[1].pending == [b"2\n"]
    assert len(receiver.open) == 2
    link.close()
    assert receiver.open == []


def test_many_receipts_leave_no_connection_behind(time):
    """Whatever the number of receipts: one connection closing, one in use, one ahead; one after the last."""
    receiver = Receiver()
    link = link_to(receiver, time, window=10)
    for number in range(200):
        link.write(block(number))
        assert len(receiver.open) <= 3
        assert link._bytes <= 10
    link.receipt()
    assert len(receiver.open) == 1
    assert len(receiver.connections) == sum(one.ended for one in receiver.connections) + 1


def test_next_connection_failing_keeps_the_receipt(time):
    """When the next connection cannot be opened, the receipt of the old one counts all the same."""
    receiver = Receiver(("connect", None), ("connect", REFUSED))
    link = link_to(receiver, time)
    link.write(block(1))
    assert receiver.script == []
    assert link.receipt() is ReceiptStrength.RECEIPT
    assert time.pauses == []
    link.write(block(2))
    assert link.receipt() is ReceiptStrength.RECEIPT
    assert receiver.read == [b"1\n", b"2\n"]


@pytest.mark.parametrize(
    "script",
    [
        [("connect", REFUSED)],
        [("send", LOST)],
        [("send", None), ("send", LOST)],
        [("check_open", LOST)],
        [("begin_close", LOST)],
        [("await_close", UNREAD)],
        [("await_close", UNREAD), ("connect", None), ("connect", REFUSED), ("send", None)],
        [("await_close", UNREAD), ("send", None), ("send", None), ("send", LOST)],
        [("await_close", UNREAD), ("begin_close", LOST), ("await_close", UNREAD)],
    ],
)
def test_h20_everything_without_receipt_is_sent_again(time, script):
    """Whatever fails, and whenever: after the receipt all blocks were read, in order, at least once."""
    receiver = Receiver(*script)
    link = link_to(receiver, time)
    for number in range(3):
        link.write(block(number))
    assert link.receipt() is ReceiptStrength.RECEIPT
    assert receiver.read[-3:] == [b"0\n", b"1\n", b"2\n"]
    assert receiver.script == [] or all(what is None for _, what in receiver.script)
    assert len(receiver.open) <= 1


_FAILING = st.tuples(
    st.sampled_from(["connect", "send", "check_open", "begin_close", "await_close", "await_kernel"]),
    st.sampled_from([LOST, REFUSED, UNREAD, None]),
)


@given(
    st.lists(_FAILING, max_size=12),
    st.lists(st.sampled_from(["write", "begin", "receipt"]), max_size=30),
    st.sampled_from(list(ReceiptStrength)[:3]),
    st.integers(2, 30),
)
def test_h20_nothing_is_lost_whatever_fails(script, steps, habit, window):
    """Whatever fails, in any order of steps, whatever the receiver does: what is receipted was read."""
    receiver = Receiver(*script)
    receiver.default = habit
    link = link_to(receiver, Time(), window=window)
    written = []
    for number, step in enumerate(steps):
        if step == "write":
            link.write(block(number))
            written.append(b"%d\n" % number)
            continue
        if step == "begin":
            link.begin()
            continue
        link.receipt()
        assert set(written) <= set(receiver.read)
    link.receipt()
    assert set(written) == set(receiver.read)
    assert len(receiver.open) <= 1


def test_full_window_takes_a_receipt_at_once(time):
    """The window holds at most its bytes: a block that does not fit waits until the older half is read."""
    receiver = Receiver()
    link = link_to(receiver, time, window=10)
    for number in range(6):
        link.write(block(number))  # two bytes each
    assert receiver.read == [b"%d\n" % number for number in range(3)]
    assert link._bytes == 6


def test_a7_a_window_holds_so_many_events(time):
    """Events of a byte count as if they were longer: behind their headers they are more on the wire."""
    receiver = Receiver()
    link = link_to(receiver, time, window=2 << 20)
    for _ in range(4):
        link.write(Block(b"a\n" * 4096, 4096, Origin("t"), "a.b"))
    assert link._bytes == 2 * 2 * 4096


def test_half_a_window_is_asked_for_early(time):
    """Once half full, the window's receipt is asked for and not waited for, and blocks go on meanwhile."""
    receiver = Receiver()
    link = link_to(receiver, time, window=10)
    for number in range(5):
        link.write(block(number))
    first, second, *_ = receiver.connections
    assert (first.ended, second.ended) == (True, False)
    assert (first.pending, second.pending) == ([b"0\n", b"1\n", b"2\n"], [b"3\n", b"4\n"])
    assert receiver.read == []
    assert link.receipt() is ReceiptStrength.RECEIPT
    assert receiver.read == [b"%d\n" % number for number in range(5)]
    assert len(receiver.open) == 1


@pytest.mark.parametrize(
    "script",
    [
        [("await_close", UNREAD)],
        [("begin_close", LOST)],
        [("await_close", ReceiptStrength.CLOSED)],
        [("send", None)] * 3 + [("send", LOST)],
        [("connect", None), ("connect", REFUSED)],
    ],
)
def test_h20_nothing_is_lost_between_two_halves(time, script):
    """When the older half gets no receipt, or the connection of the younger one fails, both go out again."""
    receiver = Receiver(*script)
    link = link_to(receiver, time, window=10, fallback=False)
    for number in range(5):
        link.write(block(number))
    assert link.receipt() is ReceiptStrength.RECEIPT
    assert [b"%d\n" % number for number in range(5)] in (receiver.read[-5:], receiver.read[:5])
    assert link._bytes == 0


def test_silent_receivers_are_not_asked_early(time):
    """A receiver that never answers keeps its connection: half a window closes nothing."""
    receiver = Receiver()
    receiver.default = ReceiptStrength.KERNEL
    link = link_to(receiver, time, window=10)
    for number in range(50):
        link.write(block(number))
        assert link._bytes <= 10
    assert link.receipt() is ReceiptStrength.KERNEL
    assert sum(one.ended for one in receiver.connections) == 2  # the first one and an empty one
    assert sorted(receiver.read, key=int) == [b"%d\n" % number for number in range(50)]


def test_block_larger_than_the_window_passes(time):
    """A single block above the window's size goes out alone."""
    receiver = Receiver()
    link = link_to(receiver, time, window=4)
    link.write(block(1, size=10))
    link.write(block(2))
    assert link.receipt() is ReceiptStrength.RECEIPT
    assert receiver.read == [b"1\n" * 10, b"2\n"]


def test_idle_close_costs_no_pause(time):
    """A connection that the balancer closed between two epochs is replaced at once; it is no failure."""
    receiver = Receiver()
    link = link_to(receiver, time)
    link.write(block(1))
    link.receipt()
    receiver.script = [("check_open", LOST)]
    link.write(block(2))
    assert time.pauses == []
    assert link.receipt() is ReceiptStrength.RECEIPT
    assert receiver.read == [b"1\n", b"2\n"]


def test_h20_long_idle_connection_is_not_trusted(time):
    """A connection unused for longer than balancers wait is replaced before anything goes over it."""
    receiver = Receiver()
    link = link_to(receiver, time)
    link.write(block(1))
    link.receipt()
    time.at += IDLE_SECONDS
    link.write(block(2))
    assert receiver.connections[1].gone
    assert receiver.connections[1].pending == []


def test_pauses_grow_to_half_a_minute(time):
    """Attempts are 0.2 s, 0.4 s … apart at most, and never more than 30 s."""
    receiver = Receiver(*[("connect", REFUSED)] * 12)
    link_to(receiver, time).write(block(1))
    assert time.pauses == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30.0, 30.0, 30.0, 30.0]


def test_h20_an_hour_of_outage_is_survived(time):
    """A receiver that is down for an hour gets everything when it is back."""
    receiver = Receiver(*[("connect", REFUSED)] * 125)
    link = link_to(receiver, time, outage=12 * 3600.0)
    link.write(block(1))
    assert time.at - 1000 > 3500
    assert link.receipt() is ReceiptStrength.RECEIPT
    assert receiver.read == [b"1\n"]


def test_outage_limit_ends_it(time):
    """After the limit the error says for how long, what and where, and that nothing was acknowledged."""
    receiver = Receiver(*[("connect", REFUSED)] * 1000)
    with pytest.raises(OutageTooLong, match=r"for 60 s \(refused\): output devo at there: wait; nothing was"):
        link_to(receiver, time, outage=60.0).write(block(1))
    assert time.at == 1060


def test_outage_counts_from_the_last_receipt(time):
    """A receiver that takes connections and data but never gives a receipt is an outage too."""
    receiver = Receiver(*[("await_close", UNREAD)] * 1000)
    link = link_to(receiver, time, outage=60.0)
    link.write(block(1))
    with pytest.raises(OutageTooLong):
        link.receipt()
    assert time.at == 1060


def test_receipt_ends_an_outage(time):
    """After a receipt the next outage counts from its own start, and its pauses begin small again."""
    receiver = Receiver(*[("connect", REFUSED)] * 5)
    link = link_to(receiver, time, outage=60.0)
    link.write(block(1))
    link.receipt()
    time.at += 100
    time.pauses.clear()
    receiver.script = [("connect", REFUSED)] * 4
    link.write(block(2))
    assert time.pauses == [0.2, 0.4, 0.8, 1.6]


def test_drain_shortens_the_limit(time):
    """Told to end during an outage, the link gives up after the grace."""
    receiver = Receiver(*[("connect", REFUSED)] * 1000)
    time.drain.set()
    with pytest.raises(OutageTooLong, match="for 20 s"):
        link_to(receiver, time).write(block(1))


def test_drain_opens_no_next_connection(time):
    """The last receipt before the end opens no connection that nobody will use."""
    receiver = Receiver()
    link = link_to(receiver, time)
    link.write(block(1))
    time.drain.set()
    assert link.receipt() is ReceiptStrength.RECEIPT
    assert receiver.open == []


def test_drain_wakes_a_pause():
    """A pause ends when the drain begins; pauses after that are slept through."""
    drain = threading.Event()
    clock = Clock(drain)
    threading.Timer(0.05, drain.set).start()
    clock.pause(60)
    assert drain.is_set()
    clock.pause(0.01)


def test_silent_receiver_falls_back_once_and_loudly(time, caplog):
    """A receiver that never answered gives kernel strength, is told of once, and its connection is kept."""
    receiver = Receiver()
    receiver.default = ReceiptStrength.KERNEL
    link = link_to(receiver, time)
    strengths = []
    with caplog.at_level("WARNING", "collector"):
        for number in range(3):
            link.write(block(number))
            strengths.append(link.receipt())
    assert strengths == [ReceiptStrength.KERNEL] * 3
    assert caplog.text.count("receipt_fallback") == 1
    assert len(receiver.connections) == 3
    assert receiver.read == [b"0\n", b"1\n", b"2\n"]


def test_h20_one_silent_connection_is_no_silent_receiver(time, caplog):
    """The first connection is half-open behind a balancer that acknowledges: another one is asked first."""
    receiver = Receiver(("await_close", ReceiptStrength.KERNEL))
    link = link_to(receiver, time)
    link.write(block(1))
    with caplog.at_level("WARNING", "collector"):
        assert link.receipt() is ReceiptStrength.RECEIPT
    assert "receipt_fallback" not in caplog.text
    assert receiver.read == [b"1\n", b"1\n"]  # the second time on a connection that answered
    link.close()
    assert receiver.open == []


@pytest.mark.parametrize("method", ["connect", "begin_close", "await_close"])
def test_h20_a_receiver_that_cannot_be_asked_is_no_silent_one(time, caplog, method):
    """When the other connection fails, nothing is believed: everything is sent again."""
    receiver = Receiver(("await_close", ReceiptStrength.KERNEL))
    link = link_to(receiver, time)
    link.write(block(1))
    link.begin()
    if method == "await_close":
        receiver.script.append((method, LOST))
    else:
        receiver.script.insert(0, (method, LOST))
    with caplog.at_level("WARNING", "collector"):
        assert link.finish() is ReceiptStrength.RECEIPT
    assert "receipt_fallback" not in caplog.text
    assert receiver.script == []
    assert receiver.read[-1:] == [b"1\n"]


def test_silent_receiver_is_asked_again(time, caplog):
    """After ten minutes a silent receiver is asked again, and believed when it answers."""
    receiver = Receiver(*[("await_close", ReceiptStrength.KERNEL)] * 2)
    link = link_to(receiver, time)
    link.write(block(1))
    assert link.receipt() is ReceiptStrength.KERNEL
    time.at += ASK_AGAIN_SECONDS
    link.write(block(2))
    with caplog.at_level("WARNING", "collector"):
        assert link.receipt() is ReceiptStrength.RECEIPT
    assert "receipt_restored" in caplog.text


def test_silence_that_lasts_is_told_once(time, caplog):
    """A receiver that is asked again and is silent again is not told of again."""
    receiver = Receiver()
    receiver.default = ReceiptStrength.KERNEL
    link = link_to(receiver, time)
    with caplog.at_level("WARNING", "collector"):
        for number in range(4):
            link.write(block(number))
            assert link.receipt() is ReceiptStrength.KERNEL
            time.at += ASK_AGAIN_SECONDS
    assert caplog.text.count("receipt_fallback") == 1
    assert (
        sum(one.ended for one in receiver.connections) == 4 + 1
    )  # and an empty one before the first is believed


def test_strength_follows_what_the_receiver_proves(time, caplog):
    """A link's strength is what its receiver's last answer proved, and each change is told."""
    receiver = Receiver(("await_close", ReceiptStrength.CLOSED), ("await_close", ReceiptStrength.KERNEL))
    link = link_to(receiver, time)
    seen = [link.strength]
    with caplog.at_level("WARNING", "collector"):
        for number in range(3):
            link.write(block(number))
            link.receipt()
            seen.append(link.strength)
            time.at += ASK_AGAIN_SECONDS
    assert seen == [
        ReceiptStrength.RECEIPT,
        ReceiptStrength.CLOSED,
        ReceiptStrength.KERNEL,
        ReceiptStrength.RECEIPT,
    ]
    told = [line for line in caplog.messages if line.startswith("receipt_")]
    assert [line.split()[0] for line in told] == ["receipt_fallback"] * 2 + ["receipt_restored"]


@pytest.mark.parametrize("strength", [ReceiptStrength.KERNEL, ReceiptStrength.CLOSED])
def test_who_answered_once_must_answer_always(time, strength):
    """Once a receiver has answered, silence or a bare end is a failure: everything is sent again."""
    receiver = Receiver()
    link = link_to(receiver, time)
    link.write(block(1))
    link.receipt()
    receiver.script = [("await_close", strength)]
    link.write(block(2))
    assert link.receipt() is ReceiptStrength.RECEIPT
    assert receiver.read == [b"1\n", b"2\n", b"2\n"]


def test_fallback_can_be_forbidden(time):
    """With `receipt_fallback: false` silence is a failure from the start."""
    receiver = Receiver(*[("await_close", ReceiptStrength.KERNEL)] * 1000)
    link = link_to(receiver, time, fallback=False, outage=10.0)
    link.write(block(1))
    with pytest.raises(OutageTooLong):
        link.receipt()


def test_bare_end_of_file_is_asked_for_each_time(time):
    """A receiver that closes without close_notify costs no waiting, so each epoch still ends by closing."""
    receiver = Receiver()
    receiver.default = ReceiptStrength.CLOSED
    link = link_to(receiver, time)
    for number in range(3):
        link.write(block(number))
        assert link.receipt() is ReceiptStrength.CLOSED
    assert len(receiver.connections) == 4


def test_blocked_output_is_told(time, caplog):
    """An output that fails again and again is said to be blocked, and to have recovered."""
    receiver = Receiver(*[("connect", REFUSED)] * 5)
    link = link_to(receiver, time)
    with caplog.at_level("WARNING", "collector"):
        link.write(block(1))
        link.receipt()
    assert caplog.text.count("output_blocked") == 1
    assert caplog.text.count("output_recovered") == 1


def test_close_promises_nothing(time):
    """Closing drops the connection without a receipt: what has none is not acknowledged."""
    receiver = Receiver()
    link = link_to(receiver, time)
    link.write(block(1))
    link.close()
    assert receiver.open == []
    assert receiver.read == []


def test_a_stale_connection_leaves_the_receipt_of_the_one_before_it(time):
    """A connection opened ahead is too old when the next block comes: what is asked for is not sent again."""
    receiver = Receiver()
    link = link_to(receiver, time, window=4)
    link.write(block(1, 1))
    time.at += IDLE_SECONDS
    link.write(block(2, 1))
    link.begin()
    link.finish()
    assert receiver.read == [b"1\n", b"2\n"]
    assert sum(len(connection.pending) for connection in receiver.connections) == 2


def test_h20_the_kernels_word_counts_for_its_own_connection_only(time):
    """A silent receiver's connection goes after it was asked: the next one's word is not its word."""
    receiver = Receiver()
    receiver.default = ReceiptStrength.KERNEL
    link = link_to(receiver, time)
    link.write(block(0))
    link.receipt()
    link.write(block(1))
    link.begin()
    receiver.script = [("check_open", LOST)]
    link.write(block(2))
    assert link.receipt() is ReceiptStrength.KERNEL
    assert receiver.read == [b"0\n", b"1\n", b"2\n"]
