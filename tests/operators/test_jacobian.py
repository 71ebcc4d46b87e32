import gc
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from eigexp.errors import ConfigurationError, EigexpError, ImageError, ModelError, OperatorError
from eigexp.noise import GaussianNoise, Noise
from eigexp.operators import CountedOperator, dense_matrix, linearise
from eigexp.subspace import Mask
from tests.operators.networks import Copy, Linear, Nested, Quartic, Spectrum, Unbatched, convolution, images, jacobians

METHODS = ["program", "double_backward", "forward", "dense"]
MODELS = {
    "convolution": (convolution, (2, 5, 6)),
    "nested": (Nested, (1, 3, 4)),
    "complex": (Spectrum, (1, 4, 5)),
    "linear": (Linear, (1, 3, 4)),
}

each_way = pytest.mark.parametrize("method", METHODS)


@each_way
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("b", [1, 3])
def test_every_way_agrees_with_the_jacobian(method, name, b):
    make, shape = MODELS[name]
    model, x = make(), images(*shape, b=b)
    A, truth = linearise(model, x, method=method), jacobians(model, x)
    assert A.method == method
    assert A.shape == truth.shape
    assert torch.allclose(dense_matrix(A), truth, rtol=1e-10, atol=1e-12)
    v, u = torch.randn(b, 3, A.shape.n, dtype=torch.float64), torch.randn(b, 3, A.shape.m, dtype=torch.float64)
    assert torch.allclose(A.apply(v), v @ truth.mT, rtol=1e-9, atol=1e-10)
    assert torch.allclose(A.adjoint(u), u @ truth, rtol=1e-9, atol=1e-10)
    assert torch.allclose(A.fisher(v), v @ truth.mT @ truth, rtol=1e-9, atol=1e-9)
    assert torch.allclose((u * A.apply(v)).sum(2), (A.adjoint(u) * v).sum(2), rtol=1e-9, atol=1e-9)


@each_way
@pytest.mark.parametrize("shape", [(5,), (3, 4), (2, 3, 4), (2, 2, 3, 2), (2, 1, 3, 2, 2)])
def test_images_of_any_number_of_axes(method, shape):
    x = images(*shape)
    assert torch.allclose(dense_matrix(linearise(Quartic(), x, method=method)), jacobians(Quartic(), x), atol=1e-12)


@each_way
def test_a_model_without_a_leading_axis(method):
    x = images(3, 4, b=1)
    A = linearise(Unbatched(), x, method=method, batched=False)
    truth = torch.autograd.functional.jacobian(Unbatched(), x[0]).flatten(1)
    assert torch.allclose(dense_matrix(A)[0], truth, atol=1e-12)


def test_auto_chooses_a_way_that_is_right():
    model, x = convolution(), images(2, 5, 6)
    A = linearise(model, x)
    assert A.method in METHODS
    assert torch.allclose(dense_matrix(A), jacobians(model, x), atol=1e-12)


class ReverseOnly(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx, grad):
        return 3 * ctx.saved_tensors[0] ** 2 * grad


def test_auto_falls_back_where_forward_mode_fails():
    x = images(1, 20, 20, b=1)
    A = linearise(lambda t: ReverseOnly.apply(t), x)
    assert A.method == "double_backward"
    assert torch.allclose(A.apply(torch.ones(1, 1, 400, dtype=torch.float64)).flatten(), 3 * x.flatten() ** 2)


@each_way
def test_products_leave_no_graph(method):
    A = linearise(convolution(), images(2, 5, 6), method=method)
    v = torch.randn(2, 1, A.shape.n, dtype=torch.float64, requires_grad=True)
    u = A.apply(v)
    assert not u.requires_grad
    assert not A.adjoint(u.requires_grad_()).requires_grad
    assert not A.response.requires_grad
    assert v.grad is None


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.mark.slow(0.7)
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads the resident memory from /proc")
@pytest.mark.parametrize("method", ["program", "double_backward", "forward"])
def test_products_do_not_pile_up_memory(method):
    A = linearise(lambda x: x.square().repeat(1, 40, 1, 1).sin(), images(1, 64, 64, b=1), method=method)
    v = torch.randn(1, 1, 4096, dtype=torch.float64)
    for _ in range(3):
        A.fisher(v)
    gc.collect()
    before = resident_bytes()
    for _ in range(60):
        A.fisher(v)
    gc.collect()
    assert resident_bytes() - before < 30 * 2**20  # one product's responses are 1.3 MB, its graph several times that


def test_the_models_own_parameters_get_no_gradient():
    model = convolution().requires_grad_(True)
    A = linearise(model, images(2, 5, 6), method="double_backward")
    A.fisher(torch.randn(2, 1, A.shape.n, dtype=torch.float64))
    assert all(p.grad is None for p in model.parameters())


def test_it_works_where_gradients_are_switched_off():
    model, x = convolution(), images(2, 5, 6)
    with torch.no_grad():
        matrix = dense_matrix(linearise(model, x, method="double_backward"))
    assert torch.allclose(matrix, jacobians(model, x), atol=1e-12)


@each_way
def test_gaussian_noise_divides_by_its_standard_deviation(method):
    model, x = convolution(), images(2, 5, 6)
    A = linearise(model, x, method=method, noise=GaussianNoise(variance=4.0))
    assert torch.allclose(dense_matrix(A), jacobians(model, x) / 2, atol=1e-12)


class Multiplicative(Noise):
    """Standard deviation 1 + the response's magnitude."""

    name = "multiplicative"

    def augment(self, response: Tensor, at: Tensor) -> Tensor:
        return response / (1 + at.abs())


@each_way
def test_noise_can_depend_on_the_response(method):
    model, x = convolution(), images(2, 5, 6)
    A = linearise(model, x, method=method, noise=Multiplicative())
    weights = 1 / (1 + torch.stack([model(image[None]).flatten() for image in x]).abs())
    assert torch.allclose(dense_matrix(A), weights[..., None] * jacobians(model, x), atol=1e-12)


@each_way
def test_a_mask_keeps_its_pixels_in_every_channel(method):
    model, x, mask = convolution(), images(2, 5, 6), Mask(shape="box", extent=0.6)
    A = linearise(model, x, method=method, subspace=mask)
    P = mask.to_pixels(torch.eye(A.shape.n, dtype=torch.float64), (2, 5, 6)).T
    assert A.shape.n < 60
    assert torch.allclose(dense_matrix(A), jacobians(model, x) @ P, atol=1e-12)
    v = torch.randn(2, 3, A.shape.n, dtype=torch.float64)
    assert torch.equal(A.from_pixels(A.to_pixels(v)), v)


@each_way
@pytest.mark.parametrize("rows", [[1], [2, 0]])
def test_a_selection_is_the_operator_of_those_images(method, rows):
    model, x = convolution(), images(2, 5, 6, b=3)
    part = linearise(model, x, method=method, noise=GaussianNoise(2.0), subspace=Mask(extent=0.9)).select(rows)
    whole = linearise(model, x[rows], method=method, noise=GaussianNoise(2.0), subspace=Mask(extent=0.9))
    assert {one.method for one in getattr(part, "parts", [part])} == {method}
    assert torch.equal(part.images, x[rows])
    assert torch.allclose(dense_matrix(part), dense_matrix(whole), atol=1e-13)


def test_a_selection_is_linearised_once():
    A = linearise(convolution(), images(2, 5, 6, b=3), method="double_backward")
    assert A.select([1]) is A.select([1])
    assert A.select([2, 1]).parts == [A.select([2]), A.select([1])]
    assert A.select([2, 1]).select([1]) is A.select([1])


@each_way
@pytest.mark.parametrize(("call", "shape"), [("apply", (2, 60)), ("apply", (1, 1, 60)), ("apply", (2, 1, 59)), ("adjoint", (2, 1, 60))])
@pytest.mark.usefixtures("unchecked_shapes")
def test_vectors_of_a_wrong_shape_are_refused(method, call, shape):
    A = linearise(convolution(), images(2, 5, 6), method=method)
    with pytest.raises(OperatorError, match=rf"{call} takes vectors of shape \(b=2, k, .*got \({', '.join(map(str, shape))}\)"):
        getattr(A, call)(torch.zeros(*shape, dtype=torch.float64))


# ---------------------------------------------------------------------- refusals


def refused(model, x: Tensor, error: type[Exception], message: str, **settings) -> None:
    with pytest.raises(error, match=message) as caught:
        linearise(model, x, **settings)
    assert isinstance(caught.value, EigexpError)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_an_image_that_is_not_finite(value):
    x = images(1, 3, 4)
    x[1, 0, 2, 1] = value
    refused(Quartic(), x, ImageError, "NaN or Inf pixels")


def test_an_image_of_integers():
    refused(Quartic(), torch.zeros(1, 1, 3, 4, dtype=torch.uint8), ImageError, r"floating point, but are torch\.uint8.*/ 255")


def test_several_images_for_a_model_that_takes_one():
    refused(Unbatched(), images(3, 4, b=2), ImageError, "batched=False takes one image, but got 2", batched=False)


@pytest.mark.parametrize("method", ["auto", *METHODS])
def test_a_response_that_is_not_finite(method):
    refused(lambda x: (x - 2).log(), images(1, 3, 4), ModelError, "response has NaN or Inf", method=method)


@pytest.mark.parametrize("method", ["auto", *METHODS])
def test_a_response_without_a_gradient(method):
    refused(torch.no_grad()(Quartic()), images(1, 3, 4), ModelError, r"no gradient with respect to the image.*no_grad", method=method)


@pytest.mark.parametrize("method", ["auto", *METHODS])
def test_a_response_that_does_not_depend_on_the_image(method):
    weight = nn.Parameter(torch.ones(3, dtype=torch.float64))
    refused(lambda x: weight.expand(len(x), 3), images(1, 3, 4), ModelError, "does not depend on the image", method=method)


@pytest.mark.parametrize("method", ["auto", *METHODS])
def test_a_response_that_is_flat_at_the_image(method):
    refused(lambda x: (x - 2).relu(), images(1, 3, 4), ModelError, "every derivative is zero", method=method)


@pytest.mark.parametrize("method", ["auto", *METHODS])
def test_a_square_root_at_zero(method):
    refused(
        lambda x: x.sqrt(),
        torch.zeros(1, 1, 3, 4, dtype=torch.float64),
        ModelError,
        "derivative at this image is not finite.*sqrt",
        method=method,
    )


@pytest.mark.parametrize("output", ["text", None, 3])
def test_a_response_that_is_no_tensor(output):
    words = rf"no differentiable tensor: output \({type(output).__name__}\)"
    refused(lambda x: output, images(1, 3, 4), ModelError, words)


def test_a_response_that_does_not_run_over_images():
    refused(lambda x: x.square().sum(dim=0), images(1, 3, 4, b=3), ModelError, r"shape \(1, 3, 4\) for a batch of 3 images")


def test_an_unknown_way_is_refused_with_the_nearest():
    refused(Quartic(), images(1, 3, 4), ConfigurationError, r"linearise=forwards is unknown.*Did you mean forward", method="forwards")


class Dishonest(Copy):
    """Its forward-mode derivative is not that of its backward pass."""

    @staticmethod
    def jvp(ctx, tangent):
        return 2 * tangent


def test_products_that_disagree_fail_the_adjoint_test():
    def model(x: Tensor) -> Tensor:
        return Dishonest.apply(x)

    refused(
        model,
        images(1, 3, 4),
        OperatorError,
        "linearise=forward fails the adjoint test.*Set linearise= to another method",
        method="forward",
    )
    assert linearise(model, images(1, 20, 20), method="auto").method == "double_backward"


def test_a_counted_operator_passes_errors_on():
    A = CountedOperator(linearise(Quartic(), images(1, 3, 4)))
    with pytest.raises(OperatorError, match="apply takes vectors"):
        A.apply(torch.zeros(2, 1, 5, dtype=torch.float64))
    assert A.fisher_vector_products.tolist() == [0, 0]


@each_way
def test_images_that_the_model_does_not_take_are_told_with_its_own_words(method):
    message = r"the model fails on images of 2x5x6: .*to have 1 channels, but got 2.*images\.grey=true\|false"
    refused(torch.nn.Conv2d(1, 2, 3).double().requires_grad_(False), images(2, 5, 6), ModelError, message, method=method)
