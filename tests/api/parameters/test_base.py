"""Every task type takes what its table in the reference allows, and refuses the rest before anything is sent."""

from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from lidarprep.api import TASK_TYPES, Label, LidarAnnotation, Strictness, check_parameters, read_parameters
from lidarprep.api._requests import create_request
from lidarprep.errors import ParameterError
from tests.api.task_examples import COMMON, FRAMES, LEAST, OPTIONAL, REGION, TOGETHER, everything, refusal, wire

ALL_TYPES = pytest.mark.parametrize("task_type", sorted(TASK_TYPES))


@ALL_TYPES
def test_the_least_that_a_type_takes_is_sent_as_it_is(task_type: str) -> None:
    assert wire(task_type) == LEAST[task_type]


@ALL_TYPES
def test_every_parameter_of_the_table_is_taken_and_sent_under_its_name(task_type: str) -> None:
    assert wire(task_type, **everything(task_type)) == everything(task_type)


@ALL_TYPES
@settings(max_examples=30)
@given(data=st.data())
def test_what_was_not_given_is_not_sent(task_type: str, data: st.DataObject) -> None:
    optional = {**COMMON, **OPTIONAL[task_type]}
    names = data.draw(st.sets(st.sampled_from(sorted(optional))))
    unset = data.draw(st.sets(st.sampled_from(sorted(set(optional) - set(LEAST[task_type])))))
    for group in TOGETHER:
        if group & (set(optional) - names | unset) and not group & set(LEAST[task_type]):
            unset |= group & set(optional)
    chosen = {**LEAST[task_type], **{name: optional[name] for name in names - unset}}
    assert wire(task_type, **chosen, **dict.fromkeys(unset)) == chosen


@ALL_TYPES
def test_a_required_parameter_that_is_missing_is_named(task_type: str) -> None:
    for name in LEAST[task_type]:
        message = refusal(task_type, **{name: None})
        assert message.startswith(f"{task_type}: ")
        assert f"{name} is missing" in message


@ALL_TYPES
@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("project", 7, "project is 7: it must be a string"),
        ("batch", "", "batch is empty"),
        ("instruction", ["Label."], "instruction is a list: it must be a string"),
        ("callback_url", "example.com/callback", "callback_url is 'example.com/callback': it must be a full URL"),
        ("metadata", [1], "metadata is a list: it must be an object"),
        ("metadata", {"x": float("nan")}, "metadata is an object: it must be made of JSON values only"),
        ("metadata", {"x": np.zeros(2)}, "metadata is an object: it must be made of JSON values only"),
        ("priority", 15, "priority is 15: it must be 10, 20 or 30"),
        ("priority", True, "priority is true: it must be 10, 20 or 30"),
        ("unique_id", 3, "unique_id is 3: it must be a string"),
        ("clear_unique_id_on_error", "yes", "clear_unique_id_on_error is 'yes': it must be true or false"),
        ("tags", "abc", "tags is 'abc': it must be a list, not one string"),
        ("tags", ["a", ""], "tags[1] is empty"),
        ("tags", list("abcdef"), "tags has 6 entries; at most 5 are allowed"),
    ],
)
def test_a_common_parameter_of_the_wrong_kind_is_refused(task_type: str, field: str, value: Any, message: str) -> None:
    assert f"{task_type}: {message}" in refusal(task_type, **{field: value})


@pytest.mark.parametrize(
    ("task_type", "field", "value", "message"),
    [
        ("lidarannotation", "attachments", [], "attachments is empty"),
        ("lidarannotation", "attachments", FRAMES[0], "it must be a list, not one string"),
        ("lidarannotation", "attachment_type", "pcd", "attachment_type is 'pcd': it must be 'json' or 'protobuf'"),
        ("lidarannotation", "labels", [], "labels is empty"),
        ("lidarannotation", "labels", ["car", 3], "labels[1] is 3: it must be a non-empty string, or an object"),
        ("lidarannotation", "labels", [{"subchoices": ["car"]}], "labels[0].choice is missing"),
        ("lidarannotation", "labels", [{"choice": "a", "subchoices": [""]}], "labels[0].subchoices[0] is ''"),
        ("lidarannotation", "labels", [{"choice": "a", "instance_label": 1}], "labels[0].instance_label is 1"),
        ("lidarannotation", "meters_per_unit", 0.01, "meters_per_unit is 0.01: it must be a whole number"),
        ("lidarannotation", "max_distance_meters", 0, "max_distance_meters is 0: it must be at least 1"),
        ("lidarannotation", "frames_per_second", "10", "frames_per_second is '10': it must be a whole number"),
        ("lidarannotation", "polygons_enabled", 1, "polygons_enabled is 1: it must be true or false"),
        ("lidartopdown", "geometries", True, "geometries is true: it must be an object"),
        ("lidartopdown", "base_annotations", {}, "base_annotations.annotations is missing; it is required"),
        ("lidartopdown", "device_height", "tall", "device_height is 'tall': it must be a number"),
        ("lidartopdown", "device_height", float("inf"), "device_height is inf: it must be a finite number"),
        ("lidarlinking", "annotation_type", "box", "annotation_type is 'box': it must be 'imageannotation', "),
        ("lidarlinking", "camera_ids", [-1], "camera_ids[0] is -1: it must be at least 0"),
        ("lidarlinking", "default_geometry", "line", "default_geometry is 'line': it must be 'box', 'cuboid' or"),
        ("lidarlinking", "padding_x", 1.5, "padding_x is 1.5: it must be a whole number"),
        ("lidarlinking", "layers", [{"url": FRAMES[0]}], "layers[0].camera_id is missing"),
        ("multistage", "scene_format", "json", "scene_format is 'json': it must be 'sensor_fusion' or 'split_base64'"),
    ],
)
def test_a_parameter_that_breaks_its_table_is_refused(task_type: str, field: str, value: Any, message: str) -> None:
    assert message in refusal(task_type, **{field: value})


@given(st.integers().filter(lambda n: n not in (10, 20, 30)))
@example(10**5000)
def test_only_three_priorities_are_taken(priority: int) -> None:
    assert "priority is " in refusal("multistage", priority=priority)


@given(st.integers(1, 120))
def test_at_most_fifty_labels_are_taken(count: int) -> None:
    labels = [f"label {n}" for n in range(count)]
    if count <= 50:
        assert wire("lidarannotation", labels=labels)["labels"] == labels
    else:
        assert f"labels has {count} entries; at most 50 are allowed" in refusal("lidarannotation", labels=labels)


@pytest.mark.parametrize("letter", ["x", "ß", "點"])
def test_metadata_is_taken_up_to_ten_kilobytes_of_json(letter: str) -> None:
    overhead = len('{"k":""}')
    most = (10 * 1024 - overhead) // len(letter.encode())
    assert wire("multistage", metadata={"k": letter * most})["metadata"] == {"k": letter * most}
    assert "at most 10240 are allowed" in refusal("multistage", metadata={"k": letter * (most + 1)})


def test_everything_that_is_wrong_is_told_at_once_a_line_each() -> None:
    message = refusal("lidartopdown", geometries=None, priority=1, tags=[""], region_of_interest_3d=None)
    assert message.splitlines() == [
        "lidartopdown: 4 problems with the parameters",
        "  priority is 1: it must be 10, 20 or 30",
        "  tags[0] is empty; it must not be",
        "  region_of_interest_3d is missing; a lidar task needs it",
        "  geometries is missing; give geometries, or taxonomy_srn",
    ]


def test_alike_problems_of_many_frames_are_told_once() -> None:
    message = refusal("lidarannotation", attachments=[f"out/{n}.json" for n in range(40)])
    assert message.count("\n") == 0
    assert "attachments[0] is 'out/0.json'" in message
    assert message.endswith("(and 39 more like it)")


@pytest.mark.parametrize(
    ("unknown", "meant"),
    [("label", "labels"), ("attachement_type", "attachment_type"), ("labelling_sample_rate", "labeling_sample_rate")],
)
def test_an_unknown_parameter_is_refused_with_the_nearest_name(unknown: str, meant: str) -> None:
    assert f"{unknown} is not a parameter of this task type (did you mean {meant}?)" in refusal(
        "lidarannotation", **{unknown: 1}
    )


def test_the_value_of_an_unknown_parameter_is_not_shown() -> None:
    assert "sesame" not in refusal("multistage", api_key="sesame")


def test_extra_params_are_sent_as_they_are() -> None:
    assert wire("multistage", extra_params={"brand_new": [1, None]})["brand_new"] == [1, None]


def test_extra_params_are_no_way_around_the_checks() -> None:
    assert "extra_params holds priority, which is known" in refusal("multistage", extra_params={"priority": 99})


@pytest.mark.parametrize(
    "labels", [["a", {"choice": "b", "subchoices": ["c", {"choice": "d"}], "instance_label": True}]]
)
def test_nested_labels_are_taken_as_objects_and_as_models(labels: list[Any]) -> None:
    assert wire("lidarsegmentation", labels=labels)["labels"] == labels
    models = ["a", Label(choice="b", subchoices=["c", Label(choice="d")], instance_label=True)]
    assert wire("lidarsegmentation", labels=models)["labels"] == labels


def test_a_label_option_that_is_not_known_passes_through() -> None:
    label = {"choice": "a", "shortcut": "k"}
    assert wire("lidarannotation", labels=[label])["labels"] == [label]


def test_numpy_numbers_and_whole_floats_are_taken_as_integers() -> None:
    body = wire("lidarannotation", frames_per_second=np.int64(10), labeling_sample_rate=5.0, priority=np.int32(30))
    assert (body["frames_per_second"], body["labeling_sample_rate"], body["priority"]) == (10, 5, 30)


def test_a_change_by_the_caller_after_the_check_changes_nothing() -> None:
    metadata = {"drive": {"id": 7}}
    parameters = check_parameters("multistage", {**LEAST["multistage"], "metadata": metadata})
    metadata["drive"]["id"] = 8
    assert parameters.to_wire()["metadata"] == {"drive": {"id": 7}}


def test_an_email_address_is_taken_as_callback() -> None:
    assert wire("lidarlinking", callback_url="someone@example.com")["callback_url"] == "someone@example.com"


@pytest.mark.parametrize(
    "url",
    ["out/1.json", "/data/1.json", "file:///data/1.json", "http://127.0.0.1:9000/b/1.json", "http://localhost/1.json"],
)
def test_files_of_this_machine_are_taken_only_by_a_server_on_it(url: str) -> None:
    message = refusal("lidarannotation", attachments=[url])
    assert "can't fetch files from this machine" in message
    assert "--out s3://" in message
    assert "--url-base" in message
    given = {**LEAST["lidarannotation"], "attachments": [url]}
    assert check_parameters("lidarannotation", given, Strictness(local_files=True)).to_wire() == given


def test_layers_of_this_machine_are_taken_only_by_a_server_on_it() -> None:
    layers = {**LEAST["lidarlinking"], "layers": [{"url": "out/layers.json", "camera_id": 0}]}
    with pytest.raises(ParameterError, match=r"layers\[0\].url is 'out/layers.json'.* can't fetch files"):
        check_parameters("lidarlinking", layers)
    assert check_parameters("lidarlinking", layers, Strictness(local_files=True)).to_wire() == layers


@pytest.mark.parametrize(
    "url", ["ftp://example.com/1.json", "C:\\data\\1.json", "https://", "s3://bucket", "http://[::1"]
)
@pytest.mark.parametrize("local_files", [True, False])
def test_what_is_no_url_of_a_file_is_refused_everywhere(url: str, local_files: bool) -> None:
    given = {**LEAST["lidarannotation"], "attachments": [url]}
    with pytest.raises(ParameterError, match=r"attachments\[0\] is "):
        check_parameters("lidarannotation", given, Strictness(local_files=local_files))


def test_the_signature_of_a_presigned_url_is_not_shown() -> None:
    message = refusal("lidarannotation", attachments=["ftp://example.com/1.json?X-Amz-Signature=secret"])
    assert "'ftp://example.com/1.json?…'" in message
    assert "secret" not in message


def test_a_region_is_taken_as_an_object_of_ours_and_verbatim() -> None:
    assert wire("lidartopdown", region_of_interest_3d=REGION)["region_of_interest_3d"] == REGION.to_api()
    verbatim = {"position": {"x": 0, "y": 0, "z": 0}, "size": [1, None], "note": None}
    assert wire("lidartopdown", region_of_interest_3d=verbatim)["region_of_interest_3d"] == verbatim


@given(st.floats(-10, 10))
def test_a_device_height_that_is_given_is_sent_as_it_is_and_a_whole_one_as_an_integer(height: float) -> None:
    sent = wire("lidartopdown", device_height=height)["deviceHeight"]
    assert sent == height
    assert isinstance(sent, int) == height.is_integer()


def test_one_attachment_may_be_a_string_and_an_empty_list_of_the_other_kind_is_none() -> None:
    scene = "https://example.com/scene.sfs"
    assert wire("multistage", scene_format="sensor_fusion", attachments=scene)["attachments"] == [scene]
    assert wire("lidartopdown", attachment=[])["attachment"] == []
    aerial = {"attachments": [], "attachment": "https://example.com/a.png", "region_of_interest_2d": {"lon": 1}}
    assert wire("lidartopdown", **aerial, region_of_interest_3d=None)["attachments"] == []
    assert "attachments is missing" in refusal("lidartopdown", attachments=[], attachment=[])


def test_a_file_of_the_files_api_is_an_attachment() -> None:
    assert wire("lidarannotation", attachments=["scaledata://street/1.json"])


@pytest.mark.parametrize(
    ("region", "message"),
    [
        ({"foo": "bar"}, "must have a position"),
        ({"position": {"x": 1}}, "a position whose y is not a number"),
        ({"position": {"x": 1, "y": "2"}}, "a position whose y is not a number"),
        ({"position": {"x": 1, "y": 2}, "length": -1}, "a length that is not a number above 0"),
        ({"position": {"x": 1, "y": 2}, "width": True}, "a width that is not a number above 0"),
        ({"position": {"x": 1, "y": 2}, "rotation": "x"}, "a rotation that is not a number"),
    ],
)
def test_an_impossible_region_is_refused(region: Any, message: str) -> None:
    assert message in refusal("lidartopdown", region_of_interest_3d=region)


def notes(task_type: str, **changes: Any) -> list[str]:
    return check_parameters(task_type, {**LEAST[task_type], **changes}).notes()


def test_slips_within_objects_are_noted_with_the_nearest_key_and_sent(caplog: pytest.LogCaptureFixture) -> None:
    labels = [{"choice": "a", "instance_labels": True, "mine": 1}, {"choice": "b", "subchoice": ["c"]}]
    told = [
        "labels[0].instance_labels is not a known key (did you mean instance_label?); it is sent as it is",
        "labels[1].subchoice is not a known key (did you mean subchoices?); it is sent as it is",
    ]
    assert notes("lidarannotation", labels=labels) == told
    assert wire("lidarannotation", labels=labels)["labels"] == labels
    create_request("https://api.example.com/v1", "lidarannotation", {**LEAST["lidarannotation"], "labels": labels})
    assert caplog.messages == [f"lidarannotation: {note}" for note in told]
    geometries = {"line": {"object_to_annotate": ["lane"]}}
    assert "geometries.line.object_to_annotate" in notes("lidartopdown", geometries=geometries)[0]


def test_fields_of_a_region_that_are_not_printed_are_noted() -> None:
    (told,) = notes("lidartopdown", region_of_interest_3d={"position": {"x": 1, "y": 2}, "lenght": 3})
    assert "holds 'lenght' (did you mean length?)" in told
    assert notes("lidartopdown") == []


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8090/c", "https://localhost/c", "http://[::1]/c", "http://10.1.2.3/c"]
)
def test_a_callback_that_scale_cannot_reach_is_refused_but_by_a_server_that_can(url: str) -> None:
    assert "the result would be posted nowhere" in refusal("lidarannotation", callback_url=url)
    given = {**LEAST["lidarannotation"], "callback_url": url}
    assert check_parameters("lidarannotation", given, Strictness(local_files=True)).to_wire() == given


@pytest.mark.parametrize("host", ["10.0.0.7", "192.168.1.2", "169.254.169.254", "172.16.0.1", "[fe80::1]", "0.0.0.0"])
def test_attachments_in_a_private_network_are_taken_only_by_a_server_there(host: str) -> None:
    url = f"http://{host}/1.json"
    assert "can't fetch files from a private network" in refusal("lidarannotation", attachments=[url])
    given = {**LEAST["lidarannotation"], "attachments": [url]}
    assert check_parameters("lidarannotation", given, Strictness(private_addresses=True)).to_wire() == given


@pytest.mark.parametrize(
    "url", ["https://exa mple.com/c", "http://e.com\r\nX: y/z", "https://e.com/a b", "http://e.com/\t"]
)
def test_addresses_with_spaces_or_line_breaks_are_refused(url: str) -> None:
    assert "must be a full URL" in refusal("lidarannotation", callback_url=url)
    if url != "https://e.com/a b":  # a path on a server may be anything
        assert "must not hold line breaks" in refusal("lidarannotation", attachments=[url])


@pytest.mark.parametrize("depth", [101, 400, 950, 5000])
@pytest.mark.parametrize("name", ["metadata", "annotation_attributes", "extra_params"])
def test_json_that_is_nested_too_deep_is_refused(name: str, depth: int) -> None:
    value: Any = {"a": 1}
    for _ in range(depth):
        value = {"a": value}
    assert "must be nested at most 100 deep" in refusal("lidarannotation", **{name: value})


def test_a_type_without_a_model_is_sent_with_the_common_parameters_checked() -> None:
    given = {"project": "street", "labels": ["car"], "tags": ["a"], "geometries": {"box": {}}}
    assert check_parameters("imageannotation", given).to_wire() == given
    assert check_parameters("imageannotation", {"extra_params": {"new": 1}}).to_wire() == {"new": 1}
    with pytest.raises(ParameterError, match="imageannotation: priority is 7"):
        check_parameters("imageannotation", {**given, "priority": 7})
    with pytest.raises(ParameterError, match=r"did you mean imageannotation\?"):
        check_parameters("imageanotation", given)
    for name in ("../tasks", "Lidar", "", "a?b"):
        with pytest.raises(ParameterError, match="there is no task type"):
            check_parameters(name, given)


def test_a_parameter_is_taken_by_its_name_in_python_and_on_the_wire_but_not_by_both() -> None:
    by_python = wire("lidarlinking", padding_x=3)
    assert by_python == wire("lidarlinking", paddingX=3)
    assert by_python["paddingX"] == 3
    assert "paddingX is given twice: it is also called padding_x" in refusal("lidarlinking", padding_x=3, paddingX=3)


def test_segmentation_is_made_of_attachments_or_of_a_lidar_task() -> None:
    task = {"attachments": None, "attachment_type": None, "lidar_task": "607385eadfd77d0029a84084"}
    assert wire("lidarsegmentation", **task, lidar_task_frames=[0, 4]) == {
        "labels": ["road"],
        "lidar_task": "607385eadfd77d0029a84084",
        "lidar_task_frames": [0, 4],
    }
    both = refusal("lidarsegmentation", lidar_task="607385eadfd77d0029a84084")
    assert "attachments is given beside lidar_task" in both
    assert "attachment_type is given beside lidar_task" in both
    assert "attachments is missing" in refusal("lidarsegmentation", attachments=None)
    assert "attachment_type is missing" in refusal("lidarsegmentation", attachment_type=None)
    assert "lidar_task_frames is given without lidar_task" in refusal("lidarsegmentation", lidar_task_frames=[1])


def test_topdown_takes_frames_or_an_aerial_image() -> None:
    image = {"attachments": None, "region_of_interest_3d": None, "attachment": "https://example.com/aerial.png"}
    aerial = wire("lidartopdown", **image, region_of_interest_2d={"lon": 1, "lat": 2})
    assert aerial["attachment"] == ["https://example.com/aerial.png"]
    assert "region_of_interest_2d is missing; an aerial image" in refusal("lidartopdown", **image)
    assert "attachment is given beside attachments" in refusal("lidartopdown", attachment=["https://example.com/a.png"])


def test_topdown_is_told_its_project_by_a_batch_and_its_geometries_by_a_taxonomy() -> None:
    body = wire("lidartopdown", project=None, batch="monday", geometries=None, taxonomy_srn="srn")
    assert not {"project", "geometries"} & set(body)


def test_linking_to_imageannotation_needs_geometries_and_takes_no_additional_labels() -> None:
    message = refusal("lidarlinking", annotation_type="imageannotation", additional_labels=["tram"])
    assert "geometries is missing" in message
    assert "default_geometry is missing" in message
    assert "additional_labels is given with annotation_type 'imageannotation'; use geometries instead" in message
    geometries = {"geometries": {"box": {}}, "default_geometry": "box"}
    assert wire("lidarlinking", annotation_type="imageannotation", **geometries)["default_geometry"] == "box"


@pytest.mark.parametrize("name", ["can_edit_annotation_positions", "can_delete_annotations"])
def test_linking_rights_need_the_right_to_edit(name: str) -> None:
    assert f"{name} is true while can_edit_annotations is false" in refusal(
        "lidarlinking", **{name: True, "can_edit_annotations": False}
    )


@pytest.mark.parametrize(
    ("scene_format", "attachments", "message"),
    [
        ("sensor_fusion", ["https://example.com/scene.sfs?X-Amz-Signature=1"], None),
        ("sensor_fusion", ["https://example.com/download"], None),
        ("sensor_fusion", ["https://example.com/a.sfs", "https://example.com/b.sfs"], "takes one URL"),
        ("sensor_fusion", ["https://example.com/1.json"], "has a .json file"),
        ("split_base64", ["https://example.com/scene.sfs"], "has a .sfs file"),
        ("split_base64", ["https://[/1.json"], "it must be a URL"),
        ("split_base64", ["https://example.com/1.pb"], "has a .pb file"),
        ("sensor_fusion", ["https://example.com/scene.sfs.gz"], None),
    ],
)
def test_multistage_attachments_are_what_scene_format_says(
    scene_format: str, attachments: Any, message: str | None
) -> None:
    if message is None:
        assert wire("multistage", scene_format=scene_format, attachments=attachments)["attachments"] == attachments
    else:
        assert message in refusal("multistage", scene_format=scene_format, attachments=attachments)


def test_a_model_made_by_hand_is_checked_by_the_same_rules() -> None:
    with pytest.raises(ValidationError, match="at most 5 items"):
        LidarAnnotation(attachments=FRAMES, attachment_type="json", labels=["car"], tags=list("abcdef"))
    with pytest.raises(ValidationError, match="can't fetch files from this machine"):
        LidarAnnotation(attachments=["out/1.json"], attachment_type="json", labels=["car"])


def test_an_error_carries_no_chained_error_that_would_show_the_values() -> None:
    with pytest.raises(ParameterError) as refused:
        check_parameters("multistage", {"attachments": ["https://example.com/1?X-Amz-Signature=secret"]})
    assert refused.value.__context__ is None


def test_an_unknown_task_type_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ParameterError, match=r"'lidar_annotation' \(did you mean lidarannotation\?\)") as refused:
        check_parameters("lidar_annotation", {})
    assert "multistage" in str(refused.value.fix)


def test_a_server_lets_be_what_it_does_not_know() -> None:
    body = {**LEAST["multistage"], "brand_new": 1, "extra_params": 2}
    assert read_parameters("multistage", body, Strictness()).to_wire() == body


def test_a_server_that_enforces_less_still_checks_each_parameter() -> None:
    lenient = Strictness(unenforced_rules=False)
    assert read_parameters("lidartopdown", {"attachments": FRAMES, "geometries": {}}, lenient).to_wire()
    with pytest.raises(ParameterError, match="priority is 11"):
        read_parameters("lidartopdown", {"attachments": FRAMES, "geometries": {}, "priority": 11}, lenient)
