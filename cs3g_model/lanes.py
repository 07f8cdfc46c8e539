"""Vectors of 16 float32 as values in numba kernels: explicit SIMD whose bits no CPU changes.

An operation on `lanes` is one LLVM vector instruction, which becomes one AVX-512, two AVX, four SSE or four
NEON instructions. Lanes never mix but in `lane_memory.transpose`, each operation is IEEE 754's own, and `fma`
rounds once everywhere; so results do not depend on the width of a machine's registers, nor on what a compiler
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
    "INT",
    "INTS",
    "LANES",
    "VECTOR",
    "Lanes",
    "bits_at_least",
    "call_function",
    "count_bits",
    "fma",
    "intrinsic",
    "lanes",
    "larger",
    "lowest_bit",
    "magnitude",
    "power_of_two",
    "select_positive",
    "smaller",
    "splat",
    "spread_value",
]

LANES: Final = 16

intrinsic: Any = _typed_intrinsic
"""Numba's decorator, without its stubs, which count numba's own first argument."""

VECTOR: Final = ir.VectorType(ir.FloatType(), LANES)
"""LLVM's type of 16 lanes."""

INT: Final = ir.IntType(32)
"""LLVM's type of an integer beside one lane."""

INTS: Final = ir.VectorType(INT, LANES)
"""LLVM's type of 16 of them."""


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
        super().__init__(manager, front_end_type, VECTOR)  # type: ignore[no-untyped-call]


def spread_value(builder: Any, scalar: Any) -> Any:
    """Emit what puts an LLVM float into every lane."""
    first = builder.insert_element(ir.Constant(VECTOR, ir.Undefined), scalar, INT(0))
    zeros = ir.Constant(INTS, [INT(0)] * LANES)
    return builder.shuffle_vector(first, ir.Constant(VECTOR, ir.Undefined), zeros)


def _suffix(value: Any) -> str:
    return "v16f32" if value.type == VECTOR else "f32"


def call_function(builder: Any, name: str, out: Any, arguments: list[Any]) -> Any:
    """Emit a call of one of LLVM's own functions by name; `out` is the type that it returns."""
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
            values = [v if t == lanes else spread_value(builder, v) for v, t in pairs]
        return emit(builder, *values)

    return out(*arguments), codegen


def _emit_smaller(builder: Any, a: Any, b: Any) -> Any:
    return builder.select(builder.fcmp_ordered("<", a, b), a, b)


def _emit_larger(builder: Any, a: Any, b: Any) -> Any:
    return builder.select(builder.fcmp_ordered(">", a, b), a, b)


def _emit_fma(builder: Any, a: Any, b: Any, c: Any) -> Any:
    return call_function(builder, f"llvm.fma.{_suffix(a)}", a.type, [a, b, c])


def _emit_select_positive(builder: Any, condition: Any, a: Any, b: Any) -> Any:
    zero = ir.Constant(condition.type, None)
    return builder.select(builder.fcmp_ordered(">", condition, zero), a, b)


def _emit_magnitude(builder: Any, a: Any) -> Any:
    return call_function(builder, f"llvm.fabs.{_suffix(a)}", a.type, [a])


def _emit_power_of_two(builder: Any, n: Any) -> Any:
    # By writing the exponent's bits.
    integer = INTS if n.type == VECTOR else INT

    def constant(value: int) -> Any:
        return ir.Constant(integer, [value] * LANES if integer == INTS else value)

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
        a, b = (v if t == lanes else spread_value(builder, v) for v, t in pairs)
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
def splat(_: Any, value: Any) -> Any:
    """Put a float32 into every lane."""

    def codegen(context: Any, builder: Any, call: Any, values: Any) -> Any:
        return spread_value(builder, values[0])

    return lanes(types.float32), codegen
