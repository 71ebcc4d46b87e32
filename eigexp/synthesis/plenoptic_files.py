"""Files saved by plenoptic's Eigendistortion, converted to saved objects of eigexp."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eigexp.io import SavedObject, read_plenoptic
from eigexp.store.result import as_array

_KNOWN = {
    "save_metadata",
    "_loaded",
    "_image",
    "_image_shape",
    "_image_flat",
    "_representation_flat",
    "_model",
    "_jacobian",
    "_eigendistortions",
    "_eigenvalues",
    "_eigenindex",
}
OBJECT = "eigexp.Eigendistortion"


def import_plenoptic(path: str | Path) -> SavedObject:
    """Return the arrays and metadata that eigexp would have saved. Attributes that plenoptic 2.1 does not have are kept by name.

    The pairs are sorted by eigenvalue, because power iteration with k > 1 finds those at the smallest end in reverse.

    Raises:
        LoadError: if the file is not an object of plenoptic, or holds more than tensors and plain values.
    """
    saved = read_plenoptic(path, map_location="cpu")
    info, model = saved["save_metadata"], saved.get("_model")
    kind = str(info.get("synthesis_object"))
    arrays: dict[str, NDArray[Any]] = {}
    metadata: dict[str, Any] = {
        "object": OBJECT if kind.rpartition(".")[2] == "Eigendistortion" else kind,
        "records": [],
        "attributes": [str(key) for key in saved if key not in _KNOWN],
    }
    if isinstance(saved.get("_image"), Tensor):
        arrays["image"] = as_array(saved["_image"])
    if isinstance(model, tuple) and len(model) == 3:
        metadata["model"] = str(model[0]).rpartition(".")[2]
        arrays["model_output"] = as_array(_flat(model[2]))
    if isinstance(saved.get("_jacobian"), Tensor):
        arrays["jacobian"] = as_array(saved["_jacobian"])
    if isinstance(saved.get("_eigendistortions"), Tensor):
        arrays |= _pairs(saved)
        m = saved["_representation_flat"].numel()
        metadata["records"] = [_record(arrays["0.eigenindex"], saved["_image"].numel(), m, info.get("plenoptic_version"))]
    return SavedObject(metadata, arrays)


def _pairs(saved: dict[str, Any]) -> dict[str, NDArray[Any]]:
    values = saved["_eigenvalues"].double().reshape(-1)
    values, order = values.sort(descending=True, stable=True)
    k = len(values)
    bounds = torch.tensor([0.0, torch.inf], dtype=torch.float64).expand(k, 2)
    return {
        "0.eigenvalues": as_array(values),
        "0.eigendistortions": as_array(saved["_eigendistortions"][order]),
        "0.eigenindex": as_array(saved["_eigenindex"].reshape(-1).to(torch.int64).sort().values),
        "0.residuals": np.full(k, np.nan),
        "0.intervals": as_array(bounds),
    }


def _record(eigenindex: NDArray[Any], n: int, m: int, version: Any) -> dict[str, Any]:
    """Return a record without evidence: plenoptic gives none."""
    return {
        "status": "imported",
        "method": f"plenoptic {version}",
        "evidence": {"top": "budget" if 0 in eigenindex else None, "bottom": "budget" if n - 1 in eigenindex else None},
        "verified": False,
        "n": n,
        "m": m,
        "clusters": [],
        "null_space": {"dimension_at_least": max(n - m, 0), "dimension_estimate": None},
        "tolerances": {"asked": {}, "met": {}},
        "fisher_vector_products": 0.0,
        "steps": 0,
        "notes": ["imported from plenoptic, which gives no error bounds"],
    }


def _flat(output: Any) -> Tensor:
    """Return a saved output as one row (1, m)."""
    parts = [output] if isinstance(output, Tensor) else list(output.values()) if isinstance(output, dict) else list(output)
    return torch.cat([part.detach().reshape(1, -1) for part in parts], dim=1)
