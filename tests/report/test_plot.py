"""Figures as files: kind by the extension, width in columns, and what clips is said."""

import re

import pytest
from PIL import Image as PillowImage

from eigexp.errors import ConfigurationError, StoreError
from eigexp.report import charts
from eigexp.report.chart import empty_chart
from eigexp.report.charts import Kind, OneChart
from eigexp.report.page import write_page
from eigexp.report.plot import Settings, plot
from eigexp.store import Store
from eigexp.store.cross_table import write_table
from tests.store.fakes import fake_image, fake_table, write_fake

ONE_EACH = tuple(name for name, kind in charts.KINDS.items() if kind.of == "result")
KINDS = tuple(
    name for name, kind in charts.KINDS.items() if kind.of != "layers" and name not in ("profile", "principal")
)  # in test_cross_table.py, test_figures.py, tests/principal
BEGINNINGS = {"png": b"\x89PNG", "pdf": b"%PDF", "svg": b"<?xml"}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    root = tmp_path_factory.mktemp("store")
    for model in ("ln", "onoff"):
        for seed, image in enumerate(("camera", "<b>&$x_é\u753b")):
            write_fake(root, model, fake_image((3, 24, 16), image, seed=seed))
    write_fake(root, "tone", fake_image((30,), "tone"))
    write_table(Store(root), fake_table([of(Store(root), "ln"), of(Store(root), "onoff")]))
    return Store(root)


def of(store, model):
    return next(id for id in store.ids() if store.read(id).record["model"] == model)


@pytest.mark.slow(0.5)
@pytest.mark.parametrize("form", BEGINNINGS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_in_every_format_the_same_twice(store, tmp_path, kind, form):
    ids = [of(store, "ln")[:6]] if kind in ONE_EACH else []
    contents = []
    for name in ("one", "two"):
        plotted, *_ = plot(store, kind, ids, output=tmp_path / f"{name}.{form}", settings=Settings(dpi=60))
        assert plotted.path == tmp_path / f"{name}.{form}"
        contents.append(plotted.path.read_bytes())
    assert contents[0].startswith(BEGINNINGS[form])
    assert contents[0] == contents[1]


@pytest.mark.parametrize(("columns", "inches"), [(1, 3.35), (2, 7.0)])
@pytest.mark.parametrize("kind", KINDS)
def test_widths_are_columns_of_a_journal(store, tmp_path, kind, columns, inches):
    plotted, *_ = plot(store, kind, [of(store, "onoff")], output=tmp_path / "figure.png", settings=Settings(width=columns, dpi=100))
    with PillowImage.open(plotted.path) as picture:
        assert picture.width == round(100 * inches)


@pytest.mark.slow(2)
@pytest.mark.parametrize("model", ["ln", "tone"])
def test_the_share_that_clips_is_said_of_each_distortion(store, tmp_path, model):
    for width in (None, 1, 2):
        (small,) = plot(store, "distortions", [of(store, model)], output=tmp_path / "a.svg", settings=Settings(scale=1e-3, width=width))
        (large,) = plot(store, "distortions", [of(store, model)], output=tmp_path / "b.svg", settings=Settings(scale=50, width=width))
        assert small.notes == tuple(f"{name} added at norm 0.001: nothing clipped" for name in ("most noticeable", "least noticeable"))
        assert all(re.fullmatch(r"(mo|lea)st noticeable added at norm 50: [\d.]+ % clipped", note) for note in large.notes)


def test_several_results_have_a_file_each(store, tmp_path):
    plotted = plot(store, "spectrum", where=["model=ln"], output=tmp_path / "deep" / "figure.svg")
    assert {p.path.name for p in plotted} == {f"figure-{id[:8]}.svg" for id in store.ids() if store.read(id).record["model"] == "ln"}
    assert all(p.path.parent == tmp_path / "deep" for p in plotted)


@pytest.mark.slow(1)
def test_without_output_files_are_named_by_kind_and_id(store, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (plotted,) = plot(store, "curves", [of(store, "ln")])
    assert str(plotted.path) == f"outputs/figures/curves-{of(store, 'ln')[:8]}.pdf"
    (compared,) = plot(store, "compare")
    assert str(compared.path) == "outputs/figures/compare.pdf"


@pytest.mark.parametrize(
    ("kind", "ids", "more", "message"),
    [
        ("spectra", [], {}, "unknown figure 'spectra'. Did you mean spectrum"),
        ("spectrum", [], {}, "has 5 results: .* Give ids"),
        ("spectrum", [], {"where": ["model=x"]}, "has 0 results with model=x"),
        ("spectrum", ["ab"], {"where": ["model=ln"]}, "exclude each other"),
        ("compare", [], {"output": "a.gif"}, "output=a.gif has no known extension"),
        ("compare", [], {"output": "a"}, "output=a has no known extension"),
    ],
)
def test_what_cannot_be_drawn(store, kind, ids, more, message):
    with pytest.raises(ConfigurationError, match=message):
        plot(store, kind, ids, **more)


@pytest.mark.parametrize("beginning", ["", "zzz", "../../etc"])
def test_beginnings_name_one_result_or_none(store, beginning):
    with pytest.raises(StoreError):
        plot(store, "spectrum", [beginning])


@pytest.mark.parametrize(("setting", "value"), [("width", 3), ("scale", 0.0), ("scale", float("nan")), ("dpi", 3)])
def test_settings(setting, value):
    with pytest.raises(ConfigurationError, match=f"{setting}="):
        Settings(**{setting: value})


def test_a_new_chart_is_a_row_of_the_table(store, tmp_path, monkeypatch):
    row = Kind("result", (OneChart(lambda view: empty_chart("new", "a new chart", "x", "y", f"of {view.n}"), "a new caption"),))
    monkeypatch.setitem(charts.KINDS, "new", row)
    (plotted,) = plot(store, "new", [of(store, "ln")], output=tmp_path / "new.svg")
    assert plotted.path.read_bytes().startswith(b"<?xml")
    page = write_page(store, tmp_path / "page.html").read_text()
    assert page.count("a new caption") == 5 and page.count("eigexp plot new ") == 5 and ">of 1152<" in page
