"""Cross tables: how sensitive each layer is to the distortions of all, from stored results and one pass through the network."""

import logging
import time
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from eigexp.errors import OperatorError
from eigexp.experiment.parts import build
from eigexp.experiment.tasks import PlannedTable, TaskList
from eigexp.noise import EarlyLateNoise
from eigexp.operators.cross import layer_sensitivities
from eigexp.store import Result, Store
from eigexp.store.cross_table import has_table, table_path, write_table
from eigexp.training.precision import full_precision

log = logging.getLogger(__name__)
_MOST_DEVIATION = {torch.float32: 1e-3, torch.float64: 1e-6}  # of a layer's own values from its eigenvalues, relative to its largest


def complete_tables(tasks: TaskList, store: Store) -> list[Path]:
    """Write the missing cross tables whose results are all stored. Return the files of all tables that exist.

    Raises:
        OperatorError: if the network, run to all its layers at once, does not give a layer's own eigenvalues.
        ModelError: if it cannot be run so.
        StoreError: if a result cannot be read, or the table not be written.
    """
    noise = build(tasks.config["noise"], "noise")
    measured = bool(tasks.others) or bool((tasks.config.get("norm") or {}).get("_target_"))
    if tasks.tables and (measured or isinstance(noise, EarlyLateNoise)):
        log.warning("No cross table: with against=, norm= or noise=early_late eigenvalues are not sensitivities v^T F v.")
        return []
    missing = [table for table in tasks.tables if not has_table(store, table.id) and all(store.has(id) for id in table.ids)]
    trunk = tasks.network.layers.trunk() if missing else None
    for table in missing:
        assert trunk is not None
        write_table(store, _content(table, trunk, tasks, store))
    return [table_path(store, table.id) for table in tasks.tables if has_table(store, table.id)]


def _content(table: PlannedTable, trunk: nn.Module, tasks: TaskList, store: Store) -> dict[str, Any]:
    began = time.monotonic()
    results = [store.read(id) for id in table.ids]
    values = _values(results, trunk, tasks)
    vectors = [_vector(at, result, row) for at, result in enumerate(results) for row in range(len(result.record["eigenindex"]))]
    largest = [max((value for value in result.record["eigenvalues"]), default=0.0) for result in results]
    first = results[0].record
    return {
        "model": first["model"],
        "image": first["image"],
        "layers": [
            {"layer": r.record["layer"], "id": r.id, "m": r.record["m"], "n": r.record["n"], "largest": top}
            for r, top in zip(results, largest, strict=True)
        ],
        "vectors": vectors,
        "values": values,
        "deviation": _deviation(vectors, values, largest, tasks),
        "dtype": tasks.config["dtype"],
        "device": str(_device(trunk)),
        "seconds": time.monotonic() - began,
        "versions": first.get("versions"),
    }


def _values(results: Sequence[Result], trunk: nn.Module, tasks: TaskList) -> Tensor:
    device = _device(trunk)
    trunk.to(device, tasks.dtype)
    image = torch.from_numpy(results[0].image).to(device, tasks.dtype)
    vectors = torch.cat([torch.from_numpy(result.eigendistortions).reshape(-1, *image.shape) for result in results])
    with full_precision(device):
        return layer_sensitivities(trunk, image, vectors, [r.record["m"] for r in results], noise=build(tasks.config["noise"], "noise"))


def _vector(layer: int, result: Result, row: int) -> dict[str, Any]:
    return {"layer": layer, "eigenindex": result.record["eigenindex"][row], "eigenvalue": result.record["eigenvalues"][row]}


def _deviation(vectors: Sequence[dict[str, Any]], values: Tensor, largest: Sequence[float], tasks: TaskList) -> float:
    """Return how far the layers' own values are from their certified eigenvalues, relative to the largest of each layer."""
    off = [
        abs(float(row[v["layer"]]) - v["eigenvalue"]) / largest[v["layer"]]
        for v, row in zip(vectors, values, strict=True)
        if largest[v["layer"]] > 0
    ]
    deviation = max(off, default=0.0)
    if deviation > _MOST_DEVIATION[tasks.dtype]:
        raise OperatorError(
            f"one pass of {tasks.network.name} through all layers gives eigenvalues of a layer with an error of {deviation:.1e} "
            "of its largest. The forward pass may differ from call to call, or overwrite tensors that it returned. "
            "The results of the layers remain valid."
        )
    return deviation


def _device(model: nn.Module) -> torch.device:
    tensor = next(chain(model.parameters(), model.buffers()), None)
    return torch.device("cpu") if tensor is None else tensor.device
