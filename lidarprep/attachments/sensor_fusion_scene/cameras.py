"""Cameras of a scene: distortion as a list of parameters, and the pictures' bytes, which a scene holds itself."""

from __future__ import annotations

from io import BytesIO
from typing import Any, BinaryIO, cast, get_args

from lidarprep.errors import EncodingError, FormatError, LidarprepError
from lidarprep.scene import CameraImage, CameraModel, Distortion, Intrinsics

# The order in which a scene lists each model's parameters.
DISTORTION_PARAMETERS: dict[CameraModel, tuple[str, ...]] = {
    "brown_conrady": ("k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6", "lx", "ly"),
    "fisheye": ("k1", "k2", "k3", "k4"),
    "omnidirectional": ("k1", "k2", "k3", "k4", "p1", "p2", "xi", "lx", "ly"),
    "cylindrical": (),
    "equirectangular": (),
}


def describe_intrinsics(image: CameraImage, size: tuple[int, int]) -> dict[str, Any]:
    """A picture's intrinsics as a scene writes them; `size` is its width and height in pixels.

    Skew has no place in a scene. Neither has `scale_factor`: a picture that was shrunk since its calibration gets
    the intrinsics of the small picture.
    """
    intrinsics, shrunk = image.camera.intrinsics, image.scale_factor
    distortion = None
    if intrinsics.model != "brown_conrady" or intrinsics.distortion.nonzero():
        names = DISTORTION_PARAMETERS[intrinsics.model]
        distortion = {
            "model": intrinsics.model,
            "params": [float(getattr(intrinsics.distortion, name)) for name in names],
        }
    width, height = size
    return {
        "fx": float(intrinsics.fx / shrunk),
        "fy": float(intrinsics.fy / shrunk),
        "cx": float(intrinsics.cx / shrunk),
        "cy": float(intrinsics.cy / shrunk),
        "width": width,
        "height": height,
        "distortion": distortion,
    }


def is_known_model(model: Any) -> bool:
    """Whether that is a camera model of ours; a scene may name others."""
    return isinstance(model, str) and model in get_args(CameraModel)


def intrinsics_from(numbers: dict[str, float], size: tuple[int, int], model: str, params: list[float]) -> Intrinsics:
    """Intrinsics from fx, fy, cx, cy, the picture's width and height, and a model's parameters in a scene's order.

    Raises:
        SceneError: A number is not what a camera has.
    """
    known = cast(CameraModel, model)
    distortion = Distortion(**dict(zip(DISTORTION_PARAMETERS[known], params, strict=False)))
    width, height = size
    return Intrinsics(**numbers, model=known, distortion=distortion, width=width, height=height)


def open_picture(image: CameraImage, frame_id: str) -> BinaryIO:
    """The encoded bytes of a picture, as an open file.

    Raises:
        EncodingError: There are none.
        FormatError: The file cannot be read.
    """
    if image.content is not None:
        return BytesIO(image.content())
    if image.path is None:
        raise EncodingError(
            f"frame {frame_id}: the picture of {image.camera.name} has no file, and a Sensor Fusion Scene holds the "
            "picture itself",
            fix="Download it first, or leave the pictures out.",
        )
    try:
        return image.path.open("rb")
    except OSError as error:
        raise FormatError(image.path, found=f"the file cannot be read ({error.strerror or error})") from error


def picture_size(file: BinaryIO, image: CameraImage, frame_id: str) -> tuple[int, int]:
    """Width and height in pixels, from the picture's header; leaves `file` at its start.

    Raises:
        FormatError: It is neither a JPEG nor a PNG.
    """
    from PIL import Image  # only writing needs it

    try:
        # Whatever a name or a link in a recording says, nothing but what a camera writes is published.
        with Image.open(file, formats=("JPEG", "PNG")) as picture:
            size = picture.size
            file.seek(0)
            return size
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise _no_picture(image, frame_id, error) from error


def _no_picture(image: CameraImage, frame_id: str, error: Exception) -> LidarprepError:
    where = image.path or image.url or f"frame {frame_id}, {image.camera.name}"
    return FormatError(where, found=f"no picture ({error})"[:200], expected="an encoded picture, JPEG or PNG")
