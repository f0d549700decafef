"""Stores of several bytes at once, at any offset of a byte buffer, as a C programmer would write with memcpy.

Numba's own array stores are of one element at its natural alignment; text and wire formats are neither. Bytes go in
little-endian order. The caller makes sure that the buffer is long enough: nothing is checked here.
"""

from __future__ import annotations

import sys
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

if sys.byteorder != "little":
    raise ImportError("lidarprep's kernels store little-endian words; this machine is big-endian")


def _store_intrinsic(value_type: Any) -> Any:
    """An intrinsic `store(buffer, offset, value)` that writes `value` unaligned at `buffer[offset]`."""

    @intrinsic
    def store(typingctx: Any, buffer: Any, offset: Any, value: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            array = cgutils.create_struct_proxy(signature.args[0])(context, builder, value=args[0])
            target = builder.gep(array.data, [args[1]])
            word = builder.bitcast(target, ir.PointerType(args[2].type))
            builder.store(args[2], word, align=1)
            return context.get_dummy_value()

        return types.void(buffer, types.intp, value_type), codegen

    return store


store_u8 = _store_intrinsic(types.uint8)
store_u32 = _store_intrinsic(types.uint32)
store_u64 = _store_intrinsic(types.uint64)
store_f32 = _store_intrinsic(types.float32)
store_f64 = _store_intrinsic(types.float64)
