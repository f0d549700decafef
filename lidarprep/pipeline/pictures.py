"""A frame's pictures on their way to the store: looked at, then stored as they are.

A store that takes files is given a picture's file, which it may copy without writing its bytes; another its bytes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from lidarprep.errors import FormatError, SceneError
from lidarprep.scene import CameraImage
from lidarprep.storage.copies import TakesFiles
from lidarprep.storage.store import Store, StoredObject, picture_type

# Enough of a picture to tell its media type.
_BEGINNING = 16


def is_stored(image: CameraImage) -> bool:
    """Whether a picture is there to be stored; of another only the URL is known, and that is kept."""
    return image.content is not None or image.path is not None or image.url is None


@dataclass(frozen=True)
class Encoded:
    """What is ready to be stored: its bytes and their media type."""

    data: bytes
    media_type: str

    @property
    def bytes_held(self) -> int:
        """How many bytes it keeps in memory."""
        return len(self.data)

    def put(self, store: Store, key: str) -> StoredObject:
        """Stores it.

        Raises:
            StorageError: That failed.
        """
        return store.put(key, self.data, self.media_type)


@dataclass(frozen=True)
class PictureFile:
    """The file of an encoded picture, for a store that takes files."""

    path: Path
    bytes_held = 0

    def put(self, store: Store, key: str) -> StoredObject:
        """Stores a copy of it.

        Raises:
            FormatError: It cannot be read, or is no picture.
            StorageError: That failed.
        """
        assert isinstance(store, TakesFiles)  # noqa: S101  # that is what it is made for
        with _opened(self.path) as file:
            return store.put_copy(key, file, picture_type(self.path, file.read(_BEGINNING)))

    def check(self) -> None:
        """Looks at how it begins.

        Raises:
            FormatError: It cannot be read, or is no picture.
        """
        with _opened(self.path) as file:
            picture_type(self.path, file.read(_BEGINNING))


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """The file of a picture.

    Raises:
        FormatError: It cannot be read.
    """
    try:
        with path.open("rb", buffering=0) as file:
            yield file
    except OSError as error:
        raise FormatError(path, found=f"the picture cannot be read ({error.strerror or error})") from error


def encoded(image: CameraImage, frame_id: str, store: Store) -> Encoded | PictureFile | None:
    """A picture as it is stored; None where it is not.

    Raises:
        SceneError: It has neither file nor URL.
        FormatError: Its file cannot be read, or is no picture.
    """
    if not is_stored(image):
        return None
    if image.content is not None:
        data = image.content()
    elif image.path is None:
        raise SceneError(f"frame {frame_id}: the picture of {image.camera.name} has no file")
    elif isinstance(store, TakesFiles):
        file = PictureFile(image.path)
        file.check()
        return file
    else:
        with _opened(image.path) as opened:
            data = opened.read()
    return Encoded(data, picture_type(image.path or f"frame {frame_id}, the picture of {image.camera.name}", data))


def notes_on_pictures(pictures: Sequence[object | None], frame_id: str) -> dict[str, str]:
    """What is to be said of a frame's pictures, None for one that is not stored."""
    by_url = sum(picture is None for picture in pictures)
    if not by_url:
        return {}
    what = f"{by_url} pictures" if by_url > 1 else "1 picture"
    return {"pictures by URL": f"frame {frame_id}: of {what} only the URL is known; it is kept as it is"}
