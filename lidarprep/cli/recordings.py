"""`lidarprep inspect PATH`, `lidarprep layouts` and `lidarprep convert IN OUT`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lidarprep.cli import options as o
from lidarprep.cli.console import (
    print_error,
    print_findings,
    print_json,
    print_notes,
    print_table,
    say,
    tell_of_compiling,
)
from lidarprep.cli.progress import progress
from lidarprep.errors import StorageError

if TYPE_CHECKING:
    from lidarprep.inspect import FrameInspection, Inspection


@o.takes(o.OPENING, o.CHECKS)
def inspect(
    path: Annotated[str, typer.Argument(help="A recording: a folder, a bag, a point file.")],
    json: o.Json = False,
    write_calibration: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the poses that the images say are right, for --calibration."),
    ] = None,
    **flags: Any,
) -> None:
    """Show what a recording is: frames, points, fields, bounds, intensity, poses, cameras, and what looks odd."""
    from lidarprep.checks import refused, why_refused
    from lidarprep.datasets import open_scene
    from lidarprep.inspect import inspect_scene

    scene = open_scene(path, layout=flags["layout"], **o.opening_flags(flags))
    with progress("reading") as bar:
        inspection = inspect_scene(
            scene, on_frame=bar.reach, **o.said({"max_speed": flags["max_speed"], "level": flags["checks"]})
        )
    if json:
        print_json(inspection.to_dict())
    else:
        _show(inspection)
    if write_calibration is not None:
        _write_calibration(inspection, write_calibration, path)
    if flags["strict"] and (bad := refused(inspection.findings, accept=flags["accept"] or (), strict=True)):
        print_error(why_refused(bad))
        raise typer.Exit(2)


def layouts(json: o.Json = False) -> None:
    """List the layouts of recordings that can be opened, in the order in which they are tried."""
    from lidarprep.datasets import known_layouts
    from lidarprep.datasets.layouts import installed_layouts

    looks = {name: layout.LOOKS_LIKE for name, layout in {**installed_layouts(), **known_layouts()}.items()}
    if json:
        print_json(looks)
    else:
        print_table("layouts", ("layout", "looks like"), list(looks.items()))


def convert(
    source: Annotated[str, typer.Argument(metavar="IN", help="A point file or an attachment.")],
    target: Annotated[str, typer.Argument(metavar="OUT", help="Any point file or attachment, by its suffix.")],
    intensity_scale: o.IntensityScale = None,
    precision: o.Precision = None,
    frame: Annotated[
        str | None, typer.Option(metavar="N|ID", help="Which frame of a .sfs: its id, or its number from 0.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUT, if it is there.")] = False,
) -> None:
    """Convert one point file or attachment to another; what is dropped is named."""
    from lidarprep.convert import convert

    tell_of_compiling()
    with progress("converting") as bar:
        conversion = convert(
            source,
            target,
            intensity_scale=intensity_scale,
            precision=precision,
            frame=frame,
            overwrite=overwrite,
            progress=bar.reach,
        )
    print_notes(conversion.notes)
    say(f"{target}: {conversion.points:,} points")


def _write_calibration(inspection: Inspection, file: Path, recording: str) -> None:
    """Write the calibration that findings of cameras' poses give, if there are any."""
    from json import dumps

    if inspection.calibration is None:
        say(f"{file} is not written: no camera's pose was found to be another")
        return
    try:
        file.write_text(dumps(inspection.calibration, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise StorageError(f"cannot write {file}: {error.strerror or error}") from error
    names = ", ".join(inspection.calibration["cameras"])
    say(f"{file} has the poses of {names}: lidarprep prepare {recording} --calibration {file}")


def _show(inspection: Inspection) -> None:
    _show_summary(inspection)
    _show_frames(inspection.frames)
    if inspection.lidars:
        print_table(
            "lidars",
            ("lidar", "device id", "points"),
            [
                (lidar.name, f"{lidar.index}", "unknown" if lidar.points is None else f"{lidar.points:,}")
                for lidar in inspection.lidars
            ],
        )
    if inspection.cameras:
        print_table(
            "cameras",
            ("camera", "model", "pixels", "images", "points in view"),
            [
                (
                    camera.name,
                    camera.model,
                    "unknown" if camera.size is None else f"{camera.size[0]} × {camera.size[1]}",
                    f"{camera.images}",
                    "unknown" if camera.points_in_view is None else f"{camera.points_in_view:.1%}",
                )
                for camera in inspection.cameras
            ],
        )
    if inspection.streams:
        print_table(
            "streams",
            ("stream", "type", "messages", "used"),
            [
                (stream.name, stream.kind, f"{stream.messages:,}", "yes" if stream.used else "no")
                for stream in inspection.streams
            ],
        )
    print_notes(inspection.notes)
    print_findings(inspection.findings)


def _show_summary(inspection: Inspection) -> None:
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
    start = _start(inspection.frames)
    if start is not None:
        rows.append(("first timestamp", f"{start} ns"))
    if inspection.rate_hz is not None:
        rows.append(("rate", f"{inspection.rate_hz:.4g} Hz"))
    if inspection.distance_m is not None:
        rows.append(("device travels", f"{inspection.distance_m:.2f} m"))
    print_table(inspection.source, ("", "found"), rows)


def _show_frames(frames: Sequence[FrameInspection]) -> None:
    """Show a table of frames, with their times as offsets from the first one."""
    start = _start(frames)
    rows = []
    for frame in frames:
        since = "none" if start is None or frame.timestamp is None else f"{(frame.timestamp - start) / 1e6:.3f}"
        rows.append(
            (
                frame.id,
                *([] if start is None else [since]),
                "unreadable" if frame.error is not None else f"{frame.points:,}",
                f"{frame.radar_points}",
                f"{frame.images}",
                "none" if frame.position is None else ", ".join(f"{value:.2f}" for value in frame.position),
            )
        )
    times = [] if start is None else ["ms"]
    print_table("frames", ("frame", *times, "points", "radar", "images", "device x, y, z"), rows)


def _start(frames: Sequence[FrameInspection]) -> int | None:
    """The timestamp of the first frame that has one."""
    return next((frame.timestamp for frame in frames if frame.timestamp is not None), None)
