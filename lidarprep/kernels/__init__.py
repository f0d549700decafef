"""Numba kernels: arrays in, arrays out. Nothing here imports anything else of this package."""

# The columns that a point of an attachment may have, as bits of what a reader saw.
HAS_X, HAS_Y, HAS_Z, HAS_I, HAS_D, HAS_T, HAS_GROUND = 1, 2, 4, 8, 16, 32, 64
