from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from eigexp.operators.jacobian import LinearisationPoint
from eigexp.operators.recording import LinearProgram, record
from eigexp.operators.simplification import simplify
from tests.operators.real_networks import NETWORKS, network


def simplified(function: Callable[[Tensor], Tensor], *shape: int) -> list[str]:
    """Names of the operations that are left, once the program is known to be the derivative."""
    x, t = torch.rand(2, *shape, dtype=torch.float64), torch.randn(2, *shape, dtype=torch.float64)
    program = simplify(record(function, x))
    _, expected = torch.autograd.functional.jvp(function, x, t)
    assert torch.allclose(program(t), expected, rtol=1e-11, atol=1e-11)
    return [operation.function.__name__.partition(".")[0] for operation in program.operations]


def normalised(channels: int) -> nn.BatchNorm2d:
    layer = nn.BatchNorm2d(channels).double().eval().requires_grad_(False)
    assert layer.running_var is not None
    layer.running_var.uniform_(0.5, 2)
    nn.init.normal_(layer.weight)
    return layer


def convolution(*args: int, **settings: int) -> nn.Conv2d:
    return nn.Conv2d(*args, **settings).double().requires_grad_(False)


def test_batch_normalisation_goes_into_the_convolution_before_it():
    assert simplified(
        nn.Sequential(convolution(3, 4, 3), normalised(4), nn.ReLU(), convolution(4, 4, 3, groups=4), normalised(4)), 3, 8, 9
    ) == [
        "convolution",
        "mul",
        "one_product",
    ]


def test_but_not_where_the_convolutions_output_is_needed_too():
    first, norm = convolution(3, 4, 3), normalised(4)

    def both(x: Tensor) -> Tensor:
        y = first(x)
        return y + norm(y)

    assert simplified(both, 3, 8, 9) == ["convolution", "mul", "add"]


def test_nor_into_a_transposed_convolution():
    model = nn.Sequential(nn.ConvTranspose2d(3, 4, 3).double().requires_grad_(False), normalised(4))
    assert simplified(model, 3, 8, 9) == ["convolution", "mul"]


def test_a_factor_a_pixel_stays_out_of_the_convolution():
    first, weights = convolution(3, 4, 3), torch.rand(4, 6, 7, dtype=torch.float64)
    assert simplified(lambda x: first(x) * weights, 3, 8, 9) == ["convolution", "mul"]


def test_factors_that_follow_each_other_become_one():
    assert simplified(lambda x: -(x.sin() / 3).exp().clamp(0.5) * 2, 3, 4) == ["mul"]


@pytest.mark.parametrize(("padding", "left"), [((1, 1, 2, 2), []), ((1, 2, 1, 2), ["constant_pad_nd"]), ((-1, -1), ["constant_pad_nd"])])
def test_symmetric_padding_goes_into_the_convolution_after_it(padding, left):
    first = convolution(3, 4, 3, padding=1, stride=2)
    assert simplified(lambda x: first(F.pad(x, padding)), 3, 8, 9) == [*left, "convolution"]


def test_padding_by_a_value_is_padding_by_zeros_to_the_derivative():
    first = convolution(3, 4, 3)
    assert simplified(lambda x: first(F.pad(x, (1, 1, 1, 1), value=5.0)), 3, 8, 9) == ["convolution"]


def test_sums_with_constants_and_unused_parts_are_gone():
    assert simplified(lambda x: (torch.stack([x + 3, x * 2])[1] + torch.ones_like(x)).reshape(2, 12), 3, 4)[-2:] == ["select", "reshape"]
    assert simplified(lambda x: (x.exp().sum() * 0 + x.detach().sum()) * 0 + x.sin(), 3, 4).count("exp") == 0


def test_what_is_computed_twice_is_computed_once():
    names = simplified(nn.LayerNorm(5).double().requires_grad_(False), 4, 5)
    assert names.count("mean") == 1
    assert names.count("sub") == 1


@pytest.mark.parametrize("name", NETWORKS)
def test_folding_leaves_what_is_computed(name):
    model = LinearisationPoint(network(name), torch.empty(0), None, None, batched=True).response
    x, t = torch.rand(2, 3, 9, 11, dtype=torch.float64), torch.randn(2, 3, 9, 11, dtype=torch.float64)
    recording = record(model, x)
    whole, short = LinearProgram(recording.operations, recording.output), simplify(recording)
    assert len(short.operations) <= len(whole.operations)
    assert torch.allclose(short(t), whole(t), rtol=0, atol=1e-12 * float(whole(t).abs().max()))


def test_a_program_can_be_run_again_and_leaves_its_constants_alone():
    program = simplify(record(network("assignment"), torch.rand(2, 3, 9, 11, dtype=torch.float64)))
    assert any(operation.writes for operation in program.operations)
    t = torch.randn(2, 3, 9, 11, dtype=torch.float64)
    kept, first = t.clone(), program(t).clone()
    program(2 * t)
    assert torch.equal(program(t), first)
    assert torch.equal(t, kept)
