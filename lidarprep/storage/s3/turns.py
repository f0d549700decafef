"""Requests take turns in boto's adaptive limiter, so that those that wait can be told to stop.

After a SlowDown the limiter lets as little as a request in two seconds through, and there is no way to call back what
waits in it: a dozen threads would keep a run that has failed for half a minute.
"""

from __future__ import annotations

from threading import Lock
from typing import Any

from botocore.exceptions import ConnectionError

from lidarprep.storage.s3.retries import Patience

_LOOK_S = 0.1


class Turns:
    """Those of one client.

    Args:
        client: The client, in adaptive mode.
        patience: Knows whether the store is being stopped.
    """

    def __init__(self, client: Any, patience: Patience) -> None:
        self._patience = patience
        self._turn = Lock()
        # Around boto's own handler of the same event.
        client.meta.events.register_first("before-send", self._take)
        client.meta.events.register_last("before-send", self._give)

    def _take(self, **_: Any) -> None:
        while not self._turn.acquire(timeout=_LOOK_S):
            if self._patience.has_ended:
                raise ConnectionError(error="the store is being stopped")

    def _give(self, **_: Any) -> None:
        self._turn.release()
