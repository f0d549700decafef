"""The manifest: the record of what one run stored, as `manifest.json` beside its attachments.

It never holds a secret: URLs stand there unsigned, whatever Scale was given.
"""

from __future__ import annotations

import time
from importlib.metadata import version
from os import PathLike
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError

from lidarprep.errors import FormatError
from lidarprep.storage.keys import is_key
from lidarprep.storage.store import MANIFEST_KEY


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class AttachmentRecord(_Record):
    """One stored attachment.

    Args:
        url: Its URL; relative to the manifest where it lies in a local folder without `--url-base`.
        bytes: Its size.
        sha256: SHA-256 of its bytes, 64 hex digits.
        frames: Ids of the frames that it holds, in order.
        unsigned_sha256: The same of what it is with its pictures' keys in place of their signed URLs, which signing
            anew does not change; None where none of its URLs is signed.
    """

    url: str
    bytes: int
    sha256: str
    frames: list[str]
    unsigned_sha256: str | None = None


class DroppedPoints(_Record):
    """How many points of a frame were dropped, by reason; one that meets several counts for the first of
    not_finite, region, height.

    Args:
        region: Outside the region of interest.
        height: Outside the height band.
        not_finite: With a coordinate that is no finite number.
        voxel: Beside another point of its voxel.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")  # a reason that is not known here must not get lost

    region: int = 0
    height: int = 0
    not_finite: int = 0
    voxel: int = 0


class FrameRecord(_Record):
    """One prepared frame.

    Args:
        id: Its name in the recording.
        index: Its number in the recording, from 0.
        timestamp: Nanoseconds since the Unix epoch, or None.
        points_in: Points that the recording has.
        points_out: Points that the attachment has.
        dropped: Where the others went.
        labelled: Whether Scale labels the frame at the recipe's labeling_sample_rate.
    """

    id: str
    index: int
    timestamp: int | None
    points_in: int
    points_out: int
    dropped: DroppedPoints
    labelled: bool


class SkippedRecord(_Record):
    """One frame that was left out, since it could not be read or prepared.

    Args:
        id: Its name in the recording.
        index: Its number in the recording, from 0.
        error: What was wrong with it.
    """

    id: str
    index: int
    error: str


class ImageRecord(_Record):
    """One stored picture.

    Args:
        frame: Id of its frame.
        camera: Name of its camera.
        url: As an attachment's.
        bytes: Its size.
        sha256: SHA-256 of its bytes, 64 hex digits.
    """

    frame: str
    camera: str
    url: str
    bytes: int
    sha256: str


ObjectRecord = AttachmentRecord | ImageRecord


class Manifest(_Record):
    """What one run stored.

    Args:
        lidarprep: Version that wrote it.
        source: The recording, as the user named it.
        format: Format of the attachments: "json", "protobuf" or "sfs".
        recipe: The recipe of the run, every field.
        world_offset: (x, y, z) metres that were taken from the recording's world coordinates.
        attachments: What was stored for the frames, in time order.
        frames: The frames, in time order.
        images: The pictures that are stored beside the attachments, and not in them.
        skipped: The frames that were left out, in time order; none, unless the recipe asks to skip bad frames.
        presign_hours: Hours that URLs are signed for when they are handed to Scale, or None.
        images_expire_at: When the first of the signed URLs of pictures, which stand in the attachments, runs out:
            seconds since the Unix epoch; 0 while they are signed anew, when the attachments may have other bytes than
            the manifest says; None where none is signed.
        storage: The options that its objects are stored with, those that are not the defaults; None where a version
            wrote it that did not record them.
        fingerprint: What all of this depends on, the recipe and the recording, as 64 hex digits; None where it cannot
            be told what the recording is read from.
        notes: What the run guessed or found odd, a sentence each.
    """

    lidarprep: str = Field(default_factory=lambda: version("lidarprep"))
    source: str
    format: str
    recipe: dict[str, Any]
    world_offset: tuple[float, float, float] = (0.0, 0.0, 0.0)
    attachments: list[AttachmentRecord]
    frames: list[FrameRecord]
    images: list[ImageRecord] = []
    skipped: list[SkippedRecord] = []
    presign_hours: float | None = None
    images_expire_at: int | None = None
    storage: dict[str, Any] | None = None
    fingerprint: str | None = None
    notes: list[str] = []

    _location: str = PrivateAttr(default="")

    @property
    def images_have_expired(self) -> bool:
        """Whether a signed URL of a picture, in an attachment, has run out."""
        return self.images_expire_at is not None and self.images_expire_at <= time.time()

    @property
    def is_being_signed(self) -> bool:
        """Whether the signing anew of its pictures' URLs is under way, or was stopped."""
        return self.images_expire_at == 0

    @property
    def location(self) -> str:
        """URL of the manifest itself, which relative URLs in it start from."""
        return self._location

    def at(self, location: str) -> Manifest:
        """The same manifest, known to lie at the URL `location`."""
        copy = self.model_copy()
        copy._location = location
        return copy

    @property
    def urls(self) -> list[str]:
        """The attachments' URLs in time order, absolute; never signed."""
        return [self.resolve(attachment.url) for attachment in self.attachments]

    def resolve(self, url: str) -> str:
        """A URL of the manifest as an absolute one."""
        return url if urlsplit(url).scheme else f"{self._location.rpartition('/')[0]}/{url}"

    def objects(self) -> list[tuple[str, ObjectRecord]]:
        """Key and record of each attachment, then of each picture, whatever their URLs begin with.

        Raises:
            FormatError: A URL is of nothing that a run would have stored beside the manifest.
        """
        # An attachment's key has no "/" in it, so what stands before the last one is what all URLs begin with.
        first = self.attachments[0].url if self.attachments else ""
        base = first[: first.rfind("/") + 1]
        found: list[tuple[str, ObjectRecord]] = []
        records: list[ObjectRecord] = [*self.attachments, *self.images]
        for record in records:
            key = unquote(record.url.removeprefix(base))
            if not record.url.startswith(base) or not is_key(key):
                raise FormatError(
                    self.location, found=f"the URL {record.url}", expected="one of an object beside the manifest"
                )
            found.append((key, record))
        return found

    def to_json(self) -> bytes:
        """The manifest as it is stored: UTF-8 JSON, the same bytes for the same content."""
        return self.model_dump_json(indent=2).encode() + b"\n"

    @classmethod
    def from_json(cls, data: bytes, *, location: str) -> Manifest:
        """A manifest from its bytes; `location` is its own URL.

        Raises:
            FormatError: It is not a manifest.
        """
        try:
            return cls.model_validate_json(data).at(location)
        except ValidationError as error:
            fix = f"Name the {MANIFEST_KEY} that `prepare` wrote."
            raise FormatError(location, fix=fix, **_what_is_wrong(error)) from None

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Manifest:
        """Reads a manifest from a local file, or from the folder that holds it.

        Raises:
            FormatError: It cannot be read, or is not a manifest.
        """
        file = Path(path)
        if file.is_dir():
            file = file / MANIFEST_KEY
        try:
            data = file.read_bytes()
        except OSError as error:
            raise FormatError(
                file, found=f"cannot be read ({error.strerror or error})", fix="Name the manifest that `prepare` wrote."
            ) from error
        return cls.from_json(data, location=file.resolve().as_uri())


def _what_is_wrong(error: ValidationError) -> dict[str, str]:
    """pydantic's findings in words, as arguments of a FormatError."""
    findings = error.errors(include_url=False)
    first = findings[0]
    if first["type"] == "json_invalid":
        return {"found": "no JSON", "expected": "a manifest"}
    if not first["loc"]:
        return {"found": "JSON that is no object", "expected": "a manifest"}
    missing = [".".join(map(str, finding["loc"])) for finding in findings if finding["type"] == "missing"]
    if missing:
        return {"found": f"JSON without {', '.join(missing)}", "expected": "a manifest, which has that"}
    place = ".".join(map(str, first["loc"]))
    return {"place": place, "found": repr(first["input"]), "expected": first["msg"].removeprefix("Input should be ")}
