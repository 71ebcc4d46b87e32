"""Writes the results of a task to the store: record, arrays, curves, configuration and figures."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eigexp.errors import StoreError
from eigexp.experiment.identity import result_settings
from eigexp.experiment.metric import group_names, metric_settings
from eigexp.experiment.response import response_digest
from eigexp.pairs import EigenPairs
from eigexp.report import View, figure_png
from eigexp.report.axes import chart_figure
from eigexp.report.charts import page_charts
from eigexp.report.pictures import captioned_pictures
from eigexp.report.raster import result_png
from eigexp.store import Store, arrays_of, build_record, environment
from eigexp.store.labels import model_label
from eigexp.store.owner import mark_as_own
from eigexp.store.result import CONFIG, CURVES, PAIRS
from eigexp.store.schema import RECORD
from eigexp.store.source_code import distributions, model_code
from eigexp.training import EigenModule, Task

FIGURE = "distortions.png"
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
        """Store every result, and only then draw figures. Return for each image what loggers show: record, figures, pictures and files.

        Raises:
            StoreError: if the disk refuses a result; nothing half-written counts.
        """
        records = [self._write(task, i, pairs, curves[i], seconds / len(task.ids)) for i, pairs in enumerate(eigenpairs)]
        return [self._adorn(task, i, record, eigenpairs[i], curves[i]) for i, record in enumerate(records)]

    def note(self, id: str, text: str) -> None:
        """Add a note on something that failed beside the numbers to a stored record, and to the log."""
        log.warning("%s: %s. Its numbers are stored.", id, text)
        try:
            self.store.add(id, {}, [text])
            mark_as_own(self.store, id)
        except StoreError as error:
            log.warning("%s", error)

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
            **_facts(pairs, task, identity.get("layer")),
            notes=[*pairs.notes, *_notes(task.model_name, config), *_logger_notes(self.module)],
        )
        self.store.write(record, pairs, image, curves, config)
        return record

    def _adorn(self, task: Task, i: int, record: dict[str, Any], pairs: EigenPairs, curves: list[dict[str, Any]]) -> dict[str, Any]:
        """Add the figure to a stored result and mark it as computed here. What fails costs a note, never the result."""
        id, arrays, figure = task.ids[i], arrays_of(pairs, task.images[i]), (task.config or {}).get("figure", {})
        folder = self.store.path(id)
        shown: dict[str, Any] = {"record": record, "files": [folder / name for name in (PAIRS, RECORD, CURVES, CONFIG)]}
        if figure is None or not figure.get("draw", True):
            mark_as_own(self.store, id)
            return shown
        try:
            scale, view = figure.get("scale"), View.of(arrays, record, curves)
            figures = {FIGURE: result_png(view, scale), **_figures(view)}
            self.store.add(id, figures)
            shown["figures"] = {name.removesuffix(".png"): folder / name for name in figures}
            shown["pictures"] = captioned_pictures(view, scale)
        except Exception as error:  # whatever a figure, a name or a font does
            self.note(id, f"the figure could not be drawn ({type(error).__name__}: {error})")
        mark_as_own(self.store, id)
        return shown


def _figures(view: View) -> dict[str, bytes]:
    """Return the figures of results of other problems than one model's, by the names of their files."""
    return {
        f"{kind}.png": figure_png(chart_figure(chart.make(view), (7.4, 1.5 + 0.34 * len(view.record[chart.needs]["models"]))))
        for kind, chart in page_charts(view.record)
        if chart.needs
    }


def _facts(pairs: EigenPairs, task: Task, layer: Any) -> dict[str, Any]:
    """Return the further keys of the record: of principal distortions, with the names of the models."""
    names = [model_label(task.model_name, layer), *group_names(task.config or {})]
    return {key: {"models": names, **facts} for key, facts in pairs.facts.items()}


def _notes(model: str, config: Mapping[str, Any]) -> list[str]:
    """Return notes on the model for readers of the result."""
    random = config.get("model", {}).get("weights") == "random"
    return [f"{model} has random weights: the result says nothing about a trained network"] if random else []


def _logger_notes(module: EigenModule) -> list[str]:
    """Return what loggers failed at so far."""
    loggers = module.trainer.loggers if module._trainer is not None else []
    return [problem for logger in loggers if (problem := getattr(logger, "problem", ""))]
