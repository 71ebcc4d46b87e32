"""Preconditioners of the bottom: they invert what they were made for, save products, and make no claim."""

import pytest
import torch
from torch import Tensor

from eigexp.certificates import certify
from eigexp.errors import ConfigurationError
from eigexp.operators import DenseOperator
from eigexp.solvers.krylov import Krylov
from eigexp.solvers.krylov.preconditioners import PRECONDITIONERS, AliasBlocks, PixelFrequency, _cosine_transform
from tests.solvers.photographs import coins, front_end_at
from tests.solvers.spectra import differences, run, through_disk

SIDE = 16
KINDS = sorted(PRECONDITIONERS)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def strided(channels: int = 1, side: int = SIDE, seed: int = 1) -> DenseOperator:
    """A convolution of stride 2 whose weakest frequencies it hardly passes, after a gain that differs from pixel to pixel."""
    kernel = (
        random(12 * channels, channels, 4, 4, seed=seed) * torch.logspace(0, -2.5, 12 * channels, dtype=torch.float64)[:, None, None, None]
    )
    gain = 1 + 3 * torch.rand(side, side, generator=torch.Generator().manual_seed(2), dtype=torch.float64)

    def respond(x: Tensor) -> Tensor:
        x = torch.nn.functional.pad(x * gain, (1, 1, 1, 1), mode="circular")
        return torch.nn.functional.conv2d(x, kernel, stride=2).flatten(1)

    n = channels * side * side
    jacobian = respond(torch.eye(n, dtype=torch.float64).reshape(n, channels, side, side)).T
    return DenseOperator(
        jacobian[None], torch.rand(1, channels, side, side, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    )


def agreement(kind: str, F: Tensor, shape: tuple[int, int, int], num_probes: int = 4000) -> float:
    """Cosine between a random z and the preconditioner's inverse of F z, with probes enough to leave no chance in it."""
    factor = torch.linalg.cholesky(F + 1e-9 * torch.eye(len(F), dtype=torch.float64))
    probes = (random(num_probes, len(F), seed=4) @ factor.T).unflatten(1, shape)
    z = random(len(F), seed=5)
    back = PRECONDITIONERS[kind].of(probes, float(torch.linalg.eigvalsh(F)[-1])).apply((F @ z).unflatten(0, shape)).flatten()
    return float(back @ z / (back.norm() * z.norm()))


def test_pf_inverts_what_is_diagonal_in_pixels_and_frequencies():
    i, j = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    power = (1 / (1 + i + j)).double()  # smooth, as smoothing over neighbours expects
    gain = (1 + (i + j) / SIDE).double().flatten()
    transform = _cosine_transform(torch.eye(SIDE * SIDE, dtype=torch.float64).reshape(-1, SIDE, SIDE)).reshape(-1, SIDE * SIDE)
    F = gain[:, None] * (transform * power.flatten()) @ transform.T * gain
    assert agreement("pf", F, (1, SIDE, SIDE)) > 0.97


def test_the_cosine_transform_is_scipys():
    from scipy.fft import dctn

    planes = random(3, 6, 7)
    ours = _cosine_transform(planes)
    assert torch.allclose(ours, torch.from_numpy(dctn(planes.numpy(), axes=(1, 2), norm="ortho")), atol=1e-12)
    assert torch.allclose(_cosine_transform(ours, back=True), planes, atol=1e-12)


def test_pb_inverts_what_stride_2_confuses_and_pf_does_not():
    kernel = random(24, 2, 4, 4, seed=1) * torch.logspace(0, -1, 24, dtype=torch.float64)[:, None, None, None]
    x = torch.nn.functional.pad(torch.eye(512, dtype=torch.float64).reshape(512, 2, SIDE, SIDE), (1, 1, 1, 1), mode="circular")
    J = torch.nn.functional.conv2d(x, kernel, stride=2).flatten(1).T
    F = J.T @ J
    assert agreement("pb", F, (2, SIDE, SIDE)) > 0.85
    assert agreement("pf", F, (2, SIDE, SIDE)) < 0.75


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", KINDS)
def test_a_relative_tolerance_at_the_bottom_takes_fewer_products(kind, seed):
    A = strided()
    truth = torch.linalg.eigvalsh(A.matrix[0].T @ A.matrix[0])
    plain, steered = (Krylov(bottom_rtol=1e-2, preconditioner=p, max_steps=2000, max_basis=500, verify=False) for p in (None, kind))
    states = [run(solver, A, seed) for solver in (plain, steered)]
    space = states[1].images[0].space
    assert len(space.R) <= len(space)  # restarts do not let it grow
    assert states[1].images[0].preconditioner is not None
    if kind == "pb":
        assert states[1].images[0].fisher_vector_products < 0.85 * states[0].images[0].fisher_vector_products
    for solver, state in zip((plain, steered), states, strict=True):
        (pairs,) = certify(A, solver.pairs(state), solver=solver, state=state)
        assert pairs.tolerances["met"] == {"tol": True, "bottom_rtol": True}
        assert float(pairs.eigenvalues[-1]) == pytest.approx(float(truth[0]), rel=2e-2)


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_preconditioner_found_is_verified_or_not_called_so(kind):
    A = strided()
    (unverified,) = run(Krylov(tol=1e-8, preconditioner=kind, verify=False), A).images
    assert unverified.assisted
    assert unverified.evidence_bottom == "converged"


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("planted", ["smooth", "random", None])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["onoff", "ln", "lgg", "strided"])
def test_no_false_claim_with_a_planted_null_vector(name, kind, planted, seed):
    A = strided() if name == "strided" else dense(front_end_at(name, coins(SIDE).double()))
    if planted is not None:
        A = DenseOperator(A.matrix - (A.matrix @ (z := null_vector(planted, seed)))[..., None] * z, A.images)
    singular = torch.linalg.svdvals(A.matrix[0])
    truth = float(singular[-1]) ** 2 if A.shape.m >= A.shape.n else 0.0
    solver = Krylov(preconditioner=kind, tol=1e-5)
    state = run(solver, A, seed)
    (pairs,) = certify(A, solver.pairs(state), solver=solver, state=state)
    assert pairs.verified
    lower, upper = pairs.intervals[-1].tolist()
    rounding = (1e-15 * float(singular[0])) ** 2  # of the singular values' own
    assert lower <= truth <= upper + rounding


def dense(A) -> DenseOperator:
    eye = torch.eye(A.shape.n, dtype=A.dtype)
    return DenseOperator(A.apply(eye[None]).transpose(1, 2), A.images)


def null_vector(kind: str, seed: int) -> Tensor:
    z = random(SIDE, SIDE, seed=seed)
    if kind == "smooth":
        z = torch.fft.ifft2(torch.fft.fft2(z)[:3, :3], s=(SIDE, SIDE)).real
    return (z / z.norm()).flatten()


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_state_goes_on_as_if_never_saved(kind):
    A, solver = strided(), Krylov(bottom_rtol=1e-1, preconditioner=kind, max_basis=60)
    phases = set()
    state = kept = solver.init(A, 0)
    while state.images[0].preconditioner is None or state.images[0].steps % 10:
        state, kept = solver.step(A, state), solver.step(A, through_disk(solver, kept))
        phases.add(state.images[0].phase)
        assert differences(state.to_dict(), kept.to_dict()) == []
    assert {"krylov", "structured", "probe"} <= phases


@pytest.mark.parametrize(
    ("kind", "image", "message"),
    [
        ("pb", torch.rand(1, 1, 5, 6), "even sides, not 5x6"),
        ("pb", torch.rand(1, 30), "height and width"),
        ("pf", None, "height and width"),
    ],
)
def test_images_that_it_cannot_work_with_are_refused(kind, image, message):
    with pytest.raises(ConfigurationError, match=message):
        Krylov(preconditioner=kind).init(DenseOperator(torch.eye(30)[None], image), 0)


def test_an_unknown_one_is_refused():
    with pytest.raises(ConfigurationError, match="Choose pf, pb or null"):
        Krylov(preconditioner="ilu")  # pyright: ignore[reportArgumentType]


def test_every_kind_says_how_many_probes_it_takes():
    assert (PixelFrequency.num_probes, AliasBlocks.num_probes) == (8, 16)
