"""`lidarprep submit`: unique ids made of the content, the rule for live keys, and what is said next."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

import lidarprep as lp
from lidarprep.api import ScaleClient
from lidarprep.errors import ConflictError, ParameterError
from lidarprep.sandbox import Sandbox
from lidarprep.storage import Manifest
from lidarprep.submit import submit, unique_id_of
from tests.cli.conftest import Run
from tests.scenes import write_toolkit_scene

PARAMS = {"project": "street", "callback_url": "https://example.com/c", "labels": ["car"], "instruction": "Label."}
AUTO_ID = re.compile(r"auto-[0-9a-f]{64}")


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What prepare stored of a small recording."""
    folder = tmp_path_factory.mktemp("prepared")
    lp.prepare(lp.open_scene(write_toolkit_scene(folder / "recording")), lp.Recipe(), str(folder / "out"))
    return folder / "out"


@pytest.fixture
def words(out: Path, tmp_path: Path) -> tuple[object, ...]:
    (tmp_path / "task.yaml").write_text(yaml.safe_dump(PARAMS))
    return "submit", out, "--type", "lidarannotation", "--params", tmp_path / "task.yaml"


def test_it_says_what_is_next(run: Run, sandbox: Sandbox, words: tuple[object, ...]) -> None:
    ended = run(*words)
    assert (ended.code, ended.out) == (0, "")
    assert re.search(r"next: lidarprep tasks wait [0-9a-f]{24}\n", ended.err)


def test_the_same_manifest_submitted_again_is_the_task_that_is_there_and_says_so(
    run: Run, sandbox: Sandbox, words: tuple[object, ...]
) -> None:
    before = sandbox.store.page(limit=1).total
    first, again = (run(*words, "--param", "project=again", "--json") for _ in range(2))
    made = json.loads(first.out)
    assert AUTO_ID.fullmatch(made["unique_id"])
    assert json.loads(again.out)["task_id"] == made["task_id"]
    assert sandbox.store.page(limit=1).total == before + 1
    assert "submitted before" not in first.err
    assert f"submitted before: the unique id has its task already, {made['task_id']}" in again.err


def test_a_unique_id_of_ones_own_works_alike_and_other_content_is_a_conflict(
    run: Run, sandbox: Sandbox, words: tuple[object, ...]
) -> None:
    first = json.loads(run(*words, "--unique-id", "scene 7", "--json").out)
    assert "submitted before" in run(*words, "--unique-id", "scene 7").err
    other = run(*words, "--unique-id", "scene 7", "--param", 'labels=["bus"]')
    assert other.code == 1
    assert first["task_id"] in other.err
    assert "labels[0]" in other.err


def test_a_unique_id_among_the_parameters_works_too_and_two_are_refused(
    run: Run, sandbox: Sandbox, words: tuple[object, ...]
) -> None:
    param = ("--param", "unique_id=scene 8")
    assert run(*words, *param).code == 0
    assert "submitted before" in run(*words, *param).err
    refused = run(*words, *param, "--unique-id", "scene 9")
    assert refused.code == 2
    assert "hold the unique_id 'scene 8'" in refused.err
    assert run(*words, *param, "--unique-id", "scene 8").code == 0


def test_other_content_has_another_id(run: Run, sandbox: Sandbox, words: tuple[object, ...]) -> None:
    ids = {
        json.loads(run(*words, "--unique-id", "auto", "--param", param, "--json").out)["unique_id"]
        for param in ("project=street", "project=road", 'labels=["bus"]', "priority=30", 'tags=["a"]')
    }
    assert len(ids) == 5


def manifest(urls: list[str], sha256: str = "ab", **changes: Any) -> Manifest:
    attachments = [
        {"url": url, "bytes": 1, "sha256": f"{n}{sha256}" * 21 + "f", "frames": [str(n)]} for n, url in enumerate(urls)
    ]
    content = {"source": "s", "format": "json", "recipe": {}, "attachments": attachments, "frames": [], **changes}
    return Manifest.from_json(json.dumps(content).encode(), location="file:///a/manifest.json")


def test_the_id_is_of_the_content_and_not_of_where_it_lies() -> None:
    here = unique_id_of(manifest(["1.json", "2.json"]), "lidarannotation", PARAMS)
    there = unique_id_of(
        manifest(["s3://bucket/x/1.json", "s3://bucket/x/2.json"], source="elsewhere", presign_hours=2.0),
        "lidarannotation",
        dict(reversed(PARAMS.items())),
    )
    assert here == there
    assert AUTO_ID.fullmatch(here)
    others = [
        unique_id_of(manifest(["1.json", "2.json"], sha256="cd"), "lidarannotation", PARAMS),
        unique_id_of(manifest(["1.json"]), "lidarannotation", PARAMS),
        unique_id_of(manifest(["1.json", "2.json"]), "lidarsegmentation", PARAMS),
        unique_id_of(manifest(["1.json", "2.json"]), "lidarannotation", PARAMS | {"labels": ["car", "bus"]}),
    ]
    assert len({here, *others}) == 5


def test_the_id_is_pinned_so_that_no_release_changes_it_by_accident() -> None:
    # A new id for the same task would let it be submitted twice.
    text = (
        '["lidarannotation",{"attachment_type":"json","attachments":["' + "0ab" * 21 + 'f"],'
        '"callback_url":"https://example.com/c","instruction":"Label.","labels":["car"],"project":"street"}]'
    )
    found = unique_id_of(manifest(["1.json"]), "lidarannotation", PARAMS)
    assert found == f"auto-{hashlib.sha256(text.encode()).hexdigest()}"


def test_names_of_python_and_of_the_wire_are_the_same_parameter() -> None:
    params = {
        "project": "p",
        "callback_url": "https://example.com/c",
        "geometries": {"line": {"objects_to_annotate": ["kerb"]}},
        "region_of_interest_3d": {"position": {"x": 0, "y": 0, "z": 0}, "length": 9, "width": 9, "rotation": 0},
    }
    ids = [
        unique_id_of(manifest(["1.json"]), "lidartopdown", params | {name: 1.8})
        for name in ("device_height", "deviceHeight")
    ]
    assert ids[0] == ids[1]


@pytest.mark.parametrize(
    ("signed", "again"),
    [
        ("?X-Amz-Signature=1&X-Amz-Date=2&versionId=7", "?X-Amz-Date=3&versionId=7&X-Amz-Signature=4"),
        ("?Expires=1&Signature=2&Key-Pair-Id=3", "?Expires=4&Signature=5&Key-Pair-Id=6"),
        ("?X-Goog-Signature=1", ""),
        ("?sv=1&se=2&sig=3", "?sv=1&se=9&sig=8"),
    ],
)
def test_signing_a_url_anew_does_not_change_the_id(signed: str, again: str) -> None:
    def unique_id(query: str) -> str:
        params = PARAMS | {"attachments": [f"https://bucket.example.com/1.json{query}"], "attachment_type": "json"}
        return unique_id_of(manifest([]), "lidarannotation", params)

    assert unique_id(signed) == unique_id(again)
    assert unique_id("?versionId=7") != unique_id("?versionId=8")


def test_auto_works_from_python_too(client: ScaleClient, out: Path) -> None:
    loaded = lp.load_manifest(out)
    params = PARAMS | {"project": "python"}
    first = submit(loaded, "lidarannotation", params, client, unique_id="auto")
    assert submit(loaded, "lidarannotation", params, client, unique_id="auto").id == first.id
    assert first.unique_id == unique_id_of(loaded, "lidarannotation", params)
    with pytest.raises(ConflictError, match=first.id):
        submit(loaded, "lidarannotation", PARAMS, client, unique_id=first.unique_id)


def test_wrong_parameters_are_refused_before_an_id_is_made() -> None:
    with pytest.raises(ParameterError, match="labels"):
        unique_id_of(manifest(["1.json"]), "lidarannotation", PARAMS | {"labels": 5})


@pytest.fixture
def sent(elsewhere: Any) -> list[httpx.Request]:
    """What comes to an API that is not on this machine."""
    requests: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "GET":  # whether there is such a task already
            return httpx.Response(200, json={"docs": []})
        requests.append(request)
        return httpx.Response(200, json={"task_id": "5a99e20de50d4979ce6d291e", "status": "pending"})

    elsewhere(answer)
    return requests


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    """A manifest whose attachments lie where Scale can read them."""
    (tmp_path / "manifest.json").write_bytes(manifest(["s3://bucket/1.json"]).to_json())
    return tmp_path / "manifest.json"


@pytest.mark.parametrize("terminal", [True, False])
@pytest.mark.parametrize(
    ("key", "flags", "code"),
    [
        ("live_key", (), 2),
        ("live_key", ("--live",), 0),
        ("live_key", ("--yes",), 0),
        ("test_key", (), 0),
        ("other_key", (), 0),
    ],
)
def test_a_live_key_is_used_only_when_that_was_said(
    run: Run,
    sent: list[httpx.Request],
    remote: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    key: str,
    flags: tuple[str, ...],
    code: int,
    terminal: bool,
) -> None:
    monkeypatch.setenv("SCALE_API_KEY", key)
    monkeypatch.setattr("sys.stdin.isatty", lambda: terminal, raising=False)
    (tmp_path / "task.yaml").write_text(yaml.safe_dump(PARAMS))
    ended = run("submit", remote, "--type", "lidarannotation", "--params", tmp_path / "task.yaml", *flags)
    assert ended.code == code, ended.err
    assert len(sent) == (1 if code == 0 else 0)
    if code:
        assert "the API key is a live one" in ended.err
        assert "Add --live (or --yes)" in ended.err
        assert "live_key" not in ended.err


def test_the_sandbox_takes_a_live_key_without_a_word(
    run: Run, sandbox: Sandbox, words: tuple[object, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCALE_API_KEY", "live_key")
    assert run(*words).code == 0


def test_run_has_the_same_rule_and_prepares_nothing_for_it(
    run: Run, sent: list[httpx.Request], out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCALE_API_KEY", "live_key")
    recipe: dict[str, Any] = {
        "scene": str(out.parent / "recording"),
        "out": str(tmp_path / "out"),
        "storage": {"url_base": "https://data.example.com/scene"},
        "task": {"type": "lidarannotation", "params": PARAMS},
    }
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(recipe))
    refused = run("run", tmp_path / "run.yaml")
    assert refused.code == 2
    assert "the API key is a live one" in refused.err
    assert not (tmp_path / "out").exists()
    assert sent == []
    done = run("run", tmp_path / "run.yaml", "--live", "--unique-id", "auto")
    assert done.code == 0, done.err
    assert AUTO_ID.fullmatch(json.loads(sent[-1].content)["unique_id"])
    assert "next: lidarprep tasks wait 5a99e20de50d4979ce6d291e" in done.err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("no JSON at all", "not JSON; expected a manifest"),
        ("[1, 2]", "JSON that is not an object; expected a manifest"),
        ('{"points": []}', "JSON without source, format, recipe, attachments, frames; expected a manifest"),
        (
            '{"source": "s", "format": "json", "recipe": {}, "frames": [], "attachments": [{"url": 7}]}',
            "JSON without attachments.0.bytes, attachments.0.sha256, attachments.0.frames; expected",
        ),
        (
            '{"source": "s", "format": 7, "recipe": {}, "frames": [], "attachments": []}',
            ", format: 7; expected a valid string",
        ),
    ],
)
def test_a_file_that_is_no_manifest_is_one_clear_error(
    run: Run, sandbox: Sandbox, tmp_path: Path, text: str, said: str
) -> None:
    file = tmp_path / "my file.json"
    file.write_text(text)
    ended = run("submit", file, "--type", "lidarannotation")
    assert ended.code == 2
    assert ended.err.startswith(f"error: {file}")
    assert said in ended.err
    assert "Name the manifest.json that `prepare` wrote." in ended.err


@pytest.mark.parametrize(
    ("unique_id", "said"),
    [
        (("--unique-id", "drive-7"), "the same command again finds it by its unique id"),
        ((), "the same command again finds it by its unique id"),
        (("--unique-id", "none"), "without a unique id only `lidarprep tasks list` shows whether it was"),
    ],
)
def test_ctrl_c_amid_the_request_ends_at_once_and_says_that_the_task_may_have_been_made(
    words: tuple[object, ...], unique_id: tuple[str, ...], said: str
) -> None:
    """By a server that takes the request and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        child = subprocess.Popen(
            [sys.executable, "-m", "lidarprep", *map(str, words), *unique_id],
            env={
                **os.environ,
                "SCALE_API_KEY": "test_x",
                "SCALE_API_URL": f"http://127.0.0.1:{silent.getsockname()[1]}/v1",
            },
            stderr=subprocess.PIPE,
            text=True,
        )
        connection, _ = silent.accept()
        with connection:
            if "none" not in unique_id:  # first it looks whether there is a task of this id
                assert connection.recv(65536).startswith(b"GET /v1/tasks?")
                connection.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n{"docs":[]}')
            received = b""
            while not received.startswith(b"POST /v1/task/lidarannotation"):
                received = connection.recv(65536)
            # By now it waits for the answer: a signal just before a blocking call is seen only after it, in any Python.
            time.sleep(0.5)
            child.send_signal(signal.SIGINT)
            printed = child.communicate(timeout=20)[1]  # less than the client would wait for an answer
    assert child.returncode == 130
    assert f"stopped: the task may have been made; {said}" in printed
    assert "Traceback" not in printed


@pytest.mark.parametrize("url_base", [None, "https://data.example.com/run"])
def test_no_task_is_made_of_what_is_gone(
    run: Run, sandbox: Sandbox, tmp_path: Path, words: tuple[object, ...], url_base: str | None
) -> None:
    place = tmp_path / "a place"
    scene = lp.open_scene(write_toolkit_scene(tmp_path / "recording"))
    lp.prepare(scene, lp.Recipe(), place, storage=lp.StorageOptions(url_base=url_base))
    next(place.glob("images/front/10-*.jpg")).unlink()
    (frame,) = place.glob("frames/11-*.json")
    frame.write_bytes(b"{}")
    before = sandbox.store.page(limit=1).total
    ended = run("submit", place, *words[2:])
    assert ended.code == 1
    said = " ".join(ended.err.split())
    assert f"2 of the 9 objects that it names are gone, or of another size; the first is frames/{frame.name}" in said
    assert f"lidarprep verify '{place}/manifest.json' --repair RECORDING" in said
    assert sandbox.store.page(limit=1).total == before


def test_what_is_served_from_elsewhere_by_now_can_be_submitted(
    run: Run, sandbox: Sandbox, tmp_path: Path, words: tuple[object, ...]
) -> None:
    place = tmp_path / "out"
    scene = lp.open_scene(write_toolkit_scene(tmp_path / "recording"))
    lp.prepare(scene, lp.Recipe(), place, storage=lp.StorageOptions(url_base="https://data.example.com/run"))
    for path in [*place.rglob("*.jpg"), *place.glob("frames/*")]:
        path.unlink()
    assert run("submit", place, *words[2:]).code == 0


def test_a_finding_that_would_ruin_the_task_is_said_and_refused_until_it_is_accepted(
    run: Run, sandbox: Sandbox, tmp_path: Path, words: tuple[object, ...], out: Path
) -> None:
    shutil.copytree(out, tmp_path / "copy")
    path = tmp_path / "copy/manifest.json"
    record = json.loads(path.read_bytes())
    odd = {"code": "odd", "message": "this is odd", "severity": "warning"}
    record["findings"] = [{"code": "wrong", "message": "this is wrong", "severity": "error"}, odd]
    path.write_text(json.dumps(record))
    before = sandbox.store.page(limit=1).total
    words = tuple(tmp_path / "copy" if word == out else word for word in words)
    refused = run(*words)
    assert refused.code == 2
    for part in ("error: this is wrong [wrong]", "warning: this is odd [odd]", "--accept wrong"):
        assert part in refused.err
    assert sandbox.store.page(limit=1).total == before
    assert run(*words, "--accept", "wrong").code == 0
    assert Manifest.load(tmp_path / "copy").accepted == ["wrong"]
    assert run(*words).code == 0
