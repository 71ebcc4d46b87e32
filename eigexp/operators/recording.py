"""The derivative of a function at one point, recorded as the linear program that forward-mode differentiation runs there.

A model runs once on dual numbers (Griewank and Walther 2008, chapter 3). Below autograd a dispatch mode sees every operation; those that
work on tangents are kept, with all else that they read as constants. What is left of a ReLU is its mask, of max pooling its indices, of a
division the divisor: the model itself is needed no more. `torch.func.linearize` has the same aim; it traces values too, and so fails where
a model looks at them, or writes to `.data`.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.autograd import forward_ad
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.weak import WeakTensorKeyDictionary

from eigexp.errors import OperatorError
from eigexp.operators.scaling import as_scaling

aten = torch.ops.aten

# Of autograd's own checks. They look at sizes, not at values.
_ABOUT_SHAPES = {aten.is_same_size.default, aten._has_same_storage_numel.default}
# They take the shape of a constant, not its values, which may change.
_LIKE_CONSTANTS = {aten._new_zeros_with_same_feature_meta.default, aten.zeros_like.default, aten.empty_like.default}


@dataclass(frozen=True)
class Result:
    """Stands for the result of an earlier operation; number 0 is the tangent of the images."""

    number: int


@dataclass(frozen=True, eq=False)
class Operation:
    """One operation on tangents; its arguments are constants and `Result`s, nested in lists at most."""

    function: OpOverload
    arguments: tuple[Any, ...]
    keywords: Mapping[str, Any]
    results: tuple[int, ...]

    @property
    def inputs(self) -> list[int]:
        """Numbers of the results that it works on."""
        return [a.number for a in tree_leaves((self.arguments, dict(self.keywords))) if isinstance(a, Result)]

    @property
    def writes(self) -> bool:
        """Whether it changes one of its arguments."""
        return self.function._schema.is_mutable

    def run(self, values: dict[int, Tensor]) -> None:
        """Take arguments from `values` by number, and put the results there."""
        take = _taker(values)
        given = [take(a) if type(a) is not list else [take(e) for e in a] for a in self.arguments]
        out = self.function(*given, **{key: take(a) for key, a in self.keywords.items()})
        for number, value in zip(self.results, (out,) if isinstance(out, Tensor) else tree_leaves(out), strict=True):
            values[number] = value


class LinearProgram:
    """A linear map of tangents: operations in order, of which `output` is the result wanted."""

    def __init__(self, operations: Sequence[Operation], output: int):
        self.operations = tuple(operations)
        self.output = output
        last = {number: i for i, operation in enumerate(self.operations) for number in (*operation.inputs, *operation.results)}
        last.pop(output, None)
        self._spent = [[number for number, i in last.items() if i == position] for position in range(len(self.operations))]

    def __call__(self, tangent: Tensor) -> Tensor:
        """The program's value; what no later operation needs is dropped on the way."""
        values = {0: tangent}
        for operation, spent in zip(self.operations, self._spent, strict=True):
            operation.run(values)
            for number in spent:
                values.pop(number, None)
        return values[self.output]


@dataclass(frozen=True)
class Recording:
    """Operations as they were seen, the number of the wanted result, and for every result what kind of tensor it was."""

    operations: list[Operation]
    output: int
    kinds: dict[int, tuple[Any, ...]]


def record(function: Callable[[Tensor], Tensor], point: Tensor) -> Recording:
    """The derivative of a function of tensors at a point.

    Raises:
        OperatorError: if an operation can be no part of a linear program.
        NotImplementedError: if forward mode lacks the derivative of an operation.
    """
    point = point.detach().contiguous()
    tangent = torch.zeros_like(point)
    with torch.no_grad(), warnings.catch_warnings(), forward_ad.dual_level():
        warnings.filterwarnings("ignore", message=".*torch.jit.script.*", category=FutureWarning)  # of torch's own decompositions
        with _Recorder(tangent) as recorder:
            output = forward_ad.unpack_dual(function(forward_ad.make_dual(point, tangent))).tangent
        return recorder.recording(output)


class _Recorder(TorchDispatchMode):
    """Notes every operation that reads a tangent."""

    def __init__(self, tangent: Tensor):
        super().__init__()
        self._numbers = WeakTensorKeyDictionary()
        self._numbers[tangent] = 0
        self._operations: list[Operation] = []
        self._kinds: dict[int, tuple[Any, ...]] = {0: _kind(tangent)}
        self._constants: list[tuple[Tensor, int]] = []

    def recording(self, output: Tensor | None) -> Recording:
        """What was noted, if nothing has changed a constant since.

        Raises:
            OperatorError: if the output is no result of the program, or a constant was written to.
        """
        if output is None or output not in self._numbers:
            raise _unrecordable("its response has no derivative in forward mode")
        if any(constant._version != version for constant, version in self._constants):
            raise _unrecordable("it overwrites a tensor in place that a derivative needs")
        return Recording(self._operations, self._numbers[output], self._kinds)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        reads = [a for a in tree_leaves((args, kwargs)) if isinstance(a, Tensor) and a in self._numbers]
        if not reads or func in _ABOUT_SHAPES:
            return func(*args, **kwargs)
        note = self._note_write if func._schema.is_mutable else self._note
        return note(func, args, kwargs)

    def _note(self, function: OpOverload, args: Any, kwargs: Any) -> Any:
        out = function(*args, **kwargs)
        results = tree_leaves(out)
        if not results or not all(isinstance(r, Tensor) for r in results):
            raise _unrecordable(f"{function} looks at a derivative's values")
        function, args, kwargs = as_scaling(function, args, kwargs, is_tangent=lambda t: t in self._numbers)
        arguments, keywords = self._arguments(args, kwargs, watched=function not in _LIKE_CONSTANTS)
        self._operations.append(Operation(function, arguments, keywords, tuple(self._number(r) for r in results)))
        return out

    def _note_write(self, function: OpOverload, args: Any, kwargs: Any) -> Any:
        """A write into a tangent that nobody else sees becomes a new result; others are kept as writes."""
        written = _written(function, args, kwargs)
        if not all(t in self._numbers for t in written):
            raise _unrecordable(f"{function} writes a derivative into a tensor that is none")
        pure = _without_writing(function, args, self._numbers)
        if pure is None or kwargs or len(written) != 1 or not self._alone(written[0]):
            return self._note(function, args, kwargs)
        before = _kind(written[0])
        arguments, keywords = self._arguments(*pure[1:])
        out = function(*args)
        if out is not written[0] or _kind(out) != before:
            raise _unrecordable(f"{function} changes the kind of a derivative in place")
        self._operations.append(Operation(pure[0], arguments, keywords, (self._number(out, anew=True),)))
        return out

    def _alone(self, tangent: Tensor) -> bool:
        """No other tangent shares its memory."""
        memory = tangent.untyped_storage()._cdata
        return sum(t.untyped_storage()._cdata == memory for t in self._numbers) == 1

    def _arguments(self, args: Any, kwargs: Any, watched: bool = True) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Tangents as `Result`s; all else as it is, and `watched` for later writes."""
        leaves = [a for a in tree_leaves((args, kwargs)) if isinstance(a, Tensor) and a not in self._numbers]
        self._constants += [(a, a._version) for a in leaves if watched and not a.is_inference()]
        return tree_map(
            lambda a: Result(self._numbers[a]) if isinstance(a, Tensor) and a in self._numbers else a, (tuple(args), dict(kwargs))
        )

    def _number(self, result: Tensor, anew: bool = False) -> int:
        if anew or result not in self._numbers:
            self._numbers[result] = len(self._kinds)
            self._kinds[self._numbers[result]] = _kind(result)
        return self._numbers[result]


def _written(function: OpOverload, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Tensor]:
    """The tensors that an operation changes."""
    given = {a.name: value for a, value in zip(function._schema.arguments, args, strict=False)} | dict(kwargs)
    marked = [a.name for a in function._schema.arguments if a.alias_info is not None and a.alias_info.is_write]
    return [t for name in marked for t in tree_leaves(given.get(name)) if isinstance(t, Tensor)]


def _without_writing(function: OpOverload, args: Sequence[Any], tangents: WeakTensorKeyDictionary) -> tuple[OpOverload, Any, Any] | None:
    """The call that returns what an in-place call leaves in its first argument, where there is one."""
    if function is aten.copy_.default:
        same = isinstance(args[1], Tensor) and args[1] in tangents and _kind(args[0]) == _kind(args[1])
        return (aten.copy.default, args[:2], {}) if same else None
    if function is aten.as_strided_.default:
        return (aten.clone.default, args[:1], {}) if _is_layout_of(args[0], *args[1:]) else None
    name = function._schema.name.removeprefix("aten::")
    packet = getattr(aten, name.removesuffix("_"), None) if name.endswith("_") else None
    pure = getattr(packet, function._overloadname, None)
    return None if pure is None else as_scaling(pure, args, {}, is_tangent=lambda t: t in tangents)


def _is_layout_of(t: Tensor, size: Sequence[int], stride: Sequence[int], offset: int | None = None) -> bool:
    """Whether sizes and strides describe a tensor as it is, but for strides along axes of length one."""
    lengths = tuple(t.shape)
    strides = [(mine, given) for mine, given, length in zip(t.stride(), stride, lengths, strict=False) if length > 1]
    return tuple(size) == lengths and offset in (None, t.storage_offset()) and all(mine == given for mine, given in strides)


def _taker(values: dict[int, Tensor]) -> Callable[[Any], Any]:
    return lambda a: values[a.number] if type(a) is Result else a


def _kind(t: Tensor) -> tuple[Any, ...]:
    return tuple(t.shape), t.dtype, t.device


def _unrecordable(reason: str) -> OperatorError:
    return OperatorError(f"linearise=program cannot record this model: {reason}. Set linearise=auto or linearise=double_backward.")
