"""`certify=` as a user sets it: with the class, and with the command."""

import json

import pytest

from eigexp import Eigendistortion
from eigexp.cli import main
from eigexp.errors import ConfigurationError
from eigexp.models import LinearNonlinear
from tests.solvers.photographs import coins

FORMAT = 1e-7  # of lambda_1: less than float32 can promise, more than float64 needs


def bound(eigenvalues, intervals) -> float:
    return float(intervals[-1][1] / eigenvalues[0])


def test_the_class_certifies_in_float64_unless_told_otherwise():
    eig = Eigendistortion(coins(24), LinearNonlinear())
    eig.synthesize(progress=False)
    assert bound(eig.eigenvalues, eig.pairs.intervals) <= 1e-12
    eig.synthesize(progress=False, certify="solver")
    assert bound(eig.eigenvalues, eig.pairs.intervals) > FORMAT
    with pytest.raises(ConfigurationError, match="certify=float16 is unknown"):
        eig.synthesize(progress=False, certify="float16")


@pytest.mark.parametrize(("words", "least", "most"), [((), 0.0, 1e-12), (("certify=solver",), FORMAT, 1e-4)])
def test_the_command_certifies_as_it_is_told(tmp_path, capsys, words, least, most):
    assert main(["run", "model=ln", "images.size=24", "logger=none", "figure.draw=false", f"store={tmp_path}", *words]) == 0
    folder = capsys.readouterr().out.splitlines()[-1]
    with open(f"{folder}/record.json") as file:
        record = json.load(file)
    assert least <= bound(record["eigenvalues"], record["intervals"]) <= most
    assert record["verified"]


def test_the_command_refuses_a_precision_that_it_does_not_know(tmp_path, capsys):
    assert main(["run", "model=ln", "images.size=24", f"store={tmp_path}", "certify=float16"]) == 2
    assert "certify='float16' is invalid. Give float64 or solver." in capsys.readouterr().err
