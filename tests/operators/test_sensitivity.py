"""v^T F_l v of all layers at once, against dense float64 Jacobians."""

import pytest
import torch

from eigexp.errors import ModelError
from eigexp.models.layers import NetworkLayers
from eigexp.operators import GaussianNoise
from eigexp.operators.sensitivity import layer_sensitivities
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
    calls = []
    network = trunk()

    def counted(x):
        calls.append(len(x))
        return network(x)

    layer_sensitivities(counted, IMAGE, vectors(8), SIZES)
    assert set(calls) == {8} and len(calls) < 8


def test_a_network_that_takes_one_image_at_a_time():
    network = trunk()

    def one(x):
        assert len(x) == 1
        return [part[0] for group in network(x) for part in group]

    def refuses(x):
        if len(x) > 1:
            raise ModelError("one image, please")
        return one(x)

    torch.testing.assert_close(layer_sensitivities(refuses, IMAGE, vectors(3), SIZES), expected(vectors(3)), rtol=1e-12, atol=0)


def test_other_sizes_than_the_network_has():
    with pytest.raises(ModelError, match="120 responses together, not the 121"):
        layer_sensitivities(trunk(), IMAGE, vectors(2), (*SIZES[:2], 5))
