"""A sink that answers requests for early receipts (`transforms/receipt_request.py`)."""

from typing import Any

from transforms.receipt_request import OfPoison, ReceiptRequest
from transforms.wrapped import Sink, WrappedSink, WrappedWriter


def answering(sink: Sink) -> WrappedSink:
    """Return the same sink; a partition to which a request comes takes its receipt as at an epoch's end."""
    return WrappedSink(sink, _AnsweringWriter)


class _AnsweringWriter(WrappedWriter):
    def write_batch(self, values: list[Any]) -> None:
        asked = [one for one in values if isinstance(one, ReceiptRequest | OfPoison)]
        items = [one for one in values if not isinstance(one, ReceiptRequest | OfPoison)] if asked else values
        if items:
            self.writer.write_batch(items)
        if asked:
            self.writer.snapshot()
        for one in asked:
            one.receipted()
