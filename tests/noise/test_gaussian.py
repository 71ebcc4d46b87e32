import pytest
import torch

from eigexp.errors import ConfigurationError
from eigexp.noise import GaussianNoise


def test_unit_noise_changes_nothing():
    u = torch.randn(2, 3, 4)
    assert torch.equal(GaussianNoise().whiten(u, torch.zeros(2, 4)), u)


def test_variance_is_in_squared_response_units():
    u = torch.randn(2, 3, 4)
    assert torch.allclose(GaussianNoise(9.0).whiten(u, torch.zeros(2, 4)), u / 3)


@pytest.mark.parametrize("variance", [0.0, -1.0, float("nan"), float("inf")])
def test_a_variance_that_is_not_positive_is_refused(variance):
    with pytest.raises(ConfigurationError, match=rf"noise\.variance={variance} must be a positive number"):
        GaussianNoise(variance)
