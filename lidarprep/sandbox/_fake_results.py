"""Invent results of tasks, in the labellers' place.

General tasks get the shapes of the reference's "Response on Callback" sections. The response of a cuboid task links to
a file with the cuboids of each frame, as Scale's own lidar toolkit reads it. The reference does not print responses of
the other lidar tasks: theirs are ASSUMED to be like it.
"""

from __future__ import annotations

import json
import math
import random
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

# Publishes a file of these bytes, and returns its URL.
Publish = Callable[[bytes], str]


def fake_result(task: Mapping[str, Any], publish: Publish) -> dict[str, Any]:
    """Return an invented response for a task of this type; the same for the same task."""
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
        case "lidarsegmentation":
            labels = label_names(params.get("labels"))
            frames: Any = [{"labels": labels, "points": []} for _ in range(_frame_count(params))]
        case "lidarlinking":
            frames = [{"annotations": _boxes({"objects_to_annotate": ["object"], "with_labels": True}, chance)}]
        case _:
            frames = _cuboids(label_names(params.get("labels")) or ["object"], _frame_count(params), chance)
    return {"annotations": {"url": publish(json.dumps(frames).encode())}}


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
    for geometry, options in (params.get("geometries") or {}).items():
        wanted = options.get("objects_to_annotate") if isinstance(options, dict) else None
        for label in label_names(wanted):
            x, y = chance.uniform(-20, 20), chance.uniform(-20, 20)
            corners = [(x, y), (x + 4, y), (x + 4, y + 2)][: {"point": 1, "line": 2}.get(geometry, 3)]
            vertices = [{"x": round(east, 3), "y": round(north, 3)} for east, north in corners]
            shapes.append({"uuid": _uuid(chance), "label": label, "type": geometry, "vertices": vertices})
    return shapes


def _cuboids(labels: Sequence[str], frames: int, chance: random.Random) -> list[dict[str, Any]]:
    """Return one cuboid a label and frame, each driving straight ahead; metres and radians, in the world frame."""
    objects = []
    for label in labels:
        yaw = chance.uniform(-math.pi, math.pi)
        start = (chance.uniform(-20, 20), chance.uniform(-20, 20))
        objects.append((label, _uuid(chance), yaw, start, chance.choice((0.0, 0.5))))
    listed = []
    for frame in range(frames):
        cuboids = [
            {
                "uuid": name,
                "label": label,
                "position": {
                    "x": round(x + frame * speed * math.cos(yaw), 4),
                    "y": round(y + frame * speed * math.sin(yaw), 4),
                    "z": 0.8,
                },
                "dimensions": {"x": 1.8, "y": 4.4, "z": 1.6},
                "yaw": round(yaw, 6),
                "stationary": speed == 0,
                "camera_used": None,
                "attributes": {},
            }
            for label, name, yaw, (x, y), speed in objects
        ]
        listed.append({"cuboids": cuboids})
    return listed


def _frame_count(params: Mapping[str, Any]) -> int:
    return max(1, len(params.get("attachments") or ()))


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
