"""What `eigexp sweep` and `eigexp status` show."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from eigexp.sweep.task_status import DONE, FAILED, IN_FLIGHT, PARTIAL, STATES, Standing

_STYLES = {DONE: "green", IN_FLIGHT: "cyan", FAILED: "red", PARTIAL: "yellow"}
_SHOWN = 40


def status_table(standings: Sequence[Standing], costs: Mapping[str, float | None] | None = None) -> Table:
    """A row a task, with the estimated products where `costs` (by id) has them; of many, the first few that are not done."""
    rows = list(standings) if len(standings) <= _SHOWN else [s for s in standings if s.state != DONE][:_SHOWN]
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("task", "model", "images", *(("FVPs",) if costs is not None else ()), "state", "", "sweep"):
        table.add_column(name, no_wrap=name != "", justify="right" if name == "FVPs" else "left")
    for s in rows:
        cost = () if costs is None else (_products(costs.get(s.id)),)
        words = _shortened(" ".join(s.job.get("overrides", ())))
        images = _shortened(", ".join(s.job.get("names", ())))
        cells = (s.id, s.job.get("model", ""), images, *cost, s.state, _shortened(s.detail), words)
        table.add_row(*(Text(cell, _STYLES.get(cell, "")) for cell in cells))
    return table


def counts(standings: Sequence[Standing]) -> str:
    """One line: 3 tasks: 1 done, 2 to do."""
    number = Counter(s.state for s in standings)
    return f"{len(standings)} tasks: " + (", ".join(f"{number[state]} {state}" for state in STATES if number[state]) or "none")


def print_table(table: Table) -> None:
    """On a terminal as wide as that is, elsewhere wide enough."""
    console = Console()
    if not console.is_terminal:
        console.width = 200
    console.print(table)


def as_json(standings: Sequence[Standing]) -> str:
    """The same for machines."""
    return json.dumps([{"id": s.id, "state": s.state, "detail": s.detail, **s.job} for s in standings], indent=1, ensure_ascii=False)


def _products(cost: float | None) -> str:
    return "?" if cost is None else f"~{cost:.0f}"


def _shortened(words: str, most: int = 50) -> str:
    return words if len(words) <= most else words[: most - 1] + "…"
