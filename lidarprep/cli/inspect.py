"""`lidarprep inspect PATH`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from lidarprep.cli.console import print_json, print_notes, print_table, progress
from lidarprep.cli.options import CHECKS, OPENING, Json, opening_flags, takes

if TYPE_CHECKING:
    from lidarprep.inspection import Inspection


@takes(OPENING, CHECKS)
def command(
    path: Annotated[str, typer.Argument(help="A recording: a folder, a bag, a point file.")],
    json: Json = False,
    **flags: Any,
) -> None:
    """Show what a recording is: frames, points, fields, bounds, intensity, poses, cameras, and warnings."""
    from lidarprep.inspection import inspect_scene
    from lidarprep.recordings import open_scene

    scene = open_scene(path, layout=flags["layout"], **opening_flags(flags))
    with progress("reading") as bar:
        inspection = inspect_scene(scene, on_frame=bar.reach)
    if json:
        print_json(inspection.to_dict())
    else:
        _show(inspection)


def _show(inspection: Inspection) -> None:
    rows = [
        ("layout", inspection.layout),
        ("frames", f"{len(inspection.frames)}"),
        ("points", f"{inspection.points:,} in {inspection.points_frame}"),
        ("fields", ", ".join(inspection.fields)),
    ]
    if inspection.ignored_fields:
        rows.append(("ignored fields", ", ".join(inspection.ignored_fields)))
    if inspection.bounds is not None:
        for axis, lowest, highest in zip("xyz", inspection.bounds.lowest, inspection.bounds.highest, strict=True):
            rows.append((f"{axis}", f"{lowest:.2f} to {highest:.2f} m"))
    if inspection.intensity is not None:
        rows.append(("intensity", f"{inspection.intensity[0]:g} to {inspection.intensity[1]:g}"))
    if inspection.distance_m is not None:
        rows.append(("device travels", f"{inspection.distance_m:.2f} m"))
    print_table(inspection.source, ("", "found"), rows)
    print_table(
        "frames",
        ("frame", "points", "radar", "pictures", "device x, y, z"),
        [
            (
                frame.id,
                f"{frame.points:,}",
                f"{frame.radar_points}",
                f"{frame.images}",
                "none" if frame.position is None else ", ".join(f"{value:.2f}" for value in frame.position),
            )
            for frame in inspection.frames
        ],
    )
    if inspection.cameras:
        print_table(
            "cameras",
            ("camera", "model", "pictures", "points in view"),
            [
                (
                    camera.name,
                    camera.model,
                    f"{camera.pictures}",
                    "unknown" if camera.points_in_view is None else f"{camera.points_in_view:.1%}",
                )
                for camera in inspection.cameras
            ],
        )
    print_notes(inspection.notes)
    print_notes(inspection.warnings, label="warning")
