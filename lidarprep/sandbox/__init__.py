"""A local Scale API over HTTP, for trying and testing without an account.

    with running_sandbox() as sandbox:
        task = ScaleClient("test_key", sandbox.url).create_multistage(…)

store.py keeps the tasks, answers.py gives them their shape, app.py speaks HTTP, server.py runs it. The server needs the
`sandbox` extra, which is asked for only when it is used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from lidarprep.sandbox.store import SandboxStore

if TYPE_CHECKING:
    from lidarprep.sandbox.app import create_app
    from lidarprep.sandbox.server import Sandbox, running_sandbox, serve

__all__ = ["Sandbox", "SandboxStore", "create_app", "running_sandbox", "serve"]

_HOMES = {"create_app": "app", "Sandbox": "server", "running_sandbox": "server", "serve": "server"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
