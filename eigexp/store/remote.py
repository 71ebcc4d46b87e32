"""A store in a bucket, by any URL that fsspec knows: s3://, gs://, az://, memory://, file://.

A result is its files under <url>/<first two hex>/<id>/, and last its record <url>/records/<id>.json, which is written only where there is
none yet. So a result with a record is complete, of several writers the first wins, and a kill leaves files without a record.
"""

import json
import os
import secrets
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eigexp.errors import MissingDependencyError, StoreError
from eigexp.store.files import digest, read_bytes
from eigexp.store.result import RECORD, parse_record, read_record

if TYPE_CHECKING:
    from eigexp.store.store import Store

CACHE = "EIGEXP_CACHE"  # environment variable: folder for copies of remote stores
_LEASE = 60.0  # seconds that a lock outlives its holder
_RENEWALS = 3  # of a lease within its time


class Remote:
    """A store in a bucket.

    Args:
        url: such as "s3://bucket/prefix"; credentials are found as fsspec's file system finds them.
        options: of that file system, such as endpoint_url.

    Raises:
        MissingDependencyError: if the package of the file system is not installed.
        StoreError: if the URL is of no file system.
    """

    def __init__(self, url: str, **options: Any):
        import fsspec

        self.url = url.rstrip("/")
        try:
            self._fs, self._root = fsspec.core.url_to_fs(self.url, use_listings_cache=False, **options)
        except ImportError as error:
            raise MissingDependencyError(f"{url} needs another package: {error}. Run: pip install 'eigexp[remote]'") from error
        except ValueError as error:
            raise StoreError(f"{url} is not the URL of a store: {error}. Give one such as s3://bucket/prefix.") from error

    def ids(self) -> set[str]:
        """Return the ids of all complete results."""
        return {name.rpartition("/")[2].removesuffix(".json") for name in self._list("records") if name.endswith(".json")}

    def has(self, id: str) -> bool:
        """Return whether a result is complete."""
        return self._try(lambda: self._fs.exists(self._record(id)))

    def read(self, key: str) -> bytes | None:
        """Return the content of an object; None where there is none."""
        try:
            return self._try(lambda: self._fs.cat_file(f"{self._root}/{key}"))
        except FileNotFoundError:
            return None

    def create(self, key: str, content: bytes) -> bool:
        """Write an object where there is none yet. Return whether there was none; of several simultaneous writers only one gets True."""
        try:
            self._try(lambda: self._fs.pipe_file(f"{self._root}/{key}", content, mode="create"))
        except FileExistsError:
            return False
        return True

    def replace(self, key: str, content: bytes) -> None:
        """Write an object, and replace an existing one."""
        self._try(lambda: self._fs.pipe_file(f"{self._root}/{key}", content))

    def push(self, store: "Store", id: str) -> bool:
        """Copy a complete result of a store into the bucket. Return False if it is already there.

        Raises:
            StoreError: if a file is not what the record says, or the bucket refuses it.
        """
        if self.has(id):
            return False
        result = store.read(id)
        for name, wanted in result.record.get("files", {}).items():
            # By its digest: of two writers at once neither changes a file that the other's record names.
            self.replace(f"{id[:2]}/{id}/{wanted}/{name}", result.content(name))
        return self.create(f"records/{id}.json", store.sealed_record(id))

    def extend(self, store: "Store", id: str, names: Iterable[str]) -> None:
        """Copy files that were added to a result, and its record with their digests, into the bucket.

        Raises:
            StoreError: if the bucket refuses them.
        """
        folder = store.path(id)
        files = read_record(folder / RECORD)["files"]
        for name in names:
            self.replace(f"{id[:2]}/{id}/{files[name]}/{name}", read_bytes(folder / name))
        self.replace(f"records/{id}.json", read_bytes(folder / RECORD))

    def pull(self, store: "Store", id: str) -> bool:
        """Copy a complete result of the bucket into a store. Return False if it is already there.

        Raises:
            StoreError: if the bucket does not have it, or its files do not match its record.
        """
        if store.has(id):
            return False
        record = parse_record(self._required(f"records/{id}.json"), id, f"{self.url}: records/{id}.json")
        files = {name: self._required(f"{id[:2]}/{id}/{wanted}/{name}") for name, wanted in record.get("files", {}).items()}
        changed = [name for name, content in files.items() if digest(content) != record["files"][name]]
        if changed:
            raise StoreError(f"{self.url}: {', '.join(changed)} of {id} do not match the record. Delete records/{id}.json there.")
        store.write_files({key: value for key, value in record.items() if key != "files"}, files)
        return True

    @contextmanager
    def lease(self, id: str, seconds: float = _LEASE) -> Iterator[bool]:
        """Hold the lock of a task within the block; yields False if another holds it. It expires some time after its holder has died.

        Each holder adds the next number to the task's locks, which only one can; the largest number that has not expired holds the lock.
        """
        number = self._acquire(id, seconds)
        ended = threading.Event()
        renewal = threading.Thread(target=self._renew, args=(id, number, seconds, ended), daemon=True)
        if number:
            renewal.start()
        try:
            yield number > 0
        finally:
            ended.set()
            if number:
                renewal.join()
                self.replace(self._lock(id, number), _expiry(0.0))

    def _acquire(self, id: str, seconds: float) -> int:
        latest = self._latest(id)
        if latest and float(json.loads(self._required(self._lock(id, latest)))["expires"]) > time.time():
            return 0
        mine = latest + 1
        won = self.create(self._lock(id, mine), _expiry(time.time() + seconds))
        return mine if won and self._latest(id) == mine else 0

    def _renew(self, id: str, number: int, seconds: float, ended: threading.Event) -> None:
        while not ended.wait(seconds / _RENEWALS):
            self.replace(self._lock(id, number), _expiry(time.time() + seconds))

    def _latest(self, id: str) -> int:
        return max((int(name.rpartition("/")[2]) for name in self._list(f"locks/{id}")), default=0)

    def _lock(self, id: str, number: int) -> str:
        return f"locks/{id}/{number:08d}"

    def _record(self, id: str) -> str:
        return f"{self._root}/records/{id}.json"

    def _required(self, key: str) -> bytes:
        content = self.read(key)
        if content is None:
            raise StoreError(f"{self.url} has no {key}. Copy the result there again with `eigexp store push`.")
        return content

    def _list(self, folder: str) -> list[str]:
        try:
            return self._try(lambda: self._fs.ls(f"{self._root}/{folder}", detail=False))
        except FileNotFoundError:
            return []

    def _try(self, action: Any) -> Any:
        try:
            return action()
        except (FileExistsError, FileNotFoundError, StoreError):
            raise
        except Exception as error:  # each file system has errors of its own
            raise StoreError(f"{self.url} does not answer: {error}. Check the URL, the network and the credentials.") from error


def cache_folder(url: str) -> Path:
    """Return the folder of this machine that keeps copies of a remote store's results."""
    base = Path(os.environ.get(CACHE) or Path.home() / ".cache" / "eigexp").expanduser()
    return base / f"{url.rstrip('/').rpartition('/')[2]}-{digest(url.rstrip('/').encode())[:12]}"


def _expiry(moment: float) -> bytes:
    return json.dumps({"expires": moment, "holder": secrets.token_hex(8)}).encode()
