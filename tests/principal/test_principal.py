"""Principal distortions against brute force in the plane, and against the closed form of two models."""

import itertools
import math

import numpy as np
import pytest
import scipy.linalg
import torch

from eigexp.errors import ConfigurationError, OperatorError
from eigexp.models import LinearNonlinear, LuminanceGainControl, OnOff, prepare_model
from eigexp.operators import DenseOperator, dense_matrix, linearise
from eigexp.principal import ModelsOperator, Principal, principal_distortions
from eigexp.principal.objective import deviations, disagreement, group_ratios, log_sensitivities, value_and_gradient
from eigexp.principal.search import search as search_models
from tests.noise.test_runs import certified, image
from tests.solvers.spectra import copied, differences, through_disk


def metrics(models, n, seed):
    generator = torch.Generator().manual_seed(seed)
    A = torch.randn(models, n, n, generator=generator, dtype=torch.float64)
    return A @ A.mT + 0.05 * torch.eye(n)


def search(F, **settings):
    return search_models(ModelsOperator(F), **settings)


def brute_force(F, steps=720):
    """The largest value over all pairs of directions in the plane, on a grid."""
    angle = torch.arange(steps, dtype=torch.float64) * math.pi / steps
    logs = torch.einsum("ki,nij,kj->nk", w := torch.stack([angle.cos(), angle.sin()], 1), F, w).log()
    ratios = logs[:, :, None] - logs[:, None, :]
    return float(ratios.var(0, correction=0).max())


@pytest.mark.slow(8)
def test_in_the_plane_it_is_the_best_of_all():
    for seed in range(100):
        F = metrics(2 + seed % 4, 2, seed)
        found = search(F, restarts=3)
        assert found.value >= 0.999 * brute_force(F), seed
        assert found.bound >= found.value * (1 - 1e-12), seed


def test_the_published_clamp_excludes_no_direction():
    """Every direction is that of a unit vector clamped to the box: scaled until it touches a bound, and that pixel moved out to norm 1."""
    generator = torch.Generator().manual_seed(0)
    for share in (0.001, 0.1):
        x, z = torch.rand(2, 50, generator=generator, dtype=torch.float64) * torch.tensor([[0.98], [2.0]]) + torch.tensor([[0.01], [-1.0]])
        low, high = -share * x, share * (1 - x)
        room = torch.where(z > 0, high, low) / z
        touching = int(room.argmin())
        d = z * room[touching]
        p = d.clone()
        p[touching] = z[touching].sign() * (1 - d.square().sum() + d[touching] ** 2).sqrt()
        assert float(p.norm()) == pytest.approx(1) and bool((d >= low - 1e-15).all()) and bool((d <= high + 1e-15).all())
        torch.testing.assert_close(p.clamp(low, high), d)


def test_two_models_have_a_closed_form():
    F = metrics(2, 12, 0)
    found = search(F)
    ratios = torch.linalg.eigvals(torch.linalg.solve(F[1], F[0])).real
    closed = math.log(float(ratios.max() / ratios.min())) ** 2 / 4
    assert found.value == pytest.approx(closed, rel=1e-9) and found.bound == pytest.approx(closed, rel=1e-9)
    assert found.share == pytest.approx(1, rel=1e-9)


@pytest.mark.parametrize("count", [2, 3, 5])
def test_the_answer_is_a_local_maximum_below_its_bound(count):
    F = metrics(count, 10, count)
    found = search(F)
    assert found.gradient < 1e-4 and found.curvature < 1e-5
    assert found.value == pytest.approx(float(disagreement(F, found.distortions)), rel=1e-9)
    assert 0 < found.share <= 1 + 1e-9
    assert found.restarts[0] == pytest.approx(found.value, rel=1e-12) and len(found.restarts) == math.comb(count, 2) + 4
    ratio = found.log_sensitivities[:, 0] - found.log_sensitivities[:, 1]
    assert float(ratio.var(correction=0)) == pytest.approx(found.value, rel=1e-9)


def test_the_gradient_is_that_of_the_value():
    F, uv = metrics(4, 6, 1), torch.randn(2, 6, dtype=torch.float64).requires_grad_()
    value = disagreement(F, uv)
    (expected,) = torch.autograd.grad(value, uv)
    found, gradient = value_and_gradient(uv.detach() @ F, uv.detach())
    assert found == pytest.approx(value.item())
    torch.testing.assert_close(gradient, expected)


def test_the_root_of_the_variance_is_half_the_logarithm_of_both_ratios():
    F, uv = metrics(4, 6, 1), torch.randn(2, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    rho = group_ratios(log_sensitivities(F, uv))
    assert float((rho[0] / rho[1]).log() / 2) ** 2 == pytest.approx(float(disagreement(F, uv)))
    two = group_ratios(log_sensitivities(F[:2], uv))
    quadratic = [[float(w @ f @ w) for w in uv] for f in F[:2]]
    expected = [quadratic[0][i] / quadratic[1][i] for i in (0, 1)]
    swapped = float(deviations(log_sensitivities(F[:2], uv))[0]) < 0
    np.testing.assert_allclose(two.numpy(), [1 / e for e in expected] if swapped else expected)


def test_a_state_steps_and_resumes_bit_for_bit():
    A, solver = ModelsOperator(metrics(3, 8, 0)), Principal(restarts=1)
    state = solver.init(A, 3)
    while not solver.done(state):
        before = copied(state.to_dict())
        following = solver.step(A, state)
        assert differences(state.to_dict(), before) == []
        assert differences(solver.step(A, through_disk(solver, state)).to_dict(), following.to_dict()) == []
        state = following
    assert state.images[0].status == "converged" and len(state.images[0].reached) == 4


def test_a_certificate_of_two_models_is_that_of_the_pair():
    F = metrics(2, 9, 0)
    truth = scipy.linalg.eigh(F[0].numpy(), F[1].numpy(), eigvals_only=True)
    pairs = certified(ModelsOperator(F), Principal(restarts=0))
    np.testing.assert_allclose(pairs.eigenvalues.numpy(), truth[[-1, 0]], rtol=1e-9)
    assert pairs.verified and pairs.evidence == {"top": "proven", "bottom": "proven"} and pairs.status == "converged"
    short = certified(ModelsOperator(metrics(3, 9, 0)), Principal(max_steps=5))
    assert short.status == "budget" and not short.verified and short.intervals[0, 1] > short.eigenvalues[0]


def test_the_variance_is_that_of_pairs():
    F, uv = metrics(4, 6, 1), torch.randn(2, 6, dtype=torch.float64)
    difference = log_sensitivities(F, uv)
    ratio = difference[:, 0] - difference[:, 1]
    pairs = sum(float((ratio[a] - ratio[b]).square()) for a, b in itertools.combinations(range(4), 2))
    assert float(disagreement(F, uv)) == pytest.approx(pairs / 16)


@pytest.mark.slow(2)
def test_front_ends():
    models = [prepare_model(model()) for model in (LinearNonlinear, LuminanceGainControl, OnOff)]
    found = principal_distortions(models, image(16), 1e-2, restarts=1)
    assert found.distortions.shape == (2, 1, 16, 16) and found.products == 3 * 256
    F = [dense_matrix(linearise(model.double(), image(16)))[0] for model in models]
    uv = found.distortions.flatten(1)
    logs = np.log([[float(w @ J.T @ J @ w) + 0.01 for w in uv] for J in F])
    assert np.var(logs[:, 0] - logs[:, 1]) == pytest.approx(found.value, rel=1e-9)
    assert found.value <= found.bound


def test_what_cannot_be_is_refused():
    with pytest.raises(ConfigurationError, match=r"but 1 was given"):
        principal_distortions([lambda x: x], image(4), 0.1)
    with pytest.raises(ConfigurationError, match=r"floor=0 must be a positive number"):
        principal_distortions([lambda x: x, lambda x: 2 * x], image(4), 0)
    with pytest.raises(ConfigurationError, match=r"solver\.restarts=-1 must be at least 0"):
        Principal(restarts=-1)
    with pytest.raises(OperatorError, match=r"is lost in the rounding .* Set a larger floor"):
        ModelsOperator(torch.zeros(2, 3, 3, dtype=torch.float64), floor=1e-30)
    with pytest.raises(ConfigurationError, match=r"compares models, but there is one"):
        Principal().init(DenseOperator(torch.eye(3)[None]), 0)
