"""Frames and scenes. Both are lazy: a frame's points are read at each call and never kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from importlib import import_module
from math import isfinite
from typing import Any, Literal, TypeVar

from lidarprep.errors import SceneError
from lidarprep.remote import AnyPath, RemotePath
from lidarprep.scene.camera import Camera, CameraImage
from lidarprep.scene.finding import Finding
from lidarprep.scene.labels import LabelledFrame
from lidarprep.scene.points import PointCloud, RadarPoints, ReferenceFrame
from lidarprep.scene.pose import Pose
from lidarprep.scene.span import Span, iso_time
from lidarprep.scene.trajectory import Trajectory

Value = TypeVar("Value")

# What notebooks show stands above the scene, and is looked up by name so that this file does not depend on it.
_NOTEBOOK = "lidarprep.report.notebook"

# Points are measured within a second of their frame; motion compensation looks at the poses 0.2 s round them.
_POSES_AROUND_NS = 2_000_000_000


def held(value: Value) -> Value:
    """Return what is in memory already: `partial(held, points)` reads points, in another process too."""
    return value


@dataclass(frozen=True)
class GpsPose:
    """The device's position and bearing on the Earth.

    Args:
        latitude: Degrees.
        longitude: Degrees.
        bearing: Degrees clockwise from north.

    Raises:
        SceneError: A number is not finite.
    """

    latitude: float
    longitude: float
    bearing: float

    def __post_init__(self) -> None:
        if not all(map(isfinite, (self.latitude, self.longitude, self.bearing))):
            raise SceneError(f"a GPS pose has a number that is not finite: {self}")


@dataclass(frozen=True)
class SourceFile:
    """A file that a frame is made of, and what tells its content from any other content it had or will have.

    Args:
        location: Path or URL.
        bytes: Size of the file; None where it is unknown.
        version: Modification time in nanoseconds, or the ETag of a URL; "" where neither is known.
        path: The object of a store, by which it is fetched ahead; whatever is read of it is of that version.
    """

    location: str
    bytes: int | None = None
    version: str = ""
    path: RemotePath | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, eq=False)
class Frame:
    """One sweep of the lidar, with what was recorded beside it.

    Args:
        id: Its name in the recording: a file's stem, a token.
        index: Its number in the recording, from 0, in time order. A part of a recording keeps the numbers.
        read_points: Reads the points, at each call.
        read_chunks: Reads the points in parts, in their order, if all of them at once would take too much memory;
            else None.
        read_sample: Reads some of the points, spread over all, where reading all takes long; else None.
        read_radar: Reads the radar returns, at each call; None if there are none.
        world_from_ego: The device's pose in the world; None if the recording has none.
        timestamp: Nanoseconds since the Unix epoch, or None.
        images: Images taken with the frame, in the order of their cameras.
        gps: The device's position on the Earth, or None.
        sources: The files that points, radar returns and images are read from, and those of poses and calibration by
            which they are moved on reading; the frame's own pose and cameras are part of it. Empty where nobody
            knows: such a frame is prepared again at each run.
    """

    id: str
    index: int
    read_points: Callable[[], PointCloud]
    read_radar: Callable[[], RadarPoints] | None = None
    world_from_ego: Pose | None = None
    timestamp: int | None = None
    images: tuple[CameraImage, ...] = ()
    gps: GpsPose | None = None
    read_chunks: Callable[[], Iterator[PointCloud]] | None = None
    sources: tuple[SourceFile, ...] = ()
    read_sample: Callable[[], PointCloud] | None = None

    def points(self) -> PointCloud:
        """Read the frame's points."""
        return self.read_points()

    def chunks(self) -> Iterator[PointCloud]:
        """Read the frame's points in parts, at least one; a single part if they fit into memory."""
        return iter((self.points(),)) if self.read_chunks is None else self.read_chunks()

    def radar(self) -> RadarPoints | None:
        """Read the frame's radar returns; None if there are none."""
        return None if self.read_radar is None else self.read_radar()

    def with_data(self, points: PointCloud, radar: RadarPoints | None = None) -> Frame:
        """Copy the frame with these points and radar returns in place of its own."""
        return replace(
            self,
            read_points=partial(held, points),
            read_chunks=None,
            read_sample=None,
            read_radar=None if radar is None else partial(held, radar),
        )

    def with_points_in(self, points_frame: ReferenceFrame) -> Frame:
        """Copy the frame with its points taken to be in that frame of reference."""
        return replace(
            self,
            read_points=partial(_read_points_in, points_frame, self.read_points),
            read_chunks=None if self.read_chunks is None else partial(_read_chunks_in, points_frame, self.read_chunks),
            read_sample=None if self.read_sample is None else partial(_read_points_in, points_frame, self.read_sample),
        )

    def __repr__(self) -> str:
        has = ["no pose" if self.world_from_ego is None else "a pose", f"{len(self.images)} images"]
        has += ["radar"] if self.read_radar is not None else []
        time = "no time" if self.timestamp is None else f"at {self.timestamp} ns"
        return f"Frame({self.id!r}, {self.index}: {time}, {', '.join(has)})"

    def _repr_html_(self) -> str:
        html: str = import_module(_NOTEBOOK).frame_html(self)
        return html


def own_objects(frames: Sequence[Frame]) -> list[tuple[RemotePath, ...]]:
    """Return of each frame the objects of a store that no other frame is made of: they are fetched ahead, as a whole.

    Args:
        frames: All frames of a scene, whichever of them are read: what they share, such as a bag, is read by ranges.
    """
    objects = [dict.fromkeys(source.path for source in frame.sources if source.path is not None) for frame in frames]
    frames_of = Counter(path for paths in objects for path in paths)
    return [tuple(path for path in paths if frames_of[path] == 1) for paths in objects]


def _read_points_in(points_frame: ReferenceFrame, read_points: Callable[[], PointCloud]) -> PointCloud:
    return replace(read_points(), frame=points_frame)


def _read_chunks_in(
    points_frame: ReferenceFrame, read_chunks: Callable[[], Iterator[PointCloud]]
) -> Iterator[PointCloud]:
    for chunk in read_chunks():
        yield replace(chunk, frame=points_frame)


@dataclass(frozen=True)
class Lidar:
    """A lidar of a recording.

    Args:
        name: Its name in the recording, unique there: a folder, a channel, a topic.
        index: Its number: the device id (`d`) of its points in the attachments.
        ego_from_lidar: Extrinsics: the pose of its frame on the device; None where points come in ego or the world.
    """

    name: str
    index: int
    ego_from_lidar: Pose | None = None


@dataclass(frozen=True)
class Stream:
    """One series of messages in a recording, such as a topic of a bag; used or not.

    Args:
        name: Its name: what options choose it by.
        kind: The recording's own name of its type.
        messages: How many.
        used: Whether the scene has it.
    """

    name: str
    kind: str
    messages: int
    used: bool


@dataclass(frozen=True, eq=False)
class Scene:
    """A recording: frames in time order, and the cameras that saw them.

    Args:
        source: Its path or URL, as the user wrote it.
        layout: Its layout: "toolkit", "folder", "file", …
        frames: The frames, in time order.
        cameras: The cameras, in the order of their indices.
        points_frame: The frame of reference that the recording's points are in.
        notes: Guesses made on opening, a sentence each.
        lidars: The lidars whose points the frames have, in the order of their indices; empty where the recording
            names none.
        trajectory: world_from_ego as dense as the recording has it; None where only the frames have poses. A part of
            a recording has it beyond both its ends, as far as its points need it.
        streams: The streams of the recording, used or not, if it holds streams.
        points_frame_is_certain: Whether the format itself says what `points_frame` is, as an attachment's does.
        motion_compensated: Whether points are known to be in ego at their frame's timestamp, whenever they were seen.
        opened_with: Options that it was opened with and that may change its points, by name, where they were given.
        path: What it was opened by, to read what else belongs to it; None where it was made otherwise.
        findings: What was found odd on opening.
        left_out: Frames of the recording that a part of it does not have; empty where the scene is all of it.
    """

    source: str
    layout: str
    frames: tuple[Frame, ...]
    cameras: tuple[Camera, ...] = ()
    points_frame: Literal["ego", "world"] = "ego"
    notes: tuple[str, ...] = ()
    lidars: tuple[Lidar, ...] = ()
    trajectory: Trajectory | None = None
    streams: tuple[Stream, ...] = ()
    motion_compensated: bool = False
    points_frame_is_certain: bool = False
    opened_with: tuple[tuple[str, Any], ...] = ()
    findings: tuple[Finding, ...] = ()
    path: AnyPath | None = None
    left_out: tuple[LabelledFrame, ...] = ()

    def part(self, span: Span | str) -> Scene:
        """Return the frames of a span as a scene of their own; they keep their ids and numbers.

        Args:
            span: A `Span`, or its text: "12.5s..42.5s", "200..400", "2026-03-01T10:15:00Z..". Seconds and numbers
                count from the recording's first frame, even where this scene is a part of it.

        Raises:
            SceneError: It is no span, or no frame lies in it.
        """
        span = Span.parse(span) if isinstance(span, str) else span
        times = [frame.timestamp for frame in self.frames] + [frame.timestamp for frame in self.left_out]
        known = [time for time in times if time is not None]
        if span.unit != "frames" and not known:
            raise SceneError(
                f"{self.source}: its frames have no timestamps, and {span} is a span of time",
                fix="Name frames by their numbers, such as 0..200.",
            )
        rows = span.rows(self.frames, min(known, default=None))
        if not rows:
            raise SceneError(f"{self.source} has no frame in {span}", fix=f"It has {self._extent()}.")
        frames, held = tuple(self.frames[row] for row in rows), set(rows)
        others = [frame for row, frame in enumerate(self.frames) if row not in held]
        first, last = frames[0].index, frames[-1].index
        of = len(self) + len(self.left_out)
        note = f"{span} of the recording: {len(frames)} of its {of} frames, numbers {first} to {last}"
        timeless = 0 if span.unit == "frames" else sum(frame.timestamp is None for frame in others)
        more = [f"{timeless} frames have no timestamp, and so are in no span of time"] if timeless else []
        return replace(
            self,
            frames=frames,
            trajectory=self._path_around(frames),
            notes=(*self.notes, note, *more),
            left_out=(*self.left_out, *(LabelledFrame(one.id, one.index, one.timestamp) for one in others)),
        )

    def _path_around(self, frames: tuple[Frame, ...]) -> Trajectory | None:
        """Return the device's path over some of the frames and a little further, as motion compensation needs it."""
        times = [frame.timestamp for frame in frames if frame.timestamp is not None]
        path = self.device_path()
        if path is None or not times:
            return self.trajectory
        return path.around(min(times) - _POSES_AROUND_NS, max(times) + _POSES_AROUND_NS)

    def _extent(self) -> str:
        """Say which frames there are: how many, their numbers, their times."""
        times = [frame.timestamp for frame in self.frames if frame.timestamp is not None]
        if not self.frames:
            return "no frames"
        numbers = f"{len(self)} frames, numbers {self.frames[0].index} to {self.frames[-1].index}"
        if not times:
            return f"{numbers}, without timestamps"
        seconds = (max(times) - min(times)) / 1e9
        return f"{numbers}, from {iso_time(min(times))} to {iso_time(max(times))}, {seconds:.10g} s later"

    def with_points_in(self, points_frame: Literal["ego", "world"]) -> Scene:
        """Copy the recording with its points taken to be in that frame of reference."""
        frames = tuple(frame.with_points_in(points_frame) for frame in self.frames)
        return replace(self, frames=frames, points_frame=points_frame)

    def check(self, options: Any = None) -> list[Finding]:
        """Judge the recording by its own points, poses and images.

        Args:
            options: The `lidarprep.checks.CheckOptions` to judge it by; None for the defaults.

        Returns:
            The findings, the gravest first; none for a sound recording.
        """
        # The checks stand above the scene, and are looked up by name so that this file does not depend on them.
        findings: list[Finding] = import_module("lidarprep.checks").check_scene(self, options)
        return findings

    def device_path(self) -> Trajectory | None:
        """world_from_ego over time: the trajectory, or else the poses of the frames that have pose and timestamp.

        Returns:
            The poses in time order, one a time; None where no frame has both.
        """
        if self.trajectory is not None:
            return self.trajectory
        stamped = {
            frame.timestamp: frame.world_from_ego
            for frame in self.frames
            if frame.timestamp is not None and frame.world_from_ego is not None
        }
        times = sorted(stamped)
        return Trajectory.from_poses(times, [stamped[time] for time in times]) if times else None

    def _repr_html_(self) -> str:
        html: str = import_module(_NOTEBOOK).scene_html(self)
        return html

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int) -> Frame:
        return self.frames[index]

    def __iter__(self) -> Iterator[Frame]:
        return iter(self.frames)

    def __repr__(self) -> str:
        return f"Scene({self.source!r}: {self.layout}, {len(self)} frames, {len(self.cameras)} cameras)"
