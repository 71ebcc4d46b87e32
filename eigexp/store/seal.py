"""A JSON file with a digest of itself: the SHA-256 of the file in which the digest's own digits are zeros."""

import json
import re
from collections.abc import Mapping
from typing import Any

from eigexp.store.files import digest

_SEAL = re.compile(rb'"digest": "([0-9a-f]{64})"')
_OPEN = b'"digest": "%s"' % (b"0" * 64)


def json_bytes(value: Mapping[str, Any]) -> bytes:
    """Return plain values as the JSON of a store's files."""
    return (json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def sealed(value: Mapping[str, Any]) -> bytes:
    """Return the JSON of a value with its digest as the first key."""
    content = json_bytes({"digest": "0" * 64, **{key: item for key, item in value.items() if key != "digest"}})
    return content.replace(_OPEN, b'"digest": "%s"' % digest(content).encode(), 1)


def check_seal(content: bytes, given: str | None) -> None:
    """Check that a file is what `sealed` returned.

    Args:
        content: of the file.
        given: the digest that its JSON holds.

    Raises:
        ValueError: if anything in it was changed.
    """
    found = _SEAL.search(content)
    if found is None or given != found[1].decode() or digest(content.replace(found[0], _OPEN, 1)) != given:
        raise ValueError("it was changed after it was written: its digest differs")
