"""JSON values as lines: compact, valid UTF-8, in payloads of about 1 MiB."""

from collections.abc import Iterator, Sequence
from typing import TypeAlias

import msgspec

from sources.objects.decoded_chunk import CHUNK_BYTES
from sources.objects.json_text import scanner
from sources.objects.text_repair import count_lines, repaired

Raws: TypeAlias = Sequence[bytes | msgspec.Raw]


def payloads(raws: Raws) -> Iterator[tuple[bytes, int]]:
    """Yield lines of about 1 MiB each, and how many; records that span lines are made compact."""
    if raws and sum(map(len, raws)) < CHUNK_BYTES:
        yield _payload(raws)
        return
    step, held = 0, 0
    start = 0
    for step, raw in enumerate(raws, 1):
        held += len(raw)
        if held >= CHUNK_BYTES:
            yield _payload(raws[start:step])
            start, held = step, 0
    if step > start:
        yield _payload(raws[start:])


def _payload(raws: Raws) -> tuple[bytes, int]:
    payload = b"\n".join([*raws, b""])
    if count_lines(payload) != len(raws):
        payload = b"\n".join([*map(scanner.compact, raws), b""])
    return repaired(payload), len(raws)
