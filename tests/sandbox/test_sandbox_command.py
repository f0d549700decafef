"""The blocking server, and the sandbox where its libraries are missing."""

import importlib
import signal
import subprocess
import sys

import httpx
import pytest

from lidarprep.errors import MissingExtraError

SERVE = """
from lidarprep.sandbox import serve
serve(0, ":memory:", on_start=lambda url: print(url, flush=True))
print("ended", flush=True)
"""


def test_serve_says_its_address_and_ends_quietly_when_interrupted() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", SERVE], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as server:
        try:
            assert server.stdout is not None
            url = server.stdout.readline().strip()
            response = httpx.get(f"{url}/tasks", auth=("test_key", ""), trust_env=False, timeout=30)
            assert response.json()["total"] == 0
            server.send_signal(signal.SIGINT)
            rest, errors = server.communicate(timeout=30)
        finally:
            server.kill()
    assert (rest, server.returncode) == ("ended\n", 0)
    assert "Traceback" not in errors


@pytest.mark.parametrize(("library", "module"), [("starlette.applications", "app"), ("uvicorn", "server")])
def test_without_its_libraries_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, library: str, module: str) -> None:
    sandbox = importlib.import_module("lidarprep.sandbox")
    monkeypatch.setitem(sys.modules, library, None)
    for name in ("app", "server"):
        monkeypatch.delitem(sys.modules, f"lidarprep.sandbox.{name}", raising=False)
    with pytest.raises(MissingExtraError, match=r"pip install 'lidarprep\[sandbox\]'"):
        getattr(sandbox, "create_app" if module == "app" else "running_sandbox")


def test_the_package_itself_loads_neither_server_nor_framework() -> None:
    script = "import sys, lidarprep.sandbox; print([m for m in ('starlette', 'uvicorn') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_name_that_it_does_not_have_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'start'"):
        importlib.import_module("lidarprep.sandbox").start  # noqa: B018
