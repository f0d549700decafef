"""What a run is to do: its frames, and what each is stored under."""

from __future__ import annotations

from collections.abc import Sequence

from lidarprep.attachments import SceneFormat, get_format
from lidarprep.errors import FormatError, SceneError
from lidarprep.pipeline.frame_work import FrameJob
from lidarprep.pipeline.pictures import is_stored
from lidarprep.recipe import Recipe
from lidarprep.scene import CameraImage, Frame, Scene
from lidarprep.steps.sampling import labelled_rows, select_frames
from lidarprep.storage.keys import KeyMaker
from lidarprep.storage.store import MANIFEST_KEY, picture_type

# Suffixes of pictures that have no file name, by media type.
_SUFFIXES = {"image/jpeg": ".jpg", "image/png": ".png"}


def planned(scene: Scene, recipe: Recipe) -> list[FrameJob]:
    """The frames to prepare, in time order, which of them Scale labels, and where each is to be stored.

    Raises:
        SceneError: The scene has no frames, or two of one id.
        RecipeError: It has none of those that the recipe names.
    """
    ids = [frame.id for frame in scene]
    if not ids:
        raise SceneError(f"{scene.source} has no frames")
    if len(set(ids)) < len(ids):
        twice = next(frame_id for row, frame_id in enumerate(ids) if frame_id in ids[:row])
        raise SceneError(f"{scene.source} has two frames with the id {twice!r}")
    frames = select_frames(scene.frames, recipe.frames)
    rows = labelled_rows(len(frames), recipe.labeling_sample_rate or 1)
    labelled = set(rows)
    names = _Names(recipe)
    return [
        FrameJob(frames[row], *names.keys_of(frames[row]), labelled=row in labelled)
        for row in (rows if recipe.only_labelled else range(len(frames)))
    ]


def keys_of(jobs: Sequence[FrameJob]) -> list[str]:
    """The keys of all that is stored for some frames, each once: a scene's share theirs. The manifest's comes last."""
    return [*dict.fromkeys(key for job in jobs for key in job.keys), MANIFEST_KEY]


class _Names:
    """Names what is stored."""

    def __init__(self, recipe: Recipe) -> None:
        self.attachment_format = get_format(recipe.format)
        self.keys = KeyMaker()
        self.suffixes: dict[str, str] = {}

    def keys_of(self, frame: Frame) -> tuple[str, tuple[str | None, ...]]:
        """Key of the attachment that is to hold a frame, and those of its pictures that are stored beside it.

        A picture of which only the URL is known has None.
        """
        attachment_format, keys = self.attachment_format, self.keys
        if isinstance(attachment_format, SceneFormat):
            return keys.key("scene", suffix=attachment_format.suffix), ()
        pictures: list[str | None] = []
        for row, image in enumerate(frame.images):
            if not is_stored(image):
                pictures.append(None)
                continue
            # A camera that is faster than the lidar has several pictures in a frame.
            earlier = sum(other.camera.name == image.camera.name for other in frame.images[:row])
            name = f"{frame.id}.{earlier}" if earlier else frame.id
            pictures.append(keys.key("images", image.camera.name, name, suffix=self.suffix_of(image)))
        return keys.key(f"frame-{frame.id}", suffix=attachment_format.suffix), tuple(pictures)

    def suffix_of(self, image: CameraImage) -> str:
        """Suffix of a picture's key: its file's; or else by how the first picture of its camera begins.

        Reading one picture may be slow, in a bag; one camera's are all of a kind. A picture that cannot be read gets
        none here, and is refused when it is its turn.
        """
        if image.path is not None:
            return image.path.suffix.lower()
        if image.content is None:
            return ""
        name = image.camera.name
        if name not in self.suffixes:
            try:
                self.suffixes[name] = _SUFFIXES[picture_type(f"a picture of {name}", image.content())]
            except (FormatError, SceneError):
                return ""
        return self.suffixes[name]
