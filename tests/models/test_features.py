import copy
import pickle

import pytest
import torch
from torch import nn
from torch.autograd import forward_ad
from torch.nn import functional as F

from eigexp.errors import ModelError
from eigexp.models.features import Features, layer_shapes


class Block(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        y = self.conv(x)
        y += x
        return self.relu(y)


class Net(nn.Module):
    """Two blocks, an in-place activation each, tied weights, dropout, and a module that returns what it did not compute last."""

    def __init__(self, branch=False):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3)
        self.block1, self.block2 = Block(4), Block(4)
        self.block2.conv.weight = self.block1.conv.weight
        self.drop = nn.Dropout(0.5, inplace=True)
        self.two = Two()
        self.head = nn.Linear(4, 2)
        self.unused = nn.Linear(4, 2)
        self.branch = branch

    def forward(self, x):
        if self.branch and x.mean() > 100:
            return x
        x = self.drop(self.block2(self.block1(self.stem(x))))
        a, _ = self.two(x)
        return self.head(F.relu(a, inplace=True).mean((2, 3)))


class Two(nn.Module):
    def forward(self, x):
        first = x * 2
        second = first + 1
        return first, second


@pytest.fixture(params=[False, True], ids=["traced", "hooked"])
def net(request):
    torch.manual_seed(0)
    return Net(branch=request.param).eval()


@pytest.fixture
def x():
    return torch.rand(2, 3, 9, 9, generator=torch.Generator().manual_seed(0))


def prefix(net, x, blocks):
    y = net.stem(x)
    for block in (net.block1, net.block2)[:blocks]:
        y = F.relu(block.conv(y) + y)
    return y


@pytest.mark.parametrize(("layer", "blocks"), [("stem", 0), ("block1", 1), ("block2", 2)])
def test_a_layer_is_the_prefix_of_the_network(net, x, layer, blocks):
    expected = prefix(net, x, blocks)
    features = Features(net, layer)
    assert features.traced is not net.branch
    assert torch.equal(features(x), expected)


def test_several_layers_are_not_overwritten_by_what_follows(net, x):
    expected = {"stem": prefix(net, x, 0), "block1": prefix(net, x, 1), "block1.conv": net.block1.conv(net.stem(x))}
    outputs = Features(net, list(expected))(x)
    assert list(outputs) == list(expected)
    assert all(torch.equal(outputs[name], value) for name, value in expected.items())


def test_a_module_means_what_it_returns(net, x):
    first, second = Features(net, "two")(x)
    assert torch.equal(second, first + 1) and torch.equal(first, 2 * prefix(net, x, 2))


def test_nothing_after_the_layer_runs(net, x):
    features = Features(net, "block1")
    net.block2.forward = None  # calling it would fail
    features(x)


def test_an_operation_that_is_not_a_module_can_be_requested(x):
    net = Net().eval()
    assert torch.equal(Features(net, "mean")(x), (2 * prefix(net, x, 2)).relu().mean((2, 3)))


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:FutureWarning")  # torch itself, on its first dual level
def test_gradients_twice_through_in_place_activations(net):
    features = Features(net, ["block1.conv", "block2"])
    x = torch.rand(1, 3, 6, 6, requires_grad=True)
    y = torch.cat([value.flatten() for value in features(x).values()])
    u = torch.zeros_like(y, requires_grad=True)
    (back,) = torch.autograd.grad(y, x, u, create_graph=True)
    v = torch.randn_like(x)
    (forward,) = torch.autograd.grad(back, u, v)
    with forward_ad.dual_level():
        outputs = features(forward_ad.make_dual(x.detach(), v))
        pushed = torch.cat([forward_ad.unpack_dual(value).tangent.flatten() for value in outputs.values()])
    assert torch.allclose(forward, pushed, atol=1e-5)


def test_it_copies_and_pickles(net, x):
    features = Features(net, "block2")
    expected = features(x)
    for other in (copy.deepcopy(features), pickle.loads(pickle.dumps(features))):
        assert torch.equal(other(x), expected)


def test_the_error_for_an_unknown_layer_names_the_nearest(net):
    with pytest.raises(ModelError, match=r"model\.layer=block3 is not a layer of Net\. Did you mean .*block"):
        Features(net, "block3")


def test_an_empty_list_of_layers_is_refused(net):
    with pytest.raises(ModelError, match="names no layer"):
        Features(net, [])


def test_a_layer_that_does_not_run_is_refused(x):
    with pytest.raises(ModelError, match=r"unused is not used in the forward pass"):
        Features(Net(branch=True), "unused")(x)
    with pytest.raises(ModelError, match=r"model\.layer=unused"):
        Features(Net(), "unused")


def test_shapes_are_listed_in_order(net):
    shapes = layer_shapes(net, (3, 9, 9))
    assert shapes["stem"] == (4, 7, 7) and shapes["head"] == (2,)
    order = [name for name in shapes if name in ("stem", "block1", "block2", "head")]
    assert order == ["stem", "block1", "block2", "head"]


def test_every_listed_layer_of_resnet18_can_be_taken():
    models = pytest.importorskip("torchvision.models")
    network = models.resnet18(weights=None).eval()
    shapes = layer_shapes(network, (3, 32, 32))
    outputs = Features(network, list(shapes))(torch.rand(1, 3, 32, 32))
    assert {name: tuple(value.shape[1:]) for name, value in outputs.items()} == shapes
    assert shapes["layer2"] == (128, 4, 4) and "layer1.0.add" in shapes


def test_layer2_of_resnet18_equals_a_hand_made_prefix():
    models = pytest.importorskip("torchvision.models")
    network = models.resnet18(weights=None).eval()
    x = torch.rand(1, 3, 64, 64)
    by_hand = nn.Sequential(network.conv1, network.bn1, network.relu, network.maxpool, network.layer1, network.layer2)
    assert torch.equal(Features(network, "layer2")(x), by_hand(x))
