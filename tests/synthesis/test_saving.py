"""An object to a file and back, every check of the load."""

import contextlib
import json
import struct
import subprocess
import sys
import warnings
import zipfile

import pytest
import torch
from safetensors.torch import load_file, save_file

from eigexp import Eigendistortion, EigexpError
from eigexp.errors import LoadError, LoadWarning, StoreError
from eigexp.io import examine
from eigexp.noise import GaussianNoise
from tests.synthesis.others import CHECKS, other_behaviour, other_image
from tests.synthesis.toys import LinearMap, linear_object, picture, quietly, random_matrix

TALL = random_matrix("tall", 0)
NAMES = ("eigendistortions", "eigenvalues", "eigenindex", "intervals", "residuals")


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
    with pytest.raises(ValueError, match="needs a new object") as caught:
        eig.load(path)
    assert isinstance(caught.value, EigexpError)


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
        with pytest.raises(ValueError, match=r"saved image is torch.float64, .* this object torch.float32. Call to\(torch.float64\)"):
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
    with pytest.raises(ValueError, match=r"attributes that this one does not have.*extra"):
        linear_object(TALL).load(path)
    eig = linear_object(TALL)
    with pytest.warns(LoadWarning, match="ignored: extra"):
        eig.load(path, raise_on_checks=False)
    assert eig.status == "converged"


class Mine(Eigendistortion):
    """A class of a user's, with an attribute more."""

    def __init__(self, *args, **settings):
        super().__init__(*args, **settings)
        self.note = "mine"


def test_attributes_and_classes_of_a_users_own_are_checked(saved, tmp_path):
    eig, path = saved
    mine = Mine(eig.image, eig.model)
    with pytest.raises(ValueError, match=r"is a eigexp.Eigendistortion, not an .*Mine"):
        mine.load(path)
    with pytest.warns(LoadWarning) as told:
        mine.load(path, raise_on_checks=False)
    assert ["Mine" in str(w.message) or "did not have: note" in str(w.message) for w in told] == [True, True]
    assert mine.note == "mine" and torch.equal(mine.eigenvalues, eig.eigenvalues)
    mine.save(tmp_path / "mine")
    again = Mine(eig.image, eig.model)
    again.load(tmp_path / "mine")  # its own kind
    eig.remark = "good"
    eig.save(tmp_path / "remarked")
    with pytest.raises(ValueError, match=r"does not have and that are ignored: remark"):
        linear_object(TALL).load(tmp_path / "remarked")
    other = linear_object(TALL)
    other.remark = "better"
    other.load(tmp_path / "remarked")
    assert other.remark == "better"


def test_another_noise_subspace_or_norm_is_a_value_error(saved, tmp_path):
    eig, path = saved
    noisy = Eigendistortion(eig.image, eig.model, noise=GaussianNoise(variance=4.0))
    with pytest.raises(ValueError, match=r"noise=.*4"):
        noisy.load(path)
    noisy.synthesize(method="exact")
    noisy.save(tmp_path / "noisy")
    for wrong in (None, GaussianNoise(variance=2.0)):
        with pytest.raises(ValueError, match=r"noise=.*4"):
            Eigendistortion(eig.image, eig.model, noise=wrong).load(tmp_path / "noisy")
    again = Eigendistortion(eig.image, eig.model, noise=GaussianNoise(variance=4.0))
    again.load(tmp_path / "noisy")
    assert torch.equal(again.eigenvalues, noisy.eigenvalues)


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
        with pytest.raises(ValueError, match="not a saved object"):
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


def test_loading_a_good_file_warns_of_nothing(saved):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        linear_object(TALL).load(saved[1])
