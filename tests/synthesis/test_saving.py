"""An object to a file and back, every check of the load, and files that plenoptic saved."""

import contextlib
import io
import json
import struct
import subprocess
import sys
import warnings
import zipfile

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from eigexp import Eigendistortion, EigexpError
from eigexp.errors import LoadError, LoadWarning, StoreError
from eigexp.io import examine
from tests.synthesis.toys import LinearMap, linear_object, picture, quietly, random_matrix, spectrum

TALL = random_matrix("tall", 0)
NAMES = ("eigendistortions", "eigenvalues", "eigenindex", "intervals", "residuals")


class Renamed(LinearMap):
    pass


class AddsBias(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = LinearMap(TALL)

    def forward(self, x):
        return self.linear(x) + 1e-6


AddsBias.__name__ = "LinearMap"  # the same name, other behaviour


@pytest.fixture
def saved(tmp_path):
    eig = linear_object(TALL)
    eig.synthesize(k=2, progress=False)
    eig.compute_jacobian()
    path = tmp_path / "eig.safetensors"
    eig.save(path)
    return eig, path


def test_a_loaded_object_is_the_one_that_was_saved(saved):
    eig, path = saved
    copy = linear_object(TALL)
    copy.load(path)
    for name in (*NAMES, "jacobian", "image"):
        assert torch.equal(getattr(copy, name), getattr(eig, name)), name
    a, b = eig.pairs, copy.pairs
    plain = ("clusters", "null_space", "evidence", "verified", "status", "tolerances", "method", "n", "m", "steps", "notes")
    assert [getattr(a, name) for name in plain] == [getattr(b, name) for name in plain]
    assert copy.fisher_vector_products == eig.fisher_vector_products
    assert len(copy.plot().axes) == len(eig.plot().axes)


def test_a_loaded_object_goes_on_synthesizing_and_saving(saved, tmp_path):
    _, path = saved
    copy = linear_object(TALL)
    copy.load(path)
    copy.synthesize(k=3, progress=False)
    assert copy.eigenindex.tolist() == [0, 1, 2, 33, 34, 35]
    copy.save(tmp_path / "again.safetensors")
    copy.to(torch.float32)
    copy.synthesize(progress=False)
    assert copy.eigenvalues.dtype == torch.float32


def test_the_file_has_no_pickle_and_any_reader_of_safetensors_opens_it(saved):
    eig, path = saved
    assert not zipfile.is_zipfile(path)
    assert torch.equal(load_file(path)["0.eigendistortions"], eig.eigendistortions)
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("method", ["power", "exact", "randomized_svd"])
def test_every_method_saves(method, tmp_path):
    eig, copy = linear_object(TALL), linear_object(TALL)
    quietly(eig.synthesize, method, max_iter=5, progress=False)
    eig.save(tmp_path / "x")
    copy.load(tmp_path / "x")
    assert all(torch.equal(getattr(copy, name), getattr(eig, name)) for name in NAMES)


def test_an_object_without_results_saves_and_loads(tmp_path):
    linear_object(TALL).save(tmp_path / "x")
    eig = linear_object(TALL)
    eig.load(tmp_path / "x")
    assert eig.eigenvalues is None
    eig.load(tmp_path / "x")  # it is still fresh


def test_several_images_and_one_axis_save(tmp_path):
    model = LinearMap(TALL).eval()
    for image, called in ((picture(2, 1, 6, 6), model), (picture(36), lambda x: TALL @ x)):
        eig, copy = (quietly(Eigendistortion, image, called) for _ in range(2))
        eig.synthesize(progress=False)
        eig.save(tmp_path / "x")
        copy.load(tmp_path / "x")
        assert all(torch.equal(getattr(copy, name), getattr(eig, name)) for name in NAMES)
        assert copy.status == eig.status


def test_map_location_is_where_the_tensors_go(saved):
    _, path = saved
    copy = linear_object(TALL)
    copy.load(path, map_location="cpu")
    assert copy.image.device.type == "cpu"
    with pytest.raises(ValueError, match="would be on meta, but the image is on cpu"):
        linear_object(TALL).load(path, map_location="meta")


# ------------------------------------------------------------------------------------------------------- the checks


def test_load_works_only_in_a_fresh_object(saved):
    eig, path = saved
    with pytest.raises(ValueError, match="just made") as caught:
        eig.load(path)
    assert isinstance(caught.value, EigexpError)


def other_image():
    return linear_object(TALL, picture(seed=1))


def other_image_shape():
    return linear_object(TALL, picture(1, 4, 3, 3))


def other_behaviour():
    return Eigendistortion(picture(), AddsBias().eval())


def other_output_shape():
    return linear_object(TALL[:20])


def other_name():
    return Eigendistortion(picture(), Renamed(TALL).eval())


CHECKS = {
    "image": (other_image, "saved image has other values"),
    "image shape": (other_image_shape, r"saved image has the shape \(1, 1, 6, 6\)"),
    "behaviour": (other_behaviour, "saved model output has other values"),
    "output shape": (other_output_shape, "saved model output has the shape"),
    "name": (other_name, "saved model is called LinearMap, and that here Renamed"),
}


@pytest.mark.parametrize("check", CHECKS)
def test_a_check_that_fails_is_a_value_error_or_a_warning(saved, check):
    eig, path = saved
    make, words = CHECKS[check]
    with pytest.raises(ValueError, match=words) as caught:
        make().load(path)
    assert isinstance(caught.value, LoadError)
    other = make()
    model = other.model
    with pytest.warns(LoadWarning, match=words):
        other.load(path, raise_on_checks=False)
    assert torch.equal(other.image, eig.image) and other.model is model
    assert torch.equal(other.eigendistortions, eig.eigendistortions)


def test_the_tolerances_of_equality_decide(saved):
    _, path = saved
    other_behaviour().load(path, tensor_equality_atol=1e-5)
    with pytest.raises(ValueError, match="other values"):
        other_behaviour().load(path, tensor_equality_atol=1e-9, tensor_equality_rtol=0)
    linear_object(TALL, picture() * (1 + 1e-4)).load(path, tensor_equality_rtol=1e-3)


def test_another_dtype_is_a_value_error_in_any_case(saved):
    _, path = saved
    for raises in (True, False):
        with pytest.raises(ValueError, match=r"saved image is torch.float64, and that here torch.float32. Call to\(torch.float64\)"):
            linear_object(TALL.float(), picture(dtype=torch.float32)).load(path, raise_on_checks=raises)


def rewritten(path, change):
    """The file with its metadata and tensors changed."""
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["eigexp"])
    tensors = load_file(path)
    change(header, tensors)
    other = path.with_name("changed")
    save_file(tensors, other, metadata={"eigexp": json.dumps(header)})
    return other


def test_another_kind_of_object_is_a_value_error(saved):
    path = rewritten(saved[1], lambda header, tensors: header.update(object="eigexp.Metamer"))
    with pytest.raises(ValueError, match=r"is a eigexp.Metamer, not an eigexp.Eigendistortion"):
        linear_object(TALL).load(path)
    with pytest.warns(LoadWarning, match="Metamer"):
        linear_object(TALL).load(path, raise_on_checks=False)


@pytest.mark.parametrize("where", ["header", "tensors"])
def test_extra_attributes_are_a_value_error(saved, where):
    path = rewritten(
        saved[1],
        lambda header, tensors: (header if where == "header" else tensors).update(
            extra=torch.ones(1).tolist() if where == "header" else torch.ones(1)
        ),
    )
    with pytest.raises(ValueError, match=r"attributes that this one has not.*extra"):
        linear_object(TALL).load(path)
    eig = linear_object(TALL)
    with pytest.warns(LoadWarning, match="ignored: extra"):
        eig.load(path, raise_on_checks=False)
    assert eig.status == "converged"


def test_missing_attributes_are_a_value_error_in_any_case(saved):
    path = rewritten(saved[1], lambda header, tensors: tensors.pop("0.residuals"))
    with pytest.raises(ValueError, match=r"lacks 0.residuals"):
        linear_object(TALL).load(path, raise_on_checks=False)


def test_a_later_format_is_a_value_error(saved):
    path = rewritten(saved[1], lambda header, tensors: header.update(format=99))
    with pytest.raises(ValueError, match=r"format 99.*newer"):
        linear_object(TALL).load(path)


@pytest.mark.parametrize("content", [b"", b"text that is no object", bytes(100)])
def test_what_is_no_saved_object_is_a_value_error(tmp_path, content):
    (tmp_path / "x").write_bytes(content)
    for action in (linear_object(TALL).load, examine):
        with pytest.raises(ValueError, match="no saved object"):
            action(tmp_path / "x")


def test_a_truncated_file_is_a_value_error(saved):
    _, path = saved
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(ValueError, match="damaged"):
        linear_object(TALL).load(path)


def test_an_absent_file_is_an_os_error(tmp_path):
    for action in (linear_object(TALL).load, examine):
        with pytest.raises(OSError, match="Cannot read") as caught:
            action(tmp_path / "absent")
        assert isinstance(caught.value, StoreError)


def test_nothing_is_loaded_when_a_check_fails(saved):
    other = other_image()
    with contextlib.suppress(ValueError):
        other.load(saved[1])
    assert other.eigenvalues is None and torch.equal(other.image, picture(seed=1))


# ----------------------------------------------------------------------------------------------------------- examine


def test_examine_shows_kind_versions_model_and_shapes(saved):
    shown = repr(examine(saved[1]))
    for words in (
        "eigexp.Eigendistortion",
        "LinearMap",
        "torch 2.",
        "krylov",
        "converged",
        "0.eigendistortions",
        "F64, shape (4, 1, 6, 6)",
    ):
        assert words in shown
    assert examine(saved[1]).shapes["image"] == "F64, shape (1, 1, 6, 6)"


def test_examining_needs_neither_torch_nor_the_class(saved):
    code = f"import sys, eigexp; print(eigexp.io.examine({str(saved[1])!r})); assert not {{'torch', 'lightning'}} & set(sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0 and "eigexp.Eigendistortion" in run.stdout, run.stderr


# --------------------------------------------------------------------------------------------------------- plenoptic

plenoptic = pytest.importorskip("plenoptic")


def theirs(method="power", k=2, dtype=torch.float64):
    torch.manual_seed(0)
    eig = plenoptic.Eigendistortion(picture(dtype=dtype), LinearMap(TALL.to(dtype)).eval())
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        quietly(eig.synthesize, method, k=k, max_iter=200)
    return eig


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


def test_loading_a_good_file_warns_of_nothing(saved):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        linear_object(TALL).load(saved[1])
