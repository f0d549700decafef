"""What a user may choose of any recording, whatever its layout: applied once it is open.

A layout that reads only the chosen lidars and cameras has done its part before; here the names are held against what
the scene has.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from lidarprep.datasets.asked_for import known_are
from lidarprep.datasets.options import OpenOptions
from lidarprep.errors import SceneError
from lidarprep.scene import Camera, CameraImage, Frame, Scene


def chosen(scene: Scene, options: OpenOptions) -> Scene:
    """The scene as the options want it: its cameras, their extrinsics, its lidars, the frame of its points.

    Raises:
        SceneError: There is no camera or lidar of a name; a camera whose extrinsics are to be inverted has none; the
            layout cannot tell the lidars apart.
    """
    _check_lidars(scene, options.lidars)
    scene = with_inverted_extrinsics(scene, options.invert_extrinsics)
    scene = with_cameras(scene, options.cameras)
    if options.points_frame is not None and scene.points_frame != options.points_frame:
        scene = scene.with_points_in(options.points_frame)
    return scene


def with_cameras(scene: Scene, names: Sequence[str]) -> Scene:
    """The scene with the pictures of these cameras only, which keep their indices; of all where no name is given.

    Raises:
        SceneError: There is no camera of a name.
    """
    if not names:
        return scene
    _require_known(scene, names)
    if all(camera.name in names for camera in scene.cameras):
        return scene
    frames = (
        replace(frame, images=tuple(image for image in frame.images if image.camera.name in names)) for frame in scene
    )
    cameras = tuple(camera for camera in scene.cameras if camera.name in names)
    return replace(scene, cameras=cameras, frames=tuple(frames))


def with_inverted_extrinsics(scene: Scene, names: Sequence[str]) -> Scene:
    """The scene with the extrinsics of these cameras inverted, and their pictures posed anew.

    Raises:
        SceneError: There is no camera of a name, or one has no extrinsics.
    """
    if not names:
        return scene
    _require_known(scene, names)
    cameras = {camera.name: _inverted(camera) if camera.name in names else camera for camera in scene.cameras}

    def posed(image: CameraImage) -> CameraImage:
        old = image.camera.ego_from_camera
        if image.camera.name not in names or old is None:
            return image
        if image.world_from_camera is None:
            return replace(image, camera=replace(image.camera, ego_from_camera=old.inverse()))
        # The device's pose when the picture was taken, not when the frame was.
        world_from_ego = image.world_from_camera @ old.inverse()
        camera = cameras[image.camera.name]
        return replace(image, camera=camera, world_from_camera=world_from_ego @ old.inverse())

    def changed(frame: Frame) -> Frame:
        return replace(frame, images=tuple(map(posed, frame.images)))

    note = f"the extrinsics of {', '.join(dict.fromkeys(names))} are inverted, as asked for"
    frames = tuple(map(changed, scene.frames))
    return replace(scene, cameras=tuple(cameras.values()), frames=frames, notes=(*scene.notes, note))


def _inverted(camera: Camera) -> Camera:
    if camera.ego_from_camera is None:
        raise SceneError(
            f"camera {camera.name} has no extrinsics that could be inverted: the recording gives its pictures' poses "
            "in the world"
        )
    return replace(camera, ego_from_camera=camera.ego_from_camera.inverse())


def _require_known(scene: Scene, names: Iterable[str]) -> None:
    known = [camera.name for camera in scene.cameras]
    for name in names:
        if name not in known:
            raise SceneError(f"{scene.source} has no camera {name!r}", fix=known_are(known, "camera"))


def _check_lidars(scene: Scene, names: Sequence[str]) -> None:
    if not names:
        return
    known = [lidar.name for lidar in scene.lidars]
    for name in names:
        if name not in known:
            raise SceneError(f"{scene.source} has no lidar {name!r}", fix=known_are(known, "lidar"))
    if set(known) != set(names):
        raise SceneError(
            f"{scene.source} cannot be read by lidar: the layout {scene.layout} always gives {', '.join(known)}",
            fix="Leave --lidar out.",
        )
