"""Receives the results that Scale posts to a task's callback_url, and keeps them.

    store = open_callback_store("callbacks.db")                    # or a folder of JSON files
    app = create_app(store, auth_key, on_callback=take_in)         # ASGI: serve it, or mount it in an app of your own
    for callback in store: ...                                     # what came, in any process

callback.py says what a callback is, store.py where it is kept, handling.py what is done for each, app.py speaks HTTP,
server.py runs it. The HTTP side needs the `callbacks` extra, which is asked for only when it is used.

The reference promises that a callback which is not answered with 200 is sent again, up to 20 times within 24 hours. So
200 is answered once a callback is on disk, and never before; and the same callback may come more than once.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from lidarprep.callbacks.callback import Callback
from lidarprep.callbacks.handling import CallbackHandler, Command, CommandFailedError
from lidarprep.callbacks.store import CallbackStore, open_callback_store

if TYPE_CHECKING:
    from lidarprep.callbacks.app import AuthKeys, create_app
    from lidarprep.callbacks.server import CallbackServer, running_callbacks, serve

__all__ = [
    "AuthKeys",
    "Callback",
    "CallbackHandler",
    "CallbackServer",
    "CallbackStore",
    "Command",
    "CommandFailedError",
    "create_app",
    "open_callback_store",
    "running_callbacks",
    "serve",
]

_HOMES = {
    "AuthKeys": "app",
    "create_app": "app",
    "CallbackServer": "server",
    "running_callbacks": "server",
    "serve": "server",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
