"""Noises in runs: certified pairs against dense float64 matrices, ids, cross tables, sparse solver."""

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from eigexp.certificates import certify
from eigexp.cli import main
from eigexp.config.compose import compose
from eigexp.errors import ConfigurationError
from eigexp.experiment.identity import parts_of
from eigexp.experiment.linearity import Responses
from eigexp.experiment.run import run
from eigexp.models import OnOff, prepare_model
from eigexp.models.layers import NetworkLayers
from eigexp.noise import EarlyLateNoise, PoissonNoise, PowerLawNoise
from eigexp.operators import dense_matrix, linearise
from eigexp.operators.cross import layer_sensitivities
from eigexp.solvers import Krylov, Sparse
from eigexp.store import Store
from tests.models.small_network import SmallNetwork


def image(size: int) -> torch.Tensor:
    return torch.rand(1, 1, size, size, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def certified(A, solver):
    state = solver.init(A, 0)
    while not solver.done(state):
        state = solver.step(A, state)
    return certify(A, solver.pairs(state), solver=solver, state=state)[0]


@pytest.mark.parametrize("solver", [Krylov(k=2), Sparse(k=2)], ids=["krylov", "sparse"])
@pytest.mark.parametrize("noise", [PoissonNoise(), PowerLawNoise(), EarlyLateNoise(0.2, 0.5)], ids=lambda n: n.name)
def test_pairs_are_those_of_the_dense_matrix(noise, solver):
    model = prepare_model(OnOff()).double()
    A = linearise(model, image(16), noise=noise)
    matrix = dense_matrix(A)[0]
    truth = torch.linalg.eigvalsh(matrix.T @ matrix)
    if isinstance(noise, EarlyLateNoise):
        inner = 0.04 * matrix @ matrix.T + 0.25 * torch.eye(len(matrix))
        truth = torch.linalg.eigvalsh(matrix.T @ torch.linalg.solve(inner, matrix))
    pairs = certified(A, solver)
    true = truth.flip(0)[pairs.eigenindex]
    assert pairs.verified and pairs.m == model(image(16)).numel()
    assert ((pairs.intervals[:, 0] <= true) & (true <= pairs.intervals[:, 1])).all()
    assert float((pairs.eigenvalues - true).abs().max()) <= 1e-6 * float(true[0])


def test_residuals_under_early_noise_are_upper_bounds():
    A = linearise(prepare_model(OnOff()).double(), image(16), noise=EarlyLateNoise(0.2, 0.5))
    J = dense_matrix(A)[0]
    F = J.T @ torch.linalg.solve(0.04 * J @ J.T + 0.25 * torch.eye(len(J)), J)
    pairs = certified(A, Krylov(k=3, tol=1e-2))
    v = pairs.eigendistortions.flatten(1)
    residuals = (v @ F - pairs.eigenvalues[:, None] * v).norm(dim=1)
    assert (residuals <= pairs.residuals + 1e-12).all() and (pairs.residuals > 0).any()
    assert any("early_late" in note for note in pairs.notes)


def test_layers_have_the_noise_of_their_own_responses():
    x = torch.rand(1, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    v = torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    trunk = NetworkLayers(SmallNetwork().double(), ("stem", "middle")).trunk()
    noise = PowerLawNoise(offset=50.0)
    found = layer_sensitivities(trunk, x, v, (48, 20), noise=noise)
    for column, layer in enumerate(("stem", "middle")):
        alone = NetworkLayers(SmallNetwork().double(), (layer,)).models[layer]
        expected = linearise(alone, x[None], noise=noise).apply(v.flatten(1)[None])[0].square().sum(1)
        torch.testing.assert_close(found[:, column], expected, rtol=1e-10, atol=0)


def small(tmp_path, *overrides):
    words = [
        "model=lg",
        "images.size=16",
        "logger=none",
        "figure.draw=false",
        f"store={tmp_path}",
        "callbacks.progress.mode=quiet",
        *overrides,
    ]
    return OmegaConf.to_container(compose(words), resolve=True)


def test_a_run_records_its_noise(tmp_path):
    outcome = run(small(tmp_path, "noise=poisson"))
    record = Store(tmp_path).read(outcome.folders[0].name).record
    assert outcome.exit_code == 0 and record["identity"]["noise"] == {"name": "poisson"}
    assert record["settings"]["noise.offset"] == 0.0


def test_early_noise_has_no_distance_between_responses(tmp_path):
    result = Store(tmp_path).read(run(small(tmp_path, "noise=early_late")).folders[0].name)
    assert max(result.record["eigenvalues"]) < 1 / 0.1**2
    with pytest.raises(ConfigurationError, match=rf"{result.id} was computed with noise=early_late.*--no-check"):
        Responses(result, trust=True)


def test_an_export_with_such_a_result_writes_nothing(tmp_path, capsys):
    for words in ((), ("noise=early_late",)):
        run(small(tmp_path / "store", *words))
    assert main(["export", "--where", "n>1", "--store", str(tmp_path / "store"), "--output", str(tmp_path / "stimuli")]) == 2
    assert "was computed with noise=early_late" in capsys.readouterr().err
    assert not (tmp_path / "stimuli").exists()


def test_a_file_counts_by_its_content(tmp_path):
    def identity(name, value):
        np.save(tmp_path / name, np.full(3, value))
        return parts_of(small(tmp_path, f"noise.variance={tmp_path / name}"))["noise"].identity

    assert identity("a.npy", 1.0) == identity("b.npy", 1.0) != identity("a.npy", 2.0)
    assert str(tmp_path) not in str(identity("a.npy", 1.0))
