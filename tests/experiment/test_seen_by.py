"""Stored distortions under other models, against dense matrices and the cross table of layers."""

import csv
import io
import json

import numpy as np
import pytest
import torch

from eigexp.cli import main
from eigexp.errors import ConfigurationError
from eigexp.experiment.run import run
from eigexp.experiment.seen_by import networks, seen_by
from eigexp.models import LuminanceGainControl, prepare_model
from eigexp.noise import EarlyLateNoise, PoissonNoise
from eigexp.operators import dense_matrix, linearise
from eigexp.report.seen_by import read_seen_by, seen_by_chart
from eigexp.report.svg import chart_svg
from eigexp.store import Store
from eigexp.store.cross_table import cross_tables
from tests.docs.documented import arguments, commands
from tests.noise.test_runs import small


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Two results of OnOff, and one of two layers with their cross table."""
    root = tmp_path_factory.mktemp("seen")
    run(small(root, "model=onoff", "solver.k=2"))
    layers = ["model._target_=tests.models.small_network.SmallNetwork", "model.name=small", "model.layer=[stem,head]", "dtype=float64"]
    run(small(root, *layers))
    return Store(root)


def results(store, model):
    return [result for id in store.ids() if (result := store.read(id)).record["model"] == model]


@pytest.mark.slow(1)
@pytest.mark.parametrize("noise", [None, PoissonNoise()], ids=["gaussian", "poisson"])
def test_values_are_those_of_the_dense_matrix(store, noise):
    (result,) = results(store, "onoff")
    rows = seen_by([result], networks(["lg", "onoff"]), noise)
    image = torch.from_numpy(result.image).double()
    A = dense_matrix(linearise(prepare_model(LuminanceGainControl()).double(), image[None], noise=noise))[0]
    v = torch.from_numpy(result.eigendistortions).double().flatten(1)
    expected = (v @ A.T).square().sum(1).numpy()
    found = [row for row in rows if row["seen_by"] == "lg"]
    np.testing.assert_allclose([row["value"] for row in found], expected, rtol=1e-9)
    np.testing.assert_allclose([row["threshold"] for row in found], expected**-0.5, rtol=1e-9)
    assert max(row["ratio"] for row in found) == 1
    assert [row["eigenindex"] for row in found] == result.record["eigenindex"]
    own = [row["value"] for row in rows if row["seen_by"] == "onoff"]
    assert noise is not None or own == pytest.approx(result.record["eigenvalues"], rel=1e-4, abs=1e-7)


@pytest.mark.slow(1)
def test_layers_of_a_network_are_as_in_its_cross_table(store):
    (table,) = cross_tables(store, [])
    network = {"head": "tests.models.small_network.SmallNetwork"}
    models = networks([f"ln:{layer} _target_={target} name=small" for layer, target in network.items()])
    rows = seen_by([store.read(id) for id in table.ids], models)
    np.testing.assert_allclose([row["value"] for row in rows], table.values[:, 1], rtol=1e-6, atol=1e-12)
    of_table = [row for row in table.rows() if row["seen_by"] == "small head"]
    assert [row["ratio"] for row in rows] == pytest.approx([row["ratio"] for row in of_table], rel=1e-6)
    assert [{**row, **other} for row, other in zip(rows, of_table, strict=True)] == of_table  # the same columns


def test_the_report_takes_the_tables_of_layers(store, tmp_path, capsys):
    assert main(["results", "--cross", "--format", "json", "--store", str(store.root)]) == 0
    (tmp_path / "layers.json").write_text(capsys.readouterr().out)
    page = tmp_path / "page.html"
    assert main(["report", "--cross", str(tmp_path / "layers.json"), "--store", str(store.root), "--output", str(page)]) == 0
    assert "small stem, camera, eigenindex 0 seen by small head" in page.read_text()


def test_the_command(store, tmp_path, capsys):
    figure = tmp_path / "seen.svg"
    words = [
        "cross",
        "--where",
        "model=onoff",
        "--models",
        "ln, lg",
        "--format",
        "csv",
        "--store",
        str(store.root),
        "--output",
        str(figure),
    ]
    assert main(words) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert len(rows) == 8 and {row["seen_by"] for row in rows} == {"ln", "lg"} and figure.stat().st_size > 1000
    assert main([*words[:-1], str(tmp_path / "a.gif")]) == 2
    assert main(["cross", "--where", "model=none", "--models", "ln", "--store", str(store.root)]) == 2
    assert "no result in" in capsys.readouterr().err


def test_the_report_shows_a_table_of_results_that_it_has(store, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    cross, report = (command for command in commands() if "cross.json" in command)
    redirected, target = arguments(cross)[1:-2], arguments(cross)[-1]
    assert main([*redirected, "--store", str(store.root)]) == 0
    (tmp_path / target).write_text(capsys.readouterr().out)
    assert main([*arguments(report)[1:], "--store", str(store.root)]) == 0
    page = (tmp_path / "outputs/report.html").read_text()
    assert "Distortions as other models see them" in page and "onoff, camera, eigenindex 0 seen by lg" in page
    assert main([*arguments(report)[1:], "--where", "model=small", "--store", str(store.root), "--output", "small.html"]) == 0
    assert "Distortions as other models see them" not in (tmp_path / "small.html").read_text()


@pytest.mark.parametrize("text", ["", "{}", "[]", '[{"id": "a"}]', "[1]"])
def test_a_report_refuses_another_file(store, tmp_path, capsys, text):
    (tmp_path / "cross.json").write_text(text)
    assert main(["report", "--cross", str(tmp_path / "cross.json"), "--store", str(store.root), "--output", str(tmp_path / "a.html")]) == 2
    assert "is not a table of `eigexp cross`" in capsys.readouterr().err and not (tmp_path / "a.html").exists()


def test_rows_of_a_file_have_the_types_of_a_chart(tmp_path):
    row = {"id": "a", "model": "m", "layer": None, "image": "i", "eigenindex": 0, "seen_by": "o", "value": 1.0}
    path = tmp_path / "cross.json"
    path.write_text(json.dumps([row]))
    assert read_seen_by(path) == [row]
    for wrong in ({"value": "1"}, {"value": True}, {"eigenindex": 0.5}, {"model": None}, {"layer": 3}, {"value": float("inf")}):
        path.write_text(json.dumps([row | wrong]))
        with pytest.raises(ConfigurationError, match="is not a table"):
            read_seen_by(path)


@pytest.mark.slow(1)
def test_a_chart_has_a_row_for_each_distortion(store):
    rows = seen_by(results(store, "onoff"), networks(["ln", "lg"]))
    chart = seen_by_chart(rows)
    assert len(chart.marks) == 8 and len(chart.y.ticks) == 4 and len(chart.legend) == 2
    assert "seen by lg" in chart_svg(chart)
    assert seen_by_chart([]).empty


def test_results_of_one_model_and_image_are_told_apart():
    row = {"model": "onoff", "layer": None, "image": "camera", "eigenindex": 0, "seen_by": "lg", "value": 1.0}
    chart = seen_by_chart([row | {"id": id * 16} for id in "ab"])
    assert [text for _, text in chart.y.ticks] == ["onoff, camera aaaaaaaa, eigenindex 0", "onoff, camera bbbbbbbb, eigenindex 0"]
    assert [mark.id for mark in chart.marks] == ["a" * 16, "b" * 16]  # by which the page filters


def test_what_cannot_be_shown_is_refused(store):
    with pytest.raises(ConfigurationError, match=r"model=absent is unknown"):
        networks(["absent"])
    with pytest.raises(ConfigurationError, match=r"With noise=early_late, v\^T F v cannot be computed"):
        seen_by(results(store, "onoff"), networks(["ln"]), EarlyLateNoise())
