"""Vectors of `lanes` between flat float32 arrays and registers; numba sees neither bounds nor strides here.

Places count elements from the array's start, whatever its rank. Nothing is checked: a kernel's caller has
checked the shapes from which its places follow.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types

from cs3g_model.lanes import INT, INTS, LANES, VECTOR, call_function, intrinsic, lanes, spread_value

__all__ = ["element", "load", "load_first", "put", "spread", "store", "store_first", "transpose"]


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
        pointer = _pointer(context, builder, call.args[0], values[0], values[1], VECTOR)
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
        return spread_value(builder, builder.load(builder.gep(data, [values[1]])))

    return lanes(array, types.intp), codegen


@intrinsic  # type: ignore[untyped-decorator]
def store(_: Any, array: Any, place: Any, value: Any) -> Any:
    """Write 16 elements, as `load` reads them."""
    if not _is_floats(array):
        return None

    def codegen(context: Any, builder: Any, call: Any, values: Any) -> Any:
        pointer = _pointer(context, builder, call.args[0], values[0], values[1], VECTOR)
        builder.store(values[2], pointer, align=4)

    return types.void(array, types.intp, lanes), codegen


def _first(builder: Any, count: Any) -> Any:
    # Bits of the first `count` lanes.
    numbers = ir.Constant(INTS, list(range(LANES)))
    limit = builder.trunc(count, INT)
    spread = builder.insert_element(ir.Constant(INTS, ir.Undefined), limit, INT(0))
    zeros = ir.Constant(INTS, [INT(0)] * LANES)
    spread = builder.shuffle_vector(spread, ir.Constant(INTS, ir.Undefined), zeros)
    return builder.icmp_signed("<", numbers, spread)


@intrinsic  # type: ignore[untyped-decorator]
def load_first(_: Any, array: Any, place: Any, count: Any) -> Any:
    """`load` of `count` elements, 0 in the other lanes; what lies behind them is not touched."""
    if not _is_floats(array):
        return None

    def codegen(context: Any, builder: Any, call: Any, values: Any) -> Any:
        pointer = _pointer(context, builder, call.args[0], values[0], values[1], VECTOR)
        bits = _first(builder, values[2])
        nothing = ir.Constant(VECTOR, [0.0] * LANES)
        arguments = [pointer, INT(4), bits, nothing]
        return call_function(builder, "llvm.masked.load.v16f32.p0", VECTOR, arguments)

    return lanes(array, types.intp, types.intp), codegen


@intrinsic  # type: ignore[untyped-decorator]
def store_first(_: Any, array: Any, place: Any, value: Any, count: Any) -> Any:
    """`store` of the first `count` lanes."""
    if not _is_floats(array):
        return None

    def codegen(context: Any, builder: Any, call: Any, values: Any) -> Any:
        pointer = _pointer(context, builder, call.args[0], values[0], values[1], VECTOR)
        arguments = [values[2], pointer, INT(4), _first(builder, values[3])]
        call_function(builder, "llvm.masked.store.v16f32.p0", ir.VoidType(), arguments)

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
            return _pointer(context, builder, *array, place, VECTOR)

        rows = [builder.load(pointer(0, i), align=4) for i in range(LANES)]
        for step in (8, 4, 2, 1):  # exchange ever smaller squares across the diagonal
            low = [i if not i & step else LANES + i - step for i in range(LANES)]
            high = [i + step if not i & step else LANES + i for i in range(LANES)]
            for i in range(LANES):
                if not i & step:
                    a, b = rows[i], rows[i + step]
                    rows[i] = builder.shuffle_vector(a, b, ir.Constant(INTS, low))
                    rows[i + step] = builder.shuffle_vector(a, b, ir.Constant(INTS, high))
        for j, row in enumerate(rows):
            builder.store(row, pointer(3, j), align=4)

    ints = types.intp
    return types.void(source, ints, ints, target, ints, ints), codegen
