"""The comparison with the published code, with a stand-in of the same interface."""

import sys

import pytest

from scripts.published_principal import main

STAND_IN = '''
import torch

def optimal_perturbations(models, stimulus, learning_rate, max_step, print_step, perturb_clamp_scale, show_plots, keep_best):
    """Random directions instead of a search, with its number of calls: two for each product, which are made twice a step."""
    for step in range(max_step):
        for model in models:
            with torch.no_grad():
                [model(stimulus) for _ in range(8)]
        print("step", step, float(learning_rate[step]))
    return torch.randn(stimulus.shape), torch.randn(stimulus.shape), []
'''


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    package = tmp_path / "principal_distortions"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "utils.py").write_text(STAND_IN)
    yield tmp_path
    for name in [name for name in sys.modules if name.partition(".")[0] == "principal_distortions"]:
        del sys.modules[name]


@pytest.mark.slow(5)
def test_values_and_products_are_compared(checkout, capsys):
    words = [str(checkout), "--models", "lg,onoff", "--seeds", "1", "--steps"]
    assert main([*words, "400"]) == 0
    out = capsys.readouterr().out
    assert "published" in out and "with 6400 products" in out and "step 0" not in out
    assert str(checkout) not in sys.path
    assert main([*words, "20"]) == 1
    assert "with 520 products (bound" in capsys.readouterr().out
