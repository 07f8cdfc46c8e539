"""Vectors of 16 float32 as values in numba kernels: explicit SIMD whose bits no CPU changes.

An operation on `lanes` is one LLVM vector instruction, which becomes one AVX-512, two AVX, four SSE or four
NEON instructions. Lanes never mix but in `transpose`, each operation is IEEE 754's own, and `fma` rounds once
everywhere; so results do not depend on the width of a machine's registers, nor on what a compiler
vectorizes. The functions take lanes and float32 alike, and a float32 beside lanes counts for every lane.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, Final

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic as _typed_intrinsic
from numba.extending import lower_builtin, models, register_model

__all__ = [
    "LANES",
    "Lanes",
    "bits_at_least",
    "count_bits",
    "element",
    "fma",
    "larger",
    "load",
    "load_first",
    "lowest_bit",
    "magnitude",
    "never_inline",
    "power_of_two",
    "put",
    "select_positive",
    "smaller",
    "splat",
    "spread",
    "store",
    "store_first",
    "transpose",
]

LANES: Final = 16

intrinsic: Any = _typed_intrinsic  # whose stubs count numba's own first argument
_FLOAT: Final = ir.FloatType()
_INT: Final = ir.IntType(32)
_VECTOR: Final = ir.VectorType(_FLOAT, LANES)
_INTS: Final = ir.VectorType(_INT, LANES)


class LanesType(types.Type):
    """Numba's type of 16 lanes."""

    def __init__(self) -> None:
        super().__init__(name="lanes")


lanes: Final = LanesType()

Lanes = Any
"""What a kernel's signature says of lanes, and of lanes or a float32."""


@register_model(LanesType)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, front_end_type: Any) -> None:
        super().__init__(manager, front_end_type, _VECTOR)  # type: ignore[no-untyped-call]


def _spread(builder: Any, scalar: Any) -> Any:
    first = builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), scalar, _INT(0))
    zeros = ir.Constant(_INTS, [_INT(0)] * LANES)
    return builder.shuffle_vector(first, ir.Constant(_VECTOR, ir.Undefined), zeros)


def _suffix(value: Any) -> str:
    return "v16f32" if value.type == _VECTOR else "f32"


def _call(builder: Any, name: str, out: Any, arguments: list[Any]) -> Any:
    kind = ir.FunctionType(out, [a.type for a in arguments])
    function = cgutils.get_or_insert_function(builder.module, kind, name)  # type: ignore[no-untyped-call]
    return builder.call(function, arguments)


def _elementwise(emit: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    """Signature and code of an operation; None where an argument is neither lanes nor float32."""
    if any(a not in (lanes, types.float32) for a in arguments):
        return None
    out = lanes if lanes in arguments else types.float32

    def codegen(context: Any, builder: Any, call: Any, values: Any) -> Any:
        pairs = zip(values, call.args, strict=True)
        if call.return_type == lanes:
            values = [v if t == lanes else _spread(builder, v) for v, t in pairs]
        return emit(builder, *values)

    return out(*arguments), codegen


def _emit_smaller(builder: Any, a: Any, b: Any) -> Any:
    return builder.select(builder.fcmp_ordered("<", a, b), a, b)


def _emit_larger(builder: Any, a: Any, b: Any) -> Any:
    return builder.select(builder.fcmp_ordered(">", a, b), a, b)


def _emit_fma(builder: Any, a: Any, b: Any, c: Any) -> Any:
    return _call(builder, f"llvm.fma.{_suffix(a)}", a.type, [a, b, c])


def _emit_select_positive(builder: Any, condition: Any, a: Any, b: Any) -> Any:
    zero = ir.Constant(condition.type, None)
    return builder.select(builder.fcmp_ordered(">", condition, zero), a, b)


def _emit_magnitude(builder: Any, a: Any) -> Any:
    return _call(builder, f"llvm.fabs.{_suffix(a)}", a.type, [a])


def _emit_power_of_two(builder: Any, n: Any) -> Any:
    # By writing the exponent's bits.
    integer = _INTS if n.type == _VECTOR else _INT

    def constant(value: int) -> Any:
        return ir.Constant(integer, [value] * LANES if integer == _INTS else value)

    exponent = builder.add(builder.fptosi(n, integer), constant(127))
    return builder.bitcast(builder.shl(exponent, constant(23)), n.type)


@intrinsic  # type: ignore[untyped-decorator]
def smaller(_: Any, a: Any, b: Any) -> Any:
    """Return a where a < b, else b."""
    return _elementwise(_emit_smaller, (a, b))


@intrinsic  # type: ignore[untyped-decorator]
def larger(_: Any, a: Any, b: Any) -> Any:
    """Return a where a > b, else b."""
    return _elementwise(_emit_larger, (a, b))


@intrinsic  # type: ignore[untyped-decorator]
def fma(_: Any, a: Any, b: Any, c: Any) -> Any:
    """Return a b + c, rounded once."""
    return _elementwise(_emit_fma, (a, b, c))


@intrinsic  # type: ignore[untyped-decorator]
def select_positive(_: Any, condition: Any, a: Any, b: Any) -> Any:
    """Return a where condition > 0, else b."""
    return _elementwise(_emit_select_positive, (condition, a, b))


@intrinsic  # type: ignore[untyped-decorator]
def power_of_two(_: Any, n: Any) -> Any:
    """2^n of an integral n in [-126, 127]."""
    return _elementwise(_emit_power_of_two, (n,))


@intrinsic  # type: ignore[untyped-decorator]
def magnitude(_: Any, a: Any) -> Any:
    """Its value without the sign."""
    return _elementwise(_emit_magnitude, (a,))


def _support(symbol: Callable[..., Any], instruction: str) -> None:
    # As a typing rule and an instruction: an `overload` would be compiled anew for each pair of types.
    class Rule(AbstractTemplate):
        def generic(self, arguments: Any, _: Any) -> Any:
            if lanes in arguments and all(a in (lanes, types.float32) for a in arguments):
                return signature(lanes, *arguments)  # type: ignore[no-untyped-call]
            return None

    def emit(builder: Any, a: Any, b: Any) -> Any:
        return getattr(builder, instruction)(a, b)

    infer_global(symbol)(Rule)  # type: ignore[no-untyped-call]
    for arguments in ((lanes, lanes), (lanes, types.float32), (types.float32, lanes)):
        typed = _elementwise(emit, arguments)
        lower_builtin(symbol, *arguments)(typed[1])  # type: ignore[no-untyped-call]


_support(operator.add, "fadd")
_support(operator.sub, "fsub")
_support(operator.mul, "fmul")
_support(operator.truediv, "fdiv")


@intrinsic  # type: ignore[untyped-decorator]
def bits_at_least(_: Any, a: Any, threshold: Any) -> Any:
    """Return an integer whose bit i says whether a >= threshold in lane i; one of the two may be a float32."""
    if not {a, threshold} <= {lanes, types.float32}:
        return None

    def codegen(context: Any, builder: Any, call: Any, values: Any) -> Any:
        pairs = zip(values, call.args, strict=True)
        a, b = (v if t == lanes else _spread(builder, v) for v, t in pairs)
        reached = builder.fcmp_ordered(">=", a, b)
        return builder.zext(builder.bitcast(reached, ir.IntType(LANES)), ir.IntType(64))

    return types.int64(a, threshold), codegen


@intrinsic  # type: ignore[untyped-decorator]
def lowest_bit(_: Any, bits: Any) -> Any:
    """Return the number of the lowest bit that is set; there has to be one."""

    def codegen(context: Any, builder: Any, call: Any, values: Any) -> Any:
        return builder.cttz(values[0], ir.IntType(1)(1))

    return types.int64(types.int64), codegen


@intrinsic  # type: ignore[untyped-decorator]
def count_bits(_: Any, bits: Any) -> Any:
    """Return how many bits are set."""

    def codegen(context: Any, builder: Any, call: Any, values: Any) -> Any:
        return builder.ctpop(values[0])

    return types.int64(types.int64), codegen


@intrinsic  # type: ignore[untyped-decorator]
def never_inline(_: Any) -> Any:
    """Keep the function that says this out of its callers: copies of long code cost minutes of compiling."""

    def codegen(context: Any, builder: Any, call: Any, values: Any) -> Any:
        builder.function.attributes.add("noinline")

    return types.void(), codegen


@intrinsic  # type: ignore[untyped-decorator]
def splat(_: Any, value: Any) -> Any:
    """Put a float32 into every lane."""

    def codegen(context: Any, builder: Any, call: Any, values: Any) -> Any:
        return _spread(builder, values[0])

    return lanes(types.float32), codegen


def _pointer(context: Any, builder: Any, array_type: Any, array: Any, place: Any, to: Any) -> Any:
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [place]), to.as_pointer())


def _is_floats(array: Any) -> bool:
    return isinstance(array, types.Array) and array.dtype == types.float32 and array.layout == "C"


@intrinsic  # type: ignore[untyped-decorator]
def load(_: Any, array: Any, place: Any) -> Any:
    """16 elements of a C-contiguous float32 array of any rank, from flat place `place` on; no check."""
    if not _is_floats(array):
        return None

    def codegen(context: Any, builder: Any, call: Any, values: Any) -> Any:
        pointer = _pointer(context, builder, call.args[0], values[0], values[1], _VECTOR)
        return builder.load(pointer, align=4)

    return lanes(array, types.intp), codegen


@intrinsic  # type: ignore[untyped-decorator]
def element(_: Any, array: Any, place: Any) -> Any:
    """Element `place` >= 0 of a C-contiguous array, taken as flat; no check."""
    if not (isinstance(array, types.Array) and array.layout == "C"):
        return None

    def codegen(context: Any, builder: Any, call: Any, values: Any) -> Any:
        data = context.make_array(call.args[0])(context, builder, values[0]).data
        return builder.load(builder.gep(data, [values[1]]))

    return array.dtype(array, types.intp), codegen


@intrinsic  # type: ignore[untyped-decorator]
def put(_: Any, array: Any, place: Any, value: Any) -> Any:
    """Write one element, as `element` reads it."""
    if not (isinstance(array, types.Array) and array.layout == "C"):
        return None

    def codegen(context: Any, builder: Any, call: Any, values: Any) -> Any:
        data = context.make_array(call.args[0])(context, builder, values[0]).data
        builder.store(values[2], builder.gep(data, [values[1]]))

    return types.void(array, types.intp, array.dtype), codegen


@intrinsic  # type: ignore[untyped-decorator]
def spread(_: Any, array: Any, place: Any) -> Any:
    """Put one element of a flat float32 array into every lane."""
    if not _is_floats(array):
        return None

    def codegen(context: Any, builder: Any, call: Any, values: Any) -> Any:
        data = context.make_array(call.args[0])(context, builder, values[0]).data
        return _spread(builder, builder.load(builder.gep(data, [values[1]])))

    return lanes(array, types.intp), codegen


@intrinsic  # type: ignore[untyped-decorator]
def store(_: Any, array: Any, place: Any, value: Any) -> Any:
    """Write 16 elements, as `load` reads them."""
    if not _is_floats(array):
        return None

    def codegen(context: Any, builder: Any, call: Any, values: Any) -> Any:
        pointer = _pointer(context, builder, call.args[0], values[0], values[1], _VECTOR)
        builder.store(values[2], pointer, align=4)

    return types.void(array, types.intp, lanes), codegen


def _first(builder: Any, count: Any) -> Any:
    # Bits of the first `count` lanes.
    numbers = ir.Constant(_INTS, list(range(LANES)))
    limit = builder.trunc(count, _INT)
    spread = builder.insert_element(ir.Constant(_INTS, ir.Undefined), limit, _INT(0))
    zeros = ir.Constant(_INTS, [_INT(0)] * LANES)
    spread = builder.shuffle_vector(spread, ir.Constant(_INTS, ir.Undefined), zeros)
    return builder.icmp_signed("<", numbers, spread)


@intrinsic  # type: ignore[untyped-decorator]
def load_first(_: Any, array: Any, place: Any, count: Any) -> Any:
    """`load` of `count` elements, 0 in the other lanes; what lies behind them is not touched."""
    if not _is_floats(array):
        return None

    def codegen(context: Any, builder: Any, call: Any, values: Any) -> Any:
        pointer = _pointer(context, builder, call.args[0], values[0], values[1], _VECTOR)
        bits = _first(builder, values[2])
        nothing = ir.Constant(_VECTOR, [0.0] * LANES)
        arguments = [pointer, _INT(4), bits, nothing]
        return _call(builder, "llvm.masked.load.v16f32.p0", _VECTOR, arguments)

    return lanes(array, types.intp, types.intp), codegen


@intrinsic  # type: ignore[untyped-decorator]
def store_first(_: Any, array: Any, place: Any, value: Any, count: Any) -> Any:
    """`store` of the first `count` lanes."""
    if not _is_floats(array):
        return None

    def codegen(context: Any, builder: Any, call: Any, values: Any) -> Any:
        pointer = _pointer(context, builder, call.args[0], values[0], values[1], _VECTOR)
        arguments = [values[2], pointer, _INT(4), _first(builder, values[3])]
        _call(builder, "llvm.masked.store.v16f32.p0", ir.VoidType(), arguments)

    return types.void(array, types.intp, lanes, types.intp), codegen


@intrinsic  # type: ignore[untyped-decorator]
def transpose(
    _: Any, source: Any, place: Any, stride: Any, target: Any, target_place: Any, target_stride: Any
) -> Any:
    """Turn 16 rows of 16 elements, `stride` apart, into the 16 rows at `target_place`."""
    if not (_is_floats(source) and _is_floats(target)):
        return None

    def codegen(context: Any, builder: Any, call: Any, values: Any) -> Any:
        def pointer(argument: int, row: int) -> Any:
            place = builder.add(values[argument + 1], builder.mul(values[argument + 2], ir.IntType(64)(row)))
            array = (call.args[argument], values[argument])
            return _pointer(context, builder, *array, place, _VECTOR)

        rows = [builder.load(pointer(0, i), align=4) for i in range(LANES)]
        for step in (8, 4, 2, 1):  # exchange ever smaller squares across the diagonal
            low = [i if not i & step else LANES + i - step for i in range(LANES)]
            high = [i + step if not i & step else LANES + i for i in range(LANES)]
            for i in range(LANES):
                if not i & step:
                    a, b = rows[i], rows[i + step]
                    rows[i] = builder.shuffle_vector(a, b, ir.Constant(_INTS, low))
                    rows[i + step] = builder.shuffle_vector(a, b, ir.Constant(_INTS, high))
        for j, row in enumerate(rows):
            builder.store(row, pointer(3, j), align=4)

    ints = types.intp
    return types.void(source, ints, ints, target, ints, ints), codegen
