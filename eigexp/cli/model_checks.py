"""Checks of one model at one image, before a sweep: shapes, determinism, derivative, precision, and what a task will take."""

import copy
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from eigexp.cli.check import Check
from eigexp.errors import EigexpError
from eigexp.experiment.parts import build
from eigexp.experiment.tasks import TaskList
from eigexp.operators import JacobianOperator, linearise
from eigexp.solvers.base import Solver
from eigexp.store import Store
from eigexp.store.labels import layer_label
from eigexp.sweep.cost import CostEstimates
from eigexp.system.memory import free_memory

if TYPE_CHECKING:
    from eigexp.training import Task

MIN_CONTRAST = 0.02  # standard deviation of the pixels, relative to their mean
STEP = 1e-6  # of a finite difference: root mean square over the pixels
DERIVATIVE_RTOL = 1e-3  # difference of two derivatives of a response, relative to the root mean square over the responses
MAX_SHARE = 0.01  # of the responses that may differ or have a kink
REPEATS = 3


@dataclass(frozen=True)
class Subject:
    """One layer of a model at one image, with the parts of the configuration that a task uses.

    Attributes:
        model: of images to responses.
        image: float tensor (1, c, h, w).
        parts: noise and pixel subspace, as `linearise` takes them.
        method: of linearising.
    """

    model: Callable[[Tensor], Any]
    image: Tensor
    parts: Mapping[str, Any]
    method: str

    @cached_property
    def operator(self) -> JacobianOperator:
        """The operator of a task."""
        return linearise(self.model, self.image, method=self.method, **self.parts)  # pyright: ignore[reportArgumentType]

    @cached_property
    def plain(self) -> JacobianOperator:
        """The Jacobian alone, without noise and subspace."""
        return linearise(self.model, self.image, method=self.method)  # pyright: ignore[reportArgumentType]

    def responses(self, image: Tensor) -> Tensor:
        """Return the responses (m) to an image, without a graph."""
        with torch.no_grad():
            return self.plain.point.response(image)[0]

    def derivative(self, direction: Tensor) -> Tensor:
        """Return the derivative (m) of the responses along a direction of the image's shape."""
        return self.plain.apply(direction.flatten()[None, None])[0, 0]

    def in_float64(self) -> "Subject":
        """Return a copy in float64."""
        model = copy.deepcopy(self.model)
        return replace(self, model=model.double() if isinstance(model, torch.nn.Module) else model, image=self.image.double())

    def direction(self) -> Tensor:
        """Return a fixed random direction, one per pixel in root mean square."""
        generator = torch.Generator().manual_seed(0)
        return torch.randn(self.image.shape, generator=generator, dtype=torch.float64).to(self.image)


def model_checks(config: Mapping[str, Any]) -> Iterator[Check]:
    """Yield the checks of each layer of the configured model at the first image.

    Args:
        config: composed and resolved, as plain values.

    Raises:
        EigexpError: if the model, the images or the solver cannot be constructed.
    """
    tasks = TaskList(config)
    solver = build(config["solver"], "solver")
    yield check_images(tasks)
    for position, layer in enumerate(tasks.layers):
        for check in _layer_checks(tasks[position], config, solver):
            yield replace(check, name=f"{layer_label(layer)}: {check.name}") if len(tasks.layers) > 1 else check


def _layer_checks(task: "Task", config: Mapping[str, Any], solver: Solver) -> Iterator[Check]:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = task.model.to(device) if isinstance(task.model, torch.nn.Module) else task.model
    parts = {name: build(config[name], name) for name in ("noise", "subspace")}
    subject = Subject(model, task.pixels()[:1].to(device), parts, config["linearise"])
    function = check_function(subject)
    yield function
    if function.status == "problem":  # the products of what is not a function mean nothing
        return
    try:
        yield check_shapes(subject)
    except EigexpError as error:
        yield Check("shapes", "problem", str(error))
        return
    yield check_adjoint(subject)
    yield from check_derivative(subject, float(getattr(solver, "tol", DERIVATIVE_RTOL)))
    yield check_memory(subject, solver)
    yield check_cost(subject, CostEstimates(Store(config["store"])).of(task.identities[0]))


def check_images(tasks: TaskList) -> Check:
    """Check the contrast of the first image: normalisation layers amplify rounding where it is low."""
    image = tasks[0].images[0]
    pixels = image.pixels.double()
    contrast = float(pixels.std() / pixels.mean().abs().clamp_min(1e-12))
    shape = "x".join(map(str, pixels.shape))
    detail = f"{image.name} {shape}, pixels {pixels.min():.3g} to {pixels.max():.3g}, contrast {contrast:.2g}"
    if len(tasks.images) > 1:
        detail += f"; first of {len(tasks.images)}"
    if contrast < MIN_CONTRAST:
        return Check("image", "warning", f"{detail}: low contrast", "set dtype=float64, or use another image")
    return Check("image", "ok", detail)


def check_function(subject: Subject) -> Check:
    """Check that two forward and two backward passes agree: only then is there one Jacobian."""
    try:
        (first, gradient), (second, other) = _both_passes(subject), _both_passes(subject)
    except Exception as error:  # a user's model may raise anything
        return Check("function", "problem", f"the model fails on this image: {type(error).__name__}: {error}")
    changes = [_relative(second, first), _relative(other, gradient)]
    if max(changes) > torch.finfo(first.dtype).eps ** 0.5:
        detail = f"two passes differ by {changes[0]:.1e} (forward) and {changes[1]:.1e} (backward) of their norm"
        return Check("function", "problem", detail, "remove what is random in forward: dropout, noise, sampling")
    return Check("function", "ok", "two forward and two backward passes agree")


def _both_passes(subject: Subject) -> tuple[Tensor, Tensor]:
    image = subject.image.clone().requires_grad_()
    output = _responses(subject.model(image))
    generator = torch.Generator().manual_seed(1)
    weights = torch.randn(output.shape, generator=generator, dtype=torch.float64).to(output)
    (gradient,) = torch.autograd.grad((output * weights).sum(), image, allow_unused=True)
    return output.detach(), torch.zeros_like(image) if gradient is None else gradient


def _responses(output: Any) -> Tensor:
    if isinstance(output, Tensor):
        return output.flatten()
    parts = output.values() if isinstance(output, Mapping) else output
    return torch.cat([_responses(part) for part in parts])


def check_shapes(subject: Subject) -> Check:
    """Check that the model can be linearised, and show n, m and the method.

    Raises:
        EigexpError: if it cannot.
    """
    A = subject.operator
    _, m, n = A.shape
    zeros = f"; at least {n - m} eigenvalues are zero, since m < n" if m < n else ""
    return Check("shapes", "ok", f"n = {n} pixels, m = {m} responses, linearise={A.method}{zeros}")


def check_adjoint(subject: Subject) -> Check:
    """Check <u, A v> = <A^T u, v>: the two products must belong to one matrix."""
    A = subject.operator
    generator = torch.Generator().manual_seed(2)
    v, u = (torch.randn(1, 1, size, generator=generator, dtype=torch.float64).to(A.response) for size in (A.shape.n, A.shape.m))
    forward, back = A.apply(v), A.adjoint(u)
    left, right = (u * forward).double().sum(), (back * v).double().sum()
    mismatch = float((left - right).abs() / (forward.double().norm() * u.double().norm()))
    detail = f"<u, A v> = <A^T u, v> within {mismatch:.1e}"
    if mismatch > 1e3 * torch.finfo(A.dtype).eps:
        return Check("adjoint", "problem", detail, "set linearise=double_backward")
    return Check("adjoint", "ok", detail)


def check_derivative(subject: Subject, tol: float) -> Iterator[Check]:
    """Check autograd's derivative against finite differences in float64, kinks at this image, and the error of the dtype.

    Args:
        subject: in the dtype of the configuration.
        tol: relative error of an eigenvalue that the solver is asked for.
    """
    try:
        exact = subject.in_float64()
        direction = exact.direction()
        derivative = exact.derivative(direction)
        step = STEP * direction
        here, up, down = (exact.responses(exact.image + change) for change in (0, step, -step))
    except Exception as error:  # deepcopy and double may fail in any way on a user's model
        yield Check("derivative", "warning", f"no float64 copy of the model to compare with: {type(error).__name__}: {error}")
        return
    right, left = (up - here) / STEP, (here - down) / STEP
    yield _compared(derivative, (right + left) / 2, (right - left).abs())
    yield _kinks(derivative, (right - left).abs())
    if subject.image.dtype != torch.float64:
        yield check_dtype(subject, derivative, tol)


def _compared(derivative: Tensor, difference: Tensor, jump: Tensor) -> Check:
    # At a kink autograd takes one of the one-sided derivatives, or one between: up to `jump` the difference is no error.
    wrong = (derivative - difference).abs() > DERIVATIVE_RTOL * _rms(derivative) + jump
    share = float(wrong.double().mean())
    if share > MAX_SHARE:
        detail = f"autograd's derivative is not the derivative of the response: {share:.0%} of the responses differ from finite differences"
        return Check("derivative", "problem", detail, "look for detach, straight-through estimators, gradient hooks, a custom backward")
    return Check("derivative", "ok", "autograd agrees with finite differences in float64")


def _kinks(derivative: Tensor, jump: Tensor) -> Check:
    share = float((jump > DERIVATIVE_RTOL * _rms(derivative)).double().mean())
    if share > MAX_SHARE:
        detail = f"{share:.0%} of the responses have a kink at this image (ties in max-pooling, ReLU at 0)"
        return Check("kinks", "warning", detail, "the result depends on which side autograd takes; use an image without constant regions")
    return Check("kinks", "ok", f"{share:.1%} of the responses have a kink at this image")


def check_dtype(subject: Subject, exact: Tensor, tol: float) -> Check:
    """Check the derivative in the dtype of the configuration against the one in float64."""
    name = str(subject.image.dtype).removeprefix("torch.")
    error = _relative(subject.derivative(subject.direction()), exact)
    detail = f"the derivative in {name} differs from float64 by {error:.1e}"
    if error > tol:
        return Check("dtype", "warning", f"{detail}, more than solver.tol={tol:g}", "set dtype=float64")
    return Check("dtype", "ok", detail)


def check_memory(subject: Subject, solver: Solver) -> Check:
    """Check that the solver's state fits into the free memory."""
    A = subject.operator
    free = free_memory(A.device) / 2**30
    try:
        solver.check_memory(A)
    except EigexpError as error:
        return Check("memory", "problem", str(error))
    needed = solver.vectors(A.shape.n) * A.shape.n * A.dtype.itemsize / 2**30
    return Check("memory", "ok", f"the state of solver={solver.name} takes at most {needed:.2g} GiB per image; {free:.1f} GiB are free")


def check_cost(subject: Subject, products: float | None) -> Check:
    """Measure the time of a Fisher-vector product, and estimate a task's time from results of the same kind."""
    A = subject.operator
    v = subject.direction().new_ones(1, 1, A.shape.n)
    seconds = min(_seconds(lambda: A.fisher(v)) for _ in range(REPEATS))
    detail = f"{seconds * 1e3:.2g} ms per Fisher-vector product on {A.device}"
    if products is None:
        return Check("cost", "ok", f"{detail}; number of products unknown until a result of this kind is stored")
    return Check("cost", "ok", f"{detail}, about {products:.0f} products per image: {seconds * products:.2g} s")


def _seconds(work: Callable[[], Tensor]) -> float:
    began = time.perf_counter()
    work().sum().item()  # waits for a GPU
    return time.perf_counter() - began


def _rms(values: Tensor) -> Tensor:
    return values.square().mean().sqrt()


def _relative(value: Tensor, reference: Tensor) -> float:
    scale = reference.double().norm()
    difference = (value.double() - reference.double()).norm()
    if not torch.isfinite(difference):
        return float("inf")
    return float(difference / scale) if scale > 0 else float(difference > 0)
