"""Results written as files, in a folder that knows which of its files are its own."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lidarprep.errors import RecipeError, StorageError, place_name
from lidarprep.results._fetch import TaskLabels, fetch
from lidarprep.scene import Labels, LabelsFrame
from lidarprep.storage import Manifest, StorageOptions, store_of
from lidarprep.storage.files import move, temporary_name, write_new
from lidarprep.storage.keys import KeyMaker

if TYPE_CHECKING:
    from lidarprep.api import ScaleClient, Task
    from lidarprep.labels.kitti import LabelCamera

FORMATS = ("json", "parquet", "csv", "kitti", "nuscenes", "openlabel", "semantickitti")


# What one call has written to a folder: the files' SHA-256, by which a later call knows them as its own.
RECEIPT = "results.json"


@dataclass(frozen=True)
class WrittenResults:
    """What was written.

    Args:
        task: The task.
        labels: Its labels.
        folder: Where.
        files: Names of all files, relative to the folder.
        written: Those of them that were not there yet with the same content.
    """

    task: Task
    labels: Labels
    folder: Path
    files: tuple[str, ...]
    written: tuple[str, ...]


def write_results(
    task: Task | str,
    out: str | os.PathLike[str],
    manifest: Manifest | str | None = None,
    *,
    client: ScaleClient,
    format: str = "json",
    frame: LabelsFrame = "world",
    storage: StorageOptions | None = None,
    overwrite: bool = False,
) -> WrittenResults:
    """Fetch the result of a task as `results` does, and write it to a folder.

    The same call again writes what is missing. Files of an earlier call are replaced where the result has changed;
    other files never are.

    Args:
        task, manifest, client, frame, storage: As of `results`.
        out: The folder; it is made.
        format: One of FORMATS.
        overwrite: Whether to replace files that are of another origin.

    Raises:
        RecipeError: A file is there that no earlier call has written; the format cannot hold the frame of reference.
        EncodingError: The format cannot hold a value.
        MissingExtraError: It needs a library that is not installed.
        StorageError: The folder cannot be written to.
        LidarprepError: As `results`.
    """
    if format not in FORMATS:
        raise RecipeError(f"there is no format {format!r}", fix=f"Known are {', '.join(FORMATS)}.")
    fetched = fetch(task, manifest, client=client, frame=frame, storage=storage)
    folder = Path(out)
    about = {
        "task": fetched.task.id,
        "manifest": None if fetched.manifest is None else fetched.manifest.location,
        "format": format,
        "frame": frame,
    }
    files = files_of(fetched, format, storage)
    names, written = _write(folder, files, about, overwrite=overwrite)
    return WrittenResults(fetched.task, fetched.labels, folder, tuple(names), tuple(written))


def files_of(fetched: TaskLabels, format: str, storage: StorageOptions | None) -> Iterator[tuple[str, bytes]]:
    """Yield the files of a format: name and content."""
    from lidarprep.labels import kitti, nuscenes, openlabel, points, tables

    labels = fetched.labels
    numbered = format in ("kitti", "semantickitti")
    names = _names([one.id for one in labels.frames], numbered=numbered)
    tabular: dict[str, Callable[[Labels], Iterator[tuple[str, bytes]]]] = {
        "json": tables.write_json,
        "csv": tables.write_csv,
        "parquet": tables.write_parquet,
    }
    if format in tabular:
        yield from tabular[format](labels)
        yield from points.write_npy(labels, names)
    elif format == "semantickitti":
        yield from points.write_semantickitti(labels, names)
    elif format == "nuscenes":
        yield from nuscenes.write_nuscenes(labels, names, f"task-{fetched.task.id}")
    elif format == "openlabel":
        yield from openlabel.write_openlabel(labels)
    else:
        yield from kitti.write_kitti(labels, names, _label_camera(fetched.manifest, storage))


def _names(ids: Sequence[str], *, numbered: bool) -> list[str]:
    """Return the stems of frames' files; `numbered`: of six digits where their ids are numbers, as KITTI's are."""
    if numbered and all(re.fullmatch("[0-9]{1,6}", one) for one in ids) and len({int(one) for one in ids}) == len(ids):
        return [f"{int(one):06}" for one in ids]
    keys = KeyMaker()
    return [keys.stem(one) for one in ids]


def _label_camera(manifest: Manifest | None, storage: StorageOptions | None) -> LabelCamera:
    """Return the first camera of the first attachment that has one; one without images that looks ahead, if none has.

    Raises:
        StorageError: The attachment cannot be read.
    """
    from lidarprep.attachments import FrameFormat, get_format
    from lidarprep.labels.kitti import LabelCamera
    from lidarprep.storage.content import decompressed

    attachment_format = None if manifest is None else get_format(manifest.format)
    if manifest is None or not isinstance(attachment_format, FrameFormat) or not manifest.attachments:
        return LabelCamera.ahead()
    key, record = manifest.objects()[0]
    with closing(store_of(manifest, storage)) as store:
        data = store.get(key)
        if data is None:
            raise StorageError(f"{place_name(store.location(key))} is gone: the cameras' calibration is in it")
    frame = attachment_format.decode(decompressed(data, key) if manifest.is_compressed(record) else data)
    image = min(frame.images, key=lambda one: one.camera.index, default=None)
    if image is None or image.world_from_camera is None or frame.world_from_ego is None:
        return LabelCamera.ahead()
    lens = image.camera.intrinsics
    shrunk = image.scale_factor
    matrix = np.array([[lens.fx, lens.skew, lens.cx], [0.0, lens.fy, lens.cy], [0.0, 0.0, shrunk]]) / shrunk
    size = None if lens.width is None or lens.height is None else (lens.width, lens.height)
    return LabelCamera(image.world_from_camera.inverse() @ frame.world_from_ego, matrix, size)


def _write(
    folder: Path, files: Iterator[tuple[str, bytes]], about: Mapping[str, Any], *, overwrite: bool
) -> tuple[list[str], list[str]]:
    """Write files that are not there yet, and the receipt; return all names, and those that were written."""
    receipt = folder / RECEIPT
    own = _read_receipt(receipt)
    digests: dict[str, str] = {}
    written: list[str] = []
    try:
        for name, content in files:
            digests[name] = sha256(content).hexdigest()
            path = folder / name
            there = _digest(path)
            if there == digests[name]:
                continue
            if there is not None and there != own.get(name) and not overwrite:
                raise RecipeError(
                    f"{path} is there, and is no file that an earlier call has written",
                    fix="Choose another folder, or replace it with --overwrite (overwrite=True).",
                )
            _replace(path, content)
            written.append(name)
        text = json.dumps({**about, "files": digests}, indent=2).encode() + b"\n"
        if _digest(receipt) != sha256(text).hexdigest():
            _replace(receipt, text)
    except OSError as error:
        raise StorageError(f"{error.filename or folder} cannot be written ({error.strerror or error})") from error
    return list(digests), written


def _read_receipt(path: Path) -> dict[str, str]:
    """Return the digests of the files that an earlier call has written.

    Raises:
        RecipeError: There is a file of that name that is no receipt.
    """
    try:
        content = json.loads(path.read_bytes())
        found: dict[str, str] = {str(name): str(digest) for name, digest in content["files"].items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise RecipeError(
            f"{path} is not what an earlier call has written", fix="Choose another folder for the results."
        ) from None
    return found


def _digest(path: Path) -> str | None:
    try:
        return sha256(path.read_bytes()).hexdigest()
    except FileNotFoundError:
        return None


def _replace(path: Path, content: bytes) -> None:
    """Write a file whole: under a temporary name, then renamed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_name(path)
    write_new(temporary, content, durable=False)
    move(temporary, path)
