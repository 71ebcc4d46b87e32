"""From a model's output to its responses: a documented flattening of any nesting."""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any

from torch import Tensor

from eigexp.errors import ModelError

log = logging.getLogger(__name__)

_NOT_RESPONSES = (type(None), bool, int, float, str)


def output_tensors(output: Any) -> list[Tensor]:
    """Return the tensors of a model's output that can be differentiated, in order.

    Tuples, lists and named tuples are taken in their order, dicts and the outputs of transformers in the order of their keys, dataclasses
    in that of their fields, each to any depth. Parts without a derivative are left out, and the log names them once: None, numbers and
    text, and tensors of integers or booleans.

    Raises:
        ModelError: if the output holds anything else, or no tensor that can be differentiated.
    """
    found, left_out = [], []
    for name, value in _leaves(output, ""):
        if isinstance(value, Tensor) and (value.is_floating_point() or value.is_complex()):
            found.append(value)
        elif isinstance(value, (Tensor, *_NOT_RESPONSES)):
            left_out.append(f"{name or 'output'} ({_kind(value)})")
        else:
            where = f" in {name}" if name else ""
            raise ModelError(
                f"the model returned a {type(value).__name__}{where}; it must return a tensor, or tuples, lists, dicts or dataclasses of "
                "tensors. Choose a part with model.output=<key>."
            )
    if not found:
        what = ", ".join(left_out) or "nothing at all"
        raise ModelError(f"the model returned no differentiable tensor: {what}. Return a float tensor, from before any argmax or rounding.")
    if left_out:
        _tell(", ".join(left_out))
    return found


def _leaves(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    parts = _parts(value)
    if parts is None:
        yield name, value
        return
    for key, part in parts:
        yield from _leaves(part, f"{name}.{key}" if name else str(key))


def _parts(value: Any) -> list[tuple[Any, Any]] | None:
    """Return the parts of a value with their names; None for what has no parts."""
    if isinstance(value, Tensor | type):
        return None
    if isinstance(value, Mapping):
        return list(value.items())
    names: Any = getattr(value, "_fields", None)
    if isinstance(value, tuple) and names is not None:
        return list(zip(names, value, strict=True))
    if isinstance(value, list | tuple):
        return list(enumerate(value))
    return [(f.name, getattr(value, f.name)) for f in fields(value)] if is_dataclass(value) else None


def _kind(value: Any) -> str:
    return str(value.dtype).removeprefix("torch.") if isinstance(value, Tensor) else type(value).__name__


@cache
def _tell(names: str) -> None:
    """Log what is left out, once for the same."""
    log.info("Left out of the model's responses, because it has no derivative: %s.", names)
