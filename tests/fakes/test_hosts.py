"""Hosts in namespaces: what a cut link, a mute host and the doors to this machine do."""

import socket
import threading
from contextlib import contextmanager

import pytest

from tests.fakes.hosts import SERVERS, Network, inside, need_hosts
from tests.fakes.process import HOST


@pytest.fixture
def network():
    need_hosts()
    with Network() as started:
        yield started


@contextmanager
def echo():
    """Serve on loopback what sends back all that it was sent, once its sender has ended; yields the port."""

    def serve(listener):
        for _ in range(2):
            sock, _ = listener.accept()
            with sock:
                sock.sendall(b"".join(iter(lambda sock=sock: sock.recv(1000), b"")))

    with socket.create_server((HOST, 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,), daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


def test_doors_lead_to_the_machine(network):
    """From a host all that listens on loopback is reached at one address; an end is carried as an end."""
    host = network.host()
    with echo() as port:
        network.publish(port)
        with inside(host.space.path, lambda: socket.create_connection((SERVERS, port), 20)) as sock:
            sock.sendall(b"hello")
            sock.shutdown(socket.SHUT_WR)
            assert sock.recv(100) == b"hello"
            assert sock.recv(100) == b""


def test_a_link_is_cut_and_mended(network):
    """Nothing passes a cut link in either direction, nothing of a mute host arrives; both are mended."""
    one, other = network.host(), network.host()

    def reaches(here, there):
        def knock():
            with socket.create_server((there.address, 0)) as listener:
                return listener.getsockname()[1], listener.dup()

        port, listener = inside(there.space.path, knock)
        with listener:
            try:
                inside(here.space.path, lambda: socket.create_connection((there.address, port), 0.5)).close()
            except OSError:
                return False
        return True

    assert reaches(one, other)
    one.cut()
    assert not reaches(one, other)
    assert not reaches(other, one)
    one.mend()
    assert reaches(one, other)
    one.mute([other.address])
    assert not reaches(one, other)
    one.mend()
    assert reaches(other, one)
