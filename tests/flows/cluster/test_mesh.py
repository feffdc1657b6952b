"""Processes find each other, carry bytes for each other, and name who is lost."""

import socket
import threading
import time
from contextlib import closing, suppress

import pytest

from flows.cluster.mesh import _BEGINNING, Mesh
from tests.fakes.process import HOST, free_port, wait_until

KEY = b"0123456789abcdef"
_TIMEOUT = 20.0


class Member:
    """A process of a cluster, as far as its mesh goes. given: the addresses for bytewax, once gathered."""

    def __init__(self, addresses, index, secret=KEY):
        self.lost = []
        self.mesh = Mesh(addresses, index, secret, self.lost.append)
        self.given = None
        threading.Thread(target=self._gather, daemon=True).start()

    def _gather(self):
        self.given = self.mesh.gather()

    def vanish(self):
        """Lose all connections at once, as by a kill."""
        self.mesh._over = True
        for link in self.mesh.links:
            with suppress(OSError):
                link._frames.socket.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def addresses():
    return [f"{HOST}:{free_port()}" for _ in range(3)]


def together(members):
    wait_until(lambda: all(member.given for member in members), _TIMEOUT, "all have gathered")


def test_s2_they_begin_together(addresses):
    """Nobody begins before all are there, in whatever order they come."""
    early = [Member(addresses, 2), Member(addresses, 0)]
    time.sleep(1.5)
    assert not any(member.given for member in early)
    members = [*early, Member(addresses, 1)]
    together(members)
    assert all(one.startswith("127.") for member in members for one in member.given)
    assert not any(member.lost for member in members)


def test_s2_strangers_change_nothing(addresses):
    """Silent ones, garbage, and peers of another cluster neither take a place nor hold up the start."""
    members = [Member(addresses, 0), Member(addresses, 1)]
    stranger = Member([*addresses[:2], f"{HOST}:{free_port()}"], 2, b"another secret of 16")
    port = int(addresses[0].rpartition(":")[2])
    wait_until(lambda: socket.create_connection((HOST, port)).close() is None, _TIMEOUT, "it listens")
    with (
        closing(socket.create_connection((HOST, port))),
        closing(socket.create_connection((HOST, port))) as loud,
    ):
        loud.sendall(bytes(1000))
        time.sleep(1)
        assert not any(member.given for member in [*members, stranger])
        together([*members, Member(addresses, 2)])
        stranger.mesh._over = True


def told(address):
    host, _, port = address.rpartition(":")
    return host, int(port)


def test_bytes_are_carried(addresses):
    """What bytewax says to a peer's address arrives at that peer's bytewax, and the other way round."""
    members = [Member(addresses[:2], 0), Member(addresses[:2], 1)]
    together(members)
    with socket.create_server(told(members[0].given[0])) as listening:
        dialled = socket.create_connection(told(members[1].given[0]))
        dialled.sendall(_BEGINNING)
        accepted, _ = listening.accept()
        with closing(dialled), closing(accepted):
            assert accepted.recv(len(_BEGINNING), socket.MSG_WAITALL) == _BEGINNING
            for one, other in ((dialled, accepted), (accepted, dialled)):
                one.sendall(b"hello" * 50_000)
                got = b""
                while len(got) < 250_000:
                    got += other.recv(1 << 16)
                assert got == b"hello" * 50_000
            dialled.shutdown(socket.SHUT_WR)
            assert accepted.recv(10) == b""
            accepted.shutdown(socket.SHUT_WR)
            assert dialled.recv(10) == b""
    for member in members:
        member.mesh.finish()
        assert not member.lost


def test_s2_who_dials_a_port_of_loopback_by_mistake_takes_no_place(addresses):
    """Whoever else comes to bytewax's door, or is gone before bytewax comes, does not end the wait."""
    members = [Member(addresses[:2], 0), Member(addresses[:2], 1)]
    together(members)
    door = told(members[1].given[0])
    socket.create_connection(door).close()
    with socket.create_connection(door) as loud:
        loud.sendall(b"GET / HTTP/1.0\r\n\r\n")
        with suppress(ConnectionResetError):
            assert loud.recv(10) == b""
    with socket.create_server(told(members[0].given[0])) as listening, socket.create_connection(door) as own:
        own.sendall(_BEGINNING)
        with closing(listening.accept()[0]) as accepted:
            assert accepted.recv(len(_BEGINNING), socket.MSG_WAITALL) == _BEGINNING
    assert not any(member.lost for member in members)


def test_each_process_has_a_loopback_address_of_its_own(addresses):
    """What once listened on 127.0.0.1 and is still dialled there cannot meet bytewax's ports."""
    members = [Member(addresses, index) for index in range(3)]
    together(members)
    hosts = [{told(one)[0] for one in member.given} for member in members]
    assert all(len(of) == 1 for of in hosts)
    assert len(set.union(*hosts)) == len(members)


def test_s8_a_lost_peer_is_named(addresses):
    """Who loses a peer says which one; one that comes again in a new life ends the old one's peers."""
    members = [Member(addresses, index) for index in range(3)]
    together(members)
    members[2].vanish()
    wait_until(lambda: members[0].lost and members[1].lost, _TIMEOUT, "both have noticed")
    assert all("process 2 at" in member.lost[0] for member in members[:2])


def test_s2_a_new_life_of_a_peer_ends_the_old_cluster(addresses):
    """A peer that was started again before its loss was noticed: the others learn it from itself."""
    members = [Member(addresses, index) for index in range(3)]
    together(members)
    Member([*addresses[:2], f"{HOST}:{free_port()}"], 2)
    wait_until(lambda: members[0].lost and members[1].lost, _TIMEOUT, "both have noticed")
    assert "process 2" in members[0].lost[0]
