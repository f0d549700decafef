"""Checks the shortest text of every finite float32, all 2^32 of them, against the C++ standard library.

    python benchmarks/every_float32.py [--from BITS] [--to BITS]

For each: the text reads back as the same float32, also through float64, and has the digits of std::to_chars, but where
those would be misread through float64. Needs g++.
"""

from __future__ import annotations

import argparse
import ctypes
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cpp_library
import numba
import numpy as np
from rich.progress import track

from lidarprep.kernels.frame_json_writer import write_shortest

BLOCK = 1 << 20


@numba.njit(nogil=True)  # type: ignore[untyped-decorator]
def write_rows(values: Any, out: Any, size: Any) -> None:
    start = np.intp(out.ctypes.data)
    for row in range(values.shape[0]):
        at = start + 32 * row
        size[row] = write_shortest(at, values[row]) - at


def check(library: ctypes.CDLL, first: int) -> None:
    bits = np.arange(first, first + BLOCK, dtype=np.uint64).astype(np.uint32)
    bits = bits[np.isfinite(bits.view(np.float32))]
    if not bits.size:
        return
    rows, size = np.empty(32 * bits.size + 64, dtype=np.uint8), np.empty(bits.size, dtype=np.int32)
    write_rows(bits.view(np.float32), rows, size)
    wrong = library.first_wrong(
        *(ctypes.c_void_p(a.ctypes.data) for a in (bits, rows, size)), ctypes.c_int64(bits.size)
    )
    if wrong >= 0:
        text = rows[32 * wrong : 32 * wrong + size[wrong]].tobytes()
        raise SystemExit(f"float32 {bits[wrong]:#010x} ({bits.view(np.float32)[wrong]!r}) is written {text!r}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--from", dest="first", type=lambda text: int(text, 0), default=0)
    parser.add_argument("--to", dest="last", type=lambda text: int(text, 0), default=1 << 32)
    arguments = parser.parse_args()
    with TemporaryDirectory() as folder, ThreadPoolExecutor(2) as pool:
        cpp_library.build(Path(folder))
        library = cpp_library.load(Path(folder))
        if library is None:
            raise SystemExit("g++ is not installed")
        starts = range(arguments.first, arguments.last, BLOCK)
        for _ in track(pool.map(lambda first: check(library, first), starts), total=len(starts)):
            pass
    print(f"every finite float32 from {arguments.first:#x} to {arguments.last:#x} is right")


if __name__ == "__main__":
    main()
