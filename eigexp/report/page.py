"""`eigexp report`: every result of a store on one HTML page that needs nothing else, neither a server nor the network."""

import base64
import hashlib
import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from eigexp import __version__
from eigexp.errors import StoreError
from eigexp.report.cards import CHOICES, HEADINGS, Card, PageFigure, make_card
from eigexp.report.commands import plot_command, where_words
from eigexp.report.compare import comparison, comparison_chart
from eigexp.report.cross_table import cross_charts
from eigexp.report.pixels import check_scale
from eigexp.report.svg import chart_svg
from eigexp.report.view import View
from eigexp.store.cross_table import cross_tables
from eigexp.store.files import write_atomically
from eigexp.store.labels import duration, shortest
from eigexp.store.result import Result
from eigexp.store.store import Store
from eigexp.store.table import table

PAGE_BYTES = 24_000_000
RESULT_BYTES = 176_000
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Section:
    """Figures over all results, under a heading of their own."""

    id: str
    title: str
    charts: list[PageFigure]
    note: str = ""


def write_page(
    store: Store, target: str | os.PathLike[str], *, where: Sequence[str] = (), scale: float | None = None, title: str = "eigexp report"
) -> Path:
    """Write the page of a store's results and return its path. A damaged result is left out, with a warning in the log.

    Args:
        store: the results.
        target: the HTML file; replaced whole.
        where: conditions as in `table`.
        scale: norm at which distortions are shown first; chosen for each result by default.
        title: of the page.

    Raises:
        StoreError: if there is no result to show, or the page cannot be written.
        ConfigurationError: if a condition or the scale cannot work.
    """
    check_scale(scale)
    rows = table(store, where)
    cards = list(_cards(store, rows, scale))
    if not cards:
        which = f" with {' and '.join(where)}" if where else ""
        raise StoreError(f"{store.root} has no result{which} to report. `eigexp run` computes one; `eigexp results` lists those stored.")
    results = [store.read(card.id) for card in cards]
    sections = [*overview(results, store.root, where), *_layers(store, [card.id for card in cards])]
    content = page_html(cards, sections, title=title, source=store.root.name, cost=_cost(rows))
    write_atomically(Path(target).absolute(), content.encode())
    return Path(target)


def overview(results: Sequence[Result], root: Path, where: Sequence[str] = ()) -> list[Section]:
    """Return the figures over all results of the page, in sections."""
    views = [View.of_record(result.record) for result in results]
    compared = PageFigure(
        "Each row is a model and layer, each mark is an image, and the bar is their mean. An open mark with an arrow is a lower bound: "
        "the smallest eigenvalue may be zero.",
        Markup(chart_svg(comparison_chart(comparison(views)))),
        plot_command(root, "compare", *where_words(where)),
    )
    return [Section("comparison", "D of models and images", [compared])]


def _layers(store: Store, ids: Sequence[str]) -> list[Section]:
    """Return the charts of layers that see each other's distortions, where there are such tables."""
    try:
        charts = cross_charts(cross_tables(store), ids, store.root)
    except StoreError as error:
        log.warning("Left out of the report: %s", error)
        return []
    note = (
        "A cell is v\u1d40F v over the largest eigenvalue of the layer that sees: 1 is as noticeable as that layer's own most noticeable "
        "distortion. Values from one forward product through all layers; point at a cell for its digits."
    )
    return [Section("layers", "Layers against each other", charts, note)] if charts else []


def page_html(cards: Sequence[Card], sections: Sequence[Section], *, title: str, source: str, cost: str = "") -> str:
    """Return the whole page as text. Only its own script runs, whatever names the results have: all else is escaped and forbidden."""
    script, style = _part("page.js"), _part("page.css")
    return _template().render(
        cards=cards,
        headings=HEADINGS,
        choices=[(HEADINGS[at], at, sorted({card.cells[at][1] for card in cards})) for at in CHOICES],
        sections=sections,
        title=title,
        source=source,
        cost=cost,
        style=Markup(style),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        created=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        version=__version__,
    )


def _cards(store: Store, rows: Sequence[dict[str, Any]], scale: float | None) -> Iterator[Card]:
    budget = min(RESULT_BYTES, PAGE_BYTES // max(len(rows), 1))
    short = shortest(store.ids())
    for row in rows:
        try:
            result = store.read(row["id"])
            yield make_card(result, row, scale, budget, root=store.root, short=short[row["id"]])
        except StoreError as error:
            log.warning("Left out of the report: %s", error)


def _cost(rows: Sequence[dict[str, Any]]) -> str:
    return f"{sum(row['fisher_vector_products'] for row in rows):,.0f} products, {duration(sum(row['seconds'] for row in rows))} together"


@cache
def _template() -> Template:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(_part("page.html"))


@cache
def _part(name: str) -> str:
    return (files("eigexp.report") / name).read_text(encoding="utf-8")
