"""A sink that answers requests for early receipts (`transforms/receipt_request.py`)."""

from typing import Any

from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition

from transforms.receipt_request import OfPoison, ReceiptRequest


class AnsweringSink(FixedPartitionedSink[Any, Any]):
    """The same sink; a partition to which a request comes takes its receipt as at an epoch's end."""

    def __init__(self, sink: FixedPartitionedSink[Any, Any]) -> None:
        self._sink = sink

    def list_parts(self) -> list[str]:
        """List the sink's partitions."""
        return self._sink.list_parts()

    def part_fn(self, item_key: str) -> int:
        """Route as the sink does."""
        return self._sink.part_fn(item_key)

    def build_part(self, step_id: str, for_part: str, resume_state: Any) -> "_AnsweringWriter":
        """Build the sink's partition."""
        return _AnsweringWriter(self._sink.build_part(step_id, for_part, resume_state))


class _AnsweringWriter(StatefulSinkPartition[Any, Any]):
    def __init__(self, writer: StatefulSinkPartition[Any, Any]) -> None:
        self._writer = writer

    def write_batch(self, values: list[Any]) -> None:
        asked = [one for one in values if isinstance(one, ReceiptRequest | OfPoison)]
        items = [one for one in values if not isinstance(one, ReceiptRequest | OfPoison)] if asked else values
        if items:
            self._writer.write_batch(items)
        if asked:
            self._writer.snapshot()
        for one in asked:
            one.receipted()

    def snapshot(self) -> Any:
        return self._writer.snapshot()

    def close(self) -> None:
        self._writer.close()
