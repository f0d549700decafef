"""Compilation of kernels, and the cache of their machine code.

Numba caches machine code by the file of the outermost kernel alone, and misses changes in functions compiled into it.
So the cache folder is named by a digest of all of this package's sources.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import shutil
import stat
import tempfile
import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numba
from numba.core import event

_HERE = Path(__file__).parent

# Threads import kernels at the same time, and Numba's setting is one for all: without it, machine code came to lie in
# the working directory.
_DECORATING = threading.Lock()


def _only_ours(folder: Path) -> bool:
    """Return whether only this user, or root, can write into the folder."""
    if not hasattr(os, "getuid"):
        return True  # without POSIX permissions
    status = folder.lstat()
    return status.st_uid in (os.getuid(), 0) and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


@cache
def cache_folder() -> Path:
    """Return the cache folder of these sources: beside them, in the user's cache, or for this process only.

    Numba runs the code in its cache, so a folder that others can write to is never used. NUMBA_CACHE_DIR has priority.
    """
    sources = [path.read_bytes() for path in sorted(_HERE.glob("*.py"))]
    checked = bool(getattr(numba.config, "BOUNDSCHECK", None))  # changes what is compiled
    digest = hashlib.sha256(b"\0".join([*sources, b"checked" if checked else b""])).hexdigest()[:16]
    named = os.environ.get("NUMBA_CACHE_DIR")
    if named:
        return Path(named) / f"lidarprep-{digest}"
    user_cache = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    for folder in (_HERE / "__pycache__", Path(user_cache) / "lidarprep"):
        candidate = folder / f"kernels-{digest}"
        try:
            candidate.mkdir(mode=0o700, parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=candidate):
                pass
        except OSError:
            continue
        if _only_ours(candidate) and _only_ours(folder):
            return candidate
    fallback = Path(tempfile.mkdtemp(prefix="lidarprep-kernels-"))
    atexit.register(shutil.rmtree, fallback, ignore_errors=True)
    return fallback


class _FirstCompile(event.Listener):
    """Calls back once, before the first kernel of this package is compiled rather than loaded from the cache."""

    def __init__(self, tell: Callable[[], None]) -> None:
        self._tell: Callable[[], None] | None = tell

    def on_start(self, event: Any) -> None:
        """Handle the start of a compilation."""
        if self._tell is not None and event.data["dispatcher"].py_func.__module__.startswith(f"{__package__}."):
            tell, self._tell = self._tell, None
            tell()

    def on_end(self, event: Any) -> None:
        """Handle the end of a compilation."""


def tell_of_compiling(tell: Callable[[], None]) -> None:
    """Call `tell` once, if and when this process has to compile one of these kernels, which takes seconds."""
    event.register("numba:compile", _FirstCompile(tell))


def _compiled(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    def compile_lazily(function: Callable[..., Any]) -> Any:
        # Numba chooses a function's cache when it is decorated. Other code in this process keeps its own folder.
        settings: Any = numba.config
        with _DECORATING:
            before = settings.CACHE_DIR
            settings.CACHE_DIR = str(cache_folder())
            try:
                return numba.njit(nogil=True, cache=True, **options)(function)
            finally:
                settings.CACHE_DIR = before

    return compile_lazily


# `nogil`, so that frames run in threads. Never `parallel=True`: it is not safe to enter from several threads at once
# under Numba's default threading layer.
kernel = _compiled()

# For loops that divide: x / 0 is infinity or NaN and raises nothing, which would keep them from vector instructions.
vectorised = _compiled(error_model="numpy")

# For small functions: compiled into their callers, so that loops contain no calls.
inlined = _compiled(forceinline=True)
