"""Labels that a scene itself has: the annotations of a Sensor Fusion Scene."""

from __future__ import annotations

from dataclasses import replace
from mmap import ACCESS_READ, mmap
from pathlib import Path

from lidarprep.attachments import SceneFormat, format_of_suffix
from lidarprep.errors import FormatError, naming
from lidarprep.labels.files import frames_of
from lidarprep.scene import Labels, Scene


def with_own_labels(scene: Scene) -> tuple[Scene, Labels | None]:
    """Read the annotations of a scene of attachments, if they are a .sfs.

    Returns:
        The scene, with notes of what cannot be shown; and the labels of its frames, None where there are none.
    """
    files = {source.location for frame in scene for source in frame.sources}
    scenes = [file for file in files if isinstance(format_of_suffix(Path(file).suffix), SceneFormat)]
    if scene.layout != "attachments" or len(scenes) != 1:
        return scene, None
    try:
        labels = _annotations(Path(scenes[0]))
    except FormatError as error:
        return replace(scene, notes=(*scene.notes, f"its annotations are not shown: {error.message}")), None
    if labels.cuboids is None or not len(labels.cuboids):
        return scene, None
    if len(labels.frames) == len(scene):  # a manifest has given them other ids
        labels = replace(labels, frames=frames_of(scene))
    return replace(scene, notes=(*scene.notes, *labels.notes)), labels


def _annotations(path: Path) -> Labels:
    attachment_format = format_of_suffix(path.suffix)
    assert isinstance(attachment_format, SceneFormat)  # noqa: S101
    with naming(path), path.open("rb") as file:  # a map, since a scene may be larger than memory
        return attachment_format.read_annotations(mmap(file.fileno(), 0, access=ACCESS_READ), source=str(path))
