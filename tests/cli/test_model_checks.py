"""`eigexp doctor` with overrides: what is wrong with a model at an image is found before a sweep."""

import pytest
import torch
from torch import nn

from eigexp.cli import main
from eigexp.cli.derivative_checks import Subject, check_derivative
from eigexp.cli.model_checks import check_function


class Smooth(nn.Module):
    """A model without fault."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Conv2d(1, 3, 3), nn.Softplus(), nn.Conv2d(3, 2, 3))

    def forward(self, x):
        return self.layers(x)


class Random(Smooth):
    """Drops responses in evaluation, too."""

    def forward(self, x):
        return nn.functional.dropout(super().forward(x), 0.5, training=True)


class StraightThrough(Smooth):
    """Quantises the image, and passes the gradient as if it did not."""

    def forward(self, x):
        return super().forward(x + (torch.round(8 * x) / 8 - x).detach())


class Ties(nn.Module):
    """Max-pooling over pixels that are equal."""

    def forward(self, x):
        return nn.functional.max_pool2d(x, 2)


class Rounded(Smooth):
    """A float32 model whose derivative has lost half its digits."""

    def forward(self, x):
        return super().forward((x + 1e4) - 1e4) if x.dtype == torch.float64 else super().forward(x) * (1 + 1e-3)


def statuses(model, image=None):
    image = torch.rand(1, 1, 12, 12, generator=torch.Generator().manual_seed(0)) if image is None else image
    subject = Subject(model.eval(), image, {}, "auto")
    checks = [check_function(subject)]
    if checks[0].status == "ok":
        checks += check_derivative(subject, 1e-4)
    return {check.name: check.status for check in checks}


def test_a_smooth_model_is_ok():
    assert statuses(Smooth()) == {"function": "ok", "derivative": "ok", "kinks": "ok", "dtype": "ok"}


def test_a_random_model_is_a_problem():
    assert statuses(Random()) == {"function": "problem"}


def test_a_surrogate_derivative_is_a_problem():
    assert statuses(StraightThrough())["derivative"] == "problem"


def test_ties_are_a_warning_and_no_wrong_derivative():
    found = statuses(Ties(), torch.full((1, 1, 12, 12), 0.5))
    assert (found["kinks"], found["derivative"]) == ("warning", "ok")


def test_a_derivative_that_float32_does_not_have_is_a_warning():
    assert statuses(Rounded())["dtype"] == "warning"


@pytest.mark.parametrize(
    ("overrides", "code", "lines"),
    [
        (["model=ln"], 0, ["n = 256 pixels, m = 256 responses", "about 46 products per image", "first of 2 images"]),
        (["model._target_=tests.cli.test_model_checks.Random"], 1, ["function problem", "-> "]),
        (["model._target_=tests.cli.test_model_checks.StraightThrough"], 1, ["derivative problem", "straight-through"]),
    ],
)
def test_the_exit_code_is_1_with_a_problem(tmp_path, capsys, monkeypatch, overrides, code, lines):
    monkeypatch.setenv("COLUMNS", "300")
    common = ["images.size=16", "images.names=[camera,coins]", f"store='{tmp_path}'"]
    assert main(["doctor", *overrides, *common]) == code
    text = " ".join(capsys.readouterr().out.split())
    assert all(line in text for line in lines), text
    assert not list(tmp_path.iterdir())


def test_several_layers_are_checked_each(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    overrides = ["model._target_=tests.cli.test_model_checks.Smooth", "model.layer=[layers.0,layers.2]", "images.size=16"]
    assert main(["doctor", *overrides, f"store='{tmp_path}'"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "layers.0: shapes ok" in text and "layers.2: derivative ok" in text


def test_a_model_without_layers_says_so_and_nothing_else(capsys):
    assert main(["models", "ln", "images.size=16"]) == 0
    said = capsys.readouterr()
    assert said.out == "ln has no layers inside: its response is its output. Leave model.layer=null.\n" and said.err == ""
