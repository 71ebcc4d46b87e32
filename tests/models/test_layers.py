"""Several layers of one network."""

import pytest
import torch

from eigexp.errors import ModelError
from eigexp.models import Features, prepare_model, weights_digest
from eigexp.models.layers import NetworkLayers, read_layers, write_layer
from tests.models.small_network import SmallNetwork

LAYERS = ("stem", ("stem", "middle.0"), "middle", "head")


@pytest.mark.parametrize(
    "value, layers",
    [
        (None, (None,)),
        ("layer2", ("layer2",)),
        (4, ("4",)),
        (["a"], ("a",)),
        (["a", "b"], ("a", "b")),
        (["b", "a", "b"], ("b", "a")),
        ([["a", "b"]], (("a", "b"),)),
        ([["a"]], ("a",)),
        (["a", ["b", 3]], ("a", ("b", "3"))),
    ],
)
def test_what_model_layer_asks_for(value, layers):
    assert read_layers(value) == layers
    assert [read_layers(write_layer(layer)) for layer in layers] == [(layer,) for layer in layers]


@pytest.mark.parametrize("value", [[], [[]], [None, "a"], 1.5, [["a", ["b"]]], True])
def test_what_it_cannot_be(value):
    with pytest.raises(ModelError, match=r"model\.layer="):
        read_layers(value)


@pytest.mark.parametrize("branch", [False, True], ids=["traced", "hooked"])
def test_each_alone_is_what_prepare_model_gives(branch):
    network = NetworkLayers(SmallNetwork(branch), LAYERS)
    x = torch.rand(2, 1, 8, 8)
    for layer in LAYERS:
        alone = prepare_model(SmallNetwork(branch), layer=list(layer) if isinstance(layer, tuple) else layer)
        assert weights_digest(network.models[layer]) == weights_digest(alone)
        found, expected = network.models[layer](x), alone(x)
        pairs = zip(found.values(), expected.values(), strict=True) if isinstance(layer, tuple) else [(found, expected)]
        assert all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("branch", [False, True], ids=["traced", "hooked"])
def test_the_trunk_gives_all_of_them_from_one_pass(branch):
    network = SmallNetwork(branch)
    layers = NetworkLayers(network, LAYERS)
    passes = []
    network.stem.register_forward_hook(lambda *_: passes.append(1))
    x = torch.rand(2, 1, 8, 8)
    outputs = layers.trunk()(x)
    assert len(passes) == 1 and [len(group) for group in outputs] == [1, 2, 1, 1]
    for (first, *_), name in zip(outputs, ("stem", "stem", "middle", "head"), strict=True):
        assert torch.equal(first, Features(network, name)(x))


def test_weights_are_loaded_once_and_shared(tmp_path):
    torch.save(SmallNetwork(seed=1).state_dict(), tmp_path / "w.pth")
    layers = NetworkLayers(SmallNetwork(), ("stem", "head"), str(tmp_path / "w.pth"))
    stems = {id(parameter) for model in layers.models.values() for name, parameter in model.named_parameters() if "stem.weight" in name}
    assert len(stems) == 1
    assert torch.equal(next(layers.models["stem"].parameters()), SmallNetwork(seed=1).stem.weight)
    assert not any(parameter.requires_grad for model in layers.models.values() for parameter in model.parameters())


def test_an_unknown_layer_is_told():
    with pytest.raises(ModelError, match=r"model\.layer=midle"):
        NetworkLayers(SmallNetwork(), ("stem", "midle"))
