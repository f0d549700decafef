"""Settings of the C library's allocator for commands that work on many frames at once."""

from __future__ import annotations

import ctypes

# Parameters of mallopt(3), and their values in bytes, the last in arenas. A frame's columns and buffers stay below the
# first, so that the next frame reuses their pages; larger ones are mapped, and unmapped when they are freed. Beyond the
# second, free memory goes back to the system. By default each thread has an arena of its own: with 16 threads the gaps
# between such blocks take as much memory again as the blocks do, while two arenas take 5 % more.
_SETTINGS = {
    -3: 32 << 20,  # M_MMAP_THRESHOLD, the largest that is allowed
    -1: 128 << 20,  # M_TRIM_THRESHOLD
    -8: 2,  # M_ARENA_MAX
}


def configure_malloc() -> None:
    """Let frames reuse the memory of those before them, within bounds; without effect beside the GNU C library."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for parameter, value in _SETTINGS.items():
            mallopt(parameter, value)
