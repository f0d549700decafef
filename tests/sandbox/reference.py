"""Every request example of the API's reference, as data: with only host and key to be changed.

The newer texts' examples are Python (`requests`), the older one's are curl commands. A task id in an example's path is
`{task_id}` here, since the task has to be there. Repaired: the multistage example lacks a comma after its project.
"""

from typing import Any, NamedTuple

FRAME = "https://s3-us-west-1.amazonaws.com/scaleapi-cust-lidar/kitti-road-2011_10_03_drive_0047/frames/frame1.json"

LIDAR_FIELDS = {"callback_url", "created_at", "instruction", "is_test", "params", "status", "task_id", "type"}
LINKING_FIELDS = LIDAR_FIELDS | {"urgency", "metadata", "project", "updated_at", "work_started"}
GENERAL_FIELDS = {
    *("task_id", "created_at", "callback_url", "type", "status", "instruction", "urgency", "params", "metadata"),
}
TASK_FIELDS = {"task_id", "created_at", "callback_url", "type", "status", "instruction", "params", "metadata"}


class Creation(NamedTuple):
    """An example that makes a task.

    Args:
        path: Where it is posted.
        payload: Its JSON body; or, of a curl command, what its -d options hold, in order.
        task_type: What the answer's `type` is.
        fields: Fields of the answer that the reference shows.
        params: The answer's `params`, of those that the reference shows.
    """

    path: str
    payload: dict[str, Any] | list[str]
    task_type: str
    fields: set[str]
    params: dict[str, Any]


CREATIONS = {
    "lidartopdown": Creation(
        "/task/lidartopdown",
        {
            "instruction": "**Instructions:** Please label all the things",
            "callback_url": "https://example.com/callback",
            "attachment": [FRAME],
            "attachments": [FRAME],
            "geometries": {"newKey": "New Value", "newKey-1": "New Value_1"},
            "priority": None,
        },
        "lidartopdown",
        LIDAR_FIELDS,
        {},
    ),
    "lidarannotation": Creation(
        "/task/lidarannotation",
        {
            "instruction": "Annotate the *vehicles* and *pedestrians* in the image.",
            "callback_url": "https://example.com/callback",
            "attachments": [FRAME],
            "attachment_type": "json",
            "labels": ["Vehicle"],
            "priority": None,
        },
        "lidarannotation",
        LIDAR_FIELDS,
        {},
    ),
    "lidarsegmentation": Creation(
        "/task/lidarsegmentation",
        {
            "instruction": "**Instructions:** Please label all the things",
            "callback_url": "https://example.com/callback",
            "attachments": [FRAME],
            "attachment_type": "json",
            "labels": ["Vegetation"],
            "priority": None,
        },
        "lidarsegmentation",
        LIDAR_FIELDS,
        {},
    ),
    "lidarlinking": Creation(
        "/task/lidarlinking",
        {
            "instruction": "**Instructions:** Please label all the things",
            "annotation_type": "imageannotation",
            "can_add_annotations": True,
            "can_edit_annotations": True,
            "can_edit_annotation_positions": True,
            "can_delete_annotations": True,
            "lidar_task": "607385eadfd77d0029a84084",
        },
        "lidarlinking",
        LINKING_FIELDS,
        {
            "labeling_sample_rate": 1,
            "geometries": [],
            "annotation_type": "imageannotation",
            "task_id": "607385eadfd77d0029a84084",
            "default_geometry": "box",
        },
    ),
    "multistage": Creation(
        "/task/multistage",
        {
            "project": "your_project_name_here",
            "instruction": "Annotate the *vehicles* and *pedestrians* in the scene.",
            "callback_url": "https://example.com/callback",
            "attachments": ["https://static.scale.com/uploads/pandaset-demo/scene.sfs"],
            "scene_format": "sensor_fusion",
            "priority": None,
        },
        "multistage",
        LIDAR_FIELDS,
        {},
    ),
    "categorization": Creation(
        "/task/categorize",
        [
            "callback_url=http://www.example.com/callback",
            "instruction=Is this company public or private?",
            "attachment_type=website",
            "attachment=http://www.google.com/",
            "categories=public",
            "categories=private",
        ],
        "categorization",
        GENERAL_FIELDS,
        {
            "attachment_type": "website",
            "attachment": "http://www.google.com/",
            "categories": ["public", "private"],
        },
    ),
    "transcription": Creation(
        "/task/transcription",
        [
            "callback_url=http://www.example.com/callback",
            "instruction=Transcribe the given fields.",
            "attachment_type=website",
            "attachment=http://news.ycombinator.com/",
            "fields[title]=Title of Webpage",
            "fields[top_result]=Title of the top result",
        ],
        "transcription",
        GENERAL_FIELDS,
        {
            "fields": {"title": "Title of Webpage", "top_result": "Title of the top result"},
            "attachment": "http://news.ycombinator.com/",
            "attachment_type": "website",
        },
    ),
    "phonecall": Creation(
        "/task/phonecall",
        [
            "callback_url=http://www.example.com/callback",
            "instruction=Call this person and follow the script provided, recording responses",
            "phone_number=5055006865",
            "entity_name=Alexandr Wang",
            "script=Hello {{name}}! Are you happy today? (pause) One more thing - what is your email address?",
            "fields[email]=Email Address",
            "choices=He is happy",
            "choices=He is not happy",
        ],
        "phonecall",
        GENERAL_FIELDS | {"script"},
        {
            "fields": {"email": "Email Address"},
            "choices": ["He is happy", "He is not happy"],
            "entity_name": "Alexandr Wang",
            "phone_number": "5055006865",
        },
    ),
    "comparison": Creation(
        "/task/comparison",
        [
            "callback_url=http://www.example.com/callback",
            "instruction=Do the objects in these images have the same pattern?",
            "attachment_type=image",
            "attachments=http://i.ebayimg.com/00/$T2eC16dHJGwFFZKjy5ZjBRfNyMC4Ig~~_32.JPG",
            "attachments=http://images.wisegeek.com/checkered-tablecloth.jpg",
            "choices=yes",
            "choices=no",
        ],
        "comparison",
        GENERAL_FIELDS,
        {
            "choices": ["yes", "no"],
            "attachment_type": "image",
            "attachments": [
                "http://i.ebayimg.com/00/$T2eC16dHJGwFFZKjy5ZjBRfNyMC4Ig~~_32.JPG",
                "http://images.wisegeek.com/checkered-tablecloth.jpg",
            ],
        },
    ),
    "annotation": Creation(
        "/task/annotation",
        [
            "callback_url=http://www.example.com/callback",
            "instruction=Draw a box around each **baby cow** and **big cow**.",
            "attachment_type=image",
            "attachment=http://i.imgur.com/v4cBreD.jpg",
            "objects_to_annotate=baby cow",
            "objects_to_annotate=big cow",
            "with_labels=true",
            "examples[0][correct]=true",
            "examples[0][image]=http://i.imgur.com/lj6e98s.jpg",
            "examples[0][explanation]=The boxes are tight and accurate",
            "examples[1][correct]=false",
            "examples[1][image]=http://i.imgur.com/HIrvIDq.jpg",
            "examples[1][explanation]=The boxes are neither accurate nor complete",
        ],
        "annotation",
        GENERAL_FIELDS,
        {
            "examples": [
                {
                    "explanation": "The boxes are tight and accurate",
                    "image": "http://i.imgur.com/lj6e98s.jpg",
                    "correct": True,
                },
                {
                    "explanation": "The boxes are neither accurate nor complete",
                    "image": "http://i.imgur.com/HIrvIDq.jpg",
                    "correct": False,
                },
            ],
            "with_labels": True,
            "objects_to_annotate": ["baby cow", "big cow"],
            "attachment_type": "image",
            "attachment": "http://i.imgur.com/v4cBreD.jpg",
        },
    ),
    "datacollection": Creation(
        "/task/datacollection",
        [
            "callback_url=http://www.example.com/callback",
            "instruction=Find the URL for the hiring page for the company with attached website.",
            "attachment_type=website",
            "attachment=https://www.scaleapi.com/",
            "fields[hiring_page]=Hiring Page URL",
        ],
        "datacollection",
        GENERAL_FIELDS,
        # The answer in the reference has http:// where its request has https://.
        {
            "fields": {"hiring_page": "Hiring Page URL"},
            "attachment": "https://www.scaleapi.com/",
            "attachment_type": "website",
        },
    ),
    "audiotranscription": Creation(
        "/task/audiotranscription",
        [
            "callback_url=http://www.example.com/callback",
            "attachment_type=audio",
            "attachment=https://storage.googleapis.com/deepmind-media/pixie/knowing-what-to-say/second-list/speaker-3.wav",
            "verbatim=false",
        ],
        "audiotranscription",
        GENERAL_FIELDS | {"is_test"},
        {
            "verbatim": False,
            "attachment_type": "audio",
            "attachment": "https://storage.googleapis.com/deepmind-media/pixie/knowing-what-to-say/second-list/speaker-3.wav",
        },
    ),
}


class Request(NamedTuple):
    """An example about a task that is there, or about all.

    Args:
        method: Its HTTP method.
        path: Its path; with `{task_id}` where the example has one of its own.
        payload: Its JSON body; None if it has none.
        content_type: Whether it says that its body is JSON.
        fields: Fields of the answer that the reference shows; where it shows none, those of a task.
    """

    method: str
    path: str
    payload: Any = None
    content_type: bool = False
    fields: set[str] = TASK_FIELDS


DEPENDENTS = {
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

REQUESTS = {
    "retrieve": Request("GET", "/task/{task_id}"),
    "retrieve, curl": Request("GET", "/task/{task_id}", fields=GENERAL_FIELDS),
    "list": Request(
        "GET",
        "/tasks?status=completed&type=imageannotation&project=kitten_labeling&batch=kitten_labeling_2020-07"
        "&customer_review_status=accepted&limit=100&include_attachment_url=true",
        fields={"docs", "total", "limit", "has_more"},
    ),
    "list, curl": Request("GET", "/tasks", fields={"docs", "total", "limit", "has_more"}),
    "cancel": Request("POST", "/task/{task_id}/cancel?clear_unique_id=true"),
    "cancel, curl": Request("POST", "/task/{task_id}/cancel", fields=GENERAL_FIELDS),
    "set metadata": Request("POST", "/task/{task_id}/setMetadata", {}, True),
    "update unique_id": Request(
        "POST",
        "/task/{task_id}/unique_id",
        {"unique_id": "56766ba764ee6c4761f6f9b6015657cc6"},
        True,
        TASK_FIELDS | {"unique_id"},
    ),
    "delete unique_id": Request("DELETE", "/task/{task_id}/unique_id"),
    "add tags": Request("PUT", "/task/{task_id}/tags", ["tag1", "tag2", "tag3"], True),
    "set tags": Request("POST", "/task/{task_id}/tags", ["tag1", "tag2", "tag3"], True),
    "delete tags": Request("DELETE", "/task/{task_id}/tags", None, True),
    "dependent options": Request("POST", "/task/{task_id}/dependents/options", DEPENDENTS, True),
}
