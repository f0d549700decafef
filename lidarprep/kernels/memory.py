"""Stores of several bytes at once, at any address of a byte buffer, as a C programmer would write with memcpy.

Numba's own array stores are of one element at its natural alignment; text and wire formats are neither. An address is
`buffer.ctypes.data` and an offset; passing it to the small functions that a writer is made of costs nothing, where
passing the array would count its references up and down at each call. Bytes go in little-endian order. The caller makes
sure that the buffer is long enough, and alive: nothing is checked here.
"""

from __future__ import annotations

import sys
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

if sys.byteorder != "little":
    raise ImportError("lidarprep's kernels store little-endian words; this machine is big-endian")


def _store_intrinsic(value_type: Any) -> Any:
    """An intrinsic `store(address, value)` that writes `value` there, aligned or not."""

    @intrinsic
    def store(typingctx: Any, address: Any, value: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            target = builder.inttoptr(args[0], ir.PointerType(args[1].type))
            builder.store(args[1], target, align=1)
            return context.get_dummy_value()

        return types.void(types.intp, value_type), codegen

    return store


store_u8 = _store_intrinsic(types.uint8)
store_u32 = _store_intrinsic(types.uint32)
store_u64 = _store_intrinsic(types.uint64)
store_f32 = _store_intrinsic(types.float32)
store_f64 = _store_intrinsic(types.float64)
