"""The static pictures of the page: from above, from the side, and the points over an image of each camera."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from functools import cached_property, partial
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np

from lidarprep.report.overlay import overlay
from lidarprep.report.side_view import side_view
from lidarprep.report.top_down import top_down
from lidarprep.report.views import Fate, FrameView, SceneView
from lidarprep.scene import Finding, Frame, Labels
from lidarprep.scene_settings import BAD_FRAME

if TYPE_CHECKING:
    from PIL.Image import Image


# A picture of several frames is of so many at most, with so many points of each.
MOST_FRAMES, MOST_POINTS = 20, 200_000

THUMBNAIL_WIDTH = 640
_OVERLAY_WIDTH = 960
# Pictures of frames that findings are about, besides.
_MOST_OF_FINDINGS = 4
# WebP's method 0 takes a third of the time of the usual one, for 15 % more bytes.
_QUALITY, _METHOD = 80, 0


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture in the page.

    Args:
        id: What it is found by: "frames", "top", "side", "camera-0".
        title: Its title.
        caption: What to look at.
        alt: What is said to people who cannot see it.
        image: It.
        data: The same as a data URI.
        frame: The id of the frame that it shows, of those that show a single one.
    """

    id: str
    title: str
    caption: str
    alt: str
    image: Image
    data: str
    frame: str = ""

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) pixels."""
        return self.image.size

    @cached_property
    def thumbnail(self) -> str:
        """A smaller one for beside a finding, as a data URI."""
        small = self.image.resize(self.thumbnail_size, reducing_gap=2.0)
        return _uri(small)

    @property
    def thumbnail_size(self) -> tuple[int, int]:
        """(width, height) of the smaller one."""
        width, height = self.size
        return THUMBNAIL_WIDTH, max(1, round(height * THUMBNAIL_WIDTH / width))


def _uri(image: Image) -> str:
    target = BytesIO()
    image.save(target, "WEBP", quality=_QUALITY, method=_METHOD)
    return f"data:image/webp;base64,{base64.b64encode(target.getvalue()).decode('ascii')}"


# ---- drawing ---------------------------------------------------------------------------------------------------------


def rows_to_draw(view: SceneView) -> list[int]:
    """Return the rows of the frames that the pictures are of, increasing."""
    rows = np.linspace(0, len(view.frames) - 1, min(MOST_FRAMES, len(view.frames))).round().astype(int).tolist()
    return sorted({*rows, len(view.frames) // 2, *_rows_of_cameras(view).values()})


def draw_pictures(view: SceneView, kept: Mapping[str, FrameView], source: str, labels: Labels | None) -> list[Picture]:
    """Draw what is worth seeing of a scene.

    Args:
        view: The scene.
        kept: The frames of `rows_to_draw` that could be read, by their ids.
        source: How the scene is named.
        labels: Labels whose cuboids are drawn; None: those that the scene itself has.
    """
    sound = [row for row in rows_to_draw(view) if len(kept.get(view.frames[row].id, ()))]
    if not sound:
        return []
    drawn = _DrawnView(**{one.name: getattr(view, one.name) for one in fields(SceneView)}, kept=kept)
    drawn = replace(drawn, scene=replace(view.scene, source=source))
    middle = min(sound, key=lambda row: (abs(row - len(view.frames) // 2), row))
    jobs: list[Callable[[], Picture]] = []

    def job(id: str, title: str, caption: str, alt: str, draw: Callable[[], Image]) -> None:
        def make() -> Picture:
            image = draw()
            return Picture(id, title, caption, alt, image, _uri(image))

        jobs.append(make)

    if len(view.frames) > 1 and view.has_poses:
        job(
            "frames",
            "Frames from above, each in its colour.",
            "Where poses and times are right, walls and parked cars have one sharp edge in all colours.",
            "Points of several frames from above, each frame in its own colour, with the device's path",
            lambda: top_down(drawn, color="frame", labels=labels),
        )
    jobs += [partial(_of_frame, drawn, middle, kind, kind, labels) for kind in ("top", "side")]
    for number, camera in enumerate(view.scene.cameras):
        row = _rows_of_cameras(view).get(camera.name)
        if row is None or row not in sound:
            continue
        shown = kept[view.frames[row].id]
        job(
            f"camera-{number}",
            f"Points over {camera.name}, frame {shown.frame.id}.",
            "Edges of poles, cars and walls are to meet those of the image, near and far.",
            f"Image of camera {camera.name} with the points of frame {shown.frame.id} over it, by their depth",
            lambda shown=shown, name=camera.name: overlay(  # type: ignore[misc]
                shown, name, labels=labels, width=_OVERLAY_WIDTH, view=drawn
            ),
        )
    with ThreadPoolExecutor(2, "pictures") as pool:
        return list(pool.map(lambda make: make(), jobs))


def _of_frame(view: SceneView, row: int, kind: str, id: str, labels: Labels | None) -> Picture:
    """Draw one frame from above ("top") or from the side ("side")."""
    frame = view.frames[row].id
    frames = f"{row}:{row + 1}"
    if kind == "top":
        has_dropped = bool((view.look(view.frames[row]).fate != Fate.KEPT).any())
        title, alt = f"Frame {frame} from above.", f"Points of frame {frame} from above"
        caption = "Points by what becomes of them." if has_dropped else "Points by their height."
        image = top_down(view, frames=frames, color="fate" if has_dropped else "height", labels=labels)
    else:
        title = f"Frame {frame} from the side."
        alt = f"Points of frame {frame} from the side, with the ground and the band of heights that is kept"
        caption = "The ground is to be level."
        if view.band is not None:
            caption = "The ground is to lie at height 0, and the band to hold what is to be labelled."
        image = side_view(view, frames=frames, labels=labels)
    return Picture(id, title, caption, alt, image, _uri(image), frame)


def draw_frames_of(
    findings: Sequence[Finding], view: SceneView, pictures: Sequence[Picture], source: str, labels: Labels | None
) -> list[Picture]:
    """Draw the frames that findings are about, where a picture of one frame would show them and shows another.

    Args:
        findings: What the checks found.
        view: The scene.
        pictures: What is drawn already.
        source: How the scene is named.
        labels: As for `draw_pictures`.
    """
    drawn = replace(view, scene=replace(view.scene, source=source))
    row_of = {frame.id: row for row, frame in enumerate(view.frames)}
    shown = {one.id: one.frame for one in pictures}
    wanted: dict[tuple[str, int], None] = {}
    for one in findings:
        kind, frame = _kind_of(one), one.subject.name
        if one.subject.kind == "frame" and kind in shown and frame in row_of and shown[kind] not in ("", frame):
            wanted[kind, row_of[frame]] = None
    made = []
    for kind, row in list(wanted)[:_MOST_OF_FINDINGS]:
        with suppress(*BAD_FRAME):  # that it cannot be read is a finding of its own
            made.append(_of_frame(drawn, row, kind, f"{kind}-{row}", labels))
    return made


def _rows_of_cameras(view: SceneView) -> dict[str, int]:
    """Return for each camera that has images the row of the frame, nearest the middle, whose image is drawn."""
    middle = len(view.frames) // 2
    found: dict[str, int] = {}
    for row in sorted(range(len(view.frames)), key=lambda row: (abs(row - middle), row)):
        for image in view.frames[row].images:
            found.setdefault(image.camera.name, row)
        if len(found) == len(view.scene.cameras):
            break
    return found


@dataclass(frozen=True, eq=False)
class _DrawnView(SceneView):
    """A view that gives frames that were read already.

    Args:
        kept: They, by their ids.
    """

    kept: Mapping[str, FrameView] = field(default_factory=dict)

    def look(self, frame: Frame) -> FrameView:
        """Return a frame that was read; read another."""
        found = self.kept.get(frame.id)
        return super().look(frame) if found is None else found


# ---- beside findings -------------------------------------------------------------------------------------------------

# Findings that a picture shows, by the beginning of their codes: the picture of the frames in their colours shows
# what is wrong with poses and times, that from above what is wrong with the region, that from the side the heights.
_SHOWN_BY: tuple[tuple[str, str], ...] = (
    ("region", "top"),
    ("little-kept", "top"),
    ("frames-emptied", "top"),
    ("frames-nearly", "top"),
    ("device-height", "side"),
    ("points-on-device", "top"),
    ("points-in", "frames"),
    ("pose", "frames"),
    ("device", "frames"),
    ("lidar-turned", "frames"),
    ("rotation", "frames"),
    ("sweeps", "frames"),
    ("clock", "frames"),
    ("frames", "frames"),
)


def _kind_of(finding: Finding) -> str | None:
    return next((id for code, id in _SHOWN_BY if finding.code.startswith(code)), None)


def picture_of(finding: Finding, pictures: Sequence[Picture], cameras: Sequence[str]) -> Picture | None:
    """Return the picture that shows a finding, if one does."""
    wanted = _kind_of(finding)
    if finding.subject.kind == "frame" and wanted in ("top", "side"):
        of_frame = (one for one in pictures if one.id.startswith(wanted) and one.frame == finding.subject.name)
        return next(of_frame, None)
    if finding.subject.kind == "camera":
        wanted = f"camera-{cameras.index(finding.subject.name)}" if finding.subject.name in cameras else None
    by_id = {picture.id: picture for picture in pictures}
    if wanted == "frames" and wanted not in by_id:
        wanted = "top"
    return by_id.get(wanted or "")
