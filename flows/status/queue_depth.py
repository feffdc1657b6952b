"""How many messages wait in the queues: asked for once a minute, of queues where that is allowed."""

import threading
from collections.abc import Sequence

from flows.catalogue.service import Unit
from sources.errors import Denied, SourceError
from sources.metric_scopes import MetricScope
from sources.queues.sqs import Queue, SqsQueue
from transforms.telemetry import gauge

_FIRST_SECONDS, _LOOK_SECONDS = 5.0, 60.0
_WAITING = ("queue_messages", "About how many messages are visible in a queue; where this may be asked")


def watch(running: Sequence[Unit], drain: threading.Event) -> None:
    """Show depths until told to end. IAM: sqs:GetQueueAttributes; a queue that denies it is asked no more."""
    asked = [
        (MetricScope(unit.service.name, unit.account.name, unit.service_key, region), queue)
        for unit in running
        for region, name in unit.options.queues(unit.service.name)
        for queue in [SqsQueue(Queue(unit.queue_account, region, name))]
    ]
    pause = _FIRST_SECONDS
    while asked and not drain.wait(pause):
        pause = _LOOK_SECONDS
        for one in list(asked):
            place, queue = one
            try:
                waiting, _ = queue.depth()
            except Denied:
                asked.remove(one)
            except SourceError:
                continue  # the source itself tells of it
            else:
                gauge(*_WAITING, *place._fields).labels(*place).set(waiting)
            if drain.is_set():
                return
