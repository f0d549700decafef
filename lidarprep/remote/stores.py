"""The stores that this process reads from: each is opened once, unless many others have been used since."""

from __future__ import annotations

import os
import re
import threading
from collections import OrderedDict
from typing import Any

from lidarprep.errors import MissingExtraError, StorageError
from lidarprep.remote.address import StoreAddress
from lidarprep.remote.bucket import Bucket
from lidarprep.remote.store import RemoteStore
from lidarprep.remote.web import WebServer

_stores: OrderedDict[tuple[Any, ...], RemoteStore] = OrderedDict()
_lock = threading.Lock()
_runtime_of: int | None = None

# Stores that are kept open; each signed URL is one.
_MOST_STORES = 64

# What stores are opened by, beside their addresses.
_ENVIRONMENT = re.compile(r"(AWS|GOOGLE|AZURE|STORAGE_EMULATOR)_\w+")


def shared_store(address: StoreAddress) -> RemoteStore:
    """Return this process's store of an address, opened when it is first asked for.

    Raises:
        StorageError: It cannot be reached with the credentials that there are; or this process was forked from one that
            had reached a store.
        MissingExtraError: obstore is not installed.
    """
    require_obstore()
    environment = hash(frozenset((name, value) for name, value in os.environ.items() if _ENVIRONMENT.match(name)))
    key = (address, environment)
    with _lock:
        if key not in _stores:
            _stores[key] = WebServer(address) if address.is_web else Bucket(address)
        _stores.move_to_end(key)
        if len(_stores) > _MOST_STORES:
            _stores.popitem(last=False)
        return _stores[key]


def require_obstore(what: str = "recordings in stores and on web servers") -> None:
    """Check that obstore can be used in this process.

    Args:
        what: What it is used for.

    Raises:
        MissingExtraError: It is not installed.
        StorageError: This process was forked after obstore was used: its threads are not in it, and it would wait for
            them for ever.
    """
    global _runtime_of
    try:
        import obstore  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(what, "remote") from error
    if _runtime_of not in (None, os.getpid()):
        raise StorageError(
            "this process was forked from one that has used a store, and cannot use any",
            fix='Start worker processes by mp_context=multiprocessing.get_context("spawn").',
        )
    _runtime_of = os.getpid()
