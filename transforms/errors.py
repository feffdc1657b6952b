"""The one root of this project's errors: every message says what broke, where, and what to do.

CollectorError                 transforms/errors.py
├── SettingsError              flows/config/load.py      wrong configuration or usage   exit 2
├── SourceError …              sources/errors.py    AWS, queues, objects
└── DeliveryError …            sinks/errors.py      Devo and other outputs
"""

import re
from typing import ClassVar

_WORD = re.compile(r"(?<=[a-z])(?=[A-Z])")


class CollectorError(Exception):
    """`what: where: hint`, the only form in which this project reports a failure.

    family: when it happens, the first part of its code: init, setup, pull, api or delivery.
    """

    family: ClassVar[str] = "init"

    def __init__(self, what: str, where: str, hint: str) -> None:
        super().__init__(what, where, hint)
        self.what, self.where, self.hint = what, where, hint

    @classmethod
    def code(cls) -> str:
        """Return the stable code of this kind of failure, an anchor in docs/errors.md: `api-throttled`."""
        return f"{cls.family}-{_WORD.sub('-', cls.__name__.removesuffix('Error')).lower()}"

    def __str__(self) -> str:
        return f"{self.what}: {self.where}: {self.hint}"
