"""What a result was computed with: its identity, which its id is made from, and its settings, which tables and reports show.

An identity names what determines the numbers and nothing else. A class or function of this package has the name that it declares there, so
it may move or be renamed; one of the user's own has its `_target_` and the digest of its code. Settings with their default values are left
out, so a class may gain a setting. A default that changes needs a new IDENTITY_FORMAT, because it gives other numbers under the same id.
"""

import hashlib
import inspect
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from eigexp.errors import ConfigurationError
from eigexp.store.record import canonical_json, plain
from eigexp.store.source_code import code_digest

IDENTITY_FORMAT = 2
PACKAGE = "eigexp"
_FORMAT_1_NAMES = {"Krylov": "krylov", "Subspace": "power", "Power": "power", "Exact": "exact", "Sparse": "sparse", "Auto": "auto"}
_USUAL = {"noise": "gaussian", "subspace": "none", "solver": "krylov"}
_FORMAT_1_NAMES |= {"RandomizedSVD": "randomized_svd", "GaussianNoise": "gaussian", "Mask": "mask"}


@dataclass(frozen=True)
class Part:
    """A configured object: a model, noise, subspace or solver.

    Attributes:
        name: the registered name, or a user's own `_target_`.
        registered: whether it is the former.
        given: the settings of its configuration.
        defaults: those of its signature.
        code: digest of the user's own code in it; empty where there is none.
    """

    name: str
    registered: bool
    given: Mapping[str, Any]
    defaults: Mapping[str, Any]
    code: str = ""

    @classmethod
    def of(cls, target: Any, path: str, given: Mapping[str, Any]) -> "Part":
        """Describe what `target(**given)` makes; `path` is the `_target_` that led to it."""
        name = registered_name(target)
        code = "" if name else code_digest([target])
        return cls(name or path, name is not None, dict(given), _defaults(target), code)

    @classmethod
    def of_instance(cls, thing: Any) -> "Part | None":
        """Describe an object by its class and, of a dataclass, its fields; a function by its name. None stays None."""
        if thing is None:
            return None
        kind = thing if hasattr(thing, "__qualname__") else type(thing)
        given = {f.name: _plain_or_digest(getattr(thing, f.name)) for f in fields(thing)} if is_dataclass(thing) else {}
        return cls.of(kind, f"{kind.__module__}.{kind.__qualname__}", given)

    @property
    def identity(self) -> dict[str, Any]:
        """The name, and the settings that differ from their defaults."""
        differing = {key: value for key, value in self.given.items() if key not in self.defaults or not _equal(value, self.defaults[key])}
        code = {"code": self.code} if self.code else {}
        return {"name" if self.registered else "_target_": self.name, **differing, **code}

    @property
    def settings(self) -> dict[str, Any]:
        """Every setting, defaults included."""
        return {**self.defaults, **self.given, **({"code": self.code[:8]} if self.code else {})}


def registered_name(target: Any) -> str | None:
    """Return the `name` that a class or function of this package declares itself; None for others, and for a name that is inherited."""
    name = getattr(target, "__dict__", {}).get("name")
    ours = str(getattr(target, "__module__", "")).partition(".")[0] == PACKAGE
    return name if ours and isinstance(name, str) else None


def identity_of(parts: Mapping[str, Part | None], **more: Any) -> dict[str, Any]:
    """Return the identity of a result.

    Args:
        parts: model, noise, subspace and solver; None for one that is not used.
        more: what else determines the numbers: layer, weights, image, seed, dtype, ...
    """
    return {"format": IDENTITY_FORMAT, **{key: part and part.identity for key, part in parts.items()}, **more}


def flat_settings(parts: Mapping[str, Part | None], **more: Any) -> dict[str, Any]:
    """Return every setting under the key of the command line, such as {"solver": "krylov", "solver.k": 1, ..., "seed": 0}."""
    flat: dict[str, Any] = {}
    for key, part in parts.items():
        flat[key] = part.name if part else "none"
        flat |= {f"{key}.{setting}": value for setting, value in (part.settings if part else {}).items()}
    return {**flat, **more}


def settings_of(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a result was computed with, under the keys of the command line; the one source for tables and reports.

    Such as `model`, `layer`, `size` ("128x128"), `solver`, `solver.k`, `solver.tol`, `noise`, `noise.variance`, `subspace`, `seed` and
    `dtype`, defaults included. A record of identity format 1 gives the same keys.
    """
    settings = record.get("settings") or _of_format_1(record)
    shape = (record.get("image") or {}).get("shape") or ()
    about = {"model": record.get("model"), "layer": record.get("layer"), "size": "x".join(str(side) for side in shape[-2:]) or None}
    return {**settings, **about}


def is_ratio(record: Mapping[str, Any]) -> bool:
    """Return whether eigenvalues are ratios to a norm or a second model, which predict no threshold in pixels and no d'."""
    return not {"norm", "against"}.isdisjoint(record.get("identity") or {})


def identity_words(identity: Mapping[str, Any]) -> str:
    """Return what distinguishes a result from others of its model, layer and image: its size, and every setting not at its default.

    Such as "64x64 k=3 noise=poisson seed=1", for names of runs.
    """
    shape = identity.get("shape") or ()
    words = ["x".join(str(side) for side in shape[-2:])] if shape else []
    for key in (part for part in ("model", "noise", "subspace", "norm", "solver") if part in identity):
        node = dict(identity[key] or {})
        name = str(node.pop("name", None) or node.pop("_target_", None) or "none")
        words += [f"{key}={name}"] if key != "model" and name != _USUAL.get(key) else []
        words += [f"{setting}={_short(value)}" for setting, value in sorted(node.items()) if not setting.startswith("_")]
    if against := identity.get("against"):
        nodes = against if isinstance(against, list | tuple) else [against]
        names = ",".join(node["model"].get("name") or node["model"].get("_target_") for node in nodes)
        words += [f"against={names if nodes == [against] else f'[{names}]'}", f"floor={identity['floor']:g}"]
    usual = {"seed": 0, "dtype": "float32", "certify": "float64"}
    return " ".join([*words, *(f"{key}={identity[key]}" for key, value in usual.items() if identity.get(key, value) != value)])


def _short(value: Any) -> str:
    """Return a setting's value; a digest by its first digits."""
    text = str(value)
    return text[:8] if len(text) == 64 and all(digit in "0123456789abcdef" for digit in text) else text


def _of_format_1(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of an identity that held paths of classes and every default."""
    identity = record.get("identity") or {}
    settings: dict[str, Any] = {}
    for key in ("model", "noise", "subspace", "solver"):
        node = identity.get(key)
        node = dict(node) if isinstance(node, Mapping) else {}
        last = str(node.pop("_target_", None) or node.pop("name", None) or "none").rpartition(".")[2]
        settings[key] = _FORMAT_1_NAMES.get(last, last)
        settings |= {f"{key}.{setting}": value for setting, value in node.items()}
    return {**settings, "seed": identity.get("seed", record.get("seed")), "dtype": identity.get("dtype")}


def _defaults(target: Any) -> dict[str, Any]:
    """Return the defaults of a signature that are plain values."""
    try:
        parameters = inspect.signature(target).parameters
    except (TypeError, ValueError):  # a builtin without a signature
        return {}
    return {name: p.default for name, p in parameters.items() if p.default is not p.empty and _is_plain(p.default)}


def _is_plain(value: Any) -> bool:
    try:
        canonical_json(value)
    except ConfigurationError:
        return False
    return True


def _plain_or_digest(value: Any) -> Any:
    """Return a plain value as it is, and the digest of any other, such as a tensor."""
    return value if _is_plain(value) else hashlib.sha256(canonical_json(plain(value)).encode()).hexdigest()


def _equal(one: Any, other: Any) -> bool:
    return canonical_json(one) == canonical_json(other)
