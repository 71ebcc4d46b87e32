"""Own rules for layers with constant weights give the numbers of torch's rules, and step aside where a weight depends on the image."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.overrides import BaseTorchFunctionMode

from eigexp.operators import convolutions, linearise, recording
from eigexp.operators.autograd import DoubleBackward
from eigexp.operators.convolutions import ConstantConvolutions
from eigexp.operators.float64 import _copied, in_float64

F64 = torch.float64


def normalised(norm: nn.Module) -> nn.Module:
    """A layer whose fixed statistics and weights, if any, are not those of a new one."""
    with torch.no_grad():
        for t in (*norm.parameters(), *norm.buffers()):
            if t.is_floating_point():
                t.uniform_(0.5, 2.0)
    return norm


class OwnWeights(nn.Module):
    """Its kernel depends on the image."""

    def forward(self, x):
        return F.conv2d(x, x.mean(dim=(2, 3)).view(1, -1, 1, 1) * x.new_ones(2, 1, 3, 3))


class OwnScale(nn.Module):
    """The weight of its normalisation depends on the image."""

    def forward(self, x):
        mean = x.mean(dim=(0, 2, 3))
        return F.batch_norm(x, torch.zeros_like(mean), torch.ones_like(mean), mean)


class InTraining(nn.Module):
    """It is given statistics, but uses and updates those of the batch, which depend on the image."""

    def forward(self, x):
        return F.batch_norm(x, x.new_zeros(4), x.new_ones(4), training=True)


def layers() -> dict[str, nn.Module]:
    torch.manual_seed(0)
    return {
        "bias": nn.Conv2d(4, 6, 3, stride=2, padding=1),
        "groups": nn.Conv2d(4, 8, (3, 2), padding=(1, 0), dilation=(1, 2), groups=2, bias=False),
        "depthwise": nn.Conv2d(4, 4, 5, stride=(2, 1), padding=2, groups=4),
        "same": nn.Conv2d(4, 4, 3, padding="same"),
        "reflected": nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"),
        "one dimension": nn.Sequential(nn.Flatten(2), nn.Conv1d(4, 3, 3)),
        "transposed": nn.ConvTranspose2d(4, 3, 3),
        "transposed groups": nn.ConvTranspose2d(4, 4, 3, groups=2),
        "batch norm": normalised(nn.BatchNorm2d(4)),
        "without weights": normalised(nn.BatchNorm2d(4, affine=False)),
        "statistics of the batch": normalised(nn.BatchNorm2d(4, track_running_stats=False)),
        "in training": InTraining(),
        "kernel of the image": OwnWeights(),
        "scale of the image": OwnScale(),
    }


@pytest.fixture
def image():
    return torch.rand(1, 4, 9, 8, generator=torch.Generator().manual_seed(0), dtype=F64)


def probes(A):
    generator = torch.Generator().manual_seed(1)
    return (torch.randn(1, 2, size, generator=generator, dtype=F64) for size in (A.shape.n, A.shape.m))


@pytest.mark.parametrize("name", layers())
def test_forward_rules_are_those_of_torch(name, image, monkeypatch):
    model = nn.Sequential(layers()[name], nn.Tanh()).double().eval()
    own = linearise(model, image, method="program")
    monkeypatch.setattr(convolutions, "_FEW_PIXELS", 0)
    by_loops = linearise(model, image, method="program")
    monkeypatch.setattr(recording, "ConstantLayers", BaseTorchFunctionMode)
    torchs = linearise(model, image, method="program")
    v, u = probes(own)
    assert torch.equal(by_loops.apply(v), torchs.apply(v))
    assert torch.equal(by_loops.adjoint(u), torchs.adjoint(u))
    torch.testing.assert_close(own.apply(v), torchs.apply(v), rtol=1e-13, atol=1e-14)
    torch.testing.assert_close(own.adjoint(u), torchs.adjoint(u), rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("name", ["groups", "depthwise"])
def test_a_recorded_convolution_in_float64_is_no_loop_over_its_groups(name, image):
    program = linearise(layers()[name].double().requires_grad_(False), image, method="program").program
    assert program.operations[0].function is convolutions.one_product


@pytest.mark.parametrize("few", [0, 400], ids=["torch's loop", "one product"])
@pytest.mark.parametrize("name", layers())
def test_double_backward_through_convolutions_is_that_of_torch(name, few, image, monkeypatch):
    monkeypatch.setattr(convolutions, "_FEW_PIXELS", few)
    model = nn.Sequential(layers()[name], nn.Tanh()).double().eval()
    torchs = linearise(model, image, method="double_backward")
    with ConstantConvolutions():
        own = DoubleBackward(torchs.point)
    v, u = probes(own)
    torch.testing.assert_close(own.apply(v), torchs.apply(v), rtol=1e-13, atol=1e-14)
    torch.testing.assert_close(own.adjoint(u), torchs.adjoint(u), rtol=1e-13, atol=1e-14)
    assert own.apply(v).abs().max() > 0


def test_a_certificate_of_a_network_uses_them_and_leaves_the_network_alone(image):
    model = nn.Sequential(layers()["depthwise"], nn.Tanh(), layers()["batch norm"]).eval()
    precise = in_float64(linearise(model, image.float()), 1).select([0])
    expected = linearise(copy.deepcopy(model).double(), image.float().double(), method="double_backward")
    v, u = probes(expected)
    assert type(precise) is not DoubleBackward and isinstance(precise, DoubleBackward)
    torch.testing.assert_close(precise.apply(v), expected.apply(v), rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(precise.adjoint(u), expected.adjoint(u), rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(precise.difference_quotient(v[:, :1], 1e-6), precise.apply(v[:, :1]), rtol=1e-3, atol=1e-5)
    assert all(p.dtype == torch.float32 and p.requires_grad for p in model.parameters())


def test_a_copy_of_a_traced_network_shares_its_graph_and_nothing_else(image):
    network = torch.fx.symbolic_trace(nn.Sequential(layers()["bias"], layers()["groups"].__class__(6, 2, 1)))
    model = nn.Sequential(network, nn.Tanh())
    made = _copied(model)
    assert made[0] is not network and type(made[0]) is type(network) and made[0].graph is network.graph
    assert not {id(t) for t in made.parameters()} & {id(t) for t in model.parameters()}
    assert not {id(m) for m in made.modules()} & {id(m) for m in model.modules()}
    expected = model.double()(image)
    assert torch.equal(made.double()(image), expected)
    with torch.no_grad():
        for p in made.parameters():
            p.zero_()
    assert torch.equal(model(image), expected)
