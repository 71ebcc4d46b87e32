"""The rules that solvers share, on numbers put together by hand: settings, tolerances, which pairs are asked for, a state an image."""

import pytest
import torch

from eigexp.errors import ConfigurationError
from eigexp.operators import DenseOperator
from eigexp.solvers.both_ends import tolerances_met
from eigexp.solvers.krylov import Krylov
from eigexp.solvers.settings import check_counts, check_positive, check_precision, check_sizes
from tests.training.toys import Power, PowerImage


def met(values, residuals, bottom, *, largest=1.0, tol=0.1, rtol=0.01, dtype=torch.float32):
    values, residuals = (torch.tensor(numbers, dtype=torch.float64) for numbers in (values, residuals))
    return tolerances_met(values, residuals, torch.tensor(bottom), largest, dtype, tol, rtol).tolist()


@pytest.mark.parametrize("largest", [1e-3, 1.0, 1e3])
def test_tolerances_are_relative_to_the_largest_eigenvalue(largest):
    residuals = [0.1 * largest, 0.11 * largest]
    assert met([largest, largest], residuals, [False, False], largest=largest) == [True, False]
    assert met([largest, largest], residuals, [True, True], largest=largest, rtol=None) == [True, False]


@pytest.mark.parametrize(
    ("value", "residual", "bottom", "expected"),
    [
        (0.5, 0.1, False, True),  # nothing more is asked of the top
        (0.5, 0.1, True, False),
        (0.5, 0.004, True, True),
        (1e-8, 0.1, True, True),  # zero, as far as float32 can tell
        (1e-8, 0.11, True, False),
        (1e-6, 0.1, True, False),
    ],
)
def test_a_relative_tolerance_asks_more_of_the_bottom_unless_it_is_zero(value, residual, bottom, expected):
    for scale in (1e-3, 1.0, 1e3):
        assert met([value * scale], [residual * scale], [bottom], largest=scale) == [expected]


def test_zero_depends_on_the_dtype():
    assert met([1e-8], [0.1], [True], dtype=torch.float64) == [False]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [({"k": 2}, (2, 2)), ({"k": 2, "k_top": 0}, (0, 2)), ({"k": 2, "k_bottom": 0}, (2, 0)), ({"k_top": 3, "k_bottom": 4}, (3, 4))],
)
def test_how_many_pairs_are_asked_for(settings, expected):
    solver = Krylov(**settings)
    assert (solver.num_top, solver.num_bottom) == expected


@pytest.mark.parametrize(
    ("d", "ranks", "positions"),
    [
        (0, [], []),
        (1, [0], [0]),
        (2, [0, 1], [0, 1]),
        (3, [0, 1, 9], [0, 1, -1]),
        (4, [0, 1, 8, 9], [0, 1, -2, -1]),
        (9, [0, 1, 8, 9], [0, 1, -2, -1]),
    ],
)
def test_a_small_space_fills_the_top_first(d, ranks, positions):
    found = Krylov(k=2).wanted(10).held(d)
    assert [part.tolist() for part in found] == [ranks, positions]


@pytest.mark.parametrize("value", [0.0, -1.0, float("inf"), float("nan")])
def test_a_setting_that_must_be_positive_and_finite(value):
    with pytest.raises(ConfigurationError, match="tol"):
        check_positive(tol=value)
    check_positive(tol=1e-9, bottom_rtol=None)


def test_counts_are_refused_together_or_alone():
    check_counts(k=1, k_top=0, k_bottom=None)
    check_counts(k=1, k_top=None, k_bottom=0)
    for wrong in ({"k": 0}, {"k": 1, "k_top": -1}, {"k": 1, "k_bottom": -1}, {"k": 1, "k_top": 0, "k_bottom": 0}):
        with pytest.raises(ConfigurationError):
            check_counts(**{"k_top": None, "k_bottom": None} | wrong)


@pytest.mark.parametrize(("top", "bottom"), [(6, 1), (1, 6)])
def test_no_more_pairs_than_there_are(top, bottom):
    check_sizes(5, 5, 5)
    with pytest.raises(ConfigurationError, match="5"):
        check_sizes(top, bottom, 5)


def test_a_tolerance_below_the_rounding_of_products_is_refused():
    check_precision(1e-7 * 10, torch.float32)
    check_precision(1e-12, torch.float64)
    with pytest.raises(ConfigurationError, match="tol"):
        check_precision(1e-9, torch.float32)
    with pytest.raises(ConfigurationError, match="tol"):
        Krylov(tol=1e-9).check(DenseOperator(torch.eye(3)[None]))


@pytest.mark.parametrize("tol", [1.0, 2])
def test_a_tolerance_that_every_vector_meets_is_refused(tol):
    check_precision(0.99, torch.float32)
    with pytest.raises(ConfigurationError, match=rf"solver\.tol={tol} must be less than 1"):
        Krylov(tol=tol).check(DenseOperator(torch.eye(3)[None]))


class Numbered(Power):
    """Its states hold the number of their image."""

    def start(self, A, image, rng):
        state = super().start(A, image, rng)
        return PowerImage(**{**vars(state), "residual": float(image)})


def test_each_image_begins_as_itself_and_all_end():
    A = DenseOperator(torch.stack([torch.diag(torch.tensor([2.0, 1.0])) * s for s in (1, 2, 3)]))
    solver = Numbered(max_steps=2)
    state = solver.init(A, 0)
    assert [image.residual for image in state.images] == [0.0, 1.0, 2.0]
    assert not solver.done(state)
    assert solver.done(solver.step(A, solver.step(A, state)))
