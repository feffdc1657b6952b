"""Blocks of lines, and what a transform makes of one."""

import re

from transforms.block import Block, Origin


def lines_of(origin: Origin, payload: bytes, header: bytes = b"") -> Block:
    """Return whole lines as a block."""
    return Block(payload, payload.count(b"\n"), origin, header=header)


def only_item(transform, options, given: Block):
    """Return the one item that a transform makes of a block."""
    (item,) = transform(options)(given)
    return item


def is_tag(tag):
    """Tell whether Devo can take a tag: two to six levels of letters, digits, underscores and hyphens."""
    return bool(re.fullmatch(r"[\w-]+(?:\.[\w-]+){1,5}", tag, re.ASCII))
