"""Ratios of two models, and norms, against scipy.linalg.eigh of dense float64 matrices."""

import itertools
import warnings

import numpy as np
import pytest
import scipy.linalg
import torch
from scipy.sparse.linalg import LinearOperator, lobpcg

from eigexp import Eigendistortion, certify
from eigexp.errors import ConfigurationError, ImageError, OperatorError
from eigexp.experiment.linearity import Responses
from eigexp.experiment.parts import build
from eigexp.experiment.run import run
from eigexp.experiment.tasks import TaskList
from eigexp.images import SkimageImages
from eigexp.models import LinearNonlinear, LuminanceContrastGainControl, LuminanceGainControl, OnOff, prepare_model
from eigexp.noise import PoissonNoise
from eigexp.norm import ContrastSensitivity, PixelWeights, measured_by
from eigexp.operators import CountedOperator, DenseOperator, dense_matrix, linearise
from eigexp.operators.against import against
from eigexp.operators.pair import PairOperator, pair_operator
from eigexp.report.stimuli import export_stimuli
from eigexp.solvers import Davidson, Krylov
from eigexp.store import Store
from eigexp.store.identity import identity_words
from eigexp.subspace import Band, Mask
from eigexp.subspace.metric import metric_of_matrix
from eigexp.training import EigenModule, TaskData, make_trainer
from tests.noise.test_runs import certified, image, small

MODELS = {"ln": LinearNonlinear, "lg": LuminanceGainControl, "lgg": LuminanceContrastGainControl, "onoff": OnOff}
PAIRS = list(itertools.permutations(MODELS, 2))


@pytest.fixture(scope="module")
def models():
    return {name: prepare_model(model()).double() for name, model in MODELS.items()}


@pytest.fixture(scope="module")
def photograph():
    return SkimageImages(["camera"], size=20, grey=True)[0].pixels[None].double()


@pytest.fixture(scope="module")
def jacobians(models, photograph):
    return {name: dense_matrix(linearise(model, photograph))[0].numpy() for name, model in models.items()}


def true_ratios(A, M):
    return scipy.linalg.eigh(A.T @ A, M, eigvals_only=True)[::-1]


def check(pairs, truth):
    index = pairs.eigenindex.numpy()
    low, high = pairs.intervals.numpy().T
    assert pairs.verified
    assert (np.abs(pairs.eigenvalues.numpy() - truth[index]) <= 1e-6 * truth[0]).all()
    # SciPy's own rounding is relative to the largest ratio.
    assert (low - 1e-11 * truth[0] <= truth[index]).all() and (truth[index] <= high + 1e-11 * truth[0]).all()


@pytest.mark.slow(0.3)
@pytest.mark.parametrize("floor", [1e-2, 1e-4])
@pytest.mark.parametrize(("mine", "other"), PAIRS, ids="/".join)
def test_ratios_of_the_front_ends(mine, other, floor, models, jacobians, photograph):
    M = jacobians[other].T @ jacobians[other] + floor * np.eye(400)
    truth = true_ratios(jacobians[mine], M)
    A = linearise(models[mine], photograph, subspace=against(models[other], photograph, floor))
    pairs = certified(A, Krylov(tol=1e-6))
    check(pairs, truth)
    assert abs(float(pairs.eigenvalues[0]) - truth[0]) <= 1e-6 * truth[0]
    v = pairs.eigendistortions.flatten(1).numpy()
    np.testing.assert_allclose(np.linalg.norm(v, axis=1), 1, rtol=1e-9)
    ratio = ((v @ jacobians[mine].T) ** 2).sum(1) / np.einsum("ki,ij,kj->k", v, M, v)
    np.testing.assert_allclose(ratio, pairs.eigenvalues.numpy(), atol=1e-9 * truth[0])


def counted(matrix, counts):
    def product(X):
        counts.append(X.shape[1] if X.ndim == 2 else 1)
        return matrix @ X

    return LinearOperator(matrix.shape, matvec=product, matmat=product, dtype=np.float64)


def products_of_lobpcg(F, M, floor, largest, most):
    """Products of both models that SciPy's LOBPCG makes to the same residual, two runs for two ends; at least, if they stop at `most`."""
    counts: list[int] = []
    start = np.random.default_rng(0).normal(size=(len(F), 1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for end in (True, False):
            lobpcg(counted(F, counts), start, B=counted(M, counts), largest=end, tol=1e-6 * largest * floor**0.5, maxiter=most)
    return sum(counts)


def pair_of(jacobians, mine, other, floor):
    """The operator of two models given as matrices, which counts the products of each."""
    return PairOperator(*(CountedOperator(DenseOperator(torch.from_numpy(jacobians[name])[None])) for name in (mine, other)), floor)


@pytest.mark.slow(2)
@pytest.mark.parametrize("floor", [1e-2, 1e-4])
@pytest.mark.parametrize("mine", MODELS)
def test_davidson_finds_the_ratios_with_fewer_products_than_lobpcg(mine, floor, jacobians):
    """LOBPCG does not check what it has missed, so that products are compared without the check; with it the ends are verified."""
    for other in MODELS.keys() - {mine}:
        M = jacobians[other].T @ jacobians[other] + floor * np.eye(400)
        truth = true_ratios(jacobians[mine], M)
        A, solver = pair_of(jacobians, mine, other, floor), Davidson(tol=1e-6)
        state = solver.init(A, 0)
        while state.images[0].phase == "search":
            state = solver.step(A, state)
        spent = state.images[0].fisher_vector_products + 4  # the certificate's
        assert spent < products_of_lobpcg(jacobians[mine].T @ jacobians[mine], M, floor, truth[0], most=int(spent / 2) + 1)
        while not solver.done(state):
            state = solver.step(A, state)
        (pairs,) = certify(A, solver.pairs(state), solver=solver, state=state)
        assert pairs.fisher_vector_products == float((A.inner.fisher_vector_products + A.second.fisher_vector_products)[0])
        check(pairs, truth)
        assert abs(float(pairs.eigenvalues[0]) - truth[0]) <= 1e-6 * truth[0]
        v = pairs.eigendistortions.numpy()
        np.testing.assert_allclose(np.linalg.norm(v, axis=1), 1, rtol=1e-9)
        ratio = ((v @ jacobians[mine].T) ** 2).sum(1) / np.einsum("ki,ij,kj->k", v, M, v)
        np.testing.assert_allclose(ratio, pairs.eigenvalues.numpy(), atol=1e-9 * truth[0])


def test_what_the_second_model_cannot_see_is_a_finding(models, photograph):
    def half(x):
        return x[..., :10]

    A = linearise(models["onoff"], photograph, subspace=against(half, photograph, 1e-3))
    pairs = certified(A, Krylov())
    assert any("hardly responds to distortion 0: its sensitivity is" in note for note in pairs.notes)
    same = certified(linearise(models["ln"], photograph, subspace=against(models["ln"], photograph, 1e-6)), Krylov(k_bottom=0))
    assert not any("hardly responds" in note for note in same.notes)
    assert float(same.eigenvalues[0]) == pytest.approx(1, abs=1e-3)


def test_a_pair_takes_noise_and_subspace(models, jacobians, photograph):
    noise, subspace = PoissonNoise(), Band(0, 0.2)
    P = subspace.to_pixels(torch.eye(subspace.dimension((1, 20, 20))).double(), (1, 20, 20)).numpy().T
    J = {name: dense_matrix(linearise(models[name], photograph, noise=noise))[0].numpy() @ P for name in ("lgg", "onoff")}
    truth = true_ratios(J["onoff"], J["lgg"].T @ J["lgg"] + 0.01 * np.eye(P.shape[1]))
    metric = against(models["lgg"], photograph, 0.01, noise=noise, subspace=subspace)
    check(certified(linearise(models["onoff"], photograph, noise=noise, subspace=metric), Krylov(tol=1e-6)), truth)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("subspace", [None, Mask(extent=0.8)], ids=["pixels", "mask"])
def test_norms_are_generalised_problems(dtype, subspace, tmp_path):
    np.save(tmp_path / "w.npy", np.random.default_rng(0).uniform(0.2, 3, (16, 16)))
    model, x = prepare_model(OnOff()).double(), image(16)
    J = dense_matrix(linearise(model, x))[0].numpy()
    unit = np.eye(256)
    P = unit if subspace is None else subspace.to_pixels(torch.eye(subspace.dimension((1, 16, 16))).double(), (1, 16, 16)).numpy().T
    csf = ContrastSensitivity()
    wave = np.fft.fft2(unit.reshape(-1, 16, 16), norm="ortho").reshape(256, -1)
    radius = np.hypot(np.fft.fftfreq(16)[:, None], np.fft.fftfreq(16)).ravel() * csf.pixels_per_degree
    S = 2.6 * (0.0192 + 0.114 * radius) * np.exp(-((0.114 * radius) ** 1.1))
    peak = np.max(2.6 * (0.0192 + 0.114 * np.linspace(0, 30, 30001)) * np.exp(-((0.114 * np.linspace(0, 30, 30001)) ** 1.1)))
    metrics = {
        PixelWeights(str(tmp_path / "w.npy")): np.diag(np.load(tmp_path / "w.npy").ravel()),
        csf: ((wave.conj() * np.maximum(S / peak, csf.least) ** 2) @ wave.T).real,
    }
    for norm, M in metrics.items():
        A = linearise(model.to(dtype), x.to(dtype), subspace=measured_by(norm, subspace, (1, 16, 16)))
        pairs = certified(A, Krylov(tol=1e-5))
        truth = true_ratios(J @ P, P.T @ M @ P)
        assert pairs.verified
        np.testing.assert_allclose(pairs.eigenvalues.numpy(), truth[pairs.eigenindex.numpy()], rtol=0, atol=1e-6 * truth[0])
        model.double()


@pytest.mark.slow(1)
def test_a_run_of_a_pair(tmp_path):
    words = ("experiment=pair", "model=onoff", "against=lg", "images.size=20", "figure.draw=false")
    plain = small(tmp_path, *words)
    outcome = run(plain)
    result = Store(tmp_path).read(outcome.folders[0].name)
    assert outcome.exit_code == 0
    assert result.record["identity"]["against"]["model"] == {"name": "lg"} and result.record["identity"]["floor"] == 0.01
    assert result.record["settings"]["against"] == "lg" and result.record["settings"]["floor"] == 0.01
    assert identity_words(result.record["identity"]) == "20x20 solver=davidson tol=1e-05 against=lg floor=0.01"
    assert run(plain).reused == (result.id,)
    assert {TaskList(small(tmp_path, *words, more)).ids[0] for more in ("floor=0.1", "against=ln", "noise.variance=2")}.isdisjoint(
        {result.id}
    )
    with pytest.raises(ConfigurationError, match="--no-check"):
        Responses(result, trust=True).distance(result.image, result.image)
    rows = export_stimuli(result, tmp_path / "stimuli", alphas=[1.0], bits=[8])
    assert [row["predicted_dprime"] for row in rows if row.get("eigenvalue") is not None] == [None] * 4
    trainer = make_trainer(logger=False)
    trainer.validate(EigenModule(Davidson(tol=1e-5)), TaskData(TaskList(plain), Store(tmp_path)), verbose=False)
    assert float(trainer.callback_metrics["confirmed"]) == 1
    by_matrix = Store(tmp_path).read(run(small(tmp_path, *words, "solver=krylov", "solver.tol=1e-6")).folders[0].name)
    low, high = by_matrix.record["intervals"][0]
    assert result.record["method"] == "davidson" and low <= result.record["intervals"][0][1] and result.record["intervals"][0][0] <= high


def test_a_pair_by_products_takes_noise_and_subspace_and_reports_what_the_second_model_cannot_see(models, photograph):
    noise, subspace = PoissonNoise(), Band(0, 0.2)
    P = subspace.to_pixels(torch.eye(subspace.dimension((1, 20, 20))).double(), (1, 20, 20)).numpy().T
    J = {name: dense_matrix(linearise(models[name], photograph, noise=noise))[0].numpy() @ P for name in ("lgg", "onoff")}
    truth = true_ratios(J["onoff"], J["lgg"].T @ J["lgg"] + 0.01 * np.eye(P.shape[1]))
    A = pair_operator(models["onoff"], models["lgg"], photograph, 0.01, noise=noise, subspace=subspace)
    check(certified(A, Davidson(tol=1e-6)), truth)
    blind = certified(pair_operator(models["onoff"], lambda x: x[..., :10], photograph, 1e-3), Davidson(k=2))
    assert any("hardly responds to distortion 0: its sensitivity is" in note for note in blind.notes)
    J = dense_matrix(A := pair_operator(models["onoff"], models["lgg"], photograph.float(), 0.01))[0].numpy()
    u, v = np.random.default_rng(0).normal(size=J.shape[:1]), np.random.default_rng(1).normal(size=400)
    assert A.dtype == torch.float64 and A.apply(torch.from_numpy(v)[None, None])[0, 0].numpy() @ u == pytest.approx(u @ J @ v)


@pytest.mark.slow(1)
def test_a_run_with_a_norm(tmp_path):
    result = Store(tmp_path).read(run(small(tmp_path, "norm=csf", "images.batch_size=2", "images.names=[camera,coffee]")).folders[0].name)
    assert result.record["identity"]["norm"] == {"name": "csf"} and result.record["settings"]["norm.distance"] == 57.0
    assert any("ratios" in note for note in result.record["notes"])


@pytest.mark.slow(1)
def test_the_class_for_notebooks_has_the_numbers_of_the_command(tmp_path):
    path = f"{tmp_path}/w.npy"
    np.save(path, np.random.default_rng(0).uniform(0.2, 3, (16, 16)))
    for words, norm in ((["norm=csf"], ContrastSensitivity()), (["norm=weights", f"norm.path={path}"], PixelWeights(path))):
        config = small(tmp_path, "model=onoff", "solver.k=2", "subspace=mask", *words)
        result = Store(tmp_path).read(run(config).folders[0].name)
        eig = Eigendistortion(torch.from_numpy(result.image)[None], prepare_model(OnOff()), norm=norm, subspace=Mask())
        eig.synthesize(build(config["solver"], "solver"), progress=False, seed=config["seed"])
        np.testing.assert_array_equal(eig.pairs.eigenvalues.numpy(), result.eigenvalues)
        np.testing.assert_array_equal(eig.eigendistortions.numpy(), result.eigendistortions)
        record = eig._results.solved[0].record
        assert record["identity"]["norm"]["name"] == result.record["identity"]["norm"]["name"]
        assert record["notes"] == result.record["notes"] and record["settings"]["norm"] == result.record["settings"]["norm"]
    with pytest.raises(ConfigurationError, match="norm=2 is not a Norm"):
        Eigendistortion(torch.from_numpy(result.image)[None], prepare_model(OnOff()), norm=2)


def test_the_euclidean_norm_is_in_no_id(tmp_path):
    assert not {"norm", "against", "floor"} & TaskList(small(tmp_path)).planned[0].identity.keys()
    assert TaskList(small(tmp_path)).ids == TaskList(small(tmp_path, "floor=1")).ids


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["against=lg", "floor=0"], r"floor=0 is invalid\. Give a positive number"),
        (["against=lg", "norm=csf"], r"against= and norm= are both set"),
        (["against=lg", "noise=early_late"], r"noise=early_late cannot be combined with against=: .*\. Choose another noise"),
        (["norm=csf", "noise=early_late"], r"noise=early_late cannot be combined with norm="),
        (["experiment=pair"], r"against is not set, but experiment=pair compares two models\. Set .*: against=lg\."),
        (["experiment=pair", "solver=krylov"], r"against is not set, but experiment=pair"),
        (["solver=davidson"], r"solver=davidson computes ratios of two models, but there is one\. Set the second: against=lg\."),
        (["against=resnet18", "against.weights=random", "against.layer=[layer1,layer2]"], r"against\.layer names several layers"),
    ],
)
def test_a_pair_that_cannot_be_is_refused(words, message, tmp_path):
    with pytest.raises(ConfigurationError, match=message):
        TaskList(small(tmp_path, *words))


def test_measures_that_cannot_be_are_refused(tmp_path, photograph):
    with pytest.raises(OperatorError, match=r"needs a matrix of n=6400 coordinates, but the limit is 6000\. Set solver=davidson"):
        against(lambda x: x, torch.rand(1, 1, 80, 80), 0.1)
    with pytest.raises(ConfigurationError, match=r"floor=-1 must be a positive number"):
        against(lambda x: x, photograph, -1)
    with pytest.raises(OperatorError, match=r"must be positive definite"):
        metric_of_matrix(None, torch.diag(torch.tensor([1.0, -1.0], dtype=torch.float64)))
    with pytest.raises(OperatorError, match=r"nearly singular"):
        metric_of_matrix(None, torch.full((3, 3), 1.0, dtype=torch.float64) + 1e-14 * torch.eye(3, dtype=torch.float64))
    np.save(tmp_path / "w.npy", np.zeros((4, 4)))
    with pytest.raises(ConfigurationError, match=r"smallest weight is 0\. All weights must be positive"):
        PixelWeights(str(tmp_path / "w.npy"))
    np.save(tmp_path / "w.npy", np.ones((4, 4)))
    with pytest.raises(ImageError, match=r"weights of shape \(4, 4\), but an image \(1, 5, 4\)"):
        PixelWeights(str(tmp_path / "w.npy")).apply(torch.ones(20), (1, 5, 4))
    for settings, message in (({"distance": 0}, "norm.distance=0"), ({"pixel": -1}, "norm.pixel=-1"), ({"least": 0}, "norm.least=0")):
        with pytest.raises(ConfigurationError, match=message):
            ContrastSensitivity(**settings)
