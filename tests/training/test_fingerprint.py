import dataclasses

import pytest
import torch

from eigexp.errors import CheckpointError
from eigexp.noise import GaussianNoise
from eigexp.subspace import Mask
from eigexp.training.fingerprint import check_fingerprint, fingerprint
from eigexp.training.settings import SolveSettings
from tests.training.toys import Power, task

CPU = torch.device("cpu")


def made(solver=None, given=None, device=CPU, **changes):
    return fingerprint(given or task("a"), SolveSettings(solver or Power(), **changes), device)


def test_the_same_work_has_the_same_fingerprint():
    check_fingerprint(made(), made())


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        (lambda: made(seed=1), "seed was 1 and is now 0"),
        (lambda: made(linearise="dense"), "linearise was 'dense' and is now 'auto'"),
        (lambda: made(device=torch.device("cuda")), "device was 'cuda' and is now 'cpu'"),
        (lambda: made(Power(tol=1e-3)), "solver.tol was 0.001 and is now 1e-09"),
        (lambda: made(noise=GaussianNoise(2.0)), "noise was 'GaussianNoise' and is now None"),
        (lambda: made(subspace=Mask("box")), "subspace was 'Mask' and is now None"),
        (lambda: made(given=dataclasses.replace(task("a"), ids=("other",))), "ids was .'other'. and"),
        (lambda: {key: value for key, value in made().items() if key != "seed"}, "seed was 'unset' and is now 0"),
        (lambda: made() | {"extra": 1}, "extra was 1 and is now 'unset'"),
    ],
)
def test_other_work_is_refused_by_the_name_of_what_differs(changed, named):
    with pytest.raises(CheckpointError, match=named):
        check_fingerprint(changed(), made())


def test_settings_of_noise_and_subspace_count():
    with pytest.raises(CheckpointError, match=r"noise.variance was 2.0 and is now 3.0"):
        check_fingerprint(made(noise=GaussianNoise(2.0)), made(noise=GaussianNoise(3.0)))
    with pytest.raises(CheckpointError, match=r"subspace.extent was 0.5 and is now 0.25"):
        check_fingerprint(made(subspace=Mask("box", 0.5)), made(subspace=Mask("box", 0.25)))


def test_the_shape_of_the_images_counts():
    colour = made() | {"image shape": [3, 4, 4]}
    assert made()["image shape"] == list(task("a").images[0].pixels.shape)
    with pytest.raises(CheckpointError, match="image shape"):
        check_fingerprint(colour, made())
