"""Slips that the adjoint test hides, because linearise=auto then takes another method: each is looked at by itself."""

import pytest
import torch
from torch import nn
from torch.autograd import forward_ad

from eigexp.errors import ModelError, OperatorError
from eigexp.operators import linearise
from eigexp.operators.recording import Operation, Recording, Reference, record
from eigexp.operators.scaling import MULTIPLY, as_scaling
from eigexp.operators.simplification import simplify

aten = torch.ops.aten
F64 = torch.float64


def program(*operations, kinds=None):
    """The shortened program of operations in a row, each (function, arguments after the first)."""
    rows = [Operation(function, (Reference(i), *arguments), {}, (i + 1,)) for i, (function, *arguments) in enumerate(operations)]
    return simplify(Recording(rows, len(rows), kinds or {i: ((1, 1, 4, 4), F64, "cpu") for i in range(len(rows) + 1)}, torch.zeros(())))


def test_a_constant_that_is_overwritten_later_is_refused():
    def overwrites(x):
        factor = torch.full_like(forward_ad.unpack_dual(x).primal, 2.0)
        y = x * factor
        factor.mul_(3.0)
        return y

    with pytest.raises(OperatorError, match="overwrites a tensor in place"):
        record(overwrites, torch.ones(1, 3))


def test_a_constant_that_a_later_pass_overwrites_is_noticed_by_both_products():
    class Gain(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("mean", torch.zeros(1, dtype=F64))

        def forward(self, x):
            self.mean.copy_(x.detach().mean().reshape(1))
            return x * self.mean

    model, x = Gain(), torch.rand(1, 40, dtype=F64)
    A = linearise(model, x, method="program")
    ones = torch.ones(1, 1, 40, dtype=F64)
    assert torch.allclose(A.apply(ones), x.mean() * ones) and torch.allclose(A.adjoint(ones), x.mean() * ones)
    model(5 * x)
    for product in (A.apply, A.adjoint):
        with pytest.raises(OperatorError, match=r"overwritten after it was recorded\. Linearise the model again"):
            product(ones)


def test_a_derivative_that_comes_from_elsewhere_is_refused():
    with pytest.raises(OperatorError, match="no derivative in forward mode"):
        record(lambda x: forward_ad.make_dual(torch.ones(1, 3), torch.ones(1, 3)), torch.ones(1, 3))


def test_a_copy_that_spreads_out_is_recorded_as_such():
    class Spreads(nn.Module):
        def forward(self, x):
            y = x * 2.0
            return y.copy_(x.sum(dim=1, keepdim=True))

    A = linearise(Spreads(), torch.rand(1, 40, dtype=F64), method="program")
    assert torch.equal(A.apply(torch.ones(1, 1, 40, dtype=F64)), torch.full((1, 1, 40), 40.0, dtype=F64))


def test_a_product_of_two_derivatives_or_a_branch_with_values_is_no_scaling():
    t, other = torch.rand(3), torch.rand(3)
    assert as_scaling(aten.div.Tensor, (t, t), {}, lambda a: a is t)[0] is aten.div.Tensor
    mask = torch.tensor([True, False, True])
    assert as_scaling(aten.where.self, (mask, t, other), {}, lambda a: a is t)[0] is aten.where.self
    assert as_scaling(aten.where.self, (mask, t, torch.zeros(3)), {}, lambda a: a is t)[0] is MULTIPLY


def test_a_sum_is_left_out_only_if_it_adds_nothing():
    added = torch.tensor([0.0, 1.0], dtype=F64)
    kinds = dict.fromkeys(range(2), ((2,), F64, "cpu"))
    assert torch.equal(program((aten.add.Tensor, added), kinds=kinds)(torch.ones(2, dtype=F64)), 1 + added)
    assert not program((aten.add.Tensor, added * 0), kinds=kinds).operations


def test_a_change_of_precision_is_no_copy():
    kinds = {0: ((2,), torch.float32, "cpu"), 1: ((2,), F64, "cpu")}
    operation = Operation(aten._to_copy.default, (Reference(0),), {"dtype": F64}, (1,))
    assert simplify(Recording([operation], 1, kinds, torch.zeros(())))(torch.ones(2)).dtype == F64


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_padding_joins_a_convolution_only_if_it_pads_with_zeros(value):
    weight, x = torch.rand(1, 1, 3, 3, dtype=F64), torch.rand(1, 1, 4, 4, dtype=F64)
    convolution = (aten.convolution.default, weight, None, [1, 1], [0, 0], [1, 1], False, [0, 0], 1)
    short = program((aten.constant_pad_nd.default, [1, 1, 1, 1], value), convolution)
    assert torch.allclose(short(x), nn.functional.conv2d(nn.functional.pad(x, (1, 1, 1, 1), value=value), weight))
    assert len(short.operations) == (1 if value == 0.0 else 2)


def test_an_infinite_response_is_told_as_such():
    with pytest.raises(ModelError, match="NaN or Inf values"):
        linearise(lambda x: torch.cat([x, x.exp() * float("inf")], dim=1), torch.rand(1, 40))


def test_the_fast_path_of_attention_is_on_again_afterwards():
    assert torch.backends.mha.get_fastpath_enabled()
    linearise(lambda x: x.square(), torch.rand(1, 40))
    assert torch.backends.mha.get_fastpath_enabled()
