"""Values from the environment stay in memory: files contain the name of the variable instead, in OmegaConf's own syntax.

`${oc.env:TOKEN}` in a configuration may be a password. Frozen configurations, records and W&B get that text, and a worker looks the
variable up again.
"""

import os
import re
from collections.abc import Mapping
from typing import Any

_ENV = re.compile(r"(?<!\\)\$\{oc\.env:(?P<name>[^{},]+)(?:,(?P<default>[^{}]*))?\}")


class Secret(str):
    """A text that holds a value of the environment.

    Attributes:
        source: the text with each such value as `${oc.env:NAME}`.
    """

    source: str

    def __new__(cls, value: str, source: str) -> "Secret":
        """Return the value with its source."""
        made = super().__new__(cls, value)
        made.source = source
        return made

    def __getnewargs__(self) -> tuple[str, str]:  # pyright: ignore[reportIncompatibleMethodOverride] # of __new__ above
        """Return what copies are made of."""
        return str(self), self.source


def marked(plain: Any, raw: Any) -> Any:
    """Return resolved values with every text that holds a value of the environment as a Secret.

    Args:
        plain: of a configuration, resolved.
        raw: the same, not resolved.
    """
    return _marked(plain, raw, {value: source for source, value in _values(raw) if value})


def frozen(value: Any) -> Any:
    """Return values as a file may hold them: each Secret as its source, any other `${` escaped, so that it stays text."""
    if isinstance(value, Mapping):
        return {key: frozen(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [frozen(item) for item in value]
    if isinstance(value, Secret):
        return value.source
    return value.replace("${", "\\${") if isinstance(value, str) else value


def thawed(value: Any) -> Any:
    """Return what `frozen` was given, with the environment's values of now."""
    if isinstance(value, dict):
        return {key: thawed(item) for key, item in value.items()}
    if isinstance(value, list):
        return [thawed(item) for item in value]
    if not isinstance(value, str):
        return value
    text = _ENV.sub(_lookup, value).replace("\\${", "${")
    return Secret(text, value) if _ENV.search(value) else text


def _marked(plain: Any, raw: Any, secrets: Mapping[str, str]) -> Any:
    if isinstance(plain, dict):
        return {key: _marked(item, raw.get(key) if isinstance(raw, dict) else raw, secrets) for key, item in plain.items()}
    if isinstance(plain, list):
        inner = raw if isinstance(raw, list) and len(raw) == len(plain) else [raw] * len(plain)
        return [_marked(item, of, secrets) for item, of in zip(plain, inner, strict=True)]
    if not isinstance(plain, str) or not isinstance(raw, str) or "${" not in raw:
        return plain
    source = frozen(plain)
    for value, text in secrets.items():
        source = source.replace(value, text)
    return Secret(plain, source) if _ENV.search(source) else plain


def _values(raw: Any) -> list[tuple[str, str]]:
    """Return the text and the value of every variable of the environment that a configuration asks for."""
    if isinstance(raw, dict | list):
        return [found for item in (raw.values() if isinstance(raw, dict) else raw) for found in _values(item)]
    return [(found[0], _lookup(found)) for found in _ENV.finditer(raw)] if isinstance(raw, str) else []


def _lookup(found: re.Match[str]) -> str:
    default = (found["default"] or "").strip().strip("'\"")
    return os.environ.get(found["name"].strip(), default)
