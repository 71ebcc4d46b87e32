"""A mark of results that this user computed here. Only their configurations may be run again without asking: others are foreign code.

The mark is a keyed digest (HMAC-SHA-256) of the record's own digest, with a key that only this user can read. It is not part of the result,
so a merge does not copy it, and a copied one does not fit another user's key.
"""

import hashlib
import hmac
import logging
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from eigexp.errors import StoreError
from eigexp.store.files import discard, read_bytes, write_atomically
from eigexp.store.store import Store

MARK = ".owner"
KEY_FILE = "EIGEXP_KEY_FILE"
_KEY_BYTES = 32
log = logging.getLogger(__name__)


def mark_as_own(store: Store, id: str) -> None:
    """Mark a stored result as computed here. Where the key or the mark cannot be written, the result stays unmarked."""
    shard = store.shard_of(id)
    if shard is not None:
        mark_file_as_own(shard.path)
        return
    try:
        write_atomically(store.path(id) / MARK, _code(_key(make=True), store.read(id).record).encode())
    except (StoreError, OSError) as error:
        log.debug("no mark for %s: %s", id, error)


def is_own(store: Store, id: str) -> bool:
    """Return whether a result was computed here by this user, and not changed since."""
    try:
        shard = store.shard_of(id)
        if shard is not None:
            return is_own_file(shard.path, read_bytes(shard.path))
        found = read_bytes(store.path(id) / MARK)
        return hmac.compare_digest(found, _code(_key(), store.read(id).record).encode())
    except (StoreError, OSError):
        return False


def mark_file_as_own(path: Path) -> None:
    """Mark a file of a store as written by this user. Where the key or the mark cannot be written, it stays unmarked."""
    try:
        write_atomically(_mark_of(path), _signature(_key(make=True), read_bytes(path)).encode())
    except (StoreError, OSError) as error:
        log.debug("no mark for %s: %s", path, error)


def is_own_file(path: Path, content: bytes) -> bool:
    """Return whether a file with this content was written by this user."""
    try:
        return hmac.compare_digest(read_bytes(_mark_of(path)), _signature(_key(), content).encode())
    except (StoreError, OSError):
        return False


def _mark_of(path: Path) -> Path:
    return path.with_name(f".{path.name}{MARK}")


def key_file() -> Path:
    """Return the file of this user's key: $EIGEXP_KEY_FILE, else eigexp/key in the folder for settings."""
    given = os.environ.get(KEY_FILE)
    base = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(given or Path(base) / "eigexp" / "key").expanduser()


def _key(make: bool = False) -> bytes:
    path = key_file()
    if make and not path.exists():
        _make_key(path)
    key = read_bytes(path, follow=True)
    if len(key) != _KEY_BYTES:
        raise StoreError(f"{path} is not a key of {_KEY_BYTES} bytes. Delete it; then a new key is made, and older results need --trust.")
    return key


def _make_key(path: Path) -> None:
    """Write a new key that only this user can read; of two processes at once the first wins."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(secrets.token_bytes(_KEY_BYTES))
        os.link(fresh, path)
    except FileExistsError:
        return
    finally:
        discard(fresh)


def _code(key: bytes, record: Mapping[str, Any]) -> str:
    return _signature(key, str(record["digest"]).encode())


def _signature(key: bytes, content: bytes) -> str:
    return hmac.new(key, content, hashlib.sha256).hexdigest()
