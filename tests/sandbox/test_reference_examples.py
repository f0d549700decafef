"""The request examples of the API's reference succeed against the sandbox with only host and key changed."""

import re
from typing import Any

import httpx
import pytest

FRAME = "https://s3-us-west-1.amazonaws.com/scaleapi-cust-lidar/kitti-road-2011_10_03_drive_0047/frames/frame1.json"

EXAMPLES: dict[str, dict[str, Any]] = {
    "lidartopdown": {
        "instruction": "**Instructions:** Please label all the things",
        "callback_url": "https://example.com/callback",
        "attachment": [FRAME],
        "attachments": [FRAME],
        "geometries": {"newKey": "New Value", "newKey-1": "New Value_1"},
        "priority": None,
    },
    "lidarannotation": {
        "instruction": "Annotate the *vehicles* and *pedestrians* in the image.",
        "callback_url": "https://example.com/callback",
        "attachments": [FRAME],
        "attachment_type": "json",
        "labels": ["Vehicle"],
        "priority": None,
    },
    "lidarsegmentation": {
        "instruction": "**Instructions:** Please label all the things",
        "callback_url": "https://example.com/callback",
        "attachments": [FRAME],
        "attachment_type": "json",
        "labels": ["Vegetation"],
        "priority": None,
    },
    "lidarlinking": {
        "instruction": "**Instructions:** Please label all the things",
        "annotation_type": "imageannotation",
        "can_add_annotations": True,
        "can_edit_annotations": True,
        "can_edit_annotation_positions": True,
        "can_delete_annotations": True,
        "lidar_task": "607385eadfd77d0029a84084",
    },
    "multistage": {
        "project": "your_project_name_here",
        "instruction": "Annotate the *vehicles* and *pedestrians* in the scene.",
        "callback_url": "https://example.com/callback",
        "attachments": ["https://static.scale.com/uploads/pandaset-demo/scene.sfs"],
        "scene_format": "sensor_fusion",
        "priority": None,
    },
}

# Fields of the answers that the reference shows.
FIELDS = {"callback_url", "created_at", "instruction", "is_test", "params", "status", "task_id", "type"}
LINKING_FIELDS = FIELDS | {"urgency", "metadata", "project", "updated_at", "work_started"}
LINKING_PARAMS = {"labeling_sample_rate", "geometries", "annotation_type", "task_id", "default_geometry"}


@pytest.mark.parametrize("task_type", sorted(EXAMPLES))
def test_a_create_example_makes_a_pending_task(http: httpx.Client, task_type: str) -> None:
    headers = {"accept": "application/json", "content-type": "application/json"}
    response = http.post(f"/task/{task_type}", json=EXAMPLES[task_type], headers=headers)
    assert response.status_code == 200, response.text
    task = response.json()
    assert set(task) >= (LINKING_FIELDS if task_type == "lidarlinking" else FIELDS)
    assert (task["type"], task["status"]) == (task_type, "pending")
    assert task["instruction"] == EXAMPLES[task_type]["instruction"]
    assert re.fullmatch(r"[0-9a-f]{24}", task["task_id"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", task["created_at"])
    assert http.get(f"/task/{task['task_id']}", headers={"accept": "application/json"}).json() == task


def test_the_answer_to_a_linking_task_names_the_lidar_task_and_the_defaults(http: httpx.Client) -> None:
    params = http.post("/task/lidarlinking", json=EXAMPLES["lidarlinking"]).json()["params"]
    assert set(params) >= LINKING_PARAMS
    assert params["task_id"] == "607385eadfd77d0029a84084"
    assert (params["labeling_sample_rate"], params["default_geometry"]) == (1, "box")


def test_the_cancel_example_cancels_and_frees_the_unique_id(http: httpx.Client) -> None:
    payload = {**EXAMPLES["multistage"], "unique_id": "s3://bucket/file.png"}
    task_id = http.post("/task/multistage", json=payload).json()["task_id"]
    taken = http.post("/task/multistage", json=payload)
    assert taken.status_code == 409
    assert taken.json() == {
        "status_code": 409,
        "error": f'The unique_id ("s3://bucket/file.png") is already used for a different task ({task_id}).',
    }
    canceled = http.post(f"/task/{task_id}/cancel?clear_unique_id=true")
    assert canceled.status_code == 200
    assert canceled.json()["status"] == "canceled"
    assert "unique_id" not in canceled.json()
    assert http.post("/task/multistage", json=payload).status_code == 200


def test_the_list_has_the_fields_of_the_reference(http: httpx.Client) -> None:
    for _ in range(2):
        http.post("/task/multistage", json=EXAMPLES["multistage"])
    answer = http.get("/tasks?limit=1").json()
    assert set(answer) == {"docs", "total", "limit", "has_more", "next_token"}
    assert (len(answer["docs"]), answer["limit"], answer["has_more"]) == (1, 1, True)
