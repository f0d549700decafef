"""The kernels as Python, so that a fuzzer sees their branches: what only machine code can do is put in place here.

With NUMBA_DISABLE_JIT=1 Numba leaves functions as they are, but for its intrinsics, which then cannot be called.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np


def install() -> None:
    """Gives the kernels' memory module loads, stores and bit operations in Python; before any kernel is imported."""
    from lidarprep.kernels import memory

    # A byte becomes an int64 as soon as it meets a number in compiled code; NumPy would keep it a byte, and wrap.
    loads = {"_load_u8": (1, np.int64), "_load_u32": (4, np.uint32), "_load_u64": (8, np.uint64)}
    stores = {"u8": "u1", "u32": "<u4", "u64": "<u8", "f32": "<f4", "f64": "<f8"}
    pieces: dict[str, Any] = {name: _load(*what) for name, what in loads.items()}
    pieces |= {f"store_{name}": _store(dtype) for name, dtype in stores.items()}
    pieces |= {
        "_load_non_digits_32": _non_digits,
        "trailing_zeros": lambda value: np.uint64((int(value) & -int(value)).bit_length() - 1 if value else 64),
        "leading_zeros": lambda value: np.uint64(64 - int(value).bit_length()),
        "high_product": lambda a, b: np.uint64(int(a) * int(b) >> 64),
        "float32_of_bits": lambda bits: np.uint32(bits).view(np.float32),
        "float64_of_bits": lambda bits: np.uint64(bits).view(np.float64),
    }
    for name, piece in pieces.items():
        if hasattr(memory, name):
            setattr(memory, name, piece)


def _load(width: int, make: Callable[[int], Any]) -> Callable[[int], Any]:
    return lambda address: make(int.from_bytes(ctypes.string_at(int(address), width), "little"))


def _non_digits(address: int) -> np.uint32:
    text = ctypes.string_at(int(address), 32)
    return np.uint32(sum(1 << k for k, byte in enumerate(text) if not 48 <= byte <= 57))


def _store(dtype: str) -> Callable[[int, Any], None]:
    def store(address: int, value: Any) -> None:
        data = np.asarray(value).astype(dtype).tobytes()
        ctypes.memmove(int(address), data, len(data))

    return store
