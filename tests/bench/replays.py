"""Captured files through `flows replay`, beside the floor: the works whose input lies on the disk."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.bench.bench import PYTHON, Bench, Cost, Made, Program, Rate, paired
from tests.bench.table import Measured


@dataclass(frozen=True, slots=True)
class Replay:
    """kind: of the corpus. files: in the full form. service: its name. options: its settings."""

    work: str
    kind: str
    files: int
    service: str
    options: Mapping[str, Any] | None = None


REPLAYS: tuple[Replay, ...] = (
    Replay("vpc", "vpc", 100, "flowlogs"),
    Replay("cloudfront", "cloudfront", 100, "cloudfrontlogs"),
    Replay("umbrella", "umbrella", 100, "cisco-umbrella"),
    Replay("vpc-json", "vpc", 30, "flowlogs", {"format": "json"}),
    Replay("vpc-parquet", "vpc-parquet", 40, "flowlogs"),
    Replay("cloudtrail", "cloudtrail", 60, "audits_s3"),
)


def replay(work: str) -> Replay:
    return next(one for one in REPLAYS if one.work == work)


def files(bench: Bench, full: int) -> int:
    return max(4, full // 5) if bench.quick else full


def aws_input(services: Mapping[str, Any]) -> dict[str, Any]:
    credentials = {"access_key": "123456789012", "access_secret": "bench"}
    return {"aws": {"id": "bench", "enabled": True, "credentials": credentials, "services": dict(services)}}


def flow_logs(**options: Any) -> dict[str, Any]:
    """Return the services section for VPC flow logs from the queue of `cheap_aws`."""
    queue = {"vpcflowlogs_sqs_queue_name": "bench", "regions": ["us-east-1"], "auto_event_type": True}
    return {"non-cloudwatch-logs": {"types": ["flowlogs"], **queue, **options}}


def collector(bench: Bench, case: Replay, workers: int = 1) -> Program:
    inputs = aws_input(flow_logs(**case.options)) if case.options else {}
    config = bench.configuration(inputs, f"replay-{case.work}")

    def program(corpus: Made) -> Cost:
        ours = ["replay", str(corpus.folder), "--service", case.service, "--output", "devo", "--quiet"]
        more = {"BYTEWAX_WORKERS_PER_PROCESS": str(workers)}
        return bench.run([PYTHON, "-m", "flows", *ours, "--config", str(config)], more)

    return program


def floor_command(bench: Bench, work: str, corpus: Made) -> list[str]:
    where = (str(corpus.folder), str(bench.certs), str(bench.port))
    return [PYTHON, "-m", "tests.bench.floor", work, *where]


def floor(bench: Bench, work: str) -> Program:
    return lambda corpus: bench.run(floor_command(bench, work, corpus))


_LIMITS = {
    **dict.fromkeys(("vpc", "cloudfront", "umbrella", "cloudtrail"), "copy"),
    **dict.fromkeys(("vpc-json", "vpc-parquet"), "alone"),
}
"""Work → its second floor: the same bytes copied and parsed by nobody, or made and sent to nobody."""


def measure(bench: Bench, work: str) -> list[Measured]:
    """Return one work's rates beside its floors, all in turns."""
    case = replay(work)
    large, small = bench.corpus(case.kind, files(bench, case.files)), bench.corpus(case.kind, 1)
    limit = f"{work}-{_LIMITS[work]}"
    programs = {"collector": collector(bench, case), "floor": floor(bench, work), limit: floor(bench, limit)}
    rates = paired(programs, dict.fromkeys(programs, large), small, bench.rounds)
    ours: Rate = rates["collector"]
    bench.peaks[work] = ours.peak
    return [
        Measured(work, ours.cpu, rates["floor"].cpu, ours.peak),
        Measured(limit, ours.cpu, rates[limit].cpu),
    ]
