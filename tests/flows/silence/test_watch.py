"""Who is heard, who is told, and what is kept."""

from types import SimpleNamespace

import pytest

from flows.check.settings import silences
from flows.silence.pauses import WEEK_MINUTES
from flows.silence.watch import FOLDER, SilenceWatch, SilentScope, silent_in
from transforms.block import Block, Origin
from transforms.telemetry import listen, unlisten

ORIGIN = Origin("audits_s3", "123456789012", "eu-west-1")
UNIT = SimpleNamespace(account=SimpleNamespace(name="production"), service=SimpleNamespace(name="audits_s3"))


class World:
    """A watch whose time is moved by hand; told: the events that it logged."""

    def __init__(self, file, expected=()):
        self.minute, self.told, self.flows = 0, [], True
        self.watch = SilenceWatch(
            file, lambda: self.minute * 60 * self.flows, dict(expected), lambda: self.minute * 60.0
        )
        self.transform = self.watch.listening(UNIT, lambda block: [block])

    def hear(self, event, fields):
        if event in {"fell_silent", "heard_again"}:
            self.told.append((event, fields["account"], fields["region"]))

    def run(self, minutes, every=0):
        listen(self.hear)
        try:
            for _ in range(minutes):
                self.minute += 1
                if every and self.minute % every == 0:
                    assert list(self.transform(Block(b"x\n", 1, ORIGIN)))
                self.watch.look()
        finally:
            unlisten(self.hear)


def test_a_silence_is_told_and_its_end(tmp_path):
    """An account's region that stops is told with place, and again when it is heard; `check` tells it too."""
    world = World(file := tmp_path / FOLDER / "0.state")
    world.run(3 * WEEK_MINUTES, every=5)
    world.run(60)
    assert world.told == [("fell_silent", "123456789012", "eu-west-1")]
    world.watch.save()
    (found,) = silences(SimpleNamespace(settings=SimpleNamespace(state_directory=tmp_path)))
    assert (found.code, found.where) == ("silent", "audits_s3 123456789012 eu-west-1 of input production")
    world.run(10, every=5)
    assert world.told[1:] == [("heard_again", "123456789012", "eu-west-1")]
    again = World(file)
    again.minute = world.minute
    again.watch = SilenceWatch(file, lambda: again.minute * 60, {}, lambda: again.minute * 60.0)
    again.run(60)
    assert again.told == [("fell_silent", "123456789012", "eu-west-1")]


def test_an_expectation_of_the_configuration_decides_alone():
    """`expect_every_seconds` needs no learning, and tells a service of which nothing ever came."""
    world = World(None, {("production", "audits_s3"): 600.0})
    world.run(10)
    assert world.told == []
    world.run(5)
    assert world.told == [("fell_silent", "", "")]
    world.run(5, every=5)
    world.run(30)
    assert sorted(world.told[1:]) == [
        ("fell_silent", "", ""),
        ("fell_silent", "123456789012", "eu-west-1"),
        ("heard_again", "", ""),
    ]


def test_while_the_outputs_take_nothing_nobody_is_silent():
    """Without receipts nothing is known to come."""
    world = World(None, {("production", "audits_s3"): 600.0})
    world.flows = False
    world.run(100)
    assert world.told == []


def test_a_file_that_cannot_be_read_is_begun_anew(tmp_path):
    """Half a file, or one of another release, costs what was learned and no more."""
    file = tmp_path / "0.state"
    for content in (b"", b"\x81", b"\x81\xa1v\x02", b"\x81\xa1v\x01"):
        file.write_bytes(content)
        assert SilenceWatch(file, lambda: 0.0, {})._rhythms.numbers == {}


@pytest.mark.parametrize("region", ["a\tb", "a\tb\tc", "\t", "x" * 5000, "eu\nwest"])
@pytest.mark.parametrize("expected", [(), {("production", "audits_s3"): 600.0}])
def test_a_region_of_any_text_silences_no_alarm(tmp_path, region, expected):
    """Whoever writes a notification chooses its region: all others are watched on, what is kept is read."""
    world = World(tmp_path / FOLDER / "0.state", expected)
    assert list(world.transform(Block(b"x\n", 1, Origin("audits_s3", "123456789012", region))))
    world.run(3 * WEEK_MINUTES, every=5)
    world.told.clear()
    world.run(60)
    assert ("fell_silent", "123456789012", "eu-west-1") in world.told
    world.watch.save()
    kept = silent_in(tmp_path)
    assert SilentScope("production", "audits_s3", "123456789012", "eu-west-1") in kept
    assert all(len(scope.region) < 100 for scope in kept)


def test_a_look_that_fails_is_told_and_the_next_one_looks_again(monkeypatch):
    """The thread lives on."""
    world = World(None)
    turns, told = iter([False, False, True]), []
    drain = SimpleNamespace(wait=lambda _seconds: next(turns))
    monkeypatch.setattr(world.watch, "look", lambda: 1 // 0)
    listen(hear := lambda event, fields: told.append((event, fields.get("error"))))
    try:
        world.watch.run(drain)
    finally:
        unlisten(hear)
    failed = ("silence_look_failed", "ZeroDivisionError: integer division or modulo by zero")
    assert told == [failed] * 2
