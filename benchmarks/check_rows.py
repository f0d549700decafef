"""The rows of the checks' table: faults that are planted at random, and whether `scene.check()` names them.

Each gives its rates before it counts the trials, so that a run which is ended early has what there is.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from check_recordings import Recordings, read_once, with_one_camera
from plant import extrinsics, ground, images, points, poses, region, times
from plant.drives import drive
from scipy.spatial.transform import Rotation

import lidarprep as lp
from lidarprep.checks import CheckOptions, SceneSamples, check_scene
from lidarprep.datasets.pose_readings import READINGS
from lidarprep.errors import LidarprepError
from lidarprep.sample._street import DEVICE_HEIGHT_M
from lidarprep.scene import Finding, Frame, Pose, Scene

QUICK = CheckOptions(level="quick")

# Codes of findings that say that the poses, or the frame of reference of the points, are wrong.
OF_POSES = ("poses-", "points-in-", "lidar-turned", "device-leans", "device-jumps")

# Readings whose motions from frame to frame are so near to the true ones are right, whatever they are called.
SAME_MOTION_M, REACH_M = 0.3, 15.0

FOUND_WITHIN_DEGREES = 0.5


@dataclass
class Rate:
    """How often something is so; what is not is listed.

    Args:
        what: The row's text.
        goal: The rate that it is to have; at most so much, if `most`.
        most: Whether the goal is an upper limit.
    """

    what: str
    goal: float
    most: bool = False
    hits: int = 0
    trials: int = 0
    misses: list[str] = field(default_factory=list)

    def add(self, hit: bool, what: str, findings: Sequence[Finding] = ()) -> None:
        """Count one trial; `what` describes it."""
        self.trials += 1
        self.hits += hit
        if hit == self.most:
            listed = "; ".join(f"{one.severity} {one.code}: {one.message}" for one in findings) or "nothing is found"
            self.misses.append(f"{self.what}: {what}: {listed}")

    @property
    def cells(self) -> tuple[str, str, str, str]:
        """The row of the table."""
        share = self.hits / self.trials if self.trials else math.nan
        limit = f"at most {self.goal:.0%}" if self.most and self.goal else f"{self.goal:.0%}"
        met = (
            "" if not self.trials else "met" if (share <= self.goal if self.most else share >= self.goal) else "not met"
        )
        return self.what, f"{share:.1%} of {self.trials:,}" if self.trials else "—", limit, met


def _named(findings: Sequence[Finding], *codes: str) -> bool:
    return any(one.code.startswith(codes) and one.severity != "note" for one in findings)


# ---- poses -----------------------------------------------------------------------------------------------------------


def wrong_poses(recordings: Recordings) -> Iterator[Rate]:
    """Poses that are read wrongly, at any place and heading in the world."""
    for kind, (code, option) in poses.EXPECTED.items():
        named, right = Rate(f"poses, {kind}: named", 1.0), Rate(f"poses, {kind}: the right hypothesis", 0.95)
        yield from (named, right)
        for name, scene in recordings.of_points():
            planted = poses.plant(scene, kind, recordings.rng(kind + name))
            found = check_scene(planted, QUICK)
            named.add(_named(found, *OF_POSES), name, found)
            right.add(any(_is_right(one, code, option, planted, scene) for one in found), name, found)
    yield from _angles(recordings)


def _is_right(one: Finding, code: str, option: str | None, planted: Scene, true: Scene) -> bool:
    if one.code == code:
        chosen = None if one.option is None else one.option.flag.split()[-1]
        if option is None or chosen == option:
            return True
        return chosen in READINGS and _same_motions(planted, true, chosen)
    return False


def _same_motions(planted: Scene, true: Scene, reading: str) -> bool:
    """Whether poses so read move the device as the true ones do: on a straight road, some readings are one."""
    read = READINGS[reading]
    found: list[Pose] = []
    for frame in planted:
        assert frame.world_from_ego is not None
        quaternions, translations = read(frame.world_from_ego.quaternion[None], frame.world_from_ego.translation[None])
        found.append(Pose.from_quaternion(quaternions[0], translations[0]))
    expected = [frame.world_from_ego for frame in true if frame.world_from_ego is not None]
    for row in range(1, len(found)):
        one, other = found[0].inverse() @ found[row], expected[0].inverse() @ expected[row]
        off = one.inverse() @ other
        turn = float(np.linalg.norm(Rotation.from_matrix(off.rotation).as_rotvec()))
        if float(np.linalg.norm(off.translation)) + REACH_M * turn > SAME_MOTION_M:
            return False
    return True


def _angles(recordings: Recordings) -> Iterator[Rate]:
    """Roll, pitch and yaw of a table that are in the other unit: nothing names it, or the header names it wrongly."""
    for unit, other in (("degrees", "radians"), ("radians", "degrees")):
        unnamed = Rate(f"a table's angles in {unit}, unit not named: read so, or a finding", 1.0)
        misnamed = Rate(f"a table's angles in {unit}, said to be {other}: named", 1.0)
        yield from (unnamed, misnamed)
        for number in range(recordings.scenes):
            scene = recordings.drive(number)
            rng = recordings.rng("angles", number)
            turn = Rotation.from_euler("z", rng.uniform(-np.pi, np.pi))
            moved = _turned(scene, Pose(turn.as_matrix(), np.append(rng.uniform(-50, 50, 2), 0)))
            with TemporaryDirectory(dir=recordings.folder) as folder:
                for rate, suffix in ((unnamed, ""), (misnamed, "_deg" if other == "degrees" else "_rad")):
                    opened = _as_table(moved, Path(folder) / (suffix or "none"), unit, suffix)
                    found = check_scene(opened, QUICK)
                    read = all(
                        one.world_from_ego is not None
                        and two.world_from_ego is not None
                        and one.world_from_ego.almost_equals(two.world_from_ego, 1e-5)
                        for one, two in zip(opened, moved, strict=True)
                    )
                    rate.add(read or _named(found, *OF_POSES, "angle"), f"drive {number}", found)


def _turned(scene: Scene, new_from_world: Pose) -> Scene:
    def moved(frame: Frame) -> Frame:
        assert frame.world_from_ego is not None
        return replace(frame, world_from_ego=new_from_world @ frame.world_from_ego)

    return replace(scene, frames=tuple(map(moved, scene)))


def _as_table(scene: Scene, folder: Path, unit: str, suffix: str) -> Scene:
    """Write a folder of .bin files and a CSV of poses with angles, and open it."""
    folder.mkdir()
    rows = [",".join(["timestamp", "x", "y", "z", *(f"{name}{suffix}" for name in ("roll", "pitch", "yaw"))])]
    for frame in scene:
        assert frame.world_from_ego is not None
        positions = frame.points().positions.astype("<f4")
        np.column_stack((positions, np.zeros(len(positions)))).astype("<f4").tofile(folder / f"{frame.timestamp}.bin")
        yaw, pitch, roll = Rotation.from_matrix(frame.world_from_ego.rotation).as_euler(
            "ZYX", degrees=unit == "degrees"
        )
        numbers = [*frame.world_from_ego.translation.tolist(), roll, pitch, yaw]
        rows.append(",".join([str(frame.timestamp), *(f"{number:.12g}" for number in numbers)]))
    (folder / "poses.csv").write_text("\n".join(rows) + "\n")
    return lp.open_scene(folder)


# ---- cameras ---------------------------------------------------------------------------------------------------------


def turned_cameras(recordings: Recordings) -> Iterator[Rate]:
    """Extrinsics that are turned about any axis; the rotation that is found."""
    within = Rate(f"rotation found within {FOUND_WITHIN_DEGREES}° of the planted one, where named", 1.0)
    yield within
    scenes = {
        f"street {number}": read_once(lp.open_scene(recordings.street(number))) for number in range(recordings.streets)
    }
    for degrees, goal in ((1.5, 0.95), (1.0, 0.85)):
        rate = Rate(f"extrinsics turned by {degrees}° about any axis: named", goal)
        yield rate
        for name, scene in scenes.items():
            _turn_all(scene, name, degrees, recordings.rng(f"{name} {degrees}"), rate, within)
    if recordings.real is not None:
        scene = read_once(lp.open_scene(recordings.real))
        for degrees, goal in ((1.5, 1.0), (1.0, 0.85)):
            rate = Rate(f"extrinsics of the real recording turned by {degrees}°: named", goal)
            yield rate
            _turn_all(scene, "the real recording", degrees, recordings.rng(f"real {degrees}"), rate, within)


def _turn_all(scene: Scene, name: str, degrees: float, rng: np.random.Generator, rate: Rate, within: Rate) -> None:
    for camera in scene.cameras:
        own = int(rng.integers(3)), float(rng.choice([-1.0, 1.0]))
        for axis in (own[1] * np.eye(3)[own[0]], rng.normal(size=3)):
            axis = axis / np.linalg.norm(axis)
            one = with_one_camera(scene, camera.name)
            found = check_scene(extrinsics.plant(one, camera.name, axis, degrees))
            what = f"{name}, {camera.name}, axis {np.round(axis, 2).tolist()}"
            named = next((f for f in found if f.code == "camera-misaligned"), None)
            rate.add(named is not None, what, found)
            if named is not None and named.calibration is not None and camera.ego_from_camera is not None:
                pose = named.calibration["cameras"][camera.name]["ego_from_camera"]
                off = camera.ego_from_camera.inverse() @ Pose.from_quaternion(pose["quaternion"], pose["translation"])
                angle = math.degrees(float(np.linalg.norm(Rotation.from_matrix(off.rotation).as_rotvec())))
                within.add(angle <= FOUND_WITHIN_DEGREES, f"{what}, {degrees}°: {angle:.2f}° off", found)


def swapped_cameras(recordings: Recordings) -> Iterator[Rate]:
    """Two cameras with one another's poses, or images."""
    for what, plant in (("poses", extrinsics.exchange_poses), ("images", extrinsics.exchange_images)):
        rate = Rate(f"two cameras' {what} exchanged: one of them named", 1.0)
        yield rate
        for number in range(recordings.streets):
            scene = read_once(lp.open_scene(recordings.street(number)))
            one, other = recordings.rng(what, number).choice(
                [camera.name for camera in scene.cameras], 2, replace=False
            )
            found = check_scene(plant(scene, str(one), str(other)))
            rate.add(_named(found, "camera", "extrinsics-"), f"street {number}, {one} and {other}", found)


def images_of_camera(recordings: Recordings) -> Iterator[Rate]:
    """Damaged, turned and resized images; intrinsics that are not theirs."""
    for plant in images.PLANTS:
        what = plant.__name__.replace("_", " ")
        rate = Rate(f"images, {what}: named at the camera", 1.0)
        yield rate
        sources = [(f"small {number}", recordings.small(number)) for number in range(recordings.streets)]
        sources += [] if recordings.real is None else [("the real recording", recordings.real)]
        for name, source in sources:
            camera = str(recordings.rng(what + name).choice(images.camera_names(source)))
            folder = recordings.copy(source)
            code = plant(folder, camera)
            try:
                found = lp.open_scene(folder).check()
            except LidarprepError as error:  # refused by name: as good as a finding
                found = [Finding(code, str(error))] if camera in str(error) else []
            hit = any(one.code == code and (camera in one.subject.name or camera in one.message) for one in found)
            rate.add(hit, f"{name}, {camera}", found)


# ---- points, ground, region ------------------------------------------------------------------------------------------


def points_that_are_none(recordings: Recordings) -> Iterator[Rate]:
    """Repeated points, and those on the device; rays without a return, which readers count."""
    for plant in (points.repeated_points, points.roof):
        rate = Rate(f"points, {plant.__name__.replace('_', ' ')}: named", 1.0)
        yield rate
        for number, (name, scene) in enumerate(recordings.of_points()):
            planted, code = plant(scene, number)
            found = check_scene(planted, QUICK)
            rate.add(any(one.code == code for one in found), name, found)
    rate = Rate("points, rays without a return: counted within a tenth", 1.0)
    yield rate
    for number, (name, scene) in enumerate(recordings.of_points()):
        planted, _ = points.zero_returns(scene, number)
        cloud = planted[0].points()
        share = len(cloud.no_return_rows(planted[0].world_from_ego)) / len(cloud)
        rate.add(abs(share - 0.2) <= 0.02, f"{name}: {share:.1%} in place of 20 %")


def device_height(recordings: Recordings) -> Iterator[Rate]:
    """A device height that is half a metre off, on even ground and others."""
    rate = Rate("device height off by 0.5 m: named", 1.0)
    yield rate
    exact = Rate("the height that it proposes, within 0.15 m", 1.0)
    yield from (rate, exact)
    for number, (name, scene) in enumerate(recordings.of_points()):
        true = DEVICE_HEIGHT_M if name.startswith("drive") else _height(scene)
        if true is None:
            continue
        rng = recordings.rng("ground", number)
        for ground_name, planted, height in _grounds(scene, true, rng):
            off = float(rng.choice([-0.5, 0.5]))
            found = check_scene(planted, replace(QUICK, device_height=height + off))
            named = [one for one in found if one.code == "device-height"]
            what = f"{name}, {ground_name}, {off:+.1f} m"
            rate.add(bool(named), what, found)
            exact.add(bool(named) and abs(float(named[0].expected or 0) - height) <= 0.15, what, found)


def _height(scene: Scene) -> float | None:
    """Return the device's height by the usual estimate, which has no truth to go by in a real recording."""
    from lidarprep.checks import ground_under

    found = ground_under(SceneSamples(scene).usual)
    return None if found is None else found.height


def _grounds(scene: Scene, height: float, rng: np.random.Generator) -> Iterator[tuple[str, Scene, float]]:
    yield "as it is", scene, height
    raised = float(rng.uniform(-0.8, 0.8))
    yield f"origin raised by {raised:.2f} m", ground.origin_raised(scene, raised), height + raised
    roll, pitch = rng.uniform(-3, 3, 2)
    yield f"tilted by {roll:.1f}° and {pitch:.1f}°", ground.device_tilted(scene, roll, pitch), height
    yield "points in the world", ground.in_world(scene), height


def regions(recordings: Recordings) -> Iterator[Rate]:
    """Regions off the road are named, and those on it are not."""
    off, on = Rate("region off the road: named", 1.0), Rate("region on the road: called off it", 0.0, most=True)
    yield from (off, on)
    for name, scene in recordings.of_points():
        rng = recordings.rng("region" + name)
        for rate, where in ((off, region.region_off_the_road), (on, region.region_on_the_road)):
            found = check_scene(scene, replace(QUICK, region=where(scene, rng)))
            rate.add(any(one.code == "region-off-path" for one in found), name, found)


# ---- times -----------------------------------------------------------------------------------------------------------


def wrong_times(recordings: Recordings) -> Iterator[Rate]:
    """Times in another unit, of another clock, and cameras that are late."""
    rate = Rate("frames' times in µs, ms, s for ns: read so, or named", 1.0)
    yield rate
    for number in range(recordings.streets):
        source = recordings.uncompensated(number)
        true = _steps(lp.open_scene(source))
        for unit in times.UNITS:
            for since_start in (False, True):
                folder = recordings.copy(source)
                times.frames_in(folder, unit, since_start=since_start)
                opened = lp.open_scene(folder)
                found = opened.check()
                read = bool(np.allclose(_steps(opened), true, rtol=0.02, atol=1e6))
                rate.add(
                    read or _named(found, "frame-rate", "frames-"), f"timed {number}, {unit}, {since_start=}", found
                )
    rate = Rate("points' times in ns, µs, ms, s or shares: read so, or named", 1.0)
    yield rate
    for number in range(recordings.streets):
        source = recordings.uncompensated(number)
        for unit in ("ns", *times.UNITS, "share"):
            for type_ in ("<f8", "<f4"):
                folder = recordings.copy(source)
                times.points_in(folder, unit, type_=type_)
                opened = lp.open_scene(folder)
                found = opened.check()
                stamps = opened[1].points().timestamp
                read = stamps is not None and abs(float(np.ptp(stamps)) - 1e8) < 1e7
                rate.add(read or _named(found, "point-time-unit"), f"timed {number}, {unit}, {type_}", found)
    yield from _late_cameras(recordings)
    yield from _other_clocks(recordings)


def _steps(scene: Scene) -> np.ndarray:
    return np.diff([frame.timestamp for frame in scene if frame.timestamp is not None]).astype(np.float64)


def _late_cameras(recordings: Recordings) -> Iterator[Rate]:
    rate = Rate("a camera half a frame or more late or early: said", 1.0)
    yield rate
    for number in range(recordings.streets):
        scene = lp.open_scene(recordings.small(number))
        rng = recordings.rng("late", number)
        for delay in (0.05, 0.1, float(rng.uniform(0.05, 0.5)), 1.0):
            camera, late = str(rng.choice([one.name for one in scene.cameras])), delay * float(rng.choice([-1, 1]))
            found = check_scene(times.camera_late(scene, camera, late, rng), QUICK)
            hit = any(one.code == "camera-delay" and one.subject.name == camera for one in found)
            rate.add(hit, f"small {number}, {camera}, {late:.3f} s", found)


def _other_clocks(recordings: Recordings) -> Iterator[Rate]:
    rate = Rate("clocks of points or poses 18 or 37 s apart: named", 1.0)
    for name, scene in recordings.of_points():
        rng = recordings.rng("clock" + name)
        if not all(frame.timestamp for frame in scene):
            continue
        for seconds in times.CLOCKS_S:
            late = seconds * float(rng.choice([-1, 1]))
            for what, planted in (
                ("points", times.points_of_clock(scene, late, rng)),
                ("poses", times.poses_of_clock(scene, late)),
            ):
                found = check_scene(planted, QUICK)
                rate.add(_named(found, "clock-offset"), f"{name}, {what}, {late:+g} s", found)


# ---- false alarms ----------------------------------------------------------------------------------------------------


def false_alarms(recordings: Recordings) -> Iterator[Rate]:
    """Sound recordings of other seeds, speeds, motions, rates, beams and layouts; with images; the real one."""
    errors = Rate("sound recordings with an error", 0.0, most=True)
    warnings = Rate("sound recordings with a warning", 0.01, most=True)
    yield from (errors, warnings)
    for name, scene, options in _sound(recordings):
        found = check_scene(scene, options)
        errors.add(any(one.severity == "error" for one in found), name, found)
        warnings.add(any(one.severity == "warning" for one in found), name, found)


def _sound(recordings: Recordings) -> Iterator[tuple[str, Scene, CheckOptions]]:
    if recordings.real is not None:
        yield "the real recording", lp.open_scene(recordings.real), CheckOptions()
    for number in range(recordings.streets):
        yield f"street {number}", lp.open_scene(recordings.street(number)), CheckOptions(device_height=DEVICE_HEIGHT_M)
    yield from _layouts(recordings)
    for number in range(max(0, recordings.scenes - 2 * recordings.streets)):
        rng = recordings.rng("sound", number)
        motion = str(rng.choice(["ahead", "ahead", "ahead", "backwards", "sideways", "at rest", "spin"]))
        speed, seconds = float(rng.uniform(1, 30)), float(rng.choice([0.05, 0.1, 0.2, 0.5]))
        frames, beams, compensated = int(rng.integers(3, 20)), int(rng.choice([1, 2, 4])), bool(rng.random() < 0.7)
        scene = drive(
            rng,
            motion,  # type: ignore[arg-type]
            speed=speed,
            seconds=seconds,
            frames=frames,
            columns=int(rng.integers(150, 400)),
            beams=beams,
            motion_compensated=compensated,
        )
        options = replace(QUICK, device_height=DEVICE_HEIGHT_M, region=region.region_on_the_road(scene, rng))
        if rng.random() < 0.3:
            scene = ground.in_world(scene)
        if rng.random() < 0.3:
            scene = poses.plant(scene, "sound", rng) if scene.points_frame == "ego" else scene
            options = replace(options, region=None)
        name = f"{motion}, {speed:.1f} m/s, {frames} frames {seconds} s apart, beams / {beams}, {compensated=}"
        yield f"sound {number}: {name}", scene, options


def _layouts(recordings: Recordings) -> Iterator[tuple[str, Scene, CheckOptions]]:
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from tests.datasets.generated import read
    from tests.datasets.test_every_layout import LAYOUTS

    names = sorted(LAYOUTS)
    for number in range(recordings.streets):
        recording = read(recordings.small(number))
        name = names[(number * 7 + recordings.seed) % len(names)]
        with TemporaryDirectory(dir=recordings.folder) as folder:
            scene = lp.open_scene(LAYOUTS[name].write(recording, Path(folder) / "recording"))
            yield f"small {number} as {name}", scene, CheckOptions()


ROWS: dict[str, Callable[[Recordings], Iterator[Rate]]] = {
    "poses": wrong_poses,
    "extrinsics": turned_cameras,
    "swapped": swapped_cameras,
    "images": images_of_camera,
    "points": points_that_are_none,
    "ground": device_height,
    "region": regions,
    "times": wrong_times,
    "sound": false_alarms,
}
