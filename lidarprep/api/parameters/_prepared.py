"""What a manifest fills in of a task's parameters: `lp.submit` and the clients' create methods share it."""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import floor
from typing import Annotated, Any, Literal, Protocol

from pydantic import Field, PlainValidator

from lidarprep.api.parameters._base import NOT_SENT, TaskParameters
from lidarprep.api.parameters._values import MAX_METADATA_BYTES, broken
from lidarprep.errors import RecipeError
from lidarprep.scene.finding import Finding, refuse
from lidarprep.scene.region import RegionOfInterest3D

# The key of a task's metadata that says which manifest it is of. It is no part of the task's content.
METADATA_KEY = "lidarprep"

Coordinates = Literal["recording", "attachment"]

# Which attachments a task takes, and what a task of a scene calls them.
_TAKEN = {
    "lidarannotation": ("json", "protobuf"),
    "lidarsegmentation": ("json", "protobuf"),
    "lidartopdown": ("json", "protobuf"),
    "multistage": ("sfs", "json"),
    "sensorfusion": ("sfs",),
}
_TITLES = {"json": "Frame JSON", "protobuf": "LidarFrame protobuf", "sfs": "Sensor Fusion Scene"}
_SCENE_FORMATS = {"sfs": "sensor_fusion", "json": "split_base64"}

# Objects with x and y that are no places.
_NO_PLACES = ("dimensions", "size", "scale", "rotation", "quaternion", "direction", "normal", "velocity")
# Lists of numbers that are places.
_PLACES = ("position", "vertices", "points", "center", "centre", "coordinates", "path", "polygon")

log = logging.getLogger(__name__)


class PreparedFrames(Protocol):
    """A Manifest, as far as a task needs it."""

    @property
    def format(self) -> str: ...
    @property
    def recipe(self) -> dict[str, Any]: ...
    @property
    def settings(self) -> Any: ...
    @property
    def world_offset(self) -> tuple[float, float, float]: ...
    @property
    def urls(self) -> list[str]: ...
    @property
    def location(self) -> str: ...
    @property
    def fingerprint(self) -> str | None: ...
    @property
    def base_annotations(self) -> dict[str, Any] | None: ...
    @property
    def presign_hours(self) -> float | None: ...
    @property
    def findings(self) -> list[Finding]: ...
    @property
    def accepted(self) -> list[str]: ...


@dataclass(frozen=True)
class Prepared:
    """What prepared frames fill in of a task's parameters.

    Args:
        urls: The attachments' URLs, as Scale is given them.
        format: "json", "protobuf" or "sfs".
        labeling_sample_rate: Every how many attachments one is labelled; None for all.
        region_of_interest_3d: The region, in the recording's world.
        device_height: Height of the device above the ground, metres.
        world_offset: (x, y, z) metres that were taken from the recording's world coordinates.
        metadata: Entries of the task's metadata.
        base_annotations: What a topdown task begins with, in the recording's world.
    """

    urls: Sequence[str]
    format: str
    labeling_sample_rate: int | None = None
    region_of_interest_3d: RegionOfInterest3D | None = None
    device_height: float | None = None
    world_offset: tuple[float, float, float] = (0.0, 0.0, 0.0)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    base_annotations: Mapping[str, Any] | None = None

    @classmethod
    def of(cls, manifest: PreparedFrames, urls: Sequence[str] | None = None) -> Prepared:
        """Read a manifest; its own URLs are unsigned."""
        recipe = manifest.recipe
        region = recipe.get("region_of_interest_3d")
        height = recipe.get("device_height")
        if height == "auto":
            height = getattr(manifest.settings, "device_height", None)
        origin = {"manifest": manifest.location, "fingerprint": manifest.fingerprint}
        return cls(
            urls=manifest.urls if urls is None else urls,
            format=manifest.format,
            labeling_sample_rate=None if recipe.get("only_labelled") else recipe.get("labeling_sample_rate"),
            region_of_interest_3d=None if region is None else RegionOfInterest3D(**region),
            device_height=height,
            world_offset=manifest.world_offset,
            metadata={METADATA_KEY: {name: value for name, value in origin.items() if value}},
            base_annotations=manifest.base_annotations,
        )


def takes_frames(task_type: str, parameters: Collection[str]) -> bool:
    """Tell whether a task is made of prepared frames, and not from a finished lidar task or over an aerial image."""
    return task_type in _TAKEN and not {"attachments", "attachment", "lidar_task"} & set(parameters)


def require_taken(task_type: str, parameters: Collection[str], format: str) -> None:
    """Check that a task of prepared frames takes them in their format.

    Raises:
        RecipeError: It does not.
    """
    taken = _TAKEN.get(task_type, ())
    if format in taken or not takes_frames(task_type, parameters):
        return
    titles = " or ".join(_TITLES[name] for name in taken)
    advice = f"Prepare again with {', or '.join(f'--format {name}' for name in taken)}"
    if format == "sfs":
        advice += ", or make a multistage task"
    raise RecipeError(
        f"a {task_type} task takes {titles}; what was prepared is {_TITLES.get(format, format)}", fix=f"{advice}."
    )


def fill_in(
    task_type: str, parameters: Mapping[str, Any], prepared: Prepared, coordinates: str = "recording"
) -> dict[str, Any]:
    """Return a task's parameters, by the API's names: what was prepared, and over it the task's own.

    A region and base annotations that are given lie in the recording's world, and are shifted as its points were;
    with `coordinates` "attachment" they are sent as they are.

    Raises:
        RecipeError: Such a task does not take the format, or `coordinates` is neither.
    """
    if coordinates not in ("recording", "attachment"):
        raise RecipeError(f"coordinates is {coordinates!r}; it must be 'recording' or 'attachment'")
    require_taken(task_type, parameters, prepared.format)
    given = dict(parameters)
    filled: dict[str, Any] = {}
    if takes_frames(task_type, given):
        filled["attachments"] = list(prepared.urls)
        if task_type in ("lidarannotation", "lidarsegmentation"):
            filled["attachment_type"] = prepared.format
    if task_type == "lidarannotation" and prepared.labeling_sample_rate is not None:
        filled["labeling_sample_rate"] = prepared.labeling_sample_rate
    if task_type in ("multistage", "sensorfusion") and prepared.format in _SCENE_FORMATS:
        filled["scene_format"] = _SCENE_FORMATS[prepared.format]
    if task_type == "lidartopdown":
        if prepared.region_of_interest_3d is not None:
            filled["region_of_interest_3d"] = _shifted_region(prepared.region_of_interest_3d, prepared.world_offset)
        if prepared.device_height is not None and not {"device_height", "deviceHeight"} & set(given):
            filled["device_height"] = _whole_metres(prepared.device_height)
        if prepared.base_annotations is not None:
            filled["base_annotations"] = _shifted(prepared.base_annotations, prepared.world_offset)
    if coordinates == "recording" and any(prepared.world_offset):
        for name in ("region_of_interest_3d", "base_annotations"):
            if name in given:
                given[name] = _shifted(given[name], prepared.world_offset)
    metadata = given.get("metadata", {})
    if prepared.metadata and isinstance(metadata, Mapping):
        filled["metadata"] = given["metadata"] = _merged(prepared.metadata, metadata)
    return filled | given


def _merged(origin: Mapping[str, Any], metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return metadata that also says which manifest it is of, unless that would make it too large."""
    merged = {**origin, **metadata}
    try:
        size = len(json.dumps(merged, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass"))
    except (TypeError, ValueError, RecursionError):
        return dict(metadata)  # it is refused, whatever is added
    if size <= MAX_METADATA_BYTES:
        return merged
    log.warning("the task's metadata leaves no room for the manifest's place: its results need --manifest")
    return dict(metadata)


def _whole_metres(height: float) -> int:
    """Round a height that nobody gave for the API, which documents an integer; its filter is coarse."""
    whole = floor(height + 0.5)
    if whole != height:
        log.warning(
            "the device height %s m goes out as deviceHeight %d: the API takes whole metres; --param deviceHeight=%s"
            " sends it as it is",
            *(height, whole, height),
        )
    return whole


def _shifted_region(region: RegionOfInterest3D, offset: tuple[float, float, float]) -> dict[str, Any]:
    """Return the region in the attachments' world frame, which is the recording's less the offset."""
    x, y, z = (place - shift for place, shift in zip(region.position, offset, strict=True))
    return replace(region, position=(x, y, z)).to_api()


def _shifted(value: Any, offset: tuple[float, float, float], name: str = "") -> Any:
    """Shift every place in a JSON value: objects with x and y, and lists of two or three numbers under a place's name.

    ASSUMED: annotations write places so. The reference prints their format for cuboids only.
    """
    if isinstance(value, RegionOfInterest3D):
        return _shifted_region(value, offset)
    if name in _NO_PLACES:
        return value
    if isinstance(value, Mapping):
        axes = dict(zip("xyz", offset, strict=True))
        is_place = all(_is_number(value.get(axis)) for axis in "xy")
        return {
            key: part - axes[key]
            if is_place and key in axes and _is_number(part)
            else _shifted(part, offset, key if isinstance(key, str) else "")
            for key, part in value.items()
        }
    if isinstance(value, (list, tuple)):
        if name in _PLACES and len(value) in (2, 3) and all(map(_is_number, value)):
            return [number - shift for number, shift in zip(value, offset, strict=False)]
        return [_shifted(part, offset, name) for part in value]
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _manifest(value: Any) -> Any:
    if not all(hasattr(value, name) for name in ("urls", "format", "recipe", "world_offset", "presign_hours")):
        raise broken("must be a Manifest, as lidarprep.load_manifest(path) returns it")
    return value


class FrameTask(TaskParameters):
    """Parameters of a task that may be made of prepared frames.

    Raises:
        FindingsError: The recording of the manifest has a finding that would ruin the task, and it is not accepted.
        RecipeError: Such a task does not take the manifest's format.
    """

    manifest: Annotated[PreparedFrames, PlainValidator(_manifest)] | None = Field(
        default=None, exclude=True, repr=False
    )
    """What `prepare` stored: it fills in what is left out of the attachments, their format, the labeling_sample_rate, a
    topdown task's region and device height, and the metadata that results are found by. Not sent itself."""
    coordinates: Coordinates | None = Field(default=None, exclude=True, repr=False)
    """Where a given region and base annotations lie: in the world of the manifest's recording (the default), and are
    shifted as its points were; or as in the attachment. Not sent itself."""

    @classmethod
    def filled_in(cls, data: Mapping[str, Any]) -> Mapping[str, Any]:
        """Fill in what the manifest knows."""
        manifest = data.get("manifest")
        if manifest is None:
            return data
        found: PreparedFrames = _manifest(manifest)
        own = {name: value for name, value in data.items() if value is not None and name not in NOT_SENT}
        if takes_frames(cls.task_type, own):
            if found.presign_hours is not None:
                raise broken("has URLs that are to be signed: lidarprep.submit does that")
            refuse(found.findings, accept=found.accepted)
        return fill_in(cls.task_type, own, Prepared.of(found), data.get("coordinates") or "recording")
