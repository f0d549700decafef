"""How one frame of a run is stored as an attachment of its own: prepared, encoded, put; done once all of it is durable.

A put is mostly waiting, for a network or for a disk. So the objects of a frame are put side by side, and where that can
be done in the process of the run, by threads of their own, while others prepare the frames that follow.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, replace
from threading import Lock

from lidarprep.attachments import FrameFormat
from lidarprep.pipeline.frame_work import BAD_FRAME, FrameJob, FramePreparer, SkippedFrame
from lidarprep.pipeline.in_flight import Flight
from lidarprep.pipeline.pictures import Encoded, PictureFile, encoded, notes_on_pictures
from lidarprep.resigning import unsigned_sha256
from lidarprep.scene import CameraImage
from lidarprep.storage.manifest import AttachmentRecord, FrameRecord, ImageRecord, SkippedRecord
from lidarprep.storage.store import StoredObject

# Puts that wait side by side.
PUTS = 16

# Seconds after which a process that is not the run's looks whether that goes on.
_LOOK_S = 0.2


@dataclass(frozen=True)
class StoredFrame:
    """What the manifest says of one frame that is stored as an attachment of its own.

    Args:
        record: The frame.
        notes: What was found odd, or what the format cannot hold, a sentence for each kind.
        attachment: What it is stored as.
        images: Its pictures that are stored.
        images_expire_at: When the signed URLs of its pictures run out, seconds since the Unix epoch; None where none
            is signed.
        in_memory: About what it took in memory while it was worked on, in bytes; 0 for one of an earlier run.
    """

    record: FrameRecord
    notes: dict[str, str]
    attachment: AttachmentRecord
    images: list[ImageRecord]
    images_expire_at: int | None = None
    in_memory: int = 0

    @property
    def bytes(self) -> int:
        """How much is stored for it."""
        return self.attachment.bytes + sum(image.bytes for image in self.images)


@dataclass(frozen=True)
class EncodedFrame:
    """A frame whose points are let go: what is to be put for it, and what is to be said of it then.

    Args:
        objects: Keys, and what is to be put under them: its pictures, then its attachment.
        pictures: The pictures.
        record: What the manifest says of it.
        notes: What was found odd, or what the format cannot hold, a sentence for each kind.
        images_expire_at: When the signed URLs of its pictures run out; None where none is signed.
        unsigned_sha256: SHA-256 of its attachment without what signs them; None where none is signed.
        in_memory: About what it took in memory while it was worked on, in bytes.
    """

    objects: Sequence[tuple[str, Encoded | PictureFile]]
    pictures: Sequence[CameraImage]
    record: FrameRecord
    notes: dict[str, str]
    images_expire_at: int | None
    unsigned_sha256: str | None
    in_memory: int

    @property
    def bytes_held(self) -> int:
        """What is held until it is put."""
        return sum(content.bytes_held for _, content in self.objects)

    def stored(self, objects: Sequence[StoredObject]) -> StoredFrame:
        """What is to be recorded once all is put."""
        *pictures, attachment = objects
        images = [
            ImageRecord(frame=self.record.id, camera=image.camera.name, url=one.url, bytes=one.bytes, sha256=one.sha256)
            for image, one in zip(self.pictures, pictures, strict=True)
        ]
        return StoredFrame(
            record=self.record,
            notes=self.notes,
            attachment=AttachmentRecord(
                url=attachment.url,
                bytes=attachment.bytes,
                sha256=attachment.sha256,
                frames=[self.record.id],
                unsigned_sha256=self.unsigned_sha256,
            ),
            images=images,
            images_expire_at=self.images_expire_at,
            in_memory=self.in_memory,
        )


@dataclass(frozen=True)
class FrameStorer:
    """Prepares frames, and stores each as an attachment of its own.

    Args:
        prepare: What is done to each frame before.
        attachment_format: What it is encoded as.
    """

    prepare: FramePreparer
    attachment_format: FrameFormat

    def __call__(self, job: FrameJob) -> StoredFrame | SkippedFrame:
        """One frame and its pictures, wherever an executor does it.

        Raises:
            SceneError, FormatError, RecipeError: As `FramePreparer`.
            EncodingError: The format cannot hold a value of the frame.
            StorageError: It cannot be stored.
        """
        encoded_frame = self.encode(job)
        if isinstance(encoded_frame, SkippedFrame):
            return encoded_frame
        destination = self.prepare.destination
        with ThreadPoolExecutor(min(PUTS, len(encoded_frame.objects))) as pool:
            puts = [pool.submit(self.put, key, content) for key, content in encoded_frame.objects]
            while wait(puts, timeout=_LOOK_S).not_done:
                if destination.run.is_over:
                    destination.stop()
        return self.finished(encoded_frame, puts)

    def encode(self, job: FrameJob) -> EncodedFrame | SkippedFrame:
        """One frame, up to where it can be put.

        Raises:
            SceneError, FormatError, RecipeError, EncodingError: As for all of it.
        """
        prepared = self.prepare(job)
        if isinstance(prepared, SkippedFrame):
            return prepared
        frame, recipe = prepared.frame, self.prepare.recipe
        store = self.prepare.destination.open_staged()
        expire_at = store.fetch_urls_expire_at()
        try:
            contents = [encoded(image, frame.id, store) for image in frame.images]
        except BAD_FRAME as error:
            if not recipe.skip_bad_frames:
                raise
            return SkippedFrame.because(frame, job.labelled, error)
        images, objects, pictures = [], [], []
        for image, key, content in zip(frame.images, job.image_keys, contents, strict=True):
            if key is None or content is None:
                images.append(image)
                continue
            images.append(replace(image, url=store.fetch_url(key)))
            objects.append((key, content))
            pictures.append(image)
        self.prepare.destination.go_on()
        data = self.attachment_format.encode(replace(frame, images=tuple(images)), precision=recipe.precision)
        objects.append((job.key, Encoded(data, self.attachment_format.content_type)))
        signed = expire_at is not None and bool(pictures)
        keys = [key for key, _ in objects[:-1]]
        return EncodedFrame(
            objects=objects,
            pictures=pictures,
            record=prepared.record,
            notes=prepared.notes | notes_on_pictures(contents, frame.id),
            images_expire_at=expire_at if signed else None,
            unsigned_sha256=unsigned_sha256(data, self.attachment_format, keys) if signed else None,
            in_memory=prepared.in_memory + sum(content.bytes_held for _, content in objects),
        )

    def put(self, key: str, content: Encoded | PictureFile) -> StoredObject:
        """One object of a frame.

        Raises:
            FormatError: It cannot be read any more.
            StorageError: It cannot be stored.
        """
        self.prepare.destination.go_on()
        return content.put(self.prepare.destination.open_staged(), key)

    def finished(self, frame: EncodedFrame, puts: Sequence[Future[StoredObject]]) -> StoredFrame | SkippedFrame:
        """A frame of which all is put, or was tried to.

        Raises:
            FormatError, StorageError: As `put`, but for the former where bad frames are skipped.
        """
        try:
            return frame.stored([put.result() for put in puts])
        except BAD_FRAME as error:
            if not self.prepare.recipe.skip_bad_frames:
                raise
            record = SkippedRecord(id=frame.record.id, index=frame.record.index, error=error.message)
            return SkippedFrame(record, frame.record.labelled)


@dataclass(frozen=True)
class StoringInTurn:
    """Has frames prepared by some threads, and what they become put by others.

    Args:
        storer: What is done.
        preparing: Threads of this process.
        putting: Others.
    """

    storer: FrameStorer
    preparing: Executor
    putting: Executor

    def submit(self, job: FrameJob, flight: Flight) -> Future[StoredFrame | SkippedFrame]:
        """Takes up a frame; it is put by, with what is to be put, as soon as it is encoded."""
        result: Future[StoredFrame | SkippedFrame] = Future()
        self.preparing.submit(self._prepare, job, flight, result)
        return result

    def _prepare(self, job: FrameJob, flight: Flight, result: Future[StoredFrame | SkippedFrame]) -> None:
        if not result.set_running_or_notify_cancel():
            return
        with _failing(result):
            frame = self.storer.encode(job)
            if isinstance(frame, SkippedFrame):
                result.set_result(frame)
                return
            flight.measure(frame.in_memory)
            flight.put_by(frame.bytes_held)
            puts = [self.putting.submit(self.storer.put, key, content) for key, content in frame.objects]
            self._finish_after(puts, frame, result)

    def _finish_after(
        self, puts: list[Future[StoredObject]], frame: EncodedFrame, result: Future[StoredFrame | SkippedFrame]
    ) -> None:
        """Gives the result once all puts are done."""
        lock, left = Lock(), len(puts)

        def one_is_done(_: Future[StoredObject]) -> None:
            nonlocal left
            with lock:
                left -= 1
                if left:
                    return
            with _failing(result):
                result.set_result(self.storer.finished(frame, puts))
            puts.clear()  # each holds this function, and so the bytes that were put

        for put in puts:
            put.add_done_callback(one_is_done)


@contextmanager
def _failing(result: Future[StoredFrame | SkippedFrame]) -> Iterator[None]:
    """What is raised within the `with` statement is the result."""
    try:
        yield
    except BaseException as error:  # noqa: BLE001  # whatever it is, it is raised where the result is taken
        result.set_exception(error)
