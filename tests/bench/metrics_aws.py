"""`fake_aws` with metrics in it: python -m tests.bench.metrics_aws PORT_FILE METRICS, until killed."""

import sys
import threading
import time
from pathlib import Path

from tests.fakes.fake_aws.server import FakeAws, put_metric_samples

STEP, REACH = 60, 3_600


def main() -> None:
    port_file, metrics = Path(sys.argv[1]), int(sys.argv[2])
    last = int(time.time()) // STEP * STEP
    samples = [{"timestamp": last - back, "value": 1.5} for back in range(0, REACH // 4, STEP)]
    for number in range(metrics):
        put_metric_samples("Bench", f"M{number}", samples, {"Host": f"h{number % 100}"})
    with FakeAws() as aws:
        port_file.write_text(aws.url.rpartition(":")[2])
        threading.Event().wait()


if __name__ == "__main__":
    main()
