"""Captured S3 objects as a source: files, folders and `s3://` URIs, for replay.

Parallel unit: one object. Guarantee: none needed, the captures stay where they are. Resume: from the
beginning. Cost: one read of each object (and one listing for an `s3://…/` prefix). Nothing else competes
with a replay, so its partitions read and decode in `next_batch` instead of in threads.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import smart_open
from botocore.exceptions import BotoCoreError, ClientError
from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition

from sources.errors import BadCredentials, ObjectBroken, ObjectGone, SourceError, translate
from transforms.block import Item, Origin, Poison

Opened = Callable[[str, BinaryIO], Iterator[Item]]
"""(path, stream of its stored bytes) → items."""


def expand(paths: Sequence[str], client: Any = None) -> list[str]:
    """Return every object under the given files, folders and `s3://` URIs, sorted within each.

    client: boto3 S3 client, for URIs. Raises ObjectGone for a path that does not exist.
    """
    found: list[str] = []
    for path in paths:
        if path.startswith("s3://"):
            found += list(_expand_uri(path, client))
        elif Path(path).is_dir():
            found += sorted(str(file) for file in Path(path).rglob("*") if file.is_file())
        elif Path(path).is_file():
            found.append(path)
        else:
            raise ObjectGone("no such capture", path, "give a file, a folder or an s3:// URI")
    return found


def _expand_uri(uri: str, client: Any) -> Iterator[str]:
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    if prefix and not prefix.endswith("/"):
        yield uri
        return
    try:
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            for entry in page.get("Contents", []):
                if not entry["Key"].endswith("/"):
                    yield f"s3://{bucket}/{entry['Key']}"
    except (BotoCoreError, ClientError) as error:
        raise translate(error, uri, "s3:ListBucket") from error


def open_stored(path: str, client: Any = None) -> BinaryIO:
    """Open an object's stored bytes, not inflated: `decode` finds the compression by content, not by name."""
    transport = {"client": client} if path.startswith("s3://") and client is not None else {}
    try:
        stream: BinaryIO = smart_open.open(path, "rb", compression="disable", transport_params=transport)
    except OSError as error:
        if not path.startswith("s3://"):
            raise
        raise translate(error.__dict__.get("backend_error", error), path, "s3:GetObject") from error
    return stream


class CaptureSource(FixedPartitionedSource[Item, int]):
    """Replays objects, dealt over as many partitions as there are workers.

    objects: paths as from `expand`. opened: makes items of one object's stream.
    finished: called with each path when all of it has been emitted.
    """

    def __init__(
        self,
        objects: Sequence[str],
        opened: Opened,
        *,
        partitions: int = 1,
        client: Any = None,
        finished: Callable[[str], None] = lambda _path: None,
    ) -> None:
        self._objects, self._opened, self._client = objects, opened, client
        self._partitions = max(1, min(partitions, len(objects)))
        self._finished = finished

    def list_parts(self) -> list[str]:
        """Return one key per partition."""
        return [f"part-{number}" for number in range(self._partitions)]

    def build_part(self, step_id: str, for_part: str, resume_state: int | None) -> "_Part":  # noqa: ARG002 - bytewax's signature
        """Build the partition of every N-th object; a replay always starts at its beginning."""
        number = int(for_part.removeprefix("part-"))
        return _Part(self._items(self._objects[number :: self._partitions]))

    def _items(self, objects: Sequence[str]) -> Iterator[Item]:
        for path in objects:
            try:
                with open_stored(path, self._client) as stream:
                    yield from self._opened(path, stream)
            except ObjectBroken as error:
                detail = f"{error.what}: {path}, {error.where}: {error.hint}"
                yield Poison(error.reason, detail, Origin("replay", object=path, record=error.record))
            except SourceError as error:
                yield Poison("object_unreadable", str(error), Origin("replay", object=path))
                if isinstance(error, BadCredentials):
                    return  # nor can the others be read
            self._finished(path)


class _Part(StatefulSourcePartition[Item, int]):
    def __init__(self, items: Iterator[Item]) -> None:
        self._items = items

    def next_batch(self) -> list[Item]:
        return [next(self._items)]

    def snapshot(self) -> int:
        return 0
