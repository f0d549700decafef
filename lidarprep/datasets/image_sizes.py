"""Sizes of images, by the header of one image a camera, for all layouts.

A calibration that leaves the size out gets that of the images: without it, nobody knows what falls into an image.
Where a calibration is for larger images, and both sides were divided by the same simple fraction, the images were
shrunk since: they get that fraction as their `scale_factor`. Any other difference is left to the checks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from lidarprep._images import BadImageError, ImageHeader, read_file_header, read_header
from lidarprep.errors import FormatError
from lidarprep.scene import Camera, CameraImage, Intrinsics, Scene

# Images of a camera that are looked at until one has a header.
_TRIED = 3

# Images are shrunk by such fractions: 5/4 is the smallest, 16 the largest.
_LARGEST_DENOMINATOR, _LARGEST_FACTOR = 4, 16

Size = tuple[int, int]  # width and height, pixels


def with_image_sizes(scene: Scene) -> Scene:
    """Return the recording with the sizes of its images in its calibrations, and with their scale factors."""
    cameras: dict[str, Camera] = {}
    factors: dict[str, float] = {}
    notes: list[str] = []
    for camera in scene.cameras:
        images = [image for frame in scene for image in frame.images if _is_of(image, camera)]
        header = _first_header(images[:_TRIED])
        if header is None:
            continue
        calibrated = _size_of(camera.intrinsics)
        if calibrated is None:
            width, height = (round(side * images[0].scale_factor) for side in header.size)
            cameras[camera.name] = replace(camera, intrinsics=replace(camera.intrinsics, width=width, height=height))
        elif (factor := shrunk_by(calibrated, header.size)) and all(image.scale_factor == 1 for image in images):
            factors[camera.name] = factor
            notes.append(
                f"camera {camera.name}: its images of {header.width} × {header.height} pixels are taken as shrunk "
                f"{factor:g} times since the calibration, which is for {calibrated[0]} × {calibrated[1]} (scale_factor)"
            )
    if not cameras and not factors:
        return scene
    known = {camera.name: camera for camera in scene.cameras}

    def sized(image: CameraImage) -> CameraImage:
        name = image.camera.name
        if name not in known or not _is_of(image, known[name]):
            return image
        camera = cameras.get(name, known[name])
        if image.camera is not known[name]:  # on the same lens, elsewhere
            camera = replace(image.camera, intrinsics=camera.intrinsics)
        return replace(image, camera=camera, scale_factor=factors.get(name, image.scale_factor))

    frames = tuple(
        replace(frame, images=tuple(map(sized, frame.images))) if frame.images else frame for frame in scene.frames
    )
    found = tuple(cameras.get(camera.name, camera) for camera in scene.cameras)
    return replace(scene, frames=frames, cameras=found, notes=(*scene.notes, *notes))


def shrunk_by(calibrated: Size, stored: Size) -> float | None:
    """Return how many times an image was shrunk: a simple fraction of both sides; None if it is another, or as large.

    Sides are rounded up or down to whole pixels.
    """
    for denominator in range(1, _LARGEST_DENOMINATOR + 1):
        for numerator in range(denominator + 1, _LARGEST_FACTOR * denominator + 1):
            exact = (side * denominator / numerator for side in calibrated)
            if all(abs(side - there) < 1 for side, there in zip(exact, stored, strict=True)):
                return numerator / denominator
    return None


def _is_of(image: CameraImage, camera: Camera) -> bool:
    """Tell whether an image is of the camera, and has no calibration of its own."""
    if image.camera is camera:
        return True
    return image.camera.name == camera.name and image.camera.intrinsics == camera.intrinsics


def _size_of(intrinsics: Intrinsics) -> Size | None:
    if intrinsics.width is None or intrinsics.height is None:
        return None
    return intrinsics.width, intrinsics.height


def _first_header(images: Sequence[CameraImage]) -> ImageHeader | None:
    for image in images:
        try:
            if image.content is not None:
                return read_header(image.content())
            if image.path is not None:
                return read_file_header(image.path)
        except (BadImageError, FormatError):
            continue  # the checks name it
    return None
