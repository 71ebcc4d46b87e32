"""The derivative of a function at one point, recorded as the linear program that forward-mode differentiation runs there.

A model runs once on dual numbers (Griewank and Walther 2008, chapter 3). Below autograd a dispatch mode sees every operation. Those that
read tangents are kept, and everything else that they read is kept as a constant: of a ReLU its mask, of max pooling its indices, of a
division the divisor. The model itself is not needed after that. `torch.func.linearize` has the same aim, but it traces values too, and so
fails where a model branches on them or writes to `.data`.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.autograd import forward_ad
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakTensorKeyDictionary

from eigexp.errors import OperatorError
from eigexp.operators.forward_rules import ConstantLayers
from eigexp.operators.scaling import as_scaling

aten = torch.ops.aten

# Autograd's own checks: they read sizes, not values.
_ABOUT_SHAPES = {aten.is_same_size.default, aten._has_same_storage_numel.default}
# They take the shape of a constant, not its values, which may change.
_LIKE_CONSTANTS = {aten._new_zeros_with_same_feature_meta.default, aten.zeros_like.default, aten.empty_like.default}


@dataclass(frozen=True)
class Reference:
    """Refer to the result of an earlier operation; number 0 is the tangent of the images."""

    number: int


@dataclass(frozen=True, eq=False)
class Operation:
    """One operation on tangents; its arguments are constants, `Reference`s, or lists of these."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    keywords: Mapping[str, Any]
    results: tuple[int, ...]

    @cached_property
    def inputs(self) -> list[int]:
        """Return the numbers of the results that it reads."""
        return [a.number for a in leaves(self.arguments, self.keywords) if isinstance(a, Reference)]

    @property
    def watched(self) -> list[Tensor]:
        """Return the constants whose values it reads. Inference tensors have no version to compare."""
        read = [] if self.function in _LIKE_CONSTANTS else leaves(self.arguments, self.keywords)
        return [a for a in read if isinstance(a, Tensor) and not a.is_inference()]

    @property
    def writes(self) -> bool:
        """Return whether it changes one of its arguments."""
        return isinstance(self.function, OpOverload) and self.function._schema.is_mutable

    def run(self, values: dict[int, Tensor]) -> None:
        """Read arguments from `values` by number, and store the results there."""
        # Lists go one level deep (torch.cat). tree_map would do as well, but this runs for every operation of every product.
        given = [
            values[a.number] if type(a) is Reference else a if type(a) is not list else [_taken(e, values) for e in a]
            for a in self.arguments
        ]
        out = self.function(*given, **{key: _taken(a, values) for key, a in self.keywords.items()} if self.keywords else {})
        if isinstance(out, Tensor):
            values[self.results[0]] = out
        else:
            values.update(zip(self.results, tree_leaves(out), strict=True))


class LinearProgram:
    """A linear map of tangents: operations in order, and the number of the result that is its output."""

    def __init__(self, operations: Sequence[Operation], output: int):
        self.operations = tuple(operations)
        self.output = output
        # The last place where each result is read or made: after it, its memory can go.
        last = {number: i for i, operation in enumerate(self.operations) for number in (*operation.inputs, *operation.results)}
        last.pop(output, None)
        self._constants = [a for operation in self.operations for a in operation.watched]
        self._versions = [a._version for a in self._constants]
        self._spent = [[number for number, i in last.items() if i == position] for position in range(len(self.operations))]

    def __call__(self, tangent: Tensor) -> Tensor:
        """Return the value of the program; what no later operation needs is freed on the way."""
        self.check_constants()
        values = {0: tangent}
        for operation, spent in zip(self.operations, self._spent, strict=True):
            operation.run(values)
            for number in spent:
                values.pop(number, None)
        return values[self.output]

    @property
    def constants(self) -> list[Tensor]:
        """Return every tensor that is part of the program."""
        return [a for operation in self.operations for a in leaves(operation.arguments, operation.keywords) if isinstance(a, Tensor)]

    def check_constants(self) -> None:
        """Refuse products after the model has overwritten a tensor that the program reads, as a buffer set in each forward pass is.

        Raises:
            OperatorError: if there is such a tensor.
        """
        if [a._version for a in self._constants] != self._versions:
            raise OperatorError(
                "linearise=program: a tensor of the model that the derivative needs was overwritten after it was recorded. "
                "Linearise the model again, or set linearise=dense."
            )


@dataclass(frozen=True)
class Recording:
    """The operations as they ran, the number of the output, the shape, dtype and device of every result, and the function's value."""

    operations: list[Operation]
    output: int
    kinds: dict[int, tuple[Any, ...]]
    value: Tensor


def record(function: Callable[[Tensor], Tensor], point: Tensor) -> Recording:
    """Record the derivative of a function of tensors at a point.

    Raises:
        OperatorError: if an operation cannot be part of a linear program.
        NotImplementedError: if forward mode lacks the derivative of an operation.
    """
    point = point.detach().contiguous()
    # 1. Zeros are enough: which operations run, and on which constants, depends on the point alone.
    tangent = torch.zeros_like(point)
    with torch.no_grad(), warnings.catch_warnings(), forward_ad.dual_level():
        warnings.filterwarnings("ignore", message=".*torch.jit.script.*", category=FutureWarning)  # of torch's own decompositions
        # 2. Below autograd, where forward mode has already split every operation into one on values and one on tangents.
        with _Recorder(tangent) as recorder, ConstantLayers():
            value, output = forward_ad.unpack_dual(function(forward_ad.make_dual(point, tangent)))
        # 3. Only now is it known that no constant was overwritten on the way.
        return recorder.recording(value, output)


class _Recorder(TorchDispatchMode):
    """Record every operation that reads a tangent."""

    def __init__(self, tangent: Tensor):
        super().__init__()
        # Weak, for otherwise the tangents of all layers would stay in memory at once; by identity, as == compares entries.
        self._numbers = WeakTensorKeyDictionary()
        self._numbers[tangent] = 0
        self._operations: list[Operation] = []
        self._kinds: dict[int, tuple[Any, ...]] = {0: _kind(tangent)}
        self._constants: list[tuple[Tensor, int]] = []

    def recording(self, value: Tensor, output: Tensor | None) -> Recording:
        """Return what was recorded, if no constant has been overwritten since.

        Raises:
            OperatorError: if the output is not a result of the program, or a constant was overwritten.
        """
        if output is None or output not in self._numbers:
            raise _unrecordable("its response has no derivative in forward mode")
        # Constants are held, not copied. Their version counts every write but one through `.data`, which a certificate's finite
        # differences find.
        if _overwritten(self._constants):
            raise _unrecordable("it overwrites a tensor in place that a derivative needs")
        return Recording(self._operations, self._numbers[output], self._kinds, value)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        reads = [a for a in leaves(args, kwargs) if isinstance(a, Tensor) and a in self._numbers]
        # Work on values alone: its results turn up as constants where an operation on tangents reads them.
        if not reads or func in _ABOUT_SHAPES:
            return func(*args, **kwargs)
        note = self._note_write if func._schema.is_mutable else self._note
        return note(func, args, kwargs)

    def _note(self, function: OpOverload, args: Any, kwargs: Any) -> Any:
        out = function(*args, **kwargs)
        results = [out] if isinstance(out, Tensor) else tree_leaves(out)
        # A number from a tangent (item, is_nonzero): what the model does with it need not be linear.
        if not results or not all(isinstance(r, Tensor) for r in results):
            raise _unrecordable(f"{function} reads the values of a derivative")
        # Only the factor is kept, for example a ReLU's mask, where the original call holds whole activations.
        function, args, kwargs = as_scaling(function, args, kwargs, is_tangent=lambda t: t in self._numbers)
        arguments, keywords = self._arguments(args, kwargs, watched=function not in _LIKE_CONSTANTS)
        self._operations.append(Operation(function, arguments, keywords, tuple(self._number(r) for r in results)))
        return out

    def _note_write(self, function: OpOverload, args: Any, kwargs: Any) -> Any:
        """Record a write into a tangent as a new result where no other tangent shares its memory, else as a write."""
        written = _written(function, args, kwargs)
        if not all(t in self._numbers for t in written):
            raise _unrecordable(f"{function} writes a derivative into a tensor that has no derivative")
        # Without writes a program can be simplified: no result changes after it was made. A write to memory that several
        # tangents share must stay, because all of them see it.
        pure = _without_writing(function, args, self._numbers)
        if pure is None or kwargs or len(written) != 1 or not self._alone(written[0]):
            return self._note(function, args, kwargs)
        # The arguments are looked up before the call: afterwards the same tensor stands for another result.
        before = _kind(written[0])
        arguments, keywords = self._arguments(*pure[1:])
        out = function(*args)
        if out is not written[0] or _kind(out) != before:
            raise _unrecordable(f"{function} changes the kind of a derivative in place")
        # A new number: later readers get the value after the write, earlier ones keep the value before.
        self._operations.append(Operation(pure[0], arguments, keywords, (self._number(out, new=True),)))
        return out

    def _alone(self, tangent: Tensor) -> bool:
        """Return whether no other tangent shares its memory."""
        memory = tangent.untyped_storage()._cdata
        return sum(t.untyped_storage()._cdata == memory for t in self._numbers) == 1

    def _arguments(self, args: Any, kwargs: Any, watched: bool = True) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Replace tangents by `Reference`s; keep the rest, `watched` for later writes."""
        constants = [a for a in leaves(args, kwargs) if isinstance(a, Tensor) and a not in self._numbers]
        self._constants += [(a, a._version) for a in constants if watched and not a.is_inference()]
        return tuple(map(self._referred, args)), {key: self._referred(a) for key, a in kwargs.items()}

    def _referred(self, a: Any) -> Any:
        if isinstance(a, list | tuple):
            return type(a)(map(self._referred, a)) if type(a) in (list, tuple) else a
        return Reference(self._numbers[a]) if isinstance(a, Tensor) and a in self._numbers else a

    def _number(self, result: Tensor, new: bool = False) -> int:
        if new or result not in self._numbers:
            self._numbers[result] = len(self._kinds)
            self._kinds[self._numbers[result]] = _kind(result)
        return self._numbers[result]


def leaves(arguments: Sequence[Any], keywords: Mapping[str, Any]) -> list[Any]:
    """Return the arguments of an operation, those in lists as well, which hold no further lists. `tree_leaves` takes ten times as long."""
    found: list[Any] = []
    for a in (*arguments, *keywords.values()):
        if isinstance(a, list | tuple):
            found += a
        else:
            found.append(a)
    return found


def _overwritten(constants: Sequence[tuple[Tensor, int]]) -> bool:
    """Return whether a constant has been written to since its version was noted."""
    return any(constant._version != version for constant, version in constants)


def _written(function: OpOverload, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Tensor]:
    """Return the tensors that an operation changes."""
    given = {a.name: value for a, value in zip(function._schema.arguments, args, strict=False)} | dict(kwargs)
    marked = [a.name for a in function._schema.arguments if a.alias_info is not None and a.alias_info.is_write]
    return [t for name in marked for t in tree_leaves(given.get(name)) if isinstance(t, Tensor)]


def _without_writing(function: OpOverload, args: Sequence[Any], tangents: WeakTensorKeyDictionary) -> tuple[OpOverload, Any, Any] | None:
    """Return the call that computes what an in-place call leaves in its first argument, where there is one."""
    if function is aten.copy_.default:
        same = isinstance(args[1], Tensor) and args[1] in tangents and _kind(args[0]) == _kind(args[1])
        # Only a copy of a like tangent is the identity; others convert or spread out.
        return (aten.copy.default, args[:2], {}) if same else None
    if function is aten.as_strided_.default:
        return (aten.clone.default, args[:1], {}) if _is_layout_of(args[0], *args[1:]) else None
    name = function._schema.name.removeprefix("aten::")
    # By torch's convention mul_ is mul written into its first argument; the overload has the same name.
    packet = getattr(aten, name.removesuffix("_"), None) if name.endswith("_") else None
    pure = getattr(packet, function._overloadname, None)
    return None if pure is None else as_scaling(pure, args, {}, is_tangent=lambda t: t in tangents)


def _is_layout_of(t: Tensor, size: Sequence[int], stride: Sequence[int], offset: int | None = None) -> bool:
    """Return whether sizes and strides describe a tensor as it is; strides along axes of length one do not matter."""
    lengths = tuple(t.shape)
    strides = [(mine, given) for mine, given, length in zip(t.stride(), stride, lengths, strict=False) if length > 1]
    return tuple(size) == lengths and offset in (None, t.storage_offset()) and all(mine == given for mine, given in strides)


def _taken(a: Any, values: dict[int, Tensor]) -> Any:
    return values[a.number] if type(a) is Reference else a


def _kind(t: Tensor) -> tuple[Any, ...]:
    return tuple(t.shape), t.dtype, t.device


def _unrecordable(reason: str) -> OperatorError:
    return OperatorError(f"linearise=program cannot record this model: {reason}. Set linearise=auto or linearise=double_backward.")
