"""Write a result completely or not at all: its arrays as one file, and its files renamed into place, the record last."""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray
from safetensors.numpy import save

from eigexp.errors import StoreError
from eigexp.store.files import exclusive, store_error, sync_folder
from eigexp.store.result import arrays_of
from eigexp.store.schema import is_bare_name

if TYPE_CHECKING:
    from eigexp.images import Image
    from eigexp.pairs import EigenPairs

_ARRAYS_FORMAT = 1  # in the header of pairs.safetensors
_LENGTH = 8  # bytes of the length of that header


def check_names(names: Iterable[str]) -> None:
    """Check that names can be files of a result.

    Raises:
        StoreError: if one cannot.
    """
    for name in names:
        if not is_bare_name(name):
            raise StoreError(f"{name!r} cannot be a file of a result. Give a name without a folder, such as distortions.png.")


def commit(folder: Path, staged: Mapping[Path, Path]) -> None:
    """Rename temporary files to their targets in order. Writers of one result take turns, so that all its files come from one of them."""
    targets = list(staged)
    try:
        with exclusive(folder):
            if targets[-1].exists():
                return  # another writer was first
            for target in targets[:-1]:
                os.replace(staged[target], target)
            sync_folder(folder)  # the other names must reach the disk before the record's
            os.replace(staged[targets[-1]], targets[-1])
            sync_folder(folder)
    except StoreError:
        raise
    except OSError as error:
        raise store_error(f"Cannot write the result {folder}", error) from error


def tensors(record: Mapping[str, Any], pairs: "EigenPairs", image: "Image") -> bytes:
    """Return the content of pairs.safetensors."""
    return tensor_bytes(str(record["id"]), arrays_of(pairs, image))


def tensor_bytes(id: str, arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Return the content of the pairs.safetensors of a result."""
    return in_order(save(dict(arrays), metadata={"format": f"eigexp {_ARRAYS_FORMAT}", "id": id}))


def in_order(content: bytes) -> bytes:
    """Return a safetensors file with sorted metadata keys: the library writes them in any order, but equal results have equal bytes."""
    length = int.from_bytes(content[:_LENGTH], "little")
    header = json.loads(content[_LENGTH : _LENGTH + length])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _LENGTH)  # arrays begin at a multiple of 8 bytes
    return len(text).to_bytes(_LENGTH, "little") + text + content[_LENGTH + length :]
