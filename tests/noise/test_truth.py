"""F of every noise against the scores of torch.distributions: dense, float64."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from eigexp.models import OnOff, prepare_model
from eigexp.noise import (
    CategoricalNoise,
    EarlyLateNoise,
    GaussianNoise,
    LowRankNoise,
    NegativeBinomialNoise,
    PoissonNoise,
    PowerLawNoise,
    SharedGainNoise,
    VarianceNoise,
)
from eigexp.operators import dense_matrix, linearise
from tests.noise import truth

M = 7
ALLOWED = {torch.float64: 1e-12, torch.float32: 1e-6}  # of the largest entry of F


class SmallMap(nn.Module):
    """A map from 3 x 4 pixels to M positive responses."""

    def __init__(self):
        super().__init__()
        self.weights = nn.Parameter(torch.randn(M, 12, generator=torch.Generator().manual_seed(0)), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.softplus(x.flatten(1) @ self.weights.T) + 0.05


class Quadratic(VarianceNoise):
    """Variance 0.2 + 3 r^2."""

    name = "quadratic"

    def variance_of(self, response: Tensor) -> Tensor:
        return 0.2 + 3 * response.square()


@pytest.fixture(scope="module")
def low_rank(tmp_path_factory):
    """A file of a covariance, with its arrays."""
    generator = torch.Generator().manual_seed(3)
    diagonal, factors = torch.rand(M, generator=generator, dtype=torch.float64) + 0.1, torch.randn(M, 2, generator=generator).double()
    path = tmp_path_factory.mktemp("noise") / "covariance.npz"
    np.savez(path, diagonal=diagonal.numpy(), factors=factors.numpy())
    return LowRankNoise(str(path)), truth.correlated(diagonal, factors)


CASES = {
    "gaussian": (GaussianNoise([0.5, 1, 2, 3, 4, 5, 6]), lambda r: torch.diag(1 / torch.tensor([0.5, 1, 2, 3, 4, 5, 6]).double())),
    "poisson": (PoissonNoise(), lambda r: truth.from_counts(truth.poisson, r, 80)),
    "poisson by divergence": (PoissonNoise(offset=0.3), lambda r: truth.from_divergence(truth.poisson, r + 0.3)),
    "negative binomial": (NegativeBinomialNoise(dispersion=0.4), lambda r: truth.from_counts(truth.negative_binomial(0.4), r, 400)),
    "power law": (PowerLawNoise(0.3, 1.4), lambda r: truth.from_quadrature(lambda r: 0.3 * r**1.4, r)),
    "power law, mean": (PowerLawNoise(0.3, 1.4, covariance_term=False), lambda r: torch.diag(1 / (0.3 * r**1.4))),
    "variance": (Quadratic(), lambda r: truth.from_quadrature(lambda r: 0.2 + 3 * r**2, r)),
    "shared gain": (SharedGainNoise(0.25), lambda r: truth.from_divergence(truth.shared_gain(0.25), r)),
    "categorical": (CategoricalNoise(), lambda r: truth.from_divergence(truth.categorical, r)),
    "low rank": None,
}


def image(*shape: int) -> Tensor:
    return torch.rand(1, *shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def difference(model: nn.Module, x: Tensor, noise, expected: Tensor, dtype: torch.dtype) -> float:
    """The largest error of F, relative to its largest entry."""
    A = dense_matrix(linearise(model.to(dtype), x.to(dtype), noise=noise, method="program"))[0].double()
    return float((A.T @ A - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize("dtype", ALLOWED, ids=str)
@pytest.mark.parametrize("case", CASES)
def test_the_fisher_information_is_that_of_the_scores(case, dtype, low_rank):
    noise, information = CASES[case] or (low_rank[0], lambda r: truth.from_divergence(low_rank[1], r))
    model, x = SmallMap().double(), image(1, 3, 4)
    J = torch.autograd.functional.jacobian(model, x).view(M, 12)
    assert difference(model, x, noise, J.T @ information(model(x)[0]) @ J, dtype) <= ALLOWED[dtype]


@pytest.mark.slow(4)
@pytest.mark.parametrize("dtype", ALLOWED, ids=str)
def test_a_front_end_of_16_pixels(dtype):
    model, x = prepare_model(OnOff()).double(), image(1, 16, 16)
    r = model(x).flatten()
    J = torch.autograd.functional.jacobian(lambda x: model(x).flatten(), x).view(len(r), 256)
    expected = {
        PoissonNoise(): J.T @ torch.diag(1 / r) @ J,
        NegativeBinomialNoise(dispersion=0.5): J.T @ torch.diag(1 / (r + 0.5 * r**2)) @ J,
        PowerLawNoise(2.0, 1.5): J.T @ truth.from_quadrature(lambda r: 2 * r**1.5, r) @ J,
        SharedGainNoise(0.1): truth.shared_gain_in_pixels(J, r, 0.1),
        CategoricalNoise(): J.T @ (torch.diag(r.softmax(0)) - torch.outer(r.softmax(0), r.softmax(0))) @ J,
    }
    for noise, F in expected.items():
        assert difference(model, x, noise, F, dtype) <= ALLOWED[dtype], noise


@pytest.mark.parametrize("method", ["double_backward", "forward", "dense", "auto"])
def test_every_method_of_linearising_gives_the_same(method):
    model, x = SmallMap().double(), image(1, 3, 4)
    reference = dense_matrix(linearise(model, x, noise=SharedGainNoise(), method="program"))
    A = linearise(model, x, noise=SharedGainNoise(), method=method)
    assert A.shape.m == 2 * M and A.num_responses == M
    torch.testing.assert_close(dense_matrix(A), reference, rtol=1e-12, atol=1e-14)


def test_whitening_is_the_derivative_of_the_map():
    r, u = torch.rand(2, M, dtype=torch.float64) + 0.1, torch.randn(2, 3, M, dtype=torch.float64)
    expected = torch.diag_embed((1 / (r + 0.5 * r.square())).sqrt()) @ u.mT
    torch.testing.assert_close(NegativeBinomialNoise(dispersion=0.5).whiten(u, r), expected.mT)


def test_a_categorical_noise_is_the_gauss_newton_matrix_of_the_cross_entropy():
    linops = pytest.importorskip("curvlinops")
    model, x = SmallMap().double(), image(1, 3, 4)

    class OfImage(nn.Module):
        def __init__(self):
            super().__init__()
            self.image = nn.Parameter(x.clone())

        def forward(self, _: Tensor) -> Tensor:
            return model(self.image)

    given = OfImage()
    ggn = linops.GGNLinearOperator(
        given, nn.CrossEntropyLoss(), [given.image], [(torch.zeros(1, 1).double(), torch.tensor([2]))], check_deterministic=False
    )
    expected = (ggn @ torch.eye(12, dtype=torch.float64)).detach()
    assert difference(model, x, CategoricalNoise(), expected, torch.float64) <= 1e-12


def test_noise_before_and_after_the_model():
    J = torch.randn(5, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    noise = EarlyLateNoise(0.3, 2.0)
    dense = J.T @ torch.linalg.inv(0.09 * J @ J.T + 4 * torch.eye(5)) @ J
    mapped = noise.map_eigenvalues(torch.linalg.eigvalsh(J.T @ J))
    torch.testing.assert_close(mapped, torch.linalg.eigvalsh(dense), rtol=1e-12, atol=0)
