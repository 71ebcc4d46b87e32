"""Time the runs and check them against the truth. Records are plain dicts for a JSON file."""

import copy
import io
import os
import platform
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor

from eigexp.images import SkimageImages
from eigexp.models.front_end import OnOff
from eigexp.operators import Operator, dense_matrix, linearise
from eigexp.solvers.krylov import Krylov
from scripts.benchmark.cases import Case
from scripts.benchmark.methods import DENSE_LIMIT, METHODS, SEED, Limited, Stopped, Unsuitable, Work, fresh_residual, solved

BATCH = ("astronaut", "brick", "camera", "cell", "chelsea", "coffee", "coins", "grass")
PACKAGES = ("torch", "numpy", "scipy", "plenoptic", "primme", "matfree", "jax", "torchvision")
Record = dict[str, Any]


def machine() -> Record:
    """Return processor, cores, threads and versions."""
    cpu = Path("/proc/cpuinfo")
    names = (
        [line.partition(":")[2].strip() for line in cpu.read_text().splitlines() if line.startswith("model name")] if cpu.is_file() else []
    )
    return {
        "cpu": names[0] if names else platform.processor(),
        "cores": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in PACKAGES},
    }


def run_case(case: Case, methods: list[str], cap: float, say: Callable[[str], None]) -> Record:
    """Run every method on one case, eigexp first, whose largest eigenvalue scales the errors where there is no dense truth."""
    _linearised(case)  # the first one of a model takes longer, and eigexp's own is none of the first
    A, seconds = _linearised(case)
    truth = dense_truth(case) if A.shape.n <= DENSE_LIMIT else None
    method = getattr(A, "method", "")
    record: Record = {"name": case.name, "label": case.label, "k": case.k, "tol": case.tol, "n": A.shape.n, "m": A.shape.m}
    record |= {"method": method, "truth": truth}
    record["runs"] = runs = []
    say(f"\n{case.label} ({case.name}): n = {A.shape.n}, m = {A.shape.m}{_truth_text(truth)}")
    for method in ["eigexp", *(m for m in methods if m != "eigexp")]:
        run = _run(case, method, A, seconds, cap)
        largest = truth["top"][0] if truth else (runs[0] if runs else run)["top"]["values"][0]
        for end in ("top", "bottom"):
            _add_errors(run[end], largest, truth[end] if truth else None)
        runs.append(run)
        run["ratio"] = run["seconds"] / runs[0]["seconds"] if run["seconds"] else None
        say(run_line(run))
    return record


def dense_truth(case: Case) -> Record:
    """Return the k largest and the k smallest eigenvalues, extreme first, from the float64 Jacobian."""
    J = dense_matrix(linearise(case.model().double(), case.image.double()))[0]
    values = torch.linalg.eigvalsh(J.T @ J)
    return {"top": values.flip(0)[: case.k].tolist(), "bottom": values[: case.k].clamp_min(0).tolist()}


def run_line(run: Record) -> str:
    """Return one line about a run."""
    head = f"  {run['method']:<13}"
    if run["seconds"] is None:
        return f"{head} not run: {run['note']}"
    ends = "  ".join(f"{end} {_error_text(run[end])}" for end in ("top", "bottom"))
    seconds = f"{run['seconds']:>8.2f} s ({run['processor_seconds']:.2f} of processor, {run['products']:.0%} in products)"
    return f"{head}{run['fvps']:>8.1f} FVPs {seconds} {run['ratio']:>7.1f}x  {ends}  {run['note']}"


def product_cost(case: Case) -> Record:
    """Return the seconds of a forward pass and of an FVP by each method."""
    model, image = case.model(), case.image
    with torch.no_grad():
        forward = _least(lambda: model(image))
    record: Record = {"name": case.name, "label": case.label, "forward": forward, "methods": {}}
    for method in ("program", "double_backward", "forward"):
        A = linearise(model, image, method=method)
        v = torch.randn(1, 1, A.shape.n, generator=torch.Generator().manual_seed(SEED))
        record["methods"][method] = _least(lambda A=A, v=v: A.fisher(v))
    return record


def batch_cost(size: int = 128) -> Record:
    """Return the seconds of eight images of OnOff as one batch, and one after the other."""
    pixels = torch.stack([image.pixels for image in SkimageImages(BATCH, size, True)])
    together = _clock(lambda: _solve_all(pixels))
    in_turn = _clock(lambda: [_solve_all(image[None]) for image in pixels])
    return {"images": len(pixels), "size": size, "batch": together, "in_turn": in_turn}


def warm_up() -> None:
    """Solve once, because the first solve of a process takes longer."""
    with _quiet():
        _solve_all(torch.rand(1, 1, 32, 32, generator=torch.Generator().manual_seed(SEED)))


# ------------------------------------------------------------------ one run


def _run(case: Case, method: str, A: Operator, linearising: float, cap: float) -> Record:
    times: list[float] = []
    run: Record = {}
    while not times or (len(times) < 3 and times[-1] < 1 and not run["stopped"]):
        run, seconds = _once(case, method, A, cap)
        if seconds is None:
            return run
        times.append(seconds + (0.0 if method in ("eigexp", "plenoptic") else linearising))
    run["seconds"] = median(times)
    return run


def _once(case: Case, method: str, A: Operator, cap: float) -> tuple[Record, float | None]:
    run: Record = {"method": method, "fvps": 0.0, "seconds": None, "stopped": False, "note": "", "top": {}, "bottom": {}}
    limited = Limited(A)
    start, processor = time.perf_counter(), time.process_time()
    if method == "eigexp":
        limited = Limited(_linearised(case)[0])
    work = Work(case, limited, float("inf") if method == "eigexp" else start + cap)
    limited.deadline = work.deadline
    try:
        with _quiet():
            run["note"] = METHODS[method](work)
    except Unsuitable as error:
        run["note"] = str(error)
        return run, None
    except (Stopped, ArithmeticError, RuntimeError, np.linalg.LinAlgError) as error:
        # SciPy and PRIMME raise the last three where they do not converge, PRIMME and JAX also where a product raised Stopped.
        late = isinstance(error, Stopped) or time.perf_counter() > work.deadline
        note = f"stopped at {cap:g} s" if late else f"failed: {str(error).partition(chr(10))[0][:100]}"
        run |= {"stopped": True, "note": note}
    seconds = time.perf_counter() - start
    run["processor_seconds"] = time.process_time() - processor  # of all threads; shows whether other programs used the processor
    run["products"] = limited.seconds / seconds  # share of the time
    run["fvps"] = float(limited.fisher_vector_products[0]) + work.counted_elsewhere
    for end, (values, rows) in work.found.items():
        run[end] = {"values": values.tolist(), "residual": max(fresh_residual(A, row) for row in rows)}
    return run, seconds


def _add_errors(pairs: Record, largest: float, truth: list[float] | None) -> None:
    if pairs:
        pairs["residual"] /= largest
        pairs["error"] = None if truth is None else max(abs(a - b) for a, b in zip(pairs["values"], truth, strict=True)) / largest


def _linearised(case: Case) -> tuple[Operator, float]:
    with _quiet():
        model, image = copy.deepcopy(_model(case)), case.image
        start = time.perf_counter()
        A = linearise(model, image)
    return A, time.perf_counter() - start


def _model(case: Case) -> torch.nn.Module:
    if (key := (case.key, case.double)) not in _MODELS:
        _MODELS[key] = case.model()
    return _MODELS[key]


_MODELS: dict[tuple[str, bool], torch.nn.Module] = {}


def _solve_all(pixels: Tensor) -> None:
    solved(linearise(OnOff(), pixels), Krylov(tol=1e-4))


# ------------------------------------------------------------------ timing and text


def _clock(work: Callable[[], Any], repeats: int = 3) -> float:
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return median(times)


def _least(work: Callable[[], Any], repeats: int = 10) -> float:
    work()
    return min(_clock(work, 1) for _ in range(repeats))


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress the output, bars and warnings of peers; the table shows what they say."""
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _truth_text(truth: Record | None) -> str:
    return f", true bottom / top = {truth['bottom'][0] / truth['top'][0]:.1e}" if truth else ", no dense truth: errors are residuals"


def _error_text(pair: Record) -> str:
    if not pair:
        return "-"
    return f"residual {pair['residual']:.0e}" if pair["error"] is None else f"error {pair['error']:.0e} (residual {pair['residual']:.0e})"
