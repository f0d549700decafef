"""A program that does with Scale's official client all that it can do for the task types of lidar.

    python official_client_child.py URL FOLDER

It runs in an environment of its own that has `scaleapi` and nothing of ours. Each assertion is about one call. FOLDER
is served on this machine, for the import of a file. It prints "done" at the end.
"""

import functools
import http.server
import io
import sys
import threading
from pathlib import Path

import scaleapi
from scaleapi.batches import BatchStatus
from scaleapi.exceptions import (
    ScaleDuplicateResource,
    ScaleInvalidRequest,
    ScaleResourceNotFound,
    ScaleUnauthorized,
)
from scaleapi.tasks import TaskReviewStatus, TaskStatus, TaskType

FRAMES = ["https://example.com/1.json", "https://example.com/2.json"]
COMMON = {"project": "street", "callback_url": "https://example.com/callback", "instruction": "Label."}
REGION = {"position": {"x": 0, "y": 0, "z": 0}, "length": 80, "width": 60, "rotation": 0}
ATTACHED = {"attachments": FRAMES, "attachment_type": "json", "labels": ["car"]}
SCENE = {"attachments": ["https://example.com/scene.sfs"], "scene_format": "sensor_fusion"}
LINES = {"geometries": {"line": {"objects_to_annotate": ["lane"]}}}


def refused(kind, call, *args, **keywords):
    """Whether the client raises this kind of error."""
    try:
        call(*args, **keywords)
    except kind:
        return True
    return False


def projects(client):
    made = client.create_project("street", TaskType.LidarAnnotation, {"instruction": "Label."})
    assert (made.name, made.type, made.instruction) == ("street", "lidarannotation", "Label.")
    assert client.update_project("street", patch=True, labels=["car"]).params["labels"] == ["car"]
    assert client.get_project("street").version == made.version + 1
    assert [project.name for project in client.projects()] == ["street"]
    assert [project.name for project in client.get_projects()] == ["street"]
    assert refused(ScaleDuplicateResource, client.create_project, "street", TaskType.LidarAnnotation)
    assert refused(ScaleResourceNotFound, client.get_project, "nowhere")


def batches(client):
    batch = client.create_batch("street", "monday", "someone@example.com", metadata={"drive": 7})
    assert (batch.status, batch.project, batch.metadata) == ("staging", "street", {"drive": 7})
    task = client.create_task(TaskType.LidarAnnotation, **COMMON, **ATTACHED, batch="monday")
    assert task.batch == "monday"
    assert batch.get_status()["pending"] == batch.tasks_pending == 1
    batch.finalize()
    assert client.get_batch("monday").status == BatchStatus.InProgress.value
    assert client.finalize_batch("monday").name == "monday"
    assert client.batch_status("monday")["status"] == "in_progress"
    assert client.set_batch_metadata("monday", {"drive": 8}).metadata == {"drive": 8}
    for number in range(3):
        client.create_batch("street", f"day {number}/?")
    page = client.batches(limit=2)
    assert (len(page.docs), page.total, page.limit, page.offset, page.has_more) == (2, 4, 2, 0, True)
    assert client.batches(limit=2, offset=2).has_more is False
    names = [one.name for one in client.get_batches(project_name="street")]
    assert names == ["day 2/?", "day 1/?", "day 0/?", "monday"]
    assert [one.name for one in client.get_batches(batch_status=BatchStatus.InProgress)] == ["monday"]
    assert client.get_batch("day 1/?").status == "staging"
    assert refused(ScaleResourceNotFound, client.get_batch, "nowhere")
    assert [one.id for one in client.get_tasks(batch_name="monday")] == [task.id]


def every_type(client):
    made = {
        TaskType.LidarAnnotation: ATTACHED,
        TaskType.LidarSegmentation: ATTACHED,
        TaskType.LidarTopdown: {"attachments": FRAMES, "region_of_interest_3d": REGION, **LINES},
        TaskType.MultiStage: SCENE,
        TaskType.SensorFusion: {**SCENE, "annotation_definition": [{"type": "cuboid"}], "is_frameless": False},
        TaskType.ImageAnnotation: {"attachment": "https://example.com/1.jpg", "geometries": {"box": {}}},
        TaskType.SegmentAnnotation: {"attachment": "https://example.com/1.jpg", "labels": ["road"]},
    }
    for task_type, parameters in made.items():
        task = client.create_task(task_type, **COMMON, **parameters)
        assert (task.type, task.status, task.is_test) == (task_type.value, "pending", True)
        assert client.get_task(task.id).params == task.params
    assert refused(ScaleInvalidRequest, client.create_task, TaskType.LidarAnnotation, **COMMON)
    assert refused(ScaleResourceNotFound, client.get_task, "0" * 24)


def one_task(client):
    task = client.create_task(TaskType.LidarAnnotation, **COMMON, **ATTACHED, unique_id="drive-7", tags=["a"])
    again = {**COMMON, **ATTACHED, "unique_id": "drive-7"}
    assert refused(ScaleDuplicateResource, client.create_task, TaskType.LidarAnnotation, **again)
    task.add_tags(["b"])
    task.delete_tags(["a"])
    assert client.get_task(task.id).tags == ["b"]
    task.set_tags(["c", "d"])
    task.set_metadata({"drive": 7})
    task.update_unique_id("drive-8")
    task.refresh()
    assert (task.tags, task.metadata, task.unique_id) == (["c", "d"], {"drive": 7}, "drive-8")
    task.clear_unique_id()
    task.set_metadata({})
    task.refresh()
    assert (task.metadata, task.as_dict().get("unique_id")) == ({}, None)
    client.update_task_unique_id(task.id, "drive-7")
    task.cancel(clear_unique_id=True)
    task.refresh()
    assert (task.status, task.as_dict().get("unique_id")) == ("canceled", None)
    return task


def lists(client, canceled):
    page = client.tasks(limit=3, project="street")
    assert (len(page.docs), page.limit, page.offset, page.has_more) == (3, 3, 0, True)
    rest = client.tasks(limit=3, project="street", next_token=page.next_token)
    assert not {task.id for task in page.docs} & {task.id for task in rest.docs}
    everything = list(client.get_tasks(project_name="street"))
    assert len(everything) == page.total == client.get_tasks_count(project_name="street") > 6
    assert [one.id for one in client.get_tasks(project_name="street", status=TaskStatus.Canceled)] == [canceled.id]
    found = client.get_tasks(project_name="street", task_type=TaskType.LidarTopdown, limited_response=True)
    assert [(one.status, one.project, "params" in one.as_dict()) for one in found] == [("pending", "street", False)]
    assert client.get_tasks_count(project_name="street", tags=["c", "d"]) == 1
    assert client.get_tasks_count(project_name="street", created_after="2021-01-01 00:00:00.000000") == len(everything)
    assert client.get_tasks_count(project_name="street", created_before="2021-01-01") == 0
    with_urls = client.get_tasks(
        project_name="street", task_type=TaskType.LidarSegmentation, include_attachment_url=True
    )
    assert len(list(with_urls)) == 1


def audits(client, complete):
    kinds = {TaskReviewStatus.Accepted: True, TaskReviewStatus.Rejected: False}
    for status, accepted in kinds.items():
        task = client.create_task(TaskType.ImageAnnotation, **COMMON, attachment="https://example.com/1.jpg")
        assert refused(ScaleInvalidRequest, client.audit_task, task.id, accepted)
        complete(task.id)
        task.audit(accepted, "So it is.")
        assert [one.id for one in client.get_tasks(project_name="street", review_status=status)] == [task.id]
    both = client.get_tasks(project_name="street", review_status=list(kinds), status=TaskStatus.Completed)
    assert len(list(both)) == 2


def files(client, folder):
    uploaded = client.upload_file(io.BytesIO(b"{}"), display_name="1.json", project_name="street", reference_id="one")
    assert uploaded.attachment_url.startswith("scaledata://")
    assert refused(ScaleDuplicateResource, client.upload_file, io.BytesIO(b"{}"), reference_id="one")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=folder)
    handler.func.log_message = lambda *_: None
    Path(folder, "2.json").write_text("{}")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        imported = client.import_file(f"http://127.0.0.1:{server.server_port}/2.json", project_name="street")
        server.shutdown()
    urls = [uploaded.attachment_url, imported.attachment_url]
    task = client.create_task(TaskType.LidarAnnotation, **COMMON, **{**ATTACHED, "attachments": urls})
    assert task.params["attachments"] == urls


def main(url, folder):
    client = scaleapi.ScaleClient("test_key", api_instance_url=url)

    def complete(task_id):
        controls = scaleapi.ScaleClient("test_key", api_instance_url=f"{url.removesuffix('/v1')}/sandbox")
        controls.api.post_request(f"tasks/{task_id}/complete")

    projects(client)
    batches(client)
    every_type(client)
    lists(client, one_task(client))
    audits(client, complete)
    files(client, folder)
    assert refused(ScaleUnauthorized, scaleapi.ScaleClient("other_key", api_instance_url=url).get_projects)
    print("done")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
