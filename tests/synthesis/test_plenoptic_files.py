"""Files that plenoptic saved."""

import contextlib
import io

import pytest
import torch

from eigexp.errors import LoadWarning
from eigexp.io import examine
from tests.synthesis.others import CHECKS
from tests.synthesis.toys import LinearMap, linear_object, picture, quietly, random_matrix, spectrum

TALL = random_matrix("tall", 0)
plenoptic = pytest.importorskip("plenoptic")


def theirs(method="power", k=2, dtype=torch.float64):
    torch.manual_seed(0)
    eig = plenoptic.Eigendistortion(picture(dtype=dtype), LinearMap(TALL.to(dtype)).eval())
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        quietly(eig.synthesize, method, k=k, max_iter=200)
    return eig


@pytest.mark.slow(0.4)
@pytest.mark.parametrize("method", ["power", "exact", "randomized_svd"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_files_of_plenoptic_are_imported(tmp_path, method, dtype):
    other = theirs(method, dtype=dtype)
    other.save(tmp_path / "eig.pt")
    eig = linear_object(TALL.to(dtype), picture(dtype=dtype))
    eig.load(tmp_path / "eig.pt")
    values, order = other.eigenvalues.sort(descending=True, stable=True)
    assert torch.equal(eig.eigenvalues, values) and torch.equal(eig.eigendistortions, other.eigendistortions[order])
    assert torch.equal(eig.eigenindex, other.eigenindex)
    assert eig.status == "imported" and eig.verified is False and eig.pairs.method == "plenoptic 2.1.1"
    assert eig.intervals.tolist() == [[0, torch.inf]] * len(values) and eig.residuals.isnan().all()
    assert (eig.jacobian is None) == (method != "exact")
    eig.plot().canvas.draw()
    eig.save(tmp_path / "ours")
    again = linear_object(TALL.to(dtype), picture(dtype=dtype))
    again.load(tmp_path / "ours")
    assert torch.equal(again.eigenvalues, eig.eigenvalues) and again.status == "imported"
    eig.synthesize(progress=False)
    assert eig.verified is True
    torch.testing.assert_close(eig.eigenvalues, spectrum(TALL)[[0, -1]].to(dtype), rtol=1e-3, atol=0)


def test_the_bottom_pairs_of_plenoptic_are_put_in_order(tmp_path):
    other = theirs(k=3)
    assert other.eigenvalues[-3] < other.eigenvalues[-1]  # what is to be mended
    other.save(tmp_path / "eig.pt")
    eig = linear_object(TALL)
    eig.load(tmp_path / "eig.pt")
    assert (eig.eigenvalues.diff() <= 0).all()
    assert torch.equal(eig.eigendistortions[-1], other.eigendistortions[3])


@pytest.mark.slow(0.2)
@pytest.mark.parametrize("check", CHECKS)
def test_files_of_plenoptic_are_checked_alike(tmp_path, check):
    theirs().save(tmp_path / "eig.pt")
    make, words = CHECKS[check]
    with pytest.raises(ValueError, match=words):
        make().load(tmp_path / "eig.pt")
    with pytest.warns(LoadWarning, match=words):
        make().load(tmp_path / "eig.pt", raise_on_checks=False)


def test_other_objects_of_plenoptic_are_a_value_error(tmp_path):
    metamer = quietly(plenoptic.Metamer, picture(), LinearMap(TALL).eval())
    quietly(metamer.synthesize, 2)
    metamer.save(tmp_path / "metamer.pt")
    with pytest.raises(ValueError, match=r"plenoptic.Metamer, not an eigexp.Eigendistortion"):
        linear_object(TALL).load(tmp_path / "metamer.pt")


def test_examine_shows_files_of_plenoptic(tmp_path):
    theirs().save(tmp_path / "eig.pt")
    shown = repr(examine(tmp_path / "eig.pt"))
    for words in ("plenoptic.Eigendistortion", "plenoptic 2.1.1", "LinearMap", "float64, shape (4, 1, 6, 6)", "jacobian"):
        assert words in shown


def test_a_pickle_that_could_run_code_is_refused(tmp_path):
    class Evil:
        def __reduce__(self):
            return (print, ("run",))

    torch.save({"save_metadata": {"synthesis_object": "plenoptic.Eigendistortion"}, "_image": Evil()}, tmp_path / "eig.pt")
    for action in (linear_object(TALL).load, examine):
        with pytest.raises(ValueError, match="cannot be read safely"):
            action(tmp_path / "eig.pt")


def test_a_torch_file_that_is_no_object_is_a_value_error(tmp_path):
    torch.save({"weights": torch.ones(2)}, tmp_path / "x.pt")
    with pytest.raises(ValueError, match="no save_metadata"):
        linear_object(TALL).load(tmp_path / "x.pt")
