"""The user's selection, validated against the recording: scenes, lidars and cameras by name, and unused options.

A layout that reads only the selected lidars and cameras does so with `selected`. `select` then applies what holds for
every layout, once a recording is open.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields, replace
from functools import cache
from pathlib import PurePosixPath
from typing import TypeVar

from lidarprep.datasets.options import OpenOptions, flag_of
from lidarprep.datasets.pose_readings import READINGS, with_poses_read
from lidarprep.errors import FormatError, SceneError
from lidarprep.remote import AnyPath
from lidarprep.scene import Camera, CameraImage, Finding, Frame, Scene, Subject

Read = TypeVar("Read")

# Options that every layout answers to: they are applied to the opened scene.
_GENERAL = frozenset({"frame_order", "invert_extrinsics", "calibration", "poses_are", "span"})

LISTED_NAMES = 12


def selected(known: Iterable[str], wanted: Sequence[str], what: str, there_is: str = "there is") -> list[str]:
    """Return the names among `known` that are wanted, in the order of `known`; all of them if `wanted` is empty.

    Args:
        known: The names that the recording has.
        wanted: The names that the user gave.
        what: What they name, in the singular: "camera".
        there_is: How the error begins: "PATH has".

    Raises:
        SceneError: A wanted name is not known.
    """
    names = list(known)
    for name in wanted:
        if name not in names:
            fix = f"Known are {listed(names)}." if names else f"This recording names no {what}s."
            raise SceneError(f"{there_is} no {what} {name!r}", fix=fix)
    return [name for name in names if not wanted or name in wanted]


def sound_cameras(
    names: Sequence[str], wanted: Sequence[str], read: Callable[[int, str], Read]
) -> tuple[list[Read], list[Finding]]:
    """Read cameras, but for those whose calibration is missing or damaged, and return findings on these.

    Args:
        names: All that the recording has. A camera's number does not depend on which of the others are sound.
        wanted: Those that the user names; empty: all.
        read: Reads the camera of a number and a name.

    Raises:
        SceneError, FormatError: A camera that is named cannot be read.
    """
    sound: list[Read] = []
    findings = []
    for index, name in enumerate(names):
        try:
            sound.append(read(index, name))
        except (SceneError, FormatError) as error:
            if name in wanted:
                raise
            if not wanted:
                findings.append(
                    Finding(
                        "camera-left-out",
                        f"camera {name} is left out: {error.message}",
                        error.fix or "mend its calibration",
                        subject=Subject("camera", name),
                    )
                )
    return sound, findings


def select_part(path: AnyPath, what: str, known: Mapping[str, AnyPath], asked: str | None, looks_like: str) -> AnyPath:
    """Return the part of a recording that is asked for by name or number; None asks for the only one.

    Args:
        path: The recording.
        what: What its parts are, in the singular: "sequence".
        known: The parts by name.
        asked: The name; or its number: 1 for 001, and for day_drive_0001_sync where a part is a "drive".
        looks_like: What a recording with such parts looks like.

    Raises:
        SceneError: Not exactly one part is meant.
    """
    if not known:
        raise SceneError(f"{path} holds no {what}", fix=f"Expected is {looks_like}.")

    def is_meant(name: str) -> bool:
        number = name.partition(f"_{what}_")[2].partition("_")[0] or name
        same_number = asked is not None and asked.isdecimal() and number.isdecimal() and int(asked) == int(number)
        return asked in (None, name) or same_number

    found = [part for name, part in known.items() if is_meant(name)]
    if len(found) != 1:
        count = f"{len(found)} {what}s" if found else f"no {what}"
        problem = f"{path} holds {count}" + ("" if asked is None else f" {asked!r}")
        raise SceneError(problem, fix=f"Name one with --scene-name NAME: {listed(list(known))}.")
    return found[0]


def listed(names: Sequence[str]) -> str:
    """Return the first dozen names, and how many more there are; or "none"."""
    if not names:
        return "none"
    more = len(names) - LISTED_NAMES
    return ", ".join(names[:LISTED_NAMES]) + (f" and {more} more" if more > 0 else "")


def unused_options(options: OpenOptions, used: Sequence[str]) -> list[str]:
    """Return a note on the options that were given and that the layout does not use; or nothing.

    Args:
        options: The user's options.
        used: Names of the options that the layout looks at; of time_unit its parts, frames_unit and points_unit.
    """
    given = [f.name for f in fields(options) if f.name != "time_unit" and getattr(options, f.name) != f.default]
    # Poses that were read can be read in another way, but only some files have angles, whose unit can be given.
    general = _GENERAL - ({"poses_are"} if options.poses_are in ("degrees", "radians") else set())
    flags = [flag_of(name) for name in given if name not in used and name not in general]
    flags += [
        f"--time-unit {prefix}{unit}"
        for part, prefix, unit in (
            ("frames_unit", "", options.frames_unit),
            ("points_unit", "points=", options.points_unit),
        )
        if unit is not None and part not in used
    ]
    return [f"without use for this layout, and so ignored: {', '.join(flags)}"] if flags else []


def refuse_poses(path: AnyPath, options: OpenOptions, what: str, fix: str = "Leave the poses file out.") -> None:
    """Refuse a poses file for a recording that has its own; `what` is "a toolkit folder, which has its own poses".

    Raises:
        SceneError: There is a poses file.
    """
    if options.poses is not None:
        raise SceneError(f"{path} is {what}; {options.poses} would not be read", fix=fix)


def inside(root: AnyPath, name: str, table: AnyPath, place: str) -> AnyPath:
    """Return the file that a table names, by its path below the recording's top folder.

    Raises:
        FormatError: The name leads outside that folder.
    """
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or ".." in parts or "\0" in name:
        raise FormatError(table, place=place, found=f"the file name {name[:80]!r}", expected="a path below the dataset")
    return root.joinpath(*parts)


# ---- for the scenes of all layouts ---------------------------------------------------------------------------------


def select(scene: Scene, options: OpenOptions) -> Scene:
    """Return the scene as the options want it: its cameras, extrinsics, lidars, poses, the frame of its points.

    Raises:
        SceneError: There is no camera or lidar of a name; a camera whose extrinsics are to be inverted has none; the
            layout cannot tell the lidars apart.
    """
    _check_lidars(scene, options.lidars)
    if options.poses_are is not None and options.poses_are in READINGS:
        scene = with_poses_read(scene, options.poses_are)
    scene = _with_inverted_extrinsics(scene, options.invert_extrinsics)
    scene = _with_cameras(scene, options.cameras)
    if options.points_frame is not None and scene.points_frame != options.points_frame:
        scene = scene.with_points_in(options.points_frame)
    return _without_unposed_images(scene) if scene.points_frame == "world" else scene


def _without_unposed_images(scene: Scene) -> Scene:
    """Return a scene of points in the world without the images that have no place there, and with a finding on them.

    Where points are in ego, a frame without a pose cannot be used at all.
    """
    unposed = [image for frame in scene for image in frame.images if image.world_from_camera is None]
    if not unposed:
        return scene
    images = sum(len(frame.images) for frame in scene)
    finding = Finding(
        "images-unposed",
        f"{len(unposed)} of {images} images are left out: their frames have no pose, so where their cameras were in "
        "the world is not known",
        "give the poses; the points need none, since they are in the world",
        found=len(unposed),
        expected=0,
    )
    frames = tuple(_keeping(frame, lambda image: image.world_from_camera is not None) for frame in scene)
    return replace(scene, frames=frames, findings=(*scene.findings, finding))


def _keeping(frame: Frame, is_kept: Callable[[CameraImage], bool]) -> Frame:
    """Return the frame with some of its images, and without the source files of the others."""
    images = tuple(image for image in frame.images if is_kept(image))
    left_out = {os.fspath(image.path) for image in frame.images if image.path and not is_kept(image)}
    return replace(frame, images=images, sources=tuple(file for file in frame.sources if file.location not in left_out))


def _with_cameras(scene: Scene, names: Sequence[str]) -> Scene:
    """Return the scene with the images of these cameras only, which keep their indices; of all if none is named."""
    if len(_selected_cameras(scene, names)) == len(scene.cameras):
        return scene
    cameras = tuple(camera for camera in scene.cameras if camera.name in names)
    frames = tuple(_keeping(frame, lambda image: image.camera.name in names) for frame in scene)
    return replace(scene, cameras=cameras, frames=frames)


def _with_inverted_extrinsics(scene: Scene, names: Sequence[str]) -> Scene:
    """Return the scene with the extrinsics of these cameras inverted, and with the poses of their images to match."""
    if not names:
        return scene
    _selected_cameras(scene, names)
    inverted = cache(_inverted)  # a camera's calibration may differ from frame to frame
    cameras = {camera.name: inverted(camera) if camera.name in names else camera for camera in scene.cameras}

    def posed(image: CameraImage) -> CameraImage:
        old = image.camera.ego_from_camera
        if image.camera.name not in names or old is None:
            return image
        if image.world_from_camera is None:
            return replace(image, camera=replace(image.camera, ego_from_camera=old.inverse()))
        # The device's pose at the time of the image, not of the frame.
        world_from_ego = image.world_from_camera @ old.inverse()
        return replace(image, camera=inverted(image.camera), world_from_camera=world_from_ego @ old.inverse())

    note = f"the extrinsics of {', '.join(dict.fromkeys(names))} are inverted, as asked for"
    frames = tuple(replace(frame, images=tuple(map(posed, frame.images))) for frame in scene)
    return replace(scene, cameras=tuple(cameras.values()), frames=frames, notes=(*scene.notes, note))


def _inverted(camera: Camera) -> Camera:
    if camera.ego_from_camera is None:
        raise SceneError(
            f"camera {camera.name} has no extrinsics that could be inverted: the recording gives its images' poses "
            "in the world"
        )
    return replace(camera, ego_from_camera=camera.ego_from_camera.inverse())


def _selected_cameras(scene: Scene, names: Sequence[str]) -> list[str]:
    known = [camera.name for camera in scene.cameras]
    try:
        return selected(known, names, "camera", f"{scene.source} has")
    except SceneError as error:
        # Why the camera is not known may be among what was odd on opening: a folder that has another name.
        said = [f"{one.message}; {one.cure}" for one in scene.findings if one.severity == "warning"]
        error.fix = "\n".join([*([str(error.fix)] if known or not said else []), *said[:LISTED_NAMES]])
        raise


def _check_lidars(scene: Scene, names: Sequence[str]) -> None:
    known = [lidar.name for lidar in scene.lidars]
    if len(selected(known, names, "lidar", f"{scene.source} has")) < len(known):
        raise SceneError(
            f"{scene.source} cannot be read by lidar: the layout {scene.layout} always gives {', '.join(known)}",
            fix="Leave --lidar out.",
        )
