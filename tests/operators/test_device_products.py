"""A product of a recorded program waits for nothing that the device has computed: it could be captured as a graph of a GPU."""

import pytest
import torch

from eigexp.models import OnOff, prepare_model
from eigexp.models.zoo import torchvision_model
from eigexp.operators import linearise
from tests.pretended_device import PretendedDevice
from tests.solvers.photographs import coins


def resnet():
    return prepare_model(torchvision_model("resnet18"), layer="layer1", weights="random")


def attention():
    torch.manual_seed(0)
    layer = torch.nn.TransformerEncoderLayer(32, 4, 64, batch_first=True).eval()
    return lambda x: layer(x.flatten(1).unflatten(1, (-1, 32)))


@pytest.mark.parametrize(("model", "channels"), [(OnOff, 1), (resnet, 3), (attention, 1)])
def test_products_of_a_program_read_nothing_back(model, channels):
    A = linearise(model(), coins(32).expand(1, channels, 32, 32), method="program")
    v = torch.randn(1, 1, A.shape.n, generator=torch.Generator().manual_seed(0))
    with PretendedDevice(min(A.shape.n, A.shape.m) // 4, backward=True) as device:
        u = A.apply(v)
        forward = device.calls
        A.adjoint(u)
    assert 0 < forward < device.calls
    assert device.reads == 0


def test_a_read_would_be_noticed():
    with PretendedDevice(16) as device:
        x = torch.ones(16)
        float(x.sum())
    assert device.reads == 1
