"""Recordings of ROS: ROS 1 .bag files, ROS 2 bags in sqlite3 or MCAP files, and single MCAP files.

    _scene.py                         a bag as a scene: from topics to frames, and the trajectory of the device
    _topics.py                        which topics are read
    _clouds.py, _cameras.py           lidars and their points; cameras, their intrinsics and images
    _transforms.py                    the tree of transforms
    _clocks.py                        clocks that differ between topics
    _messages.py                      headers and values of serialised messages
    _bag.py                           an open bag: its topics, and its messages by their places
    _storage.py                       what the kinds of file have in common: _mcap.py, _ros1.py, _sqlite.py

Messages are read at the places that the file's own index gives, so opening a bag reads no points. The messages that
are read are of standard types, whose layout is the same in every release of ROS: no message definition is needed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from lidarprep.datasets.filenames import visible
from lidarprep.datasets.options import OpenOptions
from lidarprep.datasets.selection import listed
from lidarprep.errors import FormatError
from lidarprep.remote import AnyPath
from lidarprep.scene import Scene

_METADATA = "metadata.yaml"
_METADATA_KEY = b"rosbag2_bagfile_information"


@dataclass(frozen=True)
class BagFile:
    """The layout of a bag that is one file, whose name ends in one of the suffixes in lower case; see `Layout`."""

    name: str
    LOOKS_LIKE: str
    suffixes: tuple[str, ...]

    def detect(self, path: AnyPath) -> str | None:
        """Return why this is such a bag, or None."""
        suffix = next((suffix for suffix in self.suffixes if path.name.lower().endswith(suffix)), None)
        return f"its name ends in {suffix}" if suffix is not None and path.is_file() else None

    def open(self, path: AnyPath, options: OpenOptions) -> Scene:
        """Open a bag: see `open_bag` in _scene.py."""
        from lidarprep.datasets.ros._scene import open_bag

        return open_bag(path, self.name, options)


class Ros2Bag(BagFile):
    """The layout of ROS 2 bags: a folder with metadata.yaml and the files that it lists; or one .db3 file.

    A folder with one file of messages and no metadata is opened by that file.
    """

    def detect(self, path: AnyPath) -> str | None:
        """Return why this is a ROS 2 bag, or None."""
        try:
            if not path.is_dir():
                return super().detect(path)
            metadata = path / _METADATA
            if metadata.is_file():
                with metadata.open("rb") as file:
                    return f"it has the {_METADATA} of one" if _METADATA_KEY in file.read(4096) else None
            files = _message_files(path)
        except OSError:
            return None
        return f"it holds {files[0].name}" if files else None

    def open(self, path: AnyPath, options: OpenOptions) -> Scene:
        """Open a ROS 2 bag: see `open_bag` in _scene.py.

        Raises:
            FormatError: There is no metadata, and several files of messages.
        """
        if not path.is_dir() or (path / _METADATA).is_file():
            return super().open(path, options)
        files = _message_files(path)
        if len(files) != 1:
            raise FormatError(
                path,
                found=f"no {_METADATA}, and {len(files)} files of messages: {listed([file.name for file in files])}",
                expected=f"{_METADATA}, or one file",
                fix="Open one of the files; or, if they are parts of one bag, let `ros2 bag reindex FOLDER` write it.",
            )
        scene = super().open(files[0], options)
        return replace(scene, notes=(f"there is no {_METADATA}; {files[0].name} is read by itself", *scene.notes))


def _message_files(folder: AnyPath) -> list[AnyPath]:
    return [file for file in visible(folder) if file.suffix.lower() in (".db3", ".mcap") and file.is_file()]


ROS1 = BagFile("ros1", "a ROS 1 bag: a file NAME.bag", (".bag", ".bag.active"))
ROS2 = Ros2Bag("ros2", "a ROS 2 bag: a folder with metadata.yaml and .db3 or .mcap files, or one .db3 file", (".db3",))
MCAP = BagFile("mcap", "an MCAP file with messages of ROS: a file NAME.mcap", (".mcap",))
