"""Writes the results of a task to the store: record, arrays, curves, configuration and figures."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from eigexp.errors import StoreError
from eigexp.experiment.task_record import task_records
from eigexp.pairs import EigenPairs
from eigexp.report import View, figure_png
from eigexp.report.axes import chart_figure
from eigexp.report.charts import page_charts
from eigexp.report.pictures import captioned_pictures
from eigexp.report.raster import result_png
from eigexp.store import Store, arrays_of
from eigexp.store.owner import mark_as_own, mark_file_as_own
from eigexp.store.result import CONFIG, CURVES, PAIRS, curves_csv
from eigexp.store.schema import RECORD
from eigexp.store.shard import Row
from eigexp.store.store import config_yaml
from eigexp.training import EigenModule, Task
from eigexp.training.loggers import ResultLogger

FIGURE = "distortions.png"
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StoreWriter:
    """Stores each image of a finished task with its figure; give it to a ResultWriter.

    Attributes:
        store: where they go.
        module: what computed them.
        shards: store the images of a task together, without figures.
    """

    store: Store
    module: EigenModule
    shards: bool = False

    def write_task(self, task: Task, eigenpairs: list[EigenPairs], curves: Sequence[list[dict[str, Any]]], seconds: float) -> list[Any]:
        """Store every result, and only then draw figures. Return for each image what loggers show: record, figures, pictures and files.

        Raises:
            StoreError: if the disk refuses a result; nothing half-written counts.
        """
        records = task_records(task, eigenpairs, self.module, seconds / len(task.ids))
        if self.shards:
            self._write_shard(task, records, eigenpairs, curves)
            return []
        for record, pairs, image, rows in zip(records, eigenpairs, task.images, curves, strict=True):
            self.store.write(record, pairs, image, rows, task.config)
        return [self._adorn(task, i, record, eigenpairs[i], curves[i]) for i, record in enumerate(records)]

    def note(self, id: str, text: str) -> None:
        """Add a note on something that failed beside the numbers to a stored record, and to the log."""
        log.warning("%s: %s. Its numbers are stored.", id, text)
        try:
            self.store.add(id, {}, [text])
            mark_as_own(self.store, id)
        except StoreError as error:
            log.warning("%s", error)

    def _write_shard(self, task: Task, records: Sequence[dict[str, Any]], eigenpairs: Sequence[EigenPairs], curves: Sequence[Any]) -> None:
        config = config_yaml(task.config or {})
        rows = [
            Row(record, pairs, image, {CURVES: curves_csv(rows), CONFIG: config})
            for record, pairs, image, rows in zip(records, eigenpairs, task.images, curves, strict=True)
        ]
        for path in self.store.write_shard(rows):
            mark_file_as_own(path)

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
            if any(isinstance(logger, ResultLogger) for logger in _loggers(self.module)):
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


def _loggers(module: EigenModule) -> list[Any]:
    return module.trainer.loggers if module._trainer is not None else []
