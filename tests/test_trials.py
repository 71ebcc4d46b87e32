"""The trials are counted rightly, and a small run of them finds no verified claim outside its interval."""

import dataclasses
import json
import sys

import pytest
import torch

from eigexp.solvers import Exact, Krylov, Power
from scripts.trials import __main__ as command
from scripts.trials.count import SLACK, ask, claims
from scripts.trials.families import FAMILIES
from scripts.trials.maps import symmetric_kernels
from scripts.trials.questions import F32, F64, Question
from scripts.trials.table import COLUMNS, row, tables

pytestmark = [pytest.mark.xdist_group("trials")]

SMALL = ["largest repeated 2 to 6 times", "filters shared by channels", "LN", "rank 12"]


@pytest.fixture(scope="module")
def small():
    return [claim for name in SMALL for claim in command.trials(name, 1, quick=True)]


@pytest.mark.slow(2)
def test_no_verified_claim_is_false(small):
    assert [claim for claim in small if claim.false] == []


@pytest.mark.slow(2)
def test_most_claims_are_verified(small):
    assert sum(claim.verified for claim in small) >= 0.8 * len(small)


@pytest.mark.slow(0.1)
def test_the_table_has_a_row_for_each_family_and_solver(small):
    lines = tables(small).splitlines()
    names = [line.split(" | ")[0].removeprefix("| ") for line in lines if line.startswith("| ")]
    assert names == ["family", *SMALL, "solver", *dict.fromkeys(claim.group for claim in small)]
    assert lines[-1].startswith(f"{sum(c.verified for c in small)} verified claims of {len(small)} in {len(SMALL)} families, ")


@pytest.mark.slow(0.1)
def test_a_row_counts_its_claims(small):
    alone = [claim for claim in small if claim.family == "LN"]
    figures = row([*alone, dataclasses.replace(alone[0], evidence="krylov", excess=0.5, seed=9, products=1e9)])
    assert set(figures) == set(COLUMNS)
    assert figures["claims"] == str(len(alone) + 1)
    assert figures["false"] == "1"
    assert figures["largest excess"] == "5.0e-01"


@pytest.mark.parametrize(
    ("excess", "evidence", "false"), [(2 * SLACK, "proven", True), (2 * SLACK, "budget", False), (0.0, "krylov", False)]
)
def test_a_claim_is_false_where_it_is_verified_and_outside(small, excess, evidence, false):
    assert dataclasses.replace(small[0], excess=excess, evidence=evidence).false is false


def test_a_claim_outside_its_interval_is_seen():
    subject = FAMILIES["evenly spaced"].make(0)
    shifted = dataclasses.replace(subject)
    shifted.__dict__["truth"] = subject.truth * 1.01
    found = claims("shifted", 0, shifted, Question("exact", lambda: Exact(k=1), F64), 0)
    assert [claim.false for claim in found] == [True, True]
    assert found[0].excess == pytest.approx(0.01 / 1.01, rel=1e-3)


def test_one_end_is_judged_by_its_own_evidence():
    found = claims("one end", 0, FAMILIES["evenly spaced"].make(0), Question("", lambda: Power(k_top=1, k_bottom=0), F64), 0)
    assert [(claim.eigenindex, claim.evidence) for claim in found] == [(0, "converged")]


@pytest.mark.parametrize(
    ("name", "variant", "multiplicity"), [("largest repeated 2 to 6 times", 3, 5), ("filters shared by channels", 0, 3)]
)
def test_copies_are_exact(name, variant, multiplicity):
    values = FAMILIES[name].make(variant).truth[0]
    assert float(values[0] - values[multiplicity - 1]) <= 1e-14 * float(values[0])
    assert float(values[0] - values[multiplicity]) > 1e-4 * float(values[0])


def test_copies_are_exact_in_float32():
    subject = FAMILIES["smallest repeated 2 to 6 times"].make(2)
    matrix = subject.model.matrix.double()
    assert torch.linalg.svdvals(matrix)[-4:].square().diff().abs().max() < 1e-14


def test_symmetric_kernels_have_the_symmetry():
    kernels = symmetric_kernels(2, 3, torch.Generator().manual_seed(0))
    assert torch.equal(kernels, kernels.rot90(1, (-2, -1)))
    assert torch.equal(kernels, kernels.mT)


def test_the_same_seed_gives_the_same_pairs():
    first, second = (ask(FAMILIES["LN"].make(0), Question("", lambda: Krylov(k=1), F32), 3)[0] for _ in range(2))
    assert torch.equal(first.eigendistortions, second.eigendistortions)


def test_the_command_writes_every_claim(tmp_path, monkeypatch, capsys):
    file = tmp_path / "claims.json"
    monkeypatch.setattr(sys, "argv", ["trials", "--quick", "--family", "evenly spaced", "--json", str(file)])
    assert command.main() == 0
    assert "| evenly spaced |" in capsys.readouterr().out
    written = json.loads(file.read_text())
    assert {"family", "truth", "lower", "upper", "verified", "false"} <= set(written[0])
