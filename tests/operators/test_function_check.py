"""Models that are no functions are refused, by the names of what is random in them."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from eigexp.errors import ModelError
from eigexp.operators import linearise

IMAGE = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))


class GumbelNoise(nn.Module):
    def forward(self, x):
        return x - torch.log(-torch.log(torch.rand_like(x)))


class Functional(nn.Module):
    def forward(self, x):
        return F.dropout(x.sin(), 0.5, training=True)


class NoisyBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient * (1 + 0.1 * torch.randn_like(gradient))


def gumbel():
    return nn.Sequential(nn.Conv2d(3, 4, 3), GumbelNoise(), nn.Conv2d(4, 2, 1)).eval()


RANDOM = {
    "dropout": (lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.Dropout(0.5)), r"1 \(Dropout\)\. Call model\.eval\(\)"),
    "rrelu": (lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.RReLU()), r"1 \(RReLU\)\. Call model\.eval\(\)"),
    "gumbel": (gumbel, r"output of 1 \(GumbelNoise\)"),
    "functional dropout": (Functional, r"output of the model \(Functional\)"),
    "function": (lambda: lambda x: x.sin() + 0.1 * torch.rand_like(x), "Remove the randomness"),
    "backward": (lambda: NoisyBackward.apply, "two backward passes"),
}


@pytest.mark.parametrize("name", RANDOM)
def test_a_random_model_is_refused_by_name(name):
    make, message = RANDOM[name]
    torch.manual_seed(0)
    with pytest.raises(ModelError, match=message) as refusal:
        linearise(make(), IMAGE)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("layer", [nn.Dropout(0.5), nn.RReLU(), nn.BatchNorm2d(3)])
def test_the_same_modules_in_evaluation_mode_are_functions(layer):
    linearise(nn.Sequential(layer, nn.Conv2d(3, 2, 3)).eval().requires_grad_(False), IMAGE)


def test_a_derivative_whose_square_overflows_says_so():
    from eigexp.errors import OperatorError

    with pytest.raises(OperatorError, match=r"overflow: .* Set dtype=float64"):
        linearise(lambda x: 1e20 * x.sin(), IMAGE)
    linearise(lambda x: 1e20 * x.sin(), IMAGE.double())
