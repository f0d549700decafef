"""The connections that requests go by, so that a run that is stopped need not wait for the answers."""

from __future__ import annotations

import contextlib
import socket
from threading import Lock
from typing import Any
from weakref import WeakSet


class Connections:
    """Those of one client.

    boto has no way to end a request that is under way. What is asked of its own here has had the same form since it
    came to use urllib3 2; where it has another, requests are waited for.

    Args:
        client: The client, before its first request.
    """

    def __init__(self, client: Any) -> None:
        self._open: WeakSet[Any] = WeakSet()
        self._lock = Lock()
        with contextlib.suppress(AttributeError):
            manager = client._endpoint.http_session._manager
            manager.pool_classes_by_scheme = {
                scheme: type(pool.__name__, (pool,), {"ConnectionCls": self._noted(pool.ConnectionCls)})
                for scheme, pool in manager.pool_classes_by_scheme.items()
            }

    def cut(self) -> None:
        """Lets every request that is under way fail at once; later ones make new connections."""
        with self._lock:
            found = list(self._open)
        for connection in found:
            if isinstance(connection.sock, socket.socket):
                with contextlib.suppress(OSError):  # closed by now
                    socket.socket.shutdown(connection.sock, socket.SHUT_RDWR)  # below TLS, which would wait

    def _noted(self, kind: type[Any]) -> type[Any]:
        def connect(connection: Any) -> None:
            with self._lock:
                self._open.add(connection)
            kind.connect(connection)

        return type(kind.__name__, (kind,), {"connect": connect})
