from functools import cache

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from eigexp.errors import OperatorError
from eigexp.models import prepare_model
from eigexp.operators import dense_matrix, linearise
from tests.operators.networks import Copy, images, jacobians
from tests.operators.real_networks import NETWORKS, Attends, Gated, network

METHODS = ["auto", "program", "double_backward", "forward", "dense"]


@cache
def true_jacobians(name: str) -> Tensor:
    return jacobians(network(name), images(3, 9, 11))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", NETWORKS)
def test_every_way_agrees_with_dense_float64(name, method):
    truth = true_jacobians(name)
    A = linearise(network(name), images(3, 9, 11), method=method)
    assert A.shape == truth.shape
    scale = float(truth.abs().max())
    assert torch.allclose(dense_matrix(A), truth, rtol=0, atol=1e-11 * scale)


@pytest.mark.parametrize("name", NETWORKS)
def test_auto_takes_the_program_of_every_one(name):
    assert linearise(network(name), images(3, 9, 11)).method == "program"


@pytest.mark.parametrize("method", ["program", "double_backward"])
@pytest.mark.parametrize("name", NETWORKS)
def test_float32_products_have_the_same_bits_each_time(name, method):
    x, v = images(3, 9, 11).float(), torch.randn(2, 1, 297)
    first, second = (linearise(network(name).float(), x, method=method) for _ in range(2))
    assert torch.equal(first.fisher(v), second.fisher(v))
    assert torch.equal(first.fisher(v), first.fisher(v))
    block = torch.randn(2, 4, 297)
    assert torch.equal(first.fisher(block)[:, 2:3], first.fisher(block[:, 2:3]))


def test_a_models_buffers_change_once_a_forward_pass_and_not_with_products():
    model = network("buffers")
    A = linearise(model, images(3, 9, 11), method="program")
    calls = int(model.calls)
    A.fisher(torch.randn(2, 3, 297, dtype=torch.float64))
    assert int(model.calls) == calls == 2  # one with a backward pass, one that records the program, and the two are compared


def test_what_has_no_second_derivative_still_has_a_program():
    torch.manual_seed(0)
    model = Gated(F.hardsigmoid).double().requires_grad_(False)
    x = images(3, 9, 11)
    A = linearise(model, x)
    assert A.method == "program"
    assert torch.allclose(dense_matrix(A), jacobians(model, x), atol=1e-12)
    with pytest.raises(OperatorError, match="hardsigmoid_backward is not implemented"):
        linearise(model, x, method="double_backward")


def test_attention_keeps_its_settings():
    before = torch.backends.mha.get_fastpath_enabled(), torch.backends.cuda.flash_sdp_enabled()
    torch.manual_seed(0)
    linearise(Attends().double().eval(), images(3, 9, 11))
    assert (torch.backends.mha.get_fastpath_enabled(), torch.backends.cuda.flash_sdp_enabled()) == before


class Stopped(nn.Module):
    """Its scale is meant to be a constant: forward mode sees through torch.no_grad()."""

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            scale = x.mean()
        return x * scale


def test_a_program_that_contradicts_the_models_own_backward_pass_is_not_taken():
    x = images(3, 9, 11)
    A = linearise(Stopped(), x)
    assert A.method == "double_backward"
    with pytest.raises(OperatorError, match=r"A\^T u differs from the model's own backward pass by .* Set linearise=auto"):
        linearise(Stopped(), x, method="program")


class LooksAtTangents(Copy):
    """A forward-mode derivative that depends on the tangent's values."""

    @staticmethod
    def jvp(ctx, tangent):
        return tangent if float(tangent.sum()) == 0.0 else 2 * tangent


def test_a_derivative_that_looks_at_tangents_cannot_be_recorded():
    with pytest.raises(OperatorError, match=r"cannot record this model: .* reads the values of a derivative\. Set linearise=auto"):
        linearise(lambda x: LooksAtTangents.apply(x), images(3, 9, 11), method="program")
    assert linearise(lambda x: LooksAtTangents.apply(x), images(3, 9, 11)).method == "double_backward"


def test_a_constant_that_is_overwritten_later_cannot_be_recorded():
    def model(x: Tensor) -> Tensor:
        scale = torch.full((297,), 2.0, dtype=x.dtype)
        y = x.flatten(1) * scale
        scale.zero_()
        return y

    with pytest.raises(OperatorError, match="inplace operation"):  # autograd's own check comes first
        linearise(model, images(3, 9, 11), method="program")


@pytest.mark.slow(6)
def test_the_texture_statistics_of_portilla_and_simoncelli():
    """plenoptic's model cannot be recorded, and its backward pass is the transpose of its forward derivative to 1e-8 alone."""
    plenoptic = pytest.importorskip("plenoptic")
    image = torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def model(dtype):
        return prepare_model(plenoptic.models.PortillaSimoncelli((64, 64), n_scales=3, spatial_corr_width=5).to(dtype))

    assert linearise(model(torch.float32), image.float()).method == "double_backward"
    with pytest.raises(OperatorError, match=r"^linearise=program cannot be used for this model: [^\n]*\. Set linearise=auto\.$"):
        linearise(model(torch.float32), image.float(), method="program")
    with pytest.raises(OperatorError, match=r"fails the adjoint test.*computes in float32, dtype=float32\.$"):
        linearise(model(torch.float64), image)
