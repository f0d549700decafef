"""Sizes of images, by the header of one image of each calibration, for all layouts.

A calibration that leaves the size out gets that of the images: without it, nobody knows what falls into an image.
Where a calibration is for larger images, and both sides were divided by the same simple fraction, the images were
shrunk since: they get that fraction as their `scale_factor`. Any other difference is left to the checks.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache

from lidarprep._images import BadImageError, ImageHeader, read_file_header, read_header
from lidarprep.errors import FormatError
from lidarprep.scene import Camera, CameraImage, Intrinsics, Scene

# Images of a calibration that are looked at until one has a header.
_TRIED = 3

# Images are shrunk by such fractions: 5/4 is the smallest, 16 the largest.
_LARGEST_DENOMINATOR, _LARGEST_FACTOR = 4, 16

Size = tuple[int, int]  # width and height, pixels


def with_image_sizes(scene: Scene) -> Scene:
    """Return the recording with the sizes of its images in its calibrations, and with their scale factors.

    A camera may have several calibrations, such as one a drive: the images of each have a size of their own.
    """
    by_calibration: dict[tuple[str, Intrinsics], list[CameraImage]] = {}
    for frame in scene.frames:
        for image in frame.images:
            by_calibration.setdefault((image.camera.name, image.camera.intrinsics), []).append(image)
    sizes: dict[tuple[str, Intrinsics], Intrinsics] = {}
    factors: dict[tuple[str, Intrinsics], float] = {}
    notes: dict[str, None] = {}
    with ThreadPoolExecutor() as pool:  # in a store each takes a request, and each frame may have a calibration
        headers = list(pool.map(_first_header, (images[:_TRIED] for images in by_calibration.values())))
    for (key, images), header in zip(by_calibration.items(), headers, strict=True):
        name, intrinsics = key
        if header is None:
            continue
        calibrated = _size_of(intrinsics)
        if calibrated is None:
            width, height = (round(side * images[0].scale_factor) for side in header.size)
            sizes[key] = replace(intrinsics, width=width, height=height)
        elif (factor := shrunk_by(calibrated, header.size)) and all(image.scale_factor == 1 for image in images):
            factors[key] = factor
            note = (
                f"camera {name}: its images of {header.width} × {header.height} pixels are taken as shrunk "
                f"{factor:g} times since the calibration, which is for {calibrated[0]} × {calibrated[1]} (scale_factor)"
            )
            notes[note] = None
    if not sizes and not factors:
        return scene

    @cache
    def with_size(camera: Camera) -> Camera:
        found = sizes.get((camera.name, camera.intrinsics))
        return camera if found is None else replace(camera, intrinsics=found)

    def sized(image: CameraImage) -> CameraImage:
        factor = factors.get((image.camera.name, image.camera.intrinsics), image.scale_factor)
        return replace(image, camera=with_size(image.camera), scale_factor=factor)

    frames = tuple(
        replace(frame, images=tuple(map(sized, frame.images))) if frame.images else frame for frame in scene.frames
    )
    return replace(scene, frames=frames, cameras=tuple(map(with_size, scene.cameras)), notes=(*scene.notes, *notes))


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
