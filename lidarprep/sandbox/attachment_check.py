"""`--check-attachments`: a task's attachments are read and decoded, as Scale would after taking the task."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

import httpx

from lidarprep.api.address import is_loopback
from lidarprep.attachments import FrameFormat, format_of_suffix, get_format
from lidarprep.errors import FormatError, LidarprepError, StorageError
from lidarprep.sandbox.records import Document
from lidarprep.storage import open_store
from lidarprep.storage.media_types import image_type

log = logging.getLogger(__name__)

LONGEST_SILENCE_S = 20.0

PICTURE = "picture"

SCENE_FORMATS = {"sensor_fusion": "sfs", "split_base64": "json"}


Stop = Callable[[], bool]


class CheckStoppedError(Exception):
    """A check was stopped before its end."""


def what_is_wrong(task: Document, *, stop: Stop = lambda: False) -> str | None:
    """The first attachment that can't be read or decoded, and why; None if all is well.

    Only the lidar tasks' and multistage's attachments have formats to check; other tasks pass.

    Args:
        task: The task.
        stop: Asked now and then; the check ends early once it is true.

    Raises:
        CheckStoppedError: It was stopped.
    """
    attachments = attachments_of(task)
    for number, (url, kind) in enumerate(attachments, start=1):
        try:
            data = read_attachment(url, stop=stop)
            if data is not None:
                _decode(data, kind, url)
        except (LidarprepError, OSError, MemoryError, ValueError) as error:  # ValueError: what only looks like a URL
            message = error.message if isinstance(error, LidarprepError) else str(error)
            return f"attachment {number} of {len(attachments)} ({url}): {message}"
    return None


def attachments_of(task: Mapping[str, Any]) -> list[tuple[str, str]]:
    """URL and kind ("json", "protobuf", "sfs", "picture") of each attachment whose content has a known format."""
    params = task["params"]
    urls = params.get("attachments") or []
    match task["type"]:
        case "lidarannotation" | "lidarsegmentation":
            return [(url, params.get("attachment_type", "json")) for url in urls]
        case "multistage":
            return [(url, SCENE_FORMATS[params["scene_format"]]) for url in urls]
        case "lidartopdown":
            pictures = [(url, PICTURE) for url in params.get("attachment") or []]
            return [(url, _kind_of_frame(url)) for url in urls] + pictures
    return []


def read_attachment(url: str, *, stop: Stop = lambda: False) -> bytes | None:
    """The attachment's bytes; None if it is where this machine can't know how to read: gs://.

    Raises:
        StorageError, ValueError: It can't be read.
        CheckStoppedError: `stop` became true.
    """
    if stop():
        raise CheckStoppedError
    parts = urlsplit(url)
    if parts.scheme in ("http", "https"):
        return _fetch(url, stop)
    if parts.scheme == "s3":
        bucket_and_prefix, _, key = url.rpartition("/")
        found = open_store(bucket_and_prefix).get(key)
        if found is None:
            raise StorageError(f"{url} is not there")
        return found
    if parts.scheme in ("", "file"):
        path = Path(unquote(parts.path) if parts.scheme else url)
        if path.exists() and not path.is_file():  # a pipe or a device may never come to an end
            raise StorageError(f"{path} cannot be read: it is no file")
        return path.read_bytes()
    log.info("%s is not checked: the sandbox can't read %s://", url, parts.scheme)
    return None


def _fetch(url: str, stop: Stop) -> bytes:
    received = bytearray()
    # A proxy of the environment would look for the loopback address on itself.
    settings: Any = {"timeout": LONGEST_SILENCE_S, "follow_redirects": True, "trust_env": not is_loopback(url)}
    try:
        with httpx.stream("GET", url, **settings) as answer:
            if answer.status_code != httpx.codes.OK:
                raise StorageError(f"it can't be fetched: it was answered {answer.status_code}")
            for chunk in answer.iter_bytes():
                received += chunk
                if stop():
                    raise CheckStoppedError
    except (httpx.HTTPError, httpx.InvalidURL) as cause:
        raise StorageError(f"it can't be fetched: {cause}") from None
    return bytes(received)


def _decode(data: bytes, kind: str, url: str) -> None:
    """Reads all of it: a scene opens without its points."""
    if kind == PICTURE:
        image_type(url, data)
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
    """Topdown tasks have no attachment_type: the name tells, JSON being the usual."""
    found = format_of_suffix(Path(urlsplit(url).path).suffix)
    return found.name if isinstance(found, FrameFormat) else "json"
