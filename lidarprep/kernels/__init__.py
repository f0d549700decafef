"""Numba kernels: arrays in, arrays out. They import nothing of ours, and release the GIL."""
