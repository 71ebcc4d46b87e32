"""Every kind of figure that `eigexp plot` draws, one row each; the page takes the charts of each result from the same table.

To add a chart of one result, write a module with a function from a View to a `Chart`, and add a row to `KINDS`.
"""

from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Literal

from eigexp.report.chart import Chart
from eigexp.report.curves import convergence
from eigexp.report.principal import principal_chart
from eigexp.report.spectrum import spectrum
from eigexp.report.view import View


@dataclass(frozen=True)
class OneChart:
    """A chart of one result.

    Attributes:
        make: draws it.
        caption: on the page.
        options: those of `eigexp plot` that choose it.
        needs: key of the record without which there is nothing to draw; empty for a chart of any result.
    """

    make: Callable[[View], Chart]
    caption: str
    options: tuple[str, ...] = ()
    needs: str = ""


@dataclass(frozen=True)
class Kind:
    """A kind of figure.

    Attributes:
        of: what one figure shows: one result, all chosen results, or the cross table of one image's layers.
        charts: for kinds that are a single chart of one result; others are composed in `plot`.
        caption: what it shows, for the help page; a single chart has one of its own.
    """

    of: Literal["result", "all", "layers"]
    charts: tuple[OneChart, ...] = ()
    caption: str = ""


_CURVES = (
    OneChart(convergence, "residual / λ₁ against products"),
    OneChart(partial(convergence, quantity="eigenvalue"), "estimated eigenvalues against products", ("--quantity", "eigenvalue")),
)
KINDS = {
    "distortions": Kind("result", caption="image with its most and least noticeable distortion"),
    "spectrum": Kind("result", (OneChart(spectrum, "eigenvalues with intervals"),)),
    "curves": Kind("result", _CURVES),
    "principal": Kind("result", (OneChart(principal_chart, "thresholds of principal distortions under each model", needs="principal"),)),
    "compare": Kind("all", caption="D of models and images"),
    "thresholds": Kind("all", caption="D, and a CSV table with the predicted thresholds of both distortions"),
    "cross": Kind("layers", caption="sensitivity of each layer to the distortions of the other layers"),
    "grid": Kind("all", caption="distortions, with models and layers as rows and images as columns"),
    "profile": Kind("all", caption="D and sensitivities against the depth of a network"),
}


def kinds_text() -> str:
    """Return the list of kinds for the help page."""
    shown = {"result": "one figure per result", "all": "one figure of all results", "layers": "one figure per image"}
    lines = [f"  {name:<12} {kind.caption or kind.charts[0].caption} ({shown[kind.of]})" for name, kind in KINDS.items()]
    return "\n".join(["kinds:", *lines])


def page_charts(record: Container[str] = ()) -> Iterator[tuple[str, OneChart]]:
    """Yield the charts that the page shows of a result, with their kinds; without a record, those of any result."""
    for name, kind in KINDS.items():
        for chart in kind.charts:
            if not chart.needs or chart.needs in record:
                yield name, chart


def chosen_chart(kind: str, quantity: str) -> OneChart | None:
    """Return the chart of a kind that `--quantity` chooses, its first by default; None for kinds that are not a single chart."""
    charts = KINDS[kind].charts
    return next((chart for chart in charts if quantity in chart.options), charts[0] if charts else None)
