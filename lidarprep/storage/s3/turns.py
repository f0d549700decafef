"""Requests take turns in boto's adaptive limiter, so that those that wait can be told to stop.

After a SlowDown the limiter lets as little as a request in two seconds through, and there is no way to call back what
waits in it: a dozen threads would keep a run that has failed for half a minute.
"""

from __future__ import annotations

from threading import Lock
from typing import Any

from botocore.exceptions import ConnectionError
from botocore.retries.adaptive import register_retry_handler

from lidarprep.storage.s3.retries import Patience

_LOOK_S = 0.1


class Turns:
    """Makes a client adaptive, as its mode "adaptive" would, with the limiter behind a gate.

    Args:
        client: The client, in mode "standard".
        patience: Knows whether the store is being stopped.
    """

    def __init__(self, client: Any, patience: Patience) -> None:
        self._patience = patience
        self._turn = Lock()
        self._limiter = register_retry_handler(client)
        client.meta.events.unregister("before-send", self._limiter.on_sending_request)
        client.meta.events.register("before-send", self._in_turn)

    def _in_turn(self, request: Any, **arguments: Any) -> None:
        while not self._turn.acquire(timeout=_LOOK_S):
            if self._patience.has_ended:
                raise ConnectionError(error="the store is being stopped")
        try:
            self._limiter.on_sending_request(request, **arguments)
        finally:
            self._turn.release()
