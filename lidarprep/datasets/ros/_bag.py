"""An open bag: its topics, the times and places of their messages, and the messages themselves.

A place is a handful of numbers, so that what reads a frame can be sent to another process. There, and in each thread,
the bag is opened by its path; the last few bags stay open.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from threading import Lock
from typing import Any, NamedTuple
from weakref import finalize

import numpy as np
import yaml
from numpy.typing import NDArray

from lidarprep.datasets.filenames import names_around, source_file, source_files, visible_names
from lidarprep.datasets.ros._storage import Prefix, Storage, Topic, Wire, add_topic, zstd
from lidarprep.errors import FormatError, SceneError
from lidarprep.remote import AnyPath
from lidarprep.scene import Finding, SourceFile, Subject

METADATA = "metadata.yaml"

REINDEX = "A recorder that crashed leaves it out: `ros2 bag reindex FOLDER` writes it."

# A recorder that splits a bag numbers the parts.
_PART = re.compile(r"(?P<name>.+)_[0-9]+(\.[a-z0-9]+)+", re.IGNORECASE)

# Other parts that a finding names; further ones are counted.
_NAMED = 5

# A bag holds one file handle a file, and the chunks that it last decompressed.
_KEPT_OPEN = 4


class Place(NamedTuple):
    """Where a message is: the file's number in the bag, and the two numbers of its storage."""

    file: int
    chunk: int
    offset: int


@dataclass(frozen=True)
class Messages:
    """The messages of one topic over all files of a bag, by the time of their recording."""

    topic: Topic
    times: NDArray[np.int64]  # (K,) nanoseconds since the Unix epoch: when each was recorded
    places: NDArray[np.int64]  # (K, 3): file, chunk and offset of each

    def __len__(self) -> int:
        return len(self.times)

    @property
    def wire(self) -> Wire:
        """How they are serialised; a way that is not read here is a SceneError."""
        if self.topic.wire is None:
            raise SceneError(f"topic {self.topic.name} has messages of {self.topic.kind} in a form that is not known")
        return self.topic.wire

    def place(self, row: int) -> Place:
        """Return the place of the message of that row."""
        return Place(*self.places[row].tolist())

    def name(self, row: int) -> str:
        """Return what errors call the message of that row."""
        return f"topic {self.topic.name}, message {row} at {int(self.times[row])} ns"

    def first(self) -> Messages:
        """Return the first message alone."""
        return Messages(self.topic, self.times[:1], self.places[:1])


class Bag:
    """A bag of one file or more.

    Args:
        path: A .bag, .mcap or .db3 file, or the folder of a ROS 2 bag.

    Raises:
        FormatError: A file is cut, damaged or not of its kind; the folder has no metadata.
        MissingExtraError: Reading it needs a library that is not installed.
    """

    def __init__(self, path: AnyPath) -> None:
        self.path = path
        self._unpacked: tempfile.TemporaryDirectory[str] | None = None
        self._compression = "none"
        self._counted: Any = None  # how many messages its metadata has
        self.files = self._listed_files() if path.is_dir() else [path]
        # Taken before the files are read: one that changes meanwhile has another version later.
        self.sources = self.current_sources()
        self.storages = [_storage(self._unpack(file) if self._compression == "file" else file) for file in self.files]
        if self._unpacked is not None and not isinstance(path, Path):
            self.storages[0].notes.append("its files are fetched and unpacked to a temporary folder on this machine")
        elif not isinstance(path, Path) and any(storage.is_compressed for storage in self.storages):
            self.storages[0].notes.append(
                "its chunks are compressed, so most of it is fetched each time that it is opened: "
                "copy it to this machine to open it more than once"
            )
        topics: dict[str, Topic] = {}
        for storage in self.storages:
            for topic in storage.topics.values():
                add_topic(topics, topic)
        self.topics = dict(sorted(topics.items()))
        self.findings = self._too_few()

    def current_sources(self) -> tuple[SourceFile, ...]:
        """Return the identity of the files as they are now, write-ahead logs of .db3 files included."""
        logs = [file.with_name(f"{file.name}-wal") for file in self.files if file.suffix.lower() == ".db3"]
        return source_files([*self.files, *(log for log in logs if log.exists())])

    def of_kind(self, *kinds: str) -> list[Topic]:
        """Return the topics of these types that have messages which can be read."""
        return [topic for topic in self.topics.values() if topic.kind in kinds and topic.messages and topic.wire]

    def messages(self, topic: str) -> Messages:
        """Return the messages of a topic."""
        parts = [storage.rows(topic) for storage in self.storages]
        files = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
        rows = np.concatenate(parts)
        order = np.argsort(rows[:, 0], kind="stable")
        return Messages(self.topics[topic], rows[order, 0], np.column_stack((files, rows[:, 1:]))[order])

    def read(self, place: Place) -> bytes | memoryview:
        """Read one message."""
        data = self.storages[place.file].read(place.chunk, place.offset)
        return self._decompressed(data, None) if self._compression == "message" else data

    def prefixes(self, wanted: Collection[tuple[Messages, int | None]]) -> list[list[bytes]]:
        """Read the first bytes of all messages of some topics, in one pass over the files.

        Wanted are messages, and how many bytes of each, None for all. Returned are for each of them the bytes of its
        messages, in their order.
        """
        by_message = self._compression == "message"
        found: list[list[bytes]] = [[b""] * len(messages) for messages, _ in wanted]
        limits = [limit for _, limit in wanted]
        # A block of Zstandard is 128 KiB at most.
        stored = [limit if limit is None or not by_message else limit + (1 << 17) for limit in limits]
        jobs = sorted(
            (*place, which, row)
            for which, (messages, _) in enumerate(wanted)
            for row, place in enumerate(messages.places.tolist())
        )
        for number, storage in enumerate(self.storages):
            mine = [job for job in jobs if job[0] == number]
            places: list[Prefix] = [(chunk, offset, stored[which]) for _, chunk, offset, which, _ in mine]
            for (*_, which, row), data in zip(mine, storage.prefixes(places), strict=True):
                found[which][row] = self._decompressed(data, limits[which]) if by_message else data
        return found

    def _decompressed(self, data: bytes | memoryview, limit: int | None) -> bytes:
        stream = zstd().ZstdDecompressor()
        try:
            out: bytes = stream.decompress(data, max_length=-1 if limit is None else limit)
        except (zstd().ZstdError, EOFError) as error:
            raise FormatError(self.path, found=f"a message whose zstd data is damaged ({error})") from error
        if limit is None and not stream.eof:
            raise FormatError(self.path, found="a message whose zstd data is cut")
        return out

    def _listed_files(self) -> list[AnyPath]:
        """Return the files of a ROS 2 bag that its metadata lists, and note their compression."""
        folder, path = self.path, self.path / METADATA
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
        self._compression = mode
        self._counted = information.get("message_count")
        # Older releases wrote paths from the folder above; the files are beside the metadata in every release.
        files = [folder / PurePath(name).name for name in names]
        for file in files:
            if not file.is_file():
                raise FormatError(path, place="'relative_file_paths'", found=f"{file.name}, which is not there")
        return files

    def _too_few(self) -> list[Finding]:
        """Find that there are fewer messages than the metadata count."""
        there = sum(topic.messages for topic in self.topics.values())
        if type(self._counted) is not int or there >= self._counted:
            return []
        message = f"{self.path.name} has {there} messages, where its {METADATA} counts {self._counted}"
        cure = "copy its files once more, with a .db3-wal beside a .db3; or find the parts that are missing"
        subject = Subject("file", os.fspath(self.path))
        return [Finding("messages-missing", message, cure, "warning", subject, there, self._counted)]

    def _unpack(self, file: AnyPath) -> AnyPath:
        """Decompress a file into a temporary folder, which is deleted with the bag."""
        if self._unpacked is None:
            self._unpacked = tempfile.TemporaryDirectory(prefix="lidarprep-bag-")
            finalize(self, self._unpacked.cleanup)
        target = Path(self._unpacked.name) / file.stem
        try:
            with file.open("rb") as stored, zstd().open(stored, "rb") as source, target.open("wb") as out:
                while piece := source.read(1 << 22):
                    out.write(piece)
        except (zstd().ZstdError, EOFError) as error:
            raise FormatError(file, found=f"zstd data that is cut or damaged ({error})") from error
        return target


def other_parts(path: AnyPath, files: Sequence[AnyPath]) -> list[Finding]:
    """Find files beside those of a bag that may be parts of it and are not read: NAME_0.mcap, NAME_1.mcap.

    In the folder of a bag each file of messages is one; beside a single file those whose names differ in the number.
    """
    folder = path if path.is_dir() else path.absolute().parent
    read = {file.name for file in files}
    part = None if path.is_dir() else _PART.fullmatch(path.name)
    if not path.is_dir() and part is None:
        return []
    others = []
    for name in visible_names(folder) if path.is_dir() else names_around(folder):
        other = _PART.fullmatch(name)
        if name in read or (part is not None and (other is None or other["name"] != part["name"])):
            continue
        suffix = name.lower().removesuffix(".zstd")
        if suffix.endswith((".db3", ".mcap")) or (part is not None and suffix.endswith(".bag")):
            others.append(name)
    if not others:
        return []
    listed = ", ".join(others[:_NAMED]) + (f" and {len(others) - _NAMED} more" if len(others) > _NAMED else "")
    if path.is_dir():
        message = (
            f"{len(others)} files of messages in {path.name} are not in its {METADATA}, and are not read: {listed}"
        )
        cure = "`ros2 bag reindex FOLDER` writes metadata of all of them; or move them away"
        return [
            Finding("bag-parts-not-read", message, cure, "warning", Subject("file", os.fspath(path)), len(others), 0)
        ]
    message = f"{path.name} is read alone; beside it are files whose names differ in the number: {listed}"
    cure = f"if they are parts of one recording, open the folder with its {METADATA}, or each part"
    return [Finding("bag-parts-not-read", message, cure, "note", Subject("file", os.fspath(path)), len(others), 0)]


def _entry(path: AnyPath, value: Any, key: str, kind: type[Any]) -> Any:
    entry = value.get(key) if isinstance(value, Mapping) else None
    if not isinstance(entry, kind):
        raise FormatError(path, place=f"'{key}'", found=repr(entry)[:80], expected=f"a {kind.__name__}", fix=REINDEX)
    return entry


def _storage(path: AnyPath) -> Storage:
    """Open a file by its suffix; the library that its kind needs is imported here."""
    suffix = path.suffix.lower()
    if suffix == ".mcap":
        from lidarprep.datasets.ros._mcap import McapStorage

        return McapStorage(path)
    if suffix == ".db3":
        from lidarprep.datasets.ros._sqlite import SqliteStorage

        return SqliteStorage(path)
    from lidarprep.datasets.ros._ros1 import Ros1Storage

    return Ros1Storage(path)


_open_bags: OrderedDict[tuple[SourceFile, int], Bag] = OrderedDict()
_lock = Lock()


def opened(path: AnyPath, *, check_files: bool = False) -> Bag:
    """Return the bag at the path: an open one if it has not changed since.

    Of a folder only the metadata are looked at for changes, unless all its files are to be checked.
    """
    told_by = (path / METADATA if path.is_dir() else path).absolute()
    told_by.stat()  # an error of the disk is told by its own name
    key = (source_file(told_by), os.getpid())
    with _lock:
        bag = _open_bags.pop(key, None)
        if bag is None or (check_files and bag.current_sources() != bag.sources):
            bag = Bag(path)
        _open_bags[key] = bag
        while len(_open_bags) > _KEPT_OPEN:
            _open_bags.popitem(last=False)  # closed when the last read of it is over
        return bag
