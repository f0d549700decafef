"""Tasks in the shape of the reference's examples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lidarprep.api import TaskParameters

# Parameters that an answer has beside `params`, not in it.
TOP_LEVEL = (
    *("instruction", "callback_url", "metadata", "project", "batch", "priority", "urgency", "unique_id"),
    *("clear_unique_id_on_error", "tags", "dependents"),
)
ALWAYS_THERE: Mapping[str, Any] = {"instruction": None, "callback_url": None, "metadata": {}, "project": None}
LINKING_DEFAULTS: Mapping[str, Any] = {"labeling_sample_rate": 1, "geometries": [], "default_geometry": "box"}

# Of the older reference's task types, which have an urgency; the others are answered with "standard".
DEFAULT_URGENCY = "day"
TRANSCRIBE = "Please transcribe the attached audio file."


def task_fields(parameters: TaskParameters, *, is_test: bool) -> dict[str, Any]:
    """Return a new task in the shape of the reference's examples, without what the store adds: id, times, status."""
    params = parameters.to_wire()
    beside = {name: params.pop(name) for name in TOP_LEVEL if name in params}
    if "tags" in beside:
        beside["tags"] = list(dict.fromkeys(beside["tags"]))
    if parameters.task_type == "lidarlinking":
        # As in the reference's answer: defaults filled in, and the lidar task called task_id.
        params = {**LINKING_DEFAULTS, "task_id": params.get("lidar_task"), **params}
    elif parameters.task_type == "phonecall":
        # The reference's prose keeps the script in params, its answer shows it outside: here it is in both places.
        beside["script"] = params["script"]
    elif parameters.task_type == "audiotranscription":
        beside.setdefault("instruction", TRANSCRIBE)
        params = {"verbatim": False, "attachment_type": "audio", **params}
    return {
        "type": parameters.task_type,
        "is_test": is_test,
        "urgency": DEFAULT_URGENCY if "urgency" in type(parameters).model_fields else "standard",
        "work_started": False,
        **ALWAYS_THERE,
        **beside,
        "params": params,
    }
