import pytest
import torch
from torch.autograd import forward_ad
from torch.autograd.functional import jacobian

from eigexp.errors import ModelError
from eigexp.models import front_end
from eigexp.models.prepare import weights_digest

plenoptic = pytest.importorskip("plenoptic")

NAMES = ["LinearNonlinear", "LuminanceGainControl", "LuminanceContrastGainControl", "OnOff"]


def pair(name, dtype=torch.float32):
    oracle = getattr(plenoptic.models, name)(31, pretrained=True, cache_filt=True).to(dtype)
    return getattr(front_end, name)().to(dtype), oracle.requires_grad_(False)


def image(*shape, dtype=torch.float32):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(dtype)


def relative(a, b):
    return ((a - b).abs().max() / b.abs().max()).item()


@pytest.mark.slow(0.1)
@pytest.mark.parametrize("shape", [(2, 1, 33, 47), (1, 1, 40, 40), (3, 1, 64, 64), (1, 1, 256, 256)])
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-12)])
def test_responses_equal_plenoptic(name, shape, dtype, tolerance):
    model, oracle = pair(name, dtype)
    x = image(*shape, dtype=dtype)
    response, expected = model(x), oracle(x)
    assert response.dtype == dtype and response.shape == expected.shape
    assert relative(response, expected) < tolerance


@pytest.mark.parametrize("name", NAMES)
def test_gradients_equal_plenoptic(name):
    model, oracle = pair(name, torch.float64)
    x = image(1, 1, 20, 24, dtype=torch.float64).requires_grad_()
    (a,), (b,) = (torch.autograd.grad(f(x).square().sum(), x) for f in (model, oracle))
    assert relative(a, b) < 1e-11


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:FutureWarning")  # torch itself, on its first dual level
def test_forward_mode_and_double_backward_agree_with_the_jacobian(name):
    model, _ = pair(name, torch.float64)
    x, v = image(1, 1, 16, 17, dtype=torch.float64), image(1, 1, 16, 17, dtype=torch.float64) - 0.3
    J = jacobian(model, x).flatten(4).flatten(0, 3)
    with forward_ad.dual_level():
        pushed = forward_ad.unpack_dual(model(forward_ad.make_dual(x, v))).tangent
    assert relative(pushed.flatten(), J @ v.flatten()) < 1e-12
    leaf = x.clone().requires_grad_()
    y = model(leaf)
    u = torch.zeros_like(y, requires_grad=True)
    (back,) = torch.autograd.grad(y, leaf, u, create_graph=True)
    (twice,) = torch.autograd.grad(back, u, v)
    assert relative(twice.flatten(), J @ v.flatten()) < 1e-12


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_is_its_images(name):
    model, _ = pair(name)
    x = image(3, 1, 24, 24)
    assert relative(model(x), torch.cat([model(one) for one in x.split(1)])) < 1e-6


@pytest.mark.parametrize("name", NAMES)
def test_state_of_plenoptic_loads_and_the_cache_stays_out(name):
    model, _ = pair(name)
    fitted = getattr(plenoptic.models, name)(31)
    with torch.no_grad():
        for parameter in fitted.parameters():
            parameter.mul_(1.1)
    x = image(1, 1, 32, 32)
    model(x)
    digest = weights_digest(model)
    model.load_state_dict({key: value.reshape(model.state_dict()[key].shape) for key, value in fitted.state_dict().items()})
    assert relative(model(x), fitted(x)) < 1e-6
    assert weights_digest(model) != digest


@pytest.mark.parametrize("name", ["LuminanceContrastGainControl", "OnOff"])
def test_a_black_image_has_the_derivative_of_the_response_itself(name):
    model, oracle = pair(name, torch.float64)
    x = torch.zeros(1, 1, 16, 16, dtype=torch.float64)
    J = jacobian(model, x).flatten(4).flatten(0, 3)
    assert torch.isfinite(J).all()
    v = image(256, dtype=torch.float64) - 0.5
    step = 1e-7
    difference = (model(x + step * v.view_as(x)) - model(x - step * v.view_as(x))).flatten() / (2 * step)
    assert relative(J @ v, difference) < 1e-3
    x.requires_grad_()
    assert torch.isnan(torch.autograd.grad(oracle(x).sum(), x)[0]).any()  # what is mended here


def test_off_center_has_the_opposite_sign():
    x = torch.zeros(1, 1, 41, 41)
    x[..., 20, 20] = 1
    on, off = front_end.OnOff()(x)[0, :, 20, 20] - front_end.OnOff()(torch.zeros_like(x))[0, :, 20, 20]
    assert on > 0 > off


@pytest.mark.parametrize("name", NAMES)
def test_colour_is_refused_with_its_cure(name):
    with pytest.raises(ModelError, match=r"\(1, 3, 32, 32\).*images\.grey=true"):
        getattr(front_end, name)()(torch.rand(1, 3, 32, 32))


def test_a_small_image_is_refused_with_its_cure():
    with pytest.raises(ModelError, match=r"\(1, 1, 15, 40\).*images\.size=16"):
        front_end.OnOff()(torch.rand(1, 1, 15, 40))
    front_end.OnOff()(torch.rand(1, 1, 16, 40))
