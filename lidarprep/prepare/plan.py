"""The plan of a run: its frames, and the stems that their objects are named by."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from lidarprep.attachments import SceneFormat, get_format
from lidarprep.errors import SceneError
from lidarprep.recipe import Recipe
from lidarprep.remote import RemotePath
from lidarprep.scene import CameraImage, Frame, PointCloud, Scene
from lidarprep.scene.frame import own_objects
from lidarprep.scene_settings import require_frames
from lidarprep.storage.keys import KeyMaker


@dataclass(frozen=True)
class FrameTask:
    """One frame to be processed.

    Args:
        frame: The frame, as the recording has it.
        stem: What the keys of its attachment and kept points begin with, below frames/ and kept/.
        image_stems: The same of each of its images, below images/; None for one that is not stored, since only its
            URL is known. Empty where the attachment holds the images itself.
        fetch: Objects of a store that are fetched before the frame is read.
        fingerprint: What its result depends on; None where its sources are unknown.
        points: Its points, if they are in memory already.
    """

    frame: Frame
    stem: str
    image_stems: tuple[str | None, ...]
    fetch: tuple[RemotePath, ...] = ()
    fingerprint: str | None = None
    points: PointCloud | None = None

    def with_fingerprint(self, fingerprint: str | None) -> FrameTask:
        """Return the same task with its fingerprint."""
        return replace(self, fingerprint=fingerprint)


def plan(scene: Scene, recipe: Recipe) -> list[FrameTask]:
    """Return the frames to process, in time order.

    Raises:
        SceneError: The scene has no frames, two of one id, or a name that is not UTF-8.
        RecipeError: It has none of those that the recipe names.
    """
    require_frames(scene)
    ids = [frame.id for frame in scene]
    frames = recipe.select(scene.frames)
    for name in (scene.source, *ids, *(source.location for frame in frames for source in frame.sources)):
        if not name.isascii() and re.search("[\ud800-\udfff]", name):  # neither JSON nor the API could take it
            raise SceneError(f"{name!r} is not valid UTF-8", fix="Rename it.")
    keys = KeyMaker()
    with_images = not isinstance(get_format(recipe.format), SceneFormat)
    objects = dict(zip(ids, own_objects(scene.frames), strict=True))
    return [
        FrameTask(frame, keys.stem(frame.id), _image_stems(keys, frame) if with_images else (), objects[frame.id])
        for frame in frames
    ]


def is_stored(image: CameraImage) -> bool:
    """Tell whether an image is there to be stored; of another only the URL is known, and that is kept."""
    return image.content is not None or image.path is not None or image.url is None


def _image_stems(keys: KeyMaker, frame: Frame) -> tuple[str | None, ...]:
    stems: list[str | None] = []
    for row, image in enumerate(frame.images):
        # A camera that is faster than the lidar has several images in a frame.
        earlier = sum(other.camera.name == image.camera.name for other in frame.images[:row])
        name = f"{frame.id}.{earlier}" if earlier else frame.id
        stems.append(keys.stem("images", image.camera.name, name) if is_stored(image) else None)
    return tuple(stems)
