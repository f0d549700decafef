"""`lidarprep warm-up`."""

from __future__ import annotations

import time

from lidarprep.cli.console import say
from lidarprep.cli.progress import progress


def command() -> None:
    """Compile everything now, so that no later run has to: once a machine, or when an image is built."""
    from lidarprep.kernels.jit import cache_folder
    from lidarprep.warm_up import warm_up

    start = time.perf_counter()
    with progress("compiling", "kernels") as bar:
        warm_up(bar.reach)
    say(f"every kernel is compiled, in {time.perf_counter() - start:.0f} s, and kept in {cache_folder()}")
