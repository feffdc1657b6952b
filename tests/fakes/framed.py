"""Lines as they go over the wire, in one piece."""

from sinks.frame import pieces


def framed(payload, head):
    """Return the framed lines of a payload as one buffer."""
    return b"".join(pieces(payload, head))
