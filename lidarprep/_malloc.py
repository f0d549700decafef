"""Settings of the C library's allocator, for processes that prepare frames."""

from __future__ import annotations

# Parameters of mallopt(3), and their values in bytes, the last in arenas. Columns of most frames stay below the first,
# so that the next frame reuses their pages. Larger blocks, like encoded frames, are mapped, and unmapped when they are
# freed: at 32 MB the gaps between them take 80 MB more, for no less CPU time. Beyond the second, free memory goes back
# to the system. By default each thread has an arena of its own, with gaps of its own.
_MALLOC_SETTINGS = {
    -3: 8 << 20,  # M_MMAP_THRESHOLD
    -1: 128 << 20,  # M_TRIM_THRESHOLD
    -8: 2,  # M_ARENA_MAX
}


def configure_malloc() -> None:
    """Let frames reuse the memory of those before them, within bounds; without effect beside the GNU C library."""
    import ctypes

    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for parameter, value in _MALLOC_SETTINGS.items():
            mallopt(parameter, value)
