"""Stored results for notebooks and files."""

import csv
import io
import json

import numpy as np
import pytest

import eigexp
from eigexp.cli import main
from eigexp.config.compose import compose
from eigexp.errors import ConfigurationError
from eigexp.experiment.run import run


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("store")
    for model in ("ln", "lg"):
        run(
            compose(
                [
                    f"model={model}",
                    "images.size=16",
                    "logger=none",
                    "figure.draw=false",
                    "callbacks.progress.mode=quiet",
                    f"store='{folder}'",
                ]
            )
        )
    return folder


@pytest.mark.slow(2)
def test_load_gives_a_frame(store):
    data = eigexp.results.load(store)
    assert list(data["model"]) == ["ln", "lg"] and data["created"].dt.tz is not None
    assert list(eigexp.results.load(store, "model=ln")["model"]) == ["ln"]
    assert list(eigexp.results.load(str(store), ["model=l?", "n>=100"])["n"]) == [256, 256]
    with pytest.raises(ConfigurationError):
        eigexp.results.load(store, ["nosuch=1"])


@pytest.mark.slow(0.1)
def test_columns_are_chosen(store, capsys):
    assert main(["results", "--store", str(store), "--format", "csv", "--columns", "model,top", "--where", "model=ln"]) == 0
    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert list(row) == ["model", "top"] and row["model"] == "ln" and float(row["top"]) > 0
    assert main(["results", "--store", str(store), "--columns", "image,bottom"]) == 0
    assert capsys.readouterr().out.splitlines()[0].split() == ["image", "bottom"]
    assert main(["results", "--store", str(store), "--columns", "modle"]) == 2
    assert "Did you mean model" in capsys.readouterr().err


@pytest.mark.slow(0.5)
def test_parquet_goes_to_a_file(store, tmp_path, capsys):
    import pandas

    path = tmp_path / "ergebnisse ü.parquet"
    assert main(["results", "--store", str(store), "--format", "parquet"]) == 2
    assert "--output" in capsys.readouterr().err
    assert main(["results", "--store", str(store), "--format", "parquet", "--output", str(path)]) == 0
    read, loaded = pandas.read_parquet(path), eigexp.results.load(store)
    assert list(read.columns) == list(loaded.columns) and np.array_equal(read["top"], loaded["top"])
    assert main(["results", "--store", str(store), "--format", "json", "--output", str(tmp_path / "a.json"), "--columns", "id"]) == 0
    assert sorted(row["id"] for row in json.loads((tmp_path / "a.json").read_text())) == sorted(loaded["id"])
