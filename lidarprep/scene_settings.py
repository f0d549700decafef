"""The settings of a scene: what must be the same for all frames of a run, estimated from a few of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from lidarprep.checks import CheckOptions, Sample, SceneSamples, ground_under, motion_within_sweeps, sample_of
from lidarprep.errors import FormatError, LidarprepError, RecipeError, SceneError
from lidarprep.recipe import DEFAULT_HEIGHT_BAND, Recipe
from lidarprep.scene import Frame, PointCloud, Scene, Trajectory
from lidarprep.steps import Step
from lidarprep.steps.intensity import DropIntensity, NormaliseIntensity, guess_intensity_scale
from lidarprep.steps.recentre import scene_offset
from lidarprep.storage.manifest import SettingsRecord

Seen = TypeVar("Seen")

# What is wrong with one frame of the recording: where the recipe skips bad frames, it is left out. Anything else is
# wrong with the recipe, the format or the destination, and ends the run.
BAD_FRAME = (FormatError, SceneError)


@dataclass
class SceneSettings:
    """The settings of a scene, with the points that were read to estimate them.

    Args:
        record: The settings.
        points: Points of whole frames that were read, by the frames' ids: no frame is read twice.
        samples: A few points of them, for the checks; None where the settings were known.
    """

    record: SettingsRecord
    points: dict[str, PointCloud] = field(default_factory=dict)
    samples: SceneSamples | None = None

    @classmethod
    def estimate(cls, scene: Scene, recipe: Recipe, frames: Sequence[Frame]) -> SceneSettings:
        """Estimate what the recipe leaves open.

        The first, the middle and the last frame are read.

        Args:
            scene: The recording.
            recipe: What is to be done with it.
            frames: Those of its frames that are to be prepared.

        Raises:
            RecipeError: The scale of the intensities is in doubt, or the device's height is to be estimated and cannot.
            SceneError, FormatError: A frame cannot be read; where bad frames are skipped, none can.
        """
        samples = _SampleFrames(scene, recipe, frames)
        notes = ["images were not checked, as --checks quick asks"] if recipe.checks == "quick" else []
        offset = _offset(samples, notes)
        scale = None if recipe.drop_intensity else _intensity_scale(samples, notes)
        looked_at = [samples.first_sound(row, samples.sample) for row in samples.rows]
        if not recipe.deskew and (hint := motion_within_sweeps(scene, looked_at)):
            notes.append(hint)
        height = _estimated_height(looked_at, notes) if recipe.device_height == "auto" else None
        record = SettingsRecord(offset=offset, intensity_scale=scale, device_height=height, notes=notes)
        for_checks = SceneSamples(scene, frames)
        for sample in looked_at:
            for_checks.add(sample.frame, sample)
        for frame in samples.bad:
            for_checks.add(frame, None)
        prepared = {frame.id for frame in frames}
        return cls(record, {name: points for name, points in samples.points.items() if name in prepared}, for_checks)


def check_options(recipe: Recipe, offset: tuple[float, float, float], *, unreadable_images: bool) -> CheckOptions:
    """Return what the checks of a recording judge it by.

    Args:
        recipe: How it is prepared.
        offset: The scene's.
        unreadable_images: Whether images that cannot be decoded are looked for.
    """
    return CheckOptions(
        level=recipe.checks,
        max_speed=recipe.max_speed,
        with_intensity=not recipe.drop_intensity,
        # What the checks would estimate again is no news.
        device_height=None if recipe.device_height == "auto" else recipe.device_height,
        height_band=recipe.height_band or DEFAULT_HEIGHT_BAND,
        region=recipe.region_of_interest_3d,
        offset=offset,
        recentre=recipe.recentre,
        deskew=recipe.deskew,
        skip_bad_frames=recipe.skip_bad_frames,
        unreadable_images=unreadable_images,
    )


def require_frames(scene: Scene) -> None:
    """Check that a scene has frames, each with an id of its own.

    Raises:
        SceneError: It has not.
    """
    ids = [frame.id for frame in scene]
    if not ids:
        raise SceneError(f"{scene.source} has no frames")
    if len(set(ids)) < len(ids):
        twice = next(frame_id for row, frame_id in enumerate(ids) if frame_id in ids[:row])
        raise SceneError(f"{scene.source} has two frames with the id {twice!r}")


def steps_of(scene: Scene, recipe: Recipe, settings: SettingsRecord) -> tuple[Step, ...]:
    """Return what the recipe asks for, as steps.

    Raises:
        RecipeError: It asks for deskewing, and there is nothing to deskew, or by.
    """
    # These three bring Numba.
    from lidarprep.steps.deskew import Deskew
    from lidarprep.steps.voxel import VoxelDownsample
    from lidarprep.steps.world import HeightBand, ToWorld

    steps: list[Step] = [Deskew(_path(scene))] if recipe.deskew else []
    height = None
    device_height = recipe.with_device_height(settings.device_height).device_height
    if isinstance(device_height, float):
        height = HeightBand(device_height, *(recipe.height_band or DEFAULT_HEIGHT_BAND))
    steps.append(ToWorld(recipe.region_of_interest_3d, height, settings.offset))
    scale = settings.intensity_scale
    steps.append(DropIntensity() if scale is None else NormaliseIntensity(scale))
    if recipe.voxel is not None:
        steps.append(VoxelDownsample(recipe.voxel, recipe.voxel_keep))
    return tuple(steps)


def _path(scene: Scene) -> Trajectory:
    """Return the device's path through the world, which points are deskewed by.

    Raises:
        RecipeError: There is none, or nothing to deskew.
    """
    if scene.points_frame == "world":
        raise RecipeError(
            f"deskew moves points that are in the device's frame; those of {scene.source} are in the world",
            fix="Leave --deskew out.",
        )
    if scene.motion_compensated:
        raise RecipeError(
            f"the points of {scene.source} ({scene.layout}) are motion-compensated already; deskew would bend them",
            fix="Leave --deskew out.",
        )
    path = scene.device_path()
    if path is None or len(path) < 2:
        found = "no pose" if path is None else "one pose"
        raise RecipeError(
            f"deskew needs the device's poses with their times; {scene.source} has {found} with a time",
            fix='Give poses with times (a "timestamp" in each pose, or a TUM file), or leave --deskew out.',
        )
    return path


class _SampleFrames:
    """Reads the sample frames of a scene, each once.

    A frame that comes in chunks is judged by its first chunk. Where bad frames are skipped, the nearest sound frame
    stands for a bad one.
    """

    def __init__(self, scene: Scene, recipe: Recipe, frames: Sequence[Frame]) -> None:
        self.scene = scene
        self.recipe = recipe
        self.frames = frames
        self.rows = sorted({0, len(frames) // 2, len(frames) - 1})
        self.points: dict[str, PointCloud] = {}
        self._samples: dict[str, Sample] = {}
        self._bad: dict[str, LidarprepError] = {}

    def read(self, frame: Frame) -> PointCloud:
        """Return the points of a frame, or its first chunk."""
        if frame.id in self.points:
            return self.points[frame.id]
        points = next(frame.chunks())
        if frame.read_chunks is None:
            self.points[frame.id] = points
        self._samples[frame.id] = sample_of(frame, points)
        return points

    def sample(self, frame: Frame) -> Sample:
        """Return a few points of a frame, for the checks."""
        if frame.id not in self._samples:
            self.read(frame)
        return self._samples[frame.id]

    @property
    def bad(self) -> list[Frame]:
        """The frames that could not be read."""
        return [frame for frame in self.scene if frame.id in self._bad]

    def first_sound(self, row: int, look: Callable[[Frame], Seen], frames: Sequence[Frame] | None = None) -> Seen:
        """Return what `look` gives of a frame, or of the one nearest to it that is not bad."""
        frames = self.frames if frames is None else frames
        for frame in sorted(frames, key=lambda frame: abs(frame.index - frames[row].index)):
            if frame.id in self._bad:
                continue
            try:
                return look(frame)
            except BAD_FRAME as error:
                if not self.recipe.skip_bad_frames:
                    raise
                self._bad[frame.id] = error
        raise SceneError(f"all {len(frames)} frames are bad; one of them: {self._bad[frames[row].id].message}")


def _offset(samples: _SampleFrames, notes: list[str]) -> tuple[float, float, float]:
    """Return the offset of the world, which depends on the whole scene and not on what is prepared of it."""
    scene = samples.scene
    if samples.recipe.recentre is False:
        return (0.0, 0.0, 0.0)
    poses_say = scene.points_frame == "ego" and len(scene) > 1
    points = None if poses_say else samples.first_sound(0, samples.read, scene.frames)
    if scene.points_frame == "world" and any(frame.world_from_ego is None for frame in scene):
        notes.append("some frames have no pose: their device is put at the origin of the attachments' world")
    return scene_offset(scene.frames, points)


def _intensity_scale(samples: _SampleFrames, notes: list[str]) -> float:
    """Return the intensity that becomes 1: the recipe's, or a guess, which is noted."""
    if samples.recipe.intensity_scale is not None:
        return samples.recipe.intensity_scale
    clouds = [samples.first_sound(row, samples.read) for row in samples.rows]
    scale, reason = guess_intensity_scale(clouds)
    if any(cloud.intensity is not None for cloud in clouds):
        chunked = any(frame.read_chunks is not None for frame in samples.frames)
        judged = "; judged by their first points" if chunked else ""
        notes.append(f"intensity {scale:g} is taken as 1, since {reason}{judged}")
    return scale


def _estimated_height(samples: Sequence[Sample], notes: list[str]) -> float:
    """Return the height of the device above the ground that the points show, which is noted.

    Raises:
        RecipeError: They show none, or one that is above the device.
    """
    ground = ground_under(samples)
    fix = "Give it in metres: --device-height M (device_height=M in Recipe); or leave it out."
    if ground is None:
        raise RecipeError(
            f"the device's height above the ground cannot be estimated: {len(samples)} frames were looked at, and most "
            "show no ground near the device, or each shows another",
            fix=fix,
        )
    if not ground.fits:
        raise RecipeError(f"the device's height above the ground cannot be 0 or more: the ground is {ground}", fix=fix)
    notes.append(f"the device is taken to be {ground.device_height:g} m above the ground: the points show it {ground}")
    return ground.device_height
