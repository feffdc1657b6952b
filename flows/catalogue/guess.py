"""What a configuration cannot tell about a day, for `python -m flows plan`: numbers with their defaults."""

from msgspec import Struct
from msgspec.structs import asdict


class Guess(Struct, frozen=True):
    """What a configuration cannot tell, each for one service in one region and one day unless it says else.

    objects: announced in S3. messages: of queues whose messages are the events. events: in CloudTrail's API.
    metrics: at any time. groups: log groups that a prefix stands for. log_megabytes: of log events.
    findings: of GuardDuty. folders: that one listing of a bucket asks for. traffic_gb: out of AWS, of all
    services together. accounts: of an organization, where its `include` does not name them one by one.
    processes: of the collector.
    encrypted: S3 objects are encrypted with a KMS key without bucket keys.
    """

    objects: float = 10_000
    messages: float = 10_000
    events: float = 10_000
    metrics: float = 1_000
    groups: float = 20
    log_megabytes: float = 100
    findings: float = 10
    folders: float = 10
    accounts: float = 10
    traffic_gb: float = 0
    processes: int = 1
    encrypted: bool = False


class Assumption(Struct, frozen=True):
    """One of its numbers as an option. name: in `Guess`. text: for --help. unit: for the plan, behind it."""

    name: str
    option: str
    text: str
    unit: str

    def of(self, guess: Guess) -> float:
        """Return the number."""
        return float(asdict(guess)[self.name])


ASSUMPTIONS: tuple[Assumption, ...] = (
    Assumption("objects", "--objects-per-day", "S3 objects of each service and region", "objects"),
    Assumption("messages", "--messages-per-day", "messages of each event queue", "messages"),
    Assumption(
        "events", "--events-per-day", "events of each region in CloudTrail's API", "CloudTrail events"
    ),
    Assumption("metrics", "--metrics", "CloudWatch metrics of each region", "metrics"),
    Assumption(
        "groups", "--log-groups", "log groups that a prefix such as / stands for", "log groups per prefix"
    ),
    Assumption(
        "log_megabytes", "--log-megabytes-per-day", "log events of each logs service and region", "MB of logs"
    ),
    Assumption("findings", "--findings-per-day", "GuardDuty findings of each region", "findings"),
    Assumption("folders", "--listed-folders", "folders that one s3_listing asks for", "folders per listing"),
    Assumption("accounts", "--accounts", "accounts of an organization", "accounts per organization"),
)
