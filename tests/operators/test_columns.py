"""The k vectors of a block in batches, as on a GPU, against one after the other."""

import logging

import pytest
import torch
from torch import nn

from eigexp.models import LinearNonlinear, LuminanceContrastGainControl, LuminanceGainControl, OnOff, prepare_model
from eigexp.models.zoo import torchvision_model
from eigexp.operators import linearise
from tests.solvers.photographs import coins


def small_network():
    torch.manual_seed(0)
    parts = [nn.Conv2d(3, 8, 3, stride=2), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 4, 3, groups=2), nn.SiLU()]
    return nn.Sequential(*parts, nn.AdaptiveAvgPool2d(3), nn.Flatten(), nn.Linear(36, 40)).eval()


def resnet():
    return prepare_model(torchvision_model("resnet18"), layer="layer1", weights="random")


def transformer():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Unflatten(1, (-1, 32)), nn.TransformerEncoderLayer(32, 4, 64, batch_first=True)).eval()


MODELS = {
    "OnOff": (OnOff, 1),
    "LN": (LinearNonlinear, 1),
    "LG": (LuminanceGainControl, 1),
    "LGG": (LuminanceContrastGainControl, 1),
    "small network": (small_network, 3),
    "ResNet18": (resnet, 3),
    "transformer": (transformer, 1),
}


def draw(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def images(channels, b=1):
    return torch.cat([coins(32 + i)[..., :32, :32] for i in range(b)]).repeat(1, channels, 1, 1)


@pytest.mark.parametrize("method", ["program", "double_backward", "forward"])
@pytest.mark.parametrize("name", MODELS)
def test_a_batch_of_vectors_gives_the_products_of_each(name, method, caplog):
    model, channels = MODELS[name]
    if method != "program" and name in ("LG", "ResNet18"):
        return
    A = linearise(model(), images(channels, b=2), method=method)
    v, u = draw(2, 5, A.shape.n), draw(2, 5, A.shape.m)
    forward, back = A.apply(v), A.adjoint(u)
    assert A.columns.at_once == 1  # on a CPU
    for at_once in (2, 5):
        A.columns.at_once = at_once
        with caplog.at_level(logging.INFO):
            for found, expected in [(A.apply(v), forward), (A.adjoint(u), back)]:
                assert found.shape == expected.shape
                assert torch.linalg.vector_norm(found - expected) < 1e-5 * torch.linalg.vector_norm(expected)
        assert A.columns.at_once == at_once, caplog.text


def test_where_memory_runs_out_half_as_many_are_tried(caplog):
    A = linearise(OnOff(), coins(32), method="program")
    v = draw(1, 8, A.shape.n)
    expected, run, widths = A.apply(v), torch.func.vmap, []

    def little_memory(product, **axes):
        def of(block):
            widths.append(block.shape[1])
            if block.shape[1] > 2:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
            return run(product, **axes)(block)

        return of

    A.columns.at_once = 8
    with pytest.MonkeyPatch.context() as patch, caplog.at_level(logging.INFO):
        patch.setattr(torch.func, "vmap", little_memory)
        found = A.apply(v)
    assert widths == [8, 4, 2, 2, 2, 2]
    assert A.columns.at_once == 2
    assert "memory ran out in products of 8 vectors at once; trying 4" in caplog.text
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_what_has_no_rule_for_batches_is_multiplied_one_after_the_other(caplog):
    A = linearise(OnOff(), coins(32), method="program")
    v = draw(1, 3, A.shape.n)
    expected = A.apply(v)
    A.columns.at_once = 8
    with pytest.MonkeyPatch.context() as patch, caplog.at_level(logging.INFO):
        patch.setattr(torch.func, "vmap", lambda *_, **__: (_ for _ in ()).throw(RuntimeError("no batching rule for\naten::frob")))
        assert torch.equal(A.apply(v), expected)
    assert A.columns.at_once == 1
    assert "their batch failed: no batching rule for aten::frob" in caplog.text


def test_the_number_at_once_follows_from_the_memory_of_a_vector(monkeypatch):
    used = iter([0, 300])
    stand_ins = {"get_device_properties": lambda _: type("Card", (), {"total_memory": 6000})}
    stand_ins |= {
        "reset_peak_memory_stats": lambda _: None,
        "memory_allocated": lambda _: next(used),
        "max_memory_allocated": lambda _: 300,
    }
    for name, stand_in in stand_ins.items():
        monkeypatch.setattr(torch.cuda, name, stand_in)
    A = linearise(OnOff(), coins(32), method="program")
    v = draw(1, 7, A.shape.n)
    expected = A.apply(v)
    A.columns.at_once = None  # as on a GPU
    torch.testing.assert_close(A.apply(v), expected, rtol=1e-5, atol=1e-6)
    assert A.columns.at_once == 5  # a quarter of the memory, by 300 bytes a vector
