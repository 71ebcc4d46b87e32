"""Results that look like real ones, made without a model."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from eigexp.images import Image
from eigexp.pairs import EigenPairs, NullSpace
from eigexp.store import Store, arrays_of, build_record, result_id

ENVIRONMENT = {"versions": {"eigexp": "0.1.0", "torch": "2.9.0"}, "git": None, "host": "node1"}


def fake_image(shape: tuple[int, ...] = (1, 16, 16), name: str = "camera", seed: int = 0) -> Image:
    rng = np.random.default_rng(seed)
    return Image(name, torch.from_numpy(rng.uniform(0.05, 0.95, shape).astype(np.float32)))


def unit(array: np.ndarray) -> np.ndarray:
    array = array / np.linalg.norm(array)
    return (array * np.sign(array.flat[np.abs(array).argmax()])).astype(np.float32)


def blob(shape: tuple[int, ...], seed: int) -> np.ndarray:
    """A few cycles of a grating in a Gaussian window: what a top eigendistortion looks like."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[-1 : 1 : shape[-2] * 1j, -1 : 1 : shape[-1] * 1j] if len(shape) > 1 else (0, np.linspace(-1, 1, shape[-1]))
    x, y = x - rng.uniform(-0.4, 0.4), y - rng.uniform(-0.4, 0.4)
    return np.broadcast_to(np.exp(-(x**2 + y**2) * 30) * np.cos(25 * x + 14 * y), shape)


def fake_pairs(shape: tuple[int, ...] = (1, 16, 16), k: int = 1, seed: int = 0, **changes: Any) -> EigenPairs:
    """k pairs at each end, of eigenvalues 10, 9.. and ..2e-4, 1e-4."""
    rng = np.random.default_rng(seed)
    n = int(np.prod(shape))
    top = [unit(blob(shape, seed + i)) for i in range(k)]
    bottom = [unit(rng.standard_normal(shape)) for _ in range(k)]
    values = torch.tensor([10.0 - i for i in range(k)] + [1e-4 * (k - i) for i in range(k)], dtype=torch.float64)
    values = changes.get("eigenvalues", values)
    residuals = values[0] * torch.tensor([1e-6] * k + [3e-6] * k, dtype=torch.float64)
    fields: dict[str, Any] = {
        "eigenindex": torch.tensor([*range(k), *range(n - k, n)]),
        "eigenvalues": values,
        "eigendistortions": torch.from_numpy(np.stack([*top, *bottom])),
        "residuals": residuals,
        "intervals": torch.stack([(values - residuals).clamp_min(0), values + residuals], dim=1),
        "clusters": (),
        "null_space": NullSpace(0, None),
        "evidence": {"top": "krylov", "bottom": "krylov"},
        "verified": True,
        "status": "converged",
        "tolerances": {"asked": {"tol": 1e-5, "bottom_rtol": None}, "met": {"tol": True, "bottom_rtol": None}},
        "method": "krylov",
        "n": n,
        "m": 2 * n,
        "fisher_vector_products": 212.0,
        "steps": 200,
    }
    return EigenPairs(**{**fields, **changes})


def fake_curves(pairs: EigenPairs, rows: int = 60) -> list[dict[str, Any]]:
    ranks, n = pairs.eigenindex.tolist(), pairs.n
    curves = []
    for step in range(1, rows + 1):
        row: dict[str, Any] = {"step": step, "fisher_vector_products": 3.5 * step, "seconds": 0.01 * step, "phase": "krylov"}
        for rank, value in zip(ranks, pairs.eigenvalues.tolist(), strict=True):
            low = rank < n / 2
            row[f"eigenvalue/{rank}"] = value * (1 - 0.6**step) if low else value + 3 * 0.8**step
            row[f"residual/{rank}"] = float("nan") if step == 1 else 10 * (0.6 if low else 0.8) ** step
        curves.append(row)
    return curves


def fake_record(pairs: EigenPairs, image: Image, model: str = "onoff", **more: Any) -> dict[str, Any]:
    identity = {"model": model, "layer": more.get("layer"), "image": image.sha256, "seed": 0, "solver": {"name": "krylov", "tol": 1e-5}}
    return build_record(
        pairs,
        image,
        id=result_id(identity),
        identity=identity,
        model=model,
        seconds=12.5,
        seed=0,
        device="cpu",
        environment=ENVIRONMENT,
        **more,
    )


def write_fake(
    root: Path | str, model: str = "onoff", image: Image | None = None, config: dict[str, Any] | None = None, **changes: Any
) -> str:
    """Write one result; its id comes back."""
    image = image or fake_image()
    pairs = fake_pairs(tuple(image.pixels.shape), **changes)
    record = fake_record(pairs, image, model)
    Store(root).write(record, pairs, image, fake_curves(pairs), config or {"model": {"name": model}, "seed": 0})
    return record["id"]


def fake_table(ids: Sequence[str], layers: Sequence[str] = ("a", "b<i>"), image: str = "camera", bottom: float = 1e-6) -> dict[str, Any]:
    """A table of layers: 1 on its diagonal, a quarter beside it, `bottom` times that for the bottom."""
    count = len(layers)
    return {
        "model": "net",
        "image": {"name": image},
        "layers": [{"layer": name, "id": id, "m": 4, "n": 256, "largest": 2.0} for name, id in zip(layers, ids, strict=True)],
        "vectors": [{"layer": i, "eigenindex": rank, "eigenvalue": 0.0} for i in range(count) for rank in (0, 255)],
        "values": [[2.0 if i == j else 0.5 * scale for j in range(count)] for i in range(count) for scale in (1.0, bottom)],
        "deviation": 0.0,
    }


def arrays_of_fake(**changes: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Arrays and record of one result, for a View."""
    image, pairs = fake_image(), fake_pairs(**changes)
    return arrays_of(pairs, image), fake_record(pairs, image)
