"""What is counted as spent is what AWS was asked: of each service each call, retries and lost replies too."""

from collections import Counter

from prometheus_client import REGISTRY

from sources.aws.spending.meter import BOOK, FIFO
from tests.conformance.rig import IAM, Rig, Waits
from tests.conformance.test_faults import all_faults
from tests.conformance.waivers import over_rows
from tests.fakes.strict import STRICT

ELSEWHERE = ("sts.GetCallerIdentity",)
"""A row that does not name it asks whatever proxy was made last."""

ANSWERED = ("2??", "call", "corrupt", "cut", "drip", "latency", "short", "stall", "truncate")
"""What became of a request whose reply's head has come: S3 tells there that it has asked KMS."""


def counted(rig: Rig) -> Counter[str]:
    """Return how often the book has counted each action of a row."""
    found: Counter[str] = Counter()
    for key, row in BOOK.rows().items():
        if (key.input, key.service) == ("aws", rig.row.name):
            found[key.action.removesuffix(FIFO)] += row.calls
    return +_here(found)


def _here(found: Counter[str]) -> Counter[str]:
    for op in ELSEWHERE:
        found.pop(op.replace(".", ":"), None)
    return found


def metered(rig: Rig) -> Counter[str]:
    """Return the same as the metrics have it."""
    found: Counter[str] = Counter()
    for metric in REGISTRY.restricted_registry(["collector_aws_calls_total"]).collect():
        for sample in metric.samples:
            if sample.labels.get("service") == rig.row.name and sample.name.endswith("_total"):
                found[sample.labels["action"].removesuffix(FIFO)] += int(sample.value)
    return +_here(found)


def seen(rig: Rig) -> Counter[str]:
    """Return how often the emulator, or the fault before it, saw each action."""
    asked = [call.op for call in list(rig.proxy.log)]
    return Counter(IAM.get(op, op.replace(".", ":")) for op in asked if op not in ELSEWHERE)


def decrypted(rig: Rig) -> Counter[str]:
    """Return how often S3 asked KMS: for each object that it gave, where all are encrypted."""
    if not STRICT:
        return Counter()
    return +Counter({"kms:Decrypt": sum(rig.proxy.count("s3.GetObject", outcome) for outcome in ANSWERED)})


def every_call(rig: Rig) -> Waits:
    """Let every operation fail in every way, then let all end: nothing is under way any more."""
    before, metered_before = counted(rig), metered(rig)
    yield from all_faults(rig)
    for started in rig.running:
        started.drain.set()
    yield "every lane ends", lambda: not any(started.run.lanes for started in rig.running)
    yield "its threads end", lambda: not rig.threads
    yield "the proxy has noted all replies", lambda: seen(rig) >= counted(rig) - before - decrypted(rig)
    assert counted(rig) - before == seen(rig) + decrypted(rig)
    assert metered(rig) - metered_before == seen(rig)


@over_rows("count_every_call")
def test_count_every_call(played, row):
    """The book and the metrics agree with the calls that the fake saw, exactly; so do S3's calls of KMS."""
    played(every_call, row)
