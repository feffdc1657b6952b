"""Configurations of both of Devo's collectors, and what they collect.

python -m tests.flows.config.documented    prints all of it as a table
"""

import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import yaml
from rich.console import Console
from rich.table import Table

from flows.catalogue.build import bucket_listing, reads_objects
from flows.catalogue.service import Unit
from flows.catalogue.services import units
from flows.config.load import Settings, load

DATA = Path(__file__).with_name("devo_configurations.yaml")
REFUSED = Path(__file__).with_name("refused_configurations.yaml")


@dataclass(frozen=True)
class Documented:
    """One configuration. config: the file's text. env, files: beside it. catalogue: rows that are due."""

    about: str
    config: str
    catalogue: list[str]
    env: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)

    def write(self, folder: Path) -> Path:
        """Write it with its files; returns the configuration's path."""
        for name, text in self.files.items():
            (folder / name).write_text(text)
        path = folder / ("config.json" if self.config.startswith("{") else "config.yaml")
        path.write_text(self.config)
        return path


class Row(NamedTuple):
    """What is collected, from where, as whom."""

    input: str
    service: str
    source: str
    region: str
    identity: str


def refused() -> list[tuple[str, str, list[str]]]:
    """Return (what it shows, text, errors) of each configuration that is refused."""
    return [tuple(one.values()) for one in yaml.safe_load_all(REFUSED.read_text())]


def documented() -> list[Documented]:
    """Return all of them."""
    return [Documented(**one) for one in yaml.safe_load_all(DATA.read_text())]


def catalogue(settings: Settings) -> Iterator[Row]:
    """Yield a row for each queue, listing and region of an API of a configuration."""
    for unit in units(settings):
        identity = _identity(settings, unit)
        for source, region in _sources(unit):
            yield Row(unit.account.name, unit.name, source, region, identity)


def _sources(unit: Unit) -> list[tuple[str, str]]:
    if reads_objects(unit) and (listing := bucket_listing(unit)):
        return [(f"s3://{listing.short}", listing.region)]
    queues = unit.options.queues(unit.service.name)
    return [(name, region) for region, name in queues] or [("API", region) for region in unit.options.regions]


def _identity(settings: Settings, unit: Unit) -> str:
    begins = "keys" if settings.inputs[unit.account.name].credentials.access_key else "machine"
    return ">".join([begins, *(hop.role.rpartition("/")[2] for hop in unit.account.hops)])


def table() -> Table:
    """Return all configurations with what they collect."""
    made = Table("configuration", *Row._fields, box=None, pad_edge=False)
    for number, one in enumerate(documented(), 1):
        with tempfile.TemporaryDirectory() as folder:
            rows = list(catalogue(load(one.write(Path(folder)), one.env)))
        for place, row in enumerate(rows):
            made.add_row("" if place else f"{number:2} {one.about}", *row)
    return made


if __name__ == "__main__":
    Console(width=180, file=sys.stdout).print(table())
