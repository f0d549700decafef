"""Read a task's attachments: from files, the web, buckets, and the files that were uploaded to the sandbox.

What is fetched is limited in size and time, and only public addresses and this machine's own are asked: a task's URL
must not lead the sandbox into the network that it runs in.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import time
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

import httpx

from lidarprep.api import is_loopback, is_web_address
from lidarprep.attachments import FrameFormat, format_of_suffix, get_format
from lidarprep.errors import LidarprepError, MissingExtraError, StorageError
from lidarprep.sandbox._common import SandboxError
from lidarprep.sandbox._uploads import SCHEME, UploadList
from lidarprep.scene import Frame
from lidarprep.storage import open_store

Data = TypeVar("Data", bytes, bytearray)

LONGEST_SILENCE_S = 20.0
LONGEST_READ_S = 300.0
# The largest scene that is worth reading on a developer's machine.
MOST_BYTES = 1 << 30
MOST_REDIRECTS = 5

# Buckets that can be read, and the variables that name a server for them. Azure's URLs are those of the web.
BUCKET_SERVERS = {"s3": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"), "gs": ("STORAGE_EMULATOR_HOST",)}

IMAGE = "image"
SCENE_FORMATS = {"sensor_fusion": "sfs", "split_base64": "json"}

# Statuses of attachments that HTTP did not bring, in its own terms.
MISSING, REFUSED, TOO_LARGE, UNREACHABLE, TOO_SLOW = 404, 403, 413, 502, 504


class DownloadError(StorageError):
    """An attachment can't be fetched.

    Args:
        problem: Why, as a sentence without a full stop.
        status: HTTP status of the answer, or the one that says the same.
    """

    def __init__(self, problem: str, status: int) -> None:
        super().__init__(problem)
        self.status = status


class NotReadableHereError(StorageError):
    """An attachment lies where the sandbox can't read, though Scale can: gs://."""


def attachments_of(task: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return URL and kind ("json", "protobuf", "sfs", "image") of each attachment whose content has a known format."""
    params = task["params"]
    urls = params.get("attachments") or []
    match task["type"]:
        case "lidarannotation" | "lidarsegmentation":
            return [(url, params.get("attachment_type", "json")) for url in urls]
        case "multistage" | "sensorfusion":
            return [(url, SCENE_FORMATS.get(params.get("scene_format"), "sfs")) for url in urls]
        case "lidartopdown":
            images = [(url, IMAGE) for url in params.get("attachment") or []]
            return [(url, _kind_of_frame(url)) for url in urls] + images
    return []


def _kind_of_frame(url: str) -> str:
    """Return the format that the name suggests, since topdown tasks have no attachment_type; else JSON."""
    found = format_of_suffix(Path(urlsplit(url).path).suffix)
    return found.name if isinstance(found, FrameFormat) else "json"


def is_nearby(url: str) -> bool:
    """Whether reading an attachment asks no other machine, or only one that the environment names for buckets."""
    scheme = urlsplit(url).scheme
    if scheme in BUCKET_SERVERS:
        return any(os.environ.get(name) for name in BUCKET_SERVERS[scheme])
    return scheme in ("", "file", SCHEME) or (scheme in ("http", "https") and is_loopback(url))


def read_attachment(
    url: str, uploads: UploadList, *, most_bytes: int = MOST_BYTES, longest_s: float = LONGEST_READ_S
) -> bytes:
    """Return the bytes of an attachment.

    Raises:
        DownloadError: It can't be fetched.
        NotReadableHereError: The sandbox does not read such URLs.
    """
    scheme = urlsplit(url).scheme
    if scheme in ("http", "https"):
        return _fetch(url, most_bytes, time.monotonic() + longest_s)
    if scheme in BUCKET_SERVERS:
        return _read_object(url, most_bytes)
    if scheme == SCHEME:
        try:
            path = uploads.path(url)
        except SandboxError as error:
            raise DownloadError(str(error).rstrip("."), MISSING) from None
        return _read_file(path, most_bytes)
    if scheme in ("", "file"):
        return _read_file(Path(unquote(urlsplit(url).path) if scheme else url), most_bytes)
    raise NotReadableHereError(f"{url}: the sandbox can't read {scheme}://")


def _read_file(path: Path, most_bytes: int) -> bytes:
    try:
        if path.exists() and not path.is_file():  # a pipe or a device may never end
            raise DownloadError(f"{path} cannot be read: it is not a file", REFUSED)
        with path.open("rb") as file:
            return _capped(file.read(most_bytes + 1), most_bytes)
    except OSError as error:
        status = MISSING if isinstance(error, FileNotFoundError) else REFUSED
        raise DownloadError(f"it cannot be read: {error.strerror or error}", status) from None


def _read_object(url: str, most_bytes: int) -> bytes:
    bucket_and_prefix, _, key = url.rpartition("/")
    try:
        found = open_store(bucket_and_prefix).get(key, 0, most_bytes + 1)
    except MissingExtraError as error:
        raise NotReadableHereError(error.message) from None
    except LidarprepError as error:
        raise DownloadError(error.message, REFUSED) from None
    if found is None:
        raise DownloadError(f"{url} does not exist", MISSING)
    return _capped(found, most_bytes)


def _fetch(url: str, most_bytes: int, deadline: float) -> bytes:
    here = is_loopback(url)
    received = bytearray()

    def before(request: httpx.Request) -> None:
        _require_allowed(str(request.url), here)

    settings: dict[str, Any] = {
        "timeout": LONGEST_SILENCE_S,
        "follow_redirects": True,
        "max_redirects": MOST_REDIRECTS,
        "trust_env": not here,  # a proxy of the environment would look for the loopback address on itself
        "event_hooks": {"request": [before]},
    }
    if not is_web_address(url):
        raise DownloadError("it can't be fetched: it is not a URL", UNREACHABLE)
    try:
        with httpx.Client(**settings) as http, http.stream("GET", url) as answer:
            if answer.status_code != httpx.codes.OK:
                status = answer.status_code
                raise DownloadError(f"it can't be fetched: it was answered {status}", status)
            for chunk in answer.iter_bytes():
                received += chunk
                _capped(received, most_bytes)
                if time.monotonic() > deadline:
                    raise DownloadError("it can't be fetched in time", TOO_SLOW)
    except httpx.TimeoutException as cause:
        raise DownloadError(f"it can't be fetched: {reason_of(cause)}", TOO_SLOW) from None
    except (httpx.HTTPError, httpx.InvalidURL) as cause:
        raise DownloadError(f"it can't be fetched: {reason_of(cause)}", UNREACHABLE) from None
    return bytes(received)


def _require_allowed(url: str, from_here: bool) -> None:
    """Refuse addresses of private networks, and of this machine where the task's own URL does not name it."""
    parts = urlsplit(url)
    here = is_loopback(url)
    if here and not from_here:
        raise DownloadError("it is not fetched: it redirects to this machine", REFUSED)
    try:
        found = socket.getaddrinfo(parts.hostname, parts.port or 0, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return  # nothing will be reached; or a proxy knows the name, and this machine does not
    for *_, address in found:
        ip = ipaddress.ip_address(str(address[0]).partition("%")[0])
        if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
            ip = ip.ipv4_mapped
        if not (ip.is_loopback if here else ip.is_global):
            raise DownloadError("it is not fetched: its address is not a public one", REFUSED)


def _capped(data: Data, most_bytes: int) -> Data:
    if len(data) > most_bytes:
        raise DownloadError(f"it has more than {most_bytes} bytes", TOO_LARGE)
    return data


def reason_of(error: Exception) -> str:
    """Return the system's message below an error of the HTTP library, which may be "All connection attempts failed"."""
    below: BaseException | None = error
    while below is not None:
        if isinstance(below, OSError) and below.errno is not None:
            return str(below)
        below = below.exceptions[0] if isinstance(below, BaseExceptionGroup) else below.__cause__ or below.__context__
    return str(error)


def decode_frames(data: bytes, kind: str, url: str) -> Iterator[Frame]:
    """Yield the frames of an attachment in the world, in their order.

    Raises:
        FormatError: The bytes are not of the format. Its message may quote them.
    """
    attachment_format = get_format(kind)
    name = PurePosixPath(urlsplit(url).path).name
    if isinstance(attachment_format, FrameFormat):
        yield attachment_format.decode(data, source=name)
    else:
        yield from attachment_format.decode(data, source=name).frames
