"""A proof with something of everything, for the page."""

import random
from datetime import UTC, datetime, timedelta

from flows.proof.facts import Fact, Witness
from flows.proof.judge import Fate, Judged
from flows.proof.proof import DigestChain, Gap, Proof

START = datetime(2026, 1, 20, tzinfo=UTC)
FATES = (Fate.DELIVERED,) * 40 + (Fate.FILTERED, Fate.EXPIRED)
BAD = (Fate.NEVER_ANNOUNCED, Fate.CHANGED, Fate.QUARANTINED, Fate.IN_FLIGHT, Fate.MISSING)


def sample(days=25, accounts=6) -> Proof:
    """Return a proof over the end of a month; some squares have gaps, one account has no object."""
    rng = random.Random(1)
    looked = START + timedelta(days=days + 1, hours=9)
    made = Proof("audits_s3", START, START + timedelta(days=days), looked, ("s3://trail/AWSLogs/",), ("/j",))
    for account in range(accounts):
        for day in range(days):
            at = START + timedelta(days=day, hours=3)
            name = f"{111111111111 * (account + 1)}"
            for number in range(rng.randrange(0, 8)):
                fate = rng.choice(BAD) if rng.random() < 0.02 else rng.choice(FATES)
                key = f"AWSLogs/{name}/CloudTrail/eu-west-1/{at:%Y/%m/%d}/{name}_CloudTrail_eu-west-1_"
                key += f"{at:%Y%m%dT%H%MZ}_{account}{number}<b>.json.gz"
                row = Fact(f"s3://trail/{key}", Witness.JOURNAL, events=200, size=9000)
                listed = Fact(f"s3://trail/{key}", Witness.LISTED, at=int(at.timestamp() * 1000))
                made.add(Judged(f"s3://trail/{key}", fate, listed, row, detail="its message is in the queue"))
    made.find(
        Gap(Fate.CHAIN_GAP, "s3://trail/digest.json.gz", "2026-01-21", "111111111111", "eu-west-1", "x")
    )
    made.chains.append(
        DigestChain(
            "111111111111", "eu-west-1", "main", "2026-01-20T00:00:00Z", "2026-02-14T00:12:00Z", 600, 1, 9000
        )
    )
    made.sampled = made.same = 20
    made.notes.append("that no day before is missing: it was not asked for")
    return made
