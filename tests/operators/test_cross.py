"""v^T F_l v of all layers at once, against dense float64 Jacobians."""

import pytest
import torch
from torch import nn

from eigexp.errors import ModelError
from eigexp.models.layers import NetworkLayers
from eigexp.noise import GaussianNoise
from eigexp.operators import linearise
from eigexp.operators.cross import layer_sensitivities
from tests.models.small_network import SmallNetwork, fisher

LAYERS = ("stem", ("stem", "middle"), "head")
SIZES = (3 * 16, 3 * 16 + 5 * 4, 4)
IMAGE = torch.rand(1, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def vectors(k, dtype=torch.float64):
    v = torch.randn(k, 1, 8, 8, generator=torch.Generator().manual_seed(1), dtype=dtype)
    return v / v.flatten(1).norm(dim=1)[:, None, None, None]


def expected(v):
    flat = v.double().flatten(1)
    return torch.stack([(flat @ fisher(SmallNetwork(), layer, IMAGE) * flat).sum(1) for layer in LAYERS], dim=1)


def trunk(dtype=torch.float64, branch=False):
    return NetworkLayers(SmallNetwork(branch).to(dtype), LAYERS).trunk()


@pytest.mark.parametrize("branch", [False, True], ids=["traced", "hooked"])
@pytest.mark.parametrize("dtype, rtol", [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_every_vector_under_every_layer(dtype, rtol, branch):
    v = vectors(5, dtype)
    found = layer_sensitivities(trunk(dtype, branch), IMAGE.to(dtype), v, SIZES)
    assert found.shape == (5, 3) and found.dtype == torch.float64
    torch.testing.assert_close(found, expected(v), rtol=rtol, atol=0)


def test_noise_and_chunks():
    v = vectors(5)
    found = layer_sensitivities(trunk(), IMAGE, v, SIZES, noise=GaussianNoise(4.0), chunk=2)
    torch.testing.assert_close(found, expected(v) / 4, rtol=1e-12, atol=0)
    assert layer_sensitivities(trunk(), IMAGE, v[:0], SIZES).shape == (0, 3)


def test_the_vectors_share_passes_through_the_network():
    passes = {}
    for k in (1, 8):
        calls, network = [], trunk()
        layer_sensitivities(lambda x, calls=calls, network=network: calls.append(len(x)) or network(x), IMAGE, vectors(k), SIZES)
        passes[k] = calls
    assert passes[1] == passes[8] and set(passes[1]) == {1}


def test_a_kink_falls_as_it_does_for_the_layer_alone():
    """Pooling over equal values picks one; which, rounding decides, and it must be the same one."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Conv2d(16, 32, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 32, 3))
    image = torch.rand(3, 24, 24)
    image[:, :12] = 0.25
    layers = NetworkLayers(network, ("4", "5"))
    v = torch.randn(4, 3, 24, 24) * (torch.arange(24) < 12)[:, None]
    alone = [linearise(model, image[None]) for model in layers.models.values()]
    expected = torch.stack([A.apply(v.flatten(1)[None])[0].double().square().sum(1) for A in alone], dim=1)
    found = layer_sensitivities(layers.trunk(), image, v, [A.shape.m for A in alone])
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=0)


def test_other_sizes_than_the_network_has():
    with pytest.raises(ModelError, match="120 responses together, not the 121"):
        layer_sensitivities(trunk(), IMAGE, vectors(2), (*SIZES[:2], 5))
