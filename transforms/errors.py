"""The one root of this project's errors: every message says what broke, where, and what to do.

CollectorError                 transforms/errors.py
├── SettingsError              flows/config.py      wrong configuration or usage   exit 2
├── SourceError …              sources/errors.py    AWS, queues, objects
└── DeliveryError …            sinks/errors.py      Devo and other outputs
"""


class CollectorError(Exception):
    """`what: where: hint`, the only form in which this project reports a failure."""

    def __init__(self, what: str, where: str, hint: str) -> None:
        super().__init__(what, where, hint)
        self.what, self.where, self.hint = what, where, hint

    def __str__(self) -> str:
        return f"{self.what}: {self.where}: {self.hint}"
