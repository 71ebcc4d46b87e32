"""Settings and responses at which a noise is not defined, and what the message says."""

import numpy as np
import pytest
import torch

from eigexp.errors import ConfigurationError, ModelError
from eigexp.noise import (
    EarlyLateNoise,
    GaussianNoise,
    LowRankNoise,
    NegativeBinomialNoise,
    Noise,
    PoissonNoise,
    PowerLawNoise,
    SharedGainNoise,
)
from eigexp.operators import linearise

X = torch.tensor([[0.5, 0.0, 0.3]])


@pytest.mark.parametrize(
    ("noise", "message"),
    [
        (
            PoissonNoise(),
            r"noise=poisson needs positive responses, but response 1 of image 0 is 0 \(1 of 3 .*Set noise\.offset= to more than 0\.",
        ),
        (NegativeBinomialNoise(), r"noise=negative_binomial needs positive responses, but response 1 .*noise\.offset="),
        (PowerLawNoise(), r"noise=power_law needs positive responses, but response 1 .*noise\.offset="),
        (SharedGainNoise(), r"noise=shared_gain needs positive responses, but response 1 .*Choose a layer with positive responses"),
    ],
)
def test_a_response_outside_the_domain_is_named(noise, message):
    with pytest.raises(ModelError, match=message):
        linearise(lambda x: x * 2, X, noise=noise)


def test_the_offset_that_would_do_is_named():
    with pytest.raises(ModelError, match=r"response 0 of image 0 is -1\.5 with noise\.offset=1 .*Set noise\.offset= to more than 1\.5\."):
        linearise(lambda x: x * 2, torch.tensor([[-0.75, 0.4, 1.0]]), noise=PoissonNoise(1.0))
    linearise(lambda x: x * 2, torch.tensor([[-0.75, 0.4, 1.0]]), noise=PoissonNoise(1.6))


class Logarithm(Noise):
    name = "logarithm"

    def augment(self, response, at):
        return response.log()


def test_a_noise_that_checks_nothing_must_be_finite():
    with pytest.raises(ModelError, match=r"noise=logarithm is not finite"):
        linearise(lambda x: x * 2, X, noise=Logarithm())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PoissonNoise(-1), r"noise\.offset=-1 must be zero or more"),
        (lambda: NegativeBinomialNoise(dispersion=0), r"noise\.dispersion=0 must be a positive number"),
        (lambda: PowerLawNoise(scale=float("nan")), r"noise\.scale=nan must be a positive number"),
        (lambda: PowerLawNoise(exponent=float("inf")), r"noise\.exponent=inf must be a finite number"),
        (lambda: PowerLawNoise(offset=-0.1), r"noise\.offset=-0\.1 must be zero or more"),
        (lambda: SharedGainNoise(0), r"noise\.gain=0 must be a positive number"),
        (lambda: EarlyLateNoise(0.1, 0), r"noise\.sigma_late=0 must be a positive number"),
        (lambda: GaussianNoise([1.0, -2.0]), r"noise\.variance=-2\.0 must be a positive number"),
        (lambda: GaussianNoise("absent.npy"), r"noise\.variance=absent\.npy cannot be read .*with variance"),
        (lambda: LowRankNoise("absent.npz"), r"noise\.path=absent\.npz cannot be read .*with diagonal and factors"),
    ],
)
def test_settings_that_cannot_work_are_refused(make, message):
    with pytest.raises(ConfigurationError, match=message):
        make()


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"diagonal": np.ones(3)}, r"has no array 'factors'"),
        ({"diagonal": np.ones(3), "factors": np.ones((2, 1))}, r"factors \(2, 1\)\. Write positive variances"),
        ({"diagonal": np.zeros(3), "factors": np.ones((3, 1))}, r"smallest entry 0,"),
        ({"diagonal": np.ones(3), "factors": np.full((3, 1), np.nan)}, r"factors has NaN or Inf"),
    ],
)
def test_a_covariance_that_is_none_is_refused(arrays, message, tmp_path):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(ConfigurationError, match=message):
        LowRankNoise(str(tmp_path / "a.npz"))


def test_another_number_of_responses_is_refused(tmp_path):
    np.savez(tmp_path / "a.npz", diagonal=np.ones(4), factors=np.ones((4, 1)))
    with pytest.raises(ModelError, match=r"describes 4 responses, but the model has 3"):
        linearise(lambda x: x * 2, X, noise=LowRankNoise(str(tmp_path / "a.npz")))
    with pytest.raises(ModelError, match=r"noise\.variance has 2 values, which do not divide the m=3"):
        linearise(lambda x: x * 2, X, noise=GaussianNoise([1.0, 2.0]))


def test_variances_come_from_a_file(tmp_path):
    np.save(tmp_path / "v.npy", np.array([1.0, 4.0, 9.0]))
    r = torch.ones(1, 3)
    assert torch.allclose(GaussianNoise(str(tmp_path / "v.npy")).augment(r, r), torch.tensor([[1.0, 1 / 2, 1 / 3]]))


def test_one_variance_a_channel():
    r = torch.ones(1, 6)
    assert torch.allclose(GaussianNoise([1.0, 4.0]).augment(r, r), torch.tensor([[1.0, 1, 1, 0.5, 0.5, 0.5]]))
