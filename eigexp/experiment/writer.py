"""Writes the results of a task to the store: record, arrays, curves, configuration and figures."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eigexp.experiment.identity import result_settings
from eigexp.experiment.metric import metric_settings
from eigexp.experiment.response import response_digest
from eigexp.pairs import EigenPairs
from eigexp.report import View, distortion_figure, figure_png
from eigexp.report.pictures import captioned_pictures
from eigexp.store import Store, arrays_of, build_record, environment
from eigexp.store.result import CONFIG, CURVES, PAIRS, RECORD
from eigexp.store.source_code import distributions, model_code
from eigexp.training import EigenModule, Task

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StoreWriter:
    """Stores each image of a finished task with its figure; give it to a ResultWriter.

    Attributes:
        store: where they go.
        module: what computed them.
    """

    store: Store
    module: EigenModule

    def write_task(self, task: Task, eigenpairs: list[EigenPairs], curves: Sequence[list[dict[str, Any]]], seconds: float) -> list[Any]:
        """Store the results of a task. Return for each image what loggers show: record, figures, pictures and files.

        Raises:
            StoreError: if the disk refuses them; nothing half-written counts.
        """
        return [self._write(task, i, pairs, curves[i], seconds / len(task.ids)) for i, pairs in enumerate(eigenpairs)]

    def _write(self, task: Task, i: int, pairs: EigenPairs, curves: list[dict[str, Any]], seconds: float) -> dict[str, Any]:
        image, config = task.images[i], task.config or {}
        identity = task.identities[i] if task.identities else {}
        record = build_record(
            pairs,
            image,
            id=task.ids[i],
            identity=identity,
            model=task.model_name,
            layer=identity.get("layer"),
            seconds=seconds,
            seed=self.module.settings.seed,
            device=str(self.module.device),
            environment=environment(packages=distributions(model_code(task.model))),
            response=response_digest(task.model, image),
            linearise=getattr(self.module.operator, "method", None),
            settings=result_settings(config, (identity.get("model") or {}).get("code", "")) | metric_settings(config) if config else {},
            notes=[*pairs.notes, *_notes(task.model_name, config)],
        )
        arrays, scale = arrays_of(pairs, image), config.get("figure", {}).get("scale")
        figures = _figures(arrays, record, curves, scale)
        folder = self.store.write(record, pairs, image, curves, config, figures)
        shown = {"record": record, "figures": {name.removesuffix(".png"): folder / name for name in figures}}
        files = [folder / name for name in (PAIRS, RECORD, CURVES, CONFIG)]
        return shown | {"pictures": captioned_pictures(View.of(arrays, record), scale), "files": files}


def _notes(model: str, config: Mapping[str, Any]) -> list[str]:
    """Return notes on the model for readers of the result."""
    random = config.get("model", {}).get("weights") == "random"
    return [f"{model} has random weights: this says nothing of a trained network"] if random else []


def _figures(arrays: Mapping[str, Any], record: Mapping[str, Any], curves: list[dict[str, Any]], scale: float | None) -> dict[str, bytes]:
    """Return the PNG files of a result. A figure that cannot be drawn costs a warning, never the numbers."""
    try:
        return {"distortions.png": figure_png(distortion_figure(arrays, record, curves, scale=scale))}
    except Exception:
        log.warning("The figure of %s could not be drawn; its numbers are stored.", record["id"], exc_info=True)
        return {}
