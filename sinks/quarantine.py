"""The sink of poison: each item becomes a file that can be read, judged and replayed.

    <folder or s3 prefix>/<reason>/<sha256 of origin and body>.json

The same item twice is the same file, so repeats after a crash leave no second copy. A file is on disk before
the epoch ends: only then may the message that it came from be deleted.
"""

import base64
import hashlib
import json
import os
import re
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from botocore.exceptions import BotoCoreError, ClientError
from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition
from msgspec.structs import asdict

from sinks import telemetry
from sinks.console import sync_folder
from sinks.devo import Process, own_partitions, place
from sinks.errors import OutputBroken, file_error
from sinks.quarantine_room import QuarantineRoom
from transforms.block import Origin, Poison
from transforms.locks import Guard, guarded

_LOCKS = (Guard("_lock", ("_unsynced",)),)

ClientFactory: TypeAlias = Callable[[], Any]

_NOT_IN_REASON = re.compile(r"[^a-z0-9_]+")


class Store(Protocol):
    """Where quarantine files are put."""

    def keep(self, name: str, body: bytes) -> None:
        """Write a file named `<reason>/<id>.json`. Raises OutputBroken."""

    def sync(self) -> None:
        """Make sure that everything kept survives a power cut. Raises OutputBroken."""


class QuarantineSink(FixedPartitionedSink[Poison, dict[str, Any]]):
    """Keeps poison under `target`, a folder or an `s3://` prefix (then `client` makes its boto3 client).

    most_bytes: of a folder, 0 = without a bound.
    """

    def __init__(
        self,
        target: str | Path,
        process: Process,
        client: ClientFactory | None = None,
        most_bytes: int = 0,
    ) -> None:
        self._process = process
        self._store = store(target, client)
        self.room = QuarantineRoom(target, most_bytes)

    def keys(self) -> list[str]:
        """Return the partition keys of this process: a single one is enough for poison."""
        return own_partitions(self._process)[:1]

    def list_parts(self) -> list[str]:
        """List this process's partitions."""
        return own_partitions(self._process)

    def part_fn(self, item_key: str) -> int:
        """Route each key to the partition of the same name."""
        return place(item_key)

    def build_part(
        self, step_id: str, for_part: str, resume_state: dict[str, Any] | None
    ) -> "QuarantinePartition":
        """Build a partition; nothing is written before the first poison."""
        del step_id, for_part
        return QuarantinePartition(self._store, self.room, resume_state)


class QuarantinePartition(StatefulSinkPartition[Poison, dict[str, Any]]):
    """Writes poison to a store."""

    def __init__(self, where: Store, room: QuarantineRoom, resume_state: dict[str, Any] | None) -> None:
        self._store, self._room = where, room
        self._kept: int = (resume_state or {}).get("kept", 0)

    def write_batch(self, values: list[Poison]) -> None:
        """Write each item's file. Raises OutputBroken, which ends the process."""
        for poison in values:
            kept = self._room.fitted(poison)
            telemetry.poison_kept(poison.reason, poison.origin.service, poison.detail)
            if kept is None:
                continue
            content = to_json(kept, datetime.now(UTC))
            self._store.keep(name_of(kept), content)
            self._room.took(len(content))
            self._kept += 1

    def snapshot(self) -> dict[str, Any]:
        """Wait until the files are safe."""
        self._store.sync()
        return {"v": 1, "kept": self._kept}


def store(target: str | Path, client: ClientFactory | None) -> Store:
    """Return the store of a folder or an `s3://` prefix."""
    if not str(target).startswith("s3://"):
        return Folder(Path(target))
    if client is None:
        raise OutputBroken("no AWS client for quarantine", str(target), "name a local folder instead")
    return Prefix(str(target).rstrip("/"), client)


@guarded(_LOCKS)
class Folder:
    """A local folder, readable by its owner only."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._unsynced: set[Path] = set()
        self._lock = threading.RLock()

    def keep(self, name: str, body: bytes) -> None:
        """Write a file in full or not at all; the first version of a name stays."""
        path = self._path / name
        try:
            self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.parent.mkdir(mode=0o700, exist_ok=True)
            if not path.exists():
                _write(path, body)
        except OSError as error:
            raise file_error(error, str(path)) from error
        with self._lock:
            self._unsynced |= {path.parent, self._path}

    def sync(self) -> None:
        """Make the new names safe; the files' contents are already."""
        with self._lock:
            folders, self._unsynced = self._unsynced, set()
        try:
            for folder in folders:
                sync_folder(folder)
        except OSError as error:
            raise file_error(error, str(self._path)) from error


class Prefix:
    """A prefix of a bucket; a write that returns is safe."""

    def __init__(self, prefix: str, client: ClientFactory) -> None:
        self._prefix, self._client = prefix, client

    def keep(self, name: str, body: bytes) -> None:
        """Put one object."""
        import smart_open  # noqa: PLC0415 - slow to import, and most collectors have nothing to quarantine

        uri = f"{self._prefix}/{name}"
        parameters = {"client": self._client(), "multipart_upload": False}
        try:
            with smart_open.open(uri, "wb", transport_params=parameters) as file:
                file.write(body)
        except (BotoCoreError, ClientError, OSError, ValueError) as error:
            hint = "allow s3:PutObject there, or name a local folder"
            raise OutputBroken(f"cannot write to quarantine ({error})", uri, hint) from error

    def sync(self) -> None:
        """Do nothing: S3 has no buffers of ours."""


def name_of(poison: Poison) -> str:
    """Return the file's name, the same for the same item: `<reason>/<sha256>.json`."""
    digest = hashlib.sha256(json.dumps(asdict(poison.origin), sort_keys=True).encode())
    digest.update(b"\0" + poison.body)
    reason = _NOT_IN_REASON.sub("_", poison.reason.lower()).strip("_") or "unknown"
    return f"{reason}/{digest.hexdigest()}.json"


def to_json(poison: Poison, at: datetime) -> bytes:
    """Return the file's content: reason, detail, time, pointer, origin, and the body as text or base64."""
    origin = poison.origin
    content: dict[str, Any] = {
        "v": 1,
        "reason": poison.reason,
        "detail": poison.detail,
        "time": at.isoformat(timespec="seconds"),
        "pointer": origin.object or origin.container,
        "origin": asdict(origin),
    }
    try:
        content["body"] = poison.body.decode()
    except UnicodeDecodeError:
        content["body_base64"] = base64.b64encode(poison.body).decode()
    return json.dumps(content, indent=1).encode() + b"\n"


def from_json(content: bytes) -> Poison:
    """Return the poison that a file holds. Raises ValueError, KeyError or TypeError on another file."""
    fields = dict(json.loads(content))
    text = fields.get("body")
    body = base64.b64decode(fields["body_base64"]) if text is None else text.encode()
    return Poison(fields["reason"], fields["detail"], Origin(**fields["origin"]), body)


def counted(target: str) -> dict[str, int]:
    """Return how many files a quarantine folder holds, by reason; {} for an `s3://` prefix: not listed."""
    folder = Path(target)
    if target.startswith("s3://") or not folder.is_dir():
        return {}
    try:
        reasons = [entry for entry in folder.iterdir() if entry.is_dir() and not entry.is_symlink()]
        found = {entry.name: sum(one.suffix == ".json" for one in entry.iterdir()) for entry in reasons}
    except OSError:
        return {}  # whatever it is, the first file to be kept meets it and tells it
    return {reason: count for reason, count in sorted(found.items()) if count}


def _write(path: Path, body: bytes) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}")
    file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(file, "wb") as stream:
        stream.write(body)
        stream.flush()
        os.fsync(stream.fileno())
    draft.replace(path)
