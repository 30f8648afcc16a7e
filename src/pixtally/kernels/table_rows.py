"""Four samples at a time through a piecewise-linear map whose pieces are rows of one table.

A compiler makes three loads a sample of ``slope[s] * (x - knot[s]) + value[s]``, and loads are what
the loop waits for. Here a piece is one row ``(knot, slope, value, unused)``, fetched by one load,
and four rows are transposed in registers. The arithmetic is the same, operation by operation.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numba.np.arrayobj import make_array

WIDTH = 4
"""Samples at a time, and numbers in a row."""

_INDEX = ir.IntType(32)
_ADDRESS = ir.IntType(64)
_ROW = ir.VectorType(ir.DoubleType(), WIDTH)


def _choice(*places: int) -> Any:
    """Return the constant that tells a shuffle which elements to take."""
    return ir.Constant(ir.VectorType(_INDEX, WIDTH), [ir.Constant(_INDEX, p) for p in places])


def _all_equal(build: Any, number: Any) -> Any:
    """Return a vector of one number."""
    empty = ir.Constant(_ROW, ir.Undefined)
    first = build.insert_element(empty, number, ir.Constant(_INDEX, 0))
    return build.shuffle_vector(first, empty, _choice(0, 0, 0, 0))


def _columns(build: Any, rows: list[Any]) -> tuple[Any, Any, Any]:
    """Return the first three columns of four rows."""
    even = [build.shuffle_vector(*pair, _choice(0, 4, 2, 6)) for pair in (rows[:2], rows[2:])]
    odd = [build.shuffle_vector(*pair, _choice(1, 5, 3, 7)) for pair in (rows[:2], rows[2:])]
    return (
        build.shuffle_vector(*even, _choice(0, 1, 4, 5)),
        build.shuffle_vector(*odd, _choice(0, 1, 4, 5)),
        build.shuffle_vector(*even, _choice(2, 3, 6, 7)),
    )


@intrinsic
def map_four(
    typing: Any, samples: Any, slots: Any, table: Any, out: Any, at: Any, low: Any, high: Any
) -> Any:
    """Map ``samples[at : at + 4]`` into ``out``; nothing checks that they are there.

    Parameters
    ----------
    samples, out : ndarray (p,), float32 or float64
    slots : ndarray (p,), uint16 or uint32
        Row of each sample.
    table : ndarray (rows, 4), float64
        Knot, slope and value at the knot.
    at : int
    low, high : float
        Samples are taken into this range first; NaN stays NaN.
    """
    signature = types.void(samples, slots, table, out, types.intp, types.float64, types.float64)

    def generate(context: Any, build: Any, signature: Any, arguments: Any) -> Any:
        place = arguments[4]
        data = [
            make_array(kind)(context, build, value).data
            for kind, value in zip(signature.args[:4], arguments[:4], strict=True)
        ]

        def four(which: int) -> tuple[Any, int, Any]:
            """Return where the four are, their alignment, and their type."""
            kind = signature.args[which].dtype
            vector = ir.VectorType(context.get_data_type(kind), WIDTH)
            pointer = build.bitcast(build.gep(data[which], [place]), ir.PointerType(vector))
            return pointer, kind.bitwidth // 8, vector

        pointer, align, _ = four(1)
        found = build.load(pointer, align=align)
        rows = []
        for k in range(WIDTH):
            slot = build.zext(build.extract_element(found, ir.Constant(_INDEX, k)), _ADDRESS)
            first = build.mul(slot, ir.Constant(_ADDRESS, WIDTH))
            row = build.bitcast(build.gep(data[2], [first]), ir.PointerType(_ROW))
            rows.append(build.load(row, align=8))
        knot, slope, value = _columns(build, rows)
        pointer, align, vector = four(0)
        x = build.load(pointer, align=align)
        x = build.fpext(x, _ROW) if vector != _ROW else x
        # Ordered comparisons are false for NaN, which so goes on.
        for end, beyond in ((arguments[5], "<"), (arguments[6], ">")):
            ends = _all_equal(build, end)
            x = build.select(build.fcmp_ordered(beyond, x, ends), ends, x)
        made = build.fadd(build.fmul(slope, build.fsub(x, knot)), value)
        pointer, align, vector = four(3)
        made = build.fptrunc(made, vector) if vector != _ROW else made
        build.store(made, pointer, align=align)
        return context.get_dummy_value()

    return signature, generate
