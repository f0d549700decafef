"""What a user may say about a recording when it is opened, where the recording itself doesn't."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from lidarprep.errors import SceneError

PointsFrame = Literal["ego", "world"]
FrameOrder = Literal["recorded", "time"]

# The longest tolerance or gap: some thirty years, which is far beyond any recording and well within int64 nanoseconds.
LONGEST_S = 1e9


@dataclass(frozen=True)
class OpenOptions:
    """How to open a recording. A layout that has no use for an option that was given says so in the scene's notes.

    Args:
        points_frame: The frame of reference that the points are in; None: the layout's own.
        poses: A file of poses, world from ego, for layouts that have none of their own; None: look for one.
        scene: Which scene, log or sequence of a recording that holds several: its name or its number.
        lidars: Names of the lidars to read, by folder, channel or topic; empty: all that the layout takes by default.
        cameras: Names of the cameras to read; empty: all.
        all_sweeps: Every sweep as a frame, where a recording has keyframes, too.
        image_tolerance: A picture belongs to the frame nearest in time if it is not further away than this, seconds.
        max_pose_gap: Poses further apart than this are not interpolated between, seconds.
        frame_order: Frames as they are recorded (numbered, named); or sorted by time, one a time.
        invert_extrinsics: Names of the cameras whose extrinsics are camera from ego and are to be inverted.
        ego_frame: Name of the device's frame of reference in a tree of transforms; None: the usual ones.
        world_frame: Name of the world's, likewise.
        pose_topic: The topic that gives the device's poses, in place of the tree of transforms.

    Raises:
        SceneError: A value makes no sense.
    """

    points_frame: PointsFrame | None = None
    poses: Path | None = None
    scene: str | None = None
    lidars: tuple[str, ...] = ()
    cameras: tuple[str, ...] = ()
    all_sweeps: bool = False
    image_tolerance: float = 0.05
    max_pose_gap: float = 1.0
    frame_order: FrameOrder = "recorded"
    invert_extrinsics: tuple[str, ...] = ()
    ego_frame: str | None = None
    world_frame: str | None = None
    pose_topic: str | None = None

    def __post_init__(self) -> None:
        for name, known in (("points_frame", get_args(PointsFrame)), ("frame_order", get_args(FrameOrder))):
            value = getattr(self, name)
            if value is not None and value not in known:
                raise SceneError(f"{name} is {value!r}; it is one of {', '.join(known)}")
        for name in ("image_tolerance", "max_pose_gap"):
            value = getattr(self, name)
            if not 0 <= value <= LONGEST_S:
                raise SceneError(f"{name} is {value}; it is seconds, from 0 to {LONGEST_S:g}")

    @property
    def image_tolerance_ns(self) -> int:
        """The tolerance in nanoseconds."""
        return round(self.image_tolerance * 1e9)

    @property
    def max_pose_gap_ns(self) -> int:
        """The gap in nanoseconds."""
        return round(self.max_pose_gap * 1e9)
