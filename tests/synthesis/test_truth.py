"""Every method's pairs against dense float64 truth, within the intervals that they state."""

import numpy as np
import pytest
import skimage.data
import torch
from torch import Tensor

from eigexp import Eigendistortion, prepare_model
from eigexp.models import LinearNonlinear, LuminanceContrastGainControl, LuminanceGainControl, OnOff
from tests.synthesis.toys import linear_object, quietly, random_matrix, spectrum

MAPS = [(kind, seed) for kind in ("tall", "wide", "deficient", "repeated") for seed in range(5)]
FRONT_ENDS = {"ln": LinearNonlinear, "lg": LuminanceGainControl, "lgg": LuminanceContrastGainControl, "onoff": OnOff}


def assert_true(eig: Eigendistortion, truth: Tensor) -> None:
    """Pairs with evidence hold at their rank; those without hold for some eigenvalue. Vectors are unit and solve to the residual."""
    pairs = eig.pairs
    dense_rounding = 1e-14 * float(truth[0])  # two dense eigensolvers differ by as much
    lower, upper = pairs.intervals[:, 0] - dense_rounding, pairs.intervals[:, 1] + dense_rounding
    some = ((truth >= lower[:, None]) & (truth <= upper[:, None])).any(dim=1)
    assert some.all(), (pairs.eigenindex[~some], pairs.eigenvalues[~some], pairs.intervals[~some])
    named = truth[pairs.eigenindex]
    held = (lower <= named) & (named <= upper)
    ends = {"top": pairs.eigenindex < len(truth) / 2, "bottom": pairs.eigenindex >= len(truth) / 2}
    for end, members in ends.items():
        if pairs.evidence[end] in ("proven", "krylov"):
            assert held[members].all(), (end, pairs.eigenindex[~held], named[~held], pairs.intervals[~held])
    assert (eig.eigenvalues.diff() <= 0).all()
    assert (eig.eigenindex.diff() > 0).all()


def assert_eigenvectors(eig: Eigendistortion, J: Tensor) -> None:
    """F v - theta v by the dense J is the residual that is stated, to rounding."""
    v = eig.eigendistortions.flatten(1).double()
    rounding = 100 * torch.finfo(eig.image.dtype).eps
    torch.testing.assert_close(v.norm(dim=1), torch.ones(len(v), dtype=torch.float64), rtol=0, atol=rounding)
    residual = ((v @ J.T) @ J - eig.pairs.eigenvalues[:, None] * v).norm(dim=1)
    torch.testing.assert_close(residual, eig.residuals, rtol=1e-2, atol=rounding * float(eig.pairs.eigenvalues[0]))
    peak = v.gather(1, v.abs().argmax(dim=1, keepdim=True))
    assert (peak > 0).all()


@pytest.mark.slow(0.7)
@pytest.mark.parametrize(("kind", "seed"), MAPS)
def test_linear_maps(kind, seed):
    matrix = random_matrix(kind, seed)
    eig, truth, n = linear_object(matrix), spectrum(matrix), 36
    for k in (1, 3, 10):
        eig.synthesize("krylov", k=k, progress=False)
        assert eig.eigenindex.tolist() == [*range(k), *range(n - k, n)]
        assert eig.status == "converged" and eig.verified
        assert_true(eig, truth)
        assert_eigenvectors(eig, matrix)
        quietly(eig.synthesize, "randomized_svd", k=k, progress=False)
        assert eig.eigenindex.tolist() == [*range(k)]
        assert_true(eig, truth)
        assert_eigenvectors(eig, matrix)
    eig.synthesize("power", k=(1, 3, 10)[seed % 3], max_iter=40, progress=False)
    assert_true(eig, truth)
    assert_eigenvectors(eig, matrix)
    eig.synthesize("exact", progress=False)
    assert eig.eigenindex.tolist() == [*range(n)]
    assert eig.pairs.evidence == {"top": "proven", "bottom": "proven"}
    torch.testing.assert_close(eig.eigenvalues, truth, rtol=0, atol=1e-10 * float(truth[0]))
    assert_true(eig, truth)
    assert_eigenvectors(eig, matrix)


@pytest.mark.slow(0.2)
@pytest.mark.parametrize("k", [1, 3, 10])
@pytest.mark.parametrize("kind", ["tall", "wide", "deficient", "repeated"])
def test_power_iteration_of_linear_maps(kind, k):
    matrix = random_matrix(kind, 7)
    eig, truth = linear_object(matrix), spectrum(matrix)
    eig.synthesize("power", k=k, max_iter=60, progress=False)
    assert eig.eigenindex.tolist() == [*range(k), *range(36 - k, 36)]
    assert_true(eig, truth)
    assert_eigenvectors(eig, matrix)


def test_power_iteration_labels_the_bottom_pairs_right():
    """plenoptic gives the smallest eigenvalue the index n - k: its power iteration on the shifted matrix finds the smallest first."""
    values = torch.tensor([9.0, 6.0, 3.0, 1.0, 0.5, 0.1], dtype=torch.float64)
    Q = torch.linalg.qr(torch.randn(6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))).Q
    matrix = values.sqrt()[:, None] * Q
    eig = linear_object(matrix, torch.full((1, 1, 2, 3), 0.5, dtype=torch.float64))
    eig.synthesize("power", k=2, progress=False)
    assert eig.eigenindex.tolist() == [0, 1, 4, 5]
    torch.testing.assert_close(eig.eigenvalues, values[[0, 1, 4, 5]], rtol=1e-4, atol=0)
    torch.testing.assert_close((eig.eigendistortions.flatten(1) @ Q[[0, 1, 4, 5]].T).abs(), torch.eye(4).double(), rtol=0, atol=1e-2)


@pytest.fixture(scope="module", params=FRONT_ENDS)
def front_end(request):
    """A front end at a 16 x 16 crop of a photograph, with its dense float64 Jacobian by another way of differentiating."""
    whole = torch.from_numpy(np.asarray(skimage.data.coins(), dtype=np.float64)) / 255
    image = whole[100:116, 150:166][None, None].contiguous()
    model = prepare_model(FRONT_ENDS[request.param]().double())
    J = torch.autograd.functional.jacobian(model, image, vectorize=True).reshape(-1, image.numel())
    return model, image, J


@pytest.mark.slow(0.3)
@pytest.mark.parametrize(
    ("method", "k"), [("krylov", 1), ("krylov", 3), ("krylov", 10), ("power", 3), ("exact", 1), ("randomized_svd", 10)]
)
def test_front_ends(front_end, method, k):
    model, image, J = front_end
    eig = Eigendistortion(image, model)
    quietly(eig.synthesize, method, k=k, max_iter=500 if method == "krylov" else 40, progress=False)
    assert_true(eig, torch.cat([(s := torch.linalg.svdvals(J).square()), s.new_zeros(max(image.numel() - len(s), 0))]))
    assert_eigenvectors(eig, J)
    if method == "krylov":
        assert eig.status == "converged" and eig.verified


@pytest.mark.slow(0.5)
def test_front_ends_in_float32(front_end):
    model, image, J = front_end
    eig = Eigendistortion(image.double(), model)
    eig.to(torch.float32)
    eig.synthesize(k=2, progress=False)
    eig.to(torch.float64)  # the model is shared by the tests
    assert eig.status == "converged"
    truth = torch.linalg.svdvals(J).square()[eig.eigenindex]
    slack = 1e-6 * float(truth[0])  # the responses themselves are rounded to float32
    assert (eig.intervals[:, 0] - slack <= truth).all() and (truth <= eig.intervals[:, 1] + slack).all()
