"""What a running process may spend: the budgets of its configuration, and the book that they are held to."""

import os
import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from flows.catalogue.prices import usd_of
from flows.catalogue.service import Unit
from flows.config.load import Settings
from flows.config.types import BudgetSetting
from flows.process.runtime import Launch
from sources.aws.spending import telemetry
from sources.aws.spending.book import SpendingBook
from sources.aws.spending.budget import FREE, KEPT, BudgetGate, MonthlyBudget
from sources.aws.spending.meter import BOOK
from sources.threads import Payer

VARIABLE = "COLLECTOR_SPENT"
"""Where the supervisor lets a process keep its book: beside those of the others, which share the budgets."""

FOLDER = "spent"
_LOOK_SECONDS = 30.0


class Money:
    """The budgets of one process. settings, running: what it collects."""

    def __init__(self, settings: Settings, running: Sequence[Unit], book: SpendingBook = BOOK) -> None:
        self._book = book
        protected = frozenset(payer_of(unit) for unit in running if unit.service.protected)
        self._budgets = {
            place: _budget(place, one, covers, protected.__contains__, book)
            for place, one, covers in declared(settings)
        }

    def gate(self, unit: Unit) -> BudgetGate:
        """Return what lets a unit's work wait: the budgets of its input and its own."""
        place = f"inputs.{unit.account.name}"
        found = [self._budgets.get(one) for one in (place, f"{place}.services.{unit.service_key}")]
        budgets = tuple(one for one in found if one is not None)
        return FREE if unit.service.protected or not budgets else BudgetGate(budgets, unit.service_key)

    def state(self) -> dict[str, Any]:
        """Return what was spent this month and where each budget stands, as plain data; in USD."""
        spent = self._book.spent().items()
        return {
            "month": self._book.month,
            "spent": {
                " ".join(payer).strip() or "collector": round(one.usd, 4) for payer, one in sorted(spent)
            },
            "budgets": [one.state() for one in self._budgets.values()],
        }

    def tell(self) -> None:
        """Show what was spent in metrics, and log what has changed."""
        for payer, one in self._book.spent().items():
            telemetry.cost(payer, one.usd)
        telemetry.not_kept(sum(one.tell() != KEPT for one in self._budgets.values()))

    def watch(self, drain: threading.Event) -> None:
        """Tell again and again, until `drain`."""
        self.tell()
        while not drain.wait(_LOOK_SECONDS):
            self.tell()


def declared(settings: Settings) -> list[tuple[str, BudgetSetting, Callable[[Payer], bool]]]:
    """Return where each budget stands, what it says, and whose bills are paid of it."""
    found: list[tuple[str, BudgetSetting | None, Callable[[Payer], bool]]] = []
    for name, one in settings.inputs.items():
        found.append((f"inputs.{name}", one.budget, partial(_is_of, name, "")))
        found += [
            (f"inputs.{name}.services.{key}", options.budget, partial(_is_of, name, key))
            for key, options in one.services.items()
        ]
    return [(place, budget, covers) for place, budget, covers in found if budget]


def _is_of(name: str, setting: str, payer: Payer) -> bool:
    return payer.input == name and setting in {"", payer.setting}


def _budget(
    place: str,
    one: BudgetSetting,
    covers: Callable[[Payer], bool],
    protected: Callable[[Payer], bool],
    book: SpendingBook,
) -> MonthlyBudget:
    return MonthlyBudget(
        place, one.usd_per_month, one.on_exceed, one.usd_per_gb, covers, protected, one.last, book
    )


def payer_of(unit: Unit) -> Payer:
    """Return whom what a unit asks of AWS is counted for."""
    return Payer(unit.service.name, unit.account.name, unit.service_key)


def book_path(started: Launch) -> Path | None:
    """Return where this process keeps its book, None = nowhere."""
    if given := os.environ.get(VARIABLE):
        return Path(f"{given}-{started.process.index}.spent")
    return started.recovery / FOLDER / f"{started.process.index}.spent" if started.recovery else None


def begin(settings: Settings, running: Sequence[Unit], started: Launch, drain: threading.Event) -> Money:
    """Open the book, and tell from now on what is spent."""
    BOOK.price = usd_of
    if path := book_path(started):
        BOOK.keep(path)
    made = Money(settings, running)
    threading.Thread(target=made.watch, args=(drain,), name="money", daemon=True).start()
    return made
