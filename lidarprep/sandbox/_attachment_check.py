"""Read and decode a task's attachments, as Scale would after accepting the task (`--check-attachments`)."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from pathlib import Path, PurePosixPath
from typing import Any, ParamSpec, TypeVar
from urllib.parse import unquote, urlsplit

import httpx

from lidarprep._images import BadImageError, require_whole
from lidarprep.api import is_loopback, is_web_address
from lidarprep.attachments import FrameFormat, format_of_suffix, get_format
from lidarprep.errors import FormatError, LidarprepError, StorageError
from lidarprep.sandbox._store import Document
from lidarprep.storage import open_store

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

LONGEST_SILENCE_S = 20.0

# For reading and decoding one attachment: a source may send a byte now and then for ever, or block a read.
LONGEST_CHECK_S = 300.0

IMAGE = "image"

SCENE_FORMATS = {"sensor_fusion": "sfs", "split_base64": "json"}


async def find_problem(task: Document) -> str | None:
    """Return the first attachment that can't be read or decoded, and why; None if all are good.

    Only the attachments of lidar and multistage tasks have formats to check; other tasks pass. A check that is
    cancelled ends at once.
    """
    attachments = attachments_of(task)
    for number, (url, kind) in enumerate(attachments, start=1):
        try:
            async with asyncio.timeout(LONGEST_CHECK_S):
                await _check(url, kind)
        except TimeoutError:
            problem = f"it can't be read within {LONGEST_CHECK_S:g} s"
        except LidarprepError as error:
            problem = error.message
        except OSError as error:
            problem = f"it cannot be read: {error.strerror or error}"
        except (MemoryError, ValueError) as error:  # ValueError: what only looks like a URL
            problem = str(error)
        else:
            continue
        return f"attachment {number} of {len(attachments)} ({url}): {problem}"
    return None


def attachments_of(task: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return URL and kind ("json", "protobuf", "sfs", "image") of each attachment whose content has a known format."""
    params = task["params"]
    urls = params.get("attachments") or []
    match task["type"]:
        case "lidarannotation" | "lidarsegmentation":
            return [(url, params.get("attachment_type", "json")) for url in urls]
        case "multistage":
            return [(url, SCENE_FORMATS[params["scene_format"]]) for url in urls]
        case "lidartopdown":
            images = [(url, IMAGE) for url in params.get("attachment") or []]
            return [(url, _kind_of_frame(url)) for url in urls] + images
    return []


async def _check(url: str, kind: str) -> None:
    scheme = urlsplit(url).scheme
    if scheme in ("http", "https"):
        data = await _fetch(url)
    elif scheme == "s3":
        data = await _in_daemon_thread(_read_object, url)
    elif scheme in ("", "file"):
        data = await _in_daemon_thread(_read_file, Path(unquote(urlsplit(url).path) if scheme else url))
    else:
        log.info("%s is not checked: the sandbox can't read %s://", url, scheme)
        return
    await _in_daemon_thread(_decode, data, kind, url)


async def _in_daemon_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
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


def _read_object(url: str) -> bytes:
    bucket_and_prefix, _, key = url.rpartition("/")
    found = open_store(bucket_and_prefix).get(key)
    if found is None:
        raise StorageError(f"{url} does not exist")
    return found


def _read_file(path: Path) -> bytes:
    if path.exists() and not path.is_file():  # a pipe or a device may never end
        raise StorageError(f"{path} cannot be read: it is not a file")
    return path.read_bytes()


async def _fetch(url: str) -> bytes:
    if not is_web_address(url):
        raise StorageError("it can't be fetched: it is not a URL")
    received = bytearray()
    # A proxy of the environment would look for the loopback address on itself.
    settings: Any = {"timeout": LONGEST_SILENCE_S, "follow_redirects": True, "trust_env": not is_loopback(url)}
    try:
        async with httpx.AsyncClient(**settings) as http, http.stream("GET", url) as answer:
            if answer.status_code != httpx.codes.OK:
                raise StorageError(f"it can't be fetched: it was answered {answer.status_code}")
            async for chunk in answer.aiter_bytes():
                received += chunk
    except httpx.HTTPError as cause:
        raise StorageError(f"it can't be fetched: {reason_of(cause)}") from None
    return bytes(received)


def reason_of(error: Exception) -> str:
    """Return the system's message below an error of the HTTP library, which may be "All connection attempts failed"."""
    below: BaseException | None = error
    while below is not None:
        if isinstance(below, OSError) and below.errno is not None:
            return str(below)
        below = below.exceptions[0] if isinstance(below, BaseExceptionGroup) else below.__cause__ or below.__context__
    return str(error)


def _decode(data: bytes, kind: str, url: str) -> None:
    """Decode all of it: a scene opens without its points."""
    if kind == IMAGE:
        try:
            require_whole(data)
        except BadImageError as error:
            raise FormatError(url, found=f"an image that {error}") from None
        return
    attachment_format = get_format(kind)
    name = PurePosixPath(urlsplit(url).path).name
    if isinstance(attachment_format, FrameFormat):
        frames = [attachment_format.decode(data, source=name)]
    else:
        frames = list(attachment_format.decode(data, source=name).frames)
    if not frames:
        raise FormatError(name, found="no frames", expected="at least one")
    if not sum(len(frame.points()) for frame in frames):
        raise FormatError(name, found="no points", expected="at least one")


def _kind_of_frame(url: str) -> str:
    """Return the format that the name suggests, since topdown tasks have no attachment_type; else JSON."""
    found = format_of_suffix(Path(urlsplit(url).path).suffix)
    return found.name if isinstance(found, FrameFormat) else "json"
