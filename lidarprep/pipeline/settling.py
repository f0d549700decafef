"""What must be the same for all frames of a run, settled before any is prepared: the steps, the world, the scale."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from lidarprep.checks import FAR_COORDINATES, Sample, check_scene, motion_within_sweeps, refuse, sample_of
from lidarprep.errors import LidarprepError, RecipeError, SceneError
from lidarprep.pipeline.frame_work import BAD_FRAME
from lidarprep.recipe import DEFAULT_HEIGHT_BAND, Recipe
from lidarprep.scene import Frame, PointCloud, Scene, Trajectory
from lidarprep.steps import Step
from lidarprep.steps.intensity import DropIntensity, NormaliseIntensity, guess_intensity_scale
from lidarprep.steps.recentre import scene_offset

Seen = TypeVar("Seen")


@dataclass
class Settling:
    """Settles what a recipe leaves open by a look at the scene.

    Args:
        scene: The recording.
        recipe: What is to be done with it.
        offset: Metres that are taken from every world position; known once the steps are.
        samples: Points that were read for a look, by their frames' ids, until their turn comes.
        looked_at: A few of the points that were read for a look, by their frames' ids, for the checks.
        notes: What was guessed or found odd, a sentence each.
        bad: What is wrong with frames that were to be looked at, by their ids.
        scale: The intensity that becomes 1, once the steps are known; None where intensities are left out.
        settled: Whether everything is settled, by this run or an earlier one.
    """

    scene: Scene
    recipe: Recipe
    offset: tuple[float, float, float] = (0.0, 0.0, 0.0)
    samples: dict[str, PointCloud] = field(default_factory=dict)
    looked_at: dict[str, Sample] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    bad: dict[str, LidarprepError] = field(default_factory=dict)
    scale: float | None = None
    settled: bool = False

    def restore(self, offset: tuple[float, float, float], scale: float | None, notes: Sequence[str]) -> None:
        """Takes what an earlier run has settled for the same recipe and recording: nothing is looked at again."""
        self.offset, self.scale, self.notes, self.settled = offset, scale, list(notes), True

    def steps(self, frames: Sequence[Frame]) -> tuple[Step, ...]:
        """What the recipe asks for, as steps; what must be the same for all frames is settled here.

        Where the recipe leaves the scale of the intensities open, the first, the middle and the last frame are looked
        at; where the scene's poses leave its place in the world open, its first frame.
        """
        # These three bring Numba.
        from lidarprep.steps.deskew import Deskew
        from lidarprep.steps.voxel import VoxelDownsample
        from lidarprep.steps.world import HeightBand, ToWorld

        recipe = self.recipe
        steps: list[Step] = [Deskew(self._path())] if recipe.deskew else []
        if not self.settled:
            self.offset = self._offset()
            # After the offset, since both look at frames, and what is found first is said first.
            self.scale = None if recipe.drop_intensity else self._intensity(frames)
        height = None
        if recipe.device_height is not None:
            height = HeightBand(recipe.device_height, *(recipe.height_band or DEFAULT_HEIGHT_BAND))
        steps.append(ToWorld(recipe.region_of_interest_3d, height, self.offset))
        steps.append(DropIntensity() if self.scale is None else NormaliseIntensity(self.scale))
        if recipe.voxel is not None:
            steps.append(VoxelDownsample(recipe.voxel, recipe.voxel_keep))
        return tuple(steps)

    def check(self, frames: Sequence[Frame]) -> None:
        """Looks for what is odd about the recording, once the steps are settled, and notes it as warnings.

        Of the points, those of the first, the middle and the last frame are looked at. What was read of a frame that is
        not prepared is let go.

        Raises:
            SceneError: The recipe is strict, and something is odd.
        """
        if self.settled:
            return
        rows = sorted({0, len(frames) // 2, len(frames) - 1})
        samples = [self._first_sound(frames, row, self._look_at) for row in rows]
        findings = check_scene(
            self.scene,
            samples,
            max_speed=self.recipe.max_speed,
            with_intensity=not self.recipe.drop_intensity,
            offset=self.offset,
        )
        self.looked_at.clear()
        prepared = {frame.id for frame in frames}
        self.samples = {frame_id: points for frame_id, points in self.samples.items() if frame_id in prepared}
        if self.recipe.recentre is not None:  # the user has said what is to become of them
            findings = [finding for finding in findings if finding.code != FAR_COORDINATES]
        if self.recipe.strict:
            refuse(findings)
        self.notes += [finding.note for finding in findings]
        hint = None if self.recipe.deskew else motion_within_sweeps(self.scene, samples)
        self.notes += [hint] if hint else []
        self.settled = True

    def _path(self) -> Trajectory:
        """The device's way through the world, which points are deskewed by.

        Raises:
            RecipeError: There is none, or nothing to deskew.
        """
        if self.scene.points_frame == "world":
            raise RecipeError(
                f"deskew moves points that are in the device's frame; those of {self.scene.source} are in the world",
                fix="Leave --deskew out.",
            )
        if self.scene.motion_compensated:
            raise RecipeError(
                f"the points of {self.scene.source} ({self.scene.layout}) are motion-compensated already; deskew would "
                "bend them",
                fix="Leave --deskew out.",
            )
        path = self.scene.device_path()
        if path is None or len(path) < 2:
            found = "no pose" if path is None else "one pose"
            raise RecipeError(
                f"deskew needs the device's poses with their times; {self.scene.source} has {found} with a time",
                fix='Give poses with times (a "timestamp" in each pose, or a TUM file), or leave --deskew out.',
            )
        return path

    def _offset(self) -> tuple[float, float, float]:
        """The offset of the world, which depends on the whole scene and not on what is prepared of it."""
        if self.recipe.recentre is False:
            return (0.0, 0.0, 0.0)
        poses_say = self.scene.points_frame == "ego" and len(self.scene) > 1
        offset = scene_offset(self.scene.frames, None if poses_say else self._sample(self.scene.frames, 0))
        if self.scene.points_frame == "world" and any(frame.world_from_ego is None for frame in self.scene):
            self.notes.append("some frames have no pose: their device is put at the origin of the attachments' world")
        return offset

    def _intensity(self, frames: Sequence[Frame]) -> float:
        """The intensity that becomes 1: the recipe's, or a guess, which is said."""
        if self.recipe.intensity_scale is not None:
            return self.recipe.intensity_scale
        samples = [self._sample(frames, row) for row in sorted({0, len(frames) // 2, len(frames) - 1})]
        scale, reason = guess_intensity_scale(samples)
        if any(cloud.intensity is not None for cloud in samples):
            judged = "; judged by their first points" if any(frame.read_chunks is not None for frame in frames) else ""
            self.notes.append(f"intensity {scale:g} is taken as 1, since {reason}{judged}")
        return scale

    def _sample(self, frames: Sequence[Frame], row: int) -> PointCloud:
        """Points of a frame, or of the one nearest to it that is not bad, where those are skipped.

        They are kept until the frame's turn, so that no frame is read twice; but for a frame that comes in chunks,
        whose first is read here.

        Raises:
            FormatError, SceneError: The frame is bad; where such are skipped, all are.
        """
        return self._first_sound(frames, row, self._read)

    def _read(self, frame: Frame) -> PointCloud:
        if frame.id in self.samples:
            return self.samples[frame.id]
        points = next(frame.chunks())
        if frame.read_chunks is None:
            self.samples[frame.id] = points
        self.looked_at[frame.id] = sample_of(frame, points)
        return points

    def _look_at(self, frame: Frame) -> Sample:
        """A few of its points; all of them are kept until its turn, as `_sample` keeps them."""
        if frame.id not in self.looked_at:
            self._read(frame)
        return self.looked_at[frame.id]

    def _first_sound(self, frames: Sequence[Frame], row: int, look: Callable[[Frame], Seen]) -> Seen:
        """What `look` gives of a frame, or of the one nearest to it that is not bad, where those are skipped."""
        for frame in sorted(frames, key=lambda frame: abs(frame.index - frames[row].index)):
            if frame.id in self.bad:
                continue
            try:
                return look(frame)
            except BAD_FRAME as error:
                if not self.recipe.skip_bad_frames:
                    raise
                self.bad[frame.id] = error
        raise SceneError(f"all {len(frames)} frames are bad; one of them: {self.bad[frames[row].id].message}")
