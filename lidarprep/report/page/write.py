"""The page: what a scene is, in one HTML file that works from the disk, offline, mailed or attached to a ticket."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from importlib import resources
from os import PathLike, fspath
from pathlib import Path

import jinja2
import numpy as np
from markupsafe import Markup

from lidarprep.checks import (
    SceneSamples,
    bad_frames,
    check_scene,
    empty_frames,
    unknown_intensity_scale,
)
from lidarprep.recipe import Recipe
from lidarprep.report.boxes import ShownLabels
from lidarprep.report.page import data as d
from lidarprep.report.page.budget import Budget, plan
from lidarprep.report.page.content import Scrubber, content, source_name
from lidarprep.report.page.pictures import MOST_POINTS, Picture, draw_frames_of, draw_pictures, rows_to_draw
from lidarprep.report.page.reading import Reading, ShownFrame, first_view, read_scene
from lidarprep.report.views import Fate, SceneView
from lidarprep.scene import Finding, Labels, Scene
from lidarprep.scene.finding import gravest_first
from lidarprep.scene_settings import check_options
from lidarprep.storage import Manifest
from lidarprep.storage.files import move_file, temporary_file, writing

# What stands in the text for the page's own size, until that is known; and where the data goes.
_SIZE, _DATA = "⟨size⟩", "<!--data-->"

# Radar returns of a frame that the viewer has at most.
_MOST_RADAR = 2_000


@dataclass(frozen=True)
class Report:
    """A page that was written.

    Args:
        path: The file.
        bytes: Its size.
        frames: How many frames the scene has.
        frames_shown, points_shown: How many frames and points the viewer has.
        thinned: What that leaves out, in a sentence.
        findings: What the checks found.
    """

    path: Path
    bytes: int
    frames: int
    frames_shown: int
    points_shown: int
    thinned: str
    findings: Sequence[Finding]


def write_report(
    source: Scene | Manifest | SceneView,
    out: str | PathLike[str],
    *,
    recipe: Recipe | None = None,
    findings: Sequence[Finding] | None = None,
    labels: Labels | None = None,
    frames: int | None = None,
    points_a_frame: int | None = None,
    size_mb: float = 20.0,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Write the page of a scene: one HTML file with all that it shows.

    Args:
        source: The recording; what was stored of one, on this machine; or a view of either.
        out: The file; one that is there is replaced.
        recipe: How the recording is prepared: what becomes of each point. None: every point is kept.
        findings: What the checks found. None: a manifest's, or the checks are made, beside the reading.
        labels: Labels of the scene, as `lp.results` and `lp.read_labels` return them, in any frame of reference: their
            cuboids are shown. Those that the scene itself has are shown in any case, as pre-labels.
        frames: The most frames in the viewer; as many as fit where it is None. Figures are always of all.
        points_a_frame: The most points of each frame; up to 100,000, as many as fit, where it is None.
        size_mb: Megabytes that the page takes at most, 3 or more: points and images are thinned.
        progress: Called in this thread with (frames read, frames in all).

    Returns:
        What was written.

    Raises:
        SceneError, FormatError: The scene has no frames, or none of them can be read.
        RecipeError: The recipe or the labels do not fit the scene, or a limit is too low.
        StorageError: The manifest is not on this machine, or the file cannot be written.
    """
    view = SceneView.of(source, recipe)
    view.require_other(Path(fspath(out)))
    if findings is None and view.manifest is not None:
        findings = view.manifest.findings
    shown_labels = [ShownLabels.of(None, view)]
    if labels is not None:
        shown_labels.append(ShownLabels.of(labels, view))
    preferred = [
        is_labelled or any(len(one.of_frames([frame.id])) for one in shown_labels)
        for frame, is_labelled in zip(view.frames, view.labelled, strict=True)
    ]
    pool = ThreadPoolExecutor(1, "checks")
    try:
        checks = pool.submit(_check, view) if findings is None else None
        first = first_view(view)
        budget = plan(view, first, labelled=preferred, size_mb=size_mb, frames=frames, points_a_frame=points_a_frame)
        reading = read_scene(
            view,
            budget,
            labelled=view.labelled,
            drawn=dict.fromkeys(rows_to_draw(view), MOST_POINTS),
            progress=progress,
        )
        pictures = draw_pictures(view, reading.kept, Scrubber(view)(source_name(view)), labels)
        reading.kept.clear()
        found = _findings(view, reading, checks) if checks is not None else list(findings or ())
        pictures += draw_frames_of(found, view, pictures, Scrubber(view)(source_name(view)), labels)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    page = _Page(view, budget, reading, shown_labels, found, pictures)
    size = page.write(Path(fspath(out)))
    shown = [len(one.points) for one in reading.shown if one.points is not None]
    return Report(
        Path(fspath(out)), size, len(view.frames), len(reading.shown), sum(shown), page.thinned(), tuple(found)
    )


# ---- findings --------------------------------------------------------------------------------------------------------


def _check(view: SceneView) -> list[Finding]:
    """Check the recording as `prepare` would."""
    options = check_options(view.recipe, view.offset, unreadable_images=True)
    samples = view.samples or SceneSamples(view.scene, view.frames)
    return check_scene(view.scene, options, samples=samples)


def _findings(view: SceneView, reading: Reading, checks: Future[list[Finding]]) -> list[Finding]:
    """Return what the checks found, and what reading all of the frames has shown."""
    figures = reading.figures
    empty = [one.id for one in figures if one.error is None and not sum(one.fates[: Fate.NO_RETURN])]
    found = [
        *bad_frames([(one.id, one.error) for one in figures if one.error is not None]),
        *empty_frames(empty, len(figures)),
    ]
    if view.intensity_is_guessed and view.samples is not None:
        found += unknown_intensity_scale(view.samples.usual)
    return gravest_first([*found, *checks.result()])


# ---- the page --------------------------------------------------------------------------------------------------------


@dataclass
class _Page:
    """The parts of one page."""

    view: SceneView
    budget: Budget
    reading: Reading
    labels: Sequence[ShownLabels]
    findings: Sequence[Finding]
    pictures: Sequence[Picture]

    def write(self, out: Path) -> int:
        """Write the page under a temporary name, then rename it; return its size."""
        elements = self._fitting(self.budget.bytes - len(self._text().encode()) - 4096)
        head, tail = self._text().split(_DATA)  # says what is left in the page now
        size = sum(len(element) for element in elements) + len(head.encode()) + len(tail.encode())
        said = f"{size / 1e6:.1f} MB"
        with temporary_file(out) as stream, writing(out):
            for text in (head.replace(_SIZE, said), *elements, tail.replace(_SIZE, said)):
                stream.write(text.encode("utf-8", "backslashreplace"))
            size = stream.tell()
            move_file(stream, out)
        return size

    def _text(self) -> str:
        """Return the HTML, without the data."""
        own, dist = resources.files(__package__), resources.files("lidarprep.report") / "viewer" / "dist"
        script = (dist / "viewer.js").read_text("utf-8")
        environment = jinja2.Environment(autoescape=True, trim_blocks=True, undefined=jinja2.StrictUndefined)
        template = environment.from_string((own / "template.html").read_text("utf-8"))
        page = content(self.view, self.reading, self.findings, self.pictures, self.thinned(), _SIZE)
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        text = template.render(
            page=page,
            # Ours, and no part of the recording.
            style=Markup((own / "style.css").read_text("utf-8")),  # noqa: S704
            viewer_style=Markup((dist / "viewer.css").read_text("utf-8")),  # noqa: S704
            script_hash=Markup(f"'sha256-{digest}'"),  # noqa: S704
        )
        head, _, tail = text.partition(_DATA)
        return f"{head}{_DATA}<script>{script}</script>{tail}"

    def _fitting(self, room: int) -> list[str]:
        """Return the elements with points and images, thinned further if they do not fit after all."""
        images = self._images()
        if sum(map(len, images)) > 0.8 * room:
            self._leave_images_out(0.8 * room / sum(map(len, images)))
            images = self._images()
        room -= sum(map(len, images))
        for _ in range(4):
            points = self._points()
            scene = _element("application/json", "scene-data", d.to_json(self.scene_data()))
            size = sum(map(len, points)) + len(scene)
            if size <= room:
                break
            for one in self.reading.shown:
                if one.points is not None:
                    one.points = one.points.thinned(0.95 * max(room - len(scene), 0) / max(size - len(scene), 1))
        return [scene, *points, *images]

    def _points(self) -> list[str]:
        with_points = [(row, one.points) for row, one in enumerate(self.reading.shown) if one.points is not None]
        with ThreadPoolExecutor(os.cpu_count()) as pool:  # compressing lets other threads run
            blobs = pool.map(lambda each: each[1].encoded(), with_points)
            return [
                _element("text/plain", f"points-{row}", blob) for (row, _), blob in zip(with_points, blobs, strict=True)
            ]

    def _images(self) -> list[str]:
        return [
            _element("text/plain", f"image-{row}-{number}", base64.b64encode(image.jpeg).decode("ascii"))
            for row, one in enumerate(self.reading.shown)
            for number, image in enumerate(one.images)
            if image.jpeg is not None
        ]

    def _leave_images_out(self, share: float) -> None:
        """Keep the images of such a share of the frames."""
        rows = [row for row, one in enumerate(self.reading.shown) if any(image.jpeg for image in one.images)]
        kept = {rows[int(n)] for n in np.linspace(0, len(rows) - 1, max(1, int(len(rows) * share)))}
        for row in set(rows) - kept:
            one = self.reading.shown[row]
            one.images = [image.without_pixels() for image in one.images]

    def thinned(self) -> str:
        """Say what of the scene the viewer shows."""
        return _thinned(self.view, self.reading, self.budget)

    def scene_data(self) -> d.SceneData:
        """Return the data of the viewer."""
        view, scrub = self.view, Scrubber(self.view)
        names = {lidar.index: lidar.name for lidar in view.scene.lidars}
        intensity: d.ScaleData | None = None
        if view.intensity_scale is not None and any(
            one.points is not None and "intensity" in one.points.columns for one in self.reading.shown
        ):
            intensity = {"scale": float(view.intensity_scale)}
        labelled = view.labelled
        return {
            "version": 1,
            "source": scrub(source_name(view)),
            "layout": view.scene.layout,
            "offset": d.vector(view.offset),
            "has_poses": view.has_poses,
            "fates": [fate.title for fate in Fate],
            "devices": [
                {"id": number, "name": names.get(number, f"lidar {number}")} for number in self.reading.devices
            ],
            "intensity": intensity,
            "region": d.region_data(view),
            "band": d.band_data(view),
            "path": d.places(view.path()),
            "thinned": self.thinned(),
            "cameras": [d.camera_data(camera) for camera in view.scene.cameras],
            "frames": [
                self._frame(one, labelled[one.row], self._cuboids(one.frame.id), scrub) for one in self.reading.shown
            ],
        }

    def _cuboids(self, frame_id: str) -> list[d.CuboidData]:
        return [
            cuboid
            for one in self.labels
            for cuboid in d.cuboid_data(one.of_frames([frame_id]), prelabels=one.are_prelabels)
        ]

    def _frame(self, one: ShownFrame, labelled: bool, cuboids: list[d.CuboidData], scrub: Scrubber) -> d.FrameData:
        frame, figures = one.frame, self.reading.figures[one.row]
        seen = one.view
        return {
            "id": frame.id,
            "index": frame.index,
            "timestamp": None if frame.timestamp is None else str(frame.timestamp),
            "world_from_ego": None if seen is None else d.matrix(seen.world_from_ego),
            "labelled": labelled,
            "error": None if figures.error is None else scrub(figures.error),
            "points": None if one.points is None else one.points.data(),
            "radar": [] if seen is None else d.places(seen.radar[:_MOST_RADAR], 2),
            "images": [] if seen is None else self._image_data(one, scrub),
            "cuboids": cuboids,
        }

    def _image_data(self, one: ShownFrame, scrub: Scrubber) -> list[d.ImageData]:
        assert one.view is not None  # noqa: S101  # asked by the caller
        cameras = self.view.scene.cameras
        rows = {camera.name: row for row, camera in enumerate(cameras)}
        found: list[d.ImageData] = []
        for image, shown in zip(one.view.images, one.images, strict=True):
            row = rows[image.camera.name]
            same = image.camera.intrinsics == cameras[row].intrinsics
            problem = shown.problem
            if problem is None and shown.jpeg is None:
                problem = "is left out to keep the page small; others of this camera are shown"
            found.append(
                {
                    "camera": row,
                    "intrinsics": None if same else d.intrinsics_data(image.camera.intrinsics),
                    "world_from_camera": d.matrix(image.world_from_camera),
                    "timestamp": None if image.timestamp is None else str(image.timestamp),
                    "width": shown.width,
                    "height": shown.height,
                    "scale_factor": float(image.scale_factor),
                    "shown": shown.jpeg is not None,
                    "problem": None if problem is None else scrub(problem),
                }
            )
        return found


def _element(kind: str, name: str, text: str) -> str:
    return f'<script type="{kind}" id="{name}">{text}</script>\n'


def _thinned(view: SceneView, reading: Reading, budget: Budget) -> str:
    total = sum(one.points for one in reading.figures if one.error is None)
    shown = [one for one in reading.shown if one.points is not None]
    points = sum(len(one.points) for one in shown if one.points is not None)
    of_shown = sum(one.points.total for one in shown if one.points is not None)
    parts = []
    if len(reading.shown) == len(view.frames):
        frames = "the frame" if len(view.frames) == 1 else f"all {len(view.frames):,} frames"
    else:
        frames = f"{len(reading.shown):,} of {len(view.frames):,} frames"
    if points == of_shown:
        parts.append(f"The viewer has {frames}, with all of their {points:,} points")
    else:
        each = points // max(len(shown), 1)
        parts.append(f"The viewer has {frames}, with {points:,} of their {of_shown:,} points (about {each:,} each)")
    images = sum(image.jpeg is not None for one in reading.shown for image in one.images)
    if images:
        parts.append(f"{images:,} images, {budget.image_width} pixels wide at most")
    end = f"Figures and plots are of all {total:,} points." if points < total else ""
    return f"{', and '.join(parts)}. {end}".strip()
