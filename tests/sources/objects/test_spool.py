"""Objects that are held as a whole: what all of them take in the temporary folder is bounded."""

import errno
import io
import tempfile
import zipfile
from contextlib import ExitStack

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sources.errors import ObjectTooLarge, Transient
from sources.objects.decode import read
from sources.objects.decoded_chunk import Budget, DecodeLimits, SpoolRoom
from sources.objects.stored_bytes import IN_MEMORY, spooled
from transforms.layout import Layout

MIB = 1 << 20


def parquet(size: int) -> bytes:
    """Return a Parquet object of about so many stored bytes."""
    out = io.BytesIO()
    values = [bytes([n % 256]) * 4096 for n in range(size // 8192)]
    table = pa.table({"v": pa.array([value.hex() for value in values])})
    pq.write_table(table, out, compression="none", use_dictionary=False)
    return out.getvalue()


def zipped(size: int) -> bytes:
    """Return a zip whose member takes so many stored bytes."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("log", b"line of a log\n" * (size // 14))
    return out.getvalue()


OBJECTS = {"parquet": parquet, "zip": zipped}


def limits(room):
    return DecodeLimits(room=SpoolRoom(room))


@pytest.mark.parametrize("kind", OBJECTS)
def test_a7_an_object_without_room_is_held_back(kind):
    """An object for which the temporary folder has no room is tried again later: it is not called broken."""
    stored, bounds = OBJECTS[kind](24 * MIB), limits(32 * MIB)
    bounds.room.take(16 * MIB)  # by others
    with pytest.raises(Transient, match=r"no room to hold the object.*spool_max_bytes"):
        list(read(io.BytesIO(stored), Layout(), bounds))


@pytest.mark.parametrize("kind", OBJECTS)
def test_a7_an_object_that_can_never_have_room_is_told(kind):
    """It would come again until its queue forgets it: it goes to quarantine, with the setting to raise."""
    with pytest.raises(ObjectTooLarge, match="raise spool_max_bytes"):
        list(read(io.BytesIO(OBJECTS[kind](24 * MIB)), Layout(), limits(16 * MIB)))


@pytest.mark.parametrize("kind", OBJECTS)
def test_a7_room_is_given_back(kind):
    """What was read, or given up, takes no room any more; small objects never take any."""
    bounds = limits(40 * MIB)
    stored = OBJECTS[kind](24 * MIB)
    for _ in range(3):
        assert sum(piece.count for piece in read(io.BytesIO(stored), Layout(), bounds))
        pieces = read(io.BytesIO(stored), Layout(), bounds)
        next(pieces)
        pieces.close()
    assert sum(piece.count for piece in read(io.BytesIO(OBJECTS[kind](MIB)), Layout(), limits(1)))


def test_a7_all_objects_share_the_room():
    """Eight objects at a time take no more than the bound, whoever reads them; the rest is held back."""
    budget = Budget(limits(50 * MIB))
    held = 0
    with ExitStack() as stack:
        for _ in range(8):
            try:
                stack.enter_context(spooled([b"x" * MIB] * 16, budget))
            except Transient:
                continue
            held += 1
    assert held == 3
    with spooled([b"x" * MIB] * 50, budget) as file:
        assert len(file.read()) == 50 * MIB


@pytest.mark.parametrize("kind", OBJECTS)
def test_a7_a_full_disk_is_no_damage(kind, monkeypatch):
    """A temporary folder whose disk is full holds an object back as well."""

    class Full(tempfile.SpooledTemporaryFile):
        def write(self, data):
            if self.tell() + len(data) > IN_MEMORY:
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(data)

    monkeypatch.setattr(tempfile, "SpooledTemporaryFile", Full)
    with pytest.raises(Transient, match="No space left on device"):
        list(read(io.BytesIO(OBJECTS[kind](24 * MIB)), Layout(), DecodeLimits()))
