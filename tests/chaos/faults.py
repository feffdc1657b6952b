"""The columns of the matrix: each fault is a function of the run that plants it so many times.

A fault waits until events flow, strikes, and leaves the world whole; it asserts only that it has struck.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.chaos.load import bulk
from tests.fakes.certs import make_certs
from tests.fakes.faultproxy import Rule

if TYPE_CHECKING:
    from tests.chaos.matrix import Play

SLOW_BYTES_PER_SECOND = 1_000_000
_BULK_ROWS, _BULK_ROW_BYTES = 10_000, 130
_AWS_SHARE = 0.1
_PAUSE_SECONDS = 0.3


@dataclass(frozen=True, slots=True)
class Dose:
    """How much of a fault. seconds: how long one lasts, where that is a matter of choice."""

    times: int
    seconds: float = 0.0


Plant = Callable[["Play", Dose], None]


@dataclass(frozen=True, slots=True)
class Fault:
    """One column. full, short: doses of the long form and of the one in CI.

    senseless: targets' names where it makes no sense, and why.
    """

    name: str
    plant: Plant
    full: Dose
    short: Dose
    senseless: tuple[tuple[str, str], ...] = ()

    def why_not(self, target: str) -> str:
        """Return why it makes no sense at a target, or ""."""
        return dict(self.senseless).get(target, "")


def kill_collector(play: "Play", dose: Dose) -> None:
    """SIGKILL the collector at a random moment while events flow, and start it again."""
    for _ in range(dose.times):
        play.flowing()
        time.sleep(play.rng.uniform(0, 1.5))
        play.meter.weigh()
        play.strike(play.collector.kill)
        play.collector.start()


def kill_receiver(play: "Play", dose: Dose) -> None:
    """SIGKILL the receiver at a random moment, and start it again a little later."""
    for _ in range(dose.times):
        play.flowing()
        time.sleep(play.rng.uniform(0, 1.0))
        play.strike(play.receiver.kill)
        end_torn_lines(play.receiver.folder / "out")
        time.sleep(play.rng.uniform(0, 1.0))
        play.receiver.start()


def end_torn_lines(folder: Path) -> None:
    """End the lines that a killed receiver was writing: it would write the next one behind them."""
    for file in folder.iterdir():
        with file.open("ab+") as written:
            size = written.seek(0, os.SEEK_END)
            written.seek(max(0, size - 1))
            if written.read(1) not in {b"", b"\n"}:
                written.write(b"\n")


def reset_anywhere(play: "Play", dose: Dose) -> None:
    """RST to both sides at a random byte: in a handshake, in a record, in a line."""
    for _ in range(dose.times):
        play.flowing()
        struck = play.wire.struck
        play.strike(lambda: play.wire.reset_after(int(10 ** play.rng.uniform(0, 5))))
        play.wait(lambda struck=struck: play.wire.struck > struck, "the reset has struck")
        time.sleep(play.rng.uniform(0, _PAUSE_SECONDS))


def stall(play: "Play", dose: Dose) -> None:
    """Nothing passes for so long: what is open stays open, what is opened gets no answer."""
    for _ in range(dose.times):
        play.flowing()
        play.strike(play.wire.stall)
        time.sleep(dose.seconds)
        play.wire.flow()


def half_open(play: "Play", dose: Dose) -> None:
    """Take the receiver away without a word: in turn no packet is acknowledged any more, or every one is."""
    for number in range(dose.times):
        play.flowing()
        leave = play.wire.swallow if number % 2 else play.wire.deafen
        accepted = play.wire.accepted
        play.strike(lambda leave=leave: play.wait(leave, "a connection is open"))
        play.wait(lambda seen=accepted: play.wire.accepted > seen, "it has opened another one")


def half_open_first(play: "Play", dose: Dose) -> None:
    """Start the collector anew; leave its first connection half-open, acknowledged, before any receipt."""
    for _ in range(dose.times):
        play.flowing()
        play.collector.kill()
        sent = play.wire.sent
        play.collector.start()
        play.wait(lambda sent=sent: play.wire.sent > sent, "something is sent")
        accepted = play.wire.accepted
        play.strike(lambda: play.wait(play.wire.swallow, "a connection is open"))
        play.wait(lambda seen=accepted: play.wire.accepted > seen, "it has opened another one")


def slow_reader(play: "Play", dose: Dose) -> None:
    """Let the receiver read 1 MB/s, with more than that to read for so many seconds."""
    for _ in range(dose.times):
        play.flowing()
        play.strike(lambda: play.wire.pace(SLOW_BYTES_PER_SECOND))
        sent = play.wire.sent
        amount = int(dose.seconds * SLOW_BYTES_PER_SECOND)
        count = 1 + amount // (_BULK_ROWS * _BULK_ROW_BYTES)
        play.feeder.put([bulk(play.next_bulk(), _BULK_ROWS) for _ in range(count)])
        play.wait(lambda sent=sent, due=amount: play.wire.sent - sent >= due, "slowly read")
        play.wire.pace(0)


def accept_and_close(play: "Play", dose: Dose) -> None:
    """Close the next connection as soon as it is accepted, in order and by reset in turn."""
    for number in range(dose.times):
        play.flowing()
        closed = play.wire.closed
        play.wire.close_at_accept(by_reset=bool(number % 2))
        play.planted += 1
        play.renew()
        play.wait(lambda closed=closed: play.wire.closed > closed, "the close has struck")


def certificates(play: "Play", dose: Dose) -> None:
    """Let the receiver's and our own certificate expire in turn; then renew the files, under a new authority.

    Nobody restarts the collector for that.
    """
    for number in range(dose.times):
        play.flowing()
        ours = bool(number % 2) and play.target.mutual
        bad = {"client_expired": True} if ours else {"server_expired": True}
        play.receiver.stop()
        make_certs(play.certs.ca.parent, **bad)
        told = play.told("expired")
        play.strike(play.receiver.start)
        tried = play.wire.accepted
        if ours:
            play.wait(lambda tried=tried: play.wire.accepted >= tried + 2, "two more attempts")
        else:
            play.wait(lambda told=told: play.told("expired") > told, "it says what is wrong")
        play.receiver.stop()
        make_certs(play.certs.ca.parent)
        play.receiver.start()


def no_dns(play: "Play", dose: Dose) -> None:
    """Let the receiver's name be unknown for so many seconds."""
    for _ in range(dose.times):
        play.flowing()
        told = play.told("name cannot be resolved")
        play.strike(play.no_name.touch)
        play.renew()
        play.wait(lambda told=told: play.told("name cannot be resolved") > told, "it has asked for the name")
        time.sleep(dose.seconds)
        play.no_name.unlink()


def aws(*rules: Rule) -> Plant:
    """Return the fault: one call in ten to AWS fails in these ways; each failure counts as one."""

    def plant(play: "Play", dose: Dose) -> None:
        share = _AWS_SHARE / len(rules)
        planted = [
            play.proxy.add(
                rule.do, op=rule.op, code=rule.code, status=rule.status, size=rule.size, probability=share
            )
            for rule in rules
        ]
        time.sleep(dose.seconds)
        play.wait(lambda: sum(rule.fired for rule in planted) >= dose.times, "calls have failed")
        play.proxy.rules.clear()
        play.planted += sum(rule.fired for rule in planted)

    return plant


_PLAIN = (("tcp", "no certificates on plain TCP"),)

FAULTS = {
    "kill-collector": Fault("kill -9 of the collector", kill_collector, Dose(8), Dose(1)),
    "kill-receiver": Fault("kill -9 of the receiver", kill_receiver, Dose(8), Dose(1)),
    "reset": Fault("RST at random bytes", reset_anywhere, Dose(25), Dose(3)),
    "stall": Fault("stall", stall, Dose(1, 60), Dose(1, 3)),
    "half-open": Fault("half-open connection", half_open, Dose(2), Dose(1)),
    "half-open-first": Fault("half-open before any receipt", half_open_first, Dose(2), Dose(1)),
    "slow": Fault("slow reader, 1 MB/s", slow_reader, Dose(1, 20), Dose(1, 2)),
    "close": Fault("accepts and closes", accept_and_close, Dose(10), Dose(2)),
    "certs": Fault("certificate expired, renewed", certificates, Dose(2), Dose(1), _PLAIN),
    "dns": Fault("DNS failure", no_dns, Dose(2, 5), Dose(1, 0)),
    "aws-throttle": Fault("10 % of AWS calls throttled", aws(Rule("error")), Dose(5, 12), Dose(1, 1)),
    "aws-503": Fault(
        "10 % of AWS calls: 503",
        aws(Rule("error", status=503, code="ServiceUnavailable")),
        Dose(5, 12),
        Dose(1, 1),
    ),
    "aws-reset": Fault("10 % of AWS calls reset", aws(Rule("reset"), Rule("lost")), Dose(5, 12), Dose(1, 1)),
    "aws-truncate": Fault(
        "10 % of AWS bodies truncated", aws(Rule("truncate"), Rule("short")), Dose(5, 12), Dose(1, 1)
    ),
}
"""The columns, by the names that `python -m tests.chaos` takes."""
