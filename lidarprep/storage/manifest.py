"""The manifest: the record of what one run stored, as `manifest.json` beside its attachments.

It never holds a secret: its URLs are unsigned, whatever Scale was given.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from importlib import import_module
from importlib.metadata import version
from os import PathLike
from pathlib import Path
from typing import Annotated, Any, Self
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, model_validator

from lidarprep.errors import FormatError
from lidarprep.remote import as_path
from lidarprep.scene import Finding
from lidarprep.storage.keys import is_key
from lidarprep.storage.store import MANIFEST_KEY


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)


class ObjectRecord(_Record):
    """One stored object.

    Args:
        key: Its name at the destination; "" in manifests of lidarprep 0.1, whose URLs say it.
        url: Its URL; relative to the manifest where it lies in a local folder without `--url-base`.
        bytes: Size of its content.
        sha256: SHA-256 of its content, 64 hex digits.
        stored_bytes: Size as stored, where it is stored compressed (gzip); else None.
    """

    key: str = ""
    url: str
    bytes: int
    sha256: str
    stored_bytes: int | None = None


class AttachmentRecord(ObjectRecord):
    """One stored attachment.

    Args:
        frames: Ids of the frames that it holds, in order.
        unsigned_sha256: SHA-256 of the attachment with its images' keys in place of their signed URLs, which renewing
            them does not change; None where no URL is signed.
        images_expire_at: When the first of its signed URLs expires, seconds since the Unix epoch; None: never.
    """

    frames: Annotated[list[str], Field(min_length=1)]
    unsigned_sha256: str | None = None
    images_expire_at: int | None = None


class ImageRecord(ObjectRecord):
    """One stored image.

    Args:
        frame: Id of its frame.
        camera: Name of its camera.
    """

    frame: str
    camera: str


class DroppedPoints(_Record):
    """How many points of a frame were dropped, by reason; one that meets several counts for the first of
    not_finite, no_return, region, height.

    Args:
        region: Outside the region of interest.
        height: Outside the height band.
        not_finite: With a coordinate that is not a finite number.
        no_return: At its lidar's own place: a ray that nothing came back of.
        voxel: Beside another point of its voxel.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")  # a reason that is not known here must not get lost

    region: int = 0
    height: int = 0
    not_finite: int = 0
    no_return: int = 0
    voxel: int = 0


class PoseRecord(_Record):
    """A pose in the recording's own coordinates, before the world offset is taken away.

    Args:
        quaternion: Rotation (w, x, y, z).
        translation: (x, y, z) metres.
    """

    quaternion: tuple[float, float, float, float]
    translation: tuple[float, float, float]


class SourceRecord(_Record):
    """A file that a frame was made of.

    Args:
        location: Path, relative to the recording where it lies in it, or URL.
        bytes: Size; None where it was unknown.
        version: Modification time in nanoseconds, or ETag; "" where neither was known.
    """

    location: str
    bytes: int | None = None
    version: str = ""


class LeftOutImage(_Record):
    """An image that was left out of its frame, since it cannot be decoded.

    Args:
        camera: Name of its camera.
        file: Its path, as a source's; "" where the recording holds it itself.
        error: What is wrong with it.
    """

    camera: str
    file: str = ""
    error: str


class FrameRecord(_Record):
    """One prepared frame.

    Args:
        id: Its name in the recording.
        index: Its number in the recording, from 0.
        timestamp: Nanoseconds since the Unix epoch, or None.
        world_from_ego: The device's pose; None where the recording has none.
        points_in: Points that the recording has.
        points_out: Points that the attachment has.
        dropped: Where the others went.
        labelled: Whether Scale labels the frame at the recipe's labeling_sample_rate.
        kept: The object that says which of the recording's points the attachment has, as `storage.kept_points`
            writes it; None where it has all of them, in their order.
        images_left_out: Its images that cannot be decoded.
        notes: What was found odd, or what the format cannot hold: a sentence for each kind.
        sources: The files that it was made of.
        fingerprint: What its result depends on, 64 hex digits; None where the sources are unknown.
    """

    id: str
    index: int
    timestamp: int | None
    world_from_ego: PoseRecord | None = None
    points_in: int
    points_out: int
    dropped: DroppedPoints
    labelled: bool = False
    kept: ObjectRecord | None = None
    images_left_out: list[LeftOutImage] = []
    notes: dict[str, str] = {}
    sources: list[SourceRecord] = []
    fingerprint: str | None = None

    def __repr__(self) -> str:
        return f"FrameRecord({self.id!r}, {self.index}: {self.points_out:,} of {self.points_in:,} points)"


class SkippedRecord(_Record):
    """One frame that was left out, since it could not be read or prepared.

    Args:
        id: Its name in the recording.
        index: Its number in the recording, from 0.
        error: What was wrong with it.
        sources: As a frame's.
        fingerprint: As a frame's.
    """

    id: str
    index: int
    error: str
    sources: list[SourceRecord] = []
    fingerprint: str | None = None


def first_expiry(attachments: Iterable[AttachmentRecord]) -> int | None:
    """Return when the first of the signed URLs in some attachments expires; None where none is signed."""
    return min((one.images_expire_at for one in attachments if one.images_expire_at is not None), default=None)


class FrameResult(_Record):
    """What became of one frame: what the cache holds of it until the manifest does.

    Args:
        frame: The frame, if it was prepared.
        attachment: Its own attachment; None in a Sensor Fusion Scene.
        images: Its images that are stored beside the attachment.
        skipped: The frame, if it was left out.
    """

    frame: FrameRecord | None = None
    attachment: AttachmentRecord | None = None
    images: list[ImageRecord] = []
    skipped: SkippedRecord | None = None

    @model_validator(mode="after")
    def _require_record(self) -> Self:
        if (self.frame is None) == (self.skipped is None):
            raise ValueError("a result is of a frame that was prepared, or of one that was left out")
        return self

    @property
    def record(self) -> FrameRecord | SkippedRecord:
        """The record of the frame, prepared or not."""
        record = self.frame or self.skipped
        assert record is not None  # noqa: S101  # one of them is always set
        return record

    def objects(self) -> list[ObjectRecord]:
        """Return all objects that are stored for the frame."""
        kept = self.frame.kept if self.frame is not None else None
        found: list[ObjectRecord] = [*self.images]
        return found + [record for record in (kept, self.attachment) if record is not None]

    @property
    def bytes(self) -> int:
        """Size of what is stored for the frame."""
        return sum(record.bytes for record in self.objects())


class SettingsRecord(_Record):
    """Settings of a whole scene, estimated from sample frames.

    Args:
        offset: (x, y, z) metres that are taken from every world position.
        intensity_scale: The intensity that becomes 1; None where intensities are left out.
        device_height: The device's height above the ground where the recipe leaves it to be estimated, metres.
        notes: What was guessed.
    """

    offset: tuple[float, float, float] = (0.0, 0.0, 0.0)
    intensity_scale: float | None = None
    device_height: float | None = None
    notes: list[str] = []


class Manifest(_Record):
    """What one run stored.

    Args:
        lidarprep: Version that wrote it.
        source: The recording, as the user named it.
        format: Format of the attachments: "json", "protobuf" or "sfs".
        recipe: The recipe of the run, every field.
        world_offset: (x, y, z) metres that were taken from the recording's world coordinates.
        settings: The settings of the scene; None in manifests of lidarprep 0.1.
        attachments: What was stored for the frames, in time order.
        frames: The frames, in time order.
        images: The images that are stored beside the attachments, and not in them.
        skipped: The frames that were left out, in time order; none, unless the recipe asks to skip bad frames.
        presign_hours: Hours that URLs are signed for when they are handed to Scale, or None.
        images_expire_at: When the first of the signed URLs of images, which are part of the attachments, expires:
            seconds since the Unix epoch; None where none is signed.
        storage: The options that show in what is stored, those that are not the defaults; None where a version wrote
            it that did not record them.
        fingerprint: What all of this depends on, the recipe and the recording, as 64 hex digits; None where it cannot
            be told what the recording is read from.
        notes: What the run guessed, a sentence each.
        findings: What the checks found odd about the recording and what was kept of it, the gravest first.
        accepted: Codes of findings that would ruin a task, and that the user has accepted.
        base_annotations: Top-down pre-labels that a topdown task begins with, by the API's names, in the recording's
            own world; None where there are none.
    """

    lidarprep: str = Field(default_factory=lambda: version("lidarprep"))
    source: str
    format: str
    recipe: dict[str, Any]
    world_offset: tuple[float, float, float] = (0.0, 0.0, 0.0)
    settings: SettingsRecord | None = None
    attachments: list[AttachmentRecord]
    frames: list[FrameRecord]
    images: list[ImageRecord] = []
    skipped: list[SkippedRecord] = []
    presign_hours: float | None = None
    images_expire_at: int | None = None
    storage: dict[str, Any] | None = None
    fingerprint: str | None = None
    notes: list[str] = []
    findings: list[Finding] = []
    accepted: list[str] = []
    base_annotations: dict[str, Any] | None = None

    _location: str = PrivateAttr(default="")

    def __repr__(self) -> str:
        points = sum(frame.points_out for frame in self.frames)
        return f"Manifest({self.source!r} → {self.format}: {len(self.frames)} frames, {points:,} points)"

    def _repr_html_(self) -> str:
        # Looked up by name, so that this file does not depend on what stands above it.
        html: str = import_module("lidarprep.report.notebook").manifest_html(self)
        return html

    @property
    def images_have_expired(self) -> bool:
        """Whether a signed URL of an image has expired."""
        return self.images_expire_at is not None and self.images_expire_at <= time.time()

    @property
    def location(self) -> str:
        """URL of the manifest itself, which relative URLs in it start from."""
        return self._location

    def at(self, location: str) -> Manifest:
        """Return the same manifest, known to lie at a URL."""
        copy = self.model_copy()
        copy._location = location
        return copy

    @property
    def urls(self) -> list[str]:
        """The attachments' URLs in time order, absolute; never signed."""
        return [self.resolve(attachment.url) for attachment in self.attachments]

    def resolve(self, url: str) -> str:
        """Return a URL of the manifest as an absolute one."""
        return url if urlsplit(url).scheme else f"{self._location.rpartition('/')[0]}/{url}"

    def objects(self) -> list[tuple[str, ObjectRecord]]:
        """Return key and record of each attachment, each image, then of each object of kept points.

        Raises:
            FormatError: A key or URL is of nothing that a run would have stored beside the manifest.
        """
        records: list[ObjectRecord] = [*self.attachments, *self.images]
        records += [frame.kept for frame in self.frames if frame.kept is not None]
        # Keys of 0.1 are not recorded. An attachment's had no "/" in it, so what is before the last one is the base.
        first = self.attachments[0].url if self.attachments else ""
        base = first[: first.rfind("/") + 1]
        found: list[tuple[str, ObjectRecord]] = []
        for record in records:
            key = record.key or (unquote(record.url.removeprefix(base)) if record.url.startswith(base) else "")
            if not is_key(key):
                raise FormatError(
                    self.location, found=f"the URL {record.url}", expected="one of an object beside the manifest"
                )
            found.append((key, record))
        return found

    def is_compressed(self, record: ObjectRecord) -> bool:
        """Tell whether an object is stored compressed (gzip)."""
        if self.settings is not None:
            return record.stored_bytes is not None
        # 0.1 did not record the size of what it compressed.
        gzip = bool((self.storage or {}).get("gzip"))
        return gzip and self.format == "json" and isinstance(record, AttachmentRecord)

    def results(self) -> list[FrameResult]:
        """Return what became of each frame, in time order."""
        attachments = {record.frames[0]: record for record in self.attachments} if self.format != "sfs" else {}
        images: dict[str, list[ImageRecord]] = {}
        for image in self.images:
            images.setdefault(image.frame, []).append(image)
        results = [
            FrameResult(frame=frame, attachment=attachments.get(frame.id), images=images.get(frame.id, []))
            for frame in self.frames
        ]
        results += [FrameResult(skipped=skipped) for skipped in self.skipped]
        return sorted(results, key=lambda result: result.record.index)

    def to_json(self) -> bytes:
        """Return the manifest as it is stored: UTF-8 JSON, the same bytes for the same content."""
        return self.model_dump_json(indent=2).encode() + b"\n"

    @classmethod
    def from_json(cls, data: bytes, *, location: str) -> Manifest:
        """Read a manifest from its bytes; `location` is its own URL.

        Raises:
            FormatError: It is not a manifest.
        """
        try:
            return cls.model_validate_json(data).at(location)
        except ValidationError as error:
            fix = f"Name the {MANIFEST_KEY} that `prepare` wrote."
            raise FormatError(location, fix=fix, **_explain(error)) from None

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Manifest:
        """Read a manifest from a file, or from the folder that holds it: on the disk or, to look at only, by a URL.

        Raises:
            FormatError: It cannot be read, or is not a manifest.
        """
        file = as_path(path)
        if file.is_dir():
            file = file / MANIFEST_KEY
        try:
            data = file.read_bytes()
        except OSError as error:
            raise FormatError(
                file, found=f"cannot be read ({error.strerror or error})", fix="Name the manifest that `prepare` wrote."
            ) from error
        return cls.from_json(data, location=file.resolve().as_uri() if isinstance(file, Path) else str(file))


def _explain(error: ValidationError) -> dict[str, str]:
    """Return pydantic's findings as arguments of a FormatError."""
    findings = error.errors(include_url=False)
    first = findings[0]
    if first["type"] == "json_invalid":
        return {"found": "not JSON", "expected": "a manifest"}
    if not first["loc"]:
        return {"found": "JSON that is not an object", "expected": "a manifest"}
    missing = [".".join(map(str, finding["loc"])) for finding in findings if finding["type"] == "missing"]
    if missing:
        return {"found": f"JSON without {', '.join(missing)}", "expected": "a manifest, which has that"}
    place = ".".join(map(str, first["loc"]))
    return {"place": place, "found": repr(first["input"]), "expected": first["msg"].removeprefix("Input should be ")}
