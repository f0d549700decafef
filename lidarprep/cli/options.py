"""Options that several commands share, and how their words become values."""

from __future__ import annotations

from collections.abc import Mapping
from math import radians
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lidarprep.errors import RecipeError

if TYPE_CHECKING:
    from lidarprep.recipe import Recipe, StorageOptions
    from lidarprep.scene import RegionOfInterest3D

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]
Workers = Annotated[int | None, typer.Option(min=1, help="Frames worked on at once; by default as many as cores.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what an earlier run left at the destination.")]
Layout = Annotated[str | None, typer.Option(help="The recording's layout (toolkit, folder, file); else guessed.")]
PosesFile = Annotated[str | None, typer.Option("--poses", help="Poses for a plain folder: KITTI or TUM rows, or JSON.")]
PointsFrame = Annotated[str | None, typer.Option(metavar="ego|world", help="Frame of reference of the points.")]

EndpointUrl = Annotated[str | None, typer.Option(help="Address of an S3-compatible store.")]
Profile = Annotated[str | None, typer.Option(help="Profile of the AWS tools' configuration.")]
Region = Annotated[str | None, typer.Option(help="AWS region.")]
UrlBase = Annotated[str | None, typer.Option(help="Prefix of the URLs, in place of s3:// or a path.")]
Presign = Annotated[
    float | None, typer.Option(metavar="HOURS", help="Sign the URLs that Scale gets, for so many hours; S3 only.")
]
ApiUrl = Annotated[
    str | None, typer.Option("--api-url", help="Address of the API; else SCALE_API_URL, else Scale's own.")
]
Params = Annotated[str | None, typer.Option("--params", metavar="FILE", help="Task parameters as YAML or JSON.")]
Param = Annotated[
    list[str] | None,
    typer.Option(
        "--param", metavar="KEY=VALUE", help="One task parameter; VALUE as JSON or as plain text. Repeatable."
    ),
]
UniqueId = Annotated[str | None, typer.Option(help="Id of your own that no other task may have.")]

RoiText = Annotated[
    str | None,
    typer.Option("--roi", metavar="X,Y,LENGTH,WIDTH[,DEGREES]", help="Rectangle to crop to, in the world, metres."),
]
Format = Annotated[str | None, typer.Option("--format", metavar="json|protobuf|sfs", help="Format of the attachments.")]
DeviceHeight = Annotated[float | None, typer.Option(metavar="M", help="Height of the device above the ground, metres.")]
HeightBandText = Annotated[
    str | None, typer.Option("--height-band", metavar="LO,HI", help="Metres above the ground to keep; else -1,8.")
]
Frames = Annotated[str | None, typer.Option(metavar="A:B:S", help="Which frames, as a Python slice.")]
SampleRate = Annotated[
    int | None, typer.Option("--labeling-sample-rate", metavar="K", help="Every how many frames one is labelled.")
]
OnlyLabelled = Annotated[
    bool | None,
    typer.Option("--only-labelled/--all-frames", help="Prepare the labelled frames only.", show_default=False),
]
Voxel = Annotated[float | None, typer.Option(metavar="METRES", help="Keep one measured point a voxel of this edge.")]
VoxelKeep = Annotated[str | None, typer.Option(metavar="first|nearest", help="Which: else the first.")]
Odometry = Annotated[
    bool | None,
    typer.Option(
        "--odometry/--no-odometry", help="Give a .sfs the device's poses as a sensor of their own.", show_default=False
    ),
]
Precision = Annotated[int | None, typer.Option(metavar="N", help="Decimals in Frame JSON; exact where left out.")]
IntensityScale = Annotated[float | None, typer.Option(metavar="S", help="The intensity that becomes 1; else guessed.")]


def numbers(text: str, option: str, expected: str, counts: tuple[int, ...]) -> list[float]:
    """Numbers separated by commas.

    Raises:
        RecipeError: They are not that, or not so many.
    """
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = []
    if len(values) not in counts:
        raise RecipeError(f"{option} is {text!r}; expected {expected}")
    return values


def region_from(text: str) -> RegionOfInterest3D:
    """The region of `--roi X,Y,LENGTH,WIDTH[,DEGREES]`."""
    from lidarprep.scene import RegionOfInterest3D

    x, y, length, width, *rotation = numbers(text, "--roi", "X,Y,LENGTH,WIDTH[,DEGREES], like 0,0,80,60,15", (4, 5))
    return RegionOfInterest3D((x, y, 0.0), length, width, radians(rotation[0]) if rotation else 0.0)


def band_from(text: str) -> tuple[float, float]:
    """The band of `--height-band LO,HI`."""
    lowest, highest = numbers(text, "--height-band", "LO,HI, like -1,8", (2,))
    return lowest, highest


# The flags that are fields of a recipe or of the storage options by another name, or as text.
_RECIPE_TEXTS = {"roi": ("region_of_interest_3d", region_from), "height_band": ("height_band", band_from)}
_STORAGE_NAMES = {"presign": "presign_hours"}


def recipe_flags(flags: Mapping[str, Any]) -> dict[str, Any]:
    """Those of a command's flags that are fields of a recipe, by the fields' names; the others are left out."""
    from lidarprep.recipe import Recipe

    given = {name: value for name, value in flags.items() if name in Recipe.model_fields and name not in _RECIPE_TEXTS}
    for flag, (name, read) in _RECIPE_TEXTS.items():
        given[name] = None if flags[flag] is None else read(flags[flag])
    return given


def storage_flags(flags: Mapping[str, Any]) -> dict[str, Any]:
    """Those of a command's flags that are storage options, by the options' names; the others are left out."""
    from lidarprep.recipe import StorageOptions

    named = {_STORAGE_NAMES.get(flag, flag): value for flag, value in flags.items()}
    return {name: value for name, value in named.items() if name in StorageOptions.model_fields}


def recipe_from(recipe_file: str | None, given: dict[str, Any]) -> Recipe:
    """The recipe of a file, if there is one, with what flags give over it."""
    from lidarprep.recipe import Recipe

    base = Recipe.from_yaml(recipe_file) if recipe_file is not None else Recipe()
    return overridden(base, given)


def overridden(base: Recipe, given: dict[str, Any]) -> Recipe:
    """The recipe with the flags that were given in place of its own fields."""
    fields = {name: getattr(base, name) for name in type(base).model_fields}
    return type(base)(**(fields | said(given)))


def said(given: dict[str, Any]) -> dict[str, Any]:
    """What of the flags was said at all."""
    return {name: value for name, value in given.items() if value is not None}


def storage_from(base: StorageOptions, given: dict[str, Any]) -> StorageOptions:
    """The storage options with the flags that were given in place of their own fields."""
    return type(base)(**(base.model_dump() | said(given)))
