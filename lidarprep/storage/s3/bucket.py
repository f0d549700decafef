"""Requests on one bucket, below one prefix."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from contextvars import copy_context
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

from botocore.exceptions import ClientError

from lidarprep.errors import StorageError
from lidarprep.storage.s3.client import open_client
from lidarprep.storage.s3.connections import Connections
from lidarprep.storage.s3.errors import reported
from lidarprep.storage.s3.options import S3Options
from lidarprep.storage.s3.retries import Patience
from lidarprep.storage.s3.turns import Turns
from lidarprep.storage.store import LOCK_KEY, STAGED

Value = TypeVar("Value")
Item = TypeVar("Item")

_CHANGING = ("PUT", "POST", "DELETE")

# Requests for many small objects that are under way at once.
_SIDE_BY_SIDE = 16

# Listings that are asked for in place of one of all there is.
_MOST_FAMILIES = 4


class Bucket:
    """A bucket, the prefix of a store in it, and the way there.

    Args:
        name: Its name.
        prefix: Without a slash at its ends; "" for the whole bucket.
        options: How it is reached.

    Raises:
        StorageError: The profile does not exist, or the endpoint is no URL.
    """

    def __init__(self, name: str, prefix: str, options: S3Options) -> None:
        self.name = name
        self.prefix = prefix
        self.options = options
        self.patience = Patience(options.give_up_after)
        self.guard: Callable[[], None] | None = None
        self.client: Any = None
        self._connections: Connections
        self._connect()

    def _connect(self) -> None:
        """Opens a client."""
        with self.reported("be reached"):
            try:
                client = open_client(self.options)
            except ValueError as error:  # what boto calls an endpoint that is no URL
                raise StorageError(
                    f"s3://{self.name} cannot be reached: {error}", fix="Check --endpoint-url."
                ) from error
        self.patience.watch(client)
        Turns(client, self.patience)
        # Before each attempt, and last of all: a machine may sleep between two, or while one waits for its turn.
        client.meta.events.register_last("before-send", self._ask_guard)
        self.client, self._connections = client, Connections(client)

    def stop(self) -> None:
        """From now on no request is tried again; those that are under way fail.

        What is asked for after that is to tidy up. It goes by another client: boto's limiter remembers every SlowDown,
        and may by now let a request through in two seconds.
        """
        if self.patience.has_ended:
            return
        self.patience.end()
        self._connections.cut()
        with contextlib.suppress(StorageError):  # then the same one will do
            self._connect()

    @contextlib.contextmanager
    def stopping(self) -> Iterator[None]:
        """Within the `with` statement Ctrl-C stops the store, before the threads that it waits for are joined."""
        try:
            yield
        except (KeyboardInterrupt, SystemExit):
            self.stop()
            raise

    def full_key(self, key: str) -> str:
        """The name in the bucket of what the store has under `key`."""
        return f"{self.prefix}/{key}" if self.prefix else key

    def location(self, key: str) -> str:
        """The object's own URL, s3://…"""
        return f"s3://{self.name}/{self.full_key(key)}"

    def ask(self, operation: Callable[..., Value], **arguments: Any) -> Value:
        """One request on the bucket, tried as long as there is patience."""
        return self.patience.call(lambda: operation(Bucket=self.name, **arguments, **self.options.payer))

    def reported(self, what: str) -> AbstractContextManager[None]:
        """Turns what boto raises into a StorageError: that the bucket cannot `what`, and what to do about it."""
        return reported(f"s3://{self.name}", what, self.patience.seconds)

    def head(self, key: str) -> dict[str, Any] | None:
        """What the store says of an object; None if there is none."""
        mode = {} if self.options.checksums == "when_required" else {"ChecksumMode": "ENABLED"}
        try:
            head: dict[str, Any] = self.ask(self.client.head_object, Key=self.full_key(key), **mode)
        except ClientError as error:
            if is_missing(error):
                return None
            raise
        return head

    def listed(self, prefix: str) -> Iterator[tuple[str, int]]:
        """Key and size of the objects whose keys begin with `prefix`, in order."""
        token: dict[str, str] = {}
        own = len(self.full_key(""))
        while True:
            page = self.ask(self.client.list_objects_v2, Prefix=self.full_key(prefix), **token)
            for item in page.get("Contents", ()):
                yield item["Key"][own:], item["Size"]
            if not page.get("IsTruncated"):
                return
            token = {"ContinuationToken": page["NextContinuationToken"]}

    def listed_like(self, keys: Collection[str]) -> dict[str, int]:
        """Sizes by key of what stands under the keys, and under others that begin as they do.

        Not of all that the prefix holds: that may be a whole bucket, with millions of objects of others.
        """
        families = {family_of(key) for key in keys}
        prefixes = sorted(families) if len(families) <= _MOST_FAMILIES else [""]
        return {
            key: size for found in self.each(lambda prefix: [*self.listed(prefix)], prefixes) for key, size in found
        }

    def delete(self, keys: Collection[str]) -> None:
        """Deletes the objects one by one, side by side: some stores don't know how to delete many by one request."""
        self.each(lambda key: self.ask(self.client.delete_object, Key=self.full_key(key)), keys)

    def each(self, function: Callable[[Item], Value], items: Collection[Item]) -> list[Value]:
        """The function's value for each item, asked for side by side.

        Raises:
            Exception: The first that the function has raised.
        """
        if len(items) <= 1:
            return [function(item) for item in items]
        with ThreadPoolExecutor(min(_SIDE_BY_SIDE, len(items))) as pool, self.stopping():
            # Each with as much patience as who asks for it: that is a context's.
            asked = [(copy_context(), item) for item in items]
            return list(pool.map(lambda one: one[0].run(function, one[1]), asked))

    def _ask_guard(self, request: Any, **_: Any) -> None:
        # The lock is what the guard asks for, and changes.
        is_of_the_lock = urlsplit(request.url).path.endswith(f"/{quote(self.full_key(LOCK_KEY))}")
        if self.guard is not None and request.method in _CHANGING and not is_of_the_lock:
            self.guard()


def family_of(key: str) -> str:
    """How a key begins, as others of its kind do: "frame-", "images/"."""
    if key.startswith(STAGED):
        return STAGED
    return re.split(r"(?<=[-./])", key, maxsplit=1)[0]


def code_of(error: ClientError) -> str:
    """What the store calls the error."""
    return str(error.response.get("Error", {}).get("Code", ""))


def is_missing(error: ClientError) -> bool:
    """Whether there is no such object; the answer to a HEAD has a status only."""
    return code_of(error) in ("404", "NoSuchKey", "NotFound")
