"""The parsing kernels, compiled with Numba's bounds checks, read every malformed file without a step beyond its end."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest

from lidarprep.attachments import frame_json, lidar_frame
from lidarprep.errors import FormatError
from tests.attachments.mutations import mutated
from tests.attachments.test_frame_json_malformed import fuzzed
from tests.attachments.valid import SMALL_FRAME

ROOT = Path(__file__).resolve().parents[2]


def corpus() -> int:
    """Decode all of it; an access out of bounds is an IndexError here. Returns how many files there were."""
    in_json, in_protobuf = frame_json.encode(SMALL_FRAME), lidar_frame.encode(SMALL_FRAME)
    tasks = [(frame_json.decode, [*(in_json[:n] for n in range(len(in_json) + 1)), *fuzzed(2000, seed=7)])]
    tasks += [(lidar_frame.decode, [*(in_protobuf[:n] for n in range(len(in_protobuf) + 1)), *mutated(2000, seed=7)])]
    for decode, files in tasks:
        for data in files:
            try:
                decode(data)
            except FormatError:
                continue
    return sum(len(files) for _, files in tasks)


@pytest.mark.trial  # compiles each of them again
def test_no_kernel_that_parses_reads_out_of_bounds(request: pytest.FixtureRequest) -> None:
    cache = request.config.cache
    assert cache is not None
    environment = os.environ | {
        "NUMBA_BOUNDSCHECK": "1",
        # A folder of its own, so that checked and unchecked kernels don't mix; kept, so that only one run compiles.
        "NUMBA_CACHE_DIR": str(cache.mkdir("numba-bounds-checked")),
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "-W", "error", "-m", "tests.attachments.test_bounds_checked"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout) > 4000


if __name__ == "__main__":
    with pytest.raises(IndexError):
        numba.njit(lambda array: array[1])(np.zeros(1))
    print(corpus())
