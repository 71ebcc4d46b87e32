"""`eigexp report`: every result of a store on one HTML page that needs neither a server nor a network."""

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
from eigexp.errors import ConfigurationError, StoreError
from eigexp.report.cards import HEADINGS, NUMBERS, Budget, Card, PageFigure, make_card
from eigexp.report.commands import plot_command, where_words
from eigexp.report.cross_table import cross_charts
from eigexp.report.embed import LONGEST_SIDE, embed_image, longest_side
from eigexp.report.page_grid import Grid, make_grid
from eigexp.report.pixels import check_scale, is_picture
from eigexp.report.seen_by import read_seen_by, seen_by_chart
from eigexp.report.separation import LEGEND, comparison_chart, groups
from eigexp.report.svg import chart_svg, key_svg
from eigexp.report.words import JOINT
from eigexp.store.cross_table import cross_tables
from eigexp.store.files import write_output
from eigexp.store.labels import duration, shortest
from eigexp.store.selection import Selection
from eigexp.store.store import ERROR, JOB, Store

MAX_RESULTS = 5_000  # on a page: each takes 10 kB with its charts
PICTURES = 8_000_000  # bytes of all distortions, before base64
RESULT = 176_000  # of the distortions of one result, at most
IMAGES = 1_000_000  # of all images
_MOST_SIDE_BYTES = 60_000  # of one image
_CHOICES = ("model", "layer", "image", "status")  # columns that have a menu of their values, beside the settings that differ
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Section:
    """Figures over all results, under their own heading."""

    id: str
    title: str
    charts: list[PageFigure]
    note: str = ""


@dataclass(frozen=True)
class Failure:
    """A task that failed: its id, what it is of, and its error."""

    id: str
    name: str
    message: str


def write_page(
    store: Store,
    target: str | os.PathLike[str],
    *,
    where: Sequence[str] = (),
    cross: str | Path | None = None,
    scale: float | None = None,
    title: str = "eigexp report",
) -> Path:
    """Write the page of a store's results and return its path. A damaged result is left out, with a warning in the log.

    Args:
        store: the results.
        target: the HTML file; replaced whole.
        where: conditions as in `eigexp results --where`.
        cross: a file of `eigexp cross --format json`, whose distortions of results on the page are shown as other models see them.
        scale: norm at which distortions are shown first; chosen so that they are visible by default.
        title: of the page.

    Raises:
        StoreError: if there is no result to show, or the page cannot be written.
        ConfigurationError: if a condition, the scale or the file of `cross` cannot work, or there are more than `MAX_RESULTS` results.
    """
    check_scale(scale)
    seen = read_seen_by(cross) if cross is not None else []
    chosen = Selection.of_store(store, where)
    if len(chosen.rows) > MAX_RESULTS:
        raise ConfigurationError(
            f"A page of {len(chosen.rows):,} results is too large for a browser; {MAX_RESULTS:,} is the limit. Choose some with --where."
        )
    side = longest_side(sum(len(row["pairs"]) for row in chosen.rows), PICTURES)
    cards = list(_cards(store, chosen, side))
    if not cards:
        which = f" with {' and '.join(where)}" if where else ""
        raise StoreError(f"{store.root} has no result{which} to report. `eigexp run` computes one; `eigexp results` lists those stored.")
    kept = {card.id for card in cards}
    selection = Selection(tuple(row for row in chosen.rows if row["id"] in kept), chosen.beside)
    grid = make_grid(cards, chosen.images, _images(store, selection, cards, side))
    sections = [*overview(selection, store.root, where), *_layers(store, list(kept)), *_seen_by([row for row in seen if row["id"] in kept])]
    content = page_html(cards, grid, sections, selection, title=title, source=store.root.name, failures=_failures(store), scale=scale)
    write_output(target, content.encode())
    return Path(target)


def overview(selection: Selection, root: Path, where: Sequence[str] = ()) -> list[Section]:
    """Return the figures over all results of the page, in sections."""
    chart = comparison_chart(selection)
    compared = PageFigure(
        f"Each row is a model with its settings, each mark is an image ({LEGEND}); the row with the largest verified D is first. "
        "The number is the mean if every image has a verified value, otherwise a lower bound for all verified images.",
        Markup(chart_svg(chart)),
        plot_command(root, "compare", *where_words(where)),
        phone="" if chart.empty else Markup(chart_svg(chart, phone=True)),
        legend=[(Markup(key_svg(role, shape, hollow=chart.is_hollow(role, shape))), name) for role, shape, name in chart.legend],
    )
    return [Section("comparison", "D = \u00bd ln(\u03bb\u2081/\u03bb\u2099) of models and images", [compared])]


def headline(selection: Selection) -> str:
    """Return the headline: the model with the largest D, and whether it is verified."""
    best = next(iter(groups(selection, by_size=True)), None)
    if best is None or not best.verified:
        return "No D is verified."
    return f"Largest verified D: {best.label.row} ({best.words}, {len(best.verified)} of {len(best.rows)} images verified)."


def _layers(store: Store, ids: Sequence[str]) -> list[Section]:
    """Return the charts of the cross tables, if there are any."""
    charts = cross_charts(cross_tables(store), ids, store.root)
    note = (
        "A cell is v\u1d40F v divided by the largest eigenvalue of the responding layer (column): 1 is as noticeable as that layer's own "
        "most noticeable distortion. All values are from one forward product through all layers; point at a cell to see more digits."
    )
    return [Section("layers", "Layers against each other", charts, note)] if charts else []


def _seen_by(rows: Sequence[dict[str, Any]]) -> list[Section]:
    """Return the chart of distortions as other models see them; none without rows."""
    chart = seen_by_chart(rows)
    words = "Each row is a distortion, each mark a model: from which norm on it is predicted to see the distortion, 1/\u221a(v\u1d40F v)."
    figure = PageFigure(
        words,
        Markup(chart_svg(chart)),
        "eigexp cross --models NAME,.. --output cross.png",
        phone="" if chart.empty else Markup(chart_svg(chart, phone=True)),
        legend=[(Markup(key_svg(role, shape, hollow=False)), name) for role, shape, name in chart.legend],
    )
    return [Section("seen-by", "Distortions as other models see them", [figure])] if rows else []


def page_html(
    cards: Sequence[Card], grid: Grid, sections: Sequence[Section], selection: Selection, *, title: str, source: str,
    failures: Sequence[Failure] = (), scale: float | None = None,
) -> str:  # fmt: skip
    """Return the whole page as text. Only its own script can run, whatever names the results have: all else is escaped or forbidden."""
    script, style, columns = _part("page.js"), _part("page.css"), _columns(selection)
    scales = sorted(card.scale for card in cards if card.is_picture)
    return _template().render(
        cards=cards,
        grid=grid,
        columns=[(HEADINGS.get(name, name), name in NUMBERS) for name in columns],
        choices=_choices(cards, columns, selection),
        sections=sections,
        failures=failures,
        headline=headline(selection),
        common=selection.settings_in_common,
        verified=sum(card.verified for card in cards),
        scale=scale or (scales[len(scales) // 2] if scales else 1.0),
        title=title,
        source=source,
        cost=_cost(selection),
        style=Markup(style),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        created=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        version=__version__,
    )


def _columns(selection: Selection) -> list[str]:
    first, *rest = HEADINGS
    layer = [name for name in rest if name != "layer" or any(row["layer"] for row in selection.rows)]
    at = layer.index("n")
    return [first, *layer[:at], *selection.differing, *layer[at:]]


def _choices(cards: Sequence[Card], columns: Sequence[str], selection: Selection) -> list[tuple[str, int, list[str]]]:
    """Return the name, column and values of each menu; a column of one value has none."""
    found = []
    for name in (*_CHOICES, *selection.differing):
        if name in columns:
            at = columns.index(name)
            values = list(dict.fromkeys(card.cells[at][1] for card in cards))
            if len(values) > 1:
                found.append((name, at, values))
    return found


def _cards(store: Store, selection: Selection, side: int) -> Iterator[Card]:
    budget, columns = Budget.of(len(selection.rows), side, min(PICTURES, RESULT * len(selection.rows))), _columns(selection)
    short = shortest(store.ids())
    for row in selection.rows:
        id = row["id"]
        try:
            yield make_card(store.read(id), row, selection.labels[id], columns, budget, root=store.root, short=short[id])
        except StoreError as error:
            log.warning("Left out of the report: %s", error)


def _images(store: Store, selection: Selection, cards: Sequence[Card], side: int) -> dict[str, str]:
    """Return each image once, by its label, as a data URI."""
    first = {card.label.image: card.id for card in reversed(cards) if card.is_picture}
    most = min(IMAGES // max(len(first), 1), _MOST_SIDE_BYTES if side < LONGEST_SIDE else 2 * _MOST_SIDE_BYTES)
    pixels = {name: store.read(id).image for name, id in first.items()}
    return {name: embed_image(image, most, side) for name, image in pixels.items() if is_picture(image.shape)}


def _failures(store: Store) -> list[Failure]:
    """Return the tasks that failed and have no result."""
    found = []
    for id in sorted(folder.name for folder in store.folders()):
        try:
            error = None if store.has(id) else store.read_json(id, ERROR)
            job = store.read_json(id, JOB) or {}
        except StoreError as damaged:
            store.leave_out(id, str(damaged))
            continue
        if error:
            name = " ".join(str(part) for part in (job.get("model", ""), ", ".join(job.get("names", ()))) if part)
            found.append(Failure(id, name, str(error.get("message", "unknown error"))))
    store.warn_of_left_out()
    return found


def _cost(selection: Selection) -> str:
    products, seconds = (sum(row[name] for row in selection.rows) for name in ("fisher_vector_products", "seconds"))
    return f"{products:,.0f} products, {duration(seconds)} in total"


@cache
def _template() -> Template:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["breakable"] = _breakable
    return environment.from_string(_part("page.html"))


def _breakable(text: str) -> Markup:
    """Return text that a narrow column breaks after . _ and =, rather than within a word."""
    return Markup("<wbr>").join(JOINT.split(text))


@cache
def _part(name: str) -> str:
    return (files("eigexp.report") / name).read_text(encoding="utf-8")
