"""Certificates of float32 runs: what they say holds for the model itself, against dense float64 truth."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from eigexp.certificates import certify, check_certificate_memory, check_precision
from eigexp.certificates.derivative import derivative_errors
from eigexp.errors import ConfigurationError, MemoryLimitError
from eigexp.models import OnOff
from eigexp.operators import CountedOperator, DenseOperator, dense_matrix, float64, linearise
from eigexp.operators.autograd import Uncached
from eigexp.pairs import RitzPairs
from eigexp.solvers.krylov import Krylov
from tests.solvers.photographs import FRONT_ENDS, coins

SIDE = 16
ABOVE_ROUNDING = 1e-3  # float32 products of LayerNorm at a contrast of 1e-3 are wrong by up to 4e-4 of the largest eigenvalue


def colours(contrast: float, side: int = SIDE) -> Tensor:
    """A photograph of three equal channels around grey."""
    image = coins(side)
    return (0.5 + contrast * (image - image.mean())).expand(1, 3, -1, -1).contiguous()


def network(*layers: nn.Module) -> nn.Module:
    return nn.Sequential(*layers).eval().requires_grad_(False)


def layer_norm() -> nn.Module:
    torch.manual_seed(0)
    return network(nn.LayerNorm((3, SIDE, SIDE), eps=0.0), nn.Conv2d(3, 4, 3))


def instance_norm() -> nn.Module:
    torch.manual_seed(0)
    return network(nn.Conv2d(3, 4, 3), nn.InstanceNorm2d(4, eps=1e-9), nn.MaxPool2d(2))


def run(model, image, precision="float64", **settings):
    solver = Krylov(**settings)
    A = linearise(model, image)
    state = solver.init(A, 0)
    while not solver.done(state):
        state = solver.step(A, state)
    return certify(A, solver.pairs(state), solver=solver, state=state, precision=precision)[0]


def spectrum(model, image) -> Tensor:
    matrix = dense_matrix(linearise(model, image.double(), method="double_backward"))[0]
    return torch.linalg.eigvalsh(matrix.T @ matrix).flip(0).clamp(min=0)


def assert_holds(pairs, truth, slack=1e-12):
    expected = truth[pairs.eigenindex]
    assert (pairs.intervals[:, 0] - slack * truth[0] <= expected).all()
    assert (expected <= pairs.intervals[:, 1] + slack * truth[0]).all()


@pytest.mark.slow(0.5)
@pytest.mark.parametrize("name", FRONT_ENDS)
def test_front_ends_hold_to_float64(name):
    image, model = coins(40), FRONT_ENDS[name]
    pairs = run(model(), image)
    assert pairs.verified
    assert_holds(pairs, spectrum(model().double(), image))
    if name != "onoff":
        assert pairs.intervals[-1, 1] <= 1e-12 * pairs.eigenvalues[0]


@pytest.mark.parametrize("make, contrast", [(layer_norm, 1e-3), (instance_norm, 0.01)], ids=["LayerNorm", "InstanceNorm"])
def test_low_contrast_holds_to_float64(make, contrast):
    image = colours(contrast)
    pairs, truth = run(make(), image, tol=ABOVE_ROUNDING), spectrum(make().double(), image)
    assert pairs.evidence["top"] not in ("budget", "unconfirmed")
    assert_holds(pairs, truth)


def test_a_model_that_differs_between_formats_says_by_how_much():
    """A response that depends on the format by a tenth."""

    class Coarse(nn.Module):
        def forward(self, x):
            return x * (1.1 if x.dtype == torch.float32 else 1.0) * torch.linspace(1, 2, x.numel()).to(x).view(x.shape)

    pairs = run(Coarse(), colours(1.0, 8))
    assert any("differ by up to 1.7e-01 of the largest eigenvalue" in note for note in pairs.notes)
    assert pairs.eigenvalues[0] == pytest.approx(4.0, rel=1e-3)


def float32_inside(x: Tensor) -> Tensor:
    y = F.layer_norm(x.float(), (3, SIDE, SIDE), eps=0.0)
    return y * torch.linspace(1, 2, SIDE)


class HiddenFloat32(nn.Module):
    """Its response is float64 where the image is; what it computes is not."""

    def forward(self, x):
        return float32_inside(x).to(x.dtype)


class Uncopied(nn.Module):
    """Holds what cannot be copied."""

    def __init__(self):
        super().__init__()
        self.kept = torch.ones(3, requires_grad=True) * 2

    def forward(self, x):
        return float32_inside(x)


@pytest.mark.slow
@pytest.mark.parametrize("model", [float32_inside, HiddenFloat32(), Uncopied()], ids=["float32", "hidden", "uncopied"])
def test_without_float64_intervals_have_the_measured_rounding(model):
    """The same normalisation in float64 is the truth that a float32 model is meant to be."""
    image = colours(1e-3)
    weights = torch.linspace(1, 2, SIDE, dtype=torch.float64)
    truth = spectrum(lambda x: F.layer_norm(x, (3, SIDE, SIDE), eps=0.0) * weights, image)
    pairs = run(model, image)
    (note,) = [n for n in pairs.notes if n.startswith("certified in float32, because the model cannot be evaluated in float64")]
    assert "measured rounding" in note and "\n" not in note
    assert_holds(pairs, truth, slack=0)


def test_the_solvers_precision_is_measured_without_a_note():
    image = colours(1e-3)
    pairs, truth = run(layer_norm(), image, precision="solver", tol=ABOVE_ROUNDING), spectrum(layer_norm().double(), image)
    assert_holds(pairs, truth, slack=0)
    assert not any("float64" in note for note in pairs.notes)
    assert pairs.fisher_vector_products > run(layer_norm(), image, tol=ABOVE_ROUNDING).fisher_vector_products  # measuring is counted


def test_a_float32_model_is_left_as_it_was():
    model = layer_norm()
    run(model, colours(1.0))
    assert all(p.dtype == torch.float32 for p in model.parameters())


def test_no_pairs_are_no_trouble():
    A, solver = linearise(layer_norm(), colours(1.0)), Krylov()
    nothing = RitzPairs(
        torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.float64), torch.zeros(0, A.shape.n), "budget", "budget"
    )
    (pairs,) = certify(A, [nothing], solver=solver, state=solver.init(A, 0))
    assert not pairs.verified and len(pairs.eigenvalues) == 0


def test_a_copy_that_does_not_fit_is_refused_with_a_hint(monkeypatch):
    A = linearise(layer_norm(), colours(1.0))
    check_certificate_memory(A, "float64")
    monkeypatch.setenv("EIGEXP_MEMORY", "1K")
    check_certificate_memory(A, "solver")
    with pytest.raises(MemoryLimitError, match="certify=solver"):
        check_certificate_memory(A, "float64")


def test_an_unknown_precision_is_refused():
    with pytest.raises(ConfigurationError, match=r"certify=float16 is unknown\. Did you mean float64"):
        check_precision("float16")


# ---------------------------------------------------------------- smallest values that float32's rounding hides


def ring(n: int) -> Tensor:
    """Differences of neighbours on a ring, (n, n): exact in float32, and blind to a constant alone; the next eigenvalue is 1 or so."""
    return torch.eye(n) - torch.eye(n).roll(1, 1)


def proposed(matrix: Tensor, *errors: float, precise: bool = False):
    """The certificate of a largest pair, and of constants on blocks of the map (one each) with errors of these sizes."""
    A = DenseOperator((matrix.double() if precise else matrix)[None])
    n, k = A.shape.n, len(errors)
    _, vectors = torch.linalg.eigh(matrix.T.double() @ matrix.double())
    constants = torch.block_diag(*[torch.ones(1, n // k, dtype=torch.float64)] * k)
    noise = torch.randn(k, n, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    smallest = constants / constants.norm(dim=1, keepdim=True) + torch.tensor(errors)[:, None] * noise / noise.norm(dim=1, keepdim=True)
    V = torch.cat([vectors[:, -1:].T, smallest]).to(A.dtype)
    claim = RitzPairs(torch.tensor([0, *range(n - k, n)]), torch.zeros(k + 1, dtype=torch.float64), V, "krylov", "krylov")
    solver, counted = Krylov(tol=1e-3), CountedOperator(A)
    (pairs,) = certify(counted, [claim], solver=solver, state=solver.init(A, 0))
    assert pairs.fisher_vector_products == float(counted.fisher_vector_products)
    return pairs


@pytest.mark.parametrize(("errors", "products"), [((1e-8,), 2), ((3e-6,), 3), ((1e-5,), 5), ((1e-5, 3e-6), 9)])
def test_a_smallest_value_that_is_rounding_alone_gets_a_bound_near_zero(errors, products):
    pairs = proposed(torch.block_diag(*[ring(8)] * len(errors)), *errors)
    assert pairs.fisher_vector_products == products
    assert (pairs.intervals[1:, 1] <= 1e-12 * pairs.eigenvalues[0]).all()
    assert (pairs.residuals[1:] <= 1e-5 * pairs.eigenvalues[0]).all()
    blocks = pairs.eigendistortions[1:].unflatten(1, (len(errors), 8))
    assert blocks.std(dim=2).max() < 1e-6


class Weber(nn.Module):
    """Responds to differences relative to a picture: blind to the picture itself."""

    def __init__(self, picture: Tensor):
        super().__init__()
        self.register_buffer("picture", picture)

    def forward(self, x):
        relative = x / self.picture
        return torch.cat([(relative - relative.roll(1, axis)).flatten(1) for axis in (2, 3)], dim=1)


@pytest.mark.parametrize("error", [1e-5, 1e-4])
def test_a_model_blind_to_the_image_is_known_to_be_so_after_two_products_more(error):
    """With errors as float32 leaves them, and as large as the default tolerance allows."""
    picture = coins(16) + 0.1
    A, solver = CountedOperator(linearise(Weber(picture), picture)), Krylov(tol=1e-3)
    noise = torch.randn(256, generator=torch.Generator().manual_seed(0))
    z = picture.flatten() / picture.norm() + error * noise / noise.norm()
    top = torch.linalg.eigh(dense_matrix(A)[0].T @ dense_matrix(A)[0])[1][:, -1]
    claim = RitzPairs(torch.tensor([0, 255]), torch.zeros(2, dtype=torch.float64), torch.stack([top, z]), "krylov", "krylov")
    spent = float(A.fisher_vector_products)
    (pairs,) = certify(A, [claim], solver=solver, state=solver.init(A, 0))
    assert pairs.fisher_vector_products == float(A.fisher_vector_products) - spent == 4
    assert pairs.intervals[-1, 1] <= 1e-14 * pairs.eigenvalues[0]


def test_a_smallest_value_that_is_no_rounding_costs_one_product_at_most():
    """1e-10 of the largest, exactly: a step shows that it does not fall."""
    A = torch.diag(torch.linspace(1, 0.5, 12))
    A[-1, -1] = 1e-5
    claim = RitzPairs(torch.tensor([0, 11]), torch.zeros(2, dtype=torch.float64), torch.eye(12)[[0, -1]], "krylov", "krylov")
    solver = Krylov()
    (pairs,) = certify(DenseOperator(A[None]), [claim], solver=solver, state=solver.init(DenseOperator(A[None]), 0))
    assert pairs.fisher_vector_products == 3
    assert pairs.eigenvalues[-1] == pytest.approx(1e-10, rel=1e-6)


@pytest.mark.parametrize(("matrix", "error", "precise"), [(ring(8), 1e-3, False), (ring(8)[:7], 3e-6, False), (ring(8), 3e-6, True)])
def test_no_product_is_spent_where_none_helps(matrix, error, precise):
    """A large value, values that are zero by the shapes, a solver in float64: its vectors are as good as it was asked for."""
    assert proposed(matrix, error, precise=precise).fisher_vector_products == 2


# ---------------------------------------------------------------- a derivative that jumps


class Kinked(nn.Module):
    """ReLU exactly at its kink in float32, where its derivative is 0; in float64 rounding decides, and half of the units are active."""

    def __init__(self, image: Tensor):
        super().__init__()
        n = image.numel()
        self.register_buffer("scale", torch.linspace(1, 2, n))
        self.register_buffer("weight", 0.02 * torch.randn(n // 2, n, generator=torch.Generator().manual_seed(0)))
        self.register_buffer("threshold", F.linear(image.flatten(1), self.weight))

    def forward(self, x):
        y = x.flatten(1)
        return torch.cat([y * self.scale, F.relu(F.linear(y, self.weight) - self.threshold)], dim=1)


def test_a_derivative_that_jumps_between_formats_is_unconfirmed_and_says_so():
    image = colours(1.0, 8)
    pairs = run(Kinked(image), image)
    assert (pairs.status, pairs.evidence["top"], pairs.verified) == ("unconfirmed", "unconfirmed", False)
    (note,) = [n for n in pairs.notes if n.startswith("fresh products give residuals of up to")]
    fresh, own = (float(part.split("e-")[0].split()[-1] + "e-" + part.split("e-")[1][:2]) for part in note.split("eigenvalue, ")[:2])
    assert fresh == pytest.approx(float(pairs.residuals.max() / pairs.eigenvalues[0]), rel=0.05)
    assert own <= 1e-4 < fresh
    assert "set dtype=float64 or certify=solver" in note
    precise = run(Kinked(image).double(), image.double())
    assert precise.verified
    assert_holds(precise, spectrum(Kinked(image).double(), image))


def test_the_same_model_is_confirmed_in_its_own_format():
    image = colours(1.0, 8)
    assert run(Kinked(image), image, precision="solver").status == "converged"


# ---------------------------------------------------------------- is autograd's derivative the derivative?


class StraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return torch.round(x * 15) / 15

    @staticmethod
    def backward(ctx, gradient):
        return gradient


class WrongBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.sin()

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        return 1.1 * gradient * x.cos()


def hooked(x: Tensor) -> Tensor:
    y = x.sin() * torch.linspace(1, 2, x.shape[-1]).to(x)
    if y.requires_grad:
        y.register_hook(lambda gradient: gradient * 0.5)
    return y


SURROGATES = {
    "straight-through": lambda x: StraightThrough.apply(x) * torch.linspace(1, 2, x.shape[-1]).to(x),
    "detach": lambda x: x.square() * (1 + x.detach()),
    "backward": lambda x: WrongBackward.apply(x * torch.linspace(1, 2, x.shape[-1]).to(x)),
    "hook": hooked,
}


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", SURROGATES)
def test_a_surrogate_derivative_gets_a_note(name, dtype, large, monkeypatch):
    if large:
        monkeypatch.setattr(float64, "_LARGE", 0)
    pairs = run(SURROGATES[name], colours(1.0, 8).to(dtype))
    (note,) = [n for n in pairs.notes if n.startswith("autograd's derivative is not the derivative of the response along distortion 0")]
    assert "\n" not in note


class StraightThroughOfOne(torch.autograd.Function):
    """One of the responses is rounded, as a quantised unit is; the gradient passes."""

    @staticmethod
    def forward(ctx, x):
        y = x.clone()
        y[..., -1] = y[..., -1].round()
        return y

    @staticmethod
    def backward(ctx, *gradients):
        return gradients[0]


@pytest.mark.parametrize("k", [1, 8])
def test_one_wrong_vector_among_many_gets_a_note(k):
    """The vectors are checked together first: those that are right must not hide one."""
    gains = torch.linspace(0.5, 1, 24)

    def function(x):
        return StraightThroughOfOne.apply(x.flatten(1)[:, :24] * gains.to(x))

    pairs = run(function, colours(1.0, 8), k=k)
    (note,) = [n for n in pairs.notes if n.startswith("autograd's derivative is not the derivative of the response")]
    assert "along distortion 0:" in note


def test_a_kink_along_one_vector_does_not_hide_a_wrong_derivative_along_another():
    x = torch.tensor([[[[0.5, 0.31]]]], dtype=torch.float64)
    A = linearise(lambda x: ((x[..., :1] - 0.5).abs() + StraightThrough.apply(x[..., 1:])).flatten(1), x, method="double_backward")
    vectors = torch.eye(2, dtype=torch.float64).flip(0)
    products = {i: A.apply(vectors[i][None, None])[0, 0] for i in range(2)}
    errors = derivative_errors(A, vectors, products, 1.0)
    assert errors[0] == pytest.approx(1.0) and errors[1] == 0.0


HONEST = {
    "smooth": lambda: (nn.Conv2d(3, 4, 3), nn.GELU(), nn.GroupNorm(2, 4), nn.Conv2d(4, 4, 3)),
    "rectified": lambda: (nn.Conv2d(3, 4, 3, bias=False), nn.ReLU(), nn.Conv2d(4, 4, 3, bias=False), nn.ReLU(), nn.Conv2d(4, 4, 3)),
    "pooled": lambda: (nn.MaxPool2d(2), nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 4, 2)),
}


@pytest.mark.parametrize("picture", ["photograph", "clipped", "equal"])
@pytest.mark.parametrize("name", HONEST)
def test_kinks_and_curvature_get_none(name, picture):
    """Pixels of 8 bits are often equal, and so are values under max pooling: autograd's choice there is no error."""
    image = {"photograph": colours(1.0), "clipped": (3 * colours(1.0) - 1).clamp(0, 1), "equal": torch.full((1, 3, SIDE, SIDE), 0.5)}[
        picture
    ]
    torch.manual_seed(0)
    pairs = run(network(*HONEST[name]()), image)
    assert not any("autograd" in note for note in pairs.notes)


@pytest.mark.parametrize("make", [instance_norm, OnOff])
def test_a_large_image_is_certified_without_a_graph_that_lasts(make, monkeypatch):
    picture = colours(0.3, 32) if make is instance_norm else coins(32)
    usual, made, methods = run(make(), picture), Uncached._prepare, []
    monkeypatch.setattr(float64, "_LARGE", 0)
    monkeypatch.setattr(Uncached, "_prepare", lambda A: methods.append(A) or made(A))
    lean = run(make(), picture)
    assert len(methods) == 1
    assert not [name for name, t in vars(methods[0]).items() if isinstance(t, Tensor) and t.requires_grad]
    assert lean.evidence == usual.evidence
    torch.testing.assert_close(lean.eigenvalues, usual.eigenvalues, rtol=1e-10, atol=1e-14)
    torch.testing.assert_close(lean.residuals, usual.residuals, rtol=1e-6, atol=1e-14)


def test_a_model_without_forward_mode_is_certified_by_double_backward(monkeypatch):
    class Square(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx, *gradients):
            return 2 * ctx.saved_tensors[0] * gradients[0]

    monkeypatch.setattr(float64, "_LARGE", 0)
    found = run(lambda x: torch.cat([Square.apply(x).flatten(1), x.flatten(1).roll(1, 1)], dim=1), coins(16))
    assert not any("certified in" in note for note in found.notes)


def test_memory_for_a_certificate_is_estimated_once(monkeypatch):
    passes, A = [], linearise(OnOff(), coins(16))
    measured = float64._measured
    monkeypatch.setattr(float64, "_measured", lambda point: passes.append(point) or measured(point))
    check_certificate_memory(A, "float64")
    check_certificate_memory(CountedOperator(A), "float64")
    assert len(passes) == 1
