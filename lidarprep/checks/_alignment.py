"""Calibration judged by the images: whether the edges of points and images agree at the pose of each camera.

Each camera is aligned, misaligned or cannot be judged. A turned camera and images that were taken at another time look
alike in a few frames, so a finding names both. Sweeps that are not compensated for the device's motion look so, too:
where points have times of their own, a camera is judged by compensated points before it is called misaligned.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations
from typing import Any, Literal

import numpy as np

from lidarprep.checks._cameras import image_size
from lidarprep.checks._edges import PIXELS_PER_RADIAN, EdgeFeatures, Window, edge_features, edge_maps
from lidarprep.checks._poses import motion_within_sweeps
from lidarprep.checks._rotation import Found, View, rotation_matrices, search
from lidarprep.checks._samples import SceneSamples
from lidarprep.errors import FormatError, SceneError
from lidarprep.scene import Camera, CameraImage, Finding, Frame, Intrinsics, PointCloud, Pose, Scene, Subject
from lidarprep.scene.finding import opening_option, recipe_option
from lidarprep.steps import StepReport
from lidarprep.steps.deskew import Deskew

# Frames that each camera is judged by: at most, and at least. In one frame a wrong rotation may fit by chance.
MOST_FRAMES, FEWEST_FRAMES = 5, 3

# A frame counts if the camera sees so many depth edges in it.
FEWEST_EDGES = 100

# Images with fewer pixels a radian are too coarse.
FEWEST_PIXELS = 150.0

# Edges agree at a place if its score is so many deviations above that of all rotations: in a coarse and a fine look.
# Images of other cameras, dark and blurred ones stay below, or lead to the border of the search, LARGEST_DEGREES.
CERTAIN, FINELY_CERTAIN, LARGEST_DEGREES = 2.0, 4.0, 4.3

# A degree beside the best place, the fine score is at most this part of it: in blurred images, anything fits widely.
BESIDE_PART = 0.65

# A camera is misaligned if the best rotation is larger than MISALIGNED_DEGREES, the pose as given scores at most
# GIVEN_PART of it, and so many of the frames and of the strips of the image gain by it.
MISALIGNED_DEGREES, GIVEN_PART, FRAMES_GAIN, STRIPS_GAIN = 0.7, 0.9, 0.7, 0.6

# Pairs of cameras that are tried for being exchanged. There is no doubt if the images of both score FINELY_CERTAIN at
# the other's pose, and this part of it at most at their own: sound cameras score from 5 to 18 at their own pose, and
# below 3 at another's.
MOST_PAIRS, SURE_PART = 15, 0.6

# A camera is clearly aligned if its fine score is so many times FINELY_CERTAIN.
CLEARLY = 1.2

Verdict = Literal["aligned", "misaligned", "cannot tell"]


@dataclass(frozen=True)
class Alignment:
    """How well a camera's images and the points agree.

    Args:
        camera: The camera.
        verdict: What that says about its pose.
        found: Where they agree best; None if there was too little to search by.
        frames: How many frames it was judged by.
    """

    camera: Camera
    verdict: Verdict
    found: Found | None
    frames: int


Judged = tuple[Verdict, Found | None, int]  # and the number of frames

_ALL = slice(None)


@dataclass(frozen=True)
class _Exchange:
    """Two cameras that seem to be exchanged.

    Args:
        cameras: They.
        intrinsics_too: Whether their intrinsics are exchanged with their poses.
        own, others: The scores of their images at their own poses, and at one another's.
    """

    cameras: tuple[Camera, Camera]
    intrinsics_too: bool
    own: tuple[float, float]
    others: tuple[float, float]

    @property
    def is_sure(self) -> bool:
        pairs = zip(self.own, self.others, strict=True)
        return all(other >= FINELY_CERTAIN and own <= SURE_PART * other for own, other in pairs)


def misaligned_cameras(
    scene: Scene, samples: SceneSamples, *, besides: Collection[str] = (), deskew: bool = False
) -> list[Finding]:
    """Find cameras whose poses are turned, or exchanged with one another's, by the edges of images and points.

    Args:
        scene: The recording.
        samples: What reads its frames.
        besides: Names of cameras whose poses are known to be wrong.
        deskew: Whether cameras are judged by points that are compensated for the device's motion.
    """
    judged = replace(scene, cameras=tuple(one for one in scene.cameras if one.name not in besides))
    check = _Check(judged, samples, deskew=deskew)
    alignments = check.alignments
    unsure = [one for one in alignments if one.verdict != "aligned" and one.frames >= FEWEST_FRAMES]
    swapped = check.swapped(unsure)
    exchanged = {camera.name for pair in swapped for camera in pair.cameras}
    findings = [_swapped(pair) for pair in swapped]
    turned = [one for one in unsure if one.verdict == "misaligned" and one.camera.name not in exchanged]
    if turned and not deskew and motion_within_sweeps(scene, samples.usual) is not None:
        turned, compensated = check.compensated(turned)
        findings += _uncompensated(compensated)
    return findings + [_misaligned(one, anew=check.is_calibrated_anew(one.camera)) for one in turned]


class _Check:
    """The cameras of a scene, judged by a few of its frames. Frames are read one at a time, and no points are kept."""

    def __init__(self, scene: Scene, samples: SceneSamples, *, deskew: bool) -> None:
        self.scene, self.samples, self.deskew = scene, samples, deskew
        self.shots: dict[str, list[tuple[Frame, CameraImage]]] = {
            camera.name: _spread([(frame, image) for frame in samples.frames for image in _of(frame, camera)])
            for camera in scene.cameras
        }
        self._windows: dict[tuple[Intrinsics, float], Window | None] = {}

    @cached_property
    def alignments(self) -> list[Alignment]:
        """Each camera's alignment, at the poses as given."""
        names = [name for name, shots in self.shots.items() if len(shots) >= FEWEST_FRAMES]
        # The first, the middle and the last frame first: a camera that is aligned by them clearly needs no others.
        every_other = slice(None, None, 2)
        judged = self._judged(
            [name for name in names if len(self.shots[name][every_other]) >= FEWEST_FRAMES], every_other
        )
        clearly = {name for name, (verdict, found, _) in judged.items() if _clearly_aligned(verdict, found)}
        judged |= self._judged([name for name in names if name not in clearly])
        return [Alignment(camera, *judged.get(camera.name, ("cannot tell", None, 0))) for camera in self.scene.cameras]

    def _judged(self, names: Sequence[str], part: slice = _ALL) -> dict[str, Judged]:
        """Judge cameras by a part of their frames, at their own poses."""
        shots = self._shots([(name, name) for name in names], part=part)
        return dict(zip(names, _at_once(lambda name: _judge(shots[name, name]), names), strict=True))

    def is_calibrated_anew(self, camera: Camera) -> bool:
        """Whether images of the camera have other poses of it on the device than the recording has."""
        return not all(
            image.camera is camera or _is_same(image.camera.ego_from_camera, camera.ego_from_camera)
            for _, image in self.shots[camera.name]
        )

    def compensated(self, turned: Sequence[Alignment]) -> tuple[list[Alignment], list[Alignment]]:
        """Judge cameras once more by compensated points: those that are turned still, and those that were not."""
        names = [one.camera.name for one in turned]
        shots = self._shots([(name, name) for name in names], deskew=True)
        still, were_not = [], []
        for one, name in zip(turned, names, strict=True):
            verdict, found, frames = _judge(shots[name, name])
            if verdict == "misaligned":
                still.append(Alignment(one.camera, verdict, found, frames))
            else:
                were_not.append(one)
        return still, were_not

    def swapped(self, unsure: Sequence[Alignment]) -> list[_Exchange]:
        """Find pairs of cameras that are exchanged, of those that are not aligned.

        The images of each agree with the points at the other's pose, and better than at its own.
        """
        own = {one.camera.name: one.found.fine_given for one in unsure if one.found is not None}
        cameras = [one.camera for one in unsure if one.camera.name in own]
        found: list[_Exchange] = []
        for one, other in list(combinations(cameras, 2))[:MOST_PAIRS]:
            if any(one in pair.cameras or other in pair.cameras for pair in found):
                continue
            for intrinsics_too in (False, True):
                if intrinsics_too and one.intrinsics == other.intrinsics:
                    continue
                both = [(one.name, other.name), (other.name, one.name)]
                shots = self._shots(both, intrinsics_too=intrinsics_too)
                judged = [_judge(shots[pair]) for pair in both]
                scores = [
                    there.fine_given for verdict, there, _ in judged if there is not None and verdict == "aligned"
                ]
                if len(scores) == 2 and scores[0] > own[one.name] and scores[1] > own[other.name]:
                    at_own = own[one.name], own[other.name]
                    found.append(_Exchange((one, other), intrinsics_too, at_own, (scores[0], scores[1])))
                    break
        return found

    def _shots(
        self,
        pairs: Sequence[tuple[str, str]],
        *,
        part: slice = _ALL,
        intrinsics_too: bool = False,
        deskew: bool = False,
    ) -> dict[tuple[str, str], list[_Shot]]:
        """Look at images of the first camera of each pair from the pose of the second, in a part of its frames."""
        cameras = {camera.name: camera for camera in self.scene.cameras}
        shots: dict[tuple[str, str], list[_Shot]] = {pair: [] for pair in pairs}
        frames = {frame.id: frame for pair in pairs for frame, _ in self.shots[pair[0]][part]}
        for frame in frames.values():
            wanted = []
            for pair in pairs:
                for image in (image for shot, image in self.shots[pair[0]][part] if shot is frame):
                    # A camera may be calibrated anew in each frame: its own pose is that of the image's camera.
                    posed_as = image.camera if pair[0] == pair[1] else cameras[pair[1]]
                    window = self._window(replace(image, camera=posed_as) if intrinsics_too else image)
                    wanted += [] if window is None else [(pair, image, window, posed_as)]
            points = self._points(frame, deskew=deskew or self.deskew) if wanted else None
            if points is None:
                continue
            tasks = [_Task(frame, points, *one) for one in wanted]
            for task, found in zip(tasks, _at_once(_Task.edges, tasks), strict=True):
                if found is not None and found.depth_edges >= FEWEST_EDGES:
                    image = replace(task.image, camera=task.posed_as) if intrinsics_too else task.image
                    shots[task.pair].append(_Shot(image, task.window, found))
        return shots

    def _window(self, image: CameraImage) -> Window | None:
        size = image_size(image)
        if size is None:
            return None
        key = replace(image.camera.intrinsics, width=size[0], height=size[1]), image.scale_factor
        if key not in self._windows:
            self._windows[key] = _window(*key)
        return self._windows[key]

    def _points(self, frame: Frame, *, deskew: bool) -> PointCloud | None:
        path = self.scene.device_path()
        if not deskew or path is None:
            return self.samples.points(frame)
        try:
            return next(Deskew(path)(frame, StepReport()).chunks())
        except (FormatError, SceneError):
            return None


def _at_once(function: Any, values: Sequence[Any]) -> list[Any]:
    """Map in threads: the kernels and Pillow's decoders release the GIL."""
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1), "alignment") as pool:
        return list(pool.map(function, values))


def _of(frame: Frame, camera: Camera) -> Iterable[CameraImage]:
    return (
        image
        for image in frame.images
        if image.camera.name == camera.name and (image.path is not None or image.content is not None)
    )


def _spread(shots: list[tuple[Frame, CameraImage]]) -> list[tuple[Frame, CameraImage]]:
    """Choose a few, evenly."""
    if len(shots) <= MOST_FRAMES:
        return shots
    return [shots[row] for row in np.linspace(0, len(shots) - 1, MOST_FRAMES).astype(int)]


def _window(intrinsics: Intrinsics, scale_factor: float) -> Window | None:
    per_radian = intrinsics.fx / scale_factor
    return None if per_radian < FEWEST_PIXELS else Window.of(intrinsics, min(PIXELS_PER_RADIAN, per_radian))


@dataclass(frozen=True, eq=False)
class _Task:
    """Edges to be found in a frame's points, as a camera sees them from the pose of another or from its own."""

    frame: Frame
    points: PointCloud
    pair: tuple[str, str]
    image: CameraImage
    window: Window
    posed_as: Camera

    def edges(self) -> EdgeFeatures | None:
        """Find them; None where the pose is not known."""
        pose = _camera_from_points(self.frame, self.points, self.image, self.posed_as)
        return None if pose is None else edge_features(self.points, pose, self.window)


def _camera_from_points(frame: Frame, points: PointCloud, image: CameraImage, posed_as: Camera) -> Pose | None:
    """Return the pose of the points as seen by the camera `posed_as` when the image was taken."""
    world_from_camera = image.world_from_camera
    if posed_as.name != image.camera.name:
        own, other = image.camera.ego_from_camera, posed_as.ego_from_camera
        if world_from_camera is not None and own is not None and other is not None:
            world_from_camera = world_from_camera @ own.inverse() @ other
        else:
            world_from_camera = next((one.world_from_camera for one in _of(frame, posed_as)), None)
    if points.frame == "world":
        return None if world_from_camera is None else world_from_camera.inverse()
    if world_from_camera is not None and frame.world_from_ego is not None:
        return world_from_camera.inverse() @ frame.world_from_ego
    return None if posed_as.ego_from_camera is None else posed_as.ego_from_camera.inverse()


@dataclass(frozen=True, eq=False)
class _Shot:
    """An image, and where the points make its camera expect edges."""

    image: CameraImage
    window: Window
    features: EdgeFeatures


def _judge(shots: Sequence[_Shot]) -> Judged:
    # Maps take megabytes: those of one camera are dropped before the next one's are made.
    maps = [edge_maps(shot.image, shot.window) for shot in shots]
    views = [View(edges, shot.features) for edges, shot in zip(maps, shots, strict=True) if edges is not None]
    if len(views) < FEWEST_FRAMES:
        return "cannot tell", None, len(views)
    found = search(views)
    return _verdict(found), found, len(views)


def _clearly_aligned(verdict: Verdict, found: Found | None) -> bool:
    """Whether a camera is aligned with something to spare, so that more frames would not say otherwise."""
    return verdict == "aligned" and found is not None and found.fine_best >= CLEARLY * FINELY_CERTAIN


def _verdict(found: Found) -> Verdict:
    if found.best < CERTAIN or found.fine_best < FINELY_CERTAIN or np.abs(found.degrees).max() > LARGEST_DEGREES:
        return "cannot tell"
    if found.beside > BESIDE_PART * found.fine_best:
        return "cannot tell"
    if found.angle < MISALIGNED_DEGREES:
        return "aligned"
    gained = found.frames_gained >= FRAMES_GAIN and found.strips_gained >= STRIPS_GAIN
    return "misaligned" if gained and found.fine_given <= GIVEN_PART * found.fine_best else "cannot tell"


def _is_same(one: Pose | None, other: Pose | None) -> bool:
    return one is other or (one is not None and other is not None and np.array_equal(one.matrix, other.matrix))


# ---- findings --------------------------------------------------------------------------------------------------------


def _misaligned(one: Alignment, *, anew: bool) -> Finding:
    """Describe a camera that is turned; `anew`: it has another pose on the device in each frame."""
    if one.found is None:
        raise AssertionError("a camera is misaligned by a rotation")
    name, found = one.camera.name, one.found
    about = ", ".join(f"{angle:+.1f}° about {axis}" for axis, angle in zip("xyz", -found.degrees, strict=True))
    given_from_camera = Pose(rotation_matrices(found.degrees[None])[0].T, np.zeros(3))
    return Finding(
        "camera-misaligned",
        f"camera {name} is turned by {found.angle:.1f}°, or its images are out of time: edges of images and points "
        f"agree best if it is turned by {about} of its axes (x right, y down, z forward), in {one.frames} frames; "
        f"score {found.fine_best:.1f} there, {found.fine_given:.1f} as given",
        "`lidarprep inspect SCENE --write-calibration FILE` writes it, with the pose that was found; or check the "
        "images' times",
        subject=Subject("camera", name),
        found=round(found.angle, 2),
        expected=f"less than {MISALIGNED_DEGREES:g}°",
        option=opening_option("--calibration", "FILE", "calibration", "FILE"),
        calibration={"cameras": {name: _corrected(None if anew else one.camera.ego_from_camera, given_from_camera)}},
    )


def _corrected(ego_from_given: Pose | None, given_from_camera: Pose) -> dict[str, Any]:
    """Describe a camera's corrected pose as a calibration file does."""
    if ego_from_given is None:
        return {"given_from_camera": _as_numbers(given_from_camera)}
    return {"ego_from_camera": _as_numbers(ego_from_given @ given_from_camera)}


def _as_numbers(pose: Pose) -> dict[str, list[float]]:
    return {"quaternion": pose.quaternion.tolist(), "translation": pose.translation.tolist()}


def _swapped(pair: _Exchange) -> Finding:
    one, other = pair.cameras
    what = "images" if pair.intrinsics_too else "poses"
    calibration: dict[str, Mapping[str, Any]] = {}
    for camera, instead in ((one, other), (other, one)):
        entry: dict[str, Any] = {}
        if instead.ego_from_camera is not None:
            entry["ego_from_camera"] = _as_numbers(instead.ego_from_camera)
        if pair.intrinsics_too:
            entry["intrinsics"] = _intrinsics(instead)
        calibration[camera.name] = entry
    apply = all(camera.ego_from_camera is not None for camera in (one, other))
    return Finding(
        "cameras-swapped",
        f"cameras {one.name} and {other.name} look as if their {what} were exchanged: the images of each agree with "
        f"the points at the other's pose (score {pair.others[0]:.1f} and {pair.others[1]:.1f}), and not at its own "
        f"({pair.own[0]:.1f} and {pair.own[1]:.1f})",
        "`lidarprep inspect SCENE --write-calibration FILE` writes it, with the two exchanged back; or mend the "
        "recording",
        severity="error" if pair.is_sure else "warning",
        subject=Subject("camera", one.name),
        found=other.name,
        expected=one.name,
        option=opening_option("--calibration", "FILE", "calibration", "FILE") if apply else None,
        calibration={"cameras": calibration} if apply else None,
    )


def _intrinsics(camera: Camera) -> dict[str, Any]:
    own = camera.intrinsics
    numbers = {name: getattr(own, name) for name in ("fx", "fy", "cx", "cy", "skew")}
    size = {} if own.width is None or own.height is None else {"width": own.width, "height": own.height}
    return {"camera_model": own.model, **numbers, **own.distortion.nonzero(), **size}


def _uncompensated(turned: Sequence[Alignment]) -> list[Finding]:
    if not turned:
        return []
    names = ", ".join(one.camera.name for one in turned)
    return [
        Finding(
            "sweeps-not-compensated",
            f"edges of images and points agree only once the points are compensated for the device's motion during a "
            f"sweep: of {names}",
            option=recipe_option("--deskew", "deskew", "True"),
        )
    ]
