"""Looks for bytes that a reader answers with anything but a result or a FormatError.

    python -m tests.fuzz.explore TARGET CORPUS [--seconds S]

With atheris the search is guided by what is executed. Run it with NUMBA_DISABLE_JIT=1: the parsing kernels then are
Python, whose branches atheris sees. Without it a seeded loop changes the files of the corpus at random, through the
compiled kernels. NUMBA_BOUNDSCHECK=1 makes a look beyond an array an error in both. A finding goes to CORPUS.found/.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import resource
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

# What a reader may take for a few kB, beside what the process has: enough for any but a size that was believed.
ROOM_BYTES = 1 << 30
LARGEST_INPUT = 4096

_NUMBERS = [b"0", b"-1", b"1e999", b"4294967296", b"9223372036854775808", b"1000000000", b"NaN", b"null", b'""', b"[]"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target")
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--without-atheris", action="store_true")
    arguments = parser.parse_args()
    found = arguments.corpus.with_name(f"{arguments.corpus.name}.found")
    found.mkdir(parents=True, exist_ok=True)
    try:
        atheris: Any = None if arguments.without_atheris else import_module("atheris")
    except ImportError:
        print("atheris is not installed: changing files at random instead", file=sys.stderr)
        atheris = None
    if atheris is None:
        mutate(import_target(arguments.target), arguments.corpus, found, arguments.seconds)
        return
    with atheris.instrument_imports(include=["lidarprep", "plyfile"]):
        target = import_target(arguments.target)
    limit_memory()
    options = [f"-max_total_time={arguments.seconds}", f"-artifact_prefix={found}/", f"-max_len={LARGEST_INPUT}"]
    atheris.Setup([sys.argv[0], *options, "-timeout=20", "-rss_limit_mb=4096", str(arguments.corpus)], target)
    atheris.Fuzz()


def import_target(name: str) -> Callable[[bytes], None]:
    if os.environ.get("NUMBA_DISABLE_JIT") == "1":
        import_module("tests.fuzz.as_python").install()
    target: Callable[[bytes], None] = import_module("tests.fuzz.targets").TARGETS[name]
    return target


def limit_memory() -> None:
    """Memory beyond a bound becomes a MemoryError, which is a finding."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + ROOM_BYTES, resource.RLIM_INFINITY))


def mutate(target: Callable[[bytes], None], corpus: Path, found: Path, seconds: float, seed: int = 0) -> None:
    """Changes the corpus at random, the same way each time for one seed, and stops at what the target can't take."""
    files = [path.read_bytes() for path in sorted(corpus.iterdir())]
    for data in files:
        try_one(target, data, found)
    limit_memory()
    rng, end, count = random.Random(seed), time.monotonic() + seconds, 0
    while time.monotonic() < end:
        try_one(target, changed(rng, files), found)
        count += 1
    print(f"{count} changed files, nothing found")


def try_one(target: Callable[[bytes], None], data: bytes, found: Path) -> None:
    try:
        target(data)
    except Exception:
        path = found / f"crash-{hashlib.sha1(data).hexdigest()}"
        path.write_bytes(data)
        print(f"found: {path}", file=sys.stderr)
        raise


def changed(rng: random.Random, files: list[bytes]) -> bytes:
    data = bytearray(rng.choice(files))
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(data) + 1)
        how = rng.randrange(6)
        if how == 0:
            data[at : at + 1] = bytes([rng.randrange(256)])
        elif how == 1:
            del data[at : at + rng.randint(1, 16)]
        elif how == 2:
            data[at : at + rng.randint(0, 4)] = rng.choice(_NUMBERS)
        elif how == 3:
            start = rng.randrange(len(data) + 1)
            data[at:at] = data[start : start + rng.randint(1, 64)]
        elif how == 4:
            other = rng.choice(files)
            data[at:] = other[rng.randrange(len(other) + 1) :]
        elif data:
            at = min(at, len(data) - 1)
            data[at] ^= 1 << rng.randrange(8)
    return bytes(data)


if __name__ == "__main__":
    main()
