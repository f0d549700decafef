"""What a manifest fills in of a task, by the clients' own methods and by lp.submit alike."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lidarprep as lp
from lidarprep.api import Prepared, check_parameters, fill_in
from lidarprep.errors import FindingsError, ParameterError, RecipeError
from lidarprep.storage import Manifest
from tests.api.task_examples import LEAST

OFFSET = (500_000.0, 5_400_000.0, 100.0)
REGION = {"position": [500_010.0, 5_400_020.0, 100.0], "length": 80.0, "width": 60.0, "rotation": 0.5}
TOPDOWN = {"project": "street", "geometries": {"line": {"objects_to_annotate": ["lane"]}}}


def manifest(format: str = "protobuf", **changes: Any) -> Manifest:
    recipe = {
        "format": format,
        "labeling_sample_rate": 2,
        "region_of_interest_3d": REGION,
        "device_height": 1.8,
        **changes.pop("recipe", {}),
    }
    content: dict[str, Any] = {
        "source": "s",
        "format": format,
        "recipe": recipe,
        "world_offset": OFFSET,
        "attachments": [{"url": f"s3://b/{n}", "bytes": 1, "sha256": "a" * 64, "frames": [str(n)]} for n in range(3)],
        "frames": [],
        "fingerprint": "f" * 64,
        **changes,
    }
    return Manifest.from_json(json.dumps(content).encode(), location="s3://b/manifest.json")


ORIGIN = {"lidarprep": {"manifest": "s3://b/manifest.json", "fingerprint": "f" * 64}}


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_the_clients_methods_take_what_the_manifest_knows(api: Any, kind: str) -> None:
    def sent(method: str, **parameters: Any) -> Any:
        if kind == "sync":
            with api.client() as client:
                getattr(client, method)(manifest=manifest(**shape), **parameters)
        else:

            async def create() -> None:
                async with api.async_client() as client:
                    await getattr(client, method)(manifest=manifest(**shape), **parameters)

            asyncio.run(create())
        return json.loads(api.requests[-1].content)

    urls = ["s3://b/0", "s3://b/1", "s3://b/2"]
    shape: dict[str, Any] = {}
    assert sent("create_lidar_annotation", labels=["car"]) == {
        "attachments": urls,
        "attachment_type": "protobuf",
        "labeling_sample_rate": 2,
        "labels": ["car"],
        "metadata": ORIGIN,
    }
    assert sent("create_lidar_annotation", labels=["car"], labeling_sample_rate=5)["labeling_sample_rate"] == 5
    assert "labeling_sample_rate" not in sent("create_lidar_segmentation", labels=["road"])
    topdown = sent("create_lidar_topdown", **TOPDOWN)
    assert topdown["region_of_interest_3d"]["position"] == {"x": 10, "y": 20, "z": 0}
    assert topdown["deviceHeight"] == 2
    shape = {"recipe": {"only_labelled": True}}
    assert "labeling_sample_rate" not in sent("create_lidar_annotation", labels=["car"])
    shape = {"format": "json"}
    assert sent("create_multistage", project="p")["scene_format"] == "split_base64"
    shape = {"format": "sfs", "attachments": manifest().model_dump(mode="json")["attachments"][:1]}
    assert sent("create_multistage", project="p")["scene_format"] == "sensor_fusion"
    own = {name: LEAST["sensorfusion"][name] for name in ("project", "instruction", "annotation_definition")}
    fusion = sent("create_sensor_fusion", **own, callback_url="https://example.com/c", is_frameless=True)
    assert (fusion["attachments"], fusion["scene_format"]) == (["s3://b/0"], "sensor_fusion")


def test_a_client_sends_for_a_manifest_what_submit_sends(api: Any, tmp_path: Path) -> None:
    stored = manifest()
    with api.client() as client:
        client.create_lidar_annotation(manifest=stored, labels=["car"])
        made = json.loads(api.requests[-1].content)
        lp.submit(stored.at("s3://elsewhere/manifest.json"), "lidarannotation", {"labels": ["car"]}, client)
    submitted = json.loads(api.requests[-1].content)
    assert submitted.pop("unique_id").startswith("auto-")
    assert submitted.pop("metadata")["lidarprep"]["manifest"] == "s3://elsewhere/manifest.json"
    del made["metadata"]
    assert submitted == made


def test_what_a_manifest_cannot_fill_in_is_refused() -> None:
    def refused(kind: str = "lidarannotation", **given: Any) -> str:
        with pytest.raises((ParameterError, RecipeError, FindingsError)) as error:
            check_parameters(kind, {"labels": ["car"], **given})
        return str(error.value)

    assert "manifest is 'out/manifest.json': it must be a Manifest" in refused(manifest="out/manifest.json")
    assert "lidarprep.submit does that" in refused(manifest=manifest(presign_hours=2.0))
    assert "takes Frame JSON or LidarFrame protobuf" in refused(manifest=manifest("sfs"))
    finding = {"code": "poses-inverted", "message": "Inverted.", "severity": "error"}
    assert "poses-inverted" in refused(manifest=manifest(findings=[finding]))
    accepted = manifest(findings=[finding], accepted=["poses-inverted"])
    assert check_parameters("lidarannotation", {"labels": ["car"], "manifest": accepted})
    assert "coordinates is 'moon'" in refused(manifest=manifest(), coordinates="moon")


def test_the_height_of_a_manifest_is_rounded_to_whole_metres_with_a_note(caplog: pytest.LogCaptureFixture) -> None:
    def sent(**given: Any) -> Any:
        return check_parameters("lidartopdown", {**TOPDOWN, "manifest": manifest(), **given}).to_wire()["deviceHeight"]

    assert sent() == 2
    assert caplog.messages[0].startswith("the device height 1.8 m goes out as deviceHeight 2")
    caplog.clear()
    assert sent(deviceHeight=1.8) == sent(device_height=1.8) == 1.8
    assert caplog.messages == []


NUMBERS = st.floats(-1e7, 1e7).map(lambda number: round(number, 3))


@given(NUMBERS, NUMBERS, NUMBERS)
def test_given_places_are_in_the_recordings_world_unless_it_is_said(x: float, y: float, z: float) -> None:
    prepared = Prepared(["s3://b/0"], "json", world_offset=OFFSET)
    here, there = {"x": x, "y": y, "z": z}, {"x": x - OFFSET[0], "y": y - OFFSET[1], "z": z - OFFSET[2]}
    size = {"x": 1.8, "y": 4.2, "z": 1.5}

    def given_with(place: dict[str, float]) -> dict[str, Any]:
        flat = [place["x"], place["y"]]
        annotations = [
            {"uuid": "a", "position": place, "dimensions": size, "yaw": 1},
            {"label": "lane", "vertices": [place, {k: place[k] for k in "xy"}], "attributes": {"x": "left"}},
            {"label": "kerb", "vertices": [flat, [*flat, place["z"]]], "size": [1, 2]},
        ]
        region = {"position": place, "length": 5, "width": 4, "rotation": 0}
        return {**TOPDOWN, "region_of_interest_3d": region, "base_annotations": {"annotations": annotations}}

    shifted = fill_in("lidartopdown", given_with(here), prepared)
    expected = given_with(there)
    for name in ("region_of_interest_3d", "base_annotations"):
        assert shifted[name] == expected[name]
        assert fill_in("lidartopdown", given_with(here), prepared, "attachment")[name] == given_with(here)[name]


def test_a_region_of_ours_is_shifted_too() -> None:
    region = lp.RegionOfInterest3D((500_001.0, 5_400_002.0, 100.0), 5, 4)
    shifted = fill_in(
        "lidartopdown", {**TOPDOWN, "region_of_interest_3d": region}, Prepared([], "json", None, None, 1.8, OFFSET)
    )
    assert shifted["region_of_interest_3d"]["position"] == {"x": 1, "y": 2, "z": 0}


def test_metadata_of_ones_own_is_kept_and_wins(caplog: pytest.LogCaptureFixture) -> None:
    def metadata(given: dict[str, Any]) -> Any:
        parameters = {"labels": ["car"], "manifest": manifest(), "metadata": given}
        return check_parameters("lidarannotation", parameters).to_wire()["metadata"]

    assert metadata({"drive": 7}) == {**ORIGIN, "drive": 7}
    assert metadata({"lidarprep": "mine"}) == {"lidarprep": "mine"}
    full = {"text": "x" * (10 * 1024 - 11)}
    assert metadata(full) == full
    assert "need --manifest" in caplog.text


def test_a_server_takes_a_manifest_for_any_unknown_parameter() -> None:
    from lidarprep.api import Strictness, read_parameters

    body = {
        "attachments": ["s3://b/0"],
        "attachment_type": "json",
        "labels": ["car"],
        "manifest": "x",
        "coordinates": 1,
    }
    assert read_parameters("lidarannotation", body, Strictness()).to_wire() == body


def test_where_a_manifest_lies_is_no_difference_between_tasks(api: Any) -> None:
    parameters = {"labels": ["car"], "manifest": manifest(), "unique_id": "drive-7"}
    shown = check_parameters("lidarannotation", parameters).to_wire()
    shown["metadata"] = {"lidarprep": {"manifest": "file:///elsewhere/manifest.json"}}
    task = {"task_id": "abc", "type": "lidarannotation", "status": "pending", "unique_id": "drive-7", "params": shown}
    api.answers = [httpx.Response(409, json={"error": "… is already used (abc)."}), httpx.Response(200, json=task)]
    with api.client() as client:
        assert client.create_lidar_annotation(**parameters).id == "abc"
