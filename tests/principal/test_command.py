"""The command writes what the search found."""

import json

import pytest
from safetensors.numpy import load_file

from eigexp.cli import main
from eigexp.report.principal import principal_chart
from eigexp.report.svg import chart_svg


def test_the_command_writes_numbers_distortions_and_a_figure(tmp_path, capsys):
    words = ["--models", "ln, lg", "--floor", "0.1", "--restarts", "1", "--output", str(tmp_path)]
    assert main(["principal", *words, "images.size=16", "images.names=[camera]", "subspace=band", "subspace.high=0.1"]) == 0
    record = json.loads((tmp_path / "camera.json").read_text())
    assert record["models"] == ["ln", "lg"] and record["share"] == pytest.approx(1, rel=1e-6)
    assert load_file(tmp_path / "camera.safetensors")["distortions"].shape == (2, 1, 16, 16)
    assert (tmp_path / "camera.png").stat().st_size > 1000
    assert "at least 100% of the maximum" in capsys.readouterr().out
    assert main(["principal", "--models", "ln", "--floor", "0.1", "--output", str(tmp_path), "images.size=16"]) == 2
    assert "Give two or more" in capsys.readouterr().err


def test_the_chart_has_a_row_for_each_model():
    chart = principal_chart(["a", "b", "c"], [[0.0, 1.0], [1.0, -1.0], [2.0, 0.0]], 0.55)
    assert len(chart.marks) == 6 and "55%" in chart.title
    assert "b, u" in chart_svg(chart)
