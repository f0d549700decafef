"""Unaligned stores and loads of several bytes at any address of a byte buffer, like memcpy in C.

Numba's own array stores are of one element at its natural alignment; text and wire formats are neither. An address is
`buffer.ctypes.data` plus an offset; passing it to small functions is free, while passing the array would count its
references at each call. Bytes are little-endian. The caller keeps the buffer alive and long enough; stores are
unchecked.
"""

from __future__ import annotations

import sys
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from lidarprep.kernels.jit import inlined

if sys.byteorder != "little":
    raise ImportError("lidarprep's kernels store little-endian words; this machine is big-endian")


def _store_intrinsic(value_type: Any) -> Any:
    """Return an intrinsic `store(address, value)` that writes `value`, aligned or not."""

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


# ---- loads ----------------------------------------------------------------------------------------------

# A view of a byte buffer is the pair (address, size), which is free to pass. With NUMBA_BOUNDSCHECK set, as in tests
# of the parsers, every load is checked against the size.
CHECKED = bool(getattr(numba.config, "BOUNDSCHECK", None))


def _load_intrinsic(value_type: Any) -> Any:
    """Return an intrinsic `load(address)` of a value that may be unaligned."""

    @intrinsic
    def load(typingctx: Any, address: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            value = context.get_value_type(value_type)
            return builder.load(builder.inttoptr(args[0], ir.PointerType(value)), align=1)

        return value_type(types.intp), codegen

    return load


_load_u8 = _load_intrinsic(types.uint8)
_load_u32 = _load_intrinsic(types.uint32)
_load_u64 = _load_intrinsic(types.uint64)


def _load_non_digits(typingctx: Any, address: Any) -> Any:
    """Return a bit for each of the 32 bytes at an address, set for non-digits; the first byte's is the lowest."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        block = ir.VectorType(ir.IntType(8), 32)
        text = builder.load(builder.inttoptr(args[0], ir.PointerType(block)), align=1)
        digits = builder.sub(text, ir.Constant(block, [48] * 32))
        return builder.bitcast(builder.icmp_unsigned(">", digits, ir.Constant(block, [9] * 32)), ir.IntType(32))

    return types.uint32(types.intp), codegen


_load_non_digits_32: Any = intrinsic(_load_non_digits)


@inlined
def view_of(buffer: Any) -> Any:
    """Return the view of a uint8 array, which the caller keeps alive."""
    return np.intp(buffer.ctypes.data), buffer.shape[0]


@inlined
def _address(view: Any, at: Any, width: Any) -> Any:
    if CHECKED and (at < 0 or at + width > view[1]):
        raise IndexError("a load beyond the end of a buffer")
    return view[0] + at


@inlined
def byte_at(view: Any, at: Any) -> Any:
    """Return the byte at an offset."""
    return _load_u8(_address(view, at, 1))


@inlined
def u32_at(view: Any, at: Any) -> Any:
    """Return four bytes at an offset as a little-endian number."""
    return _load_u32(_address(view, at, 4))


@inlined
def u64_at(view: Any, at: Any) -> Any:
    """Return eight bytes at an offset as a little-endian number."""
    return _load_u64(_address(view, at, 8))


@inlined
def non_digits_at(view: Any, at: Any) -> Any:
    """Return the non-digits of the 32 bytes at an offset as bits of a uint32, the first byte's lowest."""
    return _load_non_digits_32(_address(view, at, 32))


# ---- bits ----------------------------------------------------------------------------------------------------------


def _zeros_intrinsic(operation: str) -> Any:
    """Return an intrinsic that counts the zero bits at one end of a uint64; 64 for 0."""

    @intrinsic
    def count(typingctx: Any, value: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return getattr(builder, operation)(args[0], ir.Constant(ir.IntType(1), 0))

        return types.uint64(types.uint64), codegen

    return count


def _high_product(typingctx: Any, a: Any, b: Any) -> Any:
    """Return the upper 64 bits of the product of two uint64."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        wide = ir.IntType(128)
        product = builder.mul(builder.zext(args[0], wide), builder.zext(args[1], wide))
        return builder.trunc(builder.lshr(product, ir.Constant(wide, 64)), ir.IntType(64))

    return types.uint64(types.uint64, types.uint64), codegen


trailing_zeros, leading_zeros = _zeros_intrinsic("cttz"), _zeros_intrinsic("ctlz")
high_product: Any = intrinsic(_high_product)


def _bitcast_intrinsic(from_type: Any, to_type: Any) -> Any:
    """Return an intrinsic that reinterprets the bits of one number type as another."""

    @intrinsic
    def bitcast(typingctx: Any, value: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return builder.bitcast(args[0], context.get_value_type(to_type))

        return to_type(from_type), codegen

    return bitcast


float32_of_bits = _bitcast_intrinsic(types.uint32, types.float32)
float64_of_bits = _bitcast_intrinsic(types.uint64, types.float64)
