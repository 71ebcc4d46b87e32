"""What the constructor refuses and warns about, one by one; the types are those of plenoptic's checks."""

import warnings

import numpy as np
import pytest
import torch
from torch import nn

from eigexp import Eigendistortion, EigexpError, prepare_model
from eigexp.errors import ConfigurationError, ModelError
from eigexp.images import Image
from eigexp.models import OnOff
from tests.synthesis.toys import Bare, LinearMap, picture


def sums(x):
    return 2 * x.flatten(1)


MODEL = Bare(sums).eval()


@pytest.mark.parametrize(
    "image",
    [
        torch.randint(0, 255, (1, 1, 4, 4)),
        torch.ones(1, 1, 4, 4, dtype=torch.bool),
        torch.rand(1, 1, 4, 4, dtype=torch.complex64),
        torch.rand(1, 1, 4, 4).half(),
        torch.rand(1, 1, 4, 4).bfloat16(),
        [[0.5]],
    ],
    ids=["int64", "bool", "complex64", "float16", "bfloat16", "list"],
)
def test_an_image_that_is_not_float32_or_float64_is_a_type_error(image):
    with pytest.raises(TypeError) as caught:
        Eigendistortion(image, MODEL)
    assert isinstance(caught.value, EigexpError)


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (np.zeros((1, 1, 4, 4)), "of type ndarray, not a tensor. Convert it: torch.as_tensor(image)."),
        ("a.png", "of type str, not a tensor. Read it: eigexp.images.ImageFile(path)[0].pixels[None]."),
        (Image("a", torch.rand(1, 4, 4)), "of type Image, not a tensor. Give its pixels as a batch: image.pixels[None]."),
    ],
)
def test_what_is_no_tensor_is_refused_with_what_to_give(image, words):
    with pytest.raises(TypeError) as caught:
        Eigendistortion(image, MODEL)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (OnOff, "the model is the class OnOff. Give an instance, such as OnOff()."),
        ("onoff", "the model is 'onoff', which cannot be called. Give a torch.nn.Module"),
    ],
)
def test_what_is_no_model_is_refused_with_what_to_give(model, words):
    for use in (lambda: Eigendistortion(picture(), model), lambda: prepare_model(model)):
        with pytest.raises(ModelError) as caught:
            use()
        assert words in str(caught.value)
    with pytest.raises(ModelError, match=r"it is no torch\.nn\.Module\. Use it as it is"):
        prepare_model(lambda x: x)


def test_a_missing_axis_is_named():
    for shape, words in (((1, 16, 16), "Add axes: image[None]."), ((16, 16), "image[None, None]"), ((1, 3, 16, 16), "images.grey=true")):
        with pytest.raises(ModelError) as caught:
            OnOff()(torch.rand(shape))
        assert words in str(caught.value)


@pytest.mark.parametrize("settings", [{"k": "3"}, {"k": 2.0}, {"tol": "small"}, {"k_top": "1"}])
def test_settings_of_a_wrong_type_are_refused(settings):
    with pytest.raises(ConfigurationError, match=r"solver\.\w+='?\w.* must be a (whole|positive) number"):
        Eigendistortion(picture(), Bare(lambda x: 2 * x).eval()).synthesize(progress=False, **settings)


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (torch.tensor(0.5), "has no pixels"),
        (torch.rand(1, 1, 0, 4), "has no pixels"),
        (torch.full((1, 1, 4, 4), torch.nan), "NaN"),
        (torch.full((1, 1, 4, 4), torch.inf), "NaN or Inf"),
    ],
)
def test_an_image_without_finite_pixels_is_a_value_error(image, words):
    with pytest.raises(ValueError, match=words) as caught:
        Eigendistortion(image, MODEL)
    assert isinstance(caught.value, EigexpError)


@pytest.mark.parametrize("shape", [(16,), (1, 16), (1, 4, 4), (1, 1, 2, 4, 2)])
def test_an_image_that_is_not_4d_warns(shape):
    model = Bare(lambda x: 2 * x).eval()
    with pytest.warns(UserWarning, match=f"has {len(shape)} axes"):
        Eigendistortion(picture(*shape), model)


@pytest.mark.parametrize("offset", [-0.1, 0.9])
def test_an_image_outside_the_unit_range_warns(offset):
    with pytest.warns(UserWarning, match=r"range from .* Mainly \[0, 1\]"):
        Eigendistortion(picture() * 0.9 + offset, MODEL)


def test_a_good_image_and_model_do_not_warn():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Eigendistortion(torch.tensor([[[[0.0, 1.0]]]]), MODEL)


def test_a_parameter_that_requires_gradients_is_a_value_error():
    model = nn.Sequential(nn.Flatten(), nn.Linear(36, 5, dtype=torch.float64)).eval()
    with pytest.raises(ValueError, match=r"require gradients.*prepare_model"):
        Eigendistortion(picture(), model)
    Eigendistortion(picture(), model.requires_grad_(False))


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda x: x.detach().numpy(), "ndarray"),
        (lambda x: "text", "str"),
        (lambda x: torch.as_tensor(x.detach().numpy()), "has no gradient"),
        (lambda x: x.detach(), "has no gradient"),
        (lambda x: x.round().long(), "no differentiable tensor"),
        (lambda x: torch.as_tensor(x.numpy()) * 2, "not numpy"),
        (lambda x: torch.log(x - x) * x, "NaN or Inf"),
    ],
    ids=["returns numpy", "returns text", "detached numpy", "detach", "integers", "numpy within", "not finite"],
)
def test_a_model_that_cannot_be_differentiated_is_a_value_error(function, words):
    def build_and_use():
        Eigendistortion(picture(), Bare(function).eval()).synthesize(progress=False)

    with pytest.raises(ValueError, match=words) as caught:
        build_and_use()
    assert isinstance(caught.value, EigexpError)


def test_a_model_that_changes_precision_is_a_type_error():
    with pytest.raises(TypeError, match=r"from torch.float64 to torch.float32.*model.to\(torch.float64\)") as caught:
        Eigendistortion(picture(), Bare(lambda x: x.float()).eval())
    assert isinstance(caught.value, EigexpError)


def test_a_model_that_changes_device_is_a_runtime_error():
    class Elsewhere(nn.Module):
        def forward(self, x):
            return (2 * x).to("meta")

    with pytest.raises(RuntimeError, match="from cpu to meta") as caught:
        Eigendistortion(picture(), Elsewhere().eval())
    assert isinstance(caught.value, EigexpError)


def test_a_model_in_training_mode_warns():
    with pytest.warns(UserWarning, match="training mode"):
        Eigendistortion(picture(), LinearMap(torch.eye(36, dtype=torch.float64)).train())


def test_errors_of_the_model_itself_pass_unchanged():
    with pytest.raises(KeyError, match="mine"):
        Eigendistortion(picture(), Bare(lambda x: {}["mine"]).eval())


def test_the_global_random_state_is_left_alone():
    torch.manual_seed(3)
    before = torch.get_rng_state()
    Eigendistortion(picture(), MODEL).synthesize(progress=False)
    assert torch.equal(before, torch.get_rng_state())
