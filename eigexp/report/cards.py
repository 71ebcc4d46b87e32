"""One result as a card of the page: its row of the overview, its pictures and charts, its facts, and the command behind each figure."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from eigexp.report.charts import page_charts
from eigexp.report.commands import plot_command, run_command
from eigexp.report.embed import embed_distortions, embed_image, reduction
from eigexp.report.pixels import default_scale, is_picture
from eigexp.report.signals import signal
from eigexp.report.svg import chart_svg
from eigexp.report.view import View
from eigexp.report.words import d_cell, d_words, evidence_words
from eigexp.store.labels import distortion_name, duration, eigenvalue_text, end_of, layer_label
from eigexp.store.result import Result

IMAGE_SHARE = 0.35
HEADINGS = ("model", "layer", "image", "n", "\u03bb\u2081", "\u03bb\u2099", "D", "evidence", "status", "products", "time", "created")
CHOICES = (0, 1, 2)  # columns that have a menu of their values


@dataclass(frozen=True)
class PageFigure:
    """A figure of the page, and the command that draws it again."""

    caption: str
    svg: Markup
    command: str


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
    """Everything that the page says and shows of one result. `cells` are (sort key, text) in the order of `HEADINGS`."""

    id: str
    heading: str
    cells: list[tuple[str, str]]
    state: str
    image: str
    signal: Markup
    size: tuple[int, int]
    distortions: list[Shown]
    scale: float
    plot: str
    charts: list[PageFigure]
    facts: list[tuple[str, str]]
    command: str


def make_card(result: Result, row: Mapping[str, Any], scale: float | None, budget: int, *, root: Path, short: str) -> Card:
    """Return the card of one result, its pictures within about `budget` bytes.

    Args:
        result: from the store.
        row: its row of the table.
        scale: norm of the distortions, or None to choose one.
        budget: bytes that its pictures may take before base64.
        root: of the store, for the commands.
        short: beginning of its id that no other has.

    Raises:
        StoreError: if its arrays are missing or damaged.
    """
    view = View.of(result)
    picture = is_picture(view.image.shape)
    by = reduction(view.image.shape) if picture else 1
    image = embed_image(view.image, int(IMAGE_SHARE * budget)) if picture else ""
    return Card(
        id=result.id,
        heading=" \u00b7 ".join(str(part) for part in (row["model"], row["layer"], row["image"]) if part),
        cells=_cells(view, row),
        state=f"{row['status']}{'' if row['verified'] else ', not verified'}",
        image=image,
        signal=Markup() if picture else Markup(chart_svg(signal(view.image, "image"))),
        size=(view.image.shape[-1] // by, view.image.shape[-2] // by) if picture else (0, 0),
        distortions=_distortions(view, budget - len(image) * 3 // 4),
        scale=scale or default_scale(view.distortions[view.ends]),
        plot=plot_command(root, "distortions", short),
        charts=_charts(view, root, short),
        facts=_facts(view, row, by),
        command=run_command(result),
    )


def _charts(view: View, root: Path, short: str) -> list[PageFigure]:
    return [
        PageFigure(chart.caption, Markup(chart_svg(chart.make(view))), plot_command(root, kind, short, *chart.options))
        for kind, chart in page_charts()
    ]


def _distortions(view: View, budget: int) -> list[Shown]:
    ends = view.ends
    if not is_picture(view.image.shape):
        return [
            Shown(role, title, signal=Markup(chart_svg(signal(view.distortions[at], title, role))))
            for at in ends
            for role, title in [_titled(view, at)]
        ]
    return [
        Shown(*_titled(view, at), e.uri, e.peak)
        for at, e in zip(ends, embed_distortions([view.distortions[at] for at in ends], budget), strict=True)
    ]


def _titled(view: View, position: int) -> tuple[str, str]:
    index = int(view.eigenindex[position])
    value = view.eigenvalue_text(position, symbol="λ").replace(", ", ",\u00a0")  # a narrow caption must not break an interval
    return end_of(index, view.n), f"{distortion_name(index, view.n)}, {value}"


def _cells(view: View, row: Mapping[str, Any]) -> list[tuple[str, str]]:
    evidence = " / ".join(str(row[f"evidence_{end}"] or "\u2013") for end in ("top", "bottom"))
    words = [row["model"], row["layer"] or "\u2013", row["image"]]
    numbers = [(row["n"], f"{row['n']:,}"), *((row[end], _eigenvalue(row, end)) for end in ("top", "bottom"))]
    d = (view.d if view.d is not None else view.d_bounds and view.d_bounds[0], d_cell(view.d, view.d_bounds))
    costs = [row["fisher_vector_products"], row["seconds"]]
    return [
        *((str(word), str(word)) for word in words),
        *((_key(value), text) for value, text in (*numbers, d)),
        (evidence, evidence),
        (str(row["status"]), str(row["status"]) + ("" if row["verified"] else ", not verified")),
        (_key(costs[0]), f"{costs[0]:,.0f}"),
        (_key(costs[1]), duration(costs[1])),
        (str(row["created"]), str(row["created"])[:16].replace("T", " ")),
    ]


def _eigenvalue(row: Mapping[str, Any], end: str) -> str:
    interval = row[f"{end}_low"], row[f"{end}_high"]
    return eigenvalue_text(row[end], interval, row[f"evidence_{end}"], digits=3, typeset=True)


def _key(value: float | None) -> str:
    return "" if value is None else repr(float(value))


def _facts(view: View, row: Mapping[str, Any], by: int) -> list[tuple[str, str]]:
    record = view.record
    dimension = (record.get("null_space") or {}).get("dimension_at_least") or 0
    shape = " \u00d7 ".join(str(side) for side in view.image.shape)
    facts = [
        ("id", row["id"]),
        ("status", str(row["status"]) + (", verified" if row["verified"] else ", not verified")),
        ("evidence", f"largest: {evidence_words(record, 'top')}; smallest: {evidence_words(record, 'bottom')}"),
        ("D", d_words(view.d, view.d_bounds) if view.d_bounds else ""),
        ("null space", f"at least {dimension:,} of {view.n:,} dimensions" if dimension else ""),
        ("layer", layer_label(record.get("layer"))),
        ("size", f"{shape} image, {view.n:,} coordinates, {record['m']:,} responses"),
        ("pictures", f"averaged down {by}\u00d7 for this page" if by > 1 else ""),
        ("method", f"{record['method']}, {record['steps']:,} steps, seed {record['seed']}"),
        ("cost", f"{record['fisher_vector_products']:,.0f} products, {duration(record['seconds'])} on {record['device']}"),
        ("notes", "; ".join(record.get("notes") or ())),
    ]
    return [(name, value) for name, value in facts if value]
