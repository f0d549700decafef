"""Options that several commands share, and how their words become values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from inspect import Parameter, signature
from math import radians
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from lidarprep.datasets.options import NAME_LISTS, flag_of, option_docs
from lidarprep.errors import ParameterError, RecipeError

if TYPE_CHECKING:
    from lidarprep.api import ScaleClient
    from lidarprep.recipe import Recipe, StorageOptions
    from lidarprep.remote.options import AccessOptions
    from lidarprep.scene import RegionOfInterest3D
    from lidarprep.scene.labels import LabelsFrame

# What pictures, page and exports take of labels.
LabelsPath = Annotated[
    str | None,
    typer.Option("--labels", metavar="FILE|DIR|URL", help="Labels to show: results, a task's JSON, KITTI, nuScenes, …"),
]
LabelsReference = Annotated[
    str | None,
    typer.Option("--labels-frame", metavar="world|ego|attachment", help="What they count from, if they don't say it."),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]
_PRECISION, _INTENSITY_SCALE = (
    "Decimals in Frame JSON; exact where left out.",
    "The intensity that becomes 1; else guessed.",
)
Precision = Annotated[int | None, typer.Option(metavar="N", help=_PRECISION)]
IntensityScale = Annotated[float | None, typer.Option(metavar="S", help=_INTENSITY_SCALE)]
Params = Annotated[str | None, typer.Option("--params", metavar="FILE", help="Task parameters as YAML or JSON.")]
Param = Annotated[
    list[str] | None,
    typer.Option(
        "--param", metavar="KEY=VALUE", help="One task parameter; VALUE as JSON or as plain text. Repeatable."
    ),
]
_ACCEPT = "Go on in spite of findings of this code, which the manifest records. Repeatable."
Accept = Annotated[list[str] | None, typer.Option("--accept", metavar="CODE", help=_ACCEPT)]
UniqueId = Annotated[
    str | None,
    typer.Option(
        metavar="ID|auto|none",
        help="Id of your own that no other task may have. auto, the default: made of the task's content, so that "
        "submitting it again gives the task that is there. none: submitting it again makes another task.",
        show_default=False,
    ),
]
Resubmit = Annotated[
    bool,
    typer.Option("--resubmit", help="Where its task is canceled or in error, free the unique id and make it again."),
]
Upload = Annotated[
    str | None,
    typer.Option(
        metavar="PROJECT",
        help="For a local folder: upload images and attachments to this project at Scale, at most 80 MB each, in place "
        "of handing out their own URLs.",
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the request as JSON on stdout; send nothing.")]
Coordinates = Annotated[
    str | None,
    typer.Option(
        metavar="recording|attachment",
        help="Where a region and base annotations among the parameters lie: in the recording's world, the default, and "
        "are shifted as its points were; or as in the attachment.",
        show_default=False,
    ),
]
Live = Annotated[bool, typer.Option("--live", help="Use a live key: people do the work, and it costs money.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Ask for nothing; a live key is used as if with --live.")]
ApiUrl = Annotated[
    str | None, typer.Option("--api-url", help="Address of the API; else SCALE_API_URL, else Scale's own.")
]

# ---- groups of options ---------------------------------------------------------------------------------------------

# Options that several commands take together, by the names of their parameters; `takes` adds them to a command. An
# option that is not given is None, so that what a file says holds.


def _option(panel: str, kind: Any, help: str, metavar: str | None = None, *flags: str, **settings: Any) -> Any:
    """Declare an option that is None if it is not given, in a panel of the help."""
    option = typer.Option(*flags, metavar=metavar, help=help, rich_help_panel=panel, show_default=False, **settings)
    return Annotated[kind | None, option]


def _recipe_options() -> dict[str, Any]:
    declared: dict[str, tuple[Any, ...]] = {
        "format": (str, "Format of the attachments.", "json|protobuf|sfs"),
        "roi": (str, "Rectangle to crop to, in the world, metres.", "X,Y,LENGTH,WIDTH[,DEGREES]"),
        "device_height": (str, "Height of the device above the ground, metres; auto: by the points.", "M|auto"),
        "height_band": (str, "Metres above the ground to keep; else -1,8.", "LO,HI"),
        "frames": (str, "Which frames, as a Python slice.", "A:B:S"),
        "labeling_sample_rate": (int, "Every how many frames one is labelled.", "K"),
        "only_labelled": (bool, "Prepare the labelled frames only.", None, "--only-labelled/--all-frames"),
        "deskew": (
            bool,
            "Move points from the device's pose at their own time to that at their frame's.",
            None,
            "--deskew/--no-deskew",
        ),
        "voxel": (float, "Keep one measured point a voxel of this edge.", "METRES"),
        "voxel_keep": (str, "Which: else the first.", "first|nearest"),
        "precision": (int, _PRECISION, "N"),
        "intensity_scale": (float, _INTENSITY_SCALE, "S"),
        "drop_intensity": (bool, "Leave the intensities out.", None, "--drop-intensity/--keep-intensity"),
        "recentre": (
            bool,
            "Take one offset from coordinates beyond 100 km; done with a warning where it isn't said.",
            None,
            "--recentre/--no-recentre",
        ),
        "odometry": (
            bool,
            "Give a .sfs the device's poses as a sensor of their own.",
            None,
            "--odometry/--no-odometry",
        ),
        "prelabels": (
            str,
            "Labels to begin with, in a .sfs: results, a task's JSON, KITTI, nuScenes, OpenLABEL, tables.",
            "FILE|DIR",
        ),
        "prelabels_frame": (str, "What they count from, if they don't say it; else world.", "world|ego"),
        "skip_bad_frames": (
            bool,
            "Go on without frames that cannot be read; the manifest lists them.",
            None,
            "--skip-bad-frames/--stop-at-bad-frames",
        ),
    }
    return {name: _option("How it is prepared", *words) for name, words in declared.items()}


def _opening_parameter(name: str) -> str:
    """Name the parameter of an option of opening: scene_name for scene."""
    return flag_of(name).removeprefix("--").replace("-", "_")


def _opening_options() -> dict[str, Any]:
    panel = "What the recording doesn't say"
    found = {"layout": _option(panel, str, "The recording's layout, else guessed; see `lidarprep layouts`.")}
    for name, (kind, doc) in option_docs().items():
        kind = list[str] if name in NAME_LISTS else kind if kind in (bool, float) else str
        found[_opening_parameter(name)] = _option(panel, kind, doc.help, doc.metavar, flag_of(name))
    return found


def _storage_options(*groups: str, panel: str = "Where it is stored") -> dict[str, Any]:
    """Take the options of a store from the fields of its model, by their names."""
    from lidarprep.storage.options import StorageOptions

    found = {}
    for name, field in StorageOptions.model_fields.items():
        extra: Any = field.json_schema_extra
        if extra["group"] in groups:
            kind: Any = {bool: bool, float: float, tuple: list[str]}.get(type(field.default), str)
            kind = float if name == "presign_hours" else kind
            flag = extra.get("flag", f"--{name.replace('_', '-')}")
            found[name] = _option(panel, kind, str(field.description), extra.get("metavar"), flag)
    return found


def _access_options() -> dict[str, Any]:
    """Take the options by which a store that something is read from is reached."""
    from lidarprep.remote.options import AccessOptions

    options = _storage_options("bucket", panel="Where it lies")
    return {name: option for name, option in options.items() if name in AccessOptions.model_fields}


RECIPE = _recipe_options()
OPENING = _opening_options()
CHECKS = {
    "accept": _option("Checks", list[str], _ACCEPT, "CODE"),
    "checks": _option("Checks", str, "quick leaves out what reads images; else full.", "full|quick"),
    "strict": _option("Checks", bool, "A warning is an error.", None, "--strict/--lenient"),
    "max_speed": _option("Checks", float, "Metres a second above which the device's speed is odd; else 80.", "M/S"),
}
BUCKET = _storage_options("bucket")
ACCESS = _access_options()
OBJECTS = _storage_options("objects")
STORAGE = {
    "overwrite": _option(
        "Where it is stored",
        bool,
        "Replace the manifest of another run; its objects stay until prune.",
        None,
        "--overwrite",
    ),
    "workers": _option("Where it is stored", int, "Frames worked on at once; by default as many as cores.", min=1),
    **BUCKET,
    **_storage_options("urls"),
    **OBJECTS,
}


def takes(*groups: Mapping[str, Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add the options of these groups to a command's `**flags`, by their names, each group in a panel of the help."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = signature(command, eval_str=True)
        kept = [one for one in own.parameters.values() if one.kind is not Parameter.VAR_KEYWORD]
        options = {name: annotation for group in groups for name, annotation in group.items()}
        added = [
            Parameter(name, Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
            for name, annotation in options.items()
        ]
        command.__signature__ = own.replace(parameters=[*kept, *added])  # type: ignore[attr-defined]
        command.__annotations__ = {one.name: one.annotation for one in [*kept, *added]}
        return command

    return decorate


# ---- from flags to values ------------------------------------------------------------------------------------------


def recipe_from(base: Recipe, flags: Mapping[str, Any]) -> Recipe:
    """Override a recipe's fields with the flags that were given."""
    given = said({name: flags[name] for name in type(base).model_fields if name in flags})
    if flags["roi"] is not None:
        given["region_of_interest_3d"] = _region(flags["roi"])
    if flags["height_band"] is not None:
        given["height_band"] = tuple(_numbers(flags["height_band"], "--height-band", "LO,HI, like -1,8", (2,)))
    fields = {name: getattr(base, name) for name in type(base).model_fields}
    return type(base)(**(fields | given))


def storage_from(base: StorageOptions, flags: Mapping[str, Any]) -> StorageOptions:
    """Override storage options with the flags that were given."""
    fields = base.model_dump()
    return type(base)(**(fields | said({name: flags[name] for name in fields if name in flags})))


def access_from(flags: Mapping[str, Any]) -> AccessOptions:
    """Return how a store that something is read from is reached, by the flags that were given."""
    from lidarprep.remote.options import AccessOptions

    return AccessOptions(**said({name: flags[name] for name in AccessOptions.model_fields}))


def opening_flags(flags: Mapping[str, Any]) -> dict[str, Any]:
    """Select the flags that were given for opening a recording, by the names of `open_scene`'s options."""
    return said({name: flags[_opening_parameter(name)] for name in option_docs()})


def said(flags: Mapping[str, Any]) -> dict[str, Any]:
    """Drop flags that were not given."""
    return {name: value for name, value in flags.items() if value is not None}


def _region(text: str) -> RegionOfInterest3D:
    from lidarprep.scene import RegionOfInterest3D

    x, y, length, width, *rotation = _numbers(text, "--roi", "X,Y,LENGTH,WIDTH[,DEGREES], like 0,0,80,60,15", (4, 5))
    return RegionOfInterest3D((x, y, 0.0), length, width, radians(rotation[0]) if rotation else 0.0)


def _numbers(text: str, option: str, expected: str, counts: tuple[int, ...]) -> list[float]:
    """Parse numbers separated by commas.

    Raises:
        RecipeError: They are not numbers, or not one of these counts.
    """
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = []
    if len(values) not in counts:
        raise RecipeError(f"{option} is {text!r}; expected {expected}")
    return values


def require_frame(frame: str, option: str) -> LabelsFrame:
    """Check the name of a frame of reference of labels.

    Raises:
        RecipeError: There is none of that name.
    """
    if frame not in ("world", "ego", "attachment"):
        raise RecipeError(f"{option} is {frame!r}; it is world, ego or attachment")
    return cast("LabelsFrame", frame)


def labels_frame(labels: str | None, frame: str | None) -> LabelsFrame | None:
    """Check what `--labels-frame` says.

    Raises:
        RecipeError: It is no frame of reference, or there are no labels.
    """
    if frame is not None and labels is None:
        raise RecipeError("--labels-frame is given without --labels")
    return None if frame is None else require_frame(frame, "--labels-frame")


def require_said(client: ScaleClient, *, live: bool, yes: bool) -> None:
    """Refuse a live key, whose tasks cost money, unless a flag says that it is meant.

    The rule is the same at a terminal and in a pipe or CI: a script that was tried with a test key must not cost money
    by a change of its environment alone.

    Raises:
        ParameterError: The key is a live one, and neither flag was given.
    """
    if client.requires_confirmation and not (live or yes):
        raise ParameterError(
            f"the API key is a live one: people do the task at {client.api_url}, and it costs money",
            fix="Add --live (or --yes) if that is meant. Tasks of a test key cost nothing.",
        )
