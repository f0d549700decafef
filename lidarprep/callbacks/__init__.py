"""Receive the results that Scale posts to a task's callback_url, and keep them.

    store = open_callback_store("callbacks.db")
    app = create_app(store, auth_key, on_callback=take_in)         # ASGI: serve it, or mount it in an app of your own
    for callback in store: ...                                     # what arrived, in any process

Scale repeats a callback that is not answered with 200, up to 20 times within 24 hours. So the server answers 200 once a
callback is on disk, never before; and the same callback may arrive more than once.

Each name is imported when it is first used.
"""

from typing import TYPE_CHECKING

import lazy_loader  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from lidarprep.callbacks._app import AuthKeys as AuthKeys
    from lidarprep.callbacks._app import CallbackServer as CallbackServer
    from lidarprep.callbacks._app import create_app as create_app
    from lidarprep.callbacks._app import running_callbacks as running_callbacks
    from lidarprep.callbacks._app import serve as serve
    from lidarprep.callbacks._handling import AUTH_VARIABLE as AUTH_VARIABLE
    from lidarprep.callbacks._handling import CallbackHandler as CallbackHandler
    from lidarprep.callbacks._handling import Command as Command
    from lidarprep.callbacks._handling import CommandFailedError as CommandFailedError
    from lidarprep.callbacks._handling import handle_unhandled as handle_unhandled
    from lidarprep.callbacks._store import Callback as Callback
    from lidarprep.callbacks._store import CallbackStore as CallbackStore
    from lidarprep.callbacks._store import open_callback_store as open_callback_store

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "_app": ["AuthKeys", "CallbackServer", "create_app", "running_callbacks", "serve"],
        "_handling": ["AUTH_VARIABLE", "CallbackHandler", "Command", "CommandFailedError", "handle_unhandled"],
        "_store": ["Callback", "CallbackStore", "open_callback_store"],
    },
)
