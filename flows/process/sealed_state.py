"""Snapshots with a checksum: a flipped byte in the state is noticed, instead of read as another position.

What bytewax keeps of a lane is its state, pickled, with a SHA-256 of it and of the lane's name. States of
former releases have none and are read as they are. A large state, of an organization's thousands of targets
for instance, is deflated: bytewax writes all of it in every epoch.
"""

import hashlib
import pickle
from typing import Any

from bytewax.inputs import FixedPartitionedSource
from isal import isal_zlib

from transforms.block import Flowing
from transforms.wrapped import Lane, WrappedLane, WrappedSource

_SUM, _STATE = "sha256", "state"
_SMALL_BYTES = 128 << 10


class SealBrokenError(ValueError):
    """A snapshot is not what was written; its text says why."""


def seal(step: str, key: str, state: object) -> dict[str, Any]:
    """Return what is kept of a lane's state."""
    pickled = pickle.dumps(state)
    if len(pickled) > _SMALL_BYTES:
        pickled = isal_zlib.compress(pickled, 1)
    return {_SUM: _digest(step, key, pickled), _STATE: pickled}


def opened(step: str, key: str, kept: Any) -> Any:
    """Return the state that was sealed, or what an older release kept. Raises SealBrokenError."""
    if not (isinstance(kept, dict) and kept.keys() == {_SUM, _STATE}):
        return kept
    if kept[_SUM] != _digest(step, key, kept[_STATE]):
        raise SealBrokenError("its checksum is another one")
    state = kept[_STATE]
    if state[:1] != pickle.PROTO:
        state = isal_zlib.decompressobj().decompress(state)  # ours, as its checksum tells
    return pickle.loads(state)  # noqa: S301 - as bytewax did with what it was in


def look(step: str, key: str, pickled: bytes) -> None:
    """See that what bytewax has kept can be read. Raises SealBrokenError."""
    try:
        kept = pickle.loads(pickled)  # noqa: S301 - bytewax is about to do the same; the folder is ours alone
    except Exception as error:
        raise SealBrokenError(f"it cannot be unpickled: {type(error).__name__}") from error
    opened(step, key, kept)


def sealed(source: FixedPartitionedSource[Flowing, Any]) -> "SealedSource":
    """Return the same source, whose snapshots have a checksum."""
    return SealedSource(source, lambda _name, lane: lane)


class SealedSource(WrappedSource):
    """Opens what its lanes resume from, and seals what they keep."""

    def build_part(self, step_id: str, for_part: str, resume_state: Any) -> Lane:
        """Build the source's partition from the state that was sealed."""
        state = None if resume_state is None else opened(step_id, for_part, resume_state)
        return _SealedLane(super().build_part(step_id, for_part, state), step_id, for_part)


class _SealedLane(WrappedLane):
    def __init__(self, lane: Lane, step: str, key: str) -> None:
        super().__init__(lane)
        self._step, self._key = step, key

    def snapshot(self) -> dict[str, Any]:
        return seal(self._step, self._key, self.lane.snapshot())


def _digest(step: str, key: str, pickled: bytes) -> bytes:
    return hashlib.sha256(f"{step}\0{key}\0".encode() + pickled).digest()
