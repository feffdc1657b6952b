"""Events that are JSON lines already and share one table: a tag, and the fields that the settings add."""

from collections.abc import Callable, Iterator

from msgspec import Struct
from msgspec.structs import replace

from transforms.block import Block, Item, Transform
from transforms.jsonline import add_fields
from transforms.tags import FALLBACK, TagRule


class Stamp(Struct, frozen=True):
    """Fields put into each JSON event, as Devo's own collector does.

    environment: `@devo_environment`, "" = none. pulled: gives `@devo_pulling_id`, epoch ms; None = none.
    named: from an account's number to `@devo_account_name`, "" = not known; None = none.
    """

    environment: str = ""
    pulled: Callable[[], int] | None = None
    named: Callable[[str], str] | None = None

    def put(self, payload: bytes, account: str = "") -> bytes:
        """Return JSON lines of an account with the fields at the beginning of each."""
        fields: dict[str, object] = {}
        if self.environment:
            fields["@devo_environment"] = self.environment
        if self.pulled:
            fields["@devo_pulling_id"] = self.pulled()
        if self.named and (name := self.named(account)):
            fields["@devo_account_name"] = name
        return add_fields(payload, fields)

    def on(self, item: Item) -> Item:
        """Return a block of JSON lines with the fields put in; poison as it is."""
        if not isinstance(item, Block):
            return item
        return replace(item, payload=self.put(item.payload, item.origin.account))


NO_STAMP = Stamp()


def transform(tag: TagRule, stamp: Stamp = NO_STAMP) -> Transform:
    """Return the transform that gives every block the rule's tag for the place it came from."""

    def run(block: Block) -> Iterator[Item]:
        made = tag.tag(FALLBACK, block.origin.account, block.origin.region)
        yield replace(block, tag=made, payload=stamp.put(block.payload, block.origin.account))

    return run
