"""Child processes that are timed and weighed, and a server that speaks S3 in a process of its own."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO
from urllib.error import URLError
from urllib.request import Request, urlopen

# A small process between this one and what is weighed: the kernel counts a process's memory from the fork on, when it
# still is its parent's.
_LAUNCHER = """
import json, resource, subprocess, sys, time
start = time.perf_counter()
code = subprocess.run(sys.argv[2:], stdin=subprocess.DEVNULL).returncode
seconds = time.perf_counter() - start
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
with open(sys.argv[1], "w") as file:
    json.dump([code, seconds, peak], file)
"""

ACCOUNT = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_DEFAULT_REGION": "us-east-1"}


@dataclass(frozen=True)
class Ran:
    """How a process went.

    Args:
        seconds: From its start to its end.
        peak_bytes: The most memory that it, or one of its children, had resident.
        stdout: What it printed.
    """

    seconds: float
    peak_bytes: int
    stdout: str


def run(command: Sequence[str | Path], scratch: Path) -> Ran:
    """Runs a command, once what earlier ones have written is on the disk; raises what it says if it fails."""
    os.sync()
    result = scratch / "result.json"
    # What runs before has left compiled is used, as it is of whatever is installed.
    environment = os.environ | ACCOUNT | {"PYTHONPYCACHEPREFIX": str(scratch / "bytecode")}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    child = subprocess.run(
        [sys.executable, "-S", "-E", "-c", _LAUNCHER, result, *command],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    code, seconds, peak = json.loads(result.read_text())
    if code:
        raise SystemExit(f"{command} ended with {code}:\n{child.stderr}")
    return Ran(seconds, peak, child.stdout)


def prepare(recording: Path, out: str | Path, scratch: Path, *options: str) -> Ran:
    """Runs `lidarprep prepare` as a user does."""
    return run([sys.executable, "-m", "lidarprep", "prepare", recording, "--out", out, *options], scratch)


@contextmanager
def s3_server(*, log: TextIO | None = None) -> Iterator[str]:
    """The URL of moto's server in another process, for as long as the `with` statement lasts; it logs its requests."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        env=os.environ | ACCOUNT,
        stdout=subprocess.DEVNULL,
        stderr=log or subprocess.DEVNULL,
    )
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_for(f"{url}/moto-api/data.json", process)
        yield url
    finally:
        process.terminate()
        process.wait()


def empty(server: str) -> None:
    """Takes everything off the server."""
    with urlopen(Request(f"{server}/moto-api/reset", method="POST")) as response:
        response.read()


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(300):
        if process.poll() is not None:
            raise SystemExit("moto's server ended at once; is moto[s3,server] installed?")
        try:
            with urlopen(url) as response:
                response.read()
            return
        except URLError:
            time.sleep(0.1)
    raise SystemExit("moto's server does not answer")
