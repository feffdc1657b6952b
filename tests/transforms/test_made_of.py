"""An event that a transform fails on becomes poison, and it alone."""

from msgspec.structs import replace

from transforms.block import Block, Origin, Poison, made_of

ORIGIN = Origin("custom", object="s3://b/k")


def failing(on: bytes, kind: type[Exception]):
    def transform(block: Block):
        yield replace(block, tag="a.b")
        if on in block.payload:
            raise kind("maximum depth\nexceeded")

    return transform


def told(payload: bytes, transform) -> tuple[bytes, list[Poison]]:
    items = made_of(Block(payload, payload.count(b"\n"), ORIGIN), transform)
    blocks = [item for item in items if isinstance(item, Block)]
    assert all(block.count == block.payload.count(b"\n") for block in blocks)
    return b"".join(block.payload for block in blocks), [item for item in items if isinstance(item, Poison)]


def test_a10_one_bad_event_costs_itself():
    """Its neighbours are events, in their order; it has its bytes and a reason, on one line."""
    lines = [b"%d\n" % number for number in range(1000)]
    lines[501] = b"bad\n"
    for kind in (RecursionError, ValueError, KeyError, MemoryError):
        good, (poison,) = told(b"".join(lines), failing(b"bad", kind))
        assert good == b"".join(line for line in lines if line != b"bad\n")
        assert (poison.reason, poison.body) == ("transform_failed", b"bad\n")
        assert "\n" not in poison.detail
        assert kind.__name__ in poison.detail


def test_a10_a_transform_that_fails_on_all_is_not_asked_for_each():
    """A thousand failures are a few dozen poisons, with every event in one of them."""
    calls = []

    def transform(block: Block):
        calls.append(block.count)
        raise ValueError("always")

    good, poisons = told(b"x\n" * 10_000, transform)
    assert good == b""
    assert sum(poison.body.count(b"\n") for poison in poisons) == 10_000
    assert len(calls) < 200
