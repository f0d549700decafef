"""How one frame becomes stored objects: read, prepared, encoded, stored, its result recorded.

All of it is plain data, so that it can be done in another process. Objects come first, then the result in the frame
cache: whatever moment a run is killed at, a result that is there has all of its objects.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from lidarprep._images import BadImageError, require_whole
from lidarprep.attachments import FrameFormat, get_format
from lidarprep.datasets.filenames import source_file
from lidarprep.errors import FormatError, LidarprepError, SceneError, SourceChangedError
from lidarprep.prepare.fingerprint import source_location, source_records
from lidarprep.prepare.ordered_map import Admission
from lidarprep.prepare.plan import FrameTask, is_stored
from lidarprep.recipe import Recipe
from lidarprep.remote import prefetch
from lidarprep.scene import CameraImage, Frame
from lidarprep.scene.frame import held
from lidarprep.scene_settings import BAD_FRAME
from lidarprep.signed_urls import unsigned_sha256
from lidarprep.steps import Step, StepReport
from lidarprep.storage import Store, kept_points, open_store
from lidarprep.storage.cache import put_entry
from lidarprep.storage.content import NewObject
from lidarprep.storage.manifest import (
    AttachmentRecord,
    DroppedPoints,
    FrameRecord,
    FrameResult,
    ImageRecord,
    LeftOutImage,
    ObjectRecord,
    PoseRecord,
    SkippedRecord,
)
from lidarprep.storage.options import StorageOptions

# What a point takes in memory while it is read, moved and encoded, about: its columns, and copies of them.
BYTES_A_POINT = 160


@dataclass(frozen=True)
class EncodedImage:
    """The bytes of an image that can be decoded.

    Args:
        image: The image, which reads these bytes.
        data: They.
        media_type: Its media type.
        suffix: Suffix of a file of it.
        source: A file with the same bytes, or None.
    """

    image: CameraImage
    data: bytes
    media_type: str
    suffix: str
    source: Path | None


@dataclass(frozen=True)
class PreparedFrame:
    """A frame that is ready to be an attachment, or a part of one.

    Args:
        frame: The frame in the world, its points in memory, without the images that cannot be decoded.
        encoded: Of each of its images, in their order, the bytes; None where only its URL is known.
        stems: Of each of its images the stem of its key, as the task has it; None as above.
        record: What the manifest says of it.
        kept: Its object of kept points; None where all are kept.
        in_memory: About what it took in memory while it was worked on, bytes.
    """

    frame: Frame
    encoded: tuple[EncodedImage | None, ...]
    stems: tuple[str | None, ...]
    record: FrameRecord
    kept: bytes | None
    in_memory: int


@dataclass(frozen=True)
class EmptyFrame:
    """A frame that keeps no point, and was not stored: if no frame keeps one, the run ends and stores nothing.

    Args:
        task: The frame.
        record: What the manifest would say of it.
    """

    task: FrameTask
    record: FrameRecord


@dataclass(frozen=True)
class FrameProcessor:
    """Processes frames.

    Args:
        steps: What is done to each frame, in order.
        recipe: For the format, and whether to skip bad frames.
        recording: The recording, as the user named it.
        out: Where objects are stored, for other processes.
        storage: How.
    """

    steps: tuple[Step, ...]
    recipe: Recipe
    recording: str
    out: str
    storage: StorageOptions

    def prepare(self, task: FrameTask) -> PreparedFrame | FrameResult:
        """Read a frame and apply the steps; the result is final if the frame is bad, and bad frames are skipped.

        Raises:
            SceneError, FormatError: The frame is bad, and bad frames are not skipped.
            RecipeError: The recipe does not fit it.
        """
        try:
            prepared = self._prepared(task)
        except BAD_FRAME as error:
            return self.skipped(task, error)
        self._require_unchanged(task.frame)
        return prepared

    def store(
        self, task: FrameTask, store: Store, *, store_empty: bool, admission: Admission | None = None
    ) -> FrameResult | EmptyFrame:
        """Prepare a frame, and store it as an attachment of its own, with its images and its result.

        Args:
            task: The frame.
            store: Where.
            store_empty: Whether a frame that keeps no point is stored, too.
            admission: Told when the points are no longer held, and how much is held until it is stored.

        Raises:
            SceneError, FormatError, RecipeError: As `prepare`.
            EncodingError: The format cannot hold a value of the frame.
            StorageError: It cannot be stored.
        """
        prepared = self.prepare(task)
        if isinstance(prepared, FrameResult):
            return self._recorded(task, store, prepared)
        if not prepared.record.points_out and not store_empty:
            return EmptyFrame(task, prepared.record)
        images = [
            (
                encoded.image.camera.name,
                stem,
                NewObject.of(stem, encoded.data, encoded.suffix, encoded.media_type, source=encoded.source),
            )
            for encoded, stem in zip(prepared.encoded, prepared.stems, strict=True)
            if encoded is not None and stem is not None
        ]
        urls = {stem: store.fetch_url(image.key) for _, stem, image in images}
        data = self._encoded(prepared, {stem: url.url for stem, url in urls.items()})
        in_memory, kept, record = prepared.in_memory, prepared.kept, prepared.record
        del prepared
        if admission is not None:
            admission.encoded(in_memory, len(data) + sum(image.size for *_, image in images))
        attachment_format = self._format
        expires = [url.expires_at for url in urls.values() if url.expires_at is not None]
        unsigned = unsigned_sha256(data, attachment_format, [image.key for *_, image in images]) if expires else None
        attachment = NewObject.of(
            f"frames/{task.stem}",
            data,
            attachment_format.suffix,
            attachment_format.content_type,
            compress=self.storage.gzip and self.recipe.format == "json",
        )
        for *_, image in images:
            image.put(store)
        notes = record.notes | _note_on_urls(task)
        record = record.model_copy(update={"kept": self.store_kept(task, store, kept), "notes": notes})
        attachment.put(store)
        # Here once more: a store may have shared the blocks of an image's file.
        self._require_unchanged(task.frame)
        result = FrameResult(
            frame=record,
            attachment=AttachmentRecord(
                **attachment.fields(store),
                frames=[task.frame.id],
                unsigned_sha256=unsigned,
                images_expire_at=min(expires, default=None),
            ),
            images=[
                ImageRecord(**image.fields(store), frame=task.frame.id, camera=camera) for camera, _, image in images
            ],
        )
        return self._recorded(task, store, result)

    def store_kept(self, task: FrameTask, store: Store, kept: bytes | None) -> ObjectRecord | None:
        """Store which points of a frame are kept; None where all are."""
        if kept is None:
            return None
        new = NewObject.of(f"kept/{task.stem}", kept, kept_points.SUFFIX, kept_points.CONTENT_TYPE)
        new.put(store)
        return ObjectRecord(**new.fields(store))

    def skipped(self, task: FrameTask, error: LidarprepError) -> FrameResult:
        """Return the result of a bad frame; raise the error if bad frames are not skipped."""
        if not self.recipe.skip_bad_frames:
            raise error
        return FrameResult(
            skipped=SkippedRecord(
                id=task.frame.id,
                index=task.frame.index,
                error=error.message,
                sources=source_records(task.frame, self.recording),
                fingerprint=task.fingerprint,
            )
        )

    @property
    def _format(self) -> FrameFormat:
        attachment_format = get_format(self.recipe.format)
        assert isinstance(attachment_format, FrameFormat)  # noqa: S101  # a scene is written by `scene_file`
        return attachment_format

    def _prepared(self, task: FrameTask) -> PreparedFrame:
        report = StepReport()
        source = task.frame
        frame = source if task.points is None else replace(source, read_points=partial(held, task.points))
        for step in self.steps:
            frame = step(frame, report)
        points = frame.points()
        frame, encoded, stems, left_out = self._with_sound_images(frame.with_data(points, frame.radar()), task)
        record = FrameRecord(
            id=source.id,
            index=source.index,
            timestamp=source.timestamp,
            world_from_ego=_pose_record(source),
            points_in=report.points_in,
            points_out=len(points),
            dropped=DroppedPoints(**report.dropped),
            images_left_out=left_out,
            notes=report.notes | get_format(self.recipe.format).losses(frame),
            sources=source_records(source, self.recording),
            fingerprint=task.fingerprint,
        )
        kept = None if report.kept is None else kept_points.encode(report.kept, report.points_in, report.stand_ins)
        in_memory = bytes_in_memory(source, record) + sum(len(one.data) for one in encoded if one is not None)
        return PreparedFrame(frame, encoded, stems, record, kept, in_memory)

    def _with_sound_images(
        self, frame: Frame, task: FrameTask
    ) -> tuple[Frame, tuple[EncodedImage | None, ...], tuple[str | None, ...], list[LeftOutImage]]:
        """Return the frame with the images that can be decoded, their bytes and stems; and those that cannot."""
        images: list[CameraImage] = []
        all_encoded: list[EncodedImage | None] = []
        stems: list[str | None] = []
        left_out: list[LeftOutImage] = []
        for row, image in enumerate(frame.images):
            encoded = None
            if is_stored(image):
                try:
                    encoded = _read_image(image, frame.id)
                except BadImageError as error:
                    file = "" if image.path is None else source_location(str(image.path), self.recording)
                    left_out.append(LeftOutImage(camera=image.camera.name, file=file, error=str(error)))
                    continue
            images.append(image if encoded is None else encoded.image)
            all_encoded.append(encoded)
            stems.append(task.image_stems[row] if task.image_stems else None)
        return replace(frame, images=tuple(images)), tuple(all_encoded), tuple(stems), left_out

    def _encoded(self, prepared: PreparedFrame, urls: Mapping[str, str]) -> bytes:
        """Encode a frame with the URLs of its images, by their stems."""
        images = tuple(
            image if stem is None else replace(image, url=urls[stem])
            for image, stem in zip(prepared.frame.images, prepared.stems, strict=True)
        )
        return self._format.encode(replace(prepared.frame, images=images), precision=self.recipe.precision)

    def _recorded(self, task: FrameTask, store: Store, result: FrameResult) -> FrameResult:
        if task.fingerprint is not None:
            put_entry(store, task.fingerprint, result)
        return result

    def _require_unchanged(self, frame: Frame) -> None:
        """Check that the frame's files are those that its fingerprint was made of.

        What is read of an object of a store has been compared on its reading.

        Raises:
            SourceChangedError: One has changed since the recording was opened.
        """
        for source in frame.sources:
            if source.version and "://" not in source.location and source_file(Path(source.location)) != source:
                raise SourceChangedError(source.location)


def bytes_in_memory(source: Frame, record: FrameRecord) -> int:
    """Return about what a frame's points take in memory while they are worked on."""
    # Of a frame that comes in chunks, what is dropped is never held beside what is kept.
    return BYTES_A_POINT * (record.points_in if source.read_chunks is None else record.points_out)


def _read_image(image: CameraImage, frame_id: str) -> EncodedImage:
    """Read an image from its file, or from the recording.

    Raises:
        SceneError: It has neither file nor URL.
        FormatError: Its file cannot be read.
        BadImageError: It cannot be decoded. Whatever a name or a link in a recording refers to, nothing else than
            images is published.
    """
    if image.content is not None:
        try:
            data = image.content()
        except FormatError as error:
            raise BadImageError(f"cannot be read: {error.message}") from error
    elif image.path is not None:
        try:
            data = image.path.read_bytes()
        except OSError as error:
            raise FormatError(image.path, found=f"the image cannot be read ({error.strerror or error})") from error
    else:
        raise SceneError(f"frame {frame_id}: the image of {image.camera.name} has no file")
    header = require_whole(data)
    suffix = image.path.suffix.lower() if image.path is not None else header.suffix
    source = image.path if image.content is None and isinstance(image.path, Path) else None
    return EncodedImage(replace(image, content=partial(held, data)), data, header.media_type, suffix, source)


def _note_on_urls(task: FrameTask) -> dict[str, str]:
    by_url = task.image_stems.count(None)
    what = f"{by_url} images" if by_url > 1 else "1 image"
    note = f"frame {task.frame.id}: of {what} only the URL is known; it is kept as it is"
    return {"images by URL": note} if by_url else {}


# Stores that this process has opened for the frames that an executor sends it.
_worker_stores: dict[tuple[int, str, StorageOptions], Store] = {}


def store_in_worker(processor: FrameProcessor, task: FrameTask, store_empty: bool) -> FrameResult | EmptyFrame:
    """Process a frame wherever an executor does it."""
    key = (os.getpid(), processor.out, processor.storage)
    if key not in _worker_stores:
        _worker_stores[key] = open_store(processor.out, processor.storage)
    with prefetch(task.fetch):
        return processor.store(task, _worker_stores[key], store_empty=store_empty)


def prepare_in_worker(processor: FrameProcessor, task: FrameTask) -> PreparedFrame | FrameResult:
    """Prepare a frame wherever an executor does it."""
    with prefetch(task.fetch):
        return processor.prepare(task)


def _pose_record(frame: Frame) -> PoseRecord | None:
    if frame.world_from_ego is None:
        return None
    w, x, y, z = frame.world_from_ego.quaternion.tolist()
    tx, ty, tz = frame.world_from_ego.translation.tolist()
    return PoseRecord(quaternion=(w, x, y, z), translation=(tx, ty, tz))
