"""Graph simplification: a recorded derivative with fewer operations, and the same values up to rounding.

Removed: operations that the result does not need, copies, sums with zero, repetitions. Merged: successive factors; one factor per channel
(batch normalisation in evaluation mode) with the convolution before it; symmetric padding by zeros with the convolution after it. Replaced:
grouped convolutions that are a slow loop.
"""

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from eigexp.operators.convolutions import is_slow, one_product
from eigexp.operators.recording import LinearProgram, Operation, Recording, Reference
from eigexp.operators.scaling import MULTIPLY

aten = torch.ops.aten

_COPIES = {aten._to_copy.default, aten.cat.default, aten.expand.default, aten.clone.default, aten.alias.default, aten.detach.default}
_SHAPED = {aten.reshape.default, aten.view.default, aten._unsafe_view.default, aten._reshape_alias.default}


def simplify(recording: Recording) -> LinearProgram:
    """Return the simplified program. Where it depends on the layout of memory, only operations that are not needed are removed."""
    # 1. Leave out what the output does not need.
    operations = _needed(recording.operations, recording.output)
    # Writes and explicit strides depend on which results share memory; the steps below do not keep track of that.
    if any(operation.writes or operation.function is aten.as_strided.default for operation in operations):
        return LinearProgram(operations, recording.output)
    # 2. Leave out copies, sums with zero, and repetitions, so that what they separate becomes neighbours.
    operations, output = _without_copies(replace(recording, operations=operations))
    # 3. Put neighbours together.
    for merge in (_merge_factors, _merge_padding):
        operations = _merged(operations, output, merge)
    return LinearProgram([_without_loop(operation, recording.kinds) for operation in operations], output)


def _without_loop(operation: Operation, kinds: Mapping[int, tuple[Any, ...]]) -> Operation:
    if operation.function is not aten.convolution.default or not isinstance(operation.arguments[0], Reference):
        return operation
    x, *others = operation.arguments
    return replace(operation, function=one_product) if is_slow(kinds[x.number][0], *others) else operation


def _needed(operations: Sequence[Operation], output: int) -> list[Operation]:
    needed, kept = {output}, []
    # Backwards, as all readers of a result come after it.
    for operation in reversed(operations):
        if operation.writes or needed.intersection(operation.results):
            kept.append(operation)
            needed.update(operation.inputs)
    return kept[::-1]


def _without_copies(recording: Recording) -> tuple[list[Operation], int]:
    """Remove operations that return their input or an earlier result. Views become reshapes, because strides may differ now."""
    kept: list[Operation] = []
    same: dict[int, int] = {}
    seen: dict[Hashable, Operation] = {}
    for operation in recording.operations:
        operation = _renamed(operation, same)
        if operation.function in _SHAPED:
            operation = replace(operation, function=aten.reshape.default, arguments=operation.arguments[:2])
        earlier = seen.setdefault(_signature(operation), operation)
        copied = _copied(operation, recording.kinds)
        if copied is not None:
            same[operation.results[0]] = copied
        elif earlier is not operation:
            same.update(zip(operation.results, earlier.results, strict=True))
        else:
            kept.append(operation)
    return kept, same.get(recording.output, recording.output)


def _signature(operation: Operation) -> Hashable:
    """Return a key that is equal for operations that compute the same."""
    return operation.function, tuple(map(_key, operation.arguments)), tuple((name, _key(a)) for name, a in operation.keywords.items())


def _key(a: Any) -> Hashable:
    # Constants by identity: to compare values would cost a pass over each. The recording keeps them alive, so no id is used twice.
    return type(a), id(a) if isinstance(a, Tensor) else tuple(map(_key, a)) if isinstance(a, list | tuple) else a


def _copied(operation: Operation, kinds: dict[int, tuple[Any, ...]]) -> int | None:
    """Return the number of the input that an operation returns unchanged; None if it does more."""
    if operation.function is aten.copy.default:
        return operation.arguments[1].number
    if len(operation.inputs) != 1 or len(operation.results) != 1 or kinds[operation.inputs[0]] != kinds[operation.results[0]]:
        return None
    return operation.inputs[0] if operation.function in _COPIES | _SHAPED or _adds_zero(operation) else None


def _adds_zero(operation: Operation) -> bool:
    """Return whether a constant is added to, or taken from, a tangent, and is zero."""
    if operation.function not in (aten.add.Tensor, aten.sub.Tensor):
        return False
    if operation.function is aten.sub.Tensor and not isinstance(operation.arguments[0], Reference):
        return False
    constant = operation.arguments[1 if isinstance(operation.arguments[0], Reference) else 0]
    return isinstance(constant, Tensor) and not constant.any()


def _merged(operations: list[Operation], output: int, merge: Any) -> list[Operation]:
    """Merge every operation with the one before it where `merge` can, and nothing else reads that one's result."""
    uses = Counter([output, *(number for operation in operations for number in operation.inputs)])
    made: dict[int, Operation] = {}
    for operation in operations:
        # A chain of factors shrinks to one: what was put together may fit the operation before it, too.
        while True:
            before = made.get(operation.inputs[0]) if operation.inputs else None
            joint = merge(before, operation) if before is not None and uses[before.results[0]] == 1 else None
            if before is None or joint is None:
                break
            del made[before.results[0]]
            operation = joint
        made[operation.results[0]] = operation
    return list(made.values())


def _merge_factors(before: Operation, operation: Operation) -> Operation | None:
    if operation.function is not MULTIPLY or not isinstance(operation.arguments[1], Tensor):
        return None
    factor = operation.arguments[1]
    if before.function is MULTIPLY and isinstance(before.arguments[1], Tensor):
        return replace(operation, arguments=(before.arguments[0], before.arguments[1] * factor))
    # Argument 6 is `transposed`: there the first axis of the weight is the input's. A derivative has no bias to be scaled.
    if before.function is aten.convolution.default and not before.arguments[6] and isinstance(before.arguments[0], Reference):
        weight = before.arguments[1]
        if isinstance(weight, Tensor) and _is_per_channel(factor, weight):
            scaled = weight * factor.reshape(-1, *[1] * (weight.ndim - 1))
            return replace(before, arguments=(before.arguments[0], scaled, *before.arguments[2:]), results=operation.results)
    return None


def _is_per_channel(factor: Tensor, weight: Tensor) -> bool:
    """Return whether a factor has one value for each output channel of a convolution."""
    shape = (1,) * (weight.ndim - factor.ndim) + tuple(factor.shape)
    return shape == (1, weight.shape[0], *[1] * (weight.ndim - 2))


def _merge_padding(before: Operation, operation: Operation) -> Operation | None:
    if before.function is not aten.constant_pad_nd.default or operation.function is not aten.convolution.default:
        return None
    # A convolution can pad with zeros alone; it must not be transposed (argument 6), whose padding crops.
    if operation.arguments[6] or not isinstance(operation.arguments[0], Reference) or any(before.arguments[2:]):
        return None
    axes = len(operation.arguments[4])
    # constant_pad_nd lists (before, after) from the last axis to the first; convolutions have one number per axis, in order.
    low, high = before.arguments[1][0::2][::-1], before.arguments[1][1::2][::-1]
    if low != high or len(low) > axes or any(p < 0 for p in low):
        return None
    padding = [p + extra for p, extra in zip(operation.arguments[4], [0] * (axes - len(low)) + low, strict=True)]
    return replace(operation, arguments=(before.arguments[0], *operation.arguments[1:4], padding, *operation.arguments[5:]))


def _renamed(operation: Operation, same: dict[int, int]) -> Operation:
    def rename(a: Any) -> Any:
        return Reference(same[a.number]) if isinstance(a, Reference) and a.number in same else a

    if not same.keys() & set(operation.inputs):
        return operation
    arguments, keywords = tree_map(rename, (operation.arguments, dict(operation.keywords)))
    return replace(operation, arguments=arguments, keywords=keywords)
