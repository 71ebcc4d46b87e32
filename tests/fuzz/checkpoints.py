"""Checkpoints that no run wrote: cut, changed, emptied, or of another kind, with and without a digest that fits."""

import hashlib
import io
import random
from typing import Any

import torch


def signed(content: bytes) -> bytes:
    """Return a file with the digest that a checkpoint ends with."""
    return content + b"\nsha256 " + hashlib.sha256(content).hexdigest().encode()


def written(value: Any) -> bytes:
    """Return what torch writes, signed."""
    stream = io.BytesIO()
    torch.save(value, stream)
    return signed(stream.getvalue())


def damaged_checkpoint(sound: bytes, rng: random.Random) -> bytes:
    """Return a checkpoint that must not be used."""
    match rng.randrange(6):
        case 0:
            return sound[: rng.randrange(len(sound))]
        case 1:
            changed = bytearray(sound)
            changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
            return bytes(changed)
        case 2:
            return rng.choice((b"", b"PK\x03\x04", rng.randbytes(1000), signed(rng.randbytes(1000)), signed(sound[: len(sound) // 2])))
        case 3:
            return written(rng.choice(({}, [], None, 1, {"eigexp": {}}, {"eigexp": None}, {"state_dict": 3}, {"eigexp": {"state": {}}})))
        case 4:
            return sound[:-72]
        case _:
            return written(_without(torch.load(io.BytesIO(sound), weights_only=True), rng))


def _without(saved: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    """Return a checkpoint that lacks something, or holds something else in its place."""
    node = rng.choice((saved["eigexp"], saved["eigexp"]["state"], saved["eigexp"]["fingerprint"]))
    key = rng.choice(sorted(node))
    if rng.random() < 0.5:
        del node[key]
    else:
        node[key] = rng.choice((None, -1, "x", [], {}))
    return saved
