"""What one run is to do, as data: validated models that are read from YAML, from flags and from Python alike."""

from __future__ import annotations

import re
from difflib import get_close_matches
from os import PathLike
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, FiniteFloat, ValidationError, model_validator

from lidarprep.datasets.options import NAME_LISTS, OpenOptions
from lidarprep.errors import RecipeError
from lidarprep.scene import RegionOfInterest3D

# Metres above the ground that are kept where a device height is given and no band.
DEFAULT_HEIGHT_BAND = (-1.0, 8.0)

# 288 km/h: faster than any vehicle that lidars are mounted on, slower than most jumps of a broken pose.
DEFAULT_MAX_SPEED_M_S = 80.0


def _region_position(value: Any) -> Any:
    """A region's position may be written {x, y, z}, as the API has it."""
    if isinstance(value, dict) and isinstance(position := value.get("position"), dict) and set(position) == set("xyz"):
        return value | {"position": tuple(position[axis] for axis in "xyz")}
    return value


# The only nested thing whose keys pydantic itself checks; nested models bring their own errors.
_REGION_FIELDS = tuple(RegionOfInterest3D.__dataclass_fields__)


def _no_switch(value: Any) -> Any:
    """Python would take `true` for 1."""
    if isinstance(value, bool):
        raise ValueError("must be a number")
    return value


class RecipeModel(BaseModel):
    """A model whose errors are RecipeErrors that name the field, the value and what was expected."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def __init__(self, **data: Any) -> None:
        try:
            super().__init__(**data)
        except ValidationError as error:
            raise recipe_error(error, type(self)) from None

    @classmethod
    def from_yaml(cls, path: str | PathLike[str]) -> Self:
        """Reads it from a YAML file.

        Raises:
            RecipeError: The file is not there, is not YAML, or holds what the model does not know.
        """
        from lidarprep.yaml_files import read_yaml

        data = read_yaml(path, "the recipe")
        try:
            return cls(**data)
        except RecipeError as error:
            raise RecipeError(f"{path}: {error.message}", fix=error.fix) from None


def recipe_error(error: ValidationError, model: type[BaseModel]) -> RecipeError:
    """pydantic's findings in one sentence each."""
    lines = []
    for finding in error.errors():
        name = ".".join(str(part) for part in finding["loc"])
        if finding["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
            known = _REGION_FIELDS if len(finding["loc"]) > 1 else tuple(model.model_fields)
            near = get_close_matches(str(finding["loc"][-1]), known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
            lines.append(f"unknown key {name!r}; {hint}")
        elif finding["type"] == "missing":
            lines.append(f"{name} is missing")
        elif finding["type"] == "value_error" and not name:
            lines.append(str(finding["ctx"]["error"]))
        else:
            message = finding["msg"].removeprefix("Value error, ")
            lines.append(f"{name} is {finding['input']!r}: {message[0].lower()}{message[1:]}")
    return RecipeError("; ".join(lines))


class Recipe(RecipeModel):
    """How a scene is prepared.

    Args:
        format: The attachments' format: Frame JSON or LidarFrame protobuf, one a frame, or one Sensor Fusion Scene.
        region_of_interest_3d: Rectangle that the points are cropped to, in the recording's world frame.
        device_height: The device's height above the ground, metres; switches the height filter on.
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
        strict: Whether what the checks of the recording find odd ends the run.
        max_speed: Metres a second that the device may seem to move at before the checks find it odd.
        odometry: Whether a Sensor Fusion Scene gives the device's poses as a sensor of their own, too. The
            specification knows such a sensor; the official validator (0.5.4) refuses it.
    """

    format: Literal["json", "protobuf", "sfs"] = "json"
    region_of_interest_3d: Annotated[RegionOfInterest3D | None, BeforeValidator(_region_position)] = None
    device_height: Annotated[Annotated[FiniteFloat, Field(ge=0)] | None, BeforeValidator(_no_switch)] = None
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
    strict: bool = False
    max_speed: Annotated[FiniteFloat, Field(gt=0)] = DEFAULT_MAX_SPEED_M_S
    odometry: bool = False

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
        return self


def _plain_url(name: str, url: str | None, example: str) -> None:
    """Refuses what is no URL, and secrets in one: it is recorded, or shown when it cannot be reached."""
    if url is None:
        return
    try:
        parts = urlsplit(url)
        sound = bool(parts.scheme and parts.hostname) and "://" in url and parts.port != 0
    except ValueError:
        raise ValueError(f"{name} must be a URL, like {example}") from None
    if not sound:
        raise ValueError(f"{name} must be a URL, like {example}")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError(f"{name} must be a URL without user, password, query and fragment, like {example}")


def _tags(value: Any) -> Any:
    """Tags may be written as a mapping, or as texts KEY=VALUE; they are kept as pairs."""
    if isinstance(value, dict):
        return tuple((str(key), str(text)) for key, text in value.items())
    if isinstance(value, list | tuple) and any(isinstance(tag, str) for tag in value):
        if not all(isinstance(tag, str) and "=" in tag for tag in value):
            raise ValueError("each tag is written KEY=VALUE")
        return tuple(tuple(tag.split("=", 1)) for tag in value)
    return value


# What S3 takes as tags.
_TAG_KEY = re.compile(r"(?!aws:)[\w +\-=.:/@]{1,128}")
_TAG_VALUE = re.compile(r"[\w +\-=.:/@]{0,256}")
_MOST_TAGS = 10

# Objects of these classes must be restored before they can be fetched, which takes hours.
_ARCHIVES = ("GLACIER", "DEEP_ARCHIVE")


class StorageOptions(RecipeModel):
    """How the place that attachments are stored at is reached, and how it is named to Scale.

    Only url_base and link_images mean something to a local folder; options that say how objects are stored are refused
    there.

    Args:
        endpoint_url: Address of an S3-compatible store; AWS where it is left out.
        profile: Profile of the AWS tools' configuration.
        region: AWS region.
        role_arn: Role to assume, with the credentials that the AWS tools find.
        path_style: Whether the bucket's name stands in the URL's path, as many S3-compatible stores want it.
        checksums: What the store verifies what it is sent by. "when_required" is for S3-compatible stores that don't
            know S3's additional checksums: they get a Content-MD5, and large objects are verified by their size only.
        give_up_after: Minutes that a request which fails by no fault of its own is tried again for.
        url_base: Prefix of the URLs in attachments and manifest, in place of s3:// or a path.
        presign_hours: Sign the URLs that Scale gets, valid for so many hours; but no longer than the credentials that
            sign them, if these are a role's or a login's.
        gzip: Whether attachments of Frame JSON are stored compressed, with the header Content-Encoding: gzip. Manifest
            and checks go by the content. What fetches by HTTP decompresses it without being told; so Scale must be
            given https:// URLs, by presign_hours or url_base: S3's own interface, which s3:// URLs are read through,
            hands out the compressed bytes.
        cache_control: Cache-Control header of attachments and pictures.
        sse: Server-side encryption: with S3's own keys, or with a key of KMS, which Scale's role must be allowed to
            decrypt with.
        kms_key: Key id or ARN of the KMS key; the account's key for S3 where it is left out.
        acl: Canned ACL; most buckets take none.
        storage_class: S3's name of a storage class that objects can be fetched from at once.
        tags: Tags of each object, at most 10; a mapping, or KEY=VALUE texts.
        requester_pays: Whether this account pays for requests on the bucket of somebody else.
        link_images: Whether pictures in a local folder are hard links to the recording's files: one file of two names,
            so that a change of one is a change of both. Where the file system makes none they are copied. It is
            refused for S3, and means nothing to pictures that are no files, as in a bag.
    """

    endpoint_url: str | None = None
    profile: str | None = None
    region: str | None = None
    role_arn: Annotated[str | None, Field(pattern=r"^arn:\S+$")] = None
    path_style: bool = False
    checksums: Literal["sha256", "crc32", "when_required"] = "sha256"
    give_up_after: Annotated[float, Field(gt=0, le=24 * 60)] = 10.0
    url_base: str | None = None
    presign_hours: Annotated[float, Field(gt=0, le=168)] | None = None
    gzip: bool = False
    cache_control: Annotated[str | None, Field(pattern=r"^[ -~]+$")] = None
    sse: Literal["AES256", "aws:kms"] | None = None
    kms_key: Annotated[str | None, Field(pattern=r"^[ -~]+$")] = None
    acl: (
        Literal["private", "public-read", "authenticated-read", "bucket-owner-read", "bucket-owner-full-control"] | None
    ) = None
    storage_class: Annotated[str | None, Field(pattern=r"^[A-Z][A-Z0-9_]*$")] = None
    tags: Annotated[tuple[tuple[str, str], ...], BeforeValidator(_tags)] = ()
    requester_pays: bool = False
    link_images: bool = False

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        _plain_url("url_base", self.url_base, "https://data.example.com/scene-1")
        _plain_url("endpoint_url", self.endpoint_url, "https://storage.example.com")
        if self.url_base is not None and self.presign_hours is not None:
            raise ValueError("url_base and presign_hours exclude one another: only the store's own URLs can be signed")
        if self.kms_key is not None and self.sse != "aws:kms":
            raise ValueError("kms_key is for the encryption aws:kms; give sse: aws:kms (--sse aws:kms) with it")
        if self.gzip and self.url_base is None and self.presign_hours is None:
            raise ValueError(
                "gzip needs url_base or presign_hours: what is read from s3:// URLs is not decompressed on its way"
            )
        if self.storage_class in _ARCHIVES:
            raise ValueError(f"objects of the storage_class {self.storage_class} cannot be fetched for hours")
        self._check_tags()
        return self

    def _check_tags(self) -> None:
        if len(self.tags) > _MOST_TAGS:
            raise ValueError(f"there are {len(self.tags)} tags; S3 takes {_MOST_TAGS}")
        for key, value in self.tags:
            if not _TAG_KEY.fullmatch(key) or not _TAG_VALUE.fullmatch(value):
                raise ValueError(
                    f"{key!r}: {value!r} is no tag of S3: up to 128 and 256 letters, digits, spaces and + - = . _ : / @"
                )
        if len({key for key, _ in self.tags}) < len(self.tags):
            raise ValueError("two tags have the same key")


def _opening(value: Any) -> Any:
    """Options as a mapping; in place of a list of names there may stand one."""
    if not isinstance(value, dict):
        return value
    unknown = sorted(set(value) - set(OpenOptions.__dataclass_fields__))
    if unknown:
        raise ValueError(f"unknown keys {', '.join(unknown)}; known are {', '.join(OpenOptions.__dataclass_fields__)}")
    names = {name: (value[name],) for name in NAME_LISTS if isinstance(value.get(name), str)}
    return value | names


class TaskRecipe(RecipeModel, defer_build=True):
    """The task that is submitted.

    Args:
        type: Its type, as in the API's path: lidarannotation, multistage, …
        params: Its parameters, by the API's names; attachments come from the manifest.
        unique_id: Id of your own that no other task may have.
        api_url: Address of the API; SCALE_API_URL or Scale's where it is left out.
    """

    type: str
    params: dict[str, Any] = {}
    unique_id: str | None = None
    api_url: str | None = None


class RunRecipe(RecipeModel, defer_build=True):
    """A whole run: prepare, store and submit.

    Args:
        scene: Path of the recording.
        out: Folder or s3://bucket/prefix that the attachments go to.
        layout: The recording's layout; guessed where it is left out.
        opening: What the recording doesn't say itself: the options of `open_scene`.
        recipe: How it is prepared.
        storage: How `out` is reached.
        task: The task to submit; nothing is submitted where it is left out.
        overwrite: Whether to replace what an earlier run left at `out`.
        workers: Frames worked on at once; as many as cores where it is left out.
    """

    scene: str
    out: str
    layout: str | None = None
    opening: Annotated[OpenOptions, BeforeValidator(_opening)] = OpenOptions()
    recipe: Recipe = Recipe()
    storage: StorageOptions = StorageOptions()
    task: TaskRecipe | None = None
    overwrite: bool = False
    workers: Annotated[int, Field(ge=1)] | None = None
