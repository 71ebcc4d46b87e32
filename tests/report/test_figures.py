"""Nothing of a figure is cut off at either width of a journal: every text lies on the canvas. And the grid and the profile are right."""

import math

import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex
from matplotlib.text import Text

from eigexp.report.axes import chart_figure
from eigexp.report.distortions import distortion_figure
from eigexp.report.grid import grid_figure
from eigexp.report.linearity import linearity_figure
from eigexp.report.panels import panels_figure
from eigexp.report.profile import networks, profile_charts, profile_figure
from eigexp.report.separation import chart_height, comparison_figure
from eigexp.report.spectrum import spectrum
from eigexp.report.style import COLUMNS
from eigexp.report.thresholds import thresholds_figure
from eigexp.report.view import View
from eigexp.store import arrays_of
from eigexp.store.selection import Selection
from tests.report.test_linearity import rows as measured
from tests.store.fakes import fake_image, fake_pairs, fake_record

MODELS = (("ln", None), ("onoff", None), ("efficientnet_lite0", "features.1"), ("efficientnet_lite0", "features.10.deep.name"))


def made():
    """Records and views of models and layers with long names, values, bounds, and what is not verified."""
    records, views = [], {}
    for at, (model, layer) in enumerate(MODELS):
        for name in ("camera", "coins", "a long name"):
            image = fake_image((1, 12, 12), name, seed=len(name))
            low = 0.0 if at > 2 else 9e-4
            bounds = torch.tensor([[9.9, 10.1], [low, 1.1e-3]], dtype=torch.float64)
            state = {"top": "krylov", "bottom": "budget" if at == 1 else "krylov"}
            pairs = fake_pairs((1, 12, 12), eigenvalues=torch.tensor([10.0, 1e-3], dtype=torch.float64), intervals=bounds, evidence=state,
                               verified=at != 1)  # fmt: skip
            if model == "ln":
                pairs.eigendistortions[0] = 1 / 12  # constant: white, on white paper
            record = fake_record(pairs, image, model, layer=layer)
            records.append(record)
            views[record["id"]] = View.of(arrays_of(pairs, image), record)
    return Selection.of_records(records), views


def many():
    """Results of six images with long names, at several settings."""
    records = []
    for at, name in enumerate(f"photograph number {i} of six" for i in range(6)):
        record = fake_record(fake_pairs((1, 12, 12)), fake_image((1, 12, 12), name, seed=at), "onoff")
        for k in (1, 3):
            settings = {"solver": "krylov", "solver.k": k, "solver.tol": 10.0 ** -(4 + at % 2), "noise": ("gaussian", "poisson")[at % 2]}
            records.append(
                {**record, "id": f"{k}{at:015x}", "settings": {**settings, "seed": at % 3, "dtype": f"float{32 * (1 + at % 2)}"}}
            )
    return Selection.of_records(records)


SELECTION, VIEWS = made()
MANY = many()
ONE = next(iter(VIEWS.values()))
(NETWORK,) = networks(SELECTION).items()


def figure_of(kind: str, columns: int):
    width = COLUMNS[columns]
    makers = {
        "compare": lambda: comparison_figure(SELECTION, (width, chart_height(SELECTION, narrow=columns == 1))),
        "many": lambda: comparison_figure(MANY, (width, chart_height(MANY, narrow=columns == 1))),
        "thresholds": lambda: thresholds_figure(SELECTION, (width, chart_height(SELECTION, narrow=columns == 1))),
        "grid": lambda: grid_figure(SELECTION, VIEWS, columns),
        "added": lambda: grid_figure(SELECTION, VIEWS, columns, scale=2.0),
        "profile": lambda: profile_figure(SELECTION, *NETWORK, (width, 6.4 if columns == 1 else 5.6)),
        "linearity": lambda: linearity_figure([*measured(), *measured(rank=99, lower=0.0)], "model, image", columns),
        "distortions": lambda: panels_figure(ONE, columns) if columns < 3 else distortion_figure(ONE),
        "spectrum": lambda: chart_figure(spectrum(ONE), (width, 2.5)),
    }
    return makers[kind]()


@pytest.mark.slow(0.2)
@pytest.mark.parametrize("columns", [1, 2])
@pytest.mark.parametrize("kind", ["compare", "many", "thresholds", "grid", "added", "profile", "linearity", "distortions", "spectrum"])
def test_every_text_lies_on_the_canvas(kind, columns):
    figure = figure_of(kind, columns)
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()
    width, height = figure.canvas.get_width_height()
    texts = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]
    assert texts
    for text in texts:
        box = text.get_window_extent(renderer)
        if text.axes is not None and (box.width == 0 or not shown(text)):
            continue
        assert box.x0 >= -1 and box.y0 >= -1 and box.x1 <= width + 1 and box.y1 <= height + 1, (text.get_text(), box, (width, height))


def shown(text) -> bool:
    """Whether a tick's label lies within its axis: matplotlib keeps labels of ticks that it does not draw."""
    axes = text.axes
    for axis, at in ((axes.xaxis, 0), (axes.yaxis, 1)):
        if text in axis.get_ticklabels(which="both"):
            low, high = sorted(axis.get_view_interval())
            return low <= text.get_position()[at] <= high
    return True


def test_the_grid_has_both_ends_of_every_result_with_borders_in_their_colours():
    figure = figure_of("grid", 2)
    assert len(figure.axes) == 2 * len(VIEWS)
    colours = [to_hex(axes.spines["left"].get_edgecolor()) for axes in figure.axes]
    assert colours == ["#d55e00", "#0072b2"] * len(VIEWS)
    assert all(axes.spines["left"].get_visible() and axes.spines["left"].get_linewidth() > 0 for axes in figure.axes)
    texts = [text.get_text() for text in figure.texts]
    assert texts.count("most") == texts.count("least") == 3 and "?: not verified" in texts[0]
    heads = [(text.get_text(), to_hex(text.get_color())) for text in figure.texts if text.get_text() in ("most", "least")]
    assert heads == [("most", "#d55e00"), ("least", "#0072b2")] * 3
    assert [text for text in texts if text.endswith("?")] == ["[9\u00d710\u207b\u2074, 0.0011]?"] * 3 or sum(
        "?" in t for t in texts[1:]
    ) == 3
    constant = np.asarray(figure.axes[0].images[0].get_array())
    assert np.ptp(constant) == 0  # the case that vanished on white paper


def test_swapped_ends_would_be_seen():
    figure = figure_of("grid", 2)
    most, least = (np.asarray(axes.images[0].get_array(), dtype=float) for axes in figure.axes[6:8])
    wanted = next(v for id, v in VIEWS.items() if str(SELECTION.labels[id]) == "onoff, a long name")
    top, bottom = wanted.distortions[wanted.position(0)][0], wanted.distortions[wanted.position(-1)][0]
    for drawn, distortion in ((most, top), (least, bottom)):
        assert np.corrcoef(drawn.ravel(), distortion.ravel())[0, 1] > 0.999


def test_a_profile_has_layers_in_order_bounds_as_arrows_and_no_line_through_them():
    above, below = profile_charts(SELECTION, *NETWORK)
    assert [text for _, text in above.x.ticks] == ["features.1", "feature\u2026ep.name"]
    assert [mark.limit for mark in sorted(above.marks, key=lambda mark: mark.x)] == [""] * 3 + ["at least"] * 3
    assert above.lines == ()
    ends = {(mark.role, mark.limit) for mark in below.marks}
    assert ends == {("top", ""), ("bottom", ""), ("bottom", "at most")}
    assert {mark.y for mark in below.marks if mark.role == "top"} == {math.sqrt(10.0)}
    assert len([line for line in below.lines if line.role == "top"]) == 3 and not [line for line in below.lines if line.role == "bottom"]


def test_only_models_with_several_layers_have_a_profile():
    assert list(networks(SELECTION)) == ["efficientnet_lite0"]
