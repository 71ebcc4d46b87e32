"""`eigexp plot`: figures of stored results as files, vector or pixels by their extension."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from eigexp.errors import ConfigurationError, nearest
from eigexp.report.axes import chart_figure
from eigexp.report.charts import KINDS, chosen_chart
from eigexp.report.cross_table import cross_figure
from eigexp.report.curves import Quantity
from eigexp.report.distortions import distortion_figure
from eigexp.report.grid import grid_figure, pictures_of
from eigexp.report.panels import clipping, panels_figure
from eigexp.report.pixels import check_scale, default_scale
from eigexp.report.profile import networks, profile_figure
from eigexp.report.separation import chart_height, comparison_figure
from eigexp.report.style import COLUMNS, FORMATS, figure_bytes
from eigexp.report.thresholds import thresholds_csv, thresholds_figure, thresholds_text
from eigexp.report.view import View
from eigexp.report.words import clipping_words
from eigexp.store.cross_table import CrossTable, cross_tables
from eigexp.store.files import write_output
from eigexp.store.labels import ID_DIGITS, number, shortest
from eigexp.store.result import Result
from eigexp.store.selection import Selection
from eigexp.store.store import Store

FOLDER = Path("outputs/figures")
_EARLIER_NAMES = {"sensitivity": "cross"}  # of kinds, in scripts that exist


@dataclass(frozen=True)
class Settings:
    """How figures are drawn.

    Attributes:
        width: 1 or 2 columns of a journal; None for the size that suits a screen.
        scale: norm of the distortions; None chooses one at which both ends are visible.
        eigenindex: of the distortions, negative from the end; None for both ends.
        quantity: of curves, "residual" or "eigenvalue".
        dpi: of PNG.
    """

    width: int | None = None
    scale: float | None = None
    eigenindex: tuple[int, ...] | None = None
    quantity: Quantity = "residual"
    dpi: int = 300

    def __post_init__(self) -> None:
        if self.width not in (None, *COLUMNS):
            raise ConfigurationError(f"width={self.width} must be 1 or 2, columns of a journal.")
        if not 10 <= self.dpi <= 2400:
            raise ConfigurationError(f"dpi={self.dpi} must lie between 10 and 2400.")
        check_scale(self.scale)

    def size(self, height: float) -> tuple[float, float]:
        """Return the inches of a chart that needs so much height when it is one column wide."""
        return COLUMNS[self.width or 1], height


@dataclass(frozen=True)
class Plotted:
    """A figure that was written, and notes about it."""

    path: Path
    notes: tuple[str, ...] = ()


def plot(
    store: Store,
    kind: str,
    beginnings: Sequence[str] = (),
    *,
    where: Sequence[str] = (),
    output: str | Path | None = None,
    form: str | None = None,
    settings: Settings | None = None,
) -> list[Plotted]:
    """Write figures of results, by their kind one for each result, one of all, or one for each cross table; `KINDS` lists them.

    "thresholds" writes its table beside the figure, as CSV. "cross" draws the tables of several layers against each other, one an
    image; its ids are those of tables or of their results, its conditions on model and image.

    Args:
        store: the results.
        kind: one of `KINDS`.
        beginnings: ids, or beginnings that only one id has.
        where: conditions as in `table`, where no ids are given; none means all.
        output: the file, its extension png, pdf or svg; with several figures each has its id before the extension.
            outputs/figures/<kind>-<id>.pdf by default.
        form: "pdf", "svg" or "png"; by default the extension of `output`, else pdf.
        settings: how they are drawn.

    Raises:
        StoreError: if a result is not there, damaged, or the file cannot be written.
        ConfigurationError: if the kind, the extension or a setting is unknown.
    """
    kind = _EARLIER_NAMES.get(kind, kind)
    if kind not in KINDS:
        raise ConfigurationError(f"unknown figure {kind!r}. {nearest(kind, tuple(KINDS))}")
    settings = settings or Settings()
    path = Path(output) if output is not None else FOLDER / f"{kind}.{form or 'pdf'}"
    form = _form(path, form)
    of = KINDS[kind].of
    if of == "layers":
        tables = _tables(store, beginnings, where)
        return [_write(_layers_figure(t, settings), _apart(path, t.id, output is None or len(tables) > 1), form, settings) for t in tables]
    if of == "all":
        return _draw_all(kind, store, _selected(store, kind, beginnings, where), path, form, settings)
    ids = [row["id"] for row in _selected(store, kind, beginnings, where).rows]
    short = shortest(store.ids())
    apart = output is None or len(ids) > 1
    return [
        _draw_one(kind, store.read(id), path.with_name(f"{path.stem}-{short[id]}{path.suffix}") if apart else path, form, settings)
        for id in ids
    ]


def _selected(store: Store, kind: str, beginnings: Sequence[str], where: Sequence[str]) -> Selection:
    if beginnings and where:
        raise ConfigurationError("Ids and --where exclude each other. Give one of them.")
    chosen = Selection.of_store(store, where, ids=[store.find(beginning) for beginning in beginnings] if beginnings else None)
    count = len(chosen.rows)
    if not count or (KINDS[kind].of == "result" and count > 1 and not where and not beginnings):
        what = f"{store.root} has {count} results{' with ' + ' and '.join(where) if where else ''}"
        if not count:
            raise ConfigurationError(
                f"{what}, so there is nothing to draw. `eigexp results` lists what is stored; `eigexp run` computes one."
            )
        raise ConfigurationError(f"{what}: `eigexp plot {kind}` draws one. Give ids; `eigexp results` lists them.")
    return chosen


def _form(path: Path, wanted: str | None) -> str:
    form = path.suffix.lower().removeprefix(".")
    if form not in FORMATS:
        raise ConfigurationError(f"output={path} has no known extension. Choose {', '.join('.' + f for f in FORMATS)}.")
    if wanted not in (None, form):
        raise ConfigurationError(f"--format {wanted} and --output {path} are different formats. Give one of them.")
    return form


def _draw_one(kind: str, result: Result, path: Path, form: str, settings: Settings) -> Plotted:
    view, chart = View.of(result), chosen_chart(kind, settings.quantity)
    if chart is not None and chart.needs and chart.needs not in result.record:
        raise ConfigurationError(f"{result.id} has no {chart.needs} distortions, which `eigexp plot {kind}` draws. Use another figure.")
    if chart is not None:
        return _write(chart_figure(chart.make(view), settings.size(2.5)), path, form, settings)
    positions = view.positions(settings.eigenindex)
    scale = settings.scale or default_scale(view.distortions[positions])
    notes = [f"{name} added at norm {number(scale)}: {clipping_words(share)}" for name, share in clipping(view, scale, positions)]
    common: dict[str, Any] = {"scale": scale, "eigenindex": settings.eigenindex}
    figure = panels_figure(view, settings.width, **common) if settings.width else distortion_figure(view, **common)
    return _write(figure, path, form, settings, notes)


def _draw_all(kind: str, store: Store, selection: Selection, path: Path, form: str, settings: Settings) -> list[Plotted]:
    if kind == "grid":
        views = pictures_of([(row["id"], View.of(store.read(row["id"]))) for row in selection.rows])
        if not views:
            raise ConfigurationError("none of the results has a picture. `eigexp plot compare` shows D of signals, too.")
        return [_write(grid_figure(selection, views, settings.width or 2, scale=settings.scale), path, form, settings)]
    if kind == "profile":
        return _draw_profiles(selection, path, form, settings)
    size = settings.size(chart_height(selection, narrow=settings.width == 1)) if settings.width else None
    if kind == "compare":
        return [_write(comparison_figure(selection, size), path, form, settings)]
    figure = _write(thresholds_figure(selection, size), path, form, settings, thresholds_text(selection).splitlines())
    beside = path.with_suffix(".csv")
    write_output(beside, thresholds_csv(selection).encode())
    return [figure, Plotted(beside)]


def _draw_profiles(selection: Selection, path: Path, form: str, settings: Settings) -> list[Plotted]:
    found = networks(selection)
    if not found:
        raise ConfigurationError("no model here has results of several layers. `eigexp run model.layer=[a,b]` computes them.")
    paths = [path] if len(found) == 1 else [path.with_name(f"{path.stem}-{at}{path.suffix}") for at in range(1, len(found) + 1)]
    size = settings.size(6.4 if settings.width == 1 else 5.6) if settings.width else None
    return [
        _write(profile_figure(selection, name, rows, size), target, form, settings)
        for (name, rows), target in zip(found.items(), paths, strict=True)
    ]


def _tables(store: Store, beginnings: Sequence[str], where: Sequence[str]) -> list[CrossTable]:
    every = cross_tables(store, where)
    tables = [t for t in every if any(id.startswith(tuple(beginnings)) for id in (t.id, *t.ids))] if beginnings else every
    if not tables:
        raise ConfigurationError(f"{store.root} has no such cross table. `eigexp run model.layer=[a,b]` writes one for each image.")
    return tables


def _layers_figure(table: CrossTable, settings: Settings) -> Figure:
    return cross_figure(table, settings.size(5.2 if settings.width == 1 else 3.7) if settings.width else None)


def _apart(path: Path, id: str, apart: bool) -> Path:
    return path.with_name(f"{path.stem}-{id[:ID_DIGITS]}{path.suffix}") if apart else path


def _write(figure: Figure, path: Path, form: str, settings: Settings, notes: Sequence[str] = ()) -> Plotted:
    write_output(path, figure_bytes(figure, form, settings.dpi))
    return Plotted(path, tuple(notes))
