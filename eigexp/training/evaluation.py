"""Stored pairs used again: certified once more by fresh products, or added to their images."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from eigexp.certificates import certify
from eigexp.errors import ConfigurationError
from eigexp.operators import Operator
from eigexp.pairs import EigenPairs, RitzPairs
from eigexp.solvers.base import Progress, Solver
from eigexp.store.metric_names import metric_name
from eigexp.training.precision import full_precision
from eigexp.training.steps import CURRENT

if TYPE_CHECKING:
    from eigexp.training.data import TaskData
    from eigexp.training.module import EigenModule
    from eigexp.training.task import Task

_TENSORS = ("eigenindex", "eigenvalues", "eigendistortions", "intervals", "residuals")
_PEAK = 0.4  # of the strongest distortion in a distorted image, in pixel units


@dataclass(frozen=True)
class StoredPairs:
    """Pairs of one image from a module or a store.

    Attributes:
        eigenindex: shape (k,), int64.
        eigenvalues: shape (k,).
        eigendistortions: shape (k, *image shape).
        intervals: shape (k, 2).
        residuals: shape (k,).
        tol: requested residual, relative to the largest eigenvalue.
        n: number of coordinates.
        method: name of the solver.
    """

    eigenindex: Tensor
    eigenvalues: Tensor
    eigendistortions: Tensor
    intervals: Tensor
    residuals: Tensor
    tol: float
    n: int
    method: str

    @classmethod
    def of(cls, pairs: EigenPairs) -> "StoredPairs":
        """Return those of a certificate."""
        tol = float(pairs.tolerances["asked"]["tol"] or 0.0)
        tensors = {name: getattr(pairs, name) for name in _TENSORS}
        return cls(**tensors, tol=tol, n=pairs.n, method=pairs.method)

    @classmethod
    def of_result(cls, arrays: Mapping[str, Any], record: Mapping[str, Any]) -> "StoredPairs":
        """Return those of a store's result."""
        tensors = {name: torch.from_numpy(arrays[name].copy()) for name in _TENSORS}
        return cls(**tensors, tol=float(record["tolerances"]["asked"]["tol"]), n=record["n"], method=record["method"])


class _Proposal:
    """Stored pairs instead of a solver with its state, for `certify`. They claim no more than what fresh residuals show."""

    stops_by_residuals = True

    def __init__(self, A: Operator, stored: list[StoredPairs], solver: Solver):
        self.name = stored[0].method
        self._stored = stored
        self.certificate = solver.certificate
        self.pairs = [self._proposal(A, s) for s in stored]

    def progress(self, state: Any) -> list[Progress]:
        return [self._progress(s) for s in self._stored]

    @staticmethod
    def _proposal(A: Operator, stored: StoredPairs) -> RitzPairs:
        vectors = A.from_pixels(stored.eigendistortions.flatten(1).to(A.device))
        return RitzPairs(stored.eigenindex.cpu(), stored.eigenvalues.cpu(), vectors, "budget", "budget")

    @staticmethod
    def _progress(stored: StoredPairs) -> Progress:
        index, values = tuple(stored.eigenindex.tolist()), tuple(stored.eigenvalues.tolist())
        return Progress("again", index, values, (), values[0], stored.tol, 0.0, 0, True, "")


def certify_again(module: "EigenModule", position: int) -> dict[str, float]:
    """Return what fresh products say of the stored pairs of a task, by names such as "top/1/eigenvalue", "top/1/lower", "bottom/1/upper".

    The bounds are those of an eigenvalue near the vector's value, by its fresh residual alone. "confirmed" is 1 where all fresh values lie
    within the stored intervals and no residual has grown, up to the rounding of stored vectors, else 0. Of several images each name begins
    with "<image>/".

    Raises:
        ConfigurationError: if there are no stored pairs.
    """
    task = _task(module, position)
    with torch.inference_mode(False), torch.enable_grad(), full_precision(module.device):
        stored = stored_pairs(module, task)
        A = module.operator if module.task is task else module.linearise_task(task, method=module.settings.linearise)
        proposal: Any = _Proposal(A, stored, module.solver)
        fresh = certify(A, proposal.pairs, solver=proposal, state=proposal, precision=module.settings.certify)
    single = len(task.ids) == 1 and (position == CURRENT or len(_data(module).tasks) == 1)
    found: dict[str, float] = {}
    for name, before, now in zip(task.names, stored, fresh, strict=True):
        prefix = "" if single else f"{task.description or name}/"
        found |= {prefix + key: value for key, value in _compared(before, now).items()}
    return found


def distorted_images(module: "EigenModule", position: int) -> list[Tensor]:
    """Return each image of a task plus each of its stored distortions, shape (pairs, c, h, w), in the order of eigenindices.

    All distortions of an image have the same norm, at which the strongest pixel changes by 0.4. Values may exceed [0, 1].

    Raises:
        ConfigurationError: if there are no stored pairs.
    """
    task = _task(module, position)
    with torch.inference_mode(False):
        stored = stored_pairs(module, task)
        return [_distorted(image.pixels, s.eigendistortions.cpu()) for image, s in zip(task.images, stored, strict=True)]


def stored_pairs(module: "EigenModule", task: "Task") -> list[StoredPairs]:
    """Return the pairs of each image of a task: the module's, the loaded checkpoint's, or the store's of the data.

    Raises:
        ConfigurationError: if there are none.
    """
    if all(id in module.results for id in task.ids):
        return [StoredPairs.of(module.results[id]) for id in task.ids]
    if module.restore(task):
        return [StoredPairs.of(pairs) for pairs in module.eigenpairs()]
    store = _data(module).store
    if store is None or not all(store.has(id) for id in task.ids):
        raise ConfigurationError(
            f"There are no stored pairs of {', '.join(task.names)}. Call trainer.fit first, give ckpt_path=, or TaskData(tasks, store=...)."
        )
    results = [store.read(id) for id in task.ids]
    return [StoredPairs.of_result(result.arrays, result.record) for result in results]


def _compared(before: StoredPairs, now: EigenPairs) -> dict[str, float]:
    found: dict[str, float] = {}
    for index, value, residual, (lower, upper) in zip(
        now.eigenindex.tolist(), now.eigenvalues.tolist(), now.residuals.tolist(), now.intervals.tolist(), strict=True
    ):
        numbers = {"eigenvalue": value, "residual": residual, "lower": lower, "upper": upper}
        found |= {metric_name(index, before.n, name): number for name, number in numbers.items()}
    rounding = 4 * torch.finfo(before.eigendistortions.dtype).eps * float(before.eigenvalues[0])
    low, high = before.intervals.cpu().unbind(1)
    values, residuals = now.eigenvalues.cpu(), now.residuals.cpu()
    holds = (values >= low - rounding) & (values <= high + rounding) & (residuals <= before.residuals.cpu() + rounding)
    return found | {"confirmed": float(holds.all())}


def _distorted(pixels: Tensor, distortions: Tensor) -> Tensor:
    peak = distortions.abs().max() if distortions.numel() else torch.ones(())
    return pixels + (_PEAK / peak) * distortions


def _task(module: "EigenModule", position: int) -> "Task":
    if position == CURRENT:
        assert module.task is not None
        return module.task
    with torch.inference_mode(False):  # a lazy sequence reads its images here, and they are differentiated later
        return _data(module).tasks[position]


def _data(module: "EigenModule") -> "TaskData":
    data: Any = module.trainer.datamodule  # pyright: ignore[reportAttributeAccessIssue]
    if data is None:
        raise ConfigurationError("validate, test and predict need the tasks: call trainer.validate(module, TaskData(tasks)).")
    return data
