"""Azurite, Microsoft's emulator of Azure Blob Storage (npm), as a process of its own; and requests without any client.

It is installed once into a folder of the checkout. Its shortcomings: it looks neither at rules of the container nor at
the time that a SAS may be used from, and tells no version of an object but its ETag.
"""

from __future__ import annotations

import atexit
import base64
import fcntl
import hashlib
import hmac
import re
import shutil
import subprocess
from email.utils import formatdate
from functools import cache
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

_PACKAGE = "azurite@3.35.0"
_FOLDER = Path(__file__).resolve().parents[2] / "build" / "azurite"
_INSTALL_S = 300

ACCOUNT = "devstoreaccount1"

# Of every emulator; see https://learn.microsoft.com/en-us/azure/storage/common/storage-connect-azurite.
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="

# It ends with the process that has started it, however that ends: then its input does.
_SCRIPT = "process.stdin.on('end', () => process.exit()).resume(); require(process.argv[1])"


@cache
def server() -> str:
    """Start an emulator, one a process, and return the address of its account; skip the test where there is none."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("there is no Node.js to run Azurite by")
    main = _installed()
    arguments = ["--blobHost", "127.0.0.1", "--blobPort", "0", "--inMemoryPersistence", "--silent"]
    arguments += ["--skipApiVersionCheck", "--disableTelemetry"]
    process = subprocess.Popen(
        [node, "-e", _SCRIPT, str(main), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    atexit.register(_end, process)
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        said.append(line)
        if "successfully listens on" in line:
            return f"{line.split()[-1]}/{ACCOUNT}"
    raise AssertionError(f"Azurite does not start: {''.join(said)}")


def _end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def _installed() -> Path:
    """Return the file that Azurite is started by; install it first, if it is not there."""
    npm = shutil.which("npm")
    main = _FOLDER / "node_modules/azurite/dist/src/blob/main.js"
    _FOLDER.mkdir(parents=True, exist_ok=True)
    with (_FOLDER / "lock").open("w") as lock:  # other workers of the tests want it at the same time
        fcntl.flock(lock, fcntl.LOCK_EX)
        complete = _FOLDER / _PACKAGE
        if not complete.exists():
            if npm is None:
                pytest.skip("there is no npm to install Azurite by")
            (_FOLDER / "package.json").write_text("{}")
            command = [npm, "install", _PACKAGE, "--ignore-scripts", "--omit=optional", "--no-audit", "--no-fund"]
            try:
                subprocess.run(command, cwd=_FOLDER, check=True, capture_output=True, timeout=_INSTALL_S)
            except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
                pytest.skip(f"Azurite cannot be installed: {error}")
            complete.touch()
    return main


def request(method: str, key: str, query: dict[str, str] | None = None) -> tuple[int, dict[str, str], bytes]:
    """Make one request with the account's key, by no client of Azure; return status, headers and the raw body.

    As https://learn.microsoft.com/en-us/rest/api/storageservices/authorize-with-shared-key says.
    """
    path = f"/{quote(key)}"
    headers = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": "2021-12-02"}
    signed = "".join(f"{name}:{value}\n" for name, value in sorted(headers.items()))
    resource = f"/{ACCOUNT}/{ACCOUNT}{path}" + "".join(f"\n{n}:{v}" for n, v in sorted((query or {}).items()))
    text = f"{method}\n\n\n\n\n\n\n\n\n\n\n\n{signed}{resource}"
    digest = hmac.new(base64.b64decode(KEY), text.encode(), hashlib.sha256).digest()
    headers["Authorization"] = f"SharedKey {ACCOUNT}:{base64.b64encode(digest).decode()}"
    with httpx.stream(method, f"{server()}{path}", params=query, headers=headers, timeout=30) as answer:
        return answer.status_code, dict(answer.headers), b"".join(answer.iter_raw())


def keys(container: str) -> set[str]:
    """Return the names of all blobs of a container."""
    _, _, body = request("GET", container, {"restype": "container", "comp": "list"})
    return set(re.findall(r"<Name>([^<]+)</Name>", body.decode()))


def make_empty(container: str) -> None:
    """Make a container, or delete all that is in it."""
    status, _, _ = request("PUT", container, {"restype": "container"})
    if status == httpx.codes.CONFLICT:
        for key in keys(container):
            request("DELETE", f"{container}/{key}")
