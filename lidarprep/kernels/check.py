"""Whether a whole column is as it should be, in one pass."""

from __future__ import annotations

from typing import Any

from lidarprep.kernels.jit import kernel


@kernel
def all_within(values: Any, lowest: Any, highest: Any) -> Any:
    """Whether every one of `values` (N,) float32 lies from `lowest` to `highest`; what is not a number does not.

    Without an early end, so that it compiles to vector instructions.
    """
    within = True
    for row in range(values.shape[0]):
        within &= (values[row] >= lowest) & (values[row] <= highest)
    return within
