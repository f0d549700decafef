"""An open bag: its topics, the times and places of their messages, and the messages themselves.

A place is a handful of numbers, so that what reads a frame can be sent to another process. There, and in each thread,
the bag is opened by its path; the last few that were opened stay so.
"""

from __future__ import annotations

import os
import tempfile
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple
from weakref import finalize

import numpy as np
import yaml
from numpy.typing import NDArray

from lidarprep.datasets.ros.chunks import zstd
from lidarprep.datasets.ros.cursor import Wire
from lidarprep.datasets.ros.storage import Front, Storage, Topic
from lidarprep.errors import FormatError, SceneError

METADATA = "metadata.yaml"

REINDEX = "A recorder that crashed leaves it out: `ros2 bag reindex FOLDER` writes it."

# A bag holds one file handle a file, and the chunks that it last decompressed.
_KEPT_OPEN = 4


class Place(NamedTuple):
    """Where a message is: the file's number in the bag, and the two numbers that its storage gave."""

    file: int
    chunk: int
    offset: int


@dataclass(frozen=True)
class Messages:
    """The messages of one topic over all files of a bag, by the time of their recording.

    Args:
        topic: The topic.
        times: (K,) int64 nanoseconds since the Unix epoch: when each was recorded.
        places: (K, 3) int64: file, chunk and offset of each.
    """

    topic: Topic
    times: NDArray[np.int64]
    places: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.times)

    @property
    def wire(self) -> Wire:
        """How they are serialised.

        Raises:
            SceneError: In a way that is not read here.
        """
        if self.topic.wire is None:
            raise SceneError(f"topic {self.topic.name} has messages of {self.topic.kind} in a form that is not known")
        return self.topic.wire

    def place(self, row: int) -> Place:
        """The place of the message of that row."""
        return Place(*self.places[row].tolist())


class Bag:
    """A bag of one file or more.

    Args:
        path: A .bag, .mcap or .db3 file, or the folder of a ROS 2 bag.

    Raises:
        FormatError: A file is cut, damaged or not of its kind; the folder has no metadata.
        MissingExtraError: Reading it needs a library that is not installed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._unpacked: tempfile.TemporaryDirectory[str] | None = None
        self._zstd_messages = False
        files = self._files_of(path) if path.is_dir() else [path]
        self.storages = [_storage(file) for file in files]
        self.topics = _all_topics(self.storages)

    def messages(self, topic: str) -> Messages:
        """The messages of a topic."""
        rows = [storage.rows(topic) for storage in self.storages]
        files = np.repeat(np.arange(len(rows)), [len(one.times) for one in rows])
        times = np.concatenate([one.times for one in rows])
        chunks, offsets = (np.concatenate([getattr(one, name) for one in rows]) for name in ("chunks", "offsets"))
        order = np.argsort(times, kind="stable")
        return Messages(self.topics[topic], times[order], np.column_stack((files, chunks, offsets))[order])

    def read(self, place: Place) -> bytes | memoryview:
        """One message."""
        data = self.storages[place.file].read(place.chunk, place.offset)
        return self._decompressed(data, None) if self._zstd_messages else data

    def fronts(self, wanted: Sequence[tuple[Messages, int | None]]) -> list[list[bytes]]:
        """The first bytes of all messages of some topics, in one way through the files.

        Args:
            wanted: Messages, and how many bytes of each; None: all.

        Returns:
            For each of them the bytes of its messages, in their order.
        """
        found: list[list[bytes]] = [[b""] * len(messages) for messages, _ in wanted]
        jobs = [
            (*place, which, row)
            for which, (messages, _) in enumerate(wanted)
            for row, place in enumerate(messages.places.tolist())
        ]
        jobs.sort()
        for number, storage in enumerate(self.storages):
            mine = [job for job in jobs if job[0] == number]
            places = [Front(chunk, offset, self._stored_limit(wanted[which][1])) for _, chunk, offset, which, _ in mine]
            for (*_, which, row), data in zip(mine, storage.fronts(places), strict=True):
                limit = wanted[which][1]
                found[which][row] = self._decompressed(data, limit) if self._zstd_messages else data
        return found

    def _stored_limit(self, limit: int | None) -> int | None:
        """How many bytes to read for that many decompressed ones: a block of Zstandard is 128 KiB at most."""
        return None if limit is None else limit + (1 << 17 if self._zstd_messages else 0)

    def _decompressed(self, data: bytes | memoryview, limit: int | None) -> bytes:
        stream = zstd().ZstdDecompressor()
        try:
            out: bytes = stream.decompress(data, max_length=-1 if limit is None else limit)
        except (zstd().ZstdError, EOFError) as error:
            raise FormatError(self.path, found=f"a message whose zstd data is damaged ({error})") from error
        if limit is None and not stream.eof:
            raise FormatError(self.path, found="a message whose zstd data is cut")
        return out

    def _files_of(self, folder: Path) -> list[Path]:
        """The files of a ROS 2 bag, as its metadata lists them; unpacked where they are compressed as a whole."""
        path = folder / METADATA
        if not path.is_file():
            raise FormatError(folder, found=f"no {METADATA}", expected="the folder of a ROS 2 bag", fix=REINDEX)
        try:
            value = yaml.safe_load(path.read_bytes())
        except (yaml.YAMLError, UnicodeDecodeError, ValueError) as error:
            raise FormatError(path, found=f"no YAML ({str(error).splitlines()[0]})", fix=REINDEX) from error
        information = _entry(path, value, "rosbag2_bagfile_information", dict)
        names = _entry(path, information, "relative_file_paths", list)
        if not all(isinstance(name, str) for name in names) or not names:
            raise FormatError(path, place="'relative_file_paths'", found=repr(names)[:80], expected="names of files")
        mode = str(information.get("compression_mode") or "none").lower()
        form = information.get("compression_format")
        if mode not in ("none", "file", "message") or (mode != "none" and form != "zstd"):
            raise FormatError(path, found=f"compression {form!r} by {mode!r}", expected="zstd by file or message")
        self._zstd_messages = mode == "message"
        # Older releases wrote paths from the folder above; the files lie beside the metadata in every release.
        files = [folder / Path(name).name for name in names]
        for file in files:
            if not file.is_file():
                raise FormatError(path, place="'relative_file_paths'", found=f"{file.name}, which is not there")
        return [self._unpack(file) for file in files] if mode == "file" else files

    def _unpack(self, file: Path) -> Path:
        """The file decompressed into a temporary folder, which goes when the bag does."""
        if self._unpacked is None:
            self._unpacked = tempfile.TemporaryDirectory(prefix="lidarprep-bag-")
            finalize(self, self._unpacked.cleanup)
        target = Path(self._unpacked.name) / file.stem
        try:
            with zstd().open(file, "rb") as source, target.open("wb") as out:
                while piece := source.read(1 << 22):
                    out.write(piece)
        except (zstd().ZstdError, EOFError) as error:
            raise FormatError(file, found=f"zstd data that is cut or damaged ({error})") from error
        return target


def _entry(path: Path, value: Any, key: str, kind: type[Any]) -> Any:
    entry = value.get(key) if isinstance(value, Mapping) else None
    if not isinstance(entry, kind):
        raise FormatError(path, place=f"'{key}'", found=repr(entry)[:80], expected=f"a {kind.__name__}", fix=REINDEX)
    return entry


def _storage(path: Path) -> Storage:
    """The file, opened by what its name ends in."""
    suffix = path.suffix.lower()
    if suffix == ".mcap":
        from lidarprep.datasets.ros.storage_mcap import McapStorage

        return McapStorage(path)
    if suffix == ".db3":
        from lidarprep.datasets.ros.storage_sqlite import SqliteStorage

        return SqliteStorage(path)
    from lidarprep.datasets.ros.storage_ros1 import Ros1Storage

    return Ros1Storage(path)


def _all_topics(storages: Sequence[Storage]) -> dict[str, Topic]:
    topics: dict[str, Topic] = {}
    for storage in storages:
        for name, topic in storage.topics.items():
            earlier = topics.get(name)
            topics[name] = topic if earlier is None else earlier.joined(topic)
    return dict(sorted(topics.items()))


_open_bags: OrderedDict[tuple[str, int, int, int], Bag] = OrderedDict()
_lock = Lock()


def opened(path: Path) -> Bag:
    """The bag at the path, from those that are open if it has not changed since."""
    status = (path / METADATA if path.is_dir() else path).stat()
    key = (os.fspath(path.absolute()), status.st_mtime_ns, status.st_size, os.getpid())
    with _lock:
        bag = _open_bags.pop(key, None) or Bag(path)
        _open_bags[key] = bag
        while len(_open_bags) > _KEPT_OPEN:
            _open_bags.popitem(last=False)  # closed when the last read of it is over
        return bag
