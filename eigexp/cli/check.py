"""One line of `eigexp doctor`."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from rich.console import Console

Status = Literal["ok", "warning", "problem"]
COLOURS: dict[Status, str] = {"ok": "green", "warning": "yellow", "problem": "red"}


@dataclass(frozen=True)
class Check:
    """What was checked, its status, what was found, and a hint where that is not ok."""

    name: str
    status: Status
    detail: str
    hint: str = ""


def show(checks: Iterable[Check], console: "Console | None" = None) -> None:
    """Print a table of checks, each hint on a line below what it is about."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("check", "", "found", box=None, pad_edge=False, header_style="bold")
    for check in checks:
        found = Text(check.detail)
        if check.hint:
            found.append(f"\n-> {check.hint}", COLOURS[check.status])
        table.add_row(Text(check.name), Text(check.status, COLOURS[check.status]), found)
    (console or Console()).print(table)
