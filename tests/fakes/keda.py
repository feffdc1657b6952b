"""How many replicas a ScaledObject with an aws-sqs-queue trigger has, as KEDA and its HPA count them.

KEDA gives the HPA one external metric of type AverageValue: what the queue holds, visible or in flight, and
`queueLength` as its target (https://keda.sh/docs/latest/scalers/aws-sqs/). The HPA wants
ceil(metric / target), leaves alone what is within a tenth, adds four pods or as many as there are in 15 s,
whichever is more, and goes down to the most that it has wanted in the stabilization window only
(https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/). KEDA's cooldownPeriod counts for
the step from one to none alone, which `minReplicaCount: 1` forbids.
"""

import math
from collections import deque
from dataclasses import dataclass, field

TOLERANCE = 0.1
_PODS, _POLICY_SECONDS = 4, 15.0


@dataclass
class Scaler:
    """queue_length: messages of one replica. least, most: replicas. window: of stabilization, in seconds.

    period: in which the HPA adds four pods or doubles; 15 s in Kubernetes.
    """

    queue_length: int
    least: int
    most: int
    window: float = 300.0
    period: float = _POLICY_SECONDS
    _wanted: deque[tuple[float, int]] = field(default_factory=deque)
    _added: deque[tuple[float, int]] = field(default_factory=deque)

    def replicas(self, current: int, messages: int, now: float) -> int:
        """Return how many there shall be. messages: visible and in flight. now: seconds of any clock."""
        ratio = messages / (self.queue_length * current)
        wanted = current if abs(ratio - 1) <= TOLERANCE else math.ceil(messages / self.queue_length)
        self._wanted.append((now, wanted))
        while self._wanted[0][0] < now - self.window:
            self._wanted.popleft()
        while self._added and self._added[0][0] <= now - self.period:
            self._added.popleft()
        began = current - sum(count for _, count in self._added)
        if wanted > current:
            wanted = max(current, min(wanted, max(began + _PODS, 2 * began)))
        else:
            wanted = min(current, max(count for _, count in self._wanted))
        wanted = min(max(wanted, self.least), self.most)
        if wanted > current:
            self._added.append((now, wanted - current))
        return wanted
