"""What W&B has written offline: LevelDB's log of protobuf records, of which a kill may leave the last one incomplete."""

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_HEADER, _FRAME, _BLOCK = 7, 7, 2**15  # bytes: of the file, of a fragment, of a block that no fragment leaves
_FULL, _LAST = 1, 4  # kinds of fragments that end a record


def last_logged(path: Path, key: str) -> int:
    """Return the largest value of a key in the history of a run's file, 0 without one."""
    values = [
        int(json.loads(item.value_json))
        for record in _records(path.read_bytes())
        if record.WhichOneof("record_type") == "history"
        for item in record.history.item
        if (item.key or "/".join(item.nested_key)) == key
    ]
    return max(values, default=0)


def _records(data: bytes) -> Iterator[Any]:
    from google.protobuf.message import DecodeError
    from wandb.proto.wandb_internal_pb2 import Record  # pyright: ignore[reportAttributeAccessIssue] # made when imported

    whole, position = b"", _HEADER
    while position + _FRAME <= len(data):
        room = _BLOCK - position % _BLOCK
        size, kind = struct.unpack("<HB", data[position + 4 : position + _FRAME]) if room >= _FRAME else (0, 0)
        if not kind:  # the rest of the block is empty
            position += room
            continue
        whole += data[position + _FRAME : position + _FRAME + size]
        position += _FRAME + size
        if kind in (_FULL, _LAST):
            try:
                yield Record.FromString(whole)
            except DecodeError:
                return
            whole = b""
