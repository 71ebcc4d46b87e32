"""Each metric against its definition, by somebody else's code, between an image and a close neighbour of it."""

import pytest
import torch
from torch import Tensor, nn

from eigexp.errors import ConfigurationError, ModelError
from eigexp.models import Features, NormalizedLaplacianPyramid, PerceptualFeatures, StructuralSimilarity, prepare_model, weights_digest
from eigexp.models.metrics import perceptual_features
from eigexp.models.network import ImageNetwork
from eigexp.models.structural_similarity import MS_SSIM_POWERS
from eigexp.operators import linearise

ALEXNET = ["features.1", "features.4", "features.7", "features.9", "features.11"]


def image(channels: int, h: int, w: int) -> Tensor:
    return 0.2 + 0.6 * torch.rand(1, channels, h, w, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def distortion(x: Tensor) -> Tensor:
    v = torch.randn(x.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return v / v.norm()


def quadratic_form(model: nn.Module, x: Tensor) -> float:
    """v^T F v at the image."""
    A = linearise(model, x)
    assert A.method == "program"
    return float(A.apply(distortion(x).reshape(1, 1, -1)).square().sum())


@pytest.mark.filterwarnings("ignore:SSIM uses 11x11:UserWarning")
@pytest.mark.parametrize("size", [(40, 37), (9, 30)])
def test_ssim_falls_by_the_fisher_information_of_its_responses(size):
    metric = pytest.importorskip("plenoptic").metric
    x, step = image(1, *size), 1e-4
    loss = 1 - float(metric.ssim(x, x + step * distortion(x)))
    assert quadratic_form(StructuralSimilarity(), x) == pytest.approx(loss / step**2, rel=1e-5)


def test_so_does_ms_ssim():
    metric = pytest.importorskip("plenoptic").metric
    x, step, powers = image(1, 49, 63), 1e-4, [0.2, 0.5, 0.3]
    loss = 1 - float(metric.ms_ssim(x, x + step * distortion(x), torch.tensor(powers, dtype=torch.float64)))
    assert quadratic_form(StructuralSimilarity(powers), x) == pytest.approx(loss / step**2, rel=1e-4)
    assert sum(MS_SSIM_POWERS) == pytest.approx(1, abs=1e-3)


def test_ssim_of_colours_is_the_mean_over_channels():
    x = image(3, 20, 21)
    mean = sum(quadratic_form_of_channel(x, c) for c in range(3)) / 3
    assert quadratic_form(StructuralSimilarity(), x) == pytest.approx(mean, rel=1e-9)


def quadratic_form_of_channel(x: Tensor, c: int) -> float:
    A = linearise(StructuralSimilarity(), x[:, c : c + 1])
    return float(A.apply(distortion(x)[:, c].reshape(1, 1, -1)).square().sum())


@pytest.mark.parametrize("powers", [[], [0.5, -0.5], [float("nan")]])
def test_invalid_powers_are_refused(powers):
    with pytest.raises(ConfigurationError, match="must be positive numbers, one per scale"):
        StructuralSimilarity(powers)


def test_an_image_too_small_for_its_scales():
    with pytest.raises(ModelError, match=r"SSIM at 5 scales takes images .* sides of 16 pixels or more, but got \(1, 1, 15, 40\)"):
        StructuralSimilarity(MS_SSIM_POWERS)(image(1, 15, 40))


def test_nlpd_sums_the_mean_squared_differences_of_its_bands():
    metric = pytest.importorskip("plenoptic").metric
    x, step = image(1, 70, 66), 1e-3
    # With epsilon = 1 the roots are linear in small means: six bands, averaged, and the root's slope of 1/2.
    distance = float(metric.nlpd(x, x + step * distortion(x), epsilon=1.0))
    assert quadratic_form(NormalizedLaplacianPyramid(), x) == pytest.approx(12 * (distance - 1) / step**2, rel=1e-4)


@pytest.mark.filterwarnings("ignore:(The parameter 'pretrained'|Arguments other than a weight enum):UserWarning")
@pytest.mark.parametrize("linear", ["ones", "lpips"])
def test_lpips_is_the_squared_distance_between_its_responses(linear):
    lpips = pytest.importorskip("lpips")
    model = prepare_model(perceptual_features(ALEXNET, "alexnet", linear, weights="random")).double()
    metric = lpips.LPIPS(net="alex", lpips=linear == "lpips", pnet_rand=True, verbose=False).double().requires_grad_(False)
    for theirs, ours in zip(metric.net.parameters(), model.features.parameters(), strict=True):
        theirs.copy_(ours)
    x = image(3, 64, 64)
    y = x + 0.1 * distortion(x)
    distance = sum(float((a - b).square().sum()) for a, b in zip(model(x), model(y), strict=True))
    assert distance == pytest.approx(float(metric(x, y, normalize=True)), rel=1e-5)
    nearby = float(metric(x, x + 1e-6 * distortion(x), normalize=True))
    assert quadratic_form(model, x) == pytest.approx(nearby / 1e-12, rel=1e-4)


def small(seed: int = 0) -> ImageNetwork:
    def build(seed: int = seed) -> nn.Module:
        torch.manual_seed(seed)
        return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 6, 3), nn.Flatten())

    return ImageNetwork(build(), [0.5] * 3, [0.5] * 3, architecture="small", pretrained=lambda: build(7))


def test_weights_are_chosen_when_it_is_prepared():
    model = PerceptualFeatures(small(1), ["1", "2"])
    with pytest.raises(ModelError, match=r"model\.weights=null: small needs weights"):
        prepare_model(model)
    before = weights_digest(model)
    prepared = prepare_model(model, weights="default")
    assert weights_digest(prepared) != before
    assert weights_digest(prepared) == weights_digest(prepare_model(PerceptualFeatures(small(7), ["1", "2"]), weights="random"))
    assert not any(p.requires_grad for p in prepared.parameters())


def test_where_no_channel_answers_the_derivative_is_zero_and_not_nan():
    network = small()
    for module in network.network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.constant_(module.bias, -100.0)
    model = PerceptualFeatures(network, ["1"]).double()
    x = image(3, 8, 8).requires_grad_()
    (gradient,) = torch.autograd.grad(model(x)[0].sum(), x)
    assert torch.equal(gradient, torch.zeros_like(gradient))


def test_layers_and_weights_that_do_not_fit():
    with pytest.raises(ModelError, match=r"model\.layers=3 returns \(1, 96\), not \(b, channels, h, w\)"):
        PerceptualFeatures(small(), ["3"])(torch.rand(1, 3, 8, 8))
    with pytest.raises(ModelError, match=r"model\.layer=9 is not a layer"):
        PerceptualFeatures(small(), ["9"])
    with pytest.raises(ModelError, match=r"weights of 1 layers, but model\.layers names 2"):
        PerceptualFeatures(small(), ["1", "2"], [torch.ones(4)])
    with pytest.raises(ModelError, match="has 4 channels, but 5 weights"):
        PerceptualFeatures(small(), ["1"], [torch.ones(5)])(torch.rand(1, 3, 8, 8))
    with pytest.raises(ModelError, match=r"has no weights for resnet18, only for vgg16, alexnet, squeezenet1_1\. Set model\.linear=ones"):
        perceptual_features(["layer1"], "resnet18", weights="random")


def test_it_is_a_model_like_any_other_to_the_layers_of_a_network():
    assert isinstance(PerceptualFeatures(small(), ["1"]).features, Features)
