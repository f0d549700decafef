"""Options that several commands share, and how their words become values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from inspect import Parameter, signature
from math import radians
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lidarprep.datasets.options import NAME_LISTS, Doc, flag_of, option_docs
from lidarprep.errors import ParameterError, RecipeError

if TYPE_CHECKING:
    from lidarprep.api import ScaleClient
    from lidarprep.datasets.options import OpenOptions
    from lidarprep.recipe import Recipe, StorageOptions
    from lidarprep.scene import RegionOfInterest3D

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]
Precision = Annotated[int | None, typer.Option(metavar="N", help="Decimals in Frame JSON; exact where left out.")]
IntensityScale = Annotated[float | None, typer.Option(metavar="S", help="The intensity that becomes 1; else guessed.")]
Params = Annotated[str | None, typer.Option("--params", metavar="FILE", help="Task parameters as YAML or JSON.")]
Param = Annotated[
    list[str] | None,
    typer.Option(
        "--param", metavar="KEY=VALUE", help="One task parameter; VALUE as JSON or as plain text. Repeatable."
    ),
]
UniqueId = Annotated[
    str | None,
    typer.Option(
        metavar="ID|auto",
        help="Id of your own that no other task may have. auto: made of the task's content, so that submitting it "
        "again gives the task that is there.",
    ),
]
Live = Annotated[bool, typer.Option("--live", help="Submit with a live key: people do the task, and it costs money.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Ask for nothing; a live key is used as if with --live.")]
ApiUrl = Annotated[
    str | None, typer.Option("--api-url", help="Address of the API; else SCALE_API_URL, else Scale's own.")
]


# Options that several commands take together, by the names of their parameters; `takes` hands them out. What is not
# given is None, so that what a file says stands.
def _storage_options(*groups: str) -> dict[str, Any]:
    """Return the options of a store, as its model declares them, by the names of the model's fields."""
    from lidarprep.storage.options import StorageOptions

    found = {}
    for name, model_field in StorageOptions.model_fields.items():
        extra = model_field.json_schema_extra
        assert isinstance(extra, dict)  # noqa: S101  # every field of it declares them
        if extra["group"] not in groups:
            continue
        flag = str(extra.get("flag", f"--{name.replace('_', '-')}"))
        kind: Any = {bool: bool, float: float, tuple: list[str]}.get(type(model_field.default), str)
        kind = float if name == "presign_hours" else kind
        metavar = str(extra["metavar"]) if "metavar" in extra else None
        option = typer.Option(flag, metavar=metavar, help=model_field.description, show_default=False)
        found[name] = Annotated[kind | None, option]
    return found


BUCKET = _storage_options("bucket")


def _opening_parameter(name: str) -> str:
    """Return the parameter of a command that an option of opening has: scene_name of scene."""
    return flag_of(name).removeprefix("--").replace("-", "_")


def _opening_option(name: str, kind: Any, doc: Doc) -> Any:
    on_the_line = list[str] if name in NAME_LISTS else kind if kind in (bool, float) else str
    return Annotated[on_the_line | None, typer.Option(flag_of(name), metavar=doc.metavar, help=doc.help)]


OPENING: dict[str, Any] = {
    "layout": Annotated[
        str | None, typer.Option(help="The recording's layout, else guessed; see `lidarprep layouts`.")
    ],
    **{_opening_parameter(name): _opening_option(name, kind, doc) for name, (kind, doc) in option_docs().items()},
}
RECIPE: dict[str, Any] = {
    "format": Annotated[
        str | None, typer.Option("--format", metavar="json|protobuf|sfs", help="Format of the attachments.")
    ],
    "roi": Annotated[
        str | None,
        typer.Option("--roi", metavar="X,Y,LENGTH,WIDTH[,DEGREES]", help="Rectangle to crop to, in the world, metres."),
    ],
    "device_height": Annotated[
        float | None, typer.Option(metavar="M", help="Height of the device above the ground, metres.")
    ],
    "height_band": Annotated[
        str | None, typer.Option("--height-band", metavar="LO,HI", help="Metres above the ground to keep; else -1,8.")
    ],
    "frames": Annotated[str | None, typer.Option(metavar="A:B:S", help="Which frames, as a Python slice.")],
    "labeling_sample_rate": Annotated[
        int | None, typer.Option("--labeling-sample-rate", metavar="K", help="Every how many frames one is labelled.")
    ],
    "only_labelled": Annotated[
        bool | None,
        typer.Option("--only-labelled/--all-frames", help="Prepare the labelled frames only.", show_default=False),
    ],
    "deskew": Annotated[
        bool | None,
        typer.Option(
            "--deskew/--no-deskew",
            help="Move points from the device's pose at their own time to that at their frame's.",
            show_default=False,
        ),
    ],
    "voxel": Annotated[
        float | None, typer.Option(metavar="METRES", help="Keep one measured point a voxel of this edge.")
    ],
    "voxel_keep": Annotated[str | None, typer.Option(metavar="first|nearest", help="Which: else the first.")],
    "precision": Precision,
    "intensity_scale": IntensityScale,
    "drop_intensity": Annotated[
        bool | None,
        typer.Option("--drop-intensity/--keep-intensity", help="Leave the intensities out.", show_default=False),
    ],
    "recentre": Annotated[
        bool | None,
        typer.Option(
            "--recentre/--no-recentre",
            help="Take one offset from coordinates beyond 100 km; done with a warning where it isn't said.",
            show_default=False,
        ),
    ],
    "odometry": Annotated[
        bool | None,
        typer.Option(
            "--odometry/--no-odometry",
            help="Give a .sfs the device's poses as a sensor of their own.",
            show_default=False,
        ),
    ],
    "skip_bad_frames": Annotated[
        bool | None,
        typer.Option(
            "--skip-bad-frames/--stop-at-bad-frames",
            help="Go on without frames that cannot be read; the manifest lists them.",
            show_default=False,
        ),
    ],
}
CHECKS: dict[str, Any] = {
    "strict": Annotated[
        bool | None, typer.Option("--strict/--lenient", help="A warning is an error.", show_default=False)
    ],
    "max_speed": Annotated[
        float | None, typer.Option(metavar="M/S", help="Speed from which the device's way is odd; else 80.")
    ],
}
OBJECTS = _storage_options("objects")
STORAGE: dict[str, Any] = {
    "overwrite": Annotated[
        bool | None,
        typer.Option(
            "--overwrite", help="Replace the manifest of another run; its objects stay until prune.", show_default=False
        ),
    ],
    "workers": Annotated[
        int | None, typer.Option(min=1, help="Frames worked on at once; by default as many as cores.")
    ],
    **BUCKET,
    **_storage_options("urls"),
    **OBJECTS,
}


_PANELS = {
    id(group): title
    for title, group in (
        ("How it is prepared", RECIPE),
        ("What the recording doesn't say", OPENING),
        ("Checks", CHECKS),
        ("Where it is stored", STORAGE),
        ("Where it is stored", BUCKET),
        ("Where it is stored", OBJECTS),
    )
}


def takes(*groups: Mapping[str, Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Gives a command the options of these groups, which it gets by their names as `**flags`; None if not given.

    Each group has a panel of its own in `--help`.
    """
    for group in groups:
        for annotation in group.values():
            annotation.__metadata__[0].rich_help_panel = _PANELS[id(group)]

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

    return {name: value for name, value in flags.items() if name in StorageOptions.model_fields}


def opening_flags(flags: Mapping[str, Any]) -> dict[str, Any]:
    """Those of a command's flags that say how a recording is opened, by the names of `open_scene`'s options."""
    return said({name: flags[_opening_parameter(name)] for name in option_docs()})


def overridden_opening(base: OpenOptions, flags: Mapping[str, Any]) -> OpenOptions:
    """The options with the flags that were given in place of its own."""
    return replace(base, **opening_flags(flags))


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
    """Drop flags that were not given."""
    return {name: value for name, value in given.items() if value is not None}


def storage_from(base: StorageOptions, given: dict[str, Any]) -> StorageOptions:
    """The storage options with the flags that were given in place of their own fields."""
    return type(base)(**(base.model_dump() | said(given)))


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
