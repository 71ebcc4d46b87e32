"""What a sweep is called where its runs are shown together."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

_NOT_OF_THE_NAME = ("launcher", "store", "logger", "trainer", "callbacks")
_MOST = 64  # characters


def group_name(words: Sequence[str]) -> str:
    """The words that choose what is computed, whole or with a digest in place of their end: the same command, the same group."""
    name = " ".join(word for word in words if word.lstrip("+~").partition("=")[0].partition(".")[0] not in _NOT_OF_THE_NAME) or "defaults"
    if len(name) <= _MOST:
        return name
    return f"{name[: _MOST - 10]}… {hashlib.sha256(name.encode()).hexdigest()[:8]}"


def grouped(config: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A configuration whose loggers that know groups, and have none, show the run in the group `name`."""
    loggers = {
        key: {**node, "group": name} if node and "group" in node and node["group"] is None else node
        for key, node in (config.get("logger") or {}).items()
    }
    return {**config, "logger": loggers}
