"""Make results of tasks, in the labellers' place.

General tasks get the shapes of the reference's "Response on Callback" sections, lidar tasks those that Scale publishes
(_lidar_results.py). No shape of lidartopdown is published: its own is ASSUMED.
"""

from __future__ import annotations

import logging
import random
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import orjson

from lidarprep.errors import LidarprepError, StorageError
from lidarprep.sandbox._attachments import attachments_of
from lidarprep.sandbox._common import UnknownTaskError
from lidarprep.sandbox._lidar_results import (
    Sweep,
    cuboid_frames,
    invented_sweeps,
    linked_frames,
    read_sweeps,
    segmentation,
)
from lidarprep.sandbox._store import SandboxStore
from lidarprep.steps.sampling import labelled_rows

log = logging.getLogger(__name__)

# Publishes a file of these bytes, and returns its URL.
Publish = Callable[[bytes], str]


def fake_result(
    task: Mapping[str, Any], publish: Publish, store: SandboxStore | None = None, *, anywhere: bool = False
) -> dict[str, Any]:
    """Return an invented response for a task of this type; the same for the same task.

    Args:
        task: The task.
        publish: Publishes a file that the response links to.
        store: Has uploaded attachments, and the lidar task that a task is made of; without it no attachment is read.
        anywhere: Read attachments of other machines, too.
    """
    params, chance = task["params"], random.Random(task["task_id"])  # noqa: S311 — no secret
    match task["type"]:
        case "categorization":
            return _category(params)
        case "transcription" | "datacollection":
            return {"fields": _fields(params)}
        case "phonecall":
            return {"outcome": "success", **_choice_and_fields(params)}
        case "comparison":
            return _choice_and_fields(params)
        case "annotation":
            return {"annotations": _boxes(params, chance)}
        case "audiotranscription":
            return {"transcript": "This is a test response of the sandbox.", "duration": 2.5}
        case "lidartopdown":
            return {"annotations": _shapes(params, chance)}
        case "lidarannotation" | "lidarsegmentation" | "lidarlinking" | "multistage" | "sensorfusion":
            return _LidarResult(task, store, chance, anywhere).publish(publish)
    return {"annotations": []}


def _category(params: Mapping[str, Any]) -> dict[str, Any]:
    chosen = params["categories"][0]
    ids = [number for number, category in params.get("category_ids", {}).items() if category == chosen][:1]
    if params.get("allow_multiple"):
        return {"category": [chosen], **({"category_id": ids} if ids else {})}
    return {"category": chosen, **({"category_id": ids[0]} if ids else {})}


def _fields(params: Mapping[str, Any]) -> dict[str, str]:
    return {name: f"Test response: {description}" for name, description in params.get("fields", {}).items()}


def _choice_and_fields(params: Mapping[str, Any]) -> dict[str, Any]:
    response: dict[str, Any] = {}
    if params.get("choices"):
        response["choice"] = params["choices"][0]
    if params.get("fields"):
        response["fields"] = _fields(params)
    return response


def _boxes(params: Mapping[str, Any], chance: random.Random) -> list[dict[str, Any]]:
    boxes = []
    for name in params["objects_to_annotate"]:
        box: dict[str, Any] = {"left": chance.randrange(200), "top": chance.randrange(100)}
        box |= {"width": chance.randrange(10, 200), "height": chance.randrange(10, 100)}
        boxes.append({**box, "label": name} if params.get("with_labels") else box)
    return boxes


def _shapes(params: Mapping[str, Any], chance: random.Random) -> list[dict[str, Any]]:
    shapes = []
    region = params.get("region_of_interest_3d") or {}
    position = region.get("position") if isinstance(region, Mapping) else None
    centre = [float((position or {}).get(axis) or 0.0) for axis in "xy"]
    for geometry, options in (params.get("geometries") or {}).items():
        wanted = options.get("objects_to_annotate") if isinstance(options, dict) else None
        for label in label_names(wanted):
            x, y = (middle + chance.uniform(-20, 20) for middle in centre)
            corners = [(x, y), (x + 4, y), (x + 4, y + 2)][: {"point": 1, "line": 2}.get(geometry, 3)]
            vertices = [{"x": round(east, 3), "y": round(north, 3)} for east, north in corners]
            shapes.append({"uuid": _uuid(chance), "label": label, "type": geometry, "vertices": vertices})
    return shapes


class _LidarResult:
    """Makes the result of a lidar or scene task: of its attachments' points, or else of invented frames."""

    def __init__(
        self, task: Mapping[str, Any], store: SandboxStore | None, chance: random.Random, anywhere: bool
    ) -> None:
        self.task = task
        self.params = task["params"]
        self.store = store
        self.chance = chance
        self.anywhere = anywhere
        self.lidar_task = self._lidar_task()
        source = task if self.lidar_task is None else self.lidar_task
        self.source = source
        self.count = max(1, len(attachments_of(source)))

    def publish(self, publish: Publish) -> dict[str, Any]:
        """Return the response, and publish the file that it links to."""
        state = self.chance.getstate()
        try:
            if self.store is None:
                raise StorageError("there is no store")
            name, content = self._made(partial(read_sweeps, self.source, self.store.uploads, anywhere=self.anywhere))
        except (LidarprepError, OSError, ValueError, MemoryError) as error:
            problem = error.message if isinstance(error, LidarprepError) else error
            log.warning("task %s: its result is invented, as not all is readable: %s", self.task["task_id"], problem)
            self.chance.setstate(state)
            name, content = self._made(invented_sweeps)
        return {name: {"url": publish(content)}}

    def _made(self, sweeps: Callable[[Sequence[int]], Iterator[Sweep]]) -> tuple[str, bytes]:
        match self.task["type"]:
            case "lidarsegmentation":
                rows = self.params.get("lidar_task_frames") or range(self.count)
                labels = self.params.get("labels")
                return "point_segmentations", segmentation(sweeps(rows), label_names(labels), _instances(labels))
            case "lidarlinking":
                return "annotations", orjson.dumps(self._linked(sweeps))
        rows = labelled_rows(self.count, self.params.get("labeling_sample_rate") or 1)
        labels = label_names(self.params.get("labels")) or ["object"]
        found = cuboid_frames(sweeps(rows), self.params, labels, self.chance)
        if len(found) == len(rows):  # else they are a scene's
            found = _among(self.count, rows, found, {"cuboids": []})
        return "annotations", orjson.dumps(found)

    def _linked(self, sweeps: Callable[[Sequence[int]], Iterator[Sweep]]) -> list[dict[str, Any]]:
        """Return boxes in the frames that the lidar task labelled, as far as the sample rate takes them."""
        labelled = labelled_rows(self.count, self.source["params"].get("labeling_sample_rate") or 1)
        rows = [labelled[row] for row in labelled_rows(len(labelled), self.params.get("labeling_sample_rate") or 1)]
        cuboids = self._cuboids_of_lidar_task()
        frames = [cuboids[row] if row < len(cuboids) else {"cuboids": []} for row in rows]
        skipped, cameras = self.params.get("skip_labels") or (), self.params.get("camera_ids")
        found = linked_frames(sweeps(rows), frames, skipped, cameras)
        return _among(self.count, rows, found, {"camera_responses": []})

    def _lidar_task(self) -> dict[str, Any] | None:
        lidar_task = self.params.get("lidar_task")
        if lidar_task is None or self.store is None:
            return None
        try:
            return self.store.get(lidar_task)
        except UnknownTaskError:
            return None

    def _cuboids_of_lidar_task(self) -> list[dict[str, Any]]:
        """Return the lidar task's frames, where its result is a file of this sandbox."""
        response = (self.lidar_task or {}).get("response") or {}
        annotations = response.get("annotations")
        url = annotations.get("url") if isinstance(annotations, Mapping) else None
        if self.store is None or not isinstance(url, str):
            return []
        content = self.store.file(url.rpartition("/")[2])
        frames = [] if content is None else orjson.loads(content)
        return [frame if "cuboids" in frame else {"cuboids": []} for frame in frames]


def _among(count: int, rows: Sequence[int], found: Sequence[Any], other: Any) -> list[Any]:
    """Return an entry for each frame: those that were found in their rows, and another for the rest."""
    frames = [other] * count
    for row, frame in zip(rows, found, strict=True):
        frames[row] = frame
    return frames


def _instances(labels: Iterable[Any] | None) -> frozenset[str]:
    """Return the names of labels whose objects are told apart."""
    return frozenset(
        name
        for label in labels or ()
        if isinstance(label, Mapping)
        for name in (label_names([label]) if label.get("instance_label") else _instances(label.get("subchoices")))
    )


def label_names(labels: Iterable[Any] | None) -> list[str]:
    """Return the names of labels: strings, or objects with a choice; subchoices take the place of their choice."""
    names: list[str] = []
    for label in labels or ():
        if isinstance(label, Mapping):
            names += label_names(label.get("subchoices")) or [str(label.get("choice"))]
        else:
            names.append(str(label))
    return names


def _uuid(chance: random.Random) -> str:
    return str(uuid.UUID(int=chance.getrandbits(128), version=4))
