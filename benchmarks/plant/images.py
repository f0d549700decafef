"""Faults of images, planted into a copy of a toolkit folder; each function changes the folder and returns the code."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

Plant = Callable[[Path, str], str]


def camera_names(folder: Path) -> list[str]:
    """The cameras of a toolkit folder."""
    return sorted(entry.name for entry in (folder / "cameras").iterdir() if entry.is_dir())


def _images(folder: Path, camera: str) -> list[Path]:
    files = [file for file in (folder / "cameras" / camera).iterdir() if file.suffix in (".jpg", ".jpeg", ".png")]
    return sorted(files, key=lambda file: int(file.stem))


def _intrinsics(folder: Path, camera: str, change: Callable[[dict[str, float]], dict[str, float]]) -> None:
    file = folder / "cameras" / camera / "intrinsics.json"
    read: dict[str, Any] = json.loads(file.read_text())
    values = {key: value[0] if isinstance(value, list) else value for key, value in read.items()}
    file.write_text(json.dumps(values | change(values)))


def _size(folder: Path, camera: str) -> tuple[int, int]:
    with Image.open(_images(folder, camera)[0]) as image:
        return image.size


def cut_image(folder: Path, camera: str) -> str:
    """Cut the middle image of a camera in half."""
    files = _images(folder, camera)
    middle = files[len(files) // 2]
    data = middle.read_bytes()
    middle.unlink()  # it may be a link to the original
    middle.write_bytes(data[: len(data) // 2])
    return "image-unreadable"


def empty_image(folder: Path, camera: str) -> str:
    """Empty the first image of a camera."""
    first = _images(folder, camera)[0]
    first.unlink()
    first.write_bytes(b"")
    return "image-unreadable"


def calibration_of_another_size(folder: Path, camera: str, factor: float = 2.0) -> str:
    """Give the intrinsics of images that are `factor` times as large, without saying their size."""
    _intrinsics(folder, camera, lambda had: {key: had[key] * factor for key in ("fx", "fy", "cx", "cy")})
    return "principal-point"


def calibration_of_another_shape(folder: Path, camera: str) -> str:
    """Say that the calibration is for images of 4:3."""
    width, _ = _size(folder, camera)
    _intrinsics(folder, camera, lambda _: {"width": width, "height": width * 3 // 4 + 1})
    return "image-size"


def one_image_smaller(folder: Path, camera: str) -> str:
    """Shrink the last image of a camera to half of its size."""
    last = _images(folder, camera)[-1]
    with Image.open(last) as image:
        small = image.resize((image.width // 2, image.height // 2))
    last.unlink()
    small.save(last)
    return "image-sizes-differ"


def exif_turned(folder: Path, camera: str) -> str:
    """Say in the EXIF data of all images of a camera that they are to be turned by 90°."""
    for file in _images(folder, camera):
        with Image.open(file) as image:
            image.load()
            exif = Image.Exif()
            exif[0x0112] = 6
            file.unlink()
            image.save(file, exif=exif)
    return "image-orientation"


def lost_decimal(folder: Path, camera: str) -> str:
    """Give focal lengths of a hundredth."""
    _intrinsics(folder, camera, lambda had: {"fx": had["fx"] / 100, "fy": had["fy"] / 100})
    return "field-of-view"


def stretched(folder: Path, camera: str) -> str:
    """Give an fy that is a third larger than fx."""
    _intrinsics(folder, camera, lambda had: {"fy": had["fx"] * 1.35})
    return "focal-lengths-differ"


def swapped_centre(folder: Path, camera: str) -> str:
    """Swap cx and cy."""
    _intrinsics(folder, camera, lambda had: {"cx": had["cy"], "cy": had["cx"]})
    return "principal-point"


PLANTS: tuple[Plant, ...] = (
    cut_image,
    empty_image,
    calibration_of_another_size,
    calibration_of_another_shape,
    one_image_smaller,
    exif_turned,
    lost_decimal,
    stretched,
    swapped_centre,
)
