"""Results fetched, and brought back to the recording's own points and coordinates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lidarprep.errors import FormatError, ParameterError, RecipeError, StorageError, place_name
from lidarprep.labels import scale
from lidarprep.scene import LabelledFrame, Labels, LabelsFrame, PointLabels, Pose
from lidarprep.storage import Manifest, StorageOptions, Store, kept_points, load_manifest, store_of
from lidarprep.storage.manifest import FrameRecord
from lidarprep.storage.store import in_threads

if TYPE_CHECKING:
    from lidarprep.api import ScaleClient, Task

# Which of a task's metadata says what it was made of, as `submit` writes it: {"manifest": URL, "fingerprint": …}.
METADATA_KEY = "lidarprep"

# Objects of kept points that are read at once.
_READ_AT_ONCE = 16


def results(
    task: Task | str,
    manifest: Manifest | str | None = None,
    *,
    client: ScaleClient,
    frame: LabelsFrame = "world",
    storage: StorageOptions | None = None,
) -> Labels:
    """Fetch the result of a completed task, and bring it back to the recording.

    Args:
        task: The task, or its id. It is retrieved again, since links to results expire.
        manifest: What `prepare` stored for it, or where that is. By default the task's metadata says it, as `submit`
            has written it.
        client: Where the task is.
        frame: "world": the recording's own world, the world offset undone; "ego": the device at each frame's pose;
            "attachment": as Scale had it. Labels of points are of all points of the recording, or for "attachment" of
            the attachment's.
        storage: How the manifest's store is reached.

    Returns:
        Cuboids, boxes of linking, top-down shapes, labels of points: what the task has. Conventions: see
        `lidarprep.scene.labels`. Points that preparation dropped have label 0; those that share a voxel with a kept
        one have its label.

    Raises:
        ParameterError: The task is not completed, or has no labels that are known.
        RecipeError: Which manifest it is of is not known, and needed.
        FormatError: The result is not as published, or does not fit the manifest.
        SceneError: "ego" is asked for, and a frame has no pose.
        ApiError, StorageError: It could not be fetched.
    """
    return fetch(task, manifest, client=client, frame=frame, storage=storage).labels


@dataclass(frozen=True)
class TaskLabels:
    """The labels of a task.

    Args:
        task: The task, as it is now.
        labels: Its labels.
        manifest: What it was made of; None where that is not known, and not needed.
    """

    task: Task
    labels: Labels
    manifest: Manifest | None


def fetch(
    task: Task | str,
    manifest: Manifest | str | None,
    *,
    client: ScaleClient,
    frame: LabelsFrame,
    storage: StorageOptions | None = None,
) -> TaskLabels:
    """Fetch as `results` does, and return task and manifest, too."""
    current, files = client.response_files(task)
    found = _manifest_of(current, manifest, storage)
    labels = _Reader(current, files, found, storage).read(frame)
    return TaskLabels(current, labels, found)


def _manifest_of(task: Task, given: Manifest | str | None, storage: StorageOptions | None) -> Manifest | None:
    """Return the manifest that is given, or that the task's metadata names; None if none is.

    Raises:
        RecipeError: What is there is another run's by now.
    """
    if isinstance(given, Manifest):
        return given
    if given is not None:
        return load_manifest(given, storage)
    said = task.metadata.get(METADATA_KEY)
    location = said.get("manifest") if isinstance(said, Mapping) else None
    if not isinstance(location, str):
        return None
    moved = f"Name the manifest where it is now: --manifest (manifest=), it was {place_name(location)}."
    try:
        manifest = load_manifest(location, storage)
    except (FormatError, StorageError) as error:
        raise type(error)(**_of_error(error), fix=moved) from error
    fingerprint = said.get("fingerprint") if isinstance(said, Mapping) else None
    if fingerprint is not None and manifest.fingerprint is not None and fingerprint != manifest.fingerprint:
        raise RecipeError(
            f"{place_name(location)} is another run's by now, and task {task.id} was made of an earlier one",
            fix="Name a copy of the manifest that it was made of: --manifest (manifest=).",
        )
    return manifest


def _of_error(error: FormatError | StorageError) -> dict[str, Any]:
    if isinstance(error, FormatError):
        return {"path": error.path, "place": error.place, "found": error.found, "expected": error.expected}
    return {"message": error.message}


class _Reader:
    """Reads what a task's response holds and links to."""

    def __init__(
        self, task: Task, files: dict[str, bytes], manifest: Manifest | None, storage: StorageOptions | None
    ) -> None:
        self.task = task
        self.files = files
        self.manifest = manifest
        self.storage = storage
        self.frames: list[LabelledFrame] = [] if manifest is None else [_labelled(one) for one in manifest.frames]

    def read(self, frame: LabelsFrame) -> Labels:
        """Read all kinds of labels that are there, in a frame of reference."""
        source = f"task {self.task.id}"
        found: dict[str, Any] = {}
        response = self.task.response or {}
        notes: tuple[str, ...] = ()
        if scene := next((name for name, content in self.files.items() if content.find(b"\0") >= 0), None):
            of_scene = self._scene(self.files.pop(scene), frame, f"{source}, {scene}")
            found |= {"cuboids": of_scene.cuboids, "points": of_scene.points}
            notes = of_scene.notes
        annotations = self._parsed("annotations", source)
        if self.task.type == "lidartopdown" and isinstance(annotations, list):
            found["shapes"] = scale.shapes(annotations, f"{source}, annotations")
        elif isinstance(annotations, list):
            is_linking = any(isinstance(one, dict) and "camera_responses" in one for one in annotations)
            rows = self._rows(len(annotations), "annotations")
            if is_linking:
                found["boxes"] = scale.linked_boxes(annotations, rows, f"{source}, annotations")
            else:
                found["cuboids"] = scale.cuboids(annotations, rows, f"{source}, annotations")
        # Labels of points last: their text is the largest, and is freed before they are carried back.
        if "point_segmentations" in self.files:
            found["points"] = self._points(frame, f"{source}, point_segmentations")
        if not found:
            raise ParameterError(
                f"the response of task {self.task.id} ({self.task.type}) holds no labels that are known: "
                f"{', '.join(response) or 'it is empty'}",
                fix="Read the task's `response` for what it does hold.",
            )
        needs_manifest = frame != "attachment" and not {"cuboids", "shapes", "points"}.isdisjoint(found)
        if self.manifest is None and needs_manifest:
            raise RecipeError(
                f"task {self.task.id} does not say which manifest it is of, so its labels can only be had as in the "
                "attachments",
                fix="Name the manifest: --manifest (manifest=); or take them with --frame attachment.",
            )
        offset = (0.0, 0.0, 0.0) if self.manifest is None else self.manifest.world_offset
        labels = Labels(tuple(self.frames), frame="attachment", world_offset=offset, notes=notes, **found)
        return labels.in_frame(frame)

    def _parsed(self, name: str, source: str) -> Any:
        """Return a part of the response, or the file that it links to, parsed; None if there is neither."""
        if name in self.files:
            return scale.read_json(self.files.pop(name), f"{source}, {name}")
        return (self.task.response or {}).get(name)

    def _rows(self, count: int, what: str) -> list[int]:
        """Return the row in `frames` of each frame of a result.

        Raises:
            FormatError: Its frames are neither all of the manifest's, nor those that were to be labelled.
        """
        if self.manifest is None:
            self.frames += [LabelledFrame(str(row), row) for row in range(len(self.frames), count)]
            return list(range(count))
        chosen = self.task.params.get("lidar_task_frames")
        labelled = [row for row, one in enumerate(self.manifest.frames) if one.labelled]
        if count == len(self.frames):
            return list(range(count))
        if isinstance(chosen, list) and len(chosen) == count and all(_is_row(one, self.frames) for one in chosen):
            return chosen
        if count == len(labelled):
            return labelled
        raise FormatError(
            f"task {self.task.id}, {what}",
            found=f"{count} frames",
            expected=f"{len(self.frames)}, as {place_name(self.manifest.location)} has, or the {len(labelled)} "
            "of them that are labelled",
            fix="Is it the manifest that the task was made of? Name it with --manifest (manifest=).",
        )

    def _scene(self, content: bytes, frame: LabelsFrame, source: str) -> Labels:
        """Read a result that is a Sensor Fusion Scene with annotations: JSON has no zero byte, and such a file has.

        ASSUMED: the reference does not print this result; Scale's own library of scenes reads such files.
        """
        from lidarprep.attachments import SceneFormat, get_format

        scene_format = get_format("sfs")
        assert isinstance(scene_format, SceneFormat)  # noqa: S101
        labels = scene_format.read_annotations(content, source=source)
        rows = self._rows(len(labels.frames), "the scene")
        cuboids, points = labels.cuboids, labels.points
        if cuboids is not None and len(cuboids):
            cuboids = replace(cuboids, frame=np.array(rows, dtype=np.int64)[cuboids.frame])
        if points is None:
            return replace(labels, cuboids=cuboids)
        frames = scene_format.decode(content, source=source).frames
        listed: list[NDArray[Any]] = []
        for row, values in enumerate(points.values):
            device = None if values is None else frames[row].points().device
            if device is not None and len(device) and (device != device[0]).any():
                note = "labels of the points of a scene of several lidars are left out: their order is not recorded"
                return replace(labels, cuboids=cuboids, points=None, notes=(*labels.notes, note))
            listed.append(np.zeros(0, dtype=np.uint32) if values is None else values)
        carried = self._carried(points.index, points.label, points.instance, listed, rows, frame, source)
        return replace(labels, cuboids=cuboids, points=carried)

    def _points(self, frame: LabelsFrame, source: str) -> PointLabels:
        """Read labels of points."""
        index, label, instance, listed = scale.point_labels(self.files.pop("point_segmentations"), source)
        rows = self._rows(len(listed), "point_segmentations")
        return self._carried(index, label, instance, listed, rows, frame, source)

    def _carried(
        self,
        index: NDArray[np.uint32],
        label: NDArray[np.object_],
        instance: NDArray[np.bool_],
        listed: list[NDArray[Any]],
        rows: Sequence[int],
        frame: LabelsFrame,
        source: str,
    ) -> PointLabels:
        """Return labels of all of the recording's points, unless they are wanted as in the attachments."""
        values: list[NDArray[Any] | None] = [None] * len(self.frames)
        if self.manifest is None:
            return PointLabels(index, label, instance, tuple(one.astype(np.uint32) for one in listed))
        for row, of_frame in zip(rows, listed, strict=True):
            record = self.manifest.frames[row]
            if len(of_frame) == record.points_out:
                values[row] = of_frame
            elif len(of_frame):  # none: the frame is not labelled
                raise FormatError(
                    source,
                    place=f"frame {record.id}",
                    found=f"labels of {len(of_frame)} points",
                    expected=f"{record.points_out}, as its attachment has",
                )
        listed.clear()  # each frame's are freed once they are carried
        if frame != "attachment":
            wanted = [row for row, of_frame in enumerate(values) if of_frame is not None]
            with closing(store_of(self.manifest, self.storage)) as store:
                for _ in in_threads(partial(_carry, self.manifest, store, values), wanted, _READ_AT_ONCE):
                    pass
        else:
            values = [None if of_frame is None else of_frame.astype(np.uint32) for of_frame in values]
        return PointLabels(index, label, instance, tuple(values))


def _carry(manifest: Manifest, store: Store, values: list[NDArray[Any] | None], row: int) -> None:
    """Put labels of all points of a frame in the recording in the place of those of its attachment's points.

    Raises:
        StorageError: The record of kept points is gone.
    """
    record, of_frame = manifest.frames[row], values[row]
    if of_frame is None:
        return
    if record.kept is None:
        values[row] = of_frame.astype(np.uint32)
        return
    name = f"{place_name(store.location(record.kept.key))}"
    data = store.get(record.kept.key)
    if data is None:
        raise StorageError(
            f"{name} is gone: it says which points frame {record.id} has kept",
            fix="Restore it: lidarprep verify MANIFEST --repair RECORDING; or take the labels with --frame attachment.",
        )
    if sha256(data).hexdigest() != record.kept.sha256:
        raise StorageError(f"{name} is not what the manifest says: its SHA-256 differs", fix="Repair it, as above.")
    values[row] = kept_points.decode(data, record.points_in, source=name).carry(of_frame, record.points_in)


def _labelled(record: FrameRecord) -> LabelledFrame:
    pose = record.world_from_ego
    return LabelledFrame(
        record.id,
        record.index,
        record.timestamp,
        None if pose is None else Pose.from_quaternion(pose.quaternion, pose.translation),
    )


def _is_row(value: Any, frames: Sequence[LabelledFrame]) -> bool:
    return type(value) is int and 0 <= value < len(frames)


# ---- files ---------------------------------------------------------------------------------------------------------
