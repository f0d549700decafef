"""Read and decode a task's attachments, as Scale would after accepting the task (`--check-attachments`)."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, ParamSpec, TypeVar

from lidarprep._images import BadImageError, require_whole
from lidarprep.attachments import get_format
from lidarprep.errors import LidarprepError
from lidarprep.sandbox import _attachments
from lidarprep.sandbox._attachments import (
    IMAGE,
    MISSING,
    TOO_SLOW,
    DownloadError,
    NotReadableHereError,
    attachments_of,
    decode_frames,
    read_attachment,
)
from lidarprep.sandbox._store import Document
from lidarprep.sandbox._uploads import UploadList

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

DOWNLOADS_FAILED = "One or more attachments could not be downloaded."
# Enough to see what is wrong; a server that does not answer is not waited for once a frame.
MOST_FAILURES = 20


async def find_problem(task: Document, uploads: UploadList) -> dict[str, Any] | None:
    """Return the response of a task whose attachments can't be fetched or decoded; None if all are good.

    It has the published form where downloads failed: {"error", "attachments": [{"statusCode", "url"}]}. Where one can't
    be decoded, it has an error that names it, but quotes nothing of it. Only the attachments of lidar and scene tasks
    have formats to check; other tasks pass. A check that is cancelled ends at once.
    """
    attachments = attachments_of(task)
    failures: list[dict[str, Any]] = []
    first_bad = None
    for number, (url, kind) in enumerate(attachments, start=1):
        where = f"attachment {number} of {len(attachments)} ({url})"
        try:
            async with asyncio.timeout(_attachments.LONGEST_READ_S):
                problem = await in_daemon_thread(_problem_of, url, kind, uploads, where)
        except TimeoutError:
            failures.append({"statusCode": TOO_SLOW, "url": url})
            log.warning("task %s: %s can't be read in time", task["task_id"], where)
        except DownloadError as error:
            failures.append({"statusCode": error.status, "url": url})
            log.warning("task %s: %s: %s", task["task_id"], where, error.message)
        except NotReadableHereError as error:
            log.info("task %s: %s is not checked: %s", task["task_id"], where, error.message)
        else:
            first_bad = first_bad or (problem and f"{where} {problem}")
        if len(failures) >= MOST_FAILURES:
            break
    if failures:
        return {"error": DOWNLOADS_FAILED, "attachments": failures}
    return {"error": first_bad} if first_bad else None


async def in_daemon_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function that may block for ever; when cancelled, the thread is abandoned, and no exit waits for it."""
    future: Future[T] = Future()
    future.set_running_or_notify_cancel()  # from here on it can't be cancelled, and takes a late result

    def work() -> None:
        try:
            future.set_result(function(*args, **kwargs))
        except BaseException as error:  # noqa: BLE001 — it is raised where the result is awaited
            future.set_exception(error)

    threading.Thread(target=work, name="lidarprep-sandbox-check", daemon=True).start()
    return await asyncio.wrap_future(future)


def _problem_of(url: str, kind: str, uploads: UploadList, where: str) -> str | None:
    """Return what is wrong with an attachment, as the rest of a sentence; all of it is decoded."""
    try:
        data = read_attachment(url, uploads)
    except ValueError as error:  # what only looks like a URL or a path
        raise DownloadError(f"it can't be read: {error}", MISSING) from None
    if kind == IMAGE:
        try:
            require_whole(data)
        except BadImageError as error:
            return f"is an image that {str(error).partition(' (')[0]}"
        return None
    try:
        counts = [len(frame.points()) for frame in decode_frames(data, kind, url)]
    except (LidarprepError, MemoryError) as error:
        # The message may quote the file, which the caller of the API may not be allowed to read: it goes to the log.
        log.warning("%s: %s", where, error.message if isinstance(error, LidarprepError) else "it is too large")
        return f"can't be decoded as {get_format(kind).title}"
    if not counts:
        return "has no frames"
    return None if sum(counts) else "has no points"
