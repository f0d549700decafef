"""Parameters that each task type takes: the least, everything, and the request examples of the reference."""

from typing import Any

import pytest

from lidarprep.api import check_parameters
from lidarprep.errors import ParameterError
from lidarprep.scene.region import RegionOfInterest3D

FRAMES = ["https://example.com/1.json", "s3://bucket/2.json", "gs://bucket/3.json"]
REGION = RegionOfInterest3D(position=(1.0, 2.0, 0.0), length=80.0, width=60.0, rotation=0.3)
LIDAR_TASK = "607385eadfd77d0029a84084"

# For each type: the least that it takes.
LEAST: dict[str, dict[str, Any]] = {
    "lidarannotation": {"attachments": FRAMES, "attachment_type": "json", "labels": ["car"]},
    "lidarsegmentation": {"attachments": FRAMES, "attachment_type": "protobuf", "labels": ["road"]},
    "lidartopdown": {
        "project": "street",
        "attachments": FRAMES,
        "region_of_interest_3d": REGION.to_api(),
        "geometries": {"line": {"objects_to_annotate": ["lane"]}},
    },
    "lidarlinking": {"lidar_task": LIDAR_TASK, "annotation_type": "annotation", "instruction": "Link."},
    "multistage": {"project": "street", "attachments": FRAMES, "scene_format": "split_base64"},
    "sensorfusion": {
        "project": "street",
        "attachments": ["https://example.com/scene.sfs"],
        "scene_format": "sensor_fusion",
        "instruction": "Label **everything**.",
        "annotation_definition": [{"type": "cuboid", "labels": ["car"]}],
        "callback_url": "https://example.com/callback",
        "is_frameless": False,
    },
    "categorization": {
        "instruction": "Which?",
        "attachment_type": "image",
        "attachment": "https://example.com/1.png",
        "categories": ["Blue Cross", "Red Cross"],
    },
    "transcription": {
        "instruction": "Read it.",
        "attachment_type": "pdf",
        "attachment": "https://example.com/1.pdf",
        "fields": {"title": "The title"},
    },
    "phonecall": {"instruction": "Call.", "phone_number": "+15055006865", "script": "Hello!", "entity_name": "A. Wang"},
    "comparison": {
        "instruction": "The same?",
        "attachment_type": "text",
        "attachments": ["a cow", "a calf"],
        "choices": ["yes", "no"],
    },
    "annotation": {"objects_to_annotate": ["cow"], "attachment": "https://example.com/1.jpg"},
    "datacollection": {
        "instruction": "Find it.",
        "attachment_type": "text",
        "attachment": "Scale",
        "fields": {"page": "Its address"},
    },
    "audiotranscription": {"attachment": "https://example.com/1.wav"},
}

# Every other parameter that a type takes, by its name on the wire, with a value that goes with the least.
COMMON: dict[str, Any] = {
    "project": "street",
    "batch": "monday",
    "instruction": "Label **everything**.",
    "callback_url": "https://example.com/callback",
    "metadata": {"drive": 7, "nothing": None},
    "priority": 20,
    "unique_id": "drive-7",
    "clear_unique_id_on_error": True,
    "tags": ["a", "b", "c", "d", "e"],
}
ATTRIBUTES = {
    "colour": {"type": "category", "choices": ["red", {"choice": "blue", "display": "Blue"}], "allow_multiple": True},
    "plate": {"type": "text", "conditions": {"label_condition": {"label": ["car", "van"]}}},
    "doors": {"type": "number", "min": 2, "max": 5, "step": 1},
}
OPTIONAL: dict[str, dict[str, Any]] = {
    "lidarannotation": {
        "annotation_attributes": ATTRIBUTES,
        "max_distance_meters": 80,
        "meters_per_unit": 1,
        "frames_per_second": 10,
        "labeling_sample_rate": 5,
        "polygons_enabled": True,
        "pitch_and_roll_enabled": True,
        "polygons_labels": ["kerb"],
        "dependents": {
            "defs": [{"type": "lidarlinking", "annotation_type": "annotation", "instruction": "Adjust."}],
            "require_audit": True,
        },
    },
    "lidarsegmentation": {
        "dependents": {"defs": [{"type": "lidarlinking", "annotation_type": "annotation", "instruction": "Link."}]}
    },
    "lidartopdown": {
        "directed_lines": ["lane"],
        "annotation_attributes": ATTRIBUTES,
        "links": {"of": "lanes"},
        "base_annotations": {"annotations": [], "note": "as they are"},
        "context_attachments": [{"attachment": "https://example.com/context.png"}],
        "groups": ["Roundabout Edge"],
        "rules": {"polygons": []},
        "disable_cuboid_projection": False,
        "lidar_task": LIDAR_TASK,
        "deviceHeight": 2,
        "taxonomy_srn": "srn",
        "region_of_interest_2d": {"lon": 8.5, "lat": 47.4},
    },
    "lidarlinking": {
        "annotation_attributes": ATTRIBUTES,
        "camera_ids": [0, 2],
        "events_to_annotate": ["brake"],
        "event_camera_ids": [{"event": "brake", "camera_ids": [0]}],
        "can_add_annotations": True,
        "can_edit_annotations": True,
        "can_edit_annotation_positions": True,
        "can_delete_annotations": False,
        "labeling_sample_rate": 2,
        "additional_labels": ["tram", {"choice": "van"}],
        "skip_labels": ["car"],
        "geometries": {"box": {"objects_to_annotate": ["car"], "min_height": 5}},
        "default_geometry": "box",
        "copy_all_lidar_task_attributes": True,
        "padding": 0,
        "paddingX": 10,
        "paddingY": 20,
        "layers": [{"url": "https://example.com/layers.json", "camera_id": 1}],
    },
    "multistage": {"task_blueprint_id": "blueprint"},
    "sensorfusion": {},
    "categorization": {"category_ids": {"123": "Blue Cross"}, "allow_multiple": True, "urgency": "day"},
    "transcription": {"urgency": "week"},
    "phonecall": {
        "urgency": "immediate",
        "attachment_type": "text",
        "attachment": "The order is no. 7.",
        "fields": {"email": "E-mail address"},
        "choices": ["happy", "unhappy"],
    },
    "comparison": {"urgency": "day", "fields": {"difference": "What differs"}},
    "annotation": {
        "urgency": "day",
        "attachment_type": "image",
        "with_labels": True,
        "examples": [{"correct": True, "image": "https://example.com/right.jpg", "explanation": "Tight."}],
    },
    "datacollection": {"urgency": "day"},
    "audiotranscription": {"urgency": "day", "attachment_type": "audio", "verbatim": False},
}

# Optional parameters that some type takes only together.
TOGETHER = [{"event_camera_ids", "events_to_annotate"}, {"attachment_type", "attachment"}]


def everything(task_type: str) -> dict[str, Any]:
    """Parameters of a task with all that its type takes."""
    return {**LEAST[task_type], **COMMON, **OPTIONAL[task_type]}


FRAME = "https://s3-us-west-1.amazonaws.com/scaleapi-cust-lidar/kitti-road-2011_10_03_drive_0047/frames/frame1.json"
CALLBACK = "https://example.com/callback"
OLD_CALLBACK = "http://www.example.com/callback"

# The request examples of the reference, as JSON. The lidartopdown and lidarlinking ones leave out what the reference
# itself calls required, so that a client that spares people a task that goes wrong refuses them, and a server does not.
EXAMPLES: dict[str, dict[str, Any]] = {
    "lidartopdown": {
        "instruction": "**Instructions:** Please label all the things",
        "callback_url": CALLBACK,
        "attachment": [FRAME],
        "attachments": [FRAME],
        "geometries": {"newKey": "New Value", "newKey-1": "New Value_1"},
        "priority": None,
    },
    "lidarannotation": {
        "instruction": "Annotate the *vehicles* and *pedestrians* in the image.",
        "callback_url": CALLBACK,
        "attachments": [FRAME],
        "attachment_type": "json",
        "labels": ["Vehicle"],
        "priority": None,
    },
    "lidarsegmentation": {
        "instruction": "**Instructions:** Please label all the things",
        "callback_url": CALLBACK,
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
        "lidar_task": LIDAR_TASK,
    },
    "multistage": {
        "project": "your_project_name_here",
        "instruction": "Annotate the *vehicles* and *pedestrians* in the scene.",
        "callback_url": CALLBACK,
        "attachments": ["https://static.scale.com/uploads/pandaset-demo/scene.sfs"],
        "scene_format": "sensor_fusion",
        "priority": None,
    },
    "categorization": {
        "callback_url": OLD_CALLBACK,
        "instruction": "Is this company public or private?",
        "attachment_type": "website",
        "attachment": "http://www.google.com/",
        "categories": ["public", "private"],
    },
    "transcription": {
        "callback_url": OLD_CALLBACK,
        "instruction": "Transcribe the given fields.",
        "attachment_type": "website",
        "attachment": "http://news.ycombinator.com/",
        "fields": {"title": "Title of Webpage", "top_result": "Title of the top result"},
    },
    "phonecall": {
        "callback_url": OLD_CALLBACK,
        "instruction": "Call this person and follow the script provided, recording responses",
        "phone_number": "5055006865",
        "entity_name": "Alexandr Wang",
        "script": "Hello {{name}}! Are you happy today? (pause) One more thing - what is your email address?",
        "fields": {"email": "Email Address"},
        "choices": ["He is happy", "He is not happy"],
    },
    "comparison": {
        "callback_url": OLD_CALLBACK,
        "instruction": "Do the objects in these images have the same pattern?",
        "attachment_type": "image",
        "attachments": [
            "http://i.ebayimg.com/00/$T2eC16dHJGwFFZKjy5ZjBRfNyMC4Ig~~_32.JPG",
            "http://images.wisegeek.com/checkered-tablecloth.jpg",
        ],
        "choices": ["yes", "no"],
    },
    "annotation": {
        "callback_url": OLD_CALLBACK,
        "instruction": "Draw a box around each **baby cow** and **big cow**",
        "attachment_type": "image",
        "attachment": "http://i.imgur.com/v4cBreD.jpg",
        "objects_to_annotate": ["baby cow", "big cow"],
        "with_labels": True,
        "examples": [
            {
                "correct": False,
                "image": "http://i.imgur.com/lj6e98s.jpg",
                "explanation": "The boxes are tight and accurate",
            },
            {
                "correct": True,
                "image": "http://i.imgur.com/HIrvIDq.jpg",
                "explanation": "The boxes are neither accurate nor complete",
            },
        ],
    },
    "datacollection": {
        "callback_url": OLD_CALLBACK,
        "instruction": "Find the URL for the hiring page for the company with attached website.",
        "attachment_type": "website",
        "attachment": "https://www.scaleapi.com/",
        "fields": {"hiring_page": "Hiring Page URL"},
    },
    "audiotranscription": {
        "callback_url": OLD_CALLBACK,
        "attachment_type": "audio",
        "attachment": "https://storage.googleapis.com/deepmind-media/pixie/knowing-what-to-say/second-list/speaker-3.wav",
        "verbatim": False,
    },
}

EXAMPLES["sensorfusion"] = LEAST["sensorfusion"]  # the page prints none

DEPENDENTS_EXAMPLE: dict[str, Any] = {
    "defs": [
        {
            "labels": ["label1", "label2"],
            "type": "lidarsegmentation",
            "instruction": "**Instructions",
            "callback_url": "http://www.example.com/callback",
            "annotation_type": "imageannotation",
        }
    ]
}


def wire(task_type: str, **changes: Any) -> dict[str, Any]:
    return check_parameters(task_type, {**LEAST[task_type], **changes}).to_wire()


def refusal(task_type: str, **changes: Any) -> str:
    with pytest.raises(ParameterError) as refused:
        check_parameters(task_type, {**LEAST[task_type], **changes})
    return str(refused.value)
