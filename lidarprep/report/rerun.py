"""Recordings for Rerun's viewer (.rrd), by its SDK.

Points, device and cameras are entities under `world`; what preparation drops is an entity for each reason, so that it
can be hidden. Images hang under their cameras as pinholes: Rerun has no distortion.
"""

from __future__ import annotations

from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from lidarprep.errors import MissingExtraError
from lidarprep.report.colours import FATES, by_value
from lidarprep.report.moments import (
    ExportPlan,
    Moment,
    TimedImage,
    band_squares,
    camera_matrix,
    region_edges,
)
from lidarprep.report.views import Fate, FrameView
from lidarprep.scene import Cuboids, Pose

try:
    import rerun as rr
    import rerun.blueprint as rrb
except ImportError:
    raise MissingExtraError("writing .rrd files", "rerun") from None

# Where points have no intensity, they are coloured by their heights in this range around the device, metres.
_HEIGHTS = (-3.0, 5.0)

# Radii below 0 are in points of the screen.
_POINT_RADIUS, _LINE_RADIUS = -1.5, -1.0

# Of cameras, so many have a view of their own when the file is opened.
_MOST_CAMERAS = 6


class RrdFile:
    """Writes an .rrd file, frame by frame; the SDK streams it to the disk.

    Args:
        file: The file to write, by its name.
        plan: What is the same for all frames.
    """

    def __init__(self, file: BinaryIO, plan: ExportPlan) -> None:
        self._plan = plan
        self._recording: Any = rr.RecordingStream("lidarprep")
        self._recording.set_log_time_enabled(False)  # when the file was written is no news
        self._recording.set_log_tick_enabled(False)
        self._recording.save(file.name, default_blueprint=_blueprint(plan))
        self._paths = {name: f"world/cameras/{rr.escape_entity_path_part(plain)}" for name, plain in plan.names.items()}
        self.notes: list[str] = []
        self._log_fixtures()

    def encode(self, moment: Moment) -> dict[str, Any]:
        """Split the points of a frame by what becomes of them; any thread may."""
        view = moment.view
        fates = [Fate.KEPT] if self._plan.kept_only else [fate for fate in Fate if fate != Fate.NOT_FINITE]
        clouds = {}
        for fate in fates:
            path = "kept" if fate == Fate.KEPT else f"dropped/{fate.name.lower()}"
            clouds[f"world/points/{path}"] = _points(view.take(view.fate == fate), fate)
        return clouds

    def write(self, moment: Moment, encoded: dict[str, Any]) -> None:
        """Write an encoded frame; frames come in time order."""
        log = self._recording.log
        self._set_time(moment.frame.index, moment.time)
        if moment.world_from_ego is not None:
            log("world/ego", _transform(moment.world_from_ego))
        for path, points in encoded.items():
            log(path, points)
        if moment.frame.read_radar is not None:
            log("world/radar", rr.Points3D(moment.view.radar, colors=(240, 228, 66), radii=-3.0))
        if moment.cuboids is not None:
            self._log_labels(moment.cuboids)
        if moment.frame.gps is not None:
            log("gps", rr.GeoPoints(lat_lon=[[moment.frame.gps.latitude, moment.frame.gps.longitude]]))
        for image in moment.images:
            self._set_time(moment.frame.index, image.time)
            self._log_image(image, moment.world_from_ego)

    def finish(self, about: dict[str, str]) -> None:
        """Write what is left; `about` is shown as a document."""
        text = "\n\n".join(f"**{key}**: {value}" for key, value in about.items() if value)
        self._recording.log("about", rr.TextDocument(text, media_type="text/markdown"), static=True)
        self._recording.flush()
        self._recording.disconnect()

    def _set_time(self, index: int, time: int) -> None:
        self._recording.set_time("frame", sequence=index)
        if self._plan.has_times:
            self._recording.set_time("time", timestamp=np.datetime64(time, "ns"))
        else:
            self._recording.set_time("time", duration=np.timedelta64(time, "ns"))

    def _log_image(self, image: TimedImage, world_from_ego: Pose | None) -> None:
        name, intrinsics = image.image.camera.name, image.image.camera.intrinsics
        path = self._paths[name]
        if image.image.world_from_camera is not None:
            self._recording.log(path, _transform(image.image.world_from_camera))
        elif image.image.camera.ego_from_camera is not None and world_from_ego is not None:
            self._recording.log(path, _transform(world_from_ego @ image.image.camera.ego_from_camera))
        if intrinsics.model in ("brown_conrady", "fisheye"):
            matrix = camera_matrix(image.image)
            matrix[:2, 2] += 0.5  # Rerun's (0, 0) is the corner of the upper left pixel
            matrix[0, 1] = 0.0
            size = [image.header.width, image.header.height]
            pinhole = rr.Pinhole(image_from_camera=matrix, resolution=size, camera_xyz=rr.ViewCoordinates.RDF)
            self._recording.log(path, pinhole)
        lack = "distortion" if intrinsics.distortion.nonzero() else "skew" if intrinsics.skew else ""
        if intrinsics.model not in ("brown_conrady", "fisheye"):
            self._note(
                f"camera {name}: its model is {intrinsics.model}, which Rerun does not have: no points lie over it"
            )
        elif lack or intrinsics.model == "fisheye":
            self._note(
                f"camera {name}: Rerun shows it as a pinhole, without its {lack or 'fisheye projection'}; points "
                "over it are off towards its edges"
            )
        self._recording.log(path, rr.EncodedImage(contents=image.data, media_type=image.header.media_type))

    def _note(self, note: str) -> None:
        if note not in self.notes:
            self.notes.append(note)

    def _log_labels(self, cuboids: Cuboids) -> None:
        drawn = rr.Boxes3D(
            centers=cuboids.position,
            half_sizes=cuboids.size / 2,
            quaternions=[rr.Quaternion(xyzw=np.roll(one, -1)) for one in cuboids.quaternion],
            colors=np.array([self._plan.label_colours[label] for label in cuboids.label], np.uint8).reshape(-1, 3),
            labels=[label.encode("utf-8", "replace").decode() for label in cuboids.label],
        )
        self._recording.log("world/labels", drawn)

    def _log_fixtures(self) -> None:
        """Write what stays for the whole scene: axes, the region, the band of heights and the device's path."""
        view = self._plan.view

        def log(path: str, what: Any) -> None:
            self._recording.log(path, what, static=True)

        log("world", rr.ViewCoordinates.RIGHT_HAND_Z_UP)
        if (edges := region_edges(view)) is not None:
            log("world/region", rr.LineStrips3D(list(edges), colors=(230, 159, 0), radii=_LINE_RADIUS))
        if (squares := band_squares(view)) is not None:
            log("world/ego/band", rr.LineStrips3D(list(squares), colors=(0, 158, 115), radii=_LINE_RADIUS))
        if len(path := view.path()) > 1:
            log("world/path", rr.LineStrips3D([path], colors=(86, 180, 233), radii=_LINE_RADIUS))


def _points(view: FrameView, fate: Fate) -> Any:
    """Draw points: the kept ones from dark to bright, the others in their reason's colour."""
    with np.errstate(over="ignore"):
        positions = view.positions.astype(np.float32)
    colours: NDArray[np.uint8] | list[int]
    if fate != Fate.KEPT:
        colours = FATES[fate].tolist()
    elif view.intensity is not None:
        colours = by_value(view.intensity, 0.0, 1.0)
    else:
        colours = by_value(view.in_ego()[:, 2], *_HEIGHTS)
    return rr.Points3D(positions, colors=colours, radii=_POINT_RADIUS)


def _transform(pose: Pose) -> Any:
    return rr.Transform3D(translation=pose.translation, quaternion=rr.Quaternion(xyzw=np.roll(pose.quaternion, -1)))


def _blueprint(plan: ExportPlan) -> Any:
    """Lay out the viewer: the scene, and beside it the first images."""
    scene = rrb.Spatial3DView(origin="world", name="scene")
    names = list(plan.names.values())[:_MOST_CAMERAS]
    images = [
        rrb.Spatial2DView(
            origin=f"world/cameras/{rr.escape_entity_path_part(name)}",
            contents=["$origin/**", "world/points/kept", "world/labels"],
            name=name,
        )
        for name in names
    ]
    if not images:
        return rrb.Blueprint(scene, collapse_panels=True)
    return rrb.Blueprint(rrb.Horizontal(scene, rrb.Grid(*images), column_shares=[3, 2]), collapse_panels=True)
