"""Small networks with what real ones bring, each a trap for one way to linearise or another. All take images (b, 3, 9, 11) in float64."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class BatchNormalised(nn.Module):
    """Convolution, batch normalisation with statistics of its own, and an activation, as they come in blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.block = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.SiLU(), nn.BatchNorm2d(4))
        for module in self.block:
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean = torch.randn(4)
                module.running_var = torch.rand(4) + 0.5
                nn.init.normal_(module.weight, 1, 0.3)

    def forward(self, x: Tensor) -> Tensor:
        return self.block(x)


class InPlace(nn.Module):
    """In-place activations and sums; the last one overwrites what was summed before."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.first(x))
        z = self.second(y)
        z += y
        z *= 0.5
        return F.elu_(z)


class Dropped(nn.Module):
    """Dropout, which is nothing in evaluation mode."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Dropout2d(0.5), nn.GELU(), nn.Dropout(0.5, inplace=True), nn.Conv2d(4, 2, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class Tied(nn.Module):
    """One convolution used three times, once transposed."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.tanh(self.convolution(torch.tanh(self.convolution(x))))
        return F.conv_transpose2d(y, self.convolution.weight, padding=1)


class Strided(nn.Module):
    """Strides that the sides (9, 11) are no multiple of, max pooling that leaves a rest, and padding on one side only."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 3, stride=2), nn.Conv2d(8, 16, 3, stride=2, padding=1, groups=8)
        self.pool = nn.MaxPool2d(3, stride=2, ceil_mode=True)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu6(self.first(F.pad(x, (0, 1, 0, 1))) * 4)
        return self.second(F.pad(self.pool(y), (2, 2, 1, 1)))


class Counting(nn.Module):
    """Buffers that a forward pass changes: a count of calls, and a running mean, which the response does not read."""

    calls: Tensor
    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 4, 3)
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))
        self.register_buffer("mean", torch.zeros(4))

    def forward(self, x: Tensor) -> Tensor:
        y = self.convolution(x)
        self.calls += 1
        with torch.no_grad():
            self.mean.mul_(0.9).add_(0.1 * y.detach().mean(dim=(0, 2, 3)))
        return y.square()


class WritesData(nn.Module):
    """Sets a parameter's `.data` in the forward pass, as filters do that normalise themselves."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.rand(4, 3, 3, 3))

    def forward(self, x: Tensor) -> Tensor:
        self.weight.data = self.weight / self.weight.sum(dim=(1, 2, 3), keepdim=True)
        return F.conv2d(x, self.weight).exp()


class Assigns(nn.Module):
    """Writes parts of its response one after the other."""

    def forward(self, x: Tensor) -> Tensor:
        y = x.new_zeros(len(x), 4, *x.shape[2:])
        y[:, :3] = x.sin()
        y[:, 3] = x.prod(dim=1)
        y[:, 0] += x[:, 1] ** 2
        return y


class Attends(nn.Module):
    """Layer normalisation and attention over pixels, by the library's function and by its module."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 8, 3, stride=3)
        self.block = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, activation="gelu")
        self.norm = nn.LayerNorm(8)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.patches(x).flatten(2).mT
        heads = self.norm(tokens).unflatten(2, (2, 4)).transpose(1, 2)
        return self.block(tokens + F.scaled_dot_product_attention(heads, heads, heads).transpose(1, 2).flatten(2))


class ChannelsLast(nn.Module):
    """Permutes its channels to the end and back, so that memory is laid out now one way and now another."""

    def __init__(self) -> None:
        super().__init__()
        self.depthwise, self.norm, self.expand = nn.Conv2d(3, 3, 5, padding=2, groups=3), nn.LayerNorm(3), nn.Linear(3, 6)

    def forward(self, x: Tensor) -> Tensor:
        y = self.expand(self.norm(self.depthwise(x).permute(0, 2, 3, 1)))
        return F.hardswish(y.permute(0, 3, 1, 2)).flatten(1)


class Decides(nn.Module):
    """Looks at the values of its image."""

    def forward(self, x: Tensor) -> Tensor:
        return x.cos() if float(x.detach().mean()) > 0.25 else x.sin()


class Gated(nn.Module):
    """Squeeze and excitation: channels scaled by what the whole image says; hardsigmoid has no second derivative in torch."""

    smooth = True

    def __init__(self, gate: Callable[[Tensor], Tensor] = torch.sigmoid) -> None:
        super().__init__()
        self.gate = gate
        self.first, self.squeeze = nn.Conv2d(3, 4, 3), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x)
        return y * self.gate(self.squeeze(y.mean(dim=(2, 3))))[..., None, None]


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "batch norm": BatchNormalised,
    "in place": InPlace,
    "dropout": Dropped,
    "tied weights": Tied,
    "strides": Strided,
    "buffers": Counting,
    "data": WritesData,
    "assignment": Assigns,
    "attention": Attends,
    "channels last": ChannelsLast,
    "decision": Decides,
    "gate": Gated,
}


def network(name: str) -> nn.Module:
    """A network of NETWORKS with seeded weights, in evaluation mode and float64."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return NETWORKS[name]().double().eval().requires_grad_(False)
