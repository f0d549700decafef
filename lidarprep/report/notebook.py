"""What notebooks show of a scene, a frame, points, a manifest, a task and findings: a table and a small picture.

A representation never fails and never waits: what cannot be drawn is said in the picture's place. URLs lose their
query, which may hold a signature.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from html import escape
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np

from lidarprep.datasets import open_scene
from lidarprep.errors import LidarprepError, place_name
from lidarprep.recipe import Recipe
from lidarprep.report.secrets import without_secrets
from lidarprep.report.top_down import top_down
from lidarprep.report.views import SceneView
from lidarprep.scene import Finding, Frame, PointCloud, Scene
from lidarprep.storage import Manifest

if TYPE_CHECKING:
    from PIL.Image import Image

    from lidarprep.api import Task

_SIZE = (400, 300)
_MOST_ROWS = 20
_COLOURS = {"error": "#c62828", "warning": "#a15c00", "note": "#5f6b7a"}


def scene_html(scene: Scene) -> str:
    """Show a recording, with its first frame."""
    rows = [
        ("recording", place_name(scene.source)),
        ("layout", scene.layout),
        ("frames", f"{len(scene):,}"),
        ("from", _moment(next((one.timestamp for one in scene if one.timestamp is not None), None))),
        ("poses", f"{sum(one.world_from_ego is not None for one in scene):,}"),
        ("points in", scene.points_frame),
        ("cameras", _names([one.name for one in scene.cameras])),
        ("lidars", _names([one.name for one in scene.lidars])),
    ]
    return _together(_table(rows), lambda: _of_frames(scene, 0))


def frame_html(frame: Frame) -> str:
    """Show a frame."""
    pose = frame.world_from_ego
    rows = [
        ("frame", frame.id),
        ("number", f"{frame.index}"),
        ("time", _moment(frame.timestamp)),
        ("device at", "" if pose is None else ", ".join(f"{value:.2f}" for value in pose.translation) + " m"),
        ("images", _names([image.camera.name for image in frame.images])),
        ("radar", "yes" if frame.read_radar is not None else "no"),
    ]
    return _together(_table(rows), lambda: _of_frames(_alone(frame), 0))


def points_html(points: PointCloud) -> str:
    """Show a point cloud: the columns with their ranges."""
    rows = [("points", f"{len(points):,}"), ("in", points.frame)]
    rows += [(axis, _range(points.positions[:, number], " m")) for number, axis in enumerate("xyz")]
    rows += [(name, _range(column)) for name, column in points.columns.items()]
    frame = Frame("points", 0, lambda: points)
    return _together(_table(rows), lambda: _of_frames(_alone(frame), 0))


def manifest_html(manifest: Manifest) -> str:
    """Show what was prepared, with its first frame if it lies on this machine."""
    points_in, points_out = (sum(getattr(one, name) for one in manifest.frames) for name in ("points_in", "points_out"))
    stored = sum(one.bytes for one in manifest.attachments) + sum(one.bytes for one in manifest.images)
    rows = [
        ("recording", place_name(manifest.source)),
        ("manifest", place_name(manifest.location)),
        ("format", manifest.format),
        ("frames", f"{len(manifest.frames):,}, {sum(one.labelled for one in manifest.frames):,} labelled"),
        ("left out", f"{len(manifest.skipped):,}" if manifest.skipped else ""),
        ("points", f"{points_out:,} of {points_in:,}"),
        (
            "stored",
            f"{len(manifest.attachments):,} attachments, {len(manifest.images):,} images, {stored / 1e6:.1f} MB",
        ),
        ("findings", _names([f"{one.severity}: {one.code}" for one in manifest.findings])),
    ]
    local = manifest.location.startswith("file://")
    # A Sensor Fusion Scene is one file of all frames: opening it takes as long as it is large.
    if not local or manifest.format == "sfs":
        return _table(rows)
    return _together(_table(rows), lambda: _of_frames(open_scene(place_name(manifest.location)), 0))


def task_html(task: Task) -> str:
    """Show a task. Neither its parameters nor its response: their URLs may be signed."""
    rows = [
        ("task", task.id),
        ("type", task.type or ""),
        ("status", task.status or ""),
        ("created", "" if task.created_at is None else f"{task.created_at:%Y-%m-%d %H:%M}"),
        ("completed", "" if task.completed_at is None else f"{task.completed_at:%Y-%m-%d %H:%M}"),
        ("key", "test" if task.is_test else "live" if task.is_test is False else ""),
        ("unique_id", task.unique_id or ""),
        ("project", task.project or ""),
        ("batch", task.batch or ""),
        ("tags", _names(list(task.tags))),
        ("next", task.next_step),
    ]
    return _table(rows)


def findings_html(findings: Iterable[Finding]) -> str:
    """Show findings as a table."""
    listed = list(findings)
    if not listed:
        return "<p>no findings: nothing looks odd</p>"
    head = "".join(f'<th style="text-align:left">{name}</th>' for name in ("severity", "code", "what", "what to do"))
    body = "".join(
        f'<tr><td style="color:{_COLOURS[one.severity]};font-weight:600">{one.severity}</td>'
        f"<td><code>{_text(one.code)}</code></td>{_cell(one.message)}{_cell(one.advice)}</tr>"
        for one in listed
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


# ---- parts -----------------------------------------------------------------------------------------------------------


def _alone(frame: Frame) -> Scene:
    return Scene(f"frame {frame.id}", "frame", (replace(frame, index=0),))


def _of_frames(scene: Scene, row: int) -> Image:
    """Draw a frame as it is: nothing is estimated, so that nothing else is read."""
    view = SceneView(scene, scene.frames, Recipe())
    return top_down(view, frames=f"{row}:{row + 1}", size=_SIZE)


def _together(table: str, draw: Callable[[], Image]) -> str:
    try:
        picture = draw()
    except LidarprepError as error:
        shown = f"<p>no picture: {_text(error.message)}</p>"
    else:
        file = BytesIO()
        picture.save(file, "PNG", compress_level=1)
        data = b64encode(file.getvalue()).decode()
        shown = (
            f'<img alt="the first frame from above" width="{picture.width}" height="{picture.height}" '
            f'src="data:image/png;base64,{data}">'
        )
    return f'<div style="display:flex;gap:1em;align-items:flex-start;flex-wrap:wrap">{table}{shown}</div>'


def _table(rows: Sequence[tuple[str, str]]) -> str:
    """Make a table of names and what they are; rows that say nothing are left out."""
    cells = "".join(
        f'<tr><th style="text-align:left">{_text(name)}</th>{_cell(value)}</tr>' for name, value in rows if value
    )
    return f"<table><tbody>{cells}</tbody></table>"


def _cell(text: str) -> str:
    return f'<td style="text-align:left">{_text(text)}</td>'


def _text(text: str) -> str:
    return escape(without_secrets(text))


def _names(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_MOST_ROWS])
    return f"{shown} and {len(names) - _MOST_ROWS} more" if len(names) > _MOST_ROWS else shown


def _moment(timestamp: int | None) -> str:
    if timestamp is None:
        return ""
    if 10**17 < timestamp < 4 * 10**18:  # else no time since 1970
        return f"{datetime.fromtimestamp(timestamp / 1e9, UTC):%Y-%m-%d %H:%M:%S.%f} UTC"
    return f"{timestamp} ns"


def _range(values: Any, unit: str = "") -> str:
    known = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    if not known.size:
        return "none is finite" if values.size else ""
    return f"{known.min():g} to {known.max():g}{unit} ({values.dtype})"
