"""Models of any kind: what they return, where their weights come from, how they are named."""

import functools
import sys
from collections import namedtuple
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from torch import nn

from eigexp.errors import ConfigurationError, ModelError
from eigexp.experiment.networks import build_network
from eigexp.models import prepare_model
from eigexp.models.weights import load_weights
from eigexp.operators import linearise
from eigexp.operators.outputs import output_tensors

Pair = namedtuple("Pair", "x y")
X = torch.rand(2, 1, 4, 4, generator=torch.Generator().manual_seed(0))


@dataclass
class Out:
    """As a library returns it."""

    logits: torch.Tensor
    loss: None
    steps: int
    labels: torch.Tensor


class Net(nn.Module):
    """Returns a dict of a dataclass and a named tuple."""

    def __init__(self, size: int = 4):
        super().__init__()
        self.linear = nn.Linear(16, size)

    def forward(self, x: torch.Tensor) -> dict[str, Any]:
        y = self.linear(x.flatten(1))
        return {"out": Out(y, None, 3, y.argmax(1)), "pair": Pair(2 * y, [3 * y])}


class Lit(LightningModule):
    """A LightningModule as the well-known template has it: a network under `net`."""

    def __init__(self, size: int = 4, optimizer: Any = None):
        super().__init__()
        self.save_hyperparameters()
        self.net = Net(size)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(x)["pair"].x


class Opaque:
    """What a hyperparameter may be."""


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A checkpoint of Lightning whose hyperparameters hold objects of any class."""
    path = tmp_path_factory.mktemp("lit") / "lit.ckpt"
    trainer = Trainer(logger=False, enable_checkpointing=False, accelerator="cpu", enable_progress_bar=False)
    torch.manual_seed(1)
    model = Lit(4, functools.partial(torch.optim.Adam, lr=1e-3))
    trainer.strategy.connect(model)
    trainer.save_checkpoint(path)
    content = torch.load(path, weights_only=False)
    content["hyper_parameters"] |= {"thing": Opaque(), "path": Path("a")}
    torch.save(content, path)
    return path, model


def test_every_float_tensor_is_a_response_and_the_rest_is_named(caplog):
    caplog.set_level("INFO")
    assert linearise(prepare_model(Net()), X).shape == (2, 12, 16)
    assert "Left out" in caplog.text
    assert "out.loss (NoneType), out.steps (int), out.labels (int64)" in caplog.text
    for output, problem in ((None, "output (NoneType)"), ({}, "nothing at all"), (torch.ones(1, dtype=torch.long), "output (int64)")):
        with pytest.raises(ModelError, match="no differentiable tensor") as error:
            output_tensors(output)
        assert problem in str(error.value)
    with pytest.raises(ModelError, match=r"returned a Opaque in a.1; .*model.output=<key>"):
        output_tensors({"a": [torch.ones(1), Opaque()]})


@pytest.mark.parametrize(("key", "factor"), [("out.logits", 1), ("pair.x", 2), ("pair.y.0", 3), ("pair.1.0", 3)])
def test_a_part_of_the_output_by_its_key(key, factor):
    torch.manual_seed(0)
    network = Net()
    v = torch.randn(2, 1, 16)
    expected = factor * (v @ network.linear.weight.T)
    torch.testing.assert_close(linearise(prepare_model(network, output=key), X).apply(v), expected)


@pytest.mark.parametrize(
    ("key", "known"),
    [("pair.z", "Known: x, y"), ("out.a", "Known: logits, loss"), ("pair.y.3", "Known: 0 to 0"), ("out.logits.a", "a tensor")],
)
def test_an_unknown_key_is_refused(key, known):
    with pytest.raises(ModelError, match=f"model.output={key}") as error:
        prepare_model(Net(), output=key)(X)
    assert known in str(error.value)


def test_preprocessing_is_inside_the_derivative():
    torch.manual_seed(0)
    plain = nn.Conv2d(3, 2, 3)
    x, v = torch.rand(1, 3, 8, 8), torch.randn(1, 1, 192)
    std = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    expected = linearise(prepare_model(plain), x).apply((v.view(1, 1, 3, 8, 8) / std).flatten(2))
    torch.testing.assert_close(linearise(prepare_model(plain, preprocess="imagenet"), x).apply(v), expected)
    assert prepare_model(plain, preprocess="own") is plain
    with pytest.raises(ConfigurationError, match=r"model\.preprocess=imagnet is unknown"):
        prepare_model(plain, preprocess="imagnet")


@pytest.mark.parametrize("prefix", [None, "net."])
def test_weights_of_a_lightning_checkpoint_with_hyperparameters_of_any_kind(checkpoint, prefix):
    path, model = checkpoint
    network = Net()
    load_weights(network, str(path) if prefix is None else {"path": str(path), "prefix": prefix})
    assert torch.equal(network.linear.weight, model.net.linear.weight)
    with pytest.raises(ModelError, match="2 missing"):
        load_weights(network, {"path": str(path), "prefix": "other."})
    with pytest.raises(ModelError, match="is not a file"):
        load_weights(network, {"file": str(path)})


def test_no_code_of_a_file_is_executed_unless_it_is_trusted(tmp_path, caplog):
    class Evil:
        def __init__(self, *call):
            self.call = call

        def __reduce__(self):
            return self.call

    file, target = tmp_path / "evil.pt", tmp_path / "executed"
    torch.save({"state_dict": Net().state_dict(), "x": Evil(exec, (f"open({str(target)!r}, 'w')",))}, file)
    load_weights(Net(), file)
    torch.save({"state_dict": Net().state_dict(), "x": Evil(Path.touch, (target,))}, file)
    with pytest.raises(ModelError, match="is damaged"):  # it calls what a call has returned
        load_weights(Net(), file)
    assert not target.exists()
    torch.save(Net(), tmp_path / "whole.pt")
    with pytest.raises(ModelError, match="trusted:true"):
        load_weights(Net(), tmp_path / "whole.pt")
    load_weights(Net(), {"path": str(tmp_path / "whole.pt"), "trusted": True})
    assert "can run code" in caplog.text


def test_class_methods_and_lightning_modules_are_models(checkpoint, monkeypatch):
    path, model = checkpoint
    monkeypatch.setitem(sys.modules, "mine", sys.modules[__name__])
    settings = {"layer": None, "weights": None}
    loaded = build_network(
        {
            "_target_": "mine.Lit.load_from_checkpoint",
            "checkpoint_path": str(path),
            "weights_only": False,
            "map_location": "cpu",
            **settings,
        }
    )
    assert loaded.name == "Lit" and torch.equal(loaded.layers.models[None](X), model(X))
    built = build_network({"_target_": "mine.Lit", "size": 4, "layer": "net.linear", "weights": str(path), "output": None})
    assert built.layers.models["net.linear"](X).shape == (2, 4)
    with pytest.raises(ConfigurationError, match=r"mine\.Lit\.load_from cannot be imported"):
        build_network({"_target_": "mine.Lit.load_from", **settings})


def test_arguments_of_a_library_network_and_an_honest_message_of_a_wrong_size():
    node = {"_target_": "eigexp.models.torchvision_model", "architecture": "vit_b_16", "weights": "random", "layer": "conv_proj"}
    model = build_network({**node, "arguments": {"image_size": 32}}).layers.models["conv_proj"]
    assert model(torch.rand(1, 3, 32, 32)).shape == (1, 768, 2, 2)
    with pytest.raises(ModelError, match=r"does not accept images of shape \(3, 48, 48\): Wrong image height! Expected 32 but got 48"):
        model(torch.rand(1, 3, 48, 48))
    with pytest.raises(ConfigurationError, match="image_sise"):
        build_network({**node, "arguments": {"image_sise": 32}})


@pytest.mark.slow(1)
def test_transformers():
    """Networks of another library, with random weights: their outputs hold None and several tensors."""
    transformers = pytest.importorskip("transformers")
    tiny = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32, "image_size": 16, "patch_size": 8}
    stages = {"hidden_sizes": [8, 8, 8, 8], "depths": [1, 1, 1, 1], "image_size": 32}
    for name, config, size in (("ViT", tiny, 16), ("CLIPVision", tiny, 16), ("ConvNext", stages, 32)):
        network = getattr(transformers, f"{name}Model")(getattr(transformers, f"{name}Config")(**config))
        images = torch.rand(2, 3, size, size)
        whole = linearise(prepare_model(network), images)
        part = linearise(prepare_model(network, output="last_hidden_state", preprocess="imagenet"), images)
        assert 0 < part.shape.m < whole.shape.m
        v = torch.randn(2, 1, part.shape.n)
        u = torch.randn(2, 1, part.shape.m)
        torch.testing.assert_close((part.apply(v) * u).sum(), (v * part.adjoint(u)).sum(), rtol=1e-3, atol=1e-3)
