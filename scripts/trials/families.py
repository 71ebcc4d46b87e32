"""The families of models: one row each. To add one, write a function of the variant's number and list it in FAMILIES."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import permutations

import torch
from torch import Tensor, nn

from eigexp.images import SkimageImages
from eigexp.models import LinearNonlinear, LuminanceContrastGainControl, LuminanceGainControl, OnOff, prepare_model
from eigexp.models.zoo import efficientnet_lite0, torchvision_model
from eigexp.noise import GaussianNoise
from eigexp.subspace import Mask
from scripts.trials import networks
from scripts.trials.maps import LinearMap, MirrorSum, TurnEquivariant, random_with_spectrum, turned_alike, with_spectrum
from scripts.trials.questions import DAVIDSON, PLANES, RELATIVE, SPARSE, STANDARD, Question
from scripts.trials.subjects import Pair, Subject

PHOTOGRAPHS = ("camera", "coins", "astronaut", "grass", "chelsea", "coffee")
SIDE = 16


@dataclass(frozen=True)
class Family:
    """`make(i)` is the subject of variant i; `questions` are asked of every variant."""

    make: Callable[[int], Subject]
    variants: int = 2
    questions: tuple[Question, ...] = STANDARD


def photograph(variant: int, side: int = SIDE, *, grey: bool = True) -> Tensor:
    """Return a crop or reduction of a photograph, (1, c, side, side)."""
    return SkimageImages(PHOTOGRAPHS[variant % len(PHOTOGRAPHS)], side, grey)[0].pixels[None]


def generator(variant: int) -> torch.Generator:
    return torch.Generator().manual_seed(1000 + variant)


def line(largest: float, smallest: float, count: int = 256) -> Tensor:
    return torch.linspace(largest, smallest, count, dtype=torch.float64)


def logs(largest: float, smallest: float, count: int = 256) -> Tensor:
    """Log-spaced values, largest and smallest as powers of ten."""
    return torch.logspace(largest, smallest, count, dtype=torch.float64)


def spectrum(values: Tensor, variant: int) -> Subject:
    return Subject(with_spectrum(values, generator(variant)), photograph(variant))


def haar(values: Tensor, variant: int, m: int | None = None, shape: tuple[int, int] = (SIDE, SIDE)) -> Subject:
    return Subject(random_with_spectrum(values, m or len(values), generator(variant)), photograph(variant)[..., : shape[0], : shape[1]])


def with_copies(values: Tensor, *, top: int = 1, bottom: int = 1, spread: float = 0.0) -> Tensor:
    """Repeat the values of the ends, each copy smaller by a factor 1 - spread."""
    values = values.clone()
    values[:top] = values[0] * (1 - spread * torch.arange(top))
    values[len(values) - bottom :] = values[-1] * (1 + spread * torch.arange(bottom).flip(0))
    return values


def mirror(variant: int) -> Subject:
    half = random_with_spectrum(line(1.0, 0.01, 128), 128, generator(variant))
    image = photograph(variant)[..., : SIDE // 2]
    return Subject(MirrorSum(half), torch.cat([image, image.flip(-1)], dim=-1))


def gaussian(m: int, n: int, variant: int) -> Subject:
    matrix = torch.randn(m, n, generator=generator(variant), dtype=torch.float64) / m**0.5
    return Subject(LinearMap(matrix), photograph(variant)[..., : n // SIDE, :])


def low_contrast(image: Tensor, contrast: float) -> Tensor:
    return (0.5 + contrast * (image - image.mean())).float()


def network(name: str, variant: int, *, grey: bool = False, contrast: float | None = None, side: int = 12) -> Subject:
    image = photograph(variant, side, grey=grey)
    return Subject(networks.build(name, variant), image if contrast is None else low_contrast(image, contrast))


def front_end(kind: type[nn.Module], variant: int) -> Subject:
    return Subject(kind(), photograph(variant, (16, 18, 20)[variant % 3]))


def lite(block: int, side: int, variant: int) -> Subject:
    return Subject(prepare_model(efficientnet_lite0(), layer=f"_blocks.{block}", weights="imagenet"), crop(variant, side))


def crop(variant: int, side: int) -> Tensor:
    """Return the centre of a colour photograph at its own resolution."""
    pixels = SkimageImages(("astronaut", "coffee", "chelsea")[variant % 3], None, False)[0].pixels
    top, left = ((size - side) // 2 for size in pixels.shape[1:])
    return pixels[None, :, top : top + side, left : left + side].contiguous()


def batch(variant: int) -> Subject:
    return Subject(networks.build("cnn", variant), torch.cat([photograph(i + variant, 10, grey=False) for i in range(3)]))


def masked(variant: int) -> Subject:
    mask = Mask("disk", 0.8) if variant % 2 else Mask("box", 0.6)
    return Subject(networks.build("cnn", variant), photograph(variant, 16, grey=False), mask)


def noisy(variant: int) -> Subject:
    return Subject(networks.build("cnn", variant), photograph(variant, 12, grey=False), noise=GaussianNoise(0.03))


def resnet(variant: int) -> Subject:
    model = prepare_model(torchvision_model("resnet18"), layer="layer1", weights="random")
    return Subject(model, photograph(variant, 16, grey=False))


IMAGES = (*STANDARD, *PLANES)

FRONT_ENDS = (LinearNonlinear, LuminanceGainControl, LuminanceContrastGainControl, OnOff)


def pair_of_front_ends(variant: int) -> Subject:
    (first, second), image = list(permutations(FRONT_ENDS, 2))[variant], photograph(variant)
    return Pair(first(), image, against=second(), floor=10.0 ** -(2 + 2 * (variant % 2)))


def pair_of_maps(values: Tensor, variant: int) -> Subject:
    """Return two maps without common eigenvectors, of which the first has the ratios `values` to the second."""
    n, draw = len(values), generator(variant)
    second = random_with_spectrum(logs(0.0, -3.0, n), n, draw)
    K = second.matrix.double()
    kept, vectors = torch.linalg.eigh(K.T @ K + 0.01 * torch.eye(n, dtype=K.dtype))
    rotated = random_with_spectrum(values, n, draw).matrix.double()
    return Pair(LinearMap(rotated @ vectors @ torch.diag(kept.sqrt()) @ vectors.T), photograph(variant), against=second, floor=0.01)


FAMILIES: dict[str, Family] = {
    "evenly spaced": Family(lambda i: spectrum(line(1.0, 0.01), i), questions=(*STANDARD, *RELATIVE)),
    "largest repeated 2 to 6 times": Family(lambda i: spectrum(with_copies(line(1.0, 0.01), top=2 + i), i), 5),
    "smallest repeated 2 to 6 times": Family(lambda i: spectrum(with_copies(line(1.0, 0.05), bottom=2 + i), i), 5),
    "both ends repeated 2 to 6 times": Family(lambda i: spectrum(with_copies(line(3.0, 0.1), top=2 + i, bottom=6 - i), i), 5),
    "clusters at 1e-5": Family(lambda i: spectrum(with_copies(line(1.0, 0.05), top=3 + i, bottom=4 - i, spread=1e-5), i)),
    "clusters at 1e-9": Family(lambda i: spectrum(with_copies(line(1.0, 0.05), top=3 + i, bottom=4 - i, spread=1e-9), i)),
    "dense smallest": Family(lambda i: haar(logs(0.0, -4.0, 160), i, shape=(10, 16))),
    "dense largest": Family(lambda i: haar(1.01 - logs(-4.0, 0.0, 160), i, shape=(10, 16))),
    "dense both ends": Family(lambda i: spectrum(0.5 + 0.499 * (line(0.0, 3.14159265)).cos(), i)),
    "conditioned to 1e12": Family(lambda i: spectrum(logs(0.0, -12.0), i)),
    "square Gaussian": Family(lambda i: gaussian(192, 192, i)),
    "tall Gaussian": Family(lambda i: gaussian(512, 256, i), questions=(*STANDARD, *RELATIVE)),
    "fewer responses than pixels": Family(lambda i: gaussian(64 + 32 * i, 256, i)),
    "rank 1": Family(lambda i: spectrum(nn.functional.pad(line(2.0, 2.0, 1), (0, 255)), i)),
    "rank 12": Family(lambda i: haar(nn.functional.pad(line(4.0, 0.5, 12), (0, 244)), i, m=40)),
    "two levels": Family(lambda i: spectrum(torch.where(line(0, 255) < 8 + i, 1.0, 0.25).double().flip(0).sort(descending=True).values, i)),
    "mirror": Family(mirror),
    "quarter turn": Family(lambda i: Subject(TurnEquivariant(generator(i)), turned_alike(photograph(i))), questions=IMAGES),
    "filters shared by channels": Family(
        lambda i: Subject(networks.build("shared filters", i), photograph(i, 12).expand(1, 3, 12, 12).clone()), questions=IMAGES
    ),
    "LN": Family(lambda i: front_end(LinearNonlinear, i), 3, IMAGES),
    "LG": Family(lambda i: front_end(LuminanceGainControl, i), 3, IMAGES),
    "LGG": Family(lambda i: front_end(LuminanceContrastGainControl, i), 3, IMAGES),
    "OnOff": Family(lambda i: front_end(OnOff, i), 3, IMAGES),
    "small CNN": Family(lambda i: network("cnn", i), questions=IMAGES),
    "first layer": Family(lambda i: network("first layer", i), questions=(*IMAGES, *SPARSE)),
    "strided CNN": Family(lambda i: network("strided", i, side=16), questions=IMAGES),
    "max-pool": Family(lambda i: network("max-pool", i), questions=IMAGES),
    "LayerNorm": Family(lambda i: network("layer norm", i), questions=IMAGES),
    "InstanceNorm": Family(lambda i: network("instance norm", i), questions=IMAGES),
    "GroupNorm": Family(lambda i: network("group norm", i), questions=IMAGES),
    "BatchNorm": Family(lambda i: network("batch norm", i), questions=IMAGES),
    "attention": Family(lambda i: network("attention", i), questions=IMAGES),
    "LayerNorm, contrast 1e-3": Family(lambda i: network("layer norm first", i, contrast=1e-3), questions=IMAGES),
    "InstanceNorm and max-pool, contrast 1e-2": Family(lambda i: network("instance norm and pool", i, contrast=1e-2), questions=IMAGES),
    "EfficientNet-Lite0 block 0": Family(lambda i: lite(0, 16, i), 2, IMAGES),
    "EfficientNet-Lite0 block 1": Family(lambda i: lite(1, 16, i), 2, IMAGES),
    "EfficientNet-Lite0 block 3": Family(lambda i: lite(3, 24, i), 1, IMAGES),
    "ResNet18 layer 1, random": Family(resnet, 1, IMAGES),
    "pairs of front ends": Family(pair_of_front_ends, 12, DAVIDSON),
    "pairs, evenly spaced ratios": Family(lambda i: pair_of_maps(line(1.0, 0.01), i), 3, DAVIDSON),
    "pairs, largest repeated": Family(lambda i: pair_of_maps(with_copies(line(1.0, 0.01), top=2 + i), i), 3, DAVIDSON),
    "pairs, smallest repeated": Family(lambda i: pair_of_maps(with_copies(line(1.0, 0.05), bottom=2 + i), i), 3, DAVIDSON),
    "pairs, dense smallest": Family(lambda i: pair_of_maps(logs(0.0, -4.0), i), 2, DAVIDSON),
    "pairs, rank 12": Family(lambda i: pair_of_maps(nn.functional.pad(line(4.0, 0.5, 12), (0, 244)), i), 2, DAVIDSON),
    "batches of three": Family(batch),
    "masks": Family(masked),
    "Gaussian noise": Family(noisy),
}
