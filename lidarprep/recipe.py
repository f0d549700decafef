"""The recipe of a run, as data: validated models that are read from YAML, from flags and from Python alike."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, FiniteFloat, model_validator

from lidarprep.datasets.options import NAME_LISTS, PATHS, OpenOptions
from lidarprep.models import CheckedModel
from lidarprep.remote import as_path
from lidarprep.scene import Frame, RegionOfInterest3D
from lidarprep.storage.options import StorageOptions

__all__ = ["Recipe", "RunRecipe", "StorageOptions", "TaskRecipe"]

# Metres above the ground that are kept where a device height is given and no band.
DEFAULT_HEIGHT_BAND = (-1.0, 8.0)

# 288 km/h: faster than any vehicle that lidars are mounted on, slower than most jumps of a broken pose.
DEFAULT_MAX_SPEED_M_S = 80.0


def _region_position(value: Any) -> Any:
    """Read a region's position that is written {x, y, z}, as the API has it."""
    if isinstance(value, dict) and isinstance(position := value.get("position"), dict) and set(position) == set("xyz"):
        return value | {"position": tuple(position[axis] for axis in "xyz")}
    return value


def _device_height(value: Any) -> Any:
    """Read a height, or "auto". A boolean is refused: Python would take `true` for 1."""
    if value is None or value == "auto":
        return value
    try:
        height = None if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        height = None
    if height is None:
        raise ValueError("must be a number of metres, or auto")
    if not (isfinite(height) and height >= 0):
        raise ValueError("must be 0 metres or more")
    return height


def _one_or_more(value: Any) -> Any:
    """Take a single text for a list of one."""
    return (value,) if isinstance(value, str) else value


class Recipe(CheckedModel):
    """How a scene is prepared.

    Args:
        format: The attachments' format: Frame JSON or LidarFrame protobuf, one a frame, or one Sensor Fusion Scene.
        region_of_interest_3d: Rectangle that the points are cropped to, in the recording's world frame.
        device_height: The device's height above the ground, metres, or "auto", which estimates it from the points;
            switches the height filter on.
        height_band: (lowest, highest) metres above the ground that are kept; -1 to 8 where only a device height is
            given.
        frames: Which frames are prepared, "start:stop:step" as Python slices.
        labeling_sample_rate: Every how many frames one is labelled, by Scale's rule.
        only_labelled: Whether to prepare the labelled frames only.
        precision: Decimals of the points' numbers in Frame JSON; exact where it is left out.
        intensity_scale: The intensity that becomes 1; guessed where it is left out and the data leaves no doubt.
        points_frame: The frame of reference of the recording's points, where the layout does not say it.
        voxel: Edge in metres of the voxels that one point each is kept of; all points where it is left out.
        voxel_keep: Which point of a voxel: the first of the recording, or the nearest to the voxel's centre.
        deskew: Whether points are moved from where the device was at their own time to where it was at their frame's.
        drop_intensity: Whether to leave the intensities out, where they say nothing.
        recentre: Whether one offset is taken from coordinates beyond 100 km, which float32 would round; done with a
            warning where it is left out.
        skip_bad_frames: Whether to go on without the frames that cannot be read; the manifest lists them.
        accept: Codes of findings that would end the run, and are accepted; the manifest records them.
        checks: "full", or "quick", which leaves out the checks that read images.
        strict: Whether warnings of the checks end the run, too.
        max_speed: Metres a second that the device may seem to move at before the checks find it odd.
        odometry: Whether a Sensor Fusion Scene gives the device's poses as a sensor of their own, too. The
            specification knows such a sensor; the official validator (0.5.4) refuses it.
        prelabels: File or folder of pre-labels, which a Sensor Fusion Scene holds as annotations, and which a topdown
            task begins with.
        prelabels_frame: What their coordinates count from, where the files do not say it; the world where it is left
            out.
    """

    # The only nested value whose keys pydantic itself checks; nested models bring their own errors.
    nested_fields: ClassVar[tuple[str, ...]] = tuple(RegionOfInterest3D.__dataclass_fields__)

    format: Literal["json", "protobuf", "sfs"] = "json"
    region_of_interest_3d: Annotated[RegionOfInterest3D | None, BeforeValidator(_region_position)] = None
    device_height: Annotated[float | Literal["auto"] | None, BeforeValidator(_device_height)] = None
    height_band: tuple[FiniteFloat, FiniteFloat] | None = None
    frames: str | None = None
    labeling_sample_rate: Annotated[int, Field(ge=1)] | None = None
    only_labelled: bool = False
    precision: Annotated[int, Field(ge=0, le=8)] | None = None
    intensity_scale: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    points_frame: Literal["ego", "world"] | None = None
    voxel: Annotated[FiniteFloat, Field(gt=0)] | None = None
    voxel_keep: Literal["first", "nearest"] = "first"
    deskew: bool = False
    drop_intensity: bool = False
    recentre: bool | None = None
    skip_bad_frames: bool = False
    accept: Annotated[tuple[str, ...], BeforeValidator(_one_or_more)] = ()
    checks: Literal["full", "quick"] = "full"
    strict: bool = False
    max_speed: Annotated[FiniteFloat, Field(gt=0)] = DEFAULT_MAX_SPEED_M_S
    odometry: bool = False
    prelabels: Annotated[str | None, Field(repr=False)] = None  # a URL may be signed
    prelabels_frame: Literal["world", "ego"] | None = None

    def select(self, frames: Sequence[Frame]) -> list[Frame]:
        """Return those of a scene's frames that are prepared, in time order.

        Raises:
            RecipeError: There are none of those that `frames` names.
        """
        from lidarprep.steps.sampling import labelled_rows, select_frames  # brings NumPy

        selected = select_frames(frames, self.frames)
        if self.only_labelled:
            selected = [selected[row] for row in labelled_rows(len(selected), self.labeling_sample_rate or 1)]
        return selected

    def labelled_rows(self, count: int) -> list[int]:
        """Return the rows, from 0, of those out of `count` prepared frames that Scale labels."""
        from lidarprep.steps.sampling import labelled_rows  # brings NumPy

        return labelled_rows(count, 1 if self.only_labelled else self.labeling_sample_rate or 1)

    def with_device_height(self, estimate: float | None) -> Recipe:
        """Return the recipe with what "auto" was estimated as; the same recipe where it says the height itself."""
        return self.model_copy(update={"device_height": estimate}) if self.device_height == "auto" else self

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.height_band is not None:
            lowest, highest = self.height_band
            if not lowest < highest:
                raise ValueError(f"height_band is {lowest:g} to {highest:g}; the lower end comes first")
            if self.device_height is None:
                raise ValueError("height_band needs device_height: heights are counted from the ground")
        if self.only_labelled and self.labeling_sample_rate is None:
            raise ValueError("only_labelled needs labeling_sample_rate: without it every frame is labelled")
        if self.voxel_keep != "first" and self.voxel is None:
            raise ValueError(f"voxel_keep is {self.voxel_keep!r} without voxel, the edge of the voxels in metres")
        if self.precision is not None and self.format != "json":
            raise ValueError(f"precision is for Frame JSON; {self.format} holds exact float32")
        if self.odometry and self.format != "sfs":
            raise ValueError(
                f"odometry is for a Sensor Fusion Scene (sfs); a {self.format} frame has its device's pose"
            )
        if self.prelabels_frame is not None and self.prelabels is None:
            raise ValueError("prelabels_frame is given without prelabels")
        return self


def _opening(value: Any) -> Any:
    """Read options from a mapping; a list of names may be a single name."""
    if not isinstance(value, dict):
        return value
    unknown = sorted(set(value) - set(OpenOptions.__dataclass_fields__))
    if unknown:
        raise ValueError(f"unknown keys {', '.join(unknown)}; known are {', '.join(OpenOptions.__dataclass_fields__)}")
    names = {name: (value[name],) for name in NAME_LISTS if isinstance(value.get(name), str)}
    # pydantic would make a local path of a URL.
    paths = {name: as_path(value[name]) for name in PATHS if isinstance(value.get(name), str)}
    return value | names | paths


class TaskRecipe(CheckedModel, defer_build=True):
    """The task that is submitted.

    Args:
        type: Its type, as in the API's path: lidarannotation, multistage, …
        params: Its parameters, by the API's names; attachments come from the manifest. A region and base annotations
            lie in the recording's world; `coordinates: attachment` says otherwise.
        unique_id: Id of your own that no other task may have; "auto" for one made of the content, "none" for none.
        upload: Project to upload images and attachments to by Scale's Files API; their own URLs are handed out where
            it is left out.
        api_url: Address of the API; SCALE_API_URL or Scale's where it is left out.
    """

    type: str
    params: dict[str, Any] = Field(default_factory=dict)
    unique_id: str = "auto"
    upload: str | None = None
    api_url: str | None = None


class RunRecipe(CheckedModel, defer_build=True):
    """A whole run: prepare, store and submit.

    Args:
        scene: Path or URL of the recording.
        out: Folder or s3://bucket/prefix (gs://, az://) that the attachments go to.
        layout: The recording's layout; guessed where it is left out.
        opening: What the recording doesn't say itself: the options of `open_scene`.
        recipe: How it is prepared.
        storage: How `out` is reached, and the recording where it lies in a store.
        task: The task to submit; nothing is submitted where it is left out.
        overwrite: Whether to replace the manifest of another run at `out`.
        workers: Frames prepared at once; as many as cores where it is left out.
    """

    scene: Annotated[str, Field(repr=False)]  # a URL may be signed
    out: str
    layout: str | None = None
    opening: Annotated[OpenOptions, BeforeValidator(_opening)] = OpenOptions()
    recipe: Recipe = Recipe()
    storage: StorageOptions = StorageOptions()
    task: TaskRecipe | None = None
    overwrite: bool = False
    workers: Annotated[int, Field(ge=1)] | None = None
