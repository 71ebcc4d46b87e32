"""The class has all that the command has."""

import inspect

import pytest
import torch

from eigexp import Eigendistortion
from eigexp.config.compose import compose
from eigexp.errors import ConfigurationError
from eigexp.images import SkimageImages
from eigexp.models import LinearNonlinear
from eigexp.noise import GaussianNoise
from eigexp.solvers import Krylov
from eigexp.subspace import Mask
from eigexp.synthesis.methods import SOLVERS
from tests.synthesis.toys import linear_object, picture, random_matrix, spectrum

TALL = random_matrix("tall", 0)


def test_noise_weighs_responses():
    plain, noisy = linear_object(TALL), Eigendistortion(picture(), linear_object(TALL).model, noise=GaussianNoise(variance=4.0))
    plain.synthesize(progress=False)
    noisy.synthesize(progress=False)
    torch.testing.assert_close(noisy.eigenvalues * 4, plain.eigenvalues)
    assert noisy.pairs is not None and noisy._results.solved[0].record["identity"]["noise"]["variance"] == 4.0


def test_a_subspace_confines_distortions():
    image, mask = torch.rand(1, 1, 16, 16, generator=torch.Generator().manual_seed(0)), Mask(shape="box", extent=0.5)
    eig = Eigendistortion(image, LinearNonlinear().eval().requires_grad_(False), subspace=mask)
    for method in ("krylov", "exact"):
        eig.synthesize(method, progress=False)
        assert eig.pairs.n == mask.dimension((1, 16, 16)) == 64
        outside = eig.eigendistortions.clone()
        outside[..., 4:12, 4:12] = 0
        assert not outside.any() and eig.jacobian is None
        assert eig.index_of(-1) == len(eig.eigenvalues) - 1


def test_each_end_has_its_number_of_pairs():
    eig = linear_object(TALL)
    eig.synthesize(k_top=3, k_bottom=0, progress=False)
    torch.testing.assert_close(eig.eigenvalues, spectrum(TALL)[:3].to(eig.eigenvalues), rtol=1e-3, atol=0)
    eig.synthesize("power", k_top=0, k_bottom=2, tol=1e-3, progress=False)
    n = eig.pairs.n
    assert eig.eigenindex.tolist() == [n - 2, n - 1]


def test_the_method_may_be_auto_or_a_solver(caplog):
    eig = linear_object(TALL)
    caplog.set_level("INFO")
    eig.synthesize("auto", k=2, bottom_rtol=1e-3, progress=False)
    assert "solver=auto: exact" in caplog.text and len(eig.eigenvalues) == 4 and eig.pairs.evidence["bottom"] == "proven"
    eig.synthesize(Krylov(k=2, verify=False, max_basis=30), progress=False)
    assert len(eig.eigenvalues) == 4 and eig.pairs.evidence["bottom"] == "converged"


def test_a_preconditioner_and_a_way_to_make_products_are_handed_on():
    image = SkimageImages(["camera"], size=16, grey=True)[0].pixels[None]
    eig = Eigendistortion(image, LinearNonlinear().eval().requires_grad_(False))
    eig.synthesize(preconditioner="pf", linearise="double_backward", progress=False)
    record = eig._results.solved[0].record
    assert record["settings"]["solver.preconditioner"] == "pf" and record["linearise"] == "double_backward"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"method": "sparse", "k_top": 2},
            r"k_top is not an option of method='sparse'. Choose a method that has this option: krylov, power",
        ),
        ({"method": "exact", "bottom_rtol": 1e-3}, r"bottom_rtol is not an option of method='exact'"),
        ({"method": "power", "preconditioner": "pf"}, r"preconditioner is not an option of method='power'"),
        ({"method": Krylov(), "tol": 1e-3}, r"Give it to the solver: Krylov\(tol=\.\.\.\)"),
        ({"linearise": "nosuch"}, r"linearise=nosuch is unknown"),
    ],
)
def test_an_option_that_the_method_does_not_have_is_refused(options, message):
    with pytest.raises(ConfigurationError, match=message):
        linear_object(TALL).synthesize(**options, progress=False)


@pytest.mark.parametrize("part", ["noise", "subspace"])
def test_a_part_of_another_kind_is_refused(part):
    with pytest.raises(ConfigurationError, match=f"{part}='gaussian' is not a"):
        Eigendistortion(picture(), linear_object(TALL).model, **{part: "gaussian"})


def test_every_setting_of_the_default_solver_that_the_command_line_names_first_is_an_argument():
    """And every solver of the command is a method, so that nothing needs the command alone."""
    here = inspect.signature(Eigendistortion.synthesize).parameters
    assert {"k", "k_top", "k_bottom", "tol", "bottom_rtol", "preconditioner", "certify", "seed", "linearise"} <= here.keys()
    for name, kind in SOLVERS.items():
        node = dict(compose([f"solver={name}"])["solver"])
        assert node["_target_"].rpartition(".")[2] == kind.__name__
