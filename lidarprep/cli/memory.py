"""Memory that is freed goes back to the system."""

from __future__ import annotations

import ctypes

# mallopt(3): the size from which memory is had from the system, and given back to it, piece by piece.
_M_MMAP_THRESHOLD = -3
_FROM = 1 << 20


def give_back_what_is_freed() -> None:
    """Lets the C library keep no large piece that is freed for later.

    It raises the size from which it does so to that of the largest piece that was freed, up to 32 MB; then each thread
    keeps pieces of frames' size for itself, between which there are gaps: with 16 threads twice of what is in use.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # the GNU library's
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _FROM)
