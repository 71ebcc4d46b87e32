"""YAML of stored configurations, by libyaml where it can: several times as fast as PyYAML's own parser and writer."""

from typing import Any

import yaml

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # absent where PyYAML was built without libyaml
_DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_MOST_LEVELS = 60


def parse_yaml(content: bytes | str) -> Any:
    """Return the value of a YAML document of plain values.

    Raises:
        yaml.YAMLError: if it is not one.
        ValueError: if it is nested too deeply for functions that call themselves for each level.
    """
    try:
        value = yaml.load(content, _LOADER)
    except yaml.YAMLError:
        value = yaml.safe_load(content)  # which knows surrogate escapes, of names that are not UTF-8
    level = [value]
    for _ in range(_MOST_LEVELS):
        inner = [child for each in level if isinstance(each, dict | list) for child in (each.values() if isinstance(each, dict) else each)]
        level = list({id(child): child for child in inner}.values())  # an alias is followed once, however often it is used
        if not level:
            return value
    raise ValueError(f"it is nested more than {_MOST_LEVELS} levels deep")


def yaml_text(value: Any) -> str:
    """Return plain values as YAML, keys in their order."""
    form: dict[str, Any] = {"sort_keys": False, "allow_unicode": True, "width": 120}
    try:
        return yaml.dump(value, Dumper=_DUMPER, **form)
    except UnicodeEncodeError:
        return yaml.safe_dump(value, **form)
