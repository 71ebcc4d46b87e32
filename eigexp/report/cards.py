"""One result as a card of the page: its row of the table, its pictures and charts, its pairs and facts, and the command of each figure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from markupsafe import Markup

from eigexp.report.chart import Chart, thinned
from eigexp.report.charts import page_charts
from eigexp.report.commands import plot_command, run_command
from eigexp.report.embed import Embedded, embed_distortions, reduction
from eigexp.report.pixels import default_scale, is_picture
from eigexp.report.signals import signal
from eigexp.report.svg import chart_svg
from eigexp.report.view import View
from eigexp.report.words import d_words, evidence_words
from eigexp.store.conditions import value_of
from eigexp.store.identity import is_ratio
from eigexp.store.labels import VERIFIED, distortion_name, duration, end_of, layer_label, number, threshold_text
from eigexp.store.result import Result
from eigexp.store.rows import Row
from eigexp.store.selection import Label, setting_text
from eigexp.store.table import cell

HEADINGS = {
    "model": "model", "layer": "layer", "image": "image", "n": "n", "top": "\u03bb\u2081", "bottom": "\u03bb\u2099", "D": "D",
    "evidence": "evidence", "status": "status", "fisher_vector_products": "products", "seconds": "time", "created": "created",
}  # fmt: skip
NUMBERS = ("n", "top", "bottom", "D", "fisher_vector_products", "seconds")
_POINTS = 40_000  # of the curves of all results


@dataclass(frozen=True)
class Budget:
    """What a result may take of a page.

    Attributes:
        side: of its pictures, at most, in pixels.
        bytes: of its pictures, before base64.
        points: of each of its curves.
    """

    side: int
    bytes: int
    points: int

    @classmethod
    def of(cls, results: int, side: int, total: int) -> "Budget":
        """Return the share of one of a number of results."""
        return cls(side, total // max(results, 1), max(_POINTS // max(results, 1), 60))


@dataclass(frozen=True)
class PageFigure:
    """A figure of the page, and the command that draws it again. `ids` are the results it shows, where a page may filter them."""

    caption: str
    svg: Markup
    command: str
    phone: Markup | str = ""
    legend: Sequence[tuple[Markup, str]] = ()
    ids: Sequence[str] = ()


@dataclass(frozen=True)
class Shown:
    """One distortion on the page: a picture about mid-grey, or the SVG of a signal."""

    kind: str
    name: str
    value: str
    uri: str = ""
    peak: float = 0.0
    signal: Markup | str = ""
    is_end: bool = True
    verified: bool = True

    @property
    def title(self) -> str:
        """What stands below it."""
        return f"{self.name}, {self.value}"


@dataclass(frozen=True)
class Card:
    """Everything that the page says and shows of one result. `cells` are (sort key, text) by the table's columns."""

    id: str
    label: Label
    cells: list[tuple[str, str]]
    state: str
    verified: bool
    d: str
    is_picture: bool
    signal: Markup
    size: tuple[int, int]
    distortions: list[Shown]
    scale: float
    plot: str
    charts: list[PageFigure]
    pairs: list[tuple[str, ...]]
    facts: list[tuple[str, str]]
    command: str

    @property
    def ends(self) -> list[Shown]:
        """The most and the least noticeable distortion, of those that there are."""
        return [shown for shown in self.distortions if shown.is_end]


def make_card(result: Result, row: Row, label: Label, columns: Sequence[str], budget: Budget, *, root: Path, short: str) -> Card:
    """Return the card of one result.

    Args:
        result: from the store.
        row: of its selection.
        label: how it is called there.
        columns: of the table.
        budget: what it may take.
        root: of the store, for the commands.
        short: beginning of its id that no other has.

    Raises:
        StoreError: if its arrays are missing or damaged.
    """
    view = View.of(result)
    picture = is_picture(view.image.shape)
    by = reduction(view.image.shape, budget.side) if picture else 1
    return Card(
        id=result.id,
        label=label,
        cells=[_cell(name, row) for name in columns],
        state=f"{row['status']}, {'verified' if row['verified'] else 'not verified'}",
        verified=row["verified"],
        d=cell("D", row, typeset=True),
        is_picture=picture,
        signal=Markup() if picture else Markup(chart_svg(signal(view.image, "image"))),
        size=(view.image.shape[-1] // by, view.image.shape[-2] // by) if picture else (0, 0),
        distortions=_distortions(view, budget) if picture else _signals(view),
        scale=default_scale(view.distortions[view.ends]),
        plot=plot_command(root, "distortions", short),
        charts=_charts(view, root, short, budget.points),
        pairs=[_pair(view, at, pair) for at, pair in enumerate(row["pairs"])],
        facts=_facts(view, row, by),
        command=run_command(result),
    )


def _charts(view: View, root: Path, short: str, points: int) -> list[PageFigure]:
    return [
        PageFigure(chart.caption, Markup(chart_svg(_with_fewer(chart.make(view), points))), plot_command(root, kind, short, *chart.options))
        for kind, chart in page_charts(view.record)
    ]


def _with_fewer(chart: Chart, points: int) -> Chart:
    """Return a chart whose curves have at most about this number of points each."""
    lines = tuple(replace(line, points=tuple(line.points[i] for i in thinned(len(line.points), points))) for line in chart.lines)
    return replace(chart, lines=lines)


def _distortions(view: View, budget: Budget) -> list[Shown]:
    """Return all distortions; those of the ends have two thirds of the bytes where there are others."""
    ends = view.ends
    others = [at for at in range(len(view.eigenindex)) if at not in ends]
    share = budget.bytes * 2 // 3 if others else budget.bytes
    embedded = dict(zip(ends, embed_distortions([view.distortions[at] for at in ends], share, budget.side), strict=True))
    if others:
        inner = embed_distortions([view.distortions[at] for at in others], budget.bytes - share, budget.side)
        embedded |= dict(zip(others, inner, strict=True))
    return [_shown(view, at, embedded[at]) for at in range(len(view.eigenindex))]


def _shown(view: View, at: int, embedded: Embedded) -> Shown:
    return replace(_titled(view, at), uri=embedded.uri, peak=embedded.peak)


def _signals(view: View) -> list[Shown]:
    found = []
    for at in range(len(view.eigenindex)):
        shown = _titled(view, at)
        found.append(replace(shown, signal=Markup(chart_svg(signal(view.distortions[at], shown.title, shown.kind)))))
    return found


def _titled(view: View, at: int) -> Shown:
    index = int(view.eigenindex[at])
    value = view.eigenvalue_text(at, symbol="\u03bb").replace(", ", ",\u00a0").replace("\u2264 ", "\u2264\u00a0")  # nothing breaks a bound
    return Shown(
        end_of(index, view.n), distortion_name(index, view.n), value, is_end=at in view.ends, verified=view.evidence(at) in VERIFIED
    )


def _pair(view: View, at: int, pair: Row) -> tuple[str, ...]:
    residual = pair["residual"]
    return (
        f"{pair['eigenindex']:,}",
        view.eigenvalue_text(at, form="long"),
        "\u2013" if residual is None else number(residual, 2),
        "\u2013" if is_ratio(view.record) else threshold_text(pair["eigenvalue"], (pair["low"], pair["high"]), typeset=True),
        str(pair["evidence"] or "\u2013"),
    )


def _cell(name: str, row: Row) -> tuple[str, str]:
    """Return a sort key and the text: what is shown is what is sorted by."""
    value = row["D_low"] if name == "D" and row["D"] is None else value_of(row, name) if name != "evidence" else None
    if name == "bottom" and not (row["bottom_low"] and row["bottom_low"] > 0):
        value = row["bottom_high"]
    if name in NUMBERS:
        special = {"seconds": duration, "n": "{:,}".format, "fisher_vector_products": "{:,.0f}".format}
        return _key(value), special[name](value) if name in special else cell(name, row, typeset=True)
    if name == "status":
        text = f"{row['status']}{'' if row['verified'] else ', not verified'}"
    elif name == "created":
        text = str(row["created"])[:16].replace("T", " ")
    elif name in HEADINGS:
        text = cell(name, row).replace("-", "\u2013") if value is None else str(value)
    else:
        text = setting_text(name, value).partition("=")[2] or setting_text(name, value)
    return (_key(value) if isinstance(value, int | float) and not isinstance(value, bool) else text), text


def _key(value: float | None) -> str:
    return "" if value is None else repr(float(value))


def _facts(view: View, row: Row, by: int) -> list[tuple[str, str]]:
    record = view.record
    dimension = (record.get("null_space") or {}).get("dimension_at_least") or 0
    shape = " \u00d7 ".join(str(side) for side in view.image.shape)
    settings = [f"{key}={value}" for key, value in row["settings"].items() if "." not in key and key not in ("model", "layer", "size")]
    facts = [
        ("id", row["id"]),
        ("status", str(row["status"]) + (", verified" if row["verified"] else ", not verified")),
        ("evidence", f"largest: {evidence_words(record, 'top')}; smallest: {evidence_words(record, 'bottom')}"),
        ("D", d_words(view.d, view.d_bounds) if view.d_bounds else ""),
        ("null space", f"at least {dimension:,} of {view.n:,} dimensions" if dimension else ""),
        ("layer", layer_label(record.get("layer"))),
        ("size", f"{shape} image, {view.n:,} coordinates, {record['m']:,} responses"),
        ("settings", ", ".join(setting for setting in settings if not setting.endswith("=None"))),
        ("pictures", f"averaged down {by}\u00d7 for this page" if by > 1 else ""),
        ("method", f"{record['method']}, {record['steps']:,} steps"),
        ("cost", f"{record['fisher_vector_products']:,.0f} products, {duration(record['seconds'])} on {record['device']}"),
        ("notes", "; ".join(record.get("notes") or ())),
    ]
    return [(name, value) for name, value in facts if value]
