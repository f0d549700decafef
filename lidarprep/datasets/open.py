"""Opens any recording: guesses its layout, and says what it guessed and why."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from os import PathLike, fspath
from pathlib import Path

from lidarprep.datasets.choices import chosen
from lidarprep.datasets.layouts import LAYOUTS, Layout, installed_layouts
from lidarprep.datasets.options import FrameOrder, OpenOptions, PointsFrame
from lidarprep.datasets.time_order import by_time
from lidarprep.errors import SceneError
from lidarprep.scene import Scene


def known_layouts() -> Mapping[str, Layout]:
    """The layouts that lidarprep brings, by name, in the order in which they are tried."""
    return LAYOUTS


def open_scene(
    path: str | PathLike[str],
    *,
    layout: str | None = None,
    points_frame: PointsFrame | None = None,
    poses: str | PathLike[str] | None = None,
    scene: str | None = None,
    lidars: Sequence[str] = (),
    cameras: Sequence[str] = (),
    all_sweeps: bool = False,
    image_tolerance: float = OpenOptions.image_tolerance,
    max_pose_gap: float = OpenOptions.max_pose_gap,
    frame_order: FrameOrder = OpenOptions.frame_order,
    invert_extrinsics: Sequence[str] = (),
    ego_frame: str | None = None,
    world_frame: str | None = None,
    pose_topic: str | None = None,
) -> Scene:
    """Open a recording. No point is read before a frame is asked for its points.

    Args:
        path: A folder or a file.
        layout: Its layout: "toolkit", "kitti-raw", "nuscenes", "mcap", "folder", … (all: `known_layouts()`); None:
            guess it.
        points_frame: The frame of reference that its points are in, where it is not the layout's own.
        poses: A file of poses for a plain folder or a file: KITTI rows, TUM rows, CSV or JSON, world from ego.
        scene: Which scene, log or sequence of a recording that holds several.
        lidars: Names of the lidars to read, by folder, channel or topic; empty: what the layout takes by default.
        cameras: Names of the cameras to read; empty: all.
        all_sweeps: Every sweep as a frame, where a recording has keyframes, too.
        image_tolerance: How far in time a frame's pictures may be from it, seconds.
        max_pose_gap: Poses further apart than this are not interpolated between, seconds.
        frame_order: "recorded", or "time": sorted by time, one a time.
        invert_extrinsics: Names of the cameras whose extrinsics are camera from ego and are to be inverted.
        ego_frame: Name of the device's frame of reference in a bag's tree of transforms.
        world_frame: Name of the world's.
        pose_topic: The topic of a bag that gives the device's poses, in place of the tree.

    Returns:
        The scene; the first of its notes says what it was opened as, and why.

    Raises:
        SceneError: There is nothing at the path, it is no recording that lidarprep knows, or it does not hang together.
        FormatError: A file that belongs to it is not what it claims to be.
        MissingExtraError: Reading it needs a library that is not installed.
    """
    options = OpenOptions(
        points_frame=points_frame,
        poses=None if poses is None else Path(poses),
        scene=scene,
        lidars=tuple(lidars),
        cameras=tuple(cameras),
        all_sweeps=all_sweeps,
        image_tolerance=image_tolerance,
        max_pose_gap=max_pose_gap,
        frame_order=frame_order,
        invert_extrinsics=tuple(invert_extrinsics),
        ego_frame=ego_frame,
        world_frame=world_frame,
        pose_topic=pose_topic,
    )
    return open_layout(Path(path), layout, options)


def open_layout(
    path: Path, layout: str | None, options: OpenOptions, *, layouts: Mapping[str, Layout] = LAYOUTS
) -> Scene:
    """Open a recording. No point is read before a frame is asked for its points.

    Args:
        path: A folder or a file.
        layout: Its layout, by its name; None: guess it.
        options: What the recording doesn't say.
        layouts: The layouts that are known, in the order in which they are tried; those that other packages install
            come before them.

    Returns:
        The scene; the first of its notes says what it was opened as, and why.

    Raises:
        SceneError: There is nothing at the path, it is no recording of a known layout, or it does not hang together.
        FormatError: A file that belongs to it is not what it claims to be.
        MissingExtraError: The layout needs a library that is not installed.
    """
    installed = installed_layouts()
    names = [*dict.fromkeys([*installed, *layouts])]
    if layout is not None and layout not in names:
        raise SceneError(f"there is no layout {layout!r}; known are {', '.join(sorted(names))}")

    def named(name: str) -> Layout:
        return layouts[name] if name in layouts else installed[name]

    try:
        if not path.exists():
            raise SceneError(f"{path}: there is no such file or folder")
        name, reason = _guess(path, names, named) if layout is None else (layout, "as asked for")
        scene = replace(named(name).open(path, options), source=fspath(path))
    except OSError as error:
        raise SceneError(f"{error.filename or path} cannot be read: {error.strerror or error}") from error
    scene = chosen(scene, options)
    if options.frame_order == "time":
        scene = by_time(scene)
    return replace(scene, notes=(f"opened as {name}: {reason}", *scene.notes))


def _guess(path: Path, names: Sequence[str], named: Callable[[str], Layout]) -> tuple[str, str]:
    """The first layout that fits, and why; those behind it are not even imported."""
    for name in names:
        reason = named(name).detect(path)
        if reason is not None:
            return name, reason
    from lidarprep.datasets.unknown import unknown_recording

    raise unknown_recording(path, {name: named(name) for name in names})
