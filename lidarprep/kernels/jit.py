"""How every kernel here is compiled."""

from __future__ import annotations

import numba

# `nogil`, so that frames run in threads; `cache`, so that only the first run ever compiles. Never `parallel=True`: it
# is not safe to enter from several threads at once under Numba's default threading layer.
kernel = numba.njit(nogil=True, cache=True)

# For the small parts that kernels are made of: compiled into their callers, so that no call is left in a loop.
inlined = numba.njit(nogil=True, cache=True, forceinline=True)
