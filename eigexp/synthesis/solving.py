"""From a solver to certified pairs: one task, one fit of a Trainer."""

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import ProgressBar
from lightning.pytorch.strategies import SingleDeviceStrategy
from torch import Tensor, nn

from eigexp.errors import ConfigurationError
from eigexp.images import Image
from eigexp.models import Features, weights_digest
from eigexp.norm import Norm, measured_by
from eigexp.operators.explicit import ExplicitJacobian
from eigexp.pairs import EigenPairs
from eigexp.solvers.exact import Exact
from eigexp.solvers.randomized_svd import RandomizedSVD
from eigexp.store import build_record, environment, result_id
from eigexp.store.identity import Part, flat_settings, identity_of
from eigexp.store.source_code import code_digest, model_code
from eigexp.training import EigenModule, Task, TaskData
from eigexp.training.callbacks import EigenvalueCurves, SolverProgress, TaskCallback
from eigexp.training.settings import SolveSettings
from eigexp.training.trainer import make_trainer

Mode = Literal["auto", "bar", "plain", "quiet"]


@dataclass(frozen=True)
class Solved:
    """The result of one image: its certified pairs, the record that a store would hold, and its curves, one row per step."""

    pairs: EigenPairs
    record: dict[str, Any]
    curves: list[dict[str, Any]]


@dataclass(frozen=True)
class Fit:
    """The results of one fit.

    Attributes:
        solved: one per image.
        jacobian: shape (b, m, n), where it was computed.
        range_errors: of randomized SVD, one per image.
    """

    solved: tuple[Solved, ...]
    jacobian: Tensor | None
    range_errors: tuple[float, ...]


def fit(
    image: Tensor,
    model: Callable[[Tensor], Any],
    settings: SolveSettings,
    *,
    norm: Norm | None,
    trainer: Trainer | None,
    callbacks: Sequence[Callback] | None,
    progress: bool | Mode,
) -> Fit:
    """Solve for every image of a batch in one fit of a Trainer, and certify the results.

    Raises:
        ConfigurationError: if the trainer ends before its first step, or both a trainer and callbacks are given.
    """
    if trainer is not None and callbacks:
        raise ConfigurationError("callbacks cannot be given together with a trainer. Give them to the trainer: Trainer(callbacks=[...]).")
    trainer = trainer or _trainer(image.device, [*(callbacks or ())], progress)
    module = EigenModule(**vars(settings))
    module.keep_results = False  # the collector has them
    task = _task(image, model, settings, norm)
    collector = _Collector(image, model, norm)
    trainer.callbacks.append(collector)  # pyright: ignore[reportAttributeAccessIssue]
    try:
        with _interruptible():
            # A trainer that has fitted before continues to count epochs, and the task must be at the position of its next epoch.
            trainer.fit(module, TaskData([task] * (trainer.current_epoch + 1)))
    finally:
        trainer.callbacks.remove(collector)  # pyright: ignore[reportAttributeAccessIssue]
        if isinstance(model, nn.Module):
            model.to(image.device)
    if collector.fit is None:
        raise ConfigurationError(
            f"the trainer ended before its first step (max_epochs={trainer.max_epochs}, max_steps={trainer.max_steps}). Use a new one."
        )
    return collector.fit


class _Collector(TaskCallback):
    """Certifies the results at the end of the fit, while the model is still on the trainer's device."""

    def __init__(self, image: Tensor, model: Callable[[Tensor], Any], norm: Norm | None):
        self._image, self._model, self._norm = image, model, norm
        self.fit: Fit | None = None

    def on_train_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Certify, and keep the results."""
        module: EigenModule = pl_module
        if module.task is None:
            return
        seconds = module.seconds
        curves = next((c for c in trainer.callbacks if isinstance(c, EigenvalueCurves)), None)  # pyright: ignore[reportAttributeAccessIssue]
        rows = curves.rows if curves else [[] for _ in module.task.ids]
        self.fit = Fit(
            solved=tuple(self._solved(module, i, pairs, rows[i], seconds) for i, pairs in enumerate(module.eigenpairs())),
            jacobian=self._jacobian(module),
            range_errors=tuple(module.solver.range_error(module.state)) if isinstance(module.solver, RandomizedSVD) else (),
        )

    def _jacobian(self, module: EigenModule) -> Tensor | None:
        """Return the Jacobian of "exact". Other solvers may have one only because it makes the fastest products."""
        around = (module.settings.noise, module.settings.subspace, self._norm)
        plain = all(part is None for part in around)  # else it is that of whitened responses, or of coordinates
        if plain and isinstance(module.solver, Exact) and isinstance(module.operator, ExplicitJacobian):
            return module.operator.matrix.to(self._image.device)
        return None

    def _solved(self, module: EigenModule, i: int, pairs: EigenPairs, rows: list[dict[str, Any]], seconds: float) -> Solved:
        assert module.task is not None
        settings, parts = module.settings, _parts(self._model, module.settings, self._norm)
        record = build_record(
            pairs,
            module.task.images[i],
            id=module.task.ids[i],
            identity=module.task.identities[i],
            model=module.task.model_name,
            layer=_layers(self._model),
            seconds=seconds / len(module.task.ids),
            seed=settings.seed,
            device=str(module.device),
            environment=environment(),
            settings=flat_settings(parts, seed=settings.seed, dtype=_dtype(self._image), certify=settings.certify),
            linearise=getattr(module.operator, "method", None),
        )
        here = replace(pairs, eigendistortions=pairs.eigendistortions.to(self._image.device))
        return Solved(here, record, list(rows))


class _CalledModel(nn.Module):
    """Any callable as a module. An image of a single axis is passed without the batch axis."""

    def __init__(self, model: Callable[[Tensor], Any], *, bare: bool):
        super().__init__()
        if isinstance(model, nn.Module):
            self.module = model  # a child, so that it moves to the device with this module
        self._called = (model,)
        self._bare = bare

    def forward(self, x: Tensor) -> Any:
        return self._called[0](x[0] if self._bare else x)


def model_name(model: Any) -> str:
    """Return the name of a function, or of an object's class."""
    return getattr(model, "__name__", None) or type(model).__name__


def _task(image: Tensor, model: Callable[[Tensor], Any], settings: SolveSettings, norm: Norm | None) -> Task:
    bare = image.ndim == 1
    rows = [image] if bare else list(image)
    names = ["image"] if len(rows) == 1 else [f"image {i}" for i in range(len(rows))]
    images = tuple(Image(name, pixels) for name, pixels in zip(names, rows, strict=True))
    module = model if isinstance(model, nn.Module) and not bare else _CalledModel(model, bare=bare)
    certify = {} if settings.certify == "float64" else {"certify": settings.certify}
    about = {"seed": settings.seed, "dtype": _dtype(image), **certify}
    weights = {"layer": _layers(model), "weights": weights_digest(module)}
    identities = tuple(identity_of(_parts(model, settings, norm), **about, **weights, image=i.sha256) for i in images)
    ids = tuple(result_id(identity) for identity in identities)
    metric = None if norm is None else lambda pixels, noise, subspace: measured_by(norm, subspace, tuple(pixels.shape[1:]))
    return Task(images, module, ids=ids, identities=identities, model_name=model_name(model), metric=metric)


def _parts(model: Any, settings: SolveSettings, norm: Norm | None) -> dict[str, Part | None]:
    own = Part.of_instance(model)
    if own and not own.registered and isinstance(model, nn.Module):
        own = replace(own, code=code_digest([type(model), *model_code(model)]))
    others = {"noise": settings.noise, "subspace": settings.subspace, "solver": settings.solver}
    others |= {} if norm is None else {"norm": norm}  # it is in no id unless it is used
    return {"model": own, **{name: Part.of_instance(part) for name, part in others.items()}}


def _dtype(image: Tensor) -> str:
    return str(image.dtype).removeprefix("torch.")


def _layers(model: Any) -> list[str] | None:
    return list(model.layers) if isinstance(model, Features) else None


def _trainer(device: torch.device, callbacks: list[Callback], progress: bool | Mode) -> Trainer:
    mode: Mode = progress if isinstance(progress, str) else "auto" if progress else "quiet"
    bar = SolverProgress(mode)  # also where it is not used, so that an unknown mode is always refused
    if not any(isinstance(c, ProgressBar) for c in callbacks):
        callbacks.append(bar)
    if not any(isinstance(c, EigenvalueCurves) for c in callbacks):
        callbacks.append(EigenvalueCurves())
    settings: dict[str, Any] = {"strategy": SingleDeviceStrategy(device)} if device.index else {}
    return make_trainer(callbacks=callbacks, accelerator=device.type, **settings)


@contextmanager
def _interruptible() -> Iterator[None]:
    """Make Ctrl-C raise KeyboardInterrupt within the block. Lightning would end the process, and ignore SIGINT from then on."""
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit as exit:
        if isinstance(exit.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        raise
    finally:
        if handler is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, handler)
