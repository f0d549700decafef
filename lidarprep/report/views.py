"""Views: the points of a scene in one world frame, all of them, each with its fate in preparation.

Everything that shows a scene draws views: pictures, the page, exports, notebooks. What becomes of a point is not
decided here: the steps of preparation are run, and what they drop is told apart by the tests that they make.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lidarprep.checks import SceneSamples
from lidarprep.datasets import open_scene
from lidarprep.errors import RecipeError, place_name
from lidarprep.labels.files import LabelFile
from lidarprep.recipe import DEFAULT_HEIGHT_BAND, Recipe
from lidarprep.remote import as_path
from lidarprep.report.own_labels import with_own_labels
from lidarprep.scene import CameraImage, Frame, Labels, PointCloud, Pose, RegionOfInterest3D, Scene
from lidarprep.scene.labels import LabelsFrame
from lidarprep.scene_settings import SceneSettings, require_frames
from lidarprep.steps import StepReport
from lidarprep.steps.deskew import Deskew
from lidarprep.steps.intensity import guess_intensity_scale
from lidarprep.steps.voxel import VoxelDownsample
from lidarprep.steps.world import HeightBand, ToWorld
from lidarprep.storage import Manifest
from lidarprep.storage.manifest import FrameRecord
from lidarprep.storage.store import MANIFEST_KEY

_COLUMNS = ("positions", "fate", "intensity", "device", "timestamp")

# Where the scale of intensities is in doubt, so many of them (percent) are drawn between dark and bright.
_BRIGHT_PERCENTILE = 99.5


class Fate(IntEnum):
    """What becomes of a point in preparation."""

    KEPT = 0
    REGION = 1
    HEIGHT = 2
    VOXEL = 3
    NO_RETURN = 4
    NOT_FINITE = 5

    @property
    def title(self) -> str:
        """As people read it: "no return"."""
        return self.name.lower().replace("_", " ")


@dataclass(frozen=True, eq=False)
class FrameView:
    """A frame, or a chunk of its points, as it is drawn.

    Args:
        frame: The frame as recorded.
        world_from_ego: The device's pose in the view's world; None where the recording has none: its points are then in
            the device's own frame, or in the world without a device.
        positions: (N, 3) float32 or float64, metres, in the view's world: the recording's less the offset.
        fate: (N,) uint8 `Fate` of each point.
        intensity: (N,) float32 from 0 to 1, or None.
        device: (N,) uint32 number of the lidar, or None.
        timestamp: (N,) int64 nanoseconds, or None.
        images: Its images, their poses in the view's world.
        radar: (K, 3) float64 radar returns in the view's world, metres.
        band: The heights that are kept, if any are not.
    """

    frame: Frame
    world_from_ego: Pose | None
    positions: NDArray[np.floating[Any]]
    fate: NDArray[np.uint8]
    intensity: NDArray[np.float32] | None = None
    device: NDArray[np.uint32] | None = None
    timestamp: NDArray[np.int64] | None = None
    images: tuple[CameraImage, ...] = ()
    radar: NDArray[np.float64] = field(default_factory=lambda: np.empty((0, 3)))
    band: HeightBand | None = None

    def __len__(self) -> int:
        return len(self.positions)

    def __repr__(self) -> str:
        return f"FrameView({self.frame.id!r}: {len(self)} points, {len(self.images)} images)"

    def take(self, rows: NDArray[Any]) -> FrameView:
        """Select points by (M,) integer indices or an (N,) boolean mask."""
        columns: dict[str, Any] = {name: getattr(self, name) for name in _COLUMNS}
        selected: dict[str, Any] = {name: column[rows] for name, column in columns.items() if column is not None}
        return replace(self, **selected)

    def counts(self) -> dict[Fate, int]:
        """Return how many points have each fate, those that none has left out."""
        counts = np.bincount(self.fate, minlength=len(Fate)).tolist()
        return {fate: counts[fate] for fate in Fate if counts[fate]}

    def in_ego(self) -> NDArray[np.float64]:
        """(N, 3) the points in the device's frame, metres; as they are where the device has no pose."""
        with np.errstate(over="ignore", invalid="ignore"):  # absurd coordinates
            pose = self.world_from_ego
            return self.positions.astype(np.float64) if pose is None else pose.inverse().apply(self.positions)


@dataclass(frozen=True, eq=False)
class SceneView:
    """A scene as it is drawn: its frames, and how they are prepared.

    Args:
        scene: The recording, or what was prepared of it.
        frames: The frames that are drawn, in time order.
        recipe: How they are prepared.
        offset: (x, y, z) metres that are taken from every world position.
        intensity_scale: The intensity that is drawn as 1; None where intensities are left out.
        intensity_is_guessed: Whether that scale is one to draw by only, and not one that `prepare` would take.
        region: The region of interest, in the view's world.
        band: The heights above the ground that are kept.
        manifest: What was stored of the scene, if that is known.
        samples: A few points of some frames, for the checks.
        records: What the manifest says of the frames, by their ids.
        read: Points that were read already, by the ids of their frames.
        prelabels: Labels that the scene itself has: annotations of a .sfs, or the recipe's pre-labels.
    """

    scene: Scene
    frames: tuple[Frame, ...]
    recipe: Recipe
    offset: tuple[float, float, float] = (0.0, 0.0, 0.0)
    intensity_scale: float | None = None
    intensity_is_guessed: bool = False
    region: RegionOfInterest3D | None = None
    band: HeightBand | None = None
    manifest: Manifest | None = None
    samples: SceneSamples | None = None
    records: Mapping[str, FrameRecord] = field(default_factory=dict)
    read: Mapping[str, PointCloud] = field(default_factory=dict)
    prelabels: Labels | None = None

    @classmethod
    def of(cls, source: Scene | Manifest | SceneView, recipe: Recipe | None = None) -> SceneView:
        """Look at a recording as a recipe prepares it; or at what a manifest says was stored.

        The first, the middle and the last frame are read to estimate what the recipe leaves open.

        Args:
            source: The recording; or a manifest, or a scene opened from one: their attachments. A store that needs
                options is reached by those that the scene was opened with.
            recipe: How the recording is prepared; None: every point is kept.

        Raises:
            SceneError, FormatError: The scene has no frames, two of one id, or none that can be read; an attachment is
                missing.
            RecipeError: The recipe does not fit the scene, or its pre-labels don't.
            StorageError: The manifest's store cannot be reached.
        """
        if isinstance(source, SceneView):
            return source
        scene = open_scene(place_name(source.location)) if isinstance(source, Manifest) else source
        manifest = source if isinstance(source, Manifest) else _manifest_of(scene)
        require_frames(scene)
        recipe = recipe or Recipe()
        frames = tuple(recipe.select(scene.frames))
        # Neither a bad frame nor intensities of no known scale keep anybody from looking.
        lenient = {"skip_bad_frames": True, "drop_intensity": recipe.drop_intensity or recipe.intensity_scale is None}
        settings = SceneSettings.estimate(scene, recipe.model_copy(update=lenient), frames)
        recipe = recipe.with_device_height(settings.record.device_height)
        scale, guessed = settings.record.intensity_scale, False
        if not recipe.drop_intensity and scale is None and settings.samples is not None:
            scale, guessed = _scale_to_draw_by(settings.samples)
        scene, prelabels = with_own_labels(scene)
        view = cls(scene, frames, recipe, settings.record.offset, scale, guessed, prelabels=prelabels)
        view = replace(view, samples=settings.samples, read=settings.points)._bounded(manifest)
        if recipe.prelabels is not None:
            view = replace(view, prelabels=view.read_labels(recipe.prelabels, recipe.prelabels_frame))
        return view

    @classmethod
    def of_prepared(cls, scene: Scene, manifest: Manifest) -> SceneView:
        """Look at a recording as the run that stored this manifest has prepared it; no point is read.

        Its pre-labels are shown, if their file is still there.

        Args:
            scene: The recording, opened as it was for the run.
            manifest: What the run stored.
        """
        settings = manifest.settings
        recipe = Recipe(**manifest.recipe).with_device_height(None if settings is None else settings.device_height)
        scale = None if settings is None else settings.intensity_scale
        frames = tuple(recipe.select(scene.frames))
        view = cls(scene, frames, recipe, manifest.world_offset, scale)._bounded(manifest)
        if recipe.prelabels is not None and as_path(recipe.prelabels).exists():
            view = replace(view, prelabels=view.read_labels(recipe.prelabels, recipe.prelabels_frame))
        return view

    def _bounded(self, manifest: Manifest | None) -> SceneView:
        """Return the view with the region and the band of its recipe, or else of the manifest."""
        own = Recipe() if manifest is None else Recipe(**manifest.recipe)
        if manifest is not None and manifest.settings is not None:
            own = own.with_device_height(manifest.settings.device_height)
        region, region_offset = self.recipe.region_of_interest_3d, self.offset
        if region is None and manifest is not None:
            # Of a manifest's attachments the offset is taken already.
            region, region_offset = own.region_of_interest_3d, manifest.world_offset
        if region is not None:
            x, y, z = (value - less for value, less in zip(region.position, region_offset, strict=True))
            region = replace(region, position=(x, y, z))
        banded = own if self.recipe.device_height is None else self.recipe
        band = None
        if isinstance(banded.device_height, float):
            band = HeightBand(banded.device_height, *(banded.height_band or DEFAULT_HEIGHT_BAND))
        records = {} if manifest is None else {frame.id: frame for frame in manifest.frames}
        return replace(self, region=region, band=band, manifest=manifest, records=records)

    def __repr__(self) -> str:
        return f"SceneView({self.scene!r}, {len(self.frames)} frames, {self.recipe!r})"

    @property
    def has_poses(self) -> bool:
        """Whether any of the frames has a pose of its device."""
        return any(frame.world_from_ego is not None for frame in self.frames)

    def note_of_lost(self, frames: Sequence[Frame]) -> str:
        """Say how many of some frames have no pose, and so lie in the device's own axes amid a world; "" for none."""
        lost = sum(frame.world_from_ego is None for frame in frames)
        if not lost or not self.has_poses or self.scene.points_frame == "world":
            return ""
        have = "has no pose: it is" if lost == 1 else "have no pose: they are"
        return f"{lost} of {len(frames)} frames {have} drawn in the device's own axes, at the origin"

    @property
    def labelled(self) -> list[bool]:
        """Of each frame, whether Scale labels it."""
        if self.records:
            return [(record := self.records.get(frame.id)) is not None and record.labelled for frame in self.frames]
        rows = set(self.recipe.labelled_rows(len(self.frames)))
        return [row in rows for row in range(len(self.frames))]

    def read_labels(self, path: str | PathLike[str], frame: LabelsFrame | None = None) -> Labels:
        """Read labels as `lp.read_labels` does; a task's JSON may also be of the view's frames, or its labelled ones.

        Raises:
            FormatError, RecipeError: As `lp.read_labels`.
        """
        row_of = {one.id: row for row, one in enumerate(self.scene)}
        shown = [row_of[one.id] for one in self.frames]
        labelled = [row for row, is_labelled in zip(shown, self.labelled, strict=True) if is_labelled]
        return LabelFile.read(path, self.scene, frame, (shown, labelled)).labels

    def path(self) -> NDArray[np.float64]:
        """(M, 3) places of the device in the view's world, of all frames of the recording that have a pose."""
        poses = [frame.world_from_ego for frame in self.scene if frame.world_from_ego is not None]
        places: NDArray[np.float64] = np.array([pose.translation for pose in poses]).reshape(-1, 3) - self.offset
        return places

    def require_other(self, target: Path) -> None:
        """Check that a file that is to be written is none that the scene is read from.

        Raises:
            RecipeError: It is.
        """
        place, source = target.resolve(), self.scene.path
        files = {Path(one.location) for frame in self.scene for one in frame.sources if "://" not in one.location}
        if isinstance(source, Path):
            files |= {source, source / MANIFEST_KEY} if self.manifest is not None else {source}
        if any(file.resolve() == place for file in files):
            raise RecipeError(f"{target} is part of the recording itself", fix="Choose another name.")

    def look(self, frame: Frame) -> FrameView:
        """Read all points of a frame, and judge each.

        Raises:
            SceneError, FormatError: The frame cannot be read, or not be deskewed.
        """
        return join_views(list(self.chunks(frame)))

    def chunks(self, frame: Frame) -> Iterator[FrameView]:
        """Read the points of a frame in parts, if all of them at once would take too much memory, as `look` does."""
        if frame.id in self.read:
            frame = frame.with_data(self.read[frame.id], frame.radar())
        if self.recipe.deskew:
            path = self.scene.device_path()
            if path is None or len(path) < 2:
                raise RecipeError(f"deskew needs the device's poses with their times; {self.scene.source} has none")
            frame = Deskew(path)(frame, StepReport())
        radar = self._radar(frame)
        images = self._images(frame)
        chunks = frame.chunks()
        if self.recipe.voxel is not None and frame.read_chunks is not None:
            # One point of a voxel is kept in the whole frame, not in each chunk.
            chunks = iter((PointCloud.concatenate(list(chunks)),))
        for points in chunks:
            yield self._view(frame, points, images, radar)

    def _view(
        self, frame: Frame, points: PointCloud, images: tuple[CameraImage, ...], radar: NDArray[np.float64]
    ) -> FrameView:
        pose = frame.world_from_ego
        world_from_ego = None if pose is None else pose.translated(-np.array(self.offset))
        fate, positions = self._prepared(frame, points)
        if pose is None and points.frame != "world":
            positions = points.positions
        return FrameView(
            frame,
            world_from_ego,
            positions,
            fate,
            self._intensity(points),
            points.device,
            points.timestamp,
            images,
            radar,
            self.band,
        )

    def _prepared(self, frame: Frame, points: PointCloud) -> tuple[NDArray[np.uint8], NDArray[np.floating[Any]]]:
        """Return (N,) the fates of points, and (N, 3) their positions in the view's world."""
        fate = np.full(len(points), Fate.KEPT, dtype=np.uint8)
        region, height = self.recipe.region_of_interest_3d, self.band if self.recipe.device_height is not None else None
        if frame.world_from_ego is None:
            # `prepare` refuses such a frame, but for points in the world; here its device is at the origin.
            frame = replace(frame, world_from_ego=Pose.identity().translated(self.offset))
        report = StepReport()
        prepared = ToWorld(region, height, self.offset)(frame.with_data(points), report)
        kept, positions = report.kept, prepared.points().positions
        if kept is not None:
            is_dropped = np.ones(len(points), dtype=np.bool_)
            is_dropped[kept] = False
            dropped = np.flatnonzero(is_dropped)
            self._tell_apart(fate, dropped, frame, points)
            moved = np.empty_like(points.positions)
            with np.errstate(over="ignore"):  # absurd coordinates
                moved[kept], moved[dropped] = positions, self._moved(points.positions[dropped], frame, points)
            positions = moved
        if self.recipe.voxel is not None:
            VoxelDownsample(self.recipe.voxel, self.recipe.voxel_keep)(prepared, report)
            thinned = np.ones(len(points), dtype=np.bool_)
            thinned[slice(None) if report.kept is None else report.kept] = False
            fate[thinned & (fate == Fate.KEPT)] = Fate.VOXEL
        return fate, positions

    def _moved(self, positions: NDArray[np.floating[Any]], frame: Frame, points: PointCloud) -> NDArray[np.float64]:
        """(N, 3) some of a cloud's positions in the view's world."""
        pose = Pose.identity() if points.frame == "world" or frame.world_from_ego is None else frame.world_from_ego
        with np.errstate(over="ignore", invalid="ignore"):  # absurd coordinates become infinite
            return pose.translated(-np.array(self.offset)).apply(positions)

    def _tell_apart(
        self, fate: NDArray[np.uint8], dropped: NDArray[np.int64], frame: Frame, points: PointCloud
    ) -> None:
        """Say of the rows that were dropped why, by the first reason that holds: the order of `ToWorld`."""
        fate[dropped] = Fate.HEIGHT
        if (region := self.recipe.region_of_interest_3d) is not None:
            in_world = self._moved(points.positions[dropped], frame, points) + np.array(self.offset)
            fate[dropped[~region.contains(in_world)]] = Fate.REGION
        fate[points.no_return_rows(frame.world_from_ego)] = Fate.NO_RETURN
        with np.errstate(over="ignore"):
            square = (points.positions[dropped].astype(np.float64) ** 2).sum(axis=1)
        fate[dropped[~np.isfinite(square)]] = Fate.NOT_FINITE

    def _intensity(self, points: PointCloud) -> NDArray[np.float32] | None:
        if points.intensity is None or self.intensity_scale is None:
            return None
        with np.errstate(invalid="ignore"):
            scaled = points.intensity.astype(np.float32) / np.float32(self.intensity_scale)
        # fmax takes the other number for NaN.
        intensity: NDArray[np.float32] = np.fmin(np.fmax(scaled, np.float32(0)), np.float32(1))
        return intensity

    def _images(self, frame: Frame) -> tuple[CameraImage, ...]:
        offset = -np.array(self.offset)
        return tuple(
            image
            if image.world_from_camera is None
            else replace(image, world_from_camera=image.world_from_camera.translated(offset))
            for image in frame.images
        )

    def _radar(self, frame: Frame) -> NDArray[np.float64]:
        radar = frame.radar()
        if radar is None:
            return np.empty((0, 3))
        pose = Pose.identity() if radar.frame == "world" or frame.world_from_ego is None else frame.world_from_ego
        positions: NDArray[np.float64] = pose.apply(radar.positions) - np.array(self.offset)
        return positions


def join_views(views: list[FrameView]) -> FrameView:
    """Join the parts of one frame.

    A column that only some of them have is left out.
    """
    if len(views) == 1:
        return views[0]
    columns: dict[str, Any] = {}
    for name in _COLUMNS:
        parts = [getattr(view, name) for view in views]
        columns[name] = None if any(part is None for part in parts) else np.concatenate(parts)
    return replace(views[0], **columns)


def _scale_to_draw_by(samples: SceneSamples) -> tuple[float | None, bool]:
    """Return the value of full intensity, and whether `prepare` would not take it: the data leaves doubt."""
    clouds = [sample.points for sample in samples.usual]
    values = [cloud.intensity.astype(np.float64) for cloud in clouds if cloud.intensity is not None]
    known = np.concatenate(values) if values else np.empty(0)
    known = known[np.isfinite(known)]
    if not known.size:
        return None, False
    try:
        return guess_intensity_scale(clouds)[0], False
    except RecipeError:
        return max(float(np.percentile(known, _BRIGHT_PERCENTILE)), 1e-9), True


def _manifest_of(scene: Scene) -> Manifest | None:
    """Return the manifest that a scene of attachments was opened by, if it was."""
    path = scene.path
    if path is None or scene.layout != "attachments":
        return None
    file = path if path.name == MANIFEST_KEY else path / MANIFEST_KEY
    return Manifest.load(file) if file.is_file() else None
