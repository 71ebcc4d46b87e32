"""Settings of stored results, and results of the first identity format, which named classes by their paths."""

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from eigexp.cli import main
from eigexp.solvers import Power
from eigexp.store import Store
from eigexp.store.identity import Part, settings_of
from eigexp.store.maintenance import verify
from eigexp.store.source_code import code_digest
from eigexp.store.table import table
from eigexp.subspace import Mask
from tests.store.fakes import fake_image, fake_pairs, fake_record

FORMAT_1 = Path(__file__).parent / "format_1"


@dataclass(frozen=True)
class Weighted:
    weights: torch.Tensor


@pytest.fixture
def old(tmp_path):
    """A store with one result of identity format 1."""
    shutil.copytree(FORMAT_1, tmp_path / "results")
    return Store(tmp_path / "results")


def test_settings_of_format_1(old):
    (id,) = old.ids()
    settings = settings_of(old.read(id).record)
    expected = {"model": "ln", "size": "16x16", "solver": "krylov", "solver.k": 1, "solver.tol": 1e-4, "noise": "gaussian"}
    expected |= {"noise.variance": 1.0, "subspace": "none", "seed": 0, "dtype": "float32", "layer": None}
    assert {key: settings[key] for key in expected} == expected


def test_an_object_is_described_as_its_configuration_is():
    configured = Part.of(Power, "eigexp.solvers.Power", {"k": 3})
    assert Part.of_instance(Power(k=3)).identity == configured.identity == {"name": "power", "k": 3}
    assert Part.of_instance(Mask("box")).settings == {"shape": "box", "extent": 1.0, "path": None}
    assert Part.of_instance(None) is None


def test_an_object_of_ones_own_counts_by_its_path_and_tensors_by_their_values():
    one, same, other = (Part.of_instance(Weighted(torch.full((2,), value))).identity for value in (1.0, 1.0, 2.0))
    assert one == same != other
    assert one["_target_"] == f"{__name__}.Weighted"
    assert Part.of_instance(fake_image).identity == {"_target_": "tests.store.fakes.fake_image", "code": code_digest([fake_image])}


def test_settings_of_a_record_that_keeps_them():
    record = fake_record(fake_pairs(), fake_image(), settings={"solver": "power", "solver.k": 3, "seed": 5})
    settings = settings_of(record)
    assert (settings["solver"], settings["solver.k"], settings["seed"], settings["size"]) == ("power", 3, 5, "16x16")


def test_the_table_has_the_settings_of_both_formats(old):
    (row,) = table(old, ["solver=krylov", "k=1", "size=16x16", "noise=gaussian", "subspace=none", "seed=0", "dtype=float32"])
    assert row["tol"] == 1e-4
    assert table(old, ["k=2"]) == []


def test_a_result_of_format_1_is_listed_reported_and_drawn(old, tmp_path, capsys):
    (id,) = old.ids()
    assert verify(old) == []
    assert main(["results", "--store", str(old.root)]) == 0
    assert id in capsys.readouterr().out
    assert main(["report", "--store", str(old.root), "--output", str(tmp_path / "page.html")]) == 0
    assert id[:8] in (tmp_path / "page.html").read_text()
    assert main(["plot", "spectrum", id, "--store", str(old.root), "--output", str(tmp_path / "figure.png")]) == 0
    assert (tmp_path / "figure.png").stat().st_size > 1000


def test_settings_are_read_without_torch():
    code = "import sys; from eigexp.store.identity import settings_of; settings_of({}); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=False).returncode == 0
