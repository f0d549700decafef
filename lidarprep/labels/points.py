"""Labels of points as files, one for each labelled frame, in the order of the frame's points.

- NPY: (N,) uint32 numbers of objects; objects.json, .csv or .parquet says what each is.
- SemanticKITTI's .label: (N,) little-endian uint32, the class in the lower 16 bits, the instance in the upper ones.
- nuScenes-lidarseg's .bin: (N,) uint8 classes.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from lidarprep.errors import EncodingError, SceneError
from lidarprep.scene import Labels, PointLabels

NO_LABEL = "unlabeled"


def write_npy(labels: Labels, names: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    """Yield points/NAME.npy for each labelled frame; nothing where no points are labelled."""
    if labels.points is None:
        return
    for name, values in zip(names, labels.points.values, strict=True):
        if values is not None:
            out = io.BytesIO()
            np.save(out, values)
            yield f"points/{name}.npy", out.getvalue()


def write_semantickitti(labels: Labels, names: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    """Yield labels/NAME.label for each labelled frame, and semantic-kitti.yaml with the classes' names.

    Raises:
        SceneError: There are no labels of points.
        EncodingError: There are more classes or objects than 16 bits hold.
    """
    points = _required(labels)
    classes = class_names(points)
    class_of = np.array([classes.index(label) for label in points.label], dtype=np.int64)
    if len(classes) > 2**16 or (points.instance.any() and int(points.index[points.instance].max()) >= 2**16):
        raise EncodingError("a .label file holds 65,535 classes and instances; there are more")
    packed = class_of | np.where(points.instance, points.index.astype(np.int64) << 16, 0)
    for name, values in zip(names, points.values, strict=True):
        if values is not None:
            yield f"labels/{name}.label", _mapped(points, packed.astype("<u4"), values).tobytes()
    listed = "".join(f"  {number}: {_quoted(name)}\n" for number, name in enumerate(classes))
    yield "semantic-kitti.yaml", f"labels:\n{listed}".encode()


def lidarseg_bytes(points: PointLabels, classes: Sequence[str], values: NDArray[np.uint32]) -> bytes:
    """Return a frame's classes as nuScenes-lidarseg has them; class 0 is what has no label.

    Raises:
        EncodingError: There are more than 255 classes.
    """
    if len(classes) > 256:
        raise EncodingError(f"a lidarseg file holds 255 classes; there are {len(classes) - 1}")
    class_of = np.array([classes.index(label) for label in points.label], dtype=np.uint8)
    return _mapped(points, class_of, values).tobytes()


def class_names(points: PointLabels) -> list[str]:
    """Return the classes' names in the order of their first objects, behind NO_LABEL."""
    return [NO_LABEL, *dict.fromkeys(label for label in points.label.tolist() if label != NO_LABEL)]


def _mapped(points: PointLabels, of_object: NDArray[np.generic], values: NDArray[np.uint32]) -> NDArray[np.generic]:
    """Return for each point a value of its object; 0 for none."""
    table = np.zeros(max(int(points.index.max(initial=0)), int(values.max(initial=0))) + 1, dtype=of_object.dtype)
    table[points.index] = of_object
    table[0] = 0
    return table[values]


def _required(labels: Labels) -> PointLabels:
    if labels.points is None:
        raise SceneError("this task has no labels of points", fix="Choose a format of cuboids: json, csv, kitti, …")
    return labels.points


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
