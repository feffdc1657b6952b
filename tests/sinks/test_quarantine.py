"""The sink of poison."""

import io
import json
import stat
from datetime import UTC, datetime, timedelta

import pytest
from bytewax import operators as op
from bytewax.dataflow import Dataflow
from bytewax.testing import TestingSource, cluster_main
from hypothesis import given
from hypothesis import strategies as st

from sinks.devo import PARTITIONS, Process
from sinks.errors import OutputBroken
from sinks.quarantine import (
    QuarantinePartition,
    QuarantineSink,
    counted,
    from_json,
    name_of,
    store,
    to_json,
)
from sinks.quarantine_room import QuarantineRoom
from transforms.block import Origin, Poison

ORIGIN = Origin("flowlogs", "123456789012", "eu-west-1", "queue", "s3://bucket/key.gz", "v1", 7)
POISON = Poison("object_broken", "not gzip: key.gz", ORIGIN)
texts = st.text(max_size=20)


def read(folder):
    return [from_json(path.read_bytes()) for path in sorted(folder.rglob("*.json"))]


origins = st.builds(Origin, texts, texts, texts, texts, texts, texts, st.integers(0, 1 << 40))
poisons = st.builds(
    Poison, st.from_regex(r"[a-z_]{1,20}", fullmatch=True), texts, origins, st.binary(max_size=50)
)


def keep(folder, *items):
    partition = QuarantineSink(folder, Process()).build_part("quarantine", "p0", None)
    partition.write_batch(list(items))
    return partition.snapshot()


@given(poisons)
def test_files_hold_the_whole_item(poison):
    """What is read back is what was kept, whatever bytes it holds."""
    content = to_json(poison, datetime.now(UTC))
    assert from_json(content) == poison


def test_a_person_can_read_the_file(tmp_path):
    """The file tells reason, detail, time, pointer and origin, and a text body as text."""
    keep(tmp_path, Poison("notice_unknown", "what is this", ORIGIN, "grüße".encode()))
    (path,) = tmp_path.rglob("*.json")
    content = json.loads(path.read_text())
    assert path.parent.name == content["reason"] == "notice_unknown"
    assert content["detail"] == "what is this"
    assert content["pointer"] == "s3://bucket/key.gz"
    assert content["origin"]["account"] == "123456789012"
    assert content["body"] == "grüße"
    assert content["time"].endswith("+00:00")


def test_the_same_item_is_the_same_file(tmp_path):
    """Kept again after a crash, an item leaves no second copy; its first version stays."""
    keep(tmp_path, POISON)
    (first,) = tmp_path.rglob("*.json")
    first.write_text("the first version")
    assert keep(tmp_path, POISON, POISON) == {"v": 1, "kept": 2}
    assert [path.read_text() for path in tmp_path.rglob("*.json")] == ["the first version"]


@given(poisons, poisons)
def test_different_items_are_different_files(one, other):
    """Items that differ in reason, origin or body never share a file."""
    same = (one.reason, one.origin, one.body) == (other.reason, other.origin, other.body)
    assert (name_of(one) == name_of(other)) == same or one.reason.strip("_") == other.reason.strip("_")


@pytest.mark.parametrize("reason", ["../../etc", "a/b", "", "Ünïcode", "..."])
def test_no_reason_leaves_the_folder(tmp_path, reason):
    """A reason becomes one plain folder name."""
    keep(tmp_path / "q", Poison(reason, "", ORIGIN))
    (path,) = tmp_path.rglob("*.json")
    assert path.parent.parent == tmp_path / "q"


def test_only_the_owner_may_read(tmp_path):
    """Quarantine holds raw customer data: files are 0600, folders 0700."""
    keep(tmp_path / "q", POISON)
    (path,) = tmp_path.rglob("*.json")
    modes = [stat.S_IMODE(one.stat().st_mode) for one in (path, path.parent, path.parent.parent)]
    assert modes == [0o600, 0o700, 0o700]


def test_no_draft_is_left_behind(tmp_path):
    """Files appear whole: only finished ones are in the folder."""
    keep(tmp_path, POISON)
    assert [path.suffix for path in tmp_path.rglob("*") if path.is_file()] == [".json"]


def test_everything_is_synced_before_the_snapshot(tmp_path, monkeypatch):
    """Contents are synced before their names appear, and the folders before the snapshot returns."""
    log = []
    monkeypatch.setattr("os.fsync", lambda _handle: log.append("file"))
    monkeypatch.setattr("sinks.quarantine.sync_folder", log.append)
    partition = QuarantineSink(tmp_path, Process()).build_part("quarantine", "p0", None)
    partition.write_batch([POISON])
    assert log == ["file"]
    partition.snapshot()
    assert set(log[1:]) == {tmp_path, tmp_path / "object_broken"}


def test_reading_gives_everything_back(tmp_path):
    """Quarantine can be replayed: all items of all reasons come back."""
    kept = [Poison("a", "", ORIGIN, b"\xff\x00"), Poison("b", "", ORIGIN, b"text"), POISON]
    keep(tmp_path, *kept)
    assert sorted(read(tmp_path), key=repr) == sorted(kept, key=repr)


def test_h22_unwritable_folder_says_where(tmp_path):
    """A quarantine that cannot be written ends the process: nothing is acknowledged."""
    (tmp_path / "q").write_text("in the way")
    with pytest.raises(OutputBroken, match=f"{tmp_path}/q"):
        keep(tmp_path / "q", POISON)


class Bucket:
    """A small stand-in for an S3 client: keeps what is put."""

    def __init__(self):
        self.objects = {}
        self.meta = self

    def put_object(self, Bucket, Key, Body):  # noqa: N803 - boto3's names
        self.objects[f"s3://{Bucket}/{Key}"] = io.BytesIO(
            Body.read() if hasattr(Body, "read") else Body
        ).read()
        return {}


def test_a_prefix_of_a_bucket_is_a_quarantine_too():
    """Poison goes to an S3 prefix through a client that is made when needed, one PutObject each."""
    bucket = Bucket()
    where = store("s3://bucket/quarantine/", lambda: bucket)
    partition = QuarantinePartition(where, QuarantineRoom("s3://bucket/quarantine/"), None)
    partition.write_batch([POISON])
    partition.snapshot()
    ((uri, content),) = bucket.objects.items()
    assert uri == f"s3://bucket/quarantine/{name_of(POISON)}"
    assert from_json(content) == POISON


def test_a_refused_prefix_says_what_to_allow():
    """An S3 prefix that cannot be written is an error with its URI and the permission."""

    class Refusing(Bucket):
        def put_object(self, **_):
            raise OSError("AccessDenied")

    where = store("s3://bucket/q", Refusing)
    with pytest.raises(OutputBroken, match=r"s3://bucket/q/.*s3:PutObject"):
        where.keep("a/b.json", b"{}")


def test_a_prefix_without_client_is_refused():
    """An S3 prefix needs a client."""
    with pytest.raises(OutputBroken, match="no AWS client"):
        store("s3://bucket/q", None)


@pytest.mark.parametrize("workers", [1, 2])
def test_in_a_dataflow(tmp_path, workers):
    """Inside a dataflow every poison ends up in its file, with one and two workers."""
    sink = QuarantineSink(tmp_path, Process())
    items = [Poison("r", "", ORIGIN, b"%d" % number) for number in range(10)]
    dataflow = Dataflow("test")
    (key,) = sink.keys()
    stream = op.input("in", dataflow, TestingSource([(key, item) for item in items]))
    op.output("quarantine", stream, sink)
    cluster_main(dataflow, [], 0, worker_count_per_proc=workers, epoch_interval=timedelta(0))
    assert sorted(item.body for item in read(tmp_path)) == sorted(item.body for item in items)


def test_partitions_are_those_of_all_sinks():
    """The partition scheme is the Devo sink's."""
    assert sorted(QuarantineSink("q", Process()).list_parts()) == sorted(PARTITIONS)
    assert QuarantineSink("q", Process()).part_fn("p10") == 2


def test_r14_files_are_counted_by_reason(tmp_path):
    """What a folder holds is counted by reason; an empty one, none at all and a prefix in S3 are nothing."""
    for name in (
        "object_broken/a.json",
        "object_broken/b.json",
        "notice_unknown/c.json",
        "other/.d.json.1-2",
    ):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("{}")
    assert counted(str(tmp_path)) == {"notice_unknown": 1, "object_broken": 2}
    assert counted(str(tmp_path / "none")) == counted("s3://b/q") == counted("") == {}
