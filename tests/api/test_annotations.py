"""Annotations of completed tasks: where they are, and how they are parsed."""

import json
from typing import Any

import httpx
import pytest

from lidarprep.api import Cuboid
from lidarprep.errors import (
    FormatError,
    ParameterError,
    TransportError,
)

TASK = {"task_id": "5a99e20de50d4979ce6d291e", "type": "lidarannotation", "status": "pending"}


def answer(status: str = "pending", **fields: Any) -> httpx.Response:
    return httpx.Response(200, json={**TASK, "status": status, **fields})


CUBOID = {
    "uuid": "4DBCC561",
    "camera_used": 1,
    "label": "Car",
    "position": {"x": 87.65, "y": 934.81, "z": 75},
    "dimensions": {"x": 1.8, "y": 4.5, "z": 1.5},
    "yaw": 1.63,
    "distance_to_device": 17.23,
    "numberOfPoints": 64,
    "stationary": False,
    "attributes": {"heading": "front"},
    "brand_new": [1],
}
URL = "https://results.example.org/annotations/1?X-Amz-Signature=sesame"


NO_ADDRESSES = (
    "https://[bad/1",
    "https://e.com:99999/1",
    "https://e.com:x/1",
    "https:///1",
    "https://xn--/1",
    "https://e\0.com",
)


def completed(annotations: Any = None) -> httpx.Response:
    return answer("completed", response={"annotations": {"url": URL} if annotations is None else annotations})


def test_annotations_are_cuboids_by_frame(api, call) -> None:
    small = {"uuid": "b", "label": "Car", "position": dict.fromkeys("xyz", 0), "dimensions": dict.fromkeys("xyz", 1)}
    frames = [{"cuboids": [CUBOID, {**small, "yaw": 0}], "polygons": []}, {"cuboids": []}]
    api.answers = [completed(), httpx.Response(200, json=frames)]
    first, second = call("annotations", "abc")
    assert first.cuboids == (
        Cuboid(
            uuid="4DBCC561",
            label="Car",
            position=(87.65, 934.81, 75.0),
            dimensions=(1.8, 4.5, 1.5),
            yaw=1.63,
            stationary=False,
            camera_used=1,
            number_of_points=64,
            distance_to_device=17.23,
            attributes={"heading": "front"},
        ),
        Cuboid(uuid="b", label="Car", position=(0.0,) * 3, dimensions=(1.0,) * 3, yaw=0.0),
    )
    assert first.cuboids[0].raw["brand_new"] == [1]
    assert first.cuboids[0].track_id == "4DBCC561"
    assert (first.index, first.raw["polygons"], second.index, second.cuboids) == (0, [], 1, ())


def test_the_key_goes_to_the_api_only_and_not_to_where_results_lie(api, call) -> None:
    api.answers = [completed(), httpx.Response(200, json=[])]
    call("annotations", "abc")
    assert "authorization" not in api.requests[1].headers
    for own in ("https://api.example.com/results/1", "https://API.example.com:443/results/1"):
        api.requests.clear()
        api.answers = [completed({"url": own}), httpx.Response(200, json=[])]
        call("annotations", "abc")
        assert "authorization" in api.requests[1].headers
    for other in ("http://api.example.com/1", "https://api.example.com:8443/1", "https://api.example.com.evil.org/1"):
        api.requests.clear()
        api.answers = [completed({"url": other}), httpx.Response(200, json=[])]
        call("annotations", "abc")
        assert "authorization" not in api.requests[1].headers


def test_a_redirect_to_another_host_is_followed_without_the_key(api, call) -> None:
    api.answers = [
        completed({"url": "https://api.example.com/v1/results/1"}),
        httpx.Response(302, headers={"Location": URL}),
        httpx.Response(503),
        httpx.Response(200, json=[{"cuboids": []}]),
    ]
    assert len(call("annotations", "abc")) == 1
    assert ["authorization" in request.headers for request in api.requests] == [True, True, False, False]
    assert str(api.requests[3].url) == URL


def test_redirects_are_not_followed_for_ever_nor_out_of_encryption(api, call) -> None:
    api.answers = [completed(), httpx.Response(302, headers={"Location": "/again"})]
    with pytest.raises(TransportError, match="more than 5 redirects"):
        call("annotations", "abc")
    api.answers = [completed(), httpx.Response(302, headers={"Location": "http://results.example.org/1"})]
    with pytest.raises(TransportError, match="not encrypted"):
        call("annotations", "abc")


@pytest.mark.parametrize("location", [*NO_ADDRESSES[:-1], "https://e.com:-1/", "ftp://e.com/1", "mailto:a@e.com"])
def test_a_redirect_to_what_is_no_web_address_is_an_error(api, call, location) -> None:
    api.answers = [completed(), httpx.Response(302, headers={"Location": location})]
    with pytest.raises(TransportError, match=r"GET /(annotations/)?1.*(a redirect to|no answer|more than 5 redirects)"):
        call("annotations", "abc", settings={"retries": 0})


def test_annotations_that_stand_in_the_response_need_no_fetching(api, call) -> None:
    api.answers = [completed([{"cuboids": [CUBOID]}])]
    assert call("annotations", "abc")[0].cuboids[0].label == "Car"
    assert len(api.requests) == 1


def test_annotations_of_other_types_are_had_as_json(api, call) -> None:
    linked = [{"camera_responses": [{"annotations": [], "camera_used": 1}]}]
    api.answers = [completed(), httpx.Response(200, json=linked)]
    assert call("annotations_json", "abc") == linked


@pytest.mark.parametrize("found", [answer(), answer("error"), answer("canceled")], ids=["pending", "error", "canceled"])
def test_a_task_that_is_not_completed_has_no_annotations(api, call, found) -> None:
    api.answers = [found]
    with pytest.raises(ParameterError, match="it has no annotations") as refused:
        call("annotations", "abc")
    assert refused.value.fix


@pytest.mark.parametrize(
    "annotations",
    [{}, {"url": 7}, {"url": "s3://bucket/1"}, {"url": "file:///etc/passwd"}, "x", *NO_ADDRESSES],
)
def test_a_response_without_an_address_of_annotations_is_told(api, call, annotations) -> None:
    api.answers = [completed(annotations)]
    with pytest.raises(ParameterError, match="holds"):
        call("annotations", "abc")
    assert len(api.requests) == 1


NO_YAW = {name: value for name, value in CUBOID.items() if name != "yaw"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<html>", "no JSON"),
        (b"[" * 100_000, "no JSON"),
        ({"frames": []}, "an object; expected a list with an object for each frame"),
        ([7], "frame 0: a number; expected a list `cuboids`"),
        ([{"cuboids": []}, {"camera_responses": []}], "frame 1: keys camera_responses; expected a list `cuboids`"),
        ([{"cuboids": ["x"]}], "frame 0, cuboid 0: a text; expected an object"),
        ([{"cuboids": [CUBOID, NO_YAW]}], "frame 0, cuboid 1: no yaw; expected yaw, a number"),
        ([{"cuboids": [{**CUBOID, "yaw": True}]}], "cuboid 0: yaw true; expected yaw, a number"),
        ([{"cuboids": [{**CUBOID, "yaw": float("nan")}]}], "cuboid 0: yaw NaN; expected yaw, a number"),
        ([{"cuboids": [{**CUBOID, "position": {"x": 1, "y": 2}}]}], r'position {"x": 1, "y": 2}; expected position'),
        ([{"cuboids": [{**CUBOID, "label": None}]}], "label null; expected label, a text"),
    ],
)
def test_annotations_that_are_none_are_named_with_their_place(api, call, content, message) -> None:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    api.answers = [completed(), httpx.Response(200, content=body)]
    with pytest.raises(FormatError) as refused:
        call("annotations", "abc")
    assert message in str(refused.value)
    assert refused.value.path == "https://results.example.org/annotations/1"  # without what signs it
    assert "sesame" not in str(refused.value)


def test_a_link_that_has_expired_says_so_and_does_not_blame_the_key(api, call) -> None:
    api.answers = [completed(), httpx.Response(403, text="<Error><Code>AccessDenied</Code></Error>")]
    with pytest.raises(Exception, match="GET /annotations/1 was answered 403") as refused:
        call("annotations", "abc")
    assert "Links to results expire" in refused.value.fix
    assert "SCALE_API_KEY" not in refused.value.fix
    assert "sesame" not in str(refused.value)
