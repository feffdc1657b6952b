"""A FIFO queue behind HTTP as SQS documents it: ten of a group at a time, none while one is in flight.

The embedded AWS gives one of a group at a time, which is ten times less than SQS does.
"""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from tests.fakes.process import HOST
from tests.sources.queues.leasing import FakeSqs

_POLL_SECONDS = 0.01
_OPERATIONS = {
    "ReceiveMessage": "receive_message",
    "DeleteMessageBatch": "delete_message_batch",
    "ChangeMessageVisibilityBatch": "change_message_visibility_batch",
}


class _Sqs(FakeSqs):
    """The queue of the lease family's tests, with a clock that runs."""

    @property
    def now(self) -> float:
        return time.monotonic()

    @now.setter
    def now(self, _value: float) -> None:
        """Let it run."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Keep quiet: who asked was killed."""


class FifoQueue:
    """Serves one queue on loopback while the block runs. url: what `AWS_ENDPOINT_URL` is set to."""

    name = "events.fifo"

    def __init__(self) -> None:
        self.sqs = _Sqs()
        sqs = self.sqs

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                asked = self.rfile.read(int(self.headers["Content-Length"]))
                operation = self.headers.get("X-Amz-Target", "").rpartition(".")[2]
                self._reply(json.dumps(answer(sqs, operation, json.loads(asked))).encode())

            def _reply(self, body: bytes) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "application/x-amz-json-1.0")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Keep quiet."""

        self._server = _Server((HOST, 0), Handler)
        self.url = f"http://{HOST}:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def waiting(self) -> int:
        """Return how many messages it holds, visible or in flight."""
        return len(self.sqs.messages)


def answer(sqs: _Sqs, operation: str, asked: dict[str, Any]) -> dict[str, Any]:
    """Answer one call of SQS's JSON protocol."""
    if operation == "GetQueueUrl":
        return {"QueueUrl": f"http://{HOST}/123456789012/{asked['QueueName']}"}
    if operation == "GetQueueAttributes":
        return {"Attributes": {"FifoQueue": "true"}}
    until = time.monotonic() + asked.get("WaitTimeSeconds", 0)
    while True:
        made = getattr(sqs, _OPERATIONS[operation])(**asked)
        if made or time.monotonic() >= until:
            return made
        time.sleep(_POLL_SECONDS)
