"""`make licences`: the licence of every package that the collector is installed with, from the pinned set.

Exits with 1 for one that tells none, or that asks for more than to be named: who ships the image must know.
Advisories need a network: `pip-audit --disable-pip --require-hashes -r requirements/collector.txt`.
"""

import re
import sys
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

PINNED = Path(__file__).parents[2] / "requirements/collector.txt"
_PERMISSIVE = re.compile(
    r"Apache|BSD|\bMIT\b|Python Software Foundation|PSF|ISC|MPL-2\.0|Mozilla Public License 2\.0|Zlib",
    re.IGNORECASE,
)
_ASKS_MORE = re.compile(r"\b[AL]?GPL|General Public|\bSSPL|\bBUSL|Commons Clause|Proprietary", re.IGNORECASE)


def pinned(text: str) -> list[Requirement]:
    """Return the requirements of a lock that hold on this machine."""
    lines = (line.rstrip("\\ ") for line in text.splitlines() if re.match(r"[a-zA-Z0-9]", line))
    found = map(Requirement, lines)
    return [one for one in found if one.marker is None or one.marker.evaluate()]


def licence(name: str) -> str:
    """Return what an installed package says of its licence, "" when nothing."""
    about = metadata.metadata(name)
    classified = [one.rpartition(" :: ")[2] for one in about.get_all("Classifier", []) if "License ::" in one]
    told = about.get("License-Expression") or ", ".join(classified) or about.get("License", "")
    return str(told).partition("\n")[0].strip() or _title(name)


def _title(name: str) -> str:
    """Return the title of the licence that lies beside a package."""
    files = [one for one in metadata.files(name) or () if "licen" in one.name.lower()]
    words = (line.strip() for one in files for line in one.read_text().splitlines())
    return next((line for line in words if line), "")


def judged(told: str) -> str:
    """Return what is wrong with a licence, "" when it asks for no more than to be named."""
    if _ASKS_MORE.search(told):
        return "asks for more"
    return "" if _PERMISSIVE.search(told) else "not told" if not told else "not known"


def main() -> int:
    """Print the report."""
    wrong = 0
    for one in pinned(PINNED.read_text()):
        told = licence(one.name)
        verdict = judged(told)
        wrong += bool(verdict)
        sys.stdout.write(f"{one.name:24} {metadata.version(one.name):12} {told:44} {verdict}\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
