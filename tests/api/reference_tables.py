"""The tables of Scale's API reference, transcribed: every endpoint, and every parameter with its type as it is printed.

A row is `name | type | required`; "required" stands only where the reference says so of the very row. Where the newer
reference has no table of a value but shows it in an example, the type is "(example)".
"""

from typing import NamedTuple


class Row(NamedTuple):
    name: str
    type: str
    required: bool


class Endpoint(NamedTuple):
    verb: str
    path: str
    rows: tuple[Row, ...]


def rows(table: str) -> tuple[Row, ...]:
    parts = [[part.strip() for part in line.split("|")] for line in table.strip().splitlines()]
    return tuple(Row(part[0], part[1], part[2:] == ["required"]) for part in parts)


# "Sensor Fusion / Lidar Tasks", "Create Multi-Stage Task", and the older general reference.
TASKS: dict[str, Endpoint] = {
    "lidartopdown": Endpoint(
        "POST",
        "/v1/task/lidartopdown",
        rows("""
            project | string | required
            batch | string
            instruction | string
            callback_url | string
            attachment | array of strings | required
            attachments | array of strings | required
            region_of_interest_2d | object
            region_of_interest_3d | object
            geometries | object | required
            directed_lines | array of strings
            annotation_attributes | object
            links | (row without name and type)
            base_annotations | object
            groups | array of strings
            rules | object
            disable_cuboid_projection | boolean
            metadata | object
            priority | integer
            unique_id | string
            clear_unique_id_on_error | boolean
            tags | array of strings
            lidar_task | string
            deviceHeight | integer
            taxonomy_srn | string
        """),
    ),
    "lidarannotation": Endpoint(
        "POST",
        "/v1/task/lidarannotation",
        rows("""
            project | string
            batch | string
            instruction | string
            callback_url | string
            attachments | array of strings | required
            attachment_type | string | required
            labels | array of strings | required
            annotation_attributes | object
            max_distance_meters | integer
            meters_per_unit | integer
            frames_per_second | integer
            labeling_sample_rate | integer
            polygons_enabled | boolean
            polygons_labels | array of strings
            metadata | object
            priority | integer
            unique_id | string
            clear_unique_id_on_error | boolean
            tags | array of strings
        """),
    ),
    "lidarsegmentation": Endpoint(
        "POST",
        "/v1/task/lidarsegmentation",
        rows("""
            project | string
            batch | string
            instruction | string
            callback_url | string
            attachments | array of strings
            attachment_type | string | required
            labels | array of strings
            metadata | object
            priority | integer
            unique_id | object
            clear_unique_id_on_error | boolean
            tags | array of strings
        """),
    ),
    "lidarlinking": Endpoint(
        "POST",
        "/v1/task/lidarlinking",
        rows("""
            project | string
            batch | string
            instruction | string
            callback_url | string
            annotation_type | string | required
            lidar_task | string | required
            annotation_attributes | object
            camera_ids | array of integers
            events_to_annotate | array of strings
            event_camera_ids | array of objects
            can_add_annotations | boolean
            can_edit_annotations | boolean
            can_edit_annotation_positions | boolean
            can_delete_annotations | boolean
            labeling_sample_rate | integer
            additional_labels | array of strings
            skip_labels | array of strings
            geometries | boolean
            default_geometry | string
            copy_all_lidar_task_attributes | boolean
            padding | integer
            paddingX | integer
            paddingY | integer
            layers | array of strings
            metadata | object
            priority | integer
            unique_id | string
            clear_unique_id_on_error | boolean
            tags | array of strings
        """),
    ),
    "multistage": Endpoint(
        "POST",
        "/v1/task/multistage",
        rows("""
            project | string | required
            batch | string
            instruction | string
            callback_url | string
            attachments | array of strings | required
            scene_format | string | required
            task_blueprint_id | string
            metadata | object
            unique_id | string
            priority | integer
            clear_unique_id_on_error | boolean
            tags | array of strings
        """),
    ),
    # Of the page "Sensor Fusion Tasks", beside the reference texts.
    "sensorfusion": Endpoint(
        "POST",
        "/v1/task/sensorfusion",
        rows("""
            project | string | required
            batch | string
            instruction | string | required
            callback_url | string | required
            attachments | array of strings | required
            scene_format | string | required
            annotation_definition | array of objects | required
            is_frameless | boolean | required
            metadata | object
            unique_id | string
            priority | integer
            clear_unique_id_on_error | boolean
            tags | array of strings
        """),
    ),
    # From here on "(optional)" is printed, rather than "required".
    "categorization": Endpoint(
        "POST",
        "/v1/task/categorize",
        rows("""
            callback_url | string | required
            instruction | string | required
            attachment_type | string | required
            attachment | string | required
            categories | [string] | required
            urgency | string
            category_ids | dictionary
            allow_multiple | boolean
            metadata | object
        """),
    ),
    "transcription": Endpoint(
        "POST",
        "/v1/task/transcription",
        rows("""
            callback_url | string | required
            instruction | string | required
            attachment_type | string | required
            attachment | string | required
            fields | object | required
            urgency | string
            metadata | object
        """),
    ),
    "phonecall": Endpoint(
        "POST",
        "/v1/task/phonecall",
        rows("""
            callback_url | string | required
            instruction | string | required
            phone_number | string | required
            script | string | required
            entity_name | name | required
            urgency | string
            attachment_type | string
            attachment | string
            fields | dictionary
            choices | [string]
            metadata | object
        """),
    ),
    "comparison": Endpoint(
        "POST",
        "/v1/task/comparison",
        rows("""
            callback_url | string | required
            instruction | string | required
            attachment_type | string | required
            attachments | array | required
            urgency | string
            fields | dictionary
            choices | [string]
            metadata | object
        """),
    ),
    "annotation": Endpoint(
        "POST",
        "/v1/task/annotation",
        rows("""
            callback_url | string | required
            objects_to_annotate | [string] | required
            attachment | string | required
            with_labels | boolean
            examples | [object]
            urgency | string
            instruction | string
            attachment_type | string
            metadata | object
        """),
    ),
    "datacollection": Endpoint(
        "POST",
        "/v1/task/datacollection",
        rows("""
            callback_url | string | required
            instruction | string | required
            attachment_type | string | required
            attachment | string | required
            fields | dictionary | required
            urgency | string
            metadata | object
        """),
    ),
    "audiotranscription": Endpoint(
        "POST",
        "/v1/task/audiotranscription",
        rows("""
            callback_url | string | required
            instruction | string
            attachment | string | required
            attachment_type | string
            verbatim | boolean
            urgency | string
            metadata | object
        """),
    ),
}

# Nested values that the tables describe in words: by the model that stands for them.
NESTED: dict[str, tuple[Row, ...]] = {
    "Label": rows("""
        choice | string | required
        subchoices | array
        instance_label | boolean
        groups | array of strings
    """),
    "LidarLinkingLayers": rows("""
        url | string | required
        camera_id | integer | required
    """),
    "BaseAnnotations": rows("""
        annotations | (as in the response) | required
    """),
    "Geometries": rows("""
        box | Geometry
        polygon | Geometry
        line | Geometry
        point | Geometry
        cuboid | Geometry
        ellipse | Geometry
    """),
    "Box": rows("""
        objects_to_annotate | (example)
        min_height | (example)
        min_width | (example)
    """),
    "AnnotationExample": rows("""
        correct | boolean | required
        image | URL | required
        explanation | string
    """),
    "DependentOptions": rows("""
        defs | array of objects
        require_audit | boolean
    """),
    "DependentDefinition": rows("""
        type | (example)
    """),
}

# Everything else that can be called. The older reference's are marked so; both describe the same addresses.
ENDPOINTS: dict[str, Endpoint] = {
    "Retrieve a task": Endpoint("GET", "/v1/task/{taskId}", rows("taskId | string | required")),
    "Retrieve multiple tasks": Endpoint(
        "GET",
        "/v1/tasks",
        rows("""
            start_time | string
            end_time | string
            completed_after | string
            completed_before | string
            updated_after | array of objects
            updated_before | string
            status | array of objects
            type | string
            project | string
            customer_review_status | array of objects
            batch | string
            limit | string
            unique_id | array of objects
            tags | array of objects
            include_attachment_url | boolean
            next_token | string
        """),
    ),
    "Cancel task": Endpoint(
        "POST",
        "/v1/task/{taskId}/cancel",
        rows("""
            taskId | string | required
            clear_unique_id | string
        """),
    ),
    "Set task metadata": Endpoint(
        "POST",
        "/v1/task/{taskId}/setMetadata",
        rows("""
            taskId | string | required
            RAW_BODY | (example)
        """),
    ),
    "Update unique_id": Endpoint(
        "POST",
        "/v1/task/{task_id}/unique_id",
        rows("""
            task_id | string | required
            unique_id | (example)
        """),
    ),
    "Delete unique_id": Endpoint("DELETE", "/v1/task/{task_id}/unique_id", rows("task_id | string | required")),
    "Add task tag": Endpoint(
        "POST",
        "/v1/task/{task_id}/tags",
        rows("""
            task_id | string | required
            RAW_BODY | array of strings
        """),
    ),
    "Set task tag": Endpoint(
        "POST",
        "/v1/task/{task_id}/tags",
        rows("""
            task_id | string | required
            RAW_BODY | array of strings
        """),
    ),
    "Delete task tag": Endpoint(
        "POST",
        "/v1/task/{task_id}/tags",
        rows("""
            task_id | string | required
            RAW_BODY | array of strings
        """),
    ),
    "Change dependent task options": Endpoint(
        "POST",
        "/v1/task/{TASK_ID}/dependents/options",
        rows("""
            task_id | string | required
            defs | array of objects
            require_audit | boolean
        """),
    ),
    "Force dependent tasks creation": Endpoint(
        "POST", "/v1/task/{TASK_ID}/dependents/force_creation", rows("task_id | string | required")
    ),
    "Avoiding duplicate tasks": Endpoint("POST", "/v1/task/{type}", rows("Idempotency-Key | header")),
    "Retrieve a task (older)": Endpoint("GET", "/v1/task/{TASK_ID}", rows("task_id | string")),
    "Cancel a task (older)": Endpoint("POST", "/v1/task/{TASK_ID}/cancel", rows("task_id | string")),
    "List all tasks (older)": Endpoint(
        "GET",
        "/v1/tasks",
        rows("""
            start_time | ISO 8601 Date
            end_time | ISO 8601 Date
            status | string
            type | string
            limit | integer
            offset | integer
        """),
    ),
    "Callback": Endpoint(
        "POST",
        "(callback_url)",
        rows("""
            scale-callback-auth | header
            task_id | string
            response | object
            task | object
        """),
    ),
}

# "Task Object" of the older reference, and what the newer one's example adds.
TASK_OBJECT = rows("""
    task_id | string
    type | string
    instruction | string
    params | object
    urgency | string
    response | object
    callback_url | string
    status | string
    created_at | timestamp
    completed_at | timestamp
    callback_succeeded | boolean
    metadata | object
    updated_at | (example)
    callback_completed | (example)
    audits | (example)
    tags | (example)
    unique_id | (example)
    is_test | (example)
    project | (example)
    work_started | (example)
    script | (example)
""")

# "audits" of the newer reference's example task.
AUDIT = ("audited_by", "audited_at", "audit_time_secs", "audit_result", "audit_source")

# The answers to "Retrieve Multiple Tasks", and to "List All Tasks" of the older reference, which has `offset`.
TASK_LIST = ("docs", "total", "limit", "has_more", "next_token", "offset")

# "Response on Callback" of each type that has one.
RESPONSES: dict[str, tuple[str, ...]] = {
    "categorization": ("category", "category_id"),
    "transcription": ("fields",),
    "phonecall": ("outcome", "fields", "choice"),
    "comparison": ("choice", "fields"),
    "annotation": (
        *("annotations", "annotations[].left", "annotations[].top", "annotations[].width", "annotations[].height"),
        "annotations[].label",
    ),
    "datacollection": ("fields",),
    "audiotranscription": ("transcript", "duration", "error"),
}

# What the texts say in prose, about callbacks, unique ids, idempotency keys, keys and canceling.
RULES = (
    "A callback is a POST of application/json with task_id, response and task",
    "A callback carries scale-callback-auth; without it, or with another, it is not from Scale",
    "A callback is retried up to 20 times over 24 hours, until it is answered 200",
    "callback_succeeded is true after a 200, false after all retries",
    "The key is the user name of HTTP basic auth, without a password",
    "Tasks of a test key are not done by people; those of a live key cost money",
    "A second task with a unique_id is refused with 409 and points to the first, in all projects and types",
    "Tasks can be listed by unique_id",
    "Canceling with clear_unique_id frees the unique_id",
    "clear_unique_id_on_error frees the unique_id of a task that comes to an error",
    "The same Idempotency-Key and parameters get the saved answer, and make no task",
    "An error is saved for an Idempotency-Key too",
    "Idempotency-Keys are removed after 24 hours",
    "An Idempotency-Key with other parameters or another user is a 409",
    "Two requests with one Idempotency-Key at a time may be a 429, which is safe to retry",
    "Canceling again is a 200; canceling a completed task is refused",
    "Lists come newest first, up to 100 tasks a page, and go on by next_token",
    "Several values of a filter are repeated or joined by commas",
    "Times to filter by are ISO 8601",
    "A tag that is there already is ignored; an empty one is refused",
    "Dependent options change only before the root task is completed",
    "Forcing dependents fails before completion, or when they are there",
)

# "Errors" of the older reference, and the one that "Avoiding Duplicate Tasks" adds.
STATUSES = (200, 400, 401, 404, 409, 429, 500)
