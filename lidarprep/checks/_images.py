"""Images: that cannot be decoded, of other sizes than their calibration or than one another, turned by their EXIF data.

And intrinsics that do not go with any image: the field of view, the principal point, the two focal lengths.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import atan, degrees

import numpy as np

from lidarprep._images import (
    MOST_PIXELS_A_SIDE,
    BadImageError,
    ImageHeader,
    read_file_header,
    read_header,
    require_whole,
)
from lidarprep.checks._samples import SceneSamples
from lidarprep.errors import FormatError
from lidarprep.scene import Camera, CameraImage, Finding, Frame, Intrinsics, Scene, Subject

# Images of a camera that are looked at, spread over the recording.
LOOKED_AT = 20

# No lens that is calibrated as a pinhole sees more; no camera on a vehicle sees less.
WIDEST_DEGREES, NARROWEST_DEGREES = 170.0, 3.0

# The principal point is at most this part of a side away from the centre.
OFF_CENTRE = 0.25

# Pixels are about square.
FOCAL_RATIO = 1.2

# A principal point at the same multiple of both halves, to this part of it, is that of an image of another size.
SAME_FACTOR, LEAST_FACTOR = 0.06, 1.3

Size = tuple[int, int]  # width and height, pixels


@dataclass(frozen=True)
class BadImage:
    """An image that cannot be used.

    Args:
        camera, frame: Names of its camera and its frame.
        file: Its path; "" where the recording holds it itself.
        error: What is wrong with it, as the rest of a sentence about it.
    """

    camera: str
    frame: str
    file: str
    error: str


def unreadable_images(bad: Sequence[BadImage], looked_at: int | None = None) -> list[Finding]:
    """Find images that cannot be decoded, a finding for each camera.

    Args:
        bad: They, in time order.
        looked_at: How many of a camera's images were looked at; None for all.
    """
    findings = []
    for camera in dict.fromkeys(image.camera for image in bad):
        of_camera = [image for image in bad if image.camera == camera]
        first = of_camera[0]
        count = f"{len(of_camera)} image{'s' if len(of_camera) > 1 else ''}"
        count += "" if looked_at is None else f" of the {looked_at} that were looked at"
        file = f" ({first.file})" if first.file else ""
        begin = "its image" if len(of_camera) == 1 else "the first"
        findings.append(
            Finding(
                "image-unreadable",
                f"camera {camera}: {count} cannot be decoded; {begin}, in frame {first.frame}{file}, {first.error}",
                "record or copy it again; prepare leaves such images out of their frames",
                subject=Subject("camera", camera),
                found=float(len(of_camera)),
                expected=0.0,
            )
        )
    return findings


def odd_images(samples: SceneSamples, *, decode: bool, unreadable: bool) -> list[Finding]:
    """Find what is odd about the images of each camera, by LOOKED_AT of them.

    Args:
        samples: The frames that are judged.
        decode: Whether whole images are read, or only their headers.
        unreadable: Whether images that cannot be decoded are findings.
    """
    by_camera: dict[str, list[tuple[Frame, CameraImage]]] = {camera.name: [] for camera in samples.scene.cameras}
    for frame in samples.frames:
        for image in frame.images:
            if image.content is not None or image.path is not None:
                by_camera.setdefault(image.camera.name, []).append((frame, image))
    findings: list[Finding] = []
    for name, images in by_camera.items():
        rows = np.unique(np.linspace(0, len(images) - 1, LOOKED_AT).round().astype(int)) if images else ()
        bad: list[BadImage] = []
        seen: list[_Seen] = []
        for frame, image in (images[row] for row in rows):
            try:
                seen.append(_Seen(frame, image, header_of(image, decode=decode and unreadable)))
            except BadImageError as error:
                bad.append(BadImage(name, frame.id, "" if image.path is None else str(image.path), str(error)))
        if unreadable:
            findings += unreadable_images(bad, len(rows))
        if seen:
            findings += _odd_headers(name, seen)
    return findings


@dataclass(frozen=True)
class _Seen:
    frame: Frame
    image: CameraImage
    header: ImageHeader


def header_of(image: CameraImage, *, decode: bool = False) -> ImageHeader:
    """Read the header of an image; `decode`: and check that all of it is there.

    Raises:
        BadImageError: It cannot be used; also if only its URL is known.
    """
    if image.path is not None and image.content is None and not decode:
        return read_file_header(image.path)
    data = encoded_bytes(image)
    return require_whole(data) if decode else read_header(data)


def encoded_bytes(image: CameraImage) -> bytes:
    """Read an image as it is encoded; b"" if only its URL is known.

    Raises:
        BadImageError: It cannot be read.
    """
    try:
        if image.content is not None:
            return image.content()
        return b"" if image.path is None else image.path.read_bytes()
    except OSError as error:
        raise BadImageError(f"cannot be read ({error.strerror or error})") from error
    except FormatError as error:
        raise BadImageError(f"cannot be read: {error.message}") from error


def _odd_headers(camera: str, seen: Sequence[_Seen]) -> list[Finding]:
    subject = Subject("camera", camera)
    findings = []
    sizes = Counter(one.header.size for one in seen)
    usual, _ = sizes.most_common(1)[0]
    if len(sizes) > 1:
        other = next(one for one in seen if one.header.size != usual)
        counts = ", ".join(f"{count} of {_text(size)}" for size, count in sizes.most_common())
        findings.append(
            Finding(
                "image-sizes-differ",
                f"camera {camera}: its images differ in size: {counts} pixels among {len(seen)} that were looked at; "
                f"frame {other.frame.id} has one of the others",
                "give images of one size: a camera has one calibration",
                subject=subject,
                found=_text(other.header.size),
                expected=_text(usual),
            )
        )
    findings += _other_size(camera, next(one for one in seen if one.header.size == usual))
    turned = [one for one in seen if one.header.orientation != 1]
    if turned:
        orientation = turned[0].header.orientation
        findings.append(
            Finding(
                "image-orientation",
                f"camera {camera}: {len(turned)} of {len(seen)} images that were looked at say in their EXIF data that "
                f"they are to be turned (orientation {orientation}); the pixels are stored as {_text(usual)}, and the "
                "intrinsics are applied to them as they are stored",
                "turn the pixels and take the orientation out of the EXIF data, or only that, whichever fits the "
                "calibration",
                subject=subject,
                found=float(orientation),
                expected=1.0,
            )
        )
    largest = max((one.header.size for one in seen), key=max)
    if max(largest) > MOST_PIXELS_A_SIDE:
        findings.append(
            Finding(
                "image-too-large",
                f"camera {camera}: an image has {_text(largest)} pixels; Scale takes {MOST_PIXELS_A_SIDE:,} a side",
                "shrink the images, and divide the intrinsics by as much",
                subject=subject,
                found=float(max(largest)),
                expected=f"at most {MOST_PIXELS_A_SIDE}",
            )
        )
    return findings


def _other_size(camera: str, one: _Seen) -> list[Finding]:
    """Find images of another size than the calibration is for."""
    intrinsics, factor = one.image.camera.intrinsics, one.image.scale_factor
    if intrinsics.width is None or intrinsics.height is None:
        return []
    calibrated = (intrinsics.width, intrinsics.height)
    if all(
        abs(there * factor - side) < max(1.0, factor) for there, side in zip(one.header.size, calibrated, strict=True)
    ):
        return []
    shrunk = f", shrunk {factor:g} times" if factor != 1 else ""
    return [
        Finding(
            "image-size",
            f"camera {camera}: its images have a size of {_text(one.header.size)} pixels{shrunk}, and its calibration "
            f"is for {_text(calibrated)}",
            "give the calibration of these images, or images of its size",
            subject=Subject("camera", camera),
            found=_text(one.header.size),
            expected=_text(calibrated),
        )
    ]


def _text(size: Size) -> str:
    return f"{size[0]} × {size[1]}"


# ---- intrinsics ------------------------------------------------------------------------------------------------------


def odd_intrinsics(scene: Scene) -> list[Finding]:
    """Find intrinsics that do not go with images of their size; none where the size is not known."""
    findings: list[Finding] = []
    for camera in scene.cameras:
        intrinsics = camera.intrinsics
        if intrinsics.width is None or intrinsics.height is None:
            continue
        size = (intrinsics.width, intrinsics.height)
        if intrinsics.model in ("brown_conrady", "fisheye", "omnidirectional"):
            findings += _odd_focal_lengths(camera)
        findings += _odd_field_of_view(camera, size)
        findings += _odd_principal_point(camera, size)
    return findings


def _odd_focal_lengths(camera: Camera) -> list[Finding]:
    fx, fy = camera.intrinsics.fx, camera.intrinsics.fy
    if max(fx, fy) <= FOCAL_RATIO * min(fx, fy):
        return []
    return [
        Finding(
            "focal-lengths-differ",
            f"camera {camera.name}: its focal lengths, fx {fx:g} and fy {fy:g} pixels, differ by more than "
            f"{FOCAL_RATIO - 1:.0%}",
            "check fx and fy; they are alike unless the images were stretched",
            subject=Subject("camera", camera.name),
            found=round(max(fx, fy) / min(fx, fy), 3),
            expected=f"at most {FOCAL_RATIO:g}",
        )
    ]


def _odd_field_of_view(camera: Camera, size: Size) -> list[Finding]:
    angle = _field_of_view(camera.intrinsics, size)
    widest = WIDEST_DEGREES if camera.intrinsics.model == "brown_conrady" else 360.0
    if angle is None or NARROWEST_DEGREES <= angle <= widest:
        return []
    return [
        Finding(
            "field-of-view",
            f"camera {camera.name}: its field of view is {angle:.1f}° across {size[0]} pixels, by fx = "
            f"{camera.intrinsics.fx:g}",
            "check fx and fy: they are in pixels of the image that the calibration is for",
            subject=Subject("camera", camera.name),
            found=round(angle, 1),
            expected=f"{NARROWEST_DEGREES:g}° to {widest:g}°",
        )
    ]


def _field_of_view(intrinsics: Intrinsics, size: Size) -> float | None:
    """Degrees across an image; None where the model's focal length does not say it."""
    if intrinsics.model == "brown_conrady":
        half = size[0] / 2  # about the centre: an odd principal point is a finding of its own
        return 2 * degrees(atan(half / intrinsics.fx))
    if intrinsics.model in ("fisheye", "cylindrical", "equirectangular"):
        return degrees(size[0] / intrinsics.fx)
    return None


def _odd_principal_point(camera: Camera, size: Size) -> list[Finding]:
    intrinsics = camera.intrinsics
    places = (intrinsics.cx / size[0], intrinsics.cy / size[1])
    if all(abs(place - 0.5) <= OFF_CENTRE for place in places):
        return []
    outside = not all(0 <= place <= 1 for place in places)
    factors = [2 * place for place in places]
    guess = ""
    if min(factors) > 0 and abs(factors[0] / factors[1] - 1) < SAME_FACTOR:
        factor = sum(factors) / 2
        if factor > LEAST_FACTOR or factor < 1 / LEAST_FACTOR:
            guess = f", as if the calibration were for images {factor:.2g} times as large"
    return [
        Finding(
            "principal-point",
            f"camera {camera.name}: its principal point ({intrinsics.cx:.1f}, {intrinsics.cy:.1f}) lies "
            f"{'outside' if outside else 'far from the centre of'} the image of {_text(size)} pixels{guess}",
            "check cx and cy, and the size of the images that the calibration is for",
            subject=Subject("camera", camera.name),
            found=f"({intrinsics.cx:.1f}, {intrinsics.cy:.1f})",
            expected=f"about ({size[0] / 2:.1f}, {size[1] / 2:.1f})",
        )
    ]
