"""The log holds what was written, knows a torn end, and notices a byte that has changed."""

import pytest

from flows.positions.log import LOG, LogBrokenError, PositionLog, read

RECORDS = [
    [["step", "lane-0", [[["targets", "a"], {"v": 2, "done": 1}]]]],
    [["step", "lane-0", [[["targets", "a", "done"], 2]]], ["step", "lane-1", [[[], {"ids": {7: b"\0\n"}}]]]],
    [["step", "lane-1", [[["ids", 7], bytes(5000)], [["gone"]]]]],
]


@pytest.fixture
def folder(tmp_path):
    """Return a folder with a log of three records."""
    log = PositionLog.begin(tmp_path, 17)
    for record in RECORDS:
        log.append(record)
    assert log.size == (tmp_path / LOG).stat().st_size
    log.close()
    return tmp_path


def test_what_was_written_is_read(folder):
    """In order, if it is about this checkpoint."""
    assert read(folder, 17) == RECORDS
    assert read(folder, 18) == []
    (folder / LOG).unlink()
    assert read(folder, 17) == []


def test_a_torn_end_is_left_out(folder):
    """Wherever a crash cuts the log: what was whole is read, nothing else."""
    whole = (folder / LOG).read_bytes()
    ends = [at + 1 for at, byte in enumerate(whole) if byte == ord("\n")]
    for size in range(ends[0], len(whole)):
        (folder / LOG).write_bytes(whole[:size])
        if size + 1 in ends:  # all but the line's end: that byte may as well have changed
            continue
        assert read(folder, 17) == RECORDS[: sum(end <= size for end in ends) - 1]


def test_what_never_reached_the_disk_is_left_out(folder):
    """A file may be as long as it was to be, and hold zeros there."""
    whole = (folder / LOG).read_bytes()
    last = whole.rindex(b"\n", 0, -1) + 1
    assert len(whole) - last > 64
    for text in (bytes(len(whole) - last), whole[last : last + 9] + bytes(64) + whole[last + 73 :]):
        (folder / LOG).write_bytes(whole[:last] + text)
        assert read(folder, 17) == RECORDS[:2]


@pytest.mark.parametrize("flip", [0x01, 0x80, 0xFF])
def test_a_byte_that_has_changed_is_noticed(folder, flip):
    """Each byte of it, the ends of lines too."""
    whole = (folder / LOG).read_bytes()
    for at in range(len(whole)):
        changed = bytearray(whole)
        changed[at] ^= flip
        (folder / LOG).write_bytes(changed)
        with pytest.raises(LogBrokenError, match="at byte"):
            read(folder, 17)


def test_a_newer_form_is_refused(tmp_path, monkeypatch):
    """What a later release writes otherwise is not read as this one's."""
    monkeypatch.setattr("flows.positions.log._VERSION", 2)
    PositionLog.begin(tmp_path, 1).close()
    monkeypatch.undo()
    with pytest.raises(LogBrokenError, match="newer release"):
        read(tmp_path, 1)


def test_a13_the_log_is_this_users_alone(folder):
    """Who could write it would run code in the collector."""
    assert (folder / LOG).stat().st_mode & 0o777 == 0o600
