"""A local Scale API over HTTP, for trying and testing without an account.

    with running_sandbox() as sandbox:
        task = ScaleClient("test_key", sandbox.url).create_multistage(…)

app.py lists the endpoints, which are in creating.py and task_endpoints.py (the API's) and in control.py (the sandbox's
own, for what labellers do). lifecycle.py moves tasks on with all that follows; store.py keeps them in SQLite.
background.py does what comes by itself: attachment_check.py, callbacks.py. fault_middleware.py makes the faults that
faults.py chooses, and server.py runs it all. The server needs the `sandbox` extra, which is asked for only when it is
used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from lidarprep.sandbox.faults import FAULT_KINDS, Faults
from lidarprep.sandbox.options import SandboxOptions
from lidarprep.sandbox.store import SandboxStore

if TYPE_CHECKING:
    from lidarprep.sandbox.app import create_app
    from lidarprep.sandbox.lifecycle import Lifecycle
    from lidarprep.sandbox.server import Sandbox, running_sandbox, serve

__all__ = [
    "FAULT_KINDS",
    "Faults",
    "Lifecycle",
    "Sandbox",
    "SandboxOptions",
    "SandboxStore",
    "create_app",
    "running_sandbox",
    "serve",
]

_HOMES = {
    "Lifecycle": "lifecycle",
    "create_app": "app",
    "Sandbox": "server",
    "running_sandbox": "server",
    "serve": "server",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
