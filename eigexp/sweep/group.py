"""The name under which loggers group the runs of a sweep."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

_IGNORED = ("launcher", "store", "logger", "trainer", "callbacks", "hydra")  # keys that do not choose what is computed
_MAX_LENGTH = 128  # characters, as many as W&B keeps


def group_name(overrides: Sequence[str]) -> str:
    """Return the overrides that choose what is computed, cut to 128 characters with a digest. The same command gives the same name."""
    name = " ".join(word for word in overrides if word.lstrip("+~").partition("=")[0].partition(".")[0] not in _IGNORED) or "defaults"
    if len(name) <= _MAX_LENGTH:
        return name
    return f"{name[: _MAX_LENGTH - 10]}… {hashlib.sha256(name.encode()).hexdigest()[:8]}"


def with_group(config: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return the configuration with this group in each logger that has the setting `group` and no value for it."""
    loggers = {
        key: {**node, "group": name} if node and "group" in node and node["group"] is None else node
        for key, node in (config.get("logger") or {}).items()
    }
    return {**config, "logger": loggers}
