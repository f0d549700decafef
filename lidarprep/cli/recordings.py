"""`lidarprep inspect PATH`, `lidarprep layouts` and `lidarprep convert IN OUT`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lidarprep.cli import options as o
from lidarprep.cli.console import (
    console,
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
    from lidarprep.inspect import Bounds, FrameInspection, Inspection

# Of more frames than this, the table shows the first, the last and the worst.
MOST_FRAMES_SHOWN = 20

# In a terminal of fewer letters a line, no map is drawn.
NARROWEST_MAP = 40


@o.takes(o.OPENING, o.CHECKS, o.ACCESS)
def inspect(
    path: Annotated[str, typer.Argument(help="A recording: a folder, a bag, a point file; or its URL.")],
    json: o.Json = False,
    every_frame: Annotated[
        bool, typer.Option("--every-frame", help="Read all frames of a large recording in a store, too.")
    ] = False,
    write_calibration: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the poses that the images say are right, for --calibration."),
    ] = None,
    **flags: Any,
) -> None:
    """Show what a recording is: frames, points, fields, bounds, intensity, poses, cameras, and what looks odd."""
    from lidarprep.checks.codes import require_known
    from lidarprep.datasets import open_scene
    from lidarprep.inspect import inspect_scene
    from lidarprep.scene.finding import refused, why_refused

    accept = flags["accept"] or ()
    scene = open_scene(path, layout=flags["layout"], access=o.access_from(flags), **o.opening_flags(flags))
    require_known(accept, scene.findings)
    with progress("reading") as bar:
        inspection = inspect_scene(
            scene,
            every_frame=every_frame,
            on_frame=bar.reach,
            **o.said({"max_speed": flags["max_speed"], "level": flags["checks"]}),
        )
    if json:
        print_json(inspection.to_dict())
    else:
        _show(inspection)
    if write_calibration is not None:
        _write_calibration(inspection, write_calibration, path)
    if flags["strict"] and (bad := refused(inspection.findings, accept=accept, strict=True)):
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
        print_table("layouts", ("layout", "looks like"), list(looks.items()), stderr=False)


@o.takes(o.ACCESS)
def convert(
    source: Annotated[str, typer.Argument(metavar="IN", help="A point file or an attachment, or its URL.")],
    target: Annotated[str, typer.Argument(metavar="OUT", help="Any point file or attachment, by its suffix.")],
    intensity_scale: o.IntensityScale = None,
    precision: o.Precision = None,
    frame: Annotated[
        str | None, typer.Option(metavar="N|ID", help="Which frame of a .sfs: its id, or its number from 0.")
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option(metavar="NAME,…", help="Columns of IN, if it names none: x,y,z,_,intensity; _ skips one."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUT, if it is there.")] = False,
    **flags: Any,
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
            columns=columns,
            overwrite=overwrite,
            access=o.access_from(flags),
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
            stderr=False,
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
            stderr=False,
        )
    if inspection.streams:
        print_table(
            "streams",
            ("stream", "type", "messages", "used"),
            [
                (stream.name, stream.kind, f"{stream.messages:,}", "yes" if stream.used else "no")
                for stream in inspection.streams
            ],
            stderr=False,
        )
    print_notes(inspection.notes, stderr=False)
    print_findings(inspection.findings, stderr=False)
    _show_map(inspection)


def _show_map(inspection: Inspection) -> None:
    """Draw a small map where a person is watching, in a terminal that has colours."""
    screen = console(stderr=False)
    if not screen.is_terminal or "CI" in os.environ or inspection.samples is None:
        return
    if screen.color_system is None or screen.width < NARROWEST_MAP:
        return
    from lidarprep.report.terminal import terminal_map  # brings Numba and Pillow

    region = None if inspection.region is None else inspection.region.region
    if drawn := terminal_map(inspection.samples, region, screen.width):
        screen.print(drawn)


def _show_summary(inspection: Inspection) -> None:
    from lidarprep.checks import date_of

    rows = [
        ("layout", inspection.layout),
        ("frames", f"{len(inspection.frames)}"),
        ("points", f"{inspection.points:,} in {inspection.points_frame}"),
        ("fields", ", ".join(inspection.fields)),
    ]
    if inspection.ignored_fields:
        rows.append(("ignored fields", ", ".join(inspection.ignored_fields)))
    rows += _extent_rows(inspection.points_frame, inspection.bounds)
    if inspection.points_frame != "world":
        rows += _extent_rows("world", inspection.world_bounds)
    if inspection.intensity is not None:
        rows.append(("intensity", f"{inspection.intensity[0]:g} to {inspection.intensity[1]:g}"))
    start = _start(inspection.frames)
    if start is not None:
        rows.append(("first timestamp", f"{start} ns, {date_of(start)}"))
    if inspection.rate_hz is not None:
        rows.append(("rate", f"{inspection.rate_hz:.4g} Hz"))
    if inspection.distance_m is not None:
        rows.append(("device travels", f"{inspection.distance_m:.2f} m"))
    if inspection.path is not None:
        (x0, y0, _), (x1, y1, _) = inspection.path.lowest, inspection.path.highest
        rows.append(("path in world", f"x {x0:z.2f} to {x1:z.2f}, y {y0:z.2f} to {y1:z.2f} m"))
    rows += _proposals(inspection)
    print_table(inspection.source, ("", "found"), rows, stderr=False)


def _extent_rows(frame: str, bounds: Bounds | None) -> list[tuple[str, str]]:
    """Rows of the extent of points in a frame of reference."""
    if bounds is None:
        return []
    sides = zip("xyz", bounds.lowest, bounds.highest, strict=True)
    return [(f"{axis} in {frame}", f"{lowest:z.2f} to {highest:z.2f} m") for axis, lowest, highest in sides]


def _proposals(inspection: Inspection) -> list[tuple[str, str]]:
    """Rows of where the ground is, and of the options that fit the recording."""
    rows = []
    if (ground := inspection.ground) is not None:
        side = "below" if ground.height >= 0 else "above"
        spread = f", {ground.spread:.2f} m apart" if ground.frames > 1 else ""
        seen = f"{abs(ground.height):.2f} m {side} the device in {ground.frames} of {ground.looked_at} frames{spread}"
        rows.append(("ground", seen))
        if ground.fits:
            rows.append(("fitting height", f"--device-height {ground.device_height:g}"))
    if (region := inspection.region) is not None:
        rows.append(("fitting region", f"{region.option.flag} ({region.share:.0%} of the points)"))
    return rows


def _show_frames(frames: Sequence[FrameInspection]) -> None:
    """Show a table of frames, with their times as offsets from the first one; of many frames, some."""
    start = _start(frames)
    shown = _rows_to_show(frames)
    rows: list[tuple[str, ...]] = []
    before = -1
    for row in shown:
        if row > before + 1:
            rows.append((f"… {row - before - 1} more", *[""] * (4 if start is None else 5)))
        before, frame = row, frames[row]
        since = "none" if start is None or frame.timestamp is None else f"{(frame.timestamp - start) / 1e6:.3f}"
        rows.append(
            (
                frame.id,
                *([] if start is None else [since]),
                "unreadable" if frame.error is not None else f"{frame.points:,}" if frame.is_read else "not read",
                f"{frame.radar_points}" if frame.is_read else "",
                f"{frame.images}",
                "none" if frame.position is None else ", ".join(f"{value:z.2f}" for value in frame.position),
            )
        )
    times = [] if start is None else ["ms"]
    title = "frames" if len(shown) == len(frames) else f"frames: {len(shown)} of {len(frames)}; --json has all"
    print_table(title, ("frame", *times, "points", "radar", "images", "device in world"), rows, stderr=False)


def _rows_to_show(frames: Sequence[FrameInspection]) -> list[int]:
    """Choose the rows of the first, the last and the worst frames if there are more than MOST_FRAMES_SHOWN."""
    rows = range(len(frames))
    if len(frames) <= MOST_FRAMES_SHOWN:
        return list(rows)

    def soundness(row: int) -> tuple[bool, bool, int, int]:
        frame = frames[row]
        return frame.error is None, frame.position is not None, frame.images, frame.points

    ends = [*rows[: MOST_FRAMES_SHOWN // 2], *rows[-MOST_FRAMES_SHOWN // 4 :]]
    others = [row for row in sorted(rows, key=soundness) if row not in ends]
    return sorted([*ends, *others[: MOST_FRAMES_SHOWN - len(ends)]])


def _start(frames: Sequence[FrameInspection]) -> int | None:
    """The timestamp of the first frame that has one."""
    return next((frame.timestamp for frame in frames if frame.timestamp is not None), None)
