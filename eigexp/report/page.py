"""`eigexp report`: every result of a store on one HTML page that needs nothing else, neither a server nor the network."""

import base64
import hashlib
import logging
import os
import shlex
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
from eigexp.report.compare import comparison
from eigexp.report.embed import embed_distortions, embed_image, reduction
from eigexp.report.pixels import check_scale, default_scale, is_picture
from eigexp.report.vector import comparison_svg, curves_svg, signal_svg, spectrum_svg
from eigexp.report.view import View
from eigexp.report.words import d_words, duration, eigenvalue_words, evidence_words, layer_words, number, rank_name
from eigexp.store.files import write_whole
from eigexp.store.result import Result
from eigexp.store.store import Store
from eigexp.store.table import table

PAGE_BYTES = 24_000_000
RESULT_BYTES = 176_000
IMAGE_SHARE = 0.35
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Shown:
    """One distortion on the page: a picture about mid-grey, or the SVG of a signal."""

    kind: str
    title: str
    uri: str = ""
    peak: float = 0.0
    signal: Markup | str = ""


@dataclass(frozen=True)
class Card:
    """What the page says and shows of one result. `cells` are (sort key, text) in the order of `HEADINGS`."""

    id: str
    heading: str
    cells: list[tuple[str, str]]
    state: str
    image: str
    signal: Markup
    size: tuple[int, int]
    distortions: list[Shown]
    scale: float
    charts: list[tuple[str, Markup]]
    facts: list[tuple[str, str]]
    command: str


HEADINGS = ("model", "layer", "image", "n", "\u03bb\u2081", "\u03bb\u2099", "D", "evidence", "status", "products", "time", "created")


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
        raise StoreError(f"{store.root} has no result{which} to report. `eigexp run` makes one, `eigexp results` lists what there is.")
    views = [View.of_record(store.read(card.id).record) for card in cards]
    content = page_html(cards, Markup(comparison_svg(comparison(views))), title=title, source=store.root.name)
    write_whole(Path(target).absolute(), content.encode())
    return Path(target)


def page_html(cards: Sequence[Card], chart: Markup, *, title: str, source: str) -> str:
    """The whole page as text. Only the page's own script runs, whatever names the results have: all else is escaped and forbidden."""
    script, style = _part("page.js"), _part("page.css")
    return _template().render(
        cards=cards,
        headings=HEADINGS,
        chart=chart,
        title=title,
        source=source,
        style=Markup(style),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        created=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        version=__version__,
    )


def _cards(store: Store, rows: Sequence[dict[str, Any]], scale: float | None) -> Iterator[Card]:
    budget = min(RESULT_BYTES, PAGE_BYTES // max(len(rows), 1))
    for row in rows:
        try:
            result = store.read(row["id"])
            yield make_card(result, row, scale, budget)
        except StoreError as error:
            log.warning("Left out of the report: %s", error)


def make_card(result: Result, row: dict[str, Any], scale: float | None, budget: int) -> Card:
    """One result, its pictures within about `budget` bytes.

    Args:
        result: from the store.
        row: its row of the table.
        scale: norm of the distortions, or None to choose one.
        budget: bytes that its pictures may take before base64.

    Raises:
        StoreError: if its arrays are missing or damaged.
    """
    view = View.of(result)
    picture = is_picture(view.image.shape)
    by = reduction(view.image.shape) if picture else 1
    image = embed_image(view.image, int(IMAGE_SHARE * budget)) if picture else ""
    charts = [
        ("eigenvalues with intervals", spectrum_svg(view)),
        ("residual / \u03bb\u2081", curves_svg(view, "residual")),
        ("eigenvalues on the way", curves_svg(view, "eigenvalue")),
    ]
    return Card(
        id=result.id,
        heading=" \u00b7 ".join(str(part) for part in (row["model"], row["layer"], row["image"]) if part),
        cells=_cells(view, row),
        state=f"{row['status']}{'' if row['verified'] else ', not verified'}",
        image=image,
        signal=Markup() if picture else Markup(signal_svg(view.image, "image")),
        size=(view.image.shape[-1] // by, view.image.shape[-2] // by) if picture else (0, 0),
        distortions=_distortions(view, budget - len(image) * 3 // 4),
        scale=scale or default_scale(view.distortions[view.ends]),
        charts=[(name, Markup(svg)) for name, svg in charts],
        facts=_facts(view, row, by),
        command=command(result),
    )


def command(result: Result) -> str:
    """What computes this result again: the command that its record names, else its frozen configuration."""
    if given := result.record.get("command"):
        return str(given)
    if not result.config:
        return ""
    return f"eigexp run --config-path={shlex.quote(str(result.folder))} --config-name=config store=outputs/again"


def _distortions(view: View, budget: int) -> list[Shown]:
    ends = view.ends
    if not is_picture(view.image.shape):
        return [
            Shown(*_titled(view, at), signal=Markup(signal_svg(view.distortions[at], _titled(view, at)[1], _titled(view, at)[0])))
            for at in ends
        ]
    return [
        Shown(*_titled(view, at), e.uri, e.peak)
        for at, e in zip(ends, embed_distortions([view.distortions[at] for at in ends], budget), strict=True)
    ]


def _titled(view: View, position: int) -> tuple[str, str]:
    rank = int(view.ranks[position])
    title = f"{rank_name(rank, view.n)}, {eigenvalue_words(float(view.eigenvalues[position]), view.largest)}"
    return ("top" if rank < view.n / 2 else "bottom"), title


def _cells(view: View, row: dict[str, Any]) -> list[tuple[str, str]]:
    evidence = " / ".join(str(row[f"evidence_{end}"] or "\u2013") for end in ("top", "bottom"))
    words = [row["model"], row["layer"] or "\u2013", row["image"]]
    numbers = [row["n"], row["top"], row["bottom"], view.d]
    costs = [row["fisher_vector_products"], row["seconds"]]
    return [
        *((str(word), str(word)) for word in words),
        *((_key(value), f"{value:,}" if isinstance(value, int) else number(value)) for value in numbers),
        (evidence, evidence),
        (str(row["status"]), str(row["status"]) + ("" if row["verified"] else ", not verified")),
        (_key(costs[0]), f"{costs[0]:,.0f}"),
        (_key(costs[1]), duration(costs[1])),
        (str(row["created"]), str(row["created"])[:16].replace("T", " ")),
    ]


def _key(value: float | None) -> str:
    return "" if value is None else repr(float(value))


def _facts(view: View, row: dict[str, Any], by: int) -> list[tuple[str, str]]:
    record = view.record
    dimension = (record.get("null_space") or {}).get("dimension_at_least") or 0
    shape = " \u00d7 ".join(str(side) for side in view.image.shape)
    facts = [
        ("id", row["id"]),
        ("status", str(row["status"]) + (", verified" if row["verified"] else ", not verified")),
        ("evidence", f"top: {evidence_words(record, 'top')}; bottom: {evidence_words(record, 'bottom')}"),
        ("D", d_words(view.d, view.d_bounds) if view.d is not None else ""),
        ("null space", f"at least {dimension:,} of {view.n:,} dimensions" if dimension else ""),
        ("layer", layer_words(record)),
        ("size", f"{shape} image, {view.n:,} coordinates, {record['m']:,} responses"),
        ("pictures", f"averaged down {by}\u00d7 for this page" if by > 1 else ""),
        ("method", f"{record['method']}, {record['steps']:,} steps, seed {record['seed']}"),
        ("cost", f"{record['fisher_vector_products']:,.0f} products, {duration(record['seconds'])} on {record['device']}"),
        ("notes", "; ".join(record.get("notes") or ())),
    ]
    return [(name, value) for name, value in facts if value]


@cache
def _template() -> Template:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(_part("page.html"))


@cache
def _part(name: str) -> str:
    return (files("eigexp.report") / name).read_text(encoding="utf-8")
