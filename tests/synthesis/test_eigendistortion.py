"""The class: attributes, shapes of inputs and outputs, batches, settings, the Jacobian, indices."""

import math
import warnings
from dataclasses import replace

import pytest
import torch
from lightning.pytorch import Callback

import eigexp
from eigexp import Eigendistortion, EigenPairs, EigexpError
from eigexp.synthesis.results import SynthesisResults
from eigexp.system import memory
from tests.synthesis.toys import Bare, LinearMap, linear_object, picture, quietly, random_matrix, spectrum

TALL = random_matrix("tall", 0)


@pytest.fixture
def eig():
    return linear_object(TALL)


def test_nothing_is_known_before_synthesis(eig):
    names = ("eigendistortions", "eigenvalues", "eigenindex", "jacobian", "intervals", "residuals")
    assert all(getattr(eig, name) is None for name in (*names, "fisher_vector_products", "status", "verified", "pairs"))
    assert torch.equal(eig.image, picture()) and isinstance(eig.model, LinearMap)


def test_attributes_after_synthesis(eig):
    eig.synthesize(k=2, progress=False)
    assert eig.eigendistortions.shape == (4, 1, 6, 6) and eig.eigenvalues.shape == (4,) and eig.intervals.shape == (4, 2)
    assert eig.eigenindex.dtype == torch.int64 and eig.eigenvalues.dtype == eig.eigendistortions.dtype == torch.float64
    assert eig.status == "converged" and eig.verified is True and eig.fisher_vector_products > 4
    assert isinstance(eig.pairs, EigenPairs) and eig.pairs.method == "krylov"
    assert eig.jacobian is None
    assert not eig.eigendistortions.requires_grad


def test_later_changes_of_the_given_image_do_not_reach_the_object():
    image = picture()
    eig = linear_object(TALL, image)
    image.zero_()
    assert torch.equal(eig.image, picture())


def test_the_same_seed_gives_the_same_numbers_and_another_seed_others(eig):
    found = []
    for seed in (0, 0, 1):
        eig.synthesize(seed=seed, progress=False, max_iter=5)
        found.append(eig.eigendistortions)
    assert torch.equal(found[0], found[1]) and not torch.equal(found[0], found[2])


@pytest.mark.parametrize("method", ["krylov", "power", "exact", "randomized_svd"])
@pytest.mark.parametrize("shape", [(36,), (1, 36), (1, 6, 6), (1, 1, 6, 6), (1, 3, 4, 3), (1, 1, 2, 6, 3)])
def test_inputs_of_one_to_five_axes(shape, method):
    eig = quietly(Eigendistortion, picture(*shape), Bare(lambda x: TALL @ x.reshape(36)).eval())
    quietly(eig.synthesize, method, k=1, max_iter=20, progress=False)
    each = shape if len(shape) == 1 else shape[1:]
    assert eig.eigendistortions.shape == (len(eig.eigenindex), *each)
    if method in ("krylov", "exact"):
        torch.testing.assert_close(eig.eigenvalues[0], spectrum(TALL)[0])


@pytest.mark.parametrize(
    "function",
    [
        lambda x: (TALL[:20] @ x.flatten(), TALL[20:] @ x.flatten()),
        lambda x: [TALL[:20] @ x.flatten(), (TALL[20:] @ x.flatten()).reshape(5, 6)],
        lambda x: {"a": (TALL[:20] @ x.flatten())[None], "b": [TALL[20:] @ x.flatten()]},
    ],
    ids=["tuple", "list", "dict"],
)
def test_outputs_that_are_tuples_lists_and_dicts(function):
    eig = Eigendistortion(picture(), Bare(function).eval())
    eig.synthesize(progress=False)
    torch.testing.assert_close(eig.eigenvalues, spectrum(TALL)[[0, -1]], rtol=1e-4, atol=0)
    torch.testing.assert_close(eig.compute_jacobian(), TALL)


@pytest.mark.slow(1.0)
def test_several_images_get_a_leading_axis():
    images = picture(3, 1, 6, 6)
    model = Bare(lambda x: (x.flatten(1) ** 2) @ TALL.T).eval()  # J depends on the image
    batch = Eigendistortion(images, model)
    batch.synthesize(k=2, progress=False)
    assert batch.eigendistortions.shape == (3, 4, 1, 6, 6) and batch.eigenvalues.shape == batch.residuals.shape == (3, 4)
    assert batch.intervals.shape == (3, 4, 2) and batch.eigenindex.tolist() == [0, 1, 34, 35]
    assert (
        batch.status == ("converged",) * 3 and batch.verified == (True,) * 3 and len(batch.fisher_vector_products) == len(batch.pairs) == 3
    )
    assert batch.compute_jacobian().shape == (3, 50, 36)
    for i in range(3):
        alone = Eigendistortion(images[i : i + 1], model)
        alone.synthesize(k=2, progress=False)
        torch.testing.assert_close(batch.eigenvalues[i], alone.eigenvalues)
        torch.testing.assert_close(batch.eigendistortions[i], alone.eigendistortions, atol=1e-6, rtol=1e-6)
        torch.testing.assert_close(batch.jacobian[i], alone.compute_jacobian())


def test_several_images_that_a_callback_cut_short_keep_common_indices():
    class After(Callback):
        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            if batch_idx == 5:
                pl_module.end_task("enough")

    eig = Eigendistortion(picture(2, 1, 6, 6), Bare(lambda x: (x.flatten(1) ** 2) @ TALL.T).eval())
    eig.synthesize(callbacks=[After()], progress=False)
    assert eig.status == ("budget", "budget") and eig.eigenvalues.shape == (2, 2)
    assert all("enough" in pairs.notes for pairs in eig.pairs)


def test_images_with_different_pairs_show_those_that_all_have():
    matrix = random_matrix("tall", 1)
    eig = linear_object(matrix, picture(2, 1, 6, 6))
    eig.synthesize(k=2, tol=1e-8, progress=False)
    first, second = eig._results.solved
    names = ("eigenindex", "eigenvalues", "eigendistortions", "residuals", "intervals")
    fewer = replace(second.pairs, **{name: getattr(second.pairs, name)[torch.tensor([0, 3])] for name in names})
    outcome = SynthesisResults([first, replace(second, pairs=fewer)], eig.image)
    assert outcome.eigenindex.tolist() == [0, 35] and outcome.eigendistortions.shape == (2, 2, 1, 6, 6)
    torch.testing.assert_close(outcome.eigenvalues, spectrum(matrix)[[0, -1]].expand(2, 2))


def test_a_batch_whose_responses_do_not_run_over_images_is_refused():
    with pytest.raises(ValueError, match="first axis must run over images"):
        Eigendistortion(picture(2, 1, 6, 6), Bare(lambda x: x.sum(dim=0)).eval())


# ------------------------------------------------------------------------------------------------------------ settings


def test_an_unknown_method_is_a_value_error_that_names_the_nearest(eig):
    with pytest.raises(ValueError, match=r"method='randomised_svd' is unknown. Did you mean randomized_svd") as caught:
        eig.synthesize("randomised_svd")
    assert isinstance(caught.value, EigexpError)


@pytest.mark.parametrize("settings", [{"max_iter": 0}, {"k": 0}, {"k": 37}, {"tol": -1.0}, {"tol": 1e-17}, {"progress": "loud"}])
@pytest.mark.parametrize("method", ["krylov", "power"])
def test_settings_that_cannot_work_are_value_errors(eig, method, settings):
    with pytest.raises(ValueError, match=next(iter(settings)) if "max_iter" not in settings else "max_iter=0"):
        eig.synthesize(method, **settings)
    assert eig.eigenvalues is None


@pytest.mark.parametrize("settings", [{"p": -1}, {"q": -1}])
def test_settings_of_randomized_svd_are_checked(eig, settings):
    with pytest.raises(ValueError, match="must not be negative"):
        eig.synthesize("randomized_svd", **settings)


def test_max_iter_ends_krylov_as_budget(eig):
    eig.synthesize(max_iter=3, progress=False)
    assert eig.status == "budget" and eig.pairs.steps == 3 and eig.verified is False


def test_a_single_iteration_is_enough_for_an_answer(eig):
    eig.synthesize(max_iter=1, progress=False)
    assert eig.status == "budget" and 0 < len(eig.eigenindex) <= 2


def test_max_iter_of_power_counts_each_end(eig):
    eig.synthesize("power", max_iter=3, stop_criterion=1e-300, progress=False)
    assert eig.pairs.steps == 6


def test_tol_is_the_residual_that_is_reached(eig):
    for method in ("krylov", "power"):
        eig.synthesize(method, k=1, tol=1e-2, progress=False)
        assert eig.status == "converged" and (eig.residuals <= 1e-2 * eig.eigenvalues[0]).all()
        assert eig.pairs.tolerances["asked"]["tol"] == 1e-2


def test_power_stops_on_the_change_of_its_eigenvalues(eig):
    eig.synthesize("power", stop_criterion=1.0, progress=False)
    loose = eig.pairs.steps
    eig.synthesize("power", stop_criterion=1e-3, progress=False)
    assert loose < eig.pairs.steps < 2000


def test_randomized_svd_warns_of_the_error_of_its_range(eig):
    with pytest.warns(UserWarning, match=r"estimated error of its range is \d"):
        eig.synthesize("randomized_svd", k=3, progress=False)


# ---------------------------------------------------------------------------------------------------------- Jacobian


def test_the_jacobian_is_computed_once(eig):
    first = eig.compute_jacobian()
    torch.testing.assert_close(first, TALL)
    assert eig.compute_jacobian() is first and eig.jacobian is first


def test_exact_leaves_the_jacobian(eig):
    eig.synthesize("exact", progress=False)
    torch.testing.assert_close(eig.jacobian, TALL)


def test_a_jacobian_of_one_response_has_two_axes():
    eig = Eigendistortion(picture(), Bare(lambda x: x.square().sum()[None, None]).eval())
    torch.testing.assert_close(eig.compute_jacobian(), 2 * picture().reshape(1, 36))


def test_a_large_jacobian_warns():
    eig = Eigendistortion(picture(1, 1, 101, 100), Bare(lambda x: x.mean(dim=(1, 2, 3))).eval())
    with pytest.warns(UserWarning, match="10100 pixels takes a long time"):
        eig.compute_jacobian()


def test_exact_warns_of_a_jacobian_of_more_than_a_million_elements(monkeypatch):
    eig = Eigendistortion(picture(1, 1, 40, 40), Bare(lambda x: x.flatten(1)).eval())
    monkeypatch.setattr(memory, "free_memory", lambda device: 0)  # the warning comes first, and the work is refused
    with pytest.warns(UserWarning, match="more than 1e6 elements"), pytest.raises(MemoryError, match="GiB are free"):
        eig.synthesize("exact", progress=False)


def test_exact_is_refused_where_it_would_not_fit(eig, monkeypatch):
    monkeypatch.setattr(memory, "free_memory", lambda device: 50_000)  # the Jacobian fits, its spectrum does not
    with pytest.raises(MemoryError, match=r"the spectrum of m=50 responses to n=36 pixels needs .* Use method='krylov'") as caught:
        eig.synthesize("exact", progress=False)
    assert isinstance(caught.value, eigexp.errors.MemoryLimitError)
    assert eig.eigenvalues is None


# ------------------------------------------------------------------------------------------------------------- index


def test_an_eigenindex_counts_from_either_end(eig):
    eig.synthesize(k=2, progress=False)
    assert [eig.index_of(i) for i in (0, 1, 34, 35, -1, -2, -36)] == [0, 1, 2, 3, 3, 2, 0]


def test_an_eigenindex_that_was_not_synthesized_is_a_value_error(eig):
    eig.synthesize(k=2, progress=False)
    with pytest.raises(ValueError, match=r"eigenindex=5 was not synthesized. Known: \[0, 1, 34, 35\]"):
        eig.index_of(5)


def test_an_eigenindex_before_synthesis_is_a_value_error(eig):
    with pytest.raises(ValueError, match="no eigendistortions yet"):
        eig.index_of(0)


@pytest.mark.parametrize("index", [36, -37])
def test_an_eigenindex_beyond_the_pixels_is_an_index_error(eig, index):
    eig.synthesize(progress=False)
    with pytest.raises(IndexError, match="36 eigenvalues"):
        eig.index_of(index)


def test_repr_names_the_image_and_the_model(eig):
    assert "image = (1, 1, 6, 6) (torch.float64)" in repr(eig) and "model = LinearMap()" in repr(eig)


def test_the_default_is_krylov_and_its_docstring_says_why(eig):
    eig.synthesize(progress=False)
    assert eig.pairs.method == "krylov"
    assert 'not "power"' in eig.synthesize.__doc__


def test_a_good_run_warns_of_nothing(eig):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=r".*isinstance.treespec, LeafSpec.*", category=FutureWarning)
        eig.synthesize(progress=False)
    assert math.isfinite(eig.fisher_vector_products)
