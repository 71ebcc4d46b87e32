"""A result's id, made from what determines its numbers, and its record of plain JSON values."""

import hashlib
import json
import math
import platform
import socket
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eigexp.errors import ConfigurationError, printable
from eigexp.store.files import digest
from eigexp.store.schema import FORMAT
from eigexp.store.seal import sealed
from eigexp.store.secrets import Secret

if TYPE_CHECKING:
    from eigexp.images import Image
    from eigexp.pairs import EigenPairs

ID_DIGITS = 16
PACKAGES = ("eigexp", "torch", "torchvision", "lightning", "numpy", "timm", "plenoptic")
_MAX_EXACT_INTEGER = 2**53  # of a float64


def result_id(identity: Mapping[str, Any]) -> str:
    """Return the first 16 hexadecimal digits of the SHA-256 over the canonical JSON of an identity.

    Raises:
        ConfigurationError: if the identity holds anything but strings, finite numbers, booleans, None, lists and dicts of those.
    """
    return hashlib.sha256(canonical_json(identity).encode()).hexdigest()[:ID_DIGITS]


def canonical_json(value: Any) -> str:
    """Return JSON that is the same for equal values: sorted keys, no spaces, ASCII, tuples as lists, and 1.0 as 1 (after RFC 8785).

    Raises:
        ConfigurationError: if a value is not plain; the message says where it is.
    """
    return json.dumps(_canonical(value, "identity"), sort_keys=True, separators=(",", ":"), allow_nan=False)


def build_record(
    pairs: "EigenPairs",
    image: "Image",
    *,
    id: str,
    identity: Mapping[str, Any],
    model: str,
    layer: str | Sequence[str] | None = None,
    seconds: float,
    seed: int,
    device: str,
    environment: Mapping[str, Any],
    **more: Any,
) -> dict[str, Any]:
    """Build the content of record.json. Numbers that are not finite become null.

    Args:
        pairs: certified eigenpairs of the image.
        image: the image that they belong to.
        id: `result_id(identity)`.
        identity: what determined the numbers.
        model: the model's name.
        layer: the layer, or the layers concatenated to the response; None for the model's output.
        seconds: wall-clock time spent on this result.
        seed: of the solver's first vectors.
        device: such as "cpu" or "NVIDIA H100".
        environment: `environment()`: versions, git, host.
        more: further plain values, such as `description`.
    """
    record = {
        "id": id,
        "format": FORMAT,
        "status": pairs.status,
        "evidence": pairs.evidence,
        "verified": pairs.verified,
        "method": pairs.method,
        "model": model,
        "layer": layer,
        "image": {"name": image.name, "shape": image.pixels.shape, "sha256": image.sha256, "source": image.source},
        "n": pairs.n,
        "m": pairs.m,
        "eigenindex": pairs.eigenindex,
        "eigenvalues": pairs.eigenvalues,
        "residuals": pairs.residuals,
        "intervals": pairs.intervals,
        "clusters": pairs.clusters,
        "null_space": asdict(pairs.null_space),
        "tolerances": pairs.tolerances,
        "fisher_vector_products": pairs.fisher_vector_products,
        "steps": pairs.steps,
        "seconds": seconds,
        "seed": seed,
        "notes": pairs.notes,
        **environment,
        "device": device,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "identity": identity,
        **more,
    }
    return shown(plain(record))


def sealed_record(record: Mapping[str, Any], contents: Mapping[str, bytes]) -> bytes:
    """Return the bytes of record.json with the digests of its result's other files."""
    return sealed(shown(plain({**record, "files": {name: digest(content) for name, content in contents.items()}})))


def environment(folder: str | Path | None = None, packages: Sequence[str] = ()) -> dict[str, Any]:
    """Return where a result is computed: {"versions": {package: version}, "git": {"commit", "dirty"} or None, "host": name}.

    Args:
        folder: in the repository that "git" describes; the current folder by default.
        packages: further ones whose versions to note, those of the model's classes.
    """
    return {"versions": _versions(tuple(packages)), "git": git_state(str(Path(folder or ".").absolute())), "host": socket.gethostname()}


@cache
def git_state(folder: str) -> dict[str, Any] | None:
    """Return the commit that is checked out in `folder` and whether tracked files differ from it; None outside a repository."""
    commit = _git(folder, "rev-parse", "HEAD")
    if not commit:
        return None
    return {"commit": commit, "dirty": bool(_git(folder, "status", "--porcelain", "--untracked-files=no"))}


def plain(value: Any) -> Any:
    """Convert a value to JSON types: arrays to lists, paths to text, numbers that are not finite to None, secrets to their source."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if hasattr(value, "tolist"):  # torch and numpy, without importing either
        return plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Secret):
        return value.source
    return value if value is None or isinstance(value, str | int | bool) else str(value)


def shown(value: Any, *, lines: bool = False) -> Any:
    """Return plain values for files that people read: `printable` text throughout, because names may not even be UTF-8."""
    if isinstance(value, dict):
        return {printable(key): shown(item, lines=lines) for key, item in value.items()}
    if isinstance(value, list):
        return [shown(item, lines=lines) for item in value]
    return printable(value, lines=lines) if isinstance(value, str) else value


def _canonical(value: Any, where: str) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _canonical(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_canonical(item, f"{where}[{i}]") for i, item in enumerate(value)]
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return int(value) if value.is_integer() and abs(value) < _MAX_EXACT_INTEGER else value
    raise ConfigurationError(
        f"{where} is {value!r} ({type(value).__name__}), which cannot be part of a result's id. Give finite numbers, text, lists or dicts."
    )


@cache
def _versions(more: tuple[str, ...]) -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in (*PACKAGES, *more):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue  # an optional package
    return found


def _git(folder: str, *arguments: str) -> str:
    command = ["git", "-C", folder, *arguments]
    try:
        run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""  # git is not installed, or too slow
    return run.stdout.strip() if run.returncode == 0 else ""
