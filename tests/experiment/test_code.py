"""A model of one's own, edited between two runs: what is computed again, and what is not."""

import importlib
import sys

import pytest

from eigexp.config.compose import compose
from eigexp.experiment.response import response_digests, same_response
from eigexp.experiment.run import run
from eigexp.store import Store

MODEL = """
from pathlib import Path
from torch import nn

class Net(nn.Module):
    def forward(self, x):
        return x.mean(1) * SCALE + float(Path(__file__).with_name("offset.txt").read_text()) * x.mean(1) ** 2

SCALE = 2.0

class Other(nn.Module):
    pass  # a comment
"""


@pytest.fixture
def computed(tmp_path, monkeypatch):
    """Runs the model as its file is now; returns the ids of the store, and of those that were there before."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    (tmp_path / "offset.txt").write_text("0.5")

    def run_it(old="", new=""):
        assert old in MODEL
        (tmp_path / "ownmodel.py").write_text(MODEL.replace(old, new) if old else MODEL)
        sys.modules.pop("ownmodel", None)
        importlib.invalidate_caches()
        words = [
            "model._target_=ownmodel.Net",
            "images.size=8",
            "logger=none",
            "figure.draw=false",
            "solver=exact",
            "callbacks.progress.mode=quiet",
        ]
        outcome = run(compose([*words, f"store='{tmp_path / 'store'}'"]))
        return set(Store(tmp_path / "store").ids()), set(outcome.reused)

    yield run_it
    sys.modules.pop("ownmodel", None)


@pytest.mark.slow(2)
def test_an_edited_forward_is_computed_again_and_a_comment_elsewhere_is_not(computed, tmp_path):
    first, _ = computed()
    assert len(first) == 1
    assert computed("# a comment", "# another comment") == (first, first)
    second, reused = computed("x.mean(1) * SCALE", "x.mean(1) * SCALE * 3")
    assert not reused and first < second and len(second) == 2
    assert computed("SCALE = 2.0", "SCALE = 2.5")[1] == set()
    records = [Store(tmp_path / "store").read(id).record for id in second]
    assert len({record["settings"]["model.code"] for record in records}) == 2


@pytest.mark.slow(1)
def test_what_the_code_does_not_show_is_seen_in_the_response(computed, tmp_path, caplog):
    ids, _ = computed()
    assert computed() == (ids, ids)
    (tmp_path / "offset.txt").write_text("0.7")
    assert computed() == (ids, set())
    assert "responds differently to its image" in caplog.text
    assert computed() == (ids, ids)


@pytest.mark.parametrize(
    ("now", "same"), [([1.0, 0.5], True), ([1.0 + 1e-9, 0.5], True), ([1.0, 0.5001], False), ([1.0], False), ([], True)]
)
def test_responses_are_compared_to_rounding(now, same):
    assert same_response([1.0, 0.5], now) == same


def test_a_model_without_a_float64_response_has_no_digest():
    assert response_digests(lambda x: x, [None]) == [[]]  # type: ignore[list-item, arg-type]
