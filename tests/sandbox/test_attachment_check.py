"""`--check-attachments`: a task with an attachment that can't be read or decoded ends in an error, others go on."""

import asyncio
import contextlib
import os
import time
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any

import boto3
import httpx
import pytest
from moto.server import ThreadedMotoServer
from PIL import Image

from lidarprep.attachments import get_format
from lidarprep.sandbox import Sandbox, SandboxOptions, SandboxStore, running_sandbox
from lidarprep.sandbox._attachment_check import DOWNLOADS_FAILED, find_problem
from lidarprep.sandbox._attachments import attachments_of
from tests.attachments.frames import world_frame
from tests.storage.clouds import gs_cloud
from tests.storage.s3 import put

FRAME = world_frame([[1.0, -2.5, 3.25], [4.0, 5.0, 6.0]], taken=1_700_000_000 * 10**9)
SUFFIXES = {"json": ".json", "protobuf": ".pb"}


def problem_of(task: dict[str, Any]) -> dict[str, Any] | None:
    with SandboxStore() as store:
        return asyncio.run(find_problem({"task_id": "1", **task}, store.uploads))


def what_is_wrong(task: dict[str, Any]) -> str:
    problem = problem_of(task)
    return "" if problem is None else str(problem["error"])


def statuses(task: dict[str, Any]) -> list[int]:
    """The statusCode of each attachment that can't be fetched."""
    problem = problem_of(task)
    assert problem is not None
    assert problem["error"] == DOWNLOADS_FAILED
    assert {one["url"] for one in problem["attachments"]} <= set(task["params"]["attachments"])
    return [one["statusCode"] for one in problem["attachments"]]


@pytest.fixture(scope="module")
def checking() -> Iterator[Sandbox]:
    options = SandboxOptions(check_attachments=True, complete_after_s=0.0)
    with running_sandbox(options=options) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One good attachment of each kind."""
    folder = tmp_path_factory.mktemp("attachments")
    for name, suffix in SUFFIXES.items():
        (folder / f"good{suffix}").write_bytes(get_format(name).encode(FRAME))
    with (folder / "good.sfs").open("w+b") as file:
        writer = get_format("sfs").writer(file, frames=1, images=0)
        writer.add(FRAME)
        writer.finish()
    Image.new("L", (4, 3)).save(folder / "good.png")
    return folder


@pytest.fixture(scope="module")
def served(folder: Path) -> Iterator[str]:
    """The folder's address, from where attachments are fetched."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder)) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def create(sandbox: Sandbox, path: str, parameters: dict[str, Any]) -> str:
    with httpx.Client(base_url=sandbox.url, auth=("test_key", ""), trust_env=False) as http:
        made = http.post(path, json={"project": "street", **parameters})
        assert made.status_code == 200, made.text
    return str(made.json()["task_id"])


def checked(sandbox: Sandbox, path: str, parameters: dict[str, Any]) -> dict[str, Any]:
    """The task once it is no longer pending."""
    task_id = create(sandbox, path, parameters)
    deadline = time.monotonic() + 60
    while (task := sandbox.store.get(task_id))["status"] == "pending":
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return task


def cuboids(kind: str, *urls: str, **more: Any) -> tuple[str, dict[str, Any]]:
    return "/task/lidarannotation", {"attachment_type": kind, "labels": ["car"], "attachments": list(urls), **more}


@pytest.mark.parametrize("kind", ["json", "protobuf"])
@pytest.mark.parametrize("form", ["path", "file", "http"])
def test_good_frames_pass_from_wherever_they_are(
    checking: Sandbox, folder: Path, served: str, kind: str, form: str
) -> None:
    good = folder / f"good{SUFFIXES[kind]}"
    url = {"path": str(good), "file": good.as_uri(), "http": f"{served}/{good.name}?signature=x"}[form]
    assert checked(checking, *cuboids(kind, url, url))["status"] == "completed"


def test_good_scenes_and_images_pass(checking: Sandbox, folder: Path) -> None:
    scene = {"attachments": [str(folder / "good.sfs")], "scene_format": "sensor_fusion"}
    frames = {"attachments": [str(folder / "good.json")], "scene_format": "split_base64"}
    aerial = {"attachment": [str(folder / "good.png")], "geometries": {"polygon": {"objects_to_annotate": ["lane"]}}}
    assert checked(checking, "/task/multistage", scene)["status"] == "completed"
    assert checked(checking, "/task/multistage", frames)["status"] == "completed"
    assert checked(checking, "/task/lidartopdown", aerial)["status"] == "completed"


@pytest.mark.parametrize("kind", ["json", "protobuf"])
def test_a_bad_frame_ends_in_an_error_that_names_it(checking: Sandbox, folder: Path, kind: str) -> None:
    good = folder / f"good{SUFFIXES[kind]}"
    bad = folder / f"cut{SUFFIXES[kind]}"
    bad.write_bytes(good.read_bytes()[:-5])
    task = checked(checking, *cuboids(kind, str(good), str(bad)))
    assert task["status"] == "error"
    title = get_format(kind).title
    assert task["response"] == {"error": f"attachment 2 of 2 ({bad}) can't be decoded as {title}"}
    assert "completed_at" not in task


def test_a_scene_whose_points_are_cut_is_found(checking: Sandbox, folder: Path) -> None:
    (folder / "cut.sfs").write_bytes((folder / "good.sfs").read_bytes()[:-4])
    task = checked(
        checking, "/task/multistage", {"attachments": [str(folder / "cut.sfs")], "scene_format": "sensor_fusion"}
    )
    assert task["status"] == "error"


@pytest.mark.parametrize("clear", [True, False])
def test_what_is_not_there_ends_in_an_error_and_may_free_the_unique_id(
    checking: Sandbox, served: str, clear: bool
) -> None:
    unique_id = f"lost-{clear}"
    options = {"unique_id": unique_id, "clear_unique_id_on_error": clear}
    task = checked(checking, *cuboids("json", f"{served}/lost.json", **options))
    lost = {"statusCode": 404, "url": f"{served}/lost.json"}
    assert task["response"] == {"error": DOWNLOADS_FAILED, "attachments": [lost]}
    assert task.get("unique_id") == (None if clear else unique_id)
    again = {"project": "street", **cuboids("json", "/nowhere/lost.json", **options)[1]}
    with httpx.Client(base_url=checking.url, auth=("test_key", ""), trust_env=False) as http:
        assert http.post("/task/lidarannotation", json=again).status_code == (200 if clear else 409)


def test_a_frame_without_points_and_an_image_that_is_none_are_bad(folder: Path) -> None:
    empty = folder / "empty.json"
    empty.write_bytes(get_format("json").encode(world_frame([])))
    task: dict[str, Any] = {"type": "lidarannotation", "params": {"attachments": [str(empty)]}}
    assert what_is_wrong(task).endswith("has no points")
    task = {"type": "lidartopdown", "params": {"attachment": [str(empty)]}}
    assert "an image that is no JPEG" in what_is_wrong(task)
    task = {"type": "lidarannotation", "params": {"attachments": [str(folder)]}}
    assert statuses(task) == [403]
    task = {"type": "lidarannotation", "params": {"attachments": ["http://127.0.0.1:9/a.json"]}}
    assert statuses(task) == [502]


def test_what_never_ends_or_only_looks_like_an_address_is_bad_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.json")
    for url, status in (
        (str(tmp_path / "pipe.json"), 403),
        ("/dev/zero", 403),
        ("/a\0b.json", 404),
        ("http://[::1", 404),
    ):
        assert statuses({"type": "lidarannotation", "params": {"attachments": [url]}}) == [status]


@pytest.fixture
def endless() -> Iterator[str]:
    """The address of a file that has no end."""
    Endless.begun.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Endless) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/1.json"
        server.shutdown()
        thread.join()


def test_a_check_stops_with_the_sandbox_and_begins_anew_with_the_next(endless: str, tmp_path: Path) -> None:
    options = SandboxOptions(check_attachments=True)
    with running_sandbox(database=tmp_path / "tasks.db", options=options) as sandbox:
        create(sandbox, *cuboids("json", endless))
        assert Endless.begun.wait(30)
    with SandboxStore(tmp_path / "tasks.db") as store:
        assert store.counts() == {"pending": 1}
        assert store.jobs.counts() == {"check": 1}


def test_an_attachment_without_an_end_holds_up_no_other_task(checking: Sandbox, folder: Path, endless: str) -> None:
    stuck = create(checking, *cuboids("json", endless))
    assert Endless.begun.wait(30)
    assert checked(checking, *cuboids("json", str(folder / "good.json")))["status"] == "completed"
    assert checking.store.get(stuck)["status"] == "pending"
    checking.store.cancel(stuck)


def test_an_attachment_without_an_end_is_given_up(endless: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lidarprep.sandbox._attachments.LONGEST_READ_S", 0.2)
    assert statuses({"type": "lidarannotation", "params": {"attachments": [endless]}}) == [504]


def test_a_read_that_blocks_for_ever_is_given_up_and_not_waited_for(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = Event()
    monkeypatch.setattr("lidarprep.sandbox._attachments.LONGEST_READ_S", 0.2)
    monkeypatch.setattr("lidarprep.sandbox._attachments._read_file", lambda *_: go_on.wait(60) and b"")
    task: dict[str, Any] = {"type": "lidarannotation", "params": {"attachments": [str(folder / "good.json")]}}
    try:
        assert statuses(task) == [504]
    finally:
        go_on.set()


class Endless(BaseHTTPRequestHandler):
    """Sends a file that has no end."""

    begun = Event()

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        with contextlib.suppress(OSError):
            while True:
                self.wfile.write(b" ")
                self.begun.set()
                time.sleep(0.01)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def test_attachments_in_s3_are_read_with_the_credentials_of_this_machine(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        endpoint = "http://{}:{}".format(*server.get_host_and_port())
        s3 = boto3.client("s3", endpoint_url=endpoint)
        s3.create_bucket(Bucket="bucket")
        s3.upload_file(str(folder / "good.json"), "bucket", "scene/good.json")
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        urls = ["s3://bucket/scene/good.json", "s3://bucket/lost.json"]
        task: dict[str, Any] = {"type": "lidarannotation", "params": {"attachments": urls[:1]}}
        assert problem_of(task) is None
        task["params"]["attachments"] = urls
        assert problem_of(task) == {
            "error": DOWNLOADS_FAILED,
            "attachments": [{"statusCode": 404, "url": "s3://bucket/lost.json"}],
        }
    finally:
        server.stop()


def test_attachments_in_google_cloud_storage_are_read_with_the_credentials_of_this_machine(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud = gs_cloud(monkeypatch)
    put(cloud.open("scene"), "good.json", (folder / "good.json").read_bytes())
    urls = [cloud.url("scene/good.json"), cloud.url("lost.json")]
    task: dict[str, Any] = {"type": "lidarannotation", "params": {"attachments": urls[:1]}}
    assert problem_of(task) is None
    task["params"]["attachments"] = urls
    assert problem_of(task) == {
        "error": DOWNLOADS_FAILED,
        "attachments": [{"statusCode": 404, "url": cloud.url("lost.json")}],
    }


def test_only_attachments_with_a_known_format_are_read() -> None:
    website = {"attachment": "https://example.com/", "attachment_type": "website"}
    assert attachments_of({"type": "categorization", "params": website}) == []
    assert problem_of({"type": "lidarannotation", "params": {"attachments": ["az://container/a.json"]}}) is None
    topdown = {"attachments": ["https://example.com/a.pb?x=.json", "s3://bucket/b"], "region_of_interest_3d": {}}
    assert attachments_of({"type": "lidartopdown", "params": topdown}) == [
        (topdown["attachments"][0], "protobuf"),
        (topdown["attachments"][1], "json"),
    ]
