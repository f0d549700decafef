"""Labels that a scene itself has: the annotations of a Sensor Fusion Scene."""

from __future__ import annotations

from dataclasses import replace
from mmap import ACCESS_READ, mmap

from lidarprep.attachments import SceneFormat, format_of_suffix
from lidarprep.datasets.attachments import scene_file_of
from lidarprep.datasets.filenames import on_disk
from lidarprep.errors import FormatError, naming
from lidarprep.labels.files import frames_of
from lidarprep.remote import AnyPath
from lidarprep.scene import Labels, Scene


def with_own_labels(scene: Scene) -> tuple[Scene, Labels | None]:
    """Read the annotations of a scene of attachments, if they are a .sfs.

    Returns:
        The scene, with notes of what cannot be shown; and the labels of its frames, None where there are none.
    """
    path = scene_file_of(scene)
    if path is None:
        return scene, None
    try:
        labels = _annotations(path)
    except FormatError as error:
        return replace(scene, notes=(*scene.notes, f"its annotations are not shown: {error.message}")), None
    if labels.cuboids is None or not len(labels.cuboids):
        return scene, None
    if len(labels.frames) == len(scene):  # a manifest has given them other ids
        labels = replace(labels, frames=frames_of(scene))
    return replace(scene, notes=(*scene.notes, *labels.notes)), labels


def _annotations(path: AnyPath) -> Labels:
    attachment_format = format_of_suffix(path.suffix)
    assert isinstance(attachment_format, SceneFormat)  # noqa: S101
    with naming(path), on_disk(path).open("rb") as file:  # a map, since a scene may be larger than memory
        return attachment_format.read_annotations(mmap(file.fileno(), 0, access=ACCESS_READ), source=str(path))
