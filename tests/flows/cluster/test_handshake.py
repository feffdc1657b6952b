"""Who is let into a cluster, and what of its bytes is believed."""

import socket
import threading
from contextlib import closing

import pytest

from flows.cluster.handshake import SECRET, SECRET_FILE, StrangerError, accept, dial, secret_of
from flows.config.errors import SettingsError

KEY = b"0123456789abcdef"


def meet(ours: bytes, theirs: bytes):
    """Return what both ends of a connection come to: frames, or what they raise."""
    here, there = socket.socketpair()
    found = {}

    def run(name, step, sock, secret):
        sock.settimeout(60)
        try:
            found[name] = step(sock, secret)
        except OSError as error:
            found[name] = error
            sock.close()

    other = threading.Thread(target=run, args=("accept", accept, there, theirs))
    other.start()
    run("dial", dial, here, ours)
    other.join()
    return found["dial"], found["accept"]


def test_peers_understand_each_other():
    """Both prove the secret; frames arrive whole, in both directions."""
    here, there = meet(KEY, KEY)
    with closing(here.socket), closing(there.socket):
        for number in range(3):
            here.send(b"d", b"x" * number)
            assert there.receive() == (b"d", b"x" * number)
            there.send(b"s", b"y")
            assert here.receive() == (b"s", b"y")


def test_s2_who_does_not_know_the_secret_is_refused():
    """A dialler with another secret learns at once that it is wrong here, and neither goes on."""
    here, there = meet(b"another secret of 16", KEY)
    assert isinstance(here, StrangerError)
    assert isinstance(there, ConnectionError)


@pytest.mark.parametrize(
    "said", [b"GET / HTTP/1.1\r\n" * 5, bytes(200), b"devo-aws-collector cluster 1\n" + bytes(64)]
)
def test_s2_a_stranger_is_refused(said):
    """What does not begin as a peer does, or cannot prove itself, gets no frames."""
    here, there = socket.socketpair()
    with closing(here), closing(there):
        there.settimeout(60)
        here.sendall(said)
        here.shutdown(socket.SHUT_WR)
        with pytest.raises(ConnectionError):
            accept(there, KEY)


@pytest.mark.parametrize("forge", ["repeat", "change", "insert"])
def test_s2_a_forged_frame_is_refused(forge):
    """Bytes of somebody on the way are not handed on: not a frame again, not a changed or a new one."""
    here, there = meet(KEY, KEY)
    with closing(here.socket), closing(there.socket):
        here.send(b"d", b"payload")
        frame = there.socket.recv(1000)
        assert frame.endswith(frame[-32:])
        changed = {
            "repeat": frame + frame,
            "change": frame.replace(b"pay", b"bad"),
            "insert": frame[:5] + frame,
        }
        here.socket.sendall(changed[forge])
        if forge == "repeat":
            there.receive()
        with pytest.raises(StrangerError):
            there.receive()


def test_the_secret_comes_from_environment_or_file(tmp_path):
    """A short one, and a file that everybody reads, are refused; a newline at its end is none of it."""
    path = tmp_path / "secret"
    path.write_bytes(KEY + b"\n")
    path.chmod(0o600)
    assert secret_of({}) == b""
    assert secret_of({SECRET: KEY.decode()}) == secret_of({SECRET_FILE: str(path)}) == KEY
    with pytest.raises(SettingsError, match="too short"):
        secret_of({SECRET: "short"})
    path.chmod(0o644)
    with pytest.raises(SettingsError, match="everybody may read"):
        secret_of({SECRET_FILE: str(path)})
    with pytest.raises(SettingsError, match="cannot be read"):
        secret_of({SECRET_FILE: str(tmp_path / "none")})
