"""Checks of one model at one image, before a sweep: shapes, determinism, derivative, precision, and the cost of a task."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from eigexp.cli.check import Check
from eigexp.cli.derivative_checks import DERIVATIVE_RTOL, Subject, check_derivative
from eigexp.errors import EigexpError, ModelError
from eigexp.experiment.parts import build
from eigexp.experiment.tasks import TaskList
from eigexp.operators import function_check
from eigexp.operators.jacobian import LinearisationPoint
from eigexp.solvers.base import Solver
from eigexp.store import Store
from eigexp.store.labels import layer_label
from eigexp.sweep.cost import CostEstimates, expected_products
from eigexp.system.memory import free_memory

if TYPE_CHECKING:
    from eigexp.training.task import Task

MIN_CONTRAST = 0.02  # standard deviation of the pixels, relative to their mean
REPEATS = 3


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
    stored = CostEstimates(Store(config["store"])).stored(task.identities[0])
    yield check_cost(subject, stored.products if stored else expected_products(task.identities[0]))


def check_images(tasks: TaskList) -> Check:
    """Check the contrast of the first image: normalisation layers amplify rounding where it is low."""
    image = tasks[0].images[0]
    pixels = image.pixels.double()
    contrast = float(pixels.std() / pixels.mean().abs().clamp_min(1e-12))
    shape = "x".join(map(str, pixels.shape))
    detail = f"{image.name} {shape}, pixel values {pixels.min():.3g} to {pixels.max():.3g}, contrast {contrast:.2g}"
    if len(tasks.images) > 1:
        detail += f"; first of {len(tasks.images)} images"
    if contrast < MIN_CONTRAST:
        return Check("image", "warning", f"{detail}: low contrast", "set dtype=float64, or use another image")
    return Check("image", "ok", detail)


def check_function(subject: Subject) -> Check:
    """Check that two forward and two backward passes agree: only then is there one Jacobian."""
    try:
        function_check.check_function(LinearisationPoint(subject.model, subject.image, None, None, batched=True))
    except ModelError as error:
        detail, _, hint = str(error).partition(". ")
        return Check("function", "problem", detail, hint.rstrip("."))
    except Exception as error:  # a user's model may raise anything
        return Check("function", "problem", f"the model fails on this image: {type(error).__name__}: {error}")
    return Check("function", "ok", "two forward and two backward passes agree")


def check_shapes(subject: Subject) -> Check:
    """Check that the model can be linearised, and show n, m and the method.

    Raises:
        EigexpError: if it cannot.
    """
    A = subject.operator
    _, m, n = A.shape
    zeros = f"; at least {n - m} eigenvalues are zero, because m < n" if m < n else ""
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


def check_memory(subject: Subject, solver: Solver) -> Check:
    """Check that the solver's state fits into the free memory."""
    A = subject.operator
    free = free_memory(A.device) / 2**30
    try:
        solver.check_memory(A)
    except EigexpError as error:
        return Check("memory", "problem", str(error))
    needed = solver.vectors(A.shape.n) * A.shape.n * A.dtype.itemsize / 2**30
    words = f"needs at most {needed:.2g} GiB per image" if needed else "has enough memory"
    return Check("memory", "ok", f"solver={solver.name} {words}; {free:.1f} GiB are free")


def check_cost(subject: Subject, products: float | None) -> Check:
    """Measure the time of a Fisher-vector product, and estimate a task's time by the number of products that are expected."""
    A = subject.operator
    v = subject.direction().new_ones(1, 1, A.shape.n)
    seconds = min(_seconds(lambda: A.fisher(v)) for _ in range(REPEATS))
    detail = f"{seconds * 1e3:.2g} ms per Fisher-vector product on {A.device}"
    if products is None:
        return Check("cost", "ok", f"{detail}; the number of products is unknown until a similar result is stored")
    return Check("cost", "ok", f"{detail}; about {products:.0f} products per image take {seconds * products:.2g} s")


def _seconds(work: Callable[[], Tensor]) -> float:
    began = time.perf_counter()
    work().sum().item()  # waits for a GPU
    return time.perf_counter() - began
