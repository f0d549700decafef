"""`lidarprep export SCENE --to FILE`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from lidarprep.cli import options as o
from lidarprep.cli.console import counted, print_json, print_notes, say, tell_of_compiling
from lidarprep.cli.progress import progress

# Of how a recording is prepared, what says a point's fate, a frame's place or an intensity.
_FATES = {
    name: o.RECIPE[name]
    for name in (
        "roi",
        "device_height",
        "height_band",
        "frames",
        "labeling_sample_rate",
        "only_labelled",
        "deskew",
        "voxel",
        "voxel_keep",
        "intensity_scale",
        "drop_intensity",
        "recentre",
    )
}


@o.takes(_FATES, o.OPENING, o.ACCESS)
def command(
    scene: Annotated[str, typer.Argument(metavar="SCENE|MANIFEST", help="A recording, or what prepare stored.")],
    to: Annotated[
        Path, typer.Option(metavar="FILE", help="The file to write: .mcap (Foxglove, Lichtblick) or .rrd (Rerun).")
    ],
    recipe: Annotated[str | None, typer.Option(metavar="FILE", help="A recipe (YAML); flags override it.")] = None,
    kept_only: Annotated[
        bool, typer.Option("--kept-only", help="Leave out the points that preparation drops.")
    ] = False,
    labels: o.LabelsPath = None,
    labels_frame: o.LabelsReference = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace FILE, if it is there.")] = False,
    json: o.Json = False,
    **flags: Any,
) -> None:
    """Export a recording to a file that Foxglove, Lichtblick or Rerun opens: points, images, poses, labels."""
    from lidarprep.datasets import open_scene
    from lidarprep.recipe import Recipe
    from lidarprep.remote import as_path
    from lidarprep.report.export import export
    from lidarprep.report.views import SceneView

    merged = o.recipe_from(Recipe() if recipe is None else Recipe.from_yaml(recipe), flags)
    opening = {"points_frame": merged.points_frame} | o.opening_flags(flags)
    reference, access = o.labels_frame(labels, labels_frame), o.access_from(flags)
    with progress("exporting", on_start=tell_of_compiling) as bar:
        view = SceneView.of(open_scene(scene, layout=flags["layout"], access=access, **opening), merged)
        result = export(
            view,
            to,
            kept_only=kept_only,
            labels=None if labels is None else view.read_labels(as_path(labels, access), reference),
            overwrite=overwrite,
            progress=bar.reach,
        )
    print_notes(result.notes)
    size = f"{result.points:,} points, {counted(result.images, 'image')}, {result.bytes / 1e6:.1f} MB"
    say(f"{result.path}: {counted(result.frames, 'frame')}, {size}")
    if json:
        print_json(result.to_dict())
