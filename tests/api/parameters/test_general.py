"""The task types of the general reference, by its tables: media, choices, fields, urgency."""

from typing import Any

import pytest

from lidarprep.api._task_types import TASK_TYPES, check_parameters, read_parameters, task_type_at
from lidarprep.api.parameters import AnnotationExample, Strictness
from lidarprep.errors import ParameterError
from tests.api.task_examples import LEAST, refusal, wire

GENERAL = [name for name in TASK_TYPES if "lidar" not in name and name not in ("multistage", "sensorfusion")]


def test_categorization_is_created_at_categorize_and_all_others_at_their_own_names() -> None:
    for name, task_type in TASK_TYPES.items():
        assert task_type.path == ("/task/categorize" if name == "categorization" else f"/task/{name}")
        assert task_type_at(task_type.path) is task_type
    assert task_type_at("/task/categorization") is None


@pytest.mark.parametrize("task_type", GENERAL)
def test_urgency_is_one_of_three_and_only_the_general_types_know_it(task_type: str) -> None:
    for urgency in ("immediate", "day", "week"):
        assert wire(task_type, urgency=urgency)["urgency"] == urgency
    assert "urgency is 'now': it must be 'immediate', 'day' or 'week'" in refusal(task_type, urgency="now")
    assert "urgency is not a parameter of this task type" in refusal("multistage", urgency="day")


ANY_MEDIA = ("text", "image", "video", "audio", "website", "pdf")
MEDIA = {
    "categorization": ANY_MEDIA,
    "transcription": ("image", "pdf", "website"),  # the table has two; the example of the reference is the third
    "phonecall": ANY_MEDIA,
    "comparison": ANY_MEDIA,
    "annotation": ("image",),
    "datacollection": ("text", "image", "website"),
    "audiotranscription": ("audio",),
}


@pytest.mark.parametrize("task_type", GENERAL)
@pytest.mark.parametrize("media", [*ANY_MEDIA, "lidar"])
def test_attachment_type_is_what_the_types_table_lists(task_type: str, media: str) -> None:
    url = "https://example.com/thing"
    attachment = {"attachments": [url]} if task_type == "comparison" else {"attachment": url}
    if media in MEDIA[task_type]:
        assert wire(task_type, attachment_type=media, **attachment)["attachment_type"] == media
    else:
        assert f"attachment_type is '{media}': it must be " in refusal(task_type, attachment_type=media, **attachment)


@pytest.mark.parametrize("task_type", ["categorization", "transcription", "phonecall", "datacollection"])
def test_an_attachment_is_text_only_where_attachment_type_says_so(task_type: str) -> None:
    assert "attachment is 'a red car'" in refusal(task_type, attachment_type="image", attachment="a red car")
    if "text" in MEDIA[task_type]:
        assert wire(task_type, attachment_type="text", attachment="a red car")["attachment"] == "a red car"


def test_every_attachment_of_a_comparison_is_looked_at() -> None:
    message = refusal("comparison", attachment_type="image", attachments=["https://example.com/1.png", "ftp://x/2.png"])
    assert "attachments[1] is 'ftp://x/2.png': it must begin with https://" in message
    assert "attachments is empty" in refusal("comparison", attachments=[])


def test_a_website_needs_no_path_and_a_file_does() -> None:
    assert wire("categorization", attachment_type="website", attachment="https://example.com")
    message = refusal("categorization", attachment_type="image", attachment="https://example.com/")
    assert "attachment is 'https://example.com/': it must be a URL, as attachment_type is 'image'" in message


@pytest.mark.parametrize("attachment", ["http://localhost:9000/1.png", "file:///1.png", "pictures/1.png"])
def test_what_is_on_this_machine_is_taken_only_by_a_server_on_it(attachment: str) -> None:
    assert "can't fetch files from this machine" in refusal("categorization", attachment=attachment)
    given = {**LEAST["categorization"], "attachment": attachment}
    assert check_parameters("categorization", given, Strictness(local_files=True)).to_wire() == given


@pytest.mark.parametrize("task_type", ["transcription", "phonecall", "comparison", "datacollection"])
@pytest.mark.parametrize("fields", [{}, {"title": 3}, {"": "Title"}, {"title": ""}, ["title"], "title"])
def test_fields_are_names_to_texts(task_type: str, fields: Any) -> None:
    assert "fields is " in refusal(task_type, fields=fields)
    order = {"z": "Last letter", "a": "First letter"}
    assert list(wire(task_type, fields=order)["fields"]) == ["z", "a"]


@pytest.mark.parametrize(("task_type", "name"), [("categorization", "categories"), ("phonecall", "choices")])
def test_what_to_choose_from_is_a_list_of_texts(task_type: str, name: str) -> None:
    assert f"{name} is empty" in refusal(task_type, **{name: []})
    assert f"{name}[0] is 3: it must be a string" in refusal(task_type, **{name: [3]})
    assert f"{name} is 'yes': it must be a list" in refusal(task_type, **{name: "yes"})


def test_category_ids_are_those_of_categories() -> None:
    ids = {"123": "Blue Cross", "124": "Red Cross"}
    assert wire("categorization", category_ids=ids)["category_ids"] == ids
    message = refusal("categorization", category_ids={"123": "Green Cross"})
    assert "category_ids names 'Green Cross', which is not among the categories" in message


def test_a_comparison_needs_choices_or_fields() -> None:
    assert "choices is missing; give choices, or fields, or both" in refusal("comparison", choices=None)
    assert wire("comparison", choices=None, fields={"difference": "What differs"})


def test_a_phone_number_is_text_and_its_country_code_is_not_asked_for() -> None:
    assert "phone_number is 5055006865: it must be a string" in refusal("phonecall", phone_number=5055006865)
    assert wire("phonecall", phone_number="5055006865")


def test_a_phone_calls_attachment_and_its_type_come_together_but_a_server_lets_that_be() -> None:
    assert "attachment_type is missing; attachment is given" in refusal("phonecall", attachment="A script.")
    assert "attachment is missing; attachment_type is given" in refusal("phonecall", attachment_type="text")
    body = {**LEAST["phonecall"], "attachment": "A script."}
    assert read_parameters("phonecall", body, Strictness(unenforced_rules=False)).to_wire() == body


@pytest.mark.parametrize("count", range(9))
def test_at_most_six_objects_are_annotated(count: int) -> None:
    objects = [f"cow {n}" for n in range(count)]
    if 1 <= count <= 6:
        assert wire("annotation", objects_to_annotate=objects)["objects_to_annotate"] == objects
    else:
        assert "objects_to_annotate " in refusal("annotation", objects_to_annotate=objects)


@pytest.mark.parametrize(
    ("example", "message"),
    [
        ({"image": "https://example.com/1.jpg"}, "examples[0].correct is missing"),
        ({"correct": True}, "examples[0].image is missing"),
        ({"correct": "yes", "image": "https://example.com/1.jpg"}, "examples[0].correct is 'yes': it must be true"),
        ({"correct": True, "image": "a cow"}, "examples[0].image is 'a cow'"),
        ({"correct": True, "image": "https://e.com/1.jpg", "why": "?"}, "examples[0].why is not known there"),
        ("right", "examples[0] is 'right': it must be an object"),
    ],
)
def test_an_example_is_right_or_wrong_and_has_a_picture(example: Any, message: str) -> None:
    assert message in refusal("annotation", examples=[example])


def test_examples_are_taken_as_models_too() -> None:
    example = AnnotationExample(correct=False, image="https://example.com/1.jpg")
    assert wire("annotation", examples=[example])["examples"] == [
        {"correct": False, "image": "https://example.com/1.jpg"}
    ]


def test_a_callback_url_may_be_left_to_the_accounts_default() -> None:
    assert all("callback_url" not in wire(task_type) for task_type in GENERAL)


def test_wrong_names_get_the_nearest() -> None:
    with pytest.raises(ParameterError, match=r"\(did you mean categorization\?\)"):
        check_parameters("categorisation", {})
