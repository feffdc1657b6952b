"""A seeded discrete simulation of queue, processes and epochs, to hold against `model.py`.

Objects come at random (Poisson) into one queue. Each goes to a process that has room, is fetched while others
are, waits for the process's one core, is emitted, and is deleted when the epoch in which it was emitted has
its receipt. Processes have epochs of their own.
"""

import heapq
import random
from collections import deque
from dataclasses import dataclass, field

from tests.bench.model import Assumed, Load

ROOM = 400
"""Messages that one process holds before it stops to receive."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What happened. busy: share of the cores' time. in_flight: mean. done: objects/s. left: in the queue."""

    busy: float
    in_flight: float
    most_in_flight: int
    done: float
    left: int


@dataclass(slots=True)
class _Process:
    """free: when the core has nothing more to do. holds: messages not yet deleted. shift: of its epochs."""

    shift: float
    free: float = 0.0
    holds: int = 0


@dataclass(slots=True)
class _World:
    of: Load
    given: Assumed
    processes: list[_Process]
    rng: random.Random
    now: float = 0.0
    waiting: deque[float] = field(default_factory=deque)
    events: list[tuple[float, int, int]] = field(default_factory=list)
    flying: int = 0
    most: int = 0
    area: float = 0.0
    work: float = 0.0
    done: int = 0


_ARRIVAL = -1


def simulate(of: Load, count: int, given: Assumed, seconds: float, seed: int = 7) -> Seen:
    """Play so many seconds after a start of four epochs, which is not counted."""
    rng = random.Random(seed)
    world = _World(of, given, [_Process(rng.random() * given.epoch) for _ in range(count)], rng)
    begin = 4 * (given.epoch + given.receipt)
    heapq.heappush(world.events, (rng.expovariate(of.objects), 0, _ARRIVAL))
    play(world, begin)
    world.area = world.work = 0.0
    world.done = world.most = 0
    play(world, begin + seconds)
    return Seen(
        world.work / seconds / count,
        world.area / seconds,
        world.most,
        world.done / seconds,
        len(world.waiting),
    )


def play(world: _World, until: float) -> None:
    """Take events in the order of time."""
    number = world.done + len(world.events) + 1
    while world.events and world.events[0][0] <= until:
        at, _, which = heapq.heappop(world.events)
        world.area += world.flying * (at - world.now)
        world.now = at
        if which == _ARRIVAL:
            world.waiting.append(at)
            number += 1
            due = at + world.rng.expovariate(world.of.objects)
            heapq.heappush(world.events, (due, number, _ARRIVAL))
        else:
            world.processes[which].holds -= 1
            world.flying -= 1
            world.done += 1
        number = receive(world, number)
    world.area += world.flying * (until - world.now)
    world.now = until


def receive(world: _World, number: int) -> int:
    """Hand waiting messages to processes with room, at random, and plan their deletion."""
    while world.waiting:
        which = chosen(world)
        if which < 0:
            return number
        world.waiting.popleft()
        process, given = world.processes[which], world.given
        fetched = world.now + given.latency
        begun = max(fetched, process.free)
        emitted = process.free = begun + world.of.service
        world.work += world.of.service
        closed = process.shift + -(-(emitted - process.shift) // given.epoch) * given.epoch
        number += 1
        heapq.heappush(world.events, (closed + given.receipt + given.latency, number, which))
        process.holds += 1
        world.flying += 1
        world.most = max(world.most, world.flying)
    return number


def chosen(world: _World) -> int:
    """Return a process with room: one at random, else the emptiest; -1 when all are full."""
    which = world.rng.randrange(len(world.processes))
    if world.processes[which].holds < ROOM:
        return which
    which = min(range(len(world.processes)), key=lambda at: world.processes[at].holds)
    return which if world.processes[which].holds < ROOM else -1
