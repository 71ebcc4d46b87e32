"""What tasks predict for an observer of a known d', against simulated responses."""

import numpy as np
import pytest

from eigexp.errors import ConfigurationError
from eigexp.psychophysics.tasks import TASKS, task_named


def test_two_intervals_are_as_the_larger_of_two_responses():
    rng = np.random.default_rng(0)
    right = [np.mean(rng.normal(d, 1, 200_000) > rng.normal(0, 1, 200_000)) for d in (0.0, 0.5, 1.0, 2.0)]
    np.testing.assert_allclose(TASKS["two_interval"].proportion_correct(np.array([0.0, 0.5, 1.0, 2.0])), right, atol=4e-3)


@pytest.mark.parametrize("sign", [1, -1])
def test_the_odd_one_is_farthest_from_the_two_nearest(sign):
    rng = np.random.default_rng(1)
    right = []
    for d in (0.0, 0.5, 1.0, 2.0, 4.0):
        odd, one, other = sign * d + rng.normal(size=200_000), rng.normal(size=200_000), rng.normal(size=200_000)
        right.append(np.mean(np.abs(one - other) < np.minimum(np.abs(odd - one), np.abs(odd - other))))
    np.testing.assert_allclose(TASKS["odd_one_out"].proportion_correct(np.array([0.0, 0.5, 1.0, 2.0, 4.0])), right, atol=4e-3)


def test_chance_is_one_over_the_choices_and_thresholds_lie_above():
    for task in TASKS.values():
        assert task.proportion_correct(np.array([0.0]))[0] == pytest.approx(1 / task.choices, abs=1e-12)
        assert task.proportion_correct(np.array([30.0]))[0] == pytest.approx(1, abs=1e-9)
    assert TASKS["two_interval"].proportion_correct(np.array([1.0]))[0] == pytest.approx(0.7602, abs=1e-4)


def test_an_unknown_task_is_refused_with_the_known_ones():
    with pytest.raises(ConfigurationError, match="two_interval"):
        task_named("two_intervals")
