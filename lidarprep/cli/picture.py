"""`lidarprep picture SCENE --out FILE.png`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lidarprep.cli import options as o
from lidarprep.cli.console import counted, say, tell_of_compiling
from lidarprep.cli.progress import progress
from lidarprep.errors import RecipeError

if TYPE_CHECKING:
    from PIL.Image import Image

    from lidarprep.report.views import SceneView
    from lidarprep.scene import Labels

_FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}

# Those options of preparing that change what is seen.
_SHOWN = ("roi", "device_height", "height_band", "deskew", "voxel", "voxel_keep", "intensity_scale")
_RECIPE = {name: o.RECIPE[name] for name in (*_SHOWN, "drop_intensity", "recentre")}


@o.takes(_RECIPE, o.OPENING, o.ACCESS)
def command(
    scene: Annotated[str, typer.Argument(help="A recording; or a manifest, or the folder that it is in.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="The picture: .png, .jpg or .webp.")],
    view: Annotated[str, typer.Option(metavar="top|side|camera:NAME", help="From where.")] = "top",
    frames: Annotated[
        str | None, typer.Option(metavar="A:B:S", help="Which frames, as a Python slice; else all, 20 at most.")
    ] = None,
    color: Annotated[
        str | None,
        typer.Option(
            "--color",
            "--colour",
            metavar="BY",
            help="height, frame, intensity, device, time or fate; depth over images. Else height, or depth.",
        ),
    ] = None,
    labels: o.LabelsPath = None,
    labels_frame: o.LabelsReference = None,
    size: Annotated[
        str | None, typer.Option(metavar="WxH", help="Pixels; else 1280x960, 1280x640 from the side.")
    ] = None,
    **flags: Any,
) -> None:
    """Draw a recording, or what was prepared of it: from above, from the side, or over a camera's image.

    Several frames are drawn together. What prepare would drop by these options is greyed by the reason.
    """
    from lidarprep.datasets import open_scene
    from lidarprep.recipe import Recipe
    from lidarprep.remote import as_path
    from lidarprep.report.views import SceneView

    file_format = _format_of(out)
    wanted = None if size is None else _size(size)
    recipe = o.recipe_from(Recipe(), {"roi": None, "height_band": None} | flags)
    reference, access = o.labels_frame(labels, labels_frame), o.access_from(flags)
    with progress("drawing"):
        tell_of_compiling()
        opened = open_scene(scene, layout=flags["layout"], access=access, **o.opening_flags(flags))
        seen = SceneView.of(opened, recipe)
        found = None if labels is None else seen.read_labels(as_path(labels, access), reference)
        seen.require_other(out)
        picture = _draw(seen, view, frames, color, found, wanted)
    _write(picture, out, file_format)
    say(f"{out}: {picture.width} × {picture.height} pixels")


def _draw(
    seen: SceneView,
    view: str,
    frames: str | None,
    color: Any,
    labels: Labels | None,
    size: tuple[int, int] | None,
) -> Image:
    from lidarprep.report import overlay, side_view, top_down
    from lidarprep.steps.sampling import select_frames

    if view in ("top", "side"):
        draw, usual = (top_down, (1280, 960)) if view == "top" else (side_view, (1280, 640))
        return draw(seen, frames=frames, color=color or "height", labels=labels, size=size or usual)
    kind, _, camera = view.partition(":")
    if kind != "camera" or not camera:
        raise RecipeError(f"--view is {view!r}; expected top, side or camera:NAME")
    known = [one.name for one in seen.scene.cameras]
    if camera not in known:
        raise RecipeError(f"there is no camera {camera!r}; {seen.scene.source} has {', '.join(known) or 'none'}")
    chosen = select_frames(seen.frames, frames)
    with_image = [one for one in chosen if any(image.camera.name == camera for image in one.images)]
    if not with_image:
        raise RecipeError(f"none of the {counted(len(chosen), 'frame')} has an image of camera {camera!r}")
    if frames is None:  # one image with its own points
        chosen = with_image[:1]
    width = 1280 if size is None else size[0]
    # Of several frames the middle one's image: things that move are then seen before and after.
    middle = with_image[0] if frames is None else with_image[len(with_image) // 2]
    return overlay(middle, camera, points_of=chosen, color=color or "depth", labels=labels, width=width, view=seen)


def _format_of(out: Path) -> str:
    found = _FORMATS.get(out.suffix.lower())
    if found is None:
        raise RecipeError(f"--out is {str(out)!r}; expected a name that ends in .png, .jpg or .webp")
    return found


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.lower().replace("×", "x").partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        raise RecipeError(f"--size is {text!r}; expected width and height in pixels, like 1280x960")
    return int(width), int(height)


def _write(picture: Image, out: Path, file_format: str) -> None:
    """Write a picture under a temporary name, then rename it.

    Raises:
        StorageError: It cannot be written.
    """
    from lidarprep.storage.files import move_file, temporary_file, writing

    # Packing points harder takes longer than drawing them, for a tenth of the bytes.
    options: dict[str, Any] = {"compress_level": 1} if file_format == "PNG" else {"quality": 90}
    with temporary_file(out) as file, writing(out):
        picture.save(file, file_format, **options)
        move_file(file, out)
