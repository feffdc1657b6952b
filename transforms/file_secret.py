"""A secret that lies in a file: read again each time that it is needed, so that it may be replaced there."""

from contextlib import suppress
from pathlib import Path

from pydantic import SecretStr

_LONGEST = 1 << 16


def secret_of(place: Path) -> str:
    """Return the text of a file that holds a secret, stripped. Raises OSError, ValueError."""
    with place.open("rb") as file:
        data = file.read(_LONGEST + 1)
    if len(data) > _LONGEST:
        raise ValueError(f"more than {_LONGEST} bytes are no secret")
    return data.decode().strip()


class FileSecret(SecretStr):
    """A secret as its file has it now; while that is absent, empty or unreadable, as it was before."""

    def __init__(self, place: Path, before: str) -> None:
        super().__init__(before)
        self._place = place

    def get_secret_value(self) -> str:
        """Return the text."""
        with suppress(OSError, ValueError):
            self._secret_value = secret_of(self._place) or self._secret_value
        return self._secret_value
