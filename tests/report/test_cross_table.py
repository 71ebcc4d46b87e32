"""Layers against each other, as a heat map."""

from xml.etree import ElementTree

import numpy as np
import pytest

from eigexp.cli import main
from eigexp.errors import ConfigurationError
from eigexp.report.cross_table import cross_charts, cross_figure, heat_maps
from eigexp.report.heatmap import heat_svg
from eigexp.report.page import write_page
from eigexp.report.plot import Settings, plot
from eigexp.store import Store
from eigexp.store.cross_table import cross_tables, has_table, write_table
from tests.store.fakes import fake_image, fake_pairs, fake_record, fake_table


def table_of(tmp_path, count=2, **more):
    store, layers = Store(tmp_path), tuple(f"layer{i}<" for i in range(count))
    write_table(store, fake_table([f"{i:016d}" for i in range(count)], layers, **more))
    return cross_tables(store)[0]


def svg_of(table):
    return heat_svg(heat_maps(table))


def parts(svg, tag):
    return [element for element in ElementTree.fromstring(svg).iter() if element.tag == tag]


@pytest.mark.parametrize("count, numbers", [(2, True), (7, True), (12, False)])
def test_a_cell_each_with_its_number_where_there_is_room(tmp_path, count, numbers):
    svg = svg_of(table_of(tmp_path, count))
    cells = [rect for rect in parts(svg, "rect") if rect.find("title") is not None]
    assert len(cells) == 2 * count**2
    titles = [rect.find("title").text for rect in cells]
    assert titles[1] == "distortion of layer0<, response of layer1<: 0.25 of its largest eigenvalue"
    assert (".25" in [text.text for text in parts(svg, "text")]) == numbers
    _, _, width, height = map(float, ElementTree.fromstring(svg).get("viewBox").split())
    assert all(float(rect.get("x")) >= 0 and float(rect.get("x")) + float(rect.get("width")) <= width for rect in cells)
    assert all(float(rect.get("y")) + float(rect.get("height")) <= height for rect in cells)


def test_the_scale_is_logarithmic_and_larger_is_lighter(tmp_path):
    svg = svg_of(table_of(tmp_path, 2))
    fills = [rect.get("style").removeprefix("fill:#") for rect in parts(svg, "rect") if rect.find("title") is not None]
    light = [sum(int(fill[i : i + 2], 16) for i in (0, 2, 4)) for fill in fills]
    assert light[0] > light[1] > light[5]  # 1, 0.25, 2.5e-7


def test_a_value_of_zero_and_an_end_that_is_not_there(tmp_path):
    zero = svg_of(table_of(tmp_path / "zero", 2, bottom=0.0))
    assert "0" in [text.text for text in parts(zero, "text")]
    store = Store(tmp_path / "top")
    only_top = fake_table(["0" * 16, "1" * 16])
    only_top |= {"vectors": only_top["vectors"][::2], "values": only_top["values"][::2]}
    write_table(store, only_top)
    (table,) = cross_tables(store)
    assert len([rect for rect in parts(svg_of(table), "rect") if rect.find("title") is not None]) == 4
    assert len(cross_figure(table).axes) == 2  # one map and its colour bar


def test_cells_lie_on_one_logarithmic_scale_in_data_and_figure(tmp_path):
    heat = heat_maps(table_of(tmp_path))
    (_, first), (_, last) = heat.maps
    shares = {cell.text: cell.share for cell in (*first, *last)}
    assert shares == {"1": 1.0, ".25": pytest.approx(1 - np.log10(4) / 7), "2e−7": pytest.approx(1 - np.log10(4e6) / 7)}
    assert heat.ticks[0] == (1.0, "1") and all(text == f"10⁻{'⁰¹²³⁴⁵⁶⁷'[round(7 * (1 - share))]}" for share, text in heat.ticks[1:])
    pictures = [np.asarray(axes.images[0].get_array()) for axes in cross_figure(table_of(tmp_path)).axes if axes.images]
    assert np.allclose(pictures[0].ravel(), [cell.share for cell in first])


@pytest.fixture
def store(tmp_path):
    """Two results, the table of both, and a table of results that are not there."""
    store = Store(tmp_path)
    picture, pairs, ids = fake_image(), fake_pairs(), []
    for layer in ("a", "b<i>"):
        record = fake_record(pairs, picture, "net", layer=layer)
        store.write(record, pairs, picture)
        ids.append(record["id"])
    write_table(store, fake_table(ids))
    write_table(store, fake_table(["0" * 16, "1" * 16], image="coins"))
    return store


def test_the_page_has_the_tables_whose_results_it_shows(store, tmp_path):
    assert len(cross_charts(cross_tables(store), store.ids(), store.root)) == 1
    page = write_page(store, tmp_path / "page.html").read_text()
    assert "Layers against each other" in page and page.count("most noticeable distortions") == 1
    assert "<i>" not in page
    assert f"eigexp plot cross {cross_tables(store, ['image=camera'])[0].id[:8]}" in page
    assert "Layers against each other" not in write_page(store, tmp_path / "one.html", where=["layer=a"]).read_text()


def test_a_damaged_table_does_not_cost_the_page(store, tmp_path, caplog):
    damaged = sorted((store.root / "cross").glob("*.json"))
    for path in damaged:
        path.write_text("{")
    page = write_page(store, tmp_path / "page.html").read_text()
    assert "Layers against each other" not in page and "D of models and images" in page
    assert f"Left out: {damaged[0].stem}, {damaged[1].stem}" in caplog.text


@pytest.mark.parametrize("width", [None, 1])
def test_plots_one_each(store, tmp_path, width):
    written = plot(store, "cross", output=tmp_path / "s.png", settings=Settings(width=width, dpi=60))
    assert len({plotted.path for plotted in written}) == 2 and all(p.path.read_bytes().startswith(b"\x89PNG") for p in written)
    (one,) = plot(store, "cross", where=["image=coins"], output=tmp_path / "one.svg")
    assert one.path == tmp_path / "one.svg"
    with pytest.raises(ConfigurationError, match="no such cross table"):
        plot(store, "cross", ["zz"])


def test_tables_and_scripts_of_earlier_versions_still_work(store, tmp_path):
    written = [plotted.path.name for plotted in plot(store, "cross", output=tmp_path / "new.svg")]
    (store.root / "cross").rename(store.root / "sensitivity")
    assert len(cross_tables(store)) == 2 and all(has_table(store, table.id) for table in cross_tables(store))
    assert [p.path.name.replace("old", "new") for p in plot(store, "sensitivity", output=tmp_path / "old.svg")] == written
    again = [write_table(store, table.record) for table in cross_tables(store)]
    assert {path.parent.name for path in again} == {"sensitivity"} and not (store.root / "cross").exists()


def test_the_command_lists_rows(store, capsys):
    assert main(["results", "--sensitivity", "--format", "csv", "--where", "image=camera", "--store", str(store.root)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 9 and lines[0].startswith("id,model,layer,image,eigenindex,eigenvalue,seen_by,")
    assert main(["results", "--cross", "--store", str(store.root)]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 17
    assert main(["results", "--store", str(store.root)]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3
